"""Mode health: what a logged training step says about the mode choice, and what to try."""

GONE = 0.02  # a mode below this chance on every kind of question is as good as unlearned
DECIDED = 0.02  # nats; the entropy of a choice at 0.3 % or 99.7 %
NO_SIGNAL = 0.9  # share of prompts
RARE = 0.2  # a mode that fewer groups of free rollouts would hold than this is hardly compared
CUT = 0.2  # share of completions
SHOWN = {
    "p_personalized/": "P(personalised)",
    "choice_entropy/": "entropy of the choice (nats)",
    "reward/": "reward",
    "length/": "length (tokens)",
    "truncated/": "cut off",
    "zero_variance/": "prompts without variance",
    "kl": "KL",
}


def _values(row: dict, prefix: str) -> dict[str, float]:
    """Logged values by the rest of their name behind `prefix`; NaN is left out."""
    return {
        name.removeprefix(prefix): value
        for name, value in row.items()
        if name.startswith(prefix) and value == value
    }


def _recent(row: dict, name: str) -> dict[str, float]:
    """Values by kind of question over the last generations, see `dualgrpo.regime`."""
    return _values(row, f"recent/{name}/")


def regime(row: dict) -> list[str]:
    """In which regime a logged step is, in words: what rollouts see of the modes, and what follows.

    Empty for a step without the numbers of `dualgrpo.regime`, and where nothing stands out.

    >>> regime({"recent/forced": 1.0, "recent/absent_if_free/all": 0.92})[0].split(" (")[0]
    'free rollouts would see the personalised mode in 8 % of groups'
    """
    return _what_rollouts_see(row) + _where_it_leads(row)


def _what_rollouts_see(row: dict) -> list[str]:
    verb, advice = "would see", "forced prefixes matter here"
    if _is_free(row):
        verb, advice = "see", "set forced_prefixes=True, or a higher temperature"
    return [
        f"free rollouts {verb} the personalised mode in {_percent(1 - absent)} of groups ({kind}): "
        f"{advice}"
        for kind, absent in _recent(row, "absent_if_free").items()
        if 1 - absent < RARE and _may_gain(row, kind)
    ]


def _where_it_leads(row: dict) -> list[str]:
    share = row.get("recent/unaligned_share")
    turns = row.get(f"recent/break_even/{'free' if _is_free(row) else 'forced'}")
    if share is None or turns is None or share != share or turns != turns:
        return []
    mode = "general" if share > turns else "personalised"
    side = "more" if share > turns else "less"
    return [
        f"{_percent(share)} of objective questions come from strangers, which is {side} than "
        f"{_percent(turns)}: on what all questions share, the push is towards the {mode} mode"
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _is_free(row: dict) -> bool:
    return row.get("recent/forced") == 0


def _may_gain(row: dict, kind: str) -> bool:
    """Could the personalised mode be better on this kind of question, as far as is known?"""
    return row.get(f"recent/gain/{kind}", 1.0) > 0


def summary(row: dict) -> dict[str, str]:
    """What a logged step says about both modes, as label -> text, for a live display.

    Empty for a step without modes.

    >>> summary({"loss": 0.1, "reward/general": 0.5, "reward/personalized": 0.25, "kl": 0.01})
    {'reward': 'general 0.50, personalized 0.25', 'KL': '0.01'}
    """
    texts = {}
    for prefix, label in SHOWN.items():
        values = _values(row, prefix)
        if values:
            texts[label] = ", ".join(
                f"{name} {value:.2f}".strip() for name, value in values.items()
            )
    if stated := regime(row):
        texts["regime"] = "; ".join(stated)
    return texts


def warnings(row: dict) -> list[str]:
    """What is wrong with one logged step (the keys that DualGRPOTrainer writes), in words.

    Empty when nothing is wrong.

    >>> warnings({"p_personalized/all": 0.999, "choice_entropy/all": 0.008})[0].split(";")[0]
    'the general mode dies: P(general) is at most 0.00 on every kind of question'
    """
    chance = _recent(row, "p") or _values(row, "p_personalized/")
    entropy = _recent(row, "entropy") or _values(row, "choice_entropy/")
    texts = []
    highest = {
        "personalized": max(chance.values(), default=1.0),
        "general": 1 - min(chance.values(), default=0.0),
    }
    for mode, most in highest.items():
        if most < GONE:
            texts.append(
                f"the {mode} mode dies: P({mode}) is at most {most:.2f} on every kind of question; "
                "lower the learning rate or prefix_weight, raise beta, or set "
                'importance_correction="uniform"'
            )
    if not texts and entropy and max(entropy.values()) < DECIDED:
        texts.append(
            f"the choice is settled everywhere (entropy below {DECIDED} nats): training still "
            'pushes forced prefixes; stop here, or set importance_correction="uniform"'
        )
    if texts:
        texts += regime(row)
    elif _is_free(row):
        texts += _what_rollouts_see(row)
    flat = _values(row, "zero_variance/")
    if min(flat.get("within", 0), flat.get("between", 0)) > NO_SIGNAL:
        texts.append(
            "almost no prompt has rewards that differ: nothing is learned; use harder questions, "
            "more rollouts or a higher temperature, and look at the kept completions"
        )
    for mode, share in _values(row, "truncated/").items():
        if share > CUT:
            texts.append(
                f"{share:.0%} of completions ({mode}) are cut off at max_completion_length: "
                "raise it"
            )
    return texts

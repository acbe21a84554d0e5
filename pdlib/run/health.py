"""Mode health: what a logged training step says about the mode choice, and what to try.

Logs hold the chance of every mode but the first, which has the rest. So every function takes the
modes that the model chooses between; they are the paper's by default.
"""

from pdlib.schema import PAPER_MODES, ModeSet

PERSONALIZED = PAPER_MODES[1].name
GONE = 0.02  # a mode below this chance on every kind of question is as good as unlearned
DECIDED = 0.02  # nats; the entropy of a choice at 0.3 % or 99.7 %
NO_SIGNAL = 0.9  # share of prompts
RARE = 0.2  # a mode that fewer groups of free rollouts would hold than this is hardly compared
CUT = 0.2  # share of completions
SHOWN = {  # behind the chances of the modes
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


def said(name: str) -> str:
    """A mode's name as texts write it: 'personalised', whatever records call it."""
    return "personalised" if name == PERSONALIZED else name


def regime(row: dict, mode_set: ModeSet = PAPER_MODES) -> list[str]:
    """In which regime a logged step is, in words: what rollouts see of the modes, and what follows.

    Empty for a step without the numbers of `dualgrpo.regime`, and where nothing stands out.

    >>> step = {"recent/forced": 1.0, "recent/absent_if_free_personalized/all": 0.92}
    >>> regime(step)[0].split(" (")[0]
    'free rollouts would see the personalised mode in 8 % of groups'
    """
    return _what_rollouts_see(row, mode_set) + _where_it_leads(row)


def _what_rollouts_see(row: dict, mode_set: ModeSet) -> list[str]:
    verb, advice = "would see", "forced prefixes matter here"
    if _is_free(row):
        verb, advice = "see", "set forced_prefixes=True, or a higher temperature"
    return [
        f"free rollouts {verb} the {said(mode)} mode in {_percent(1 - absent)} of groups "
        f"({kind}): {advice}"
        for mode in mode_set.names[1:]
        for kind, absent in _recent(row, f"absent_if_free_{mode}").items()
        if 1 - absent < RARE and _may_gain(row, mode, kind)
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


def _may_gain(row: dict, mode: str, kind: str) -> bool:
    """Could this mode be better than others on this kind of question, as far as is known?"""
    return row.get(f"recent/gain_{mode}/{kind}", 1.0) > 0


def summary(row: dict, mode_set: ModeSet = PAPER_MODES) -> dict[str, str]:
    """What a logged step says about the modes, as label -> text, for a live display.

    Empty for a step without modes.

    >>> summary({"loss": 0.1, "reward/general": 0.5, "reward/personalized": 0.25, "kl": 0.01})
    {'reward': 'general 0.50, personalized 0.25', 'KL': '0.01'}
    """
    texts = {}
    chances = {f"p_{name}/": f"P({said(name)})" for name in mode_set.names[1:]}
    for prefix, label in (chances | SHOWN).items():
        values = _values(row, prefix)
        if values:
            texts[label] = ", ".join(
                f"{name} {value:.2f}".strip() for name, value in values.items()
            )
    if stated := regime(row, mode_set):
        texts["regime"] = "; ".join(stated)
    return texts


def warnings(row: dict, mode_set: ModeSet = PAPER_MODES) -> list[str]:
    """What is wrong with one logged step (the keys that DualGRPOTrainer writes), in words.

    Empty when nothing is wrong.

    >>> warnings({"p_personalized/all": 0.999, "choice_entropy/all": 0.008})[0].split(";")[0]
    'the general mode dies: P(general) is at most 0.00 on every kind of question'
    """
    entropy = _recent(row, "entropy") or _values(row, "choice_entropy/")
    texts = [
        f"the {said(mode)} mode dies: P({said(mode)}) is at most {most:.2f} on every kind of "
        "question; lower the learning rate or prefix_weight, raise beta, or set "
        'importance_correction="uniform"'
        for mode, most in _highest_chances(row, mode_set).items()
        if most < GONE
    ]
    if not texts and entropy and max(entropy.values()) < DECIDED:
        texts.append(
            f"the choice is settled everywhere (entropy below {DECIDED} nats): training still "
            'pushes forced prefixes; stop here, or set importance_correction="uniform"'
        )
    if texts:
        texts += regime(row, mode_set)
    elif _is_free(row):
        texts += _what_rollouts_see(row, mode_set)
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


def _highest_chances(row: dict, mode_set: ModeSet) -> dict[str, float]:
    """The highest chance that a mode has on any kind of question, of the modes that are logged."""
    first, *others = mode_set.names
    by_mode = {name: _recent(row, f"p_{name}") or _values(row, f"p_{name}/") for name in others}
    if not all(by_mode.values()):
        return {}
    highest = {name: max(chances.values()) for name, chances in by_mode.items()}
    kinds = next(iter(by_mode.values()))
    rest = [1 - sum(chances[kind] for chances in by_mode.values()) for kind in kinds]
    return highest | {first: max(rest)}

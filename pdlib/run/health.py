"""Mode health: what a logged training step says about the mode choice, and what to try."""

GONE = 0.02  # a mode below this chance on every kind of question is as good as unlearned
DECIDED = 0.02  # nats; the entropy of a choice at 0.3 % or 99.7 %
NO_SIGNAL = 0.9  # share of prompts
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
    return texts


def warnings(row: dict) -> list[str]:
    """What is wrong with one logged step (the keys that DualGRPOTrainer writes), in words.

    Empty when nothing is wrong.

    >>> warnings({"p_personalized/all": 0.999, "choice_entropy/all": 0.008})[0].split(";")[0]
    'the general mode dies: P(general) is at most 0.00 on every kind of question'
    """
    chance, entropy = _values(row, "p_personalized/"), _values(row, "choice_entropy/")
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

"""Mode health: what a logged training step says about the mode choice, in words, with what to try."""

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


def summary(row: dict) -> dict[str, str]:
    """What a logged step says about both modes, as label -> text, for a live display; empty for a
    step without modes.

    >>> summary({"loss": 0.1, "reward/general": 0.5, "reward/personalized": 0.25, "kl": 0.01})
    {'reward': 'general 0.50, personalized 0.25', 'KL': '0.01'}
    """
    found = {
        label: ", ".join(
            f"{k.removeprefix(start)} {v:.2f}".strip()
            for k, v in row.items()
            if k.startswith(start) and v == v
        )
        for start, label in SHOWN.items()
    }
    return {label: text for label, text in found.items() if text}


def warnings(row: dict) -> list[str]:
    """What is wrong with one logged step (the keys that DualGRPOTrainer writes), in words; empty
    when nothing is.

    >>> warnings({"p_personalized/all": 0.999, "choice_entropy/all": 0.008})[0]
    'the general mode dies: P(general) is at most 0.00 on every kind of question; lower the learning
    rate or \
prefix_weight, raise beta, or set importance_correction="uniform"'
    """
    values = lambda start: {
        k.removeprefix(start): v for k, v in row.items() if k.startswith(start) and v == v
    }  # noqa: E731
    chance, entropy, found = values("p_personalized/"), values("choice_entropy/"), []
    remedy = 'lower the learning rate or prefix_weight, raise beta, or set importance_correction="uniform"'
    highest = {
        "personalized": max(chance.values(), default=1.0),
        "general": 1 - min(chance.values(), default=0.0),
    }
    for mode, most in highest.items():
        if most < GONE:
            found.append(
                f"the {mode} mode dies: P({mode}) is at most {most:.2f} on every kind of question; {remedy}"
            )
    if not found and entropy and max(entropy.values()) < DECIDED:
        found.append(
            f"the choice is settled everywhere (entropy below {DECIDED} nats): training still pushes forced prefixes; "
            'stop here, or set importance_correction="uniform"'
        )
    flat = values("zero_variance/")
    if min(flat.get("within", 0), flat.get("between", 0)) > NO_SIGNAL:
        found.append(
            "almost no prompt has rewards that differ: nothing is learned; use harder questions, more rollouts or a "
            "higher temperature, and look at the kept completions"
        )
    for mode, share in values("truncated/").items():
        if share > CUT:
            found.append(
                f"{share:.0%} of completions ({mode}) are cut off at max_completion_length: raise it"
            )
    return found

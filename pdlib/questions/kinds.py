"""The paper's seven benchmarks: which kind of question each asks, and what can be answered."""

from collections.abc import Sequence

from pdlib.schema import Item

KIND = {  # benchmark -> objective | personalized (paper Table 7)
    "pubmedqa": "objective",
    "triviaqa": "objective",
    "mmlu_pro": "objective",
    "supergpqa": "objective",
    "math500": "objective",
    "personafeedback": "personalized",
    "fspo_roleplay": "personalized",
}
LABELS = {"pubmedqa": ("yes", "no", "maybe")}  # what may be answered where the answer is a label


def chance(item: Item) -> float:
    """The accuracy of guessing: one in the number of options or labels.

    It is 0 where the answer is a text or a number, which nobody guesses. ValueError for a label
    question of a benchmark whose labels are not in LABELS.

    >>> options = ("a", "b", "c", "d")
    >>> chance(Item("1", "mmlu_pro", "objective", "choice", "which?", "a", options=options))
    0.25
    """
    answers = choices(item)
    return 1 / len(answers) if answers else 0.0


def choices(item: Item) -> tuple[str, ...]:
    """The options or labels one of which is the answer; none where it is a text or a number.

    ValueError as for `chance`.
    """
    if item.answer_type == "choice":
        return item.options
    if item.answer_type != "label":
        return ()
    if item.benchmark not in LABELS:
        raise ValueError(
            f"item {item.id!r} is answered with a label, and the labels of {item.benchmark!r} are "
            f"unknown; LABELS has those of {', '.join(LABELS)}: add the benchmark's"
        )
    return LABELS[item.benchmark]


def check_objective(items: Sequence[Item], reason: str) -> None:
    """ValueError when personalised items are among `items`; `reason` says why they must not be."""
    personalized = [item.id for item in items if item.kind != "objective"]
    if personalized:
        raise ValueError(
            f"{len(personalized)} items are personalised ({personalized[0]!r} ...): {reason}; "
            "pass objective items"
        )

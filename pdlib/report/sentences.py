"""The sentences of the report's first screen.

Each takes its words from its own interval: "more", "less" or "no difference is shown".
"""

from collections.abc import Mapping, Sequence

from pdlib.analysis import stats
from pdlib.analysis.cells import Cells
from pdlib.report import screen, status
from pdlib.report.formats import number, points
from pdlib.report.screen import Finding

SHOWN_OPPOSITE = 3
HIGHER, UNCLEAR, LOWER = stats.VERDICTS.values()


def _more_or_less(left: str, right: str, where: str = "") -> dict[str, str]:
    """The three sentences on the difference left - right of right answers."""
    return {
        HIGHER: f"{left} is right {{size}} points more often than {right}{where}",
        LOWER: f"{left} is right {{size}} points less often than {right}{where}",
        UNCLEAR: f"No difference is shown between {left} and {right}{where}: {{mean}} points",
    }


def _choice(rule: str) -> dict[str, str]:
    """The three sentences on the learned choice against a rule."""
    return _more_or_less("The learned choice of the mode", rule)


def _persona(persona: str) -> dict[str, str]:
    """The three sentences on PersonaDual's answers to objective questions with this persona."""
    where = "on objective questions than without a persona"
    return {
        HIGHER: f"{persona} helps: PersonaDual is right {{size}} points more often {where}",
        LOWER: f"{persona} harms: PersonaDual is right {{size}} points less often {where}",
        UNCLEAR: f"{persona} is not shown to change how often PersonaDual is right on objective "
        "questions: {mean} points",
    }


# the topic of a finding -> its sentence by its verdict; {size} is the difference's size and {mean}
# the difference, both in points
TOPICS = {
    "CoT": _more_or_less(
        "PersonaDual",
        "CoT (one mode, trained on the same data)",
        ", over the three averages of Table 1",
    ),
    "SFT only": _more_or_less(
        "PersonaDual", "the same model before RL", ", over the same averages"
    ),
    "unaligned": _persona("An unaligned persona"),
    "aligned": _persona("An aligned persona"),
    "personalised mode": {
        HIGHER: "PersonaDual takes its personalised mode {size} points more often for an aligned "
        "persona than for an unaligned one",
        LOWER: "PersonaDual takes its personalised mode {size} points less often for an aligned "
        "persona than for an unaligned one",
        UNCLEAR: "PersonaDual is not shown to take its personalised mode more often for an aligned "
        "persona: {mean} points",
    },
    "persona-blind rule": _choice("a rule that never reads the persona"),
    "one-word match": _choice("a rule that looks for one word in persona and question"),
    "told whether it fits": _choice("being told whether the persona fits"),
    "best mode of the benchmark": _choice("always the better mode of each benchmark"),
    "best mode of benchmark and persona": _choice("being told whether the persona fits"),
    "conflicting": _persona("A persona that misleads"),
    "long": _persona("A long persona that has nothing to do with the question"),
}


def sentence(finding: Finding) -> str:
    """A finding in words, with its interval in points."""
    words = TOPICS[finding.topic][finding.verdict]
    text = words.format(size=points(abs(finding.mean)), mean=points(finding.mean))
    low, high = finding.ci_low, finding.ci_high
    if finding.verdict == LOWER:  # "3 points less often" has a size, and its interval has, too
        low, high = -high, -low
    return f"{text} ({points(low)} to {points(high)})."


def coverage(cells: Cells, run: str) -> str:
    """What the intervals of `run` cover, in a sentence.

    Either items alone, or training seeds, too, and what a seed is.
    """
    seeds = {
        model: screen.training_seeds(cells, run, model) for model in ("backbone", "personadual")
    }
    n = seeds["personadual"] or seeds["backbone"] or 1
    start = "In brackets are 95 % intervals. They"
    if n == 1:
        return (
            f"{start} cover the test items only: there is one training seed, and another training "
            "can give other numbers."
        )
    alike = "trainings on one backbone"
    if seeds["backbone"] == n:
        alike = "each a backbone, a data set and a training run of its own"
    return f"{start} cover test items and {n} training seeds, {alike}."


def open_questions(
    entries: Sequence[Mapping], undrawn: Mapping[str, str] | None = None
) -> list[str]:
    """Where the ledger says that this run is not the paper, a sentence each.

    Told are signs that differ or are undecided, and numbers off the margin or without records.
    undrawn: figures that cannot be drawn, with the reason.
    """
    directions = status.directions(entries)
    sentences = [
        f"Of {sum(directions.values())} changes and orderings that the paper states, "
        f"{directions['same']} have the same sign here, {directions['undecided']} are undecided "
        f"and {directions['opposite']} have the opposite sign."
    ]
    if opposites := screen.opposites(entries):
        named = "; ".join(
            f"{entry['row']}, {entry['column']} "
            f"(paper {number(entry['paper'])}, here {number(entry['ours'])})"
            for entry in opposites[:SHOWN_OPPOSITE]
        )
        sentences.append(f"{'Furthest apart' if len(opposites) > 1 else 'It is'}: {named}.")
    comparisons, statuses = status.comparisons(entries), status.statuses(entries)
    sentences.append(
        f"Of the {sum(comparisons.values())} numbers with a value in the paper and here, the "
        f"margin of {points(status.MARGIN)} points holds {comparisons[status.WITHIN]}; "
        f"{comparisons[status.DIFFERENT]} differ from the paper's and "
        f"{comparisons[status.UNDECIDED]} are undecided. Scaled down, so not the paper's "
        f"experiment, are {statuses['scaled-down']} numbers."
    )
    if missing := statuses["not attempted"]:
        reason, count = screen.commonest_reason(entries)
        sentences.append(
            f"{missing} numbers of the paper were not attempted. The commonest reason "
            f"({count} times): {reason}."
        )
    if undrawn:
        sentences.append(
            f"{len(undrawn)} figures could not be drawn; the reasons stand among the figures."
        )
    return sentences

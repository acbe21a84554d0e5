"""What a number of the ledger may claim: how near it is to the paper's, what keeps it from being
the paper's experiment, its direction.

Comparison. Two one-sided tests at 5 % each (Schuirmann 1987) on ours minus the paper's, which is
taken as exact but for its rounding: "within margin" where our 90 % interval lies inside the paper's
value ± the margin; else "different" where our 95 % interval leaves the paper's value ± its rounding
out; else "undecided". So a wide interval earns nothing: it is undecided, not a success. A small
difference that is sure may lie within the margin: then it is too small to matter, whatever its
sign.

Status. Without a departure from the paper's experiment the comparison decides: "reproduced",
"differs" or "undecided". With a departure the number is "scaled-down", whatever the comparison
says, and the note lists the departures. Without records it is "not attempted". The paper prints no
intervals, so "differs" is a difference larger than our noise; the paper's own noise is not in it.

Departures, each told for each number that it touches: another backbone, fewer items (Table 7) or
sampling runs (three), a training that is not Table 6's; rules that grade where the paper has
GPT-4o-mini; aligned personas and training trajectories that another expert wrote, after prompts of
ours; a baseline that the paper describes in a line, where the rest is our choice.

Direction. For a change, the side of zero: "same" as the paper's by our 95 % interval, "opposite",
or "undecided". The size is not asked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pdlib.analysis.cells import OBJECTIVE, Cell, Found
from pdlib.paper.catalogue import SYSTEMS

# ours: two points. The paper reads 1.6 and 2.2 points as gains, so a number that is further off may
# tell another story;
MARGIN = 0.02
# the average over five benchmarks of 1,000 items is known to about ±1.1 (90 %) and can pass, one
# such benchmark (±2.6) hardly can
WITHIN, DIFFERENT, UNDECIDED = "within margin", "different", "undecided"
STATUS = {WITHIN: "reproduced", DIFFERENT: "differs", UNDECIDED: "undecided"}
STATUSES = (*STATUS.values(), "scaled-down", "not attempted")
DIRECTIONS = ("same", "undecided", "opposite")
TIE = 1e-9  # what rounding may add to a difference of nothing

JUDGED = {
    "pubmedqa": "PubMedQA",
    "math500": "MATH500",
}  # benchmarks of which GPT-4o-mini is the paper's judge
GUESSED = {  # system -> what the paper leaves open and we chose
    "cot": "its training data and updates",
    "g_sft_rl": "its RL questions and updates",
    "p_sft_rl": "its RL questions and updates",
    "personal_prompt": "its prompt",
    "alignxpert_ica": "its preference pairs",
    "alignxpert_pba": "its preference pairs and its reader",
    "personadual_prompt": "its prompt, and that an answer without a tag counts",
    "personadual_router": "the router and whom it routes",
}


def margin(value: float | int | None, rounding: float) -> float | None:
    """How far from the paper's number ours may be and still be the same; None for counts and for
    what the paper does not print.

    >>> margin(0.54, 0.0005)
    0.0205
    """
    return None if value is None or isinstance(value, int) else round(MARGIN + rounding, 6)


def compare(found: Found, value: float, rounding: float, comparisons: int = 1) -> str:
    """WITHIN | DIFFERENT | UNDECIDED, see the head of this file.

    found: ours. value, rounding: the paper's, half a unit of its last place. comparisons: of how
    many numbers ours is the largest; the intervals hold for all of them together.
    """
    low, high = found.interval(comparisons / 2)  # twice the share outside: 90 %
    if value - MARGIN - rounding <= low + TIE and high - TIE <= value + MARGIN + rounding:
        return WITHIN
    low, high = found.interval(comparisons)
    return (
        UNDECIDED if low - TIE <= value + rounding and value - rounding <= high + TIE else DIFFERENT
    )


def experiment(cells: Iterable[Cell]) -> list[str]:
    """In what the numbers of `cells` are not the paper's, whatever the run: judges, writers,
    guessed baselines; a sentence part each.
    """
    cells, notes = list(cells), []
    if judged := [
        title
        for name, title in JUDGED.items()
        if any(name in cell.benchmarks and cell.value == "correct" for cell in cells)
    ]:
        notes.append(f"rules grade {' and '.join(judged)}, the paper has GPT-4o-mini judge")
    if any(cell.condition == "aligned" and set(cell.benchmarks) & set(OBJECTIVE) for cell in cells):
        notes.append("aligned personas are written by another expert, after a prompt of ours")
    if any(SYSTEMS[cell.model].trained or SYSTEMS[cell.model].routed for cell in cells):
        notes.append("training trajectories are written by another expert, after prompts of ours")
    return notes + guessed(cells)


def guessed(cells: Iterable[Cell]) -> list[str]:
    """The baselines among `cells` of which the paper leaves something open, and what we chose."""
    models = dict.fromkeys(cell.model for cell in cells if cell.model in GUESSED)
    return [
        f"of {SYSTEMS[model].label} the paper does not describe {GUESSED[model]}: ours"
        for model in models
    ]


def directions(entries: Sequence[Mapping]) -> dict[str, int]:
    """{"same": n, "undecided": n, "opposite": n}: the changes and orderings that the paper states,
    by what ours say of their sign.
    """
    counts = Counter(entry["direction"] for entry in entries)
    return {name: counts[name] for name in DIRECTIONS}


def statuses(entries: Sequence[Mapping]) -> dict[str, int]:
    """Status -> number of entries, in the order of STATUSES."""
    counts = Counter(entry["status"] for entry in entries)
    return {name: counts[name] for name in STATUSES}


def comparisons(entries: Sequence[Mapping]) -> dict[str, int]:
    """Comparison -> number of entries that have records."""
    counts = Counter(entry["comparison"] for entry in entries)
    return {name: counts[name] for name in STATUS}

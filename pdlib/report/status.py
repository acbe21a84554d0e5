"""What a number of the ledger may claim: its comparison, its status and its direction.

Comparison. Two one-sided tests at 5 % each (Schuirmann 1987) on ours minus the paper's, which is
taken as exact but for its rounding: "within margin" where our 90 % interval lies inside the paper's
value ± the margin; else "different" where our 95 % interval leaves the paper's value ± its rounding
out; else "undecided". So a wide interval earns nothing: it is undecided, not a success. A small
difference that is sure may lie within the margin: then it is too small to matter, whatever its
sign.

Status. Without a departure from the paper's experiment (see `notes`) the comparison decides:
"reproduced", "differs" or "undecided". With a departure the number is "scaled-down", whatever the
comparison says, and the note lists the departures. Without records it is "not attempted". The paper
prints no intervals, so "differs" is a difference larger than our noise; the paper's own noise is
not in it.

Direction. For a change, the side of zero: "same" as the paper's by our 95 % interval, "opposite",
or "undecided". The size is not asked. A share said to be 1 (PersonaDual is best everywhere) has a
direction, too, see `direction_of_all`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from pdlib import paper
from pdlib.analysis import stats
from pdlib.analysis.cells import Statistic

# ours: two points. The paper reads 1.6 and 2.2 points as gains, so a number that is further off may
# tell another story; the average over five benchmarks of 1,000 items is known to about ±1.1 (90 %)
# and can pass, one such benchmark (±2.6) hardly can
MARGIN = 0.02
WITHIN, DIFFERENT, UNDECIDED = "within margin", "different", "undecided"
STATUS = {WITHIN: "reproduced", DIFFERENT: "differs", UNDECIDED: "undecided"}
STATUSES = (*STATUS.values(), "scaled-down", "not attempted")
SIDES = {1: "same", 0: "undecided", -1: "opposite"}  # of `stats.side`, for a paper's gain
DIRECTIONS = tuple(SIDES.values())
TIE = 1e-9  # what rounding may add to a difference of nothing


def margin(value: float | int | None, rounding: float) -> float | None:
    """How far from the paper's number ours may be and still be the same.

    None for counts and for what the paper does not print.

    >>> margin(0.54, 0.0005)
    0.0205
    """
    return None if value is None or isinstance(value, int) else round(MARGIN + rounding, 6)


def compare(ours: Statistic, value: float, rounding: float, comparisons: int = 1) -> str:
    """WITHIN, DIFFERENT or UNDECIDED by the two one-sided tests.

    value, rounding: the paper's, half a unit of its last place. comparisons: of how many numbers
    ours is the largest; the intervals hold for all of them together.
    """
    low, high = ours.interval(comparisons / 2)  # twice the share outside: 90 %
    if value - MARGIN - rounding <= low + TIE and high - TIE <= value + MARGIN + rounding:
        return WITHIN
    low, high = ours.interval(comparisons)
    holds_printed = low - TIE <= value + rounding and value - rounding <= high + TIE
    return UNDECIDED if holds_printed else DIFFERENT


def direction(number: paper.Number, low: float, high: float) -> str | None:
    """Our interval of a change against the sign of the paper's.

    None for levels and for a paper's zero.
    """
    if number.rule == "level" or number.value == 0:
        return None
    side = stats.side(low, high)
    return SIDES[side if number.value > 0 else -side]


def direction_of_all(means: np.ndarray, draws: np.ndarray) -> str:
    """The direction of a claim that all K margins are above zero; means: (K,), draws: (K, draws).

    "same" when each one's interval is above zero (no correction: all must be), "opposite" when one
    lies below zero by an interval that holds for all K together (the bootstrap of the largest
    deviation), else "undecided".
    """
    if (np.quantile(draws, (1 - stats.LEVEL) / 2, axis=1) > TIE).all():
        return "same"
    spread = draws.std(axis=1)  # (K,)
    safe = np.where(spread > TIE, spread, 1)
    largest = (np.abs(draws - means[:, None]) / safe[:, None]).max(axis=0)  # (draws,)
    widest = np.quantile(largest, stats.LEVEL)
    return "opposite" if (means + widest * spread < -TIE).any() else "undecided"


def directions(entries: Sequence[Mapping]) -> dict[str, int]:
    """Direction -> number of the changes and orderings that the paper states."""
    return _count(entries, "direction", DIRECTIONS)


def statuses(entries: Sequence[Mapping]) -> dict[str, int]:
    """Status -> number of entries, in the order of STATUSES."""
    return _count(entries, "status", STATUSES)


def comparisons(entries: Sequence[Mapping]) -> dict[str, int]:
    """Comparison -> number of entries that have records."""
    return _count(entries, "comparison", STATUS)


def _count(entries: Sequence[Mapping], field: str, values: Iterable[str]) -> dict[str, int]:
    counts = Counter(entry[field] for entry in entries)
    return {value: counts[value] for value in values}


def overview(entries: Sequence[Mapping]) -> pd.DataFrame:
    """Counts by artefact, last of "all": numbers, and each status, comparison and direction."""
    ledger = pd.DataFrame(entries)
    fields = {"status": STATUSES, "comparison": STATUS, "direction": DIRECTIONS}
    columns = {"numbers": ledger.artefact.notna()}
    for field, values in fields.items():
        columns |= {f"{field}: {value}": ledger[field] == value for value in values}
    counts = pd.DataFrame(columns).groupby(ledger.artefact, sort=False).sum()
    counts.loc["all"] = counts.sum()
    return counts

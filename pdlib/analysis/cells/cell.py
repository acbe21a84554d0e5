"""What a cell asks for, and the statistic that answers it."""

from dataclasses import dataclass

import numpy as np

from pdlib import paper
from pdlib.analysis import stats
from pdlib.questions.kinds import KIND

BENCHMARKS = {  # kind of question -> the paper's benchmarks
    kind: tuple(name for name in paper.TEST_ITEMS if KIND[name] == kind)
    for kind in ("objective", "personalized")
}
OBJECTIVE, PERSONALIZED = BENCHMARKS.values()
# the paper's; counterfactual conditions are no cell of its tables
CONDITIONS = ("none", "unaligned", "aligned")


class MissingRecordsError(ValueError):
    """No records answer the question; the message is the reason."""


class NoModesError(MissingRecordsError):
    """The answers name no mode: those of a system without modes, or of one that wrote no tag."""


class UnpairedError(MissingRecordsError):
    """Two sides of a difference were not asked the same items."""


@dataclass(frozen=True)
class Cell:
    """Mean over `benchmarks` of `value` of one model under one condition; each weighs alike.

    forced: none | general | personalized | either (right in at least one of the two forced modes).
    value: correct | personalized (answered in the personalised mode) | named (in either mode).
    """

    run: str
    model: str
    benchmarks: tuple[str, ...]
    condition: str
    forced: str = "none"
    value: str = "correct"


@dataclass(frozen=True)
class Statistic:
    """A mean, or a sum or ratio of means, with its bootstrap draws."""

    mean: float
    draws: np.ndarray  # (draws,)
    items: dict[str, int]  # benchmark -> items
    seeds: int  # training seeds
    runs: int  # sampling runs

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """Percentile interval, as in `stats.interval`."""
        return stats.interval(self.draws, comparisons)

    def row(self) -> dict:
        """{mean, ci_low, ci_high, n}, as `stats.mean_interval` gives it."""
        low, high = self.interval()
        return {"mean": self.mean, "ci_low": low, "ci_high": high, "n": sum(self.items.values())}

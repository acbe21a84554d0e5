"""Verdicts: a predicted interval, the interval of the outcome, and where the second lies.

A prediction is confirmed where the 95 % interval of the outcome lies within the predicted one,
refuted where it lies outside of it, else undecided. Intervals are Student's t over seeds (SFT set,
SFT and RL run), on one backbone: with one seed there is none, and everything is undecided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from pdlib.analysis import stats

CONFIRMED, REFUTED, UNDECIDED, SHOWN = "confirmed", "refuted", "undecided", "shown"


@dataclass(frozen=True)
class Outcome:
    """A measured number per seed, and the interval that was predicted of it, if one was."""

    experiment: str
    arm: str
    level: float
    measure: str
    values: Sequence[float]
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_predicted(self) -> bool:
        """Whether anything was predicted of it."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    def row(self) -> dict:
        """Its row of the table, see `table`."""
        mean, low, high = interval(self.values)
        return {
            "experiment": self.experiment,
            "arm": self.arm,
            "level": self.level,
            "measure": self.measure,
            "predicted": self._in_words(),
            "predicted_low": self.low,
            "predicted_high": self.high,
            "measured": mean,
            "ci_low": low,
            "ci_high": high,
            "seeds": len(self.values),
            "verdict": verdict(self.low, self.high, low, high) if self.is_predicted else SHOWN,
        }

    def _in_words(self) -> str:
        if not self.is_predicted:
            return ""
        if math.isinf(self.low):
            return f"below {self.high:.3g}"
        if math.isinf(self.high):
            return f"above {self.low:.3g}"
        return f"{self.low:.3g} to {self.high:.3g}"


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): the 95 % interval of the mean by Student's t; NaN ends for one value.

    >>> [round(x, 3) for x in interval([0.0, 0.1, 0.2])]
    [0.1, -0.148, 0.348]
    """
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, math.nan, math.nan
    half = student.ppf(0.5 + stats.LEVEL / 2, len(array) - 1) * array.std(ddof=1)
    half = float(half / math.sqrt(len(array)))
    return mean, mean - half, mean + half


def verdict(low: float, high: float, ci_low: float, ci_high: float) -> str:
    """Does an interval lie within the predicted one, outside of it, or neither?

    >>> verdict(0.5, math.inf, 0.6, 0.7), verdict(0.5, math.inf, 0.4, 0.7)
    ('confirmed', 'undecided')
    """
    if math.isnan(ci_low):
        return UNDECIDED
    if low <= ci_low and ci_high <= high:
        return CONFIRMED
    return REFUTED if ci_high < low or ci_low > high else UNDECIDED

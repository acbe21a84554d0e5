"""Accuracy where a threshold on P(personalised) chooses the mode."""

import pandas as pd
from matplotlib.figure import Figure

from pdlib import plots
from pdlib.analysis.selection import LEARNED


def levels(curve: pd.DataFrame) -> list[float]:
    """The thresholds that were swept, rising."""
    return sorted(curve.threshold.dropna().unique())


def threshold_table(curve: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Block by block, accuracy and share of personalised answers at a threshold.

    Both are from `selection.tradeoff`, the accuracy with its 95 % interval; beside them are those
    of the learned choice. ValueError for a threshold that was not swept.
    """
    swept = curve[curve.threshold == threshold].set_index("block")
    if swept.empty:
        raise ValueError(
            f"threshold {threshold:g} was not swept, expected one of "
            f"{', '.join(f'{level:g}' for level in levels(curve))}"
        )
    learned = curve[curve.mark == LEARNED].set_index("block")
    return pd.DataFrame(
        {
            "accuracy": swept["mean"],
            "ci_low": swept.ci_low,
            "ci_high": swept.ci_high,
            "personalised": swept.share,
            "learned": learned["mean"],
            "learned personalised": learned.share,
        }
    )


def at_threshold(curve: pd.DataFrame, threshold: float) -> tuple[Figure, pd.DataFrame]:
    """A figure of the sweep with the threshold marked, and its `threshold_table`."""
    table = threshold_table(curve, threshold)
    return plots.at_threshold(curve, threshold), table.round(3)

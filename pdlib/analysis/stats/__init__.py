"""Queries on the records: accuracies and differences, with intervals that respect what is paired.

Sampling runs are averaged first. Intervals cover two things. Items: they are resampled within their
benchmark (bootstrap), since there are hundreds of them. Training seeds, where there are several: by
Student's t distribution with one degree of freedom fewer than seeds. A bootstrap over three or five
seeds would be far too narrow (it sees only (n - 1) / n of their variance, and knows nothing of how
uncertain a variance from so few is), and t is exact for the mean of a few roughly normal ones. A
seed is a backbone (where it is trained here), a data set and a training run. With one seed an
interval covers items only: it holds for that one training.
"""

from pdlib.analysis.stats.accuracy import (
    AT_CHANCE,
    AVERAGES,
    BLOCKS,
    MEAN,
    accuracy_table,
    block_average,
    by_benchmark,
    chance_table,
    macro_f1,
)
from pdlib.analysis.stats.comparisons import across_seeds, comparisons, holm, mcnemar
from pdlib.analysis.stats.intervals import (
    ITEM,
    LEVEL,
    VERDICTS,
    count,
    difference,
    interval,
    item_weights,
    mean_interval,
    prefixed,
    resample,
    seed_weights,
    side,
    summary,
    verdict,
)

__all__ = [
    "AT_CHANCE",
    "AVERAGES",
    "BLOCKS",
    "ITEM",
    "LEVEL",
    "MEAN",
    "VERDICTS",
    "accuracy_table",
    "across_seeds",
    "block_average",
    "by_benchmark",
    "chance_table",
    "comparisons",
    "count",
    "difference",
    "holm",
    "interval",
    "item_weights",
    "macro_f1",
    "mcnemar",
    "mean_interval",
    "prefixed",
    "resample",
    "seed_weights",
    "side",
    "summary",
    "verdict",
]

"""Queries on the records: accuracies, mode shares, differences, with intervals that respect what is paired."""

import numpy as np
import pandas as pd

LEVEL = 0.95


def block_average(records: pd.DataFrame) -> pd.Series:
    """Accuracy averaged over benchmarks, by kind and condition: the "Avg." columns of Table 1."""
    per_benchmark = records.groupby(["kind", "condition", "benchmark"])["correct"].mean()
    return per_benchmark.groupby(["kind", "condition"]).mean()


def accuracy_table(records: pd.DataFrame) -> pd.DataFrame:
    """Rows model x forced, columns kind x condition: mean over benchmarks of the accuracy (means over runs)."""
    rows = records.groupby(["model", "forced"]).apply(block_average, include_groups=False)
    return rows


def share_table(records: pd.DataFrame) -> pd.Series:
    """Share of free answers in the personalised mode by model, kind and condition (Fig. 3b)."""
    free = records[(records.forced == "none") & (records.p_personalized.notna())]
    return (free["mode"] == "personalized").groupby([free.model, free.kind, free.condition]).mean()


def _item_means(records: pd.DataFrame, value: str) -> pd.DataFrame:
    """One row an item: mean of `value` over sampling runs."""
    return records.groupby(["benchmark", "item_id"])[value].mean().reset_index()


def mean_interval(records: pd.DataFrame, value: str = "correct", draws: int = 1000, seed: int = 0) -> dict:
    """Benchmark-averaged mean of `value` with a bootstrap interval over items: {mean, ci_low, ci_high, n}."""
    return _bootstrap(_item_means(records, value).rename(columns={value: "value"}), draws, seed)


def difference(left: pd.DataFrame, right: pd.DataFrame, value: str = "correct", draws: int = 1000, seed: int = 0) -> dict:
    """left minus right, paired by item, with a bootstrap interval over items: {mean, ci_low, ci_high, n}.

    Raises ValueError when the two sides do not hold the same items.
    """
    one, two = _item_means(left, value), _item_means(right, value)
    both = one.merge(two, on=["benchmark", "item_id"], suffixes=("_left", "_right"))
    if len(both) != len(one) or len(both) != len(two):
        raise ValueError(f"the two sides hold {len(one)} and {len(two)} items, {len(both)} in common; compare like with like")
    both["value"] = both[f"{value}_left"].astype(float) - both[f"{value}_right"].astype(float)
    return _bootstrap(both, draws, seed)


def _bootstrap(items: pd.DataFrame, draws: int, seed: int) -> dict:
    """Percentile interval of the mean of benchmark means; items are resampled within their benchmark."""
    rng, groups = np.random.default_rng(seed), [g["value"].to_numpy(float) for _, g in items.groupby("benchmark")]
    if not groups:
        raise ValueError("no records to average: the filter left nothing; check model, condition and kind")
    means = np.mean([[rng.choice(g, (draws, len(g))).mean(1)] for g in groups], axis=0).ravel()  # (draws,)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"mean": float(np.mean([g.mean() for g in groups])), "ci_low": float(low), "ci_high": float(high),
            "n": int(sum(map(len, groups)))}

"""Queries on the records: accuracies, mode shares, differences, with intervals that respect what is paired."""

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

LEVEL = 0.95


def block_average(records: pd.DataFrame) -> pd.Series:
    """Accuracy averaged over benchmarks, by kind and condition: the "Avg." columns of Table 1."""
    per_benchmark = records.groupby(["kind", "condition", "benchmark"])["correct"].mean()
    return per_benchmark.groupby(["kind", "condition"]).mean()


def accuracy_table(records: pd.DataFrame) -> pd.DataFrame:
    """Rows model x forced, columns kind x condition: mean over benchmarks of the accuracy (means over runs)."""
    rows = records.groupby(["model", "forced"]).apply(block_average, include_groups=False)
    return rows


def macro_f1(records: pd.DataFrame) -> pd.Series:
    """Macro-F1 over the gold labels of label benchmarks (PubMedQA), by model, forced, benchmark and condition.

    There the majority label is over half of the gold, so accuracy alone flatters. A malformed answer is no label: it is missed.
    """
    said = records.answer.where(records.parse_error.isna(), "").fillna("").str.strip().str.lower()
    table = records.assign(said=said, gold=records.gold.str.strip().str.lower())
    return table.groupby(["model", "forced", "benchmark", "condition"]).apply(
        lambda rows: f1_score(rows.gold, rows.said, labels=sorted(rows.gold.unique()), average="macro", zero_division=0))


def share_table(records: pd.DataFrame) -> pd.Series:
    """Share of free answers in the personalised mode by model, kind and condition (Fig. 3b)."""
    free = records[(records.forced == "none") & (records.p_personalized.notna())]
    return (free["mode"] == "personalized").groupby([free.model, free.kind, free.condition]).mean()


def _item_means(records: pd.DataFrame, value: str) -> pd.Series:
    """Mean of `value` over sampling runs, for each benchmark, item and training seed."""
    return records.groupby(["benchmark", "item_id", "train_seed"])[value].mean().astype(float)


def mean_interval(records: pd.DataFrame, value: str = "correct", **bootstrap) -> dict:
    """Benchmark-averaged mean of `value` with a bootstrap interval over items and training seeds, see `difference`."""
    return _bootstrap(_item_means(records, value), **bootstrap)


def difference(left: pd.DataFrame, right: pd.DataFrame, value: str = "correct", **bootstrap) -> dict:
    """left minus right, paired by item and training seed, with a percentile bootstrap interval: {mean, ci_low, ci_high, n}.

    Items are resampled within their benchmark, training seeds where there are several; n counts items. bootstrap: draws
    (1000), seed (0) and comparisons; with that many, {wide_low, wide_high} hold for all of them together (Bonferroni).
    Raises ValueError when the two sides do not hold the same items and seeds.
    """
    one, two = _item_means(left, value), _item_means(right, value)
    both = one.index.intersection(two.index)
    if len(both) != len(one) or len(both) != len(two):
        raise ValueError(f"the two sides hold {len(one)} and {len(two)} items (of a seed), {len(both)} in common; "
                         "compare like with like")
    return _bootstrap(one - two, **bootstrap)


def _bootstrap(items: pd.Series, draws: int = 1000, seed: int = 0, comparisons: int | None = None) -> dict:
    """Percentile interval of the mean of benchmark means."""
    rng = np.random.default_rng(seed)
    tables = [group.unstack("train_seed").to_numpy() for _, group in items.groupby("benchmark")]  # (items, seeds) each
    if not tables:
        raise ValueError("no records to average: the filter left nothing; check model, condition and kind")
    seeds = tables[0].shape[1]
    if any(np.isnan(table).any() for table in tables):
        raise ValueError("the training seeds hold different items; evaluate all of them on the same ones")
    times_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds  # (draws, seeds)
    means = []
    for table in tables:
        times_item = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), draws) / len(table)  # (draws, items)
        means.append(((times_item @ table) * times_seed).sum(1))
    found = {"mean": np.mean([table.mean() for table in tables])}
    for name, count in {"ci": 1, "wide": comparisons}.items():
        if count is None:
            continue
        tail = (1 - LEVEL) / count / 2
        found[f"{name}_low"], found[f"{name}_high"] = np.quantile(np.mean(means, axis=0), [tail, 1 - tail])
    # rounded, or the interval of a constant would miss it by the last bit
    return {name: round(float(value), 12) for name, value in found.items()} | {"n": sum(map(len, tables))}

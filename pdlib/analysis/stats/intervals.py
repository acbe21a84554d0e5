"""Means, paired differences and their bootstrap intervals."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

LEVEL = 0.95
VERDICTS = {1: "higher", 0: "no difference shown", -1: "lower"}  # of `side`
ITEM = ["benchmark", "item_id", "train_seed"]  # what differences are paired by
DECIMALS = 12  # else the interval of a constant would miss it by the last bit


def mean_interval(records: pd.DataFrame, value: str = "correct", **bootstrap) -> dict:
    """Mean of `value` over benchmarks with a bootstrap interval, see `difference`."""
    return _bootstrap(_item_means(records, value), **bootstrap)


def difference(
    left: pd.DataFrame, right: pd.DataFrame, value: str = "correct", **bootstrap
) -> dict:
    """Left minus right, paired by item and training seed: {mean, ci_low, ci_high, n}.

    The interval is that of a percentile bootstrap. Items are resampled within their benchmark,
    training seeds where there are several; n counts items. bootstrap: draws (1000), seed (0) and
    comparisons; with that many, {wide_low, wide_high} hold for all of them together (Bonferroni).
    Raises ValueError when the two sides do not hold the same items and seeds.
    """
    return _bootstrap(item_differences(left, right, value), **bootstrap)


def item_differences(left: pd.DataFrame, right: pd.DataFrame, value: str = "correct") -> pd.Series:
    """Left minus right by benchmark, item and training seed; ValueError as in `difference`."""
    left_means, right_means = _item_means(left, value), _item_means(right, value)
    shared = left_means.index.intersection(right_means.index)
    if not len(shared) == len(left_means) == len(right_means):
        raise ValueError(
            f"the two sides hold {len(left_means)} and {len(right_means)} items (of a seed), "
            f"{len(shared)} in common; compare like with like"
        )
    return left_means - right_means


def _item_means(records: pd.DataFrame, value: str) -> pd.Series:
    """Mean of `value` over sampling runs, for each benchmark, item and training seed."""
    return records.groupby(ITEM)[value].mean().astype(float)


def _bootstrap(
    items: pd.Series, draws: int = 1000, seed: int = 0, comparisons: int | None = None
) -> dict:
    means = resample(items.to_frame(), draws, seed).mean(axis=1)
    return summary(means, comparisons) | {"n": count(items)}


def count(items: pd.DataFrame | pd.Series) -> int:
    """How many items an index of (benchmark, item_id, train_seed) names."""
    return len(items.index.droplevel("train_seed").unique())


def resample(items: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Mean of benchmark means of each column: row 0 as observed, rows 1 to `draws` resampled.

    Items are drawn anew, and training seeds weighed by `seed_weights`. items: index benchmark,
    item_id, train_seed. All columns share the draws, so sums of them are paired; a column may lack
    a benchmark as a whole (it is no mean over it). ValueError where seeds hold different items, or
    nothing is there.
    """
    if items.empty:
        raise ValueError(
            "no records to average: the filter left nothing; check model, condition and kind"
        )
    names = items.columns
    items = items.set_axis(range(len(names)), axis=1)  # `unstack` would take tuples apart
    rng = np.random.default_rng(seed)
    n_seeds = items.index.unique("train_seed").size
    weights = seed_weights(rng, n_seeds, draws)  # (draws + 1, seeds)
    total = np.zeros((draws + 1, len(names)))
    n_benchmarks = np.zeros(len(names))
    for benchmark, group in items.groupby(level="benchmark"):
        is_held = group.notna().any().to_numpy()
        # (items, held columns x seeds)
        table = group.loc[:, is_held].droplevel("benchmark").unstack("train_seed")
        if table.shape[1] != is_held.sum() * n_seeds or table.isna().any(axis=None):
            raise ValueError(
                f"the training seeds (or columns) hold different items of {benchmark}; "
                "evaluate all of them on the same ones"
            )
        means = item_weights(rng, len(table), draws) @ table.to_numpy(float)
        means = means.reshape(draws + 1, -1, n_seeds)
        total[:, is_held] += np.einsum("dks,ds->dk", means, weights)
        n_benchmarks += is_held
    if not n_benchmarks.all():
        raise ValueError(
            f"no records to average in {list(names[n_benchmarks == 0])}; "
            "check model, condition and kind"
        )
    return pd.DataFrame(total / n_benchmarks, columns=names)


def item_weights(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """(draws + 1, n) shares of n items: row 0 takes each once, the others n with replacement."""
    as_observed = np.ones((1, n))
    return np.concatenate([as_observed, rng.multinomial(n, np.full(n, 1 / n), draws)]) / n


def seed_weights(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """(draws + 1, n) weights of n training seeds: row 0 weighs them alike, the others at random.

    Each row adds up to 1. For any values x (n,) of the seeds, weights @ x is mean(x) + t s /
    sqrt(n), where s is the standard deviation of x (n - 1 in its denominator) and t is drawn from
    Student's t distribution with n - 1 degrees of freedom. So the quantiles of many draws are the
    classic t interval of the mean, and sums and differences of several columns stay paired. With
    one seed all weights are 1.
    """
    weights = np.full((draws + 1, n), 1 / n)
    if n > 1:
        noise = rng.standard_normal((draws, n))
        noise -= noise.mean(1, keepdims=True)  # noise @ x is normal with variance (n - 1) s^2
        weights[1:] += noise / np.sqrt(n * rng.chisquare(n - 1, (draws, 1)))
    return weights


def summary(drawn: pd.Series, comparisons: int | None = None) -> dict:
    """{mean, ci_low, ci_high} of a column of `resample`.

    With `comparisons` also {wide_low, wide_high}, which hold for all of them together. Draws where
    it is undefined (a share of nothing) are left out; all missing gives missing.
    """
    draws = drawn.iloc[1:].to_numpy(float)
    draws = draws[~np.isnan(draws)]
    estimate = {"mean": round(float(drawn.iloc[0]), DECIMALS)}
    for name, many in (("ci", 1), ("wide", comparisons)):
        if many is not None:
            ends = interval(draws, many) if len(draws) else (np.nan, np.nan)
            estimate[f"{name}_low"], estimate[f"{name}_high"] = ends
    return estimate


def prefixed(name: str, estimate: Mapping) -> dict:
    """A `summary` under a name of its own, to stand beside others in one row.

    >>> prefixed("gain", {"mean": 0.1, "ci_low": 0.0, "ci_high": 0.2})
    {'gain': 0.1, 'gain_ci_low': 0.0, 'gain_ci_high': 0.2}
    """
    return {name if key == "mean" else f"{name}_{key}": value for key, value in estimate.items()}


def interval(drawn: np.ndarray, comparisons: int = 1) -> tuple[float, float]:
    """Percentile interval of draws at LEVEL.

    With `comparisons` it holds for all of them together (Bonferroni).
    """
    tail = (1 - LEVEL) / comparisons / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return round(float(low), DECIMALS), round(float(high), DECIMALS)


def side(low: float, high: float, than: float = 0.0) -> int:
    """Where an interval lies: 1 above `than`, -1 below it, 0 where it holds it or is missing.

    >>> side(0.01, 0.03), side(-0.01, 0.03), side(-0.03, -0.01)
    (1, 0, -1)
    """
    return int(low > than) - int(high < than)


def verdict(estimate: Mapping) -> str:
    """Which of VERDICTS holds by the wide interval; "perhaps ..." where only by the 95 % one."""
    sides = [side(estimate[f"{name}_low"], estimate[f"{name}_high"]) for name in ("ci", "wide")]
    if not any(sides):
        return VERDICTS[0]
    return ("" if all(sides) else "perhaps ") + VERDICTS[1 if estimate["mean"] > 0 else -1]

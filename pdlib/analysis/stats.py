"""Queries on the records: accuracies, mode shares, differences, with intervals that respect what is
paired.

Sampling runs are averaged first. Intervals cover two things. Items: they are resampled within their
benchmark (bootstrap), since there are hundreds of them. Training seeds, where there are several: by
Student's t distribution with one degree of freedom fewer than seeds. A bootstrap over three or five
seeds would be far too narrow (it sees only (n - 1) / n of their variance, and knows nothing of how
uncertain a variance from so few is), and t is exact for the mean of a few roughly normal ones. A
seed is a backbone (where it is trained here), a data set and a training run. With one seed an
interval covers items only: it holds for that one training.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from pdlib import benchmarks
from pdlib.schema import Item

LEVEL = 0.95
BLOCKS = {  # the three averages of Tables 1, 2, 8 and 9 -> kind and condition of the records
    "objective unaligned": ("objective", "unaligned"),
    "objective aligned": ("objective", "aligned"),
    "personalised": ("personalized", "aligned"),
}
MEAN = "mean of the blocks"
AT_CHANCE = "at chance"
ITEM = ["benchmark", "item_id", "train_seed"]


def block_average(records: pd.DataFrame) -> pd.Series:
    """Accuracy averaged over benchmarks, by kind and condition: the "Avg." columns of Table 1."""
    per_benchmark = records.groupby(["kind", "condition", "benchmark"])["correct"].mean()
    return per_benchmark.groupby(["kind", "condition"]).mean()


def accuracy_table(records: pd.DataFrame) -> pd.DataFrame:
    """Rows model x forced, columns kind x condition: mean over benchmarks of the accuracy (means
    over runs).
    """
    return records.groupby(["model", "forced"]).apply(block_average, include_groups=False)


def chance_table(records: pd.DataFrame, items: Sequence[Item]) -> pd.Series:
    """The accuracy of guessing (`benchmarks.chance`), averaged as in `block_average`: what a column
    of `accuracy_table` starts from.

    items: what the records answer; there may be more of them. ValueError where the records answer
    an item that is not among them.
    """
    chances = {(item.benchmark, item.id): benchmarks.chance(item) for item in items}
    asked = records[["kind", "condition", "benchmark", "item_id"]].astype(str).drop_duplicates()
    keys = list(zip(asked.benchmark, asked.item_id))
    if missing := set(keys) - set(chances):
        raise ValueError(
            f"the records answer {len(missing)} items that are not among the {len(chances)} given, such as {min(missing)}; "
            "pass the items that were asked"
        )
    return block_average(asked.assign(correct=[chances[key] for key in keys]))


def macro_f1(records: pd.DataFrame) -> pd.Series:
    """Macro-F1 over the gold labels of label benchmarks (PubMedQA), by model, forced, benchmark and
    condition.

    There the majority label is over half of the gold, so accuracy alone flatters. A malformed
    answer is no label: it is missed.
    """
    said = records.answer.where(records.parse_error.isna(), "").fillna("").str.strip().str.lower()
    table = records.assign(said=said, gold=records.gold.str.strip().str.lower())
    return table.groupby(["model", "forced", "benchmark", "condition"]).apply(
        lambda rows: f1_score(
            rows.gold,
            rows.said,
            labels=sorted(rows.gold.unique()),
            average="macro",
            zero_division=0,
        )
    )


def _item_means(records: pd.DataFrame, value: str) -> pd.Series:
    """Mean of `value` over sampling runs, for each benchmark, item and training seed."""
    return records.groupby(ITEM)[value].mean().astype(float)


def mean_interval(records: pd.DataFrame, value: str = "correct", **bootstrap) -> dict:
    """Benchmark-averaged mean of `value` with a bootstrap interval over items and training seeds,
    see `difference`.
    """
    return _bootstrap(_item_means(records, value).to_frame(), **bootstrap)


def difference(
    left: pd.DataFrame, right: pd.DataFrame, value: str = "correct", **bootstrap
) -> dict:
    """Left minus right, paired by item and training seed, with a percentile bootstrap interval:
    {mean, ci_low, ci_high, n}.

    Items are resampled within their benchmark, training seeds where there are several; n counts
    items. bootstrap: draws (1000), seed (0) and comparisons; with that many, {wide_low, wide_high}
    hold for all of them together (Bonferroni). Raises ValueError when the two sides do not hold the
    same items and seeds.
    """
    return _bootstrap(_item_differences(left, right, value).to_frame(), **bootstrap)


def _item_differences(left: pd.DataFrame, right: pd.DataFrame, value: str = "correct") -> pd.Series:
    one, two = _item_means(left, value), _item_means(right, value)
    both = one.index.intersection(two.index)
    if len(both) != len(one) or len(both) != len(two):
        raise ValueError(
            f"the two sides hold {len(one)} and {len(two)} items (of a seed), {len(both)} in common; "
            "compare like with like"
        )
    return one - two


def _bootstrap(
    items: pd.DataFrame, draws: int = 1000, seed: int = 0, comparisons: int | None = None
) -> dict:
    return summary(resample(items, draws, seed).mean(axis=1), comparisons) | {"n": count(items)}


def count(items: pd.DataFrame | pd.Series) -> int:
    """How many items an index of (benchmark, item_id, train_seed) names."""
    return len(items.index.droplevel("train_seed").unique())


def resample(items: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Mean of benchmark means of each column: row 0 as observed, rows 1 to `draws` with items drawn
    anew, and seeds by `seed_weights`.

    items: index benchmark, item_id, train_seed. All columns share the draws, so sums of them are
    paired; a column may lack a benchmark as a whole (it is no mean over it). ValueError where seeds
    hold different items, or nothing is there.
    """
    if items.empty:
        raise ValueError(
            "no records to average: the filter left nothing; check model, condition and kind"
        )
    columns, items = (
        items.columns,
        items.set_axis(range(items.shape[1]), axis=1),
    )  # unstacking would take labels of several parts apart
    rng = np.random.default_rng(seed)
    seeds = items.index.unique("train_seed").size
    times_seed = seed_weights(rng, seeds, draws)
    total, benchmarks = np.zeros((draws + 1, items.shape[1])), np.zeros(items.shape[1])
    for name, group in items.groupby(level="benchmark"):
        held = group.notna().any().to_numpy()
        table = (
            group.loc[:, held].droplevel("benchmark").unstack("train_seed")
        )  # (items, columns x seeds)
        if table.shape[1] != held.sum() * seeds or table.isna().any(axis=None):
            raise ValueError(
                f"the training seeds (or columns) hold different items of {name}; evaluate all of them on the same ones"
            )
        drawn = (times(rng, len(table), draws) @ table.to_numpy(float)).reshape(
            draws + 1, -1, seeds
        )
        total[:, held] += np.einsum("dks,ds->dk", drawn, times_seed)
        benchmarks += held
    if not benchmarks.all():
        raise ValueError(
            f"no records to average in {list(columns[benchmarks == 0])}; check model, condition and kind"
        )
    return pd.DataFrame(total / benchmarks, columns=columns)


def times(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """(draws + 1, n) shares: row 0 takes each of n once, the others n of them with replacement."""
    return np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), draws)]) / n


def seed_weights(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """(draws + 1, n) weights of n training seeds, each row adding up to 1: row 0 weighs them alike,
    the others at random.

    For any values x (n,) of the seeds, weights @ x is mean(x) + t s / sqrt(n), where s is the
    standard deviation of x (n - 1 in its denominator) and t is drawn from Student's t distribution
    with n - 1 degrees of freedom. So the quantiles of many draws are the classic t interval of the
    mean, and sums and differences of several columns stay paired. With one seed all weights are 1.
    """
    weights = np.full((draws + 1, n), 1 / n)
    if n > 1:
        noise = rng.standard_normal((draws, n))
        noise -= noise.mean(1, keepdims=True)  # noise @ x is normal with variance (n - 1) s^2
        weights[1:] += noise / np.sqrt(n * rng.chisquare(n - 1, (draws, 1)))
    return weights


def summary(drawn: pd.Series, comparisons: int | None = None) -> dict:
    """{mean, ci_low, ci_high} of a column of `resample`, and {wide_low, wide_high} that hold for
    all `comparisons` together.

    Draws where it is undefined (a share of nothing) are left out; all missing gives missing.
    """
    found, drawn = {"mean": drawn.iloc[0]}, drawn.iloc[1:].to_numpy(float)
    drawn = drawn[~np.isnan(drawn)]
    for name, many in {"ci": 1, "wide": comparisons}.items():
        if many is not None:
            found[f"{name}_low"], found[f"{name}_high"] = (
                interval(drawn, many) if len(drawn) else (np.nan, np.nan)
            )
    return found | {"mean": round(float(found["mean"]), 12)}


def interval(drawn: np.ndarray, comparisons: int = 1) -> tuple[float, float]:
    """Percentile interval of draws at LEVEL; with `comparisons`, one that holds for all of them
    together (Bonferroni).
    """
    tail = (1 - LEVEL) / comparisons / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return round(float(low), 12), round(
        float(high), 12
    )  # rounded, or that of a constant would miss it by the last bit


def verdict(found: Mapping) -> str:
    """Higher | lower where the wide interval leaves zero out, perhaps ... where only the 95 % one
    does, else no difference shown.
    """
    beyond = [not found[f"{name}_low"] <= 0 <= found[f"{name}_high"] for name in ("ci", "wide")]
    if np.isnan(found["mean"]) or not any(beyond):
        return "no difference shown"
    return ("" if all(beyond) else "perhaps ") + ("higher" if found["mean"] > 0 else "lower")


def by_benchmark(
    records: pd.DataFrame, items: Sequence[Item], against: str = "none"
) -> pd.DataFrame:
    """The accuracy of each benchmark under each condition minus that under `against`, free answers;
    one row per run, model, benchmark and condition: accuracy, chance (of guessing), mean, ci_low,
    ci_high (of the difference), n, verdict.

    Where the accuracy of neither side is shown to be above guessing (the lower end of its 95 %
    interval), a difference would be one of two guesses: the verdict is AT_CHANCE, and mean and
    interval are missing. items: as for `chance_table`.
    """
    chances = pd.DataFrame(
        [
            {"benchmark": item.benchmark, "item_id": item.id, "chance": benchmarks.chance(item)}
            for item in items
        ]
    )
    free, rows = records[(records.forced == "none") & (records.turn == 1)], []
    for (run, model, benchmark), part in free.groupby(["run", "model", "benchmark"], sort=False):
        asked = chances[
            (chances.benchmark == benchmark) & chances.item_id.isin(part.item_id)
        ].chance.mean()
        sides = {condition: rows_of for condition, rows_of in part.groupby("condition")}
        levels = {condition: mean_interval(side) for condition, side in sides.items()}
        for condition in [name for name in sides if name != against]:
            found = difference(sides[condition], sides[against], comparisons=1)
            found["verdict"] = verdict(found)
            if all(levels[side]["ci_low"] <= asked for side in (condition, against)):
                found |= dict.fromkeys(("mean", "ci_low", "ci_high"), np.nan) | {
                    "verdict": AT_CHANCE
                }
            rows.append(
                {
                    "run": run,
                    "model": model,
                    "benchmark": benchmark,
                    "condition": condition,
                    "accuracy": levels[condition]["mean"],
                    "accuracy_" + against: levels[against]["mean"],
                    "chance": asked,
                }
                | {key: found[key] for key in ("mean", "ci_low", "ci_high", "n", "verdict")}
            )
    return pd.DataFrame(rows)


def across_seeds(records: pd.DataFrame) -> pd.DataFrame:
    """Models with one training seed stand beside every seed of the others of their run, so that
    they can be paired.

    Their answers are repeated, not new: what another training of them would give stays unknown.
    ValueError for a model with some of the seeds.
    """
    models = [
        (key, rows, sorted(map(int, set(rows.train_seed))))
        for key, rows in records.groupby(["run", "model"], sort=False)
    ]
    every = {
        run: sorted(
            set().union(
                *(seeds for (other, _), _, seeds in models if other == run and len(seeds) > 1)
            )
        )
        for run in records.run.unique()
    }
    frames = []
    for (run, model), rows, seeds in models:
        if len(seeds) not in (1, len(every[run])):
            raise ValueError(
                f"model {model} of run {run} has training seeds {seeds}, others have {every[run]}; train and evaluate it "
                "with one of them or all, or leave it out"
            )
        alone = len(seeds) == 1 and every[run]
        frames += [rows.assign(train_seed=seed) for seed in every[run]] if alone else [rows]
    return pd.concat(frames, ignore_index=True)


def mcnemar(left: pd.DataFrame, right: pd.DataFrame) -> dict:
    """Exact McNemar test, two-sided: {both, left_only, right_only, neither, n, p}; p is 1 where no
    item is discordant.

    The unit is an item: a side is right on it when more than half of its answers are, over sampling
    runs and training seeds. Answers of one item are not independent, items are; so p speaks of
    these trainings, and unlike the intervals it weighs items, not benchmarks, alike. Pass one
    condition: an item under two would be one unit. Errors as in `difference`.
    """
    _item_differences(left, right)  # the same items and seeds, or an error
    one, two = (
        side.groupby(["benchmark", "item_id"]).correct.mean() > 0.5 for side in (left, right)
    )
    only = [int((one & ~two).sum()), int((two & ~one).sum())]
    p = binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0
    return {
        "both": int((one & two).sum()),
        "left_only": only[0],
        "right_only": only[1],
        "neither": int((~one & ~two).sum()),
        "n": len(one),
        "p": float(p),
    }


def holm(p: Sequence[float]) -> np.ndarray:
    """P values adjusted for all of them together (Holm 1979: family-wise error; scipy only controls
    the false discovery rate).

    The smallest of m is multiplied by m, the next by m - 1, and so on, none below the one before:
    [.01, .04, .03] -> [.03, .06, .06]. Missing values stay missing and are not counted.
    """
    p = np.asarray(p, float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # missing values are sorted last
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def comparisons(
    records: pd.DataFrame,
    against: str = "personadual",
    blocks: Mapping[str, tuple[str, str]] = BLOCKS,
    draws: int = 10_000,
) -> pd.DataFrame:
    """Every other model minus `against` in each block and in their mean, free answers of one run;
    one row a model and block.

    Columns: mean, ci_low, ci_high (95 %), wide_low, wide_high (95 % for all rows together, after
    Bonferroni), n items, seeds (the model's own training seeds, see `across_seeds`), p (`mcnemar`;
    none for the mean, where an item may stand twice), p_holm (over all p), verdict (by the
    intervals, see `verdict`). blocks: name -> (kind, condition). ValueError where runs are mixed, a
    model is not there, or was not asked what `against` was.
    """
    free = records[(records.forced == "none") & (records.turn == 1)]
    if free.run.nunique() != 1 or against not in set(free.model):
        raise ValueError(
            f"found free answers of runs {sorted(free.run.unique())} and models {sorted(free.model.unique())}; "
            f"pass those of one run, with {against} among its models"
        )
    own, free = free.groupby("model").train_seed.nunique(), across_seeds(free)
    sides = {
        (model, block): free[
            (free.model == model) & (free.kind == kind) & (free.condition == condition)
        ]
        for model in free.model.unique()
        for block, (kind, condition) in blocks.items()
    }
    pairs = {
        (model, block): (side, sides[against, block])
        for (model, block), side in sides.items()
        if model != against
    }
    if not pairs:
        raise ValueError(f"no model to compare with {against}; evaluate another one")
    items = pd.concat({key: _item_differences(*pair) for key, pair in pairs.items()}, axis=1)
    drawn, rows = resample(items, draws), []
    many = len(pairs) + (len(pairs) // len(blocks) if len(blocks) > 1 else 0)
    for model in dict.fromkeys(model for model, _ in pairs):
        columns = {block: drawn[model, block] for block in blocks} | (
            {MEAN: drawn[model].mean(axis=1)} if len(blocks) > 1 else {}
        )
        for block, column in columns.items():
            found = summary(column, many)
            n = count(
                items[model].dropna(how="all") if block == MEAN else items[model, block].dropna()
            )
            p = np.nan if block == MEAN else mcnemar(*pairs[model, block])["p"]
            rows.append(
                {"model": model, "block": block}
                | found
                | {"n": n, "seeds": int(own[model]), "p": p, "verdict": verdict(found)}
            )
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("verdict"), "p_holm", holm(table.p))
    return table

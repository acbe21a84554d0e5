"""Models against one model: paired differences, exact tests, and what holds for all together."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from pdlib.analysis.stats.accuracy import BLOCKS, MEAN
from pdlib.analysis.stats.intervals import count, item_differences, resample, summary, verdict


def comparisons(
    records: pd.DataFrame,
    against: str = "personadual",
    blocks: Mapping[str, tuple[str, str]] = BLOCKS,
    draws: int = 10_000,
) -> pd.DataFrame:
    """Every other model minus `against` in each block and in their mean, free answers of one run.

    One row per model and block. Columns: mean, ci_low, ci_high (95 %), wide_low, wide_high (95 %
    for all rows together, after Bonferroni), n items, seeds (the model's own training seeds, see
    `across_seeds`), p (`mcnemar`; none for the mean, where an item may stand twice), p_holm (over
    all p), verdict (by the intervals, see `verdict`). blocks: name -> (kind, condition). ValueError
    where runs are mixed, a model is not there, or was not asked what `against` was.
    """
    free = records[(records.forced == "none") & (records.turn == 1)]
    if free.run.nunique() != 1 or against not in set(free.model):
        raise ValueError(
            f"found free answers of runs {sorted(free.run.unique())} and models "
            f"{sorted(free.model.unique())}; pass those of one run, with {against} among its models"
        )
    n_seeds = free.groupby("model").train_seed.nunique()
    free = across_seeds(free)
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
    items = pd.concat({key: item_differences(*pair) for key, pair in pairs.items()}, axis=1)
    drawn, rows = resample(items, draws), []
    models = list(dict.fromkeys(model for model, _ in pairs))
    has_mean = len(blocks) > 1
    n_rows = len(pairs) + len(models) * has_mean
    for model in models:
        for block in [*blocks, MEAN] if has_mean else blocks:
            if block == MEAN:
                column, answered = drawn[model].mean(axis=1), items[model].dropna(how="all")
                p = np.nan
            else:
                column, answered = drawn[model, block], items[model, block].dropna()
                p = mcnemar(*pairs[model, block])["p"]
            change = summary(column, n_rows)
            rows.append(
                {"model": model, "block": block}
                | change
                | {
                    "n": count(answered),
                    "seeds": int(n_seeds[model]),
                    "p": p,
                    "verdict": verdict(change),
                }
            )
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("verdict"), "p_holm", holm(table.p))
    return table


def across_seeds(records: pd.DataFrame) -> pd.DataFrame:
    """Models with one training seed stand beside every seed of the others of their run.

    So they can be paired. Their answers are repeated, not new: what another training of them would
    give stays unknown. ValueError for a model with some of the seeds.
    """
    groups = dict(iter(records.groupby(["run", "model"], sort=False)))
    seeds_of = {key: sorted(map(int, set(rows.train_seed))) for key, rows in groups.items()}
    frames = []
    for (run, model), rows in groups.items():
        seeds = seeds_of[run, model]
        several = [s for (other, _), s in seeds_of.items() if other == run and len(s) > 1]
        every = sorted(set().union(*several))
        if len(seeds) not in (1, len(every)):
            raise ValueError(
                f"model {model} of run {run} has training seeds {seeds}, others have {every}; "
                "train and evaluate it with one of them or all, or leave it out"
            )
        if len(seeds) == 1 and every:
            frames += [rows.assign(train_seed=seed) for seed in every]
        else:
            frames.append(rows)
    return pd.concat(frames, ignore_index=True)


def mcnemar(left: pd.DataFrame, right: pd.DataFrame) -> dict:
    """Exact two-sided McNemar test: {both, left_only, right_only, neither, n, p}.

    p is 1 where no item is discordant. The unit is an item: a side is right on it when more than
    half of its answers are, over sampling runs and training seeds. Answers of one item are not
    independent, items are; so p speaks of these trainings, and unlike the intervals it weighs
    items, not benchmarks, alike. Pass one condition: an item under two would be one unit. Errors as
    in `difference`.
    """
    item_differences(left, right)  # the same items and seeds, or an error
    is_left, is_right = (
        side.groupby(["benchmark", "item_id"]).correct.mean() > 0.5 for side in (left, right)
    )
    left_only, right_only = int((is_left & ~is_right).sum()), int((is_right & ~is_left).sum())
    discordant = left_only + right_only
    return {
        "both": int((is_left & is_right).sum()),
        "left_only": left_only,
        "right_only": right_only,
        "neither": int((~is_left & ~is_right).sum()),
        "n": len(is_left),
        "p": float(binomtest(left_only, discordant).pvalue) if discordant else 1.0,
    }


def holm(p: Sequence[float]) -> np.ndarray:
    """P values adjusted for all of them together (Holm 1979: family-wise error).

    scipy only controls the false discovery rate. The smallest of m is multiplied by m, the next by
    m - 1, and so on, none below the one before: [.01, .04, .03] -> [.03, .06, .06]. Missing values
    stay missing and are not counted.
    """
    p = np.asarray(p, float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # missing values are sorted last
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted

"""One model's free and forced answers as arrays, how they are resampled, and the means over blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.schema import Item

COLUMNS = {
    "objective none": ("objective", "none")
} | stats.BLOCKS  # the first is no part of the means
OBJECTIVE = "mean of the objective blocks"  # unaligned and aligned; personal questions are apart
MEANS = {OBJECTIVE: ["objective unaligned", "objective aligned"], stats.MEAN: list(stats.BLOCKS)}
QUESTION = ["block", *stats.ITEM]
TOGETHER = "the blocks together"  # ratios: sums over the blocks, not the mean of their ratios
LEARNED = "learned"


@dataclass(frozen=True)
class Answers:
    """Q questions (an item under a persona, for a training seed: index QUESTION) x R sampling runs,
    in [0, 1].
    """

    index: pd.MultiIndex
    general: np.ndarray  # (Q, R) right when forced into the general mode?
    personalized: np.ndarray  # (Q, R)
    free: np.ndarray  # (Q, R)
    # (Q, R) 1 where the free answer is personalised, 0 where general, missing where it named no
    # mode
    chosen: np.ndarray
    chance: np.ndarray  # (Q,) P(personalised)

    def by(self, *names: str) -> list[pd.Index]:
        """What to group a (Q,) array by."""
        return [self.index.get_level_values(name) for name in names]

    def resample(self, values: dict, draws: int) -> pd.DataFrame:
        """`stats.resample` of (Q,) arrays; columns (name, block)."""
        items = pd.DataFrame(values, self.index).rename_axis(columns="name").unstack("block")
        return stats.resample(items, draws)

    def counts(self, which: np.ndarray | None = None) -> pd.Series:
        """Items of each block, and of all of them; with `which` (Q,), those of which it holds for
        some persona or training seed.
        """
        named = self.index if which is None else self.index[which]
        named = named.to_frame(index=False)[["block", "benchmark", "item_id"]].drop_duplicates()
        found = named.groupby("block").size().reindex(self.blocks, fill_value=0)
        for name, blocks in (MEANS | {TOGETHER: list(stats.BLOCKS)}).items():
            found[name] = len(
                named[named.block.isin(blocks)].drop_duplicates(["benchmark", "item_id"])
            )
        return found

    @property
    def blocks(self) -> list[str]:
        return [name for name in COLUMNS if name in self.index.unique("block")]


def read(records: pd.DataFrame, model: str) -> Answers:
    """ValueError where runs are mixed, or the questions were not all asked free and in both modes
    by the same sampling runs.
    """
    kept = records[(records.model == model) & (records.turn == 1)]
    if kept.run.nunique() != 1:
        raise ValueError(
            f"found answers of model {model} in runs {sorted(kept.run.unique())}; there are models "
            f"{sorted(records.model.unique())}; pass the records of one run that holds the model"
        )
    names = {where: block for block, where in COLUMNS.items()}
    kept = kept.assign(block=[names.get(where) for where in zip(kept.kind, kept.condition)])
    kept = kept[kept.block.notna()]
    key = [*QUESTION, "forced", "seed"]
    if kept.duplicated(key).any():
        raise ValueError(
            f"{int(kept.duplicated(key).sum())} answers of {model} are there twice (same {', '.join(key)}); "
            "pass the records of one evaluation"
        )
    wide = (
        kept.assign(correct=kept.correct.astype(float))
        .set_index(key)[["correct", "mode", "p_personalized"]]
        .unstack(["forced", "seed"])
    )
    asked, runs = ("general", "personalized", "none"), sorted(kept.seed.unique())
    if missing := set(asked) - set(kept.forced) | set(stats.BLOCKS) - set(kept.block):
        raise ValueError(
            f"model {model} lacks answers: {', '.join(sorted(missing))}; evaluate it free and in both forced modes, under "
            "the paper's persona conditions"
        )
    right = wide["correct"].reindex(
        columns=pd.MultiIndex.from_product([asked, runs])
    )  # every mode with the same runs, in one order
    if right.isna().any(axis=None):
        raise ValueError(
            f"{int(right.isna().any(axis=1).sum())} of {len(right)} questions of {model} lack an answer of a forced mode or "
            "sampling run; evaluate all modes on the same questions with the same runs"
        )
    said, chance = (
        wide["mode"]["none"][runs].to_numpy(),
        wide["p_personalized"]["none"].to_numpy(float).mean(1),
    )
    if np.isnan(chance).any():
        raise ValueError(
            f"{int(np.isnan(chance).sum())} of {len(chance)} questions of {model} have no p_personalized; pass a model "
            "with two modes"
        )
    return Answers(
        wide.index,
        *(right[name].to_numpy() for name in asked),
        np.select([said == "personalized", said == "general"], [1.0, 0.0], np.nan),
        chance,
    )


def prefixed(name: str, found: dict) -> dict:
    return {name if key == "mean" else f"{name}_{key}": value for key, value in found.items()}


def with_means(drawn: pd.DataFrame) -> pd.DataFrame:
    """Adds MEANS, those of the objective blocks and of the paper's three, to columns (name, block)."""
    means = {
        (name, mean): drawn[name][blocks].mean(axis=1)
        for name in drawn.columns.unique(0)
        for mean, blocks in MEANS.items()
    }
    return pd.concat([drawn, pd.DataFrame(means)], axis=1)


def chance(records: pd.DataFrame, items: Sequence[Item]) -> pd.Series:
    """Block -> the accuracy of guessing (`benchmarks.chance`), and MEANS of it; blocks that the
    records lack are missing.

    items: what the records answer; there may be more of them. ValueError where the records answer
    an item that is not among them.
    """
    found = stats.chance_table(records, items)
    by_block = pd.Series({block: found.get(column, np.nan) for block, column in COLUMNS.items()})
    return pd.concat(
        [
            by_block,
            pd.Series(
                {mean: by_block[blocks].mean(skipna=False) for mean, blocks in MEANS.items()}
            ),
        ]
    )

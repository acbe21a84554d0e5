"""One model's free and forced answers as arrays, how they are resampled, and means over blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.schema import Item

OBJECTIVE = "mean of the objective blocks"  # unaligned and aligned; personal questions are apart
MEANS = {OBJECTIVE: ["objective unaligned", "objective aligned"], stats.MEAN: list(stats.BLOCKS)}
QUESTION = ["block", *stats.ITEM]
TOGETHER = "the blocks together"  # ratios: sums over the blocks, not the mean of their ratios
LEARNED = "learned"
FORCED = ("general", "personalized", "none")  # into which mode; none: the mode is chosen freely


@dataclass(frozen=True)
class Answers:
    """Q questions x R sampling runs, in [0, 1].

    A question is an item under a persona, for a training seed: index QUESTION.
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
        """Items of each block, and of all of them.

        which: (Q,); then only items of which it holds for some persona or training seed.
        """
        questions = self.index if which is None else self.index[which]
        items = questions.to_frame(index=False)[["block", "benchmark", "item_id"]].drop_duplicates()
        counts = items.groupby("block").size().reindex(self.blocks, fill_value=0)
        for name, blocks in (MEANS | {TOGETHER: list(stats.BLOCKS)}).items():
            inside = items[items.block.isin(blocks)]
            counts[name] = len(inside.drop_duplicates(["benchmark", "item_id"]))
        return counts

    @property
    def blocks(self) -> list[str]:
        """The blocks that were asked, in the order of the tables."""
        return [name for name in stats.AVERAGES if name in self.index.unique("block")]


def read(records: pd.DataFrame, model: str) -> Answers:
    """The answers of one model.

    ValueError where runs are mixed, or the questions were not all asked free and in both modes by
    the same sampling runs.
    """
    rows = _with_blocks(records, model)
    key = [*QUESTION, "forced", "seed"]
    if twice := int(rows.duplicated(key).sum()):
        raise ValueError(
            f"{twice} answers of {model} are there twice (same {', '.join(key)}); "
            "pass the records of one evaluation"
        )
    if missing := set(FORCED) - set(rows.forced) | set(stats.BLOCKS) - set(rows.block):
        raise ValueError(
            f"model {model} lacks answers: {', '.join(sorted(missing))}; evaluate it free and in "
            "both forced modes, under the paper's persona conditions"
        )
    rows = rows.assign(correct=rows.correct.astype(float)).set_index(key)
    wide = rows[["correct", "mode", "p_personalized"]].unstack(["forced", "seed"])
    runs = sorted(rows.index.unique("seed"))
    # every mode with the same runs, in one order
    right = wide["correct"].reindex(columns=pd.MultiIndex.from_product([FORCED, runs]))
    if right.isna().any(axis=None):
        raise ValueError(
            f"{int(right.isna().any(axis=1).sum())} of {len(right)} questions of {model} lack an "
            "answer of a forced mode or sampling run; evaluate all modes on the same questions "
            "with the same runs"
        )
    mode = wide["mode"]["none"][runs].to_numpy()  # (Q, R)
    chance = wide["p_personalized"]["none"].to_numpy(float).mean(1)
    if np.isnan(chance).any():
        raise ValueError(
            f"{int(np.isnan(chance).sum())} of {len(chance)} questions of {model} have no "
            "p_personalized; pass a model with two modes"
        )
    chosen = np.select([mode == "personalized", mode == "general"], [1.0, 0.0], np.nan)
    general, personalized, free = (right[name].to_numpy() for name in FORCED)
    return Answers(wide.index, general, personalized, free, chosen, chance)


def _with_blocks(records: pd.DataFrame, model: str) -> pd.DataFrame:
    """First turns of one model, with their block; conditions of no block are left out."""
    rows = records[(records.model == model) & (records.turn == 1)]
    if rows.run.nunique() != 1:
        raise ValueError(
            f"found answers of model {model} in runs {sorted(rows.run.unique())}; there are models "
            f"{sorted(records.model.unique())}; pass the records of one run that holds the model"
        )
    names = {key: block for block, key in stats.AVERAGES.items()}
    blocks = [names.get(key) for key in zip(rows.kind, rows.condition, strict=True)]
    rows = rows.assign(block=blocks)
    return rows[rows.block.notna()]


def with_means(drawn: pd.DataFrame) -> pd.DataFrame:
    """Columns (name, block), and for each name the MEANS of its blocks."""
    means = {
        (name, mean): drawn[name][blocks].mean(axis=1)
        for name in drawn.columns.unique(0)
        for mean, blocks in MEANS.items()
    }
    return pd.concat([drawn, pd.DataFrame(means)], axis=1)


def chance(records: pd.DataFrame, items: Sequence[Item]) -> pd.Series:
    """Block -> the accuracy of guessing (`benchmarks.chance`), and MEANS of it.

    Blocks that the records lack are missing. items: what the records answer; there may be more of
    them. ValueError where the records answer an item that is not among them.
    """
    table = stats.chance_table(records, items)
    by_block = pd.Series({block: table.get(key, np.nan) for block, key in stats.AVERAGES.items()})
    means = {name: by_block[blocks].mean(skipna=False) for name, blocks in MEANS.items()}
    return pd.concat([by_block, pd.Series(means)])

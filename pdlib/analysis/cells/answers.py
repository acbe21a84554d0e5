"""Each model's answers to each benchmark, as means over its sampling runs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdlib.analysis.cells.cell import Cell

GROUP = ["run", "model", "forced", "condition", "benchmark"]  # what `key` names
COLUMNS = [*GROUP, "kind", "item_id", "seed", "train_seed", "turn", "mode", "correct"]
VALUES = ("correct", "personalized", "named")  # see `Cell.value`


@dataclass(frozen=True)
class Answers:
    """One model's answers to one benchmark under one condition, free or forced."""

    means: pd.DataFrame  # over sampling runs, VALUES by item_id and train_seed
    items: pd.Index  # item ids
    runs: int  # sampling runs


def key(cell: Cell, benchmark: str) -> tuple[str, ...]:
    """What `item_means` has the answers of a cell to one of its benchmarks under."""
    return cell.run, cell.model, cell.forced, cell.condition, benchmark


def item_means(records: pd.DataFrame) -> dict[tuple[str, ...], Answers]:
    """(run, model, forced, condition, benchmark) -> answers; VALUES of a mode are missing without.

    With the two forced modes of a model come its answers forced into "either".
    """
    rows = records[[*GROUP, "item_id", "train_seed", "seed"]].assign(
        correct=records.correct.astype(float),
        personalized=(records["mode"] == "personalized").astype(float),
        named=records["mode"].isin(("general", "personalized")).astype(float),
    )
    names_modes = rows.named.groupby([rows.run, rows.model]).transform("any")
    rows.loc[~names_modes, ["personalized", "named"]] = np.nan
    rows = pd.concat([rows, _either(rows)])
    rows[GROUP] = rows[GROUP].astype("category")
    means = (
        rows.groupby([*GROUP, "item_id", "train_seed"], observed=True)
        .agg(**{value: (value, "mean") for value in VALUES}, runs=("seed", "nunique"))
        .reset_index(level=["item_id", "train_seed"])
    )
    return {
        name: Answers(
            group.set_index(["item_id", "train_seed"]),
            pd.Index(group.item_id.unique()),
            int(group.runs.min()),
        )
        for name, group in means.groupby(level=GROUP, observed=True)
    }


def _either(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers that are right where at least one of the two forced modes is."""
    columns = [name for name in rows if name not in ("forced", *VALUES)]
    forced = (
        rows[rows.forced != "none"]
        .groupby(columns)
        .agg(correct=("correct", "max"), modes=("forced", "nunique"))
        .reset_index()
    )
    both = forced[forced.modes == 2].drop(columns="modes")
    return both.assign(forced="either", personalized=np.nan, named=np.nan)

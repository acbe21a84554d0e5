"""The results of the experiments: trained here, or read from what an earlier `make when` left."""

from pathlib import Path

import pandas as pd

from pdlib import config
from pdlib.analysis.when import experiments, outcomes, predictions, prior
from pdlib.analysis.when.arms import ARMS, ASKERS, START, levels, taking_part
from pdlib.run import committed, stages

TABLE, ITEMS, COUNTS = "when.csv", "when_items.parquet", "when_counts.csv"


def results(cfg: config.Config) -> pd.DataFrame:
    """Train what is wanted and not done yet; returns the table of `predictions.table`.

    It is written to <steps>-steps/<seeds>-seeds as when.csv, with what it is computed from:
    when_items.parquet (see `outcomes.by_item`) and when_counts.csv.
    """
    target = experiments.cells_folder(cfg) / f"{cfg.when_seeds}-seeds"
    target.mkdir(parents=True, exist_ok=True)
    items = outcomes.by_item(experiments.run(cfg))
    items.astype({"p": "float32"}).to_parquet(target / ITEMS, index=False)
    counts = count(cfg, items)
    counts.to_csv(target / COUNTS, index=False)
    table = judge(cfg, items, counts).assign(
        steps=cfg.when_steps, **committed.origin(_trained(cfg))
    )
    table.round(4).to_csv(target / TABLE, index=False)
    return table


def judge(cfg: config.Config, items: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """The table of predictions and outcomes, from what `results` keeps."""
    cells = outcomes.of_cells(items, cfg.eval_temperature)
    return predictions.table(cells, counts, predictions.methods(cfg), cfg.when_steps)


def count(cfg: config.Config, items: pd.DataFrame) -> pd.DataFrame:
    """What the rollouts of every run saw of fitting askers and strangers, one row per cell.

    Columns: those of `outcomes.seen` behind "/aligned" and "/unaligned", for the whole run; "first
    groups/aligned" and "first absent/aligned" of its first steps; "expected absent", the share of
    such groups that theory says of free rollouts if the choice stays as it is at the start.
    """
    cells = [(level, arm) for level in levels(cfg) for arm in taking_part(cfg, level.experiment)]
    rows = []
    for level, arm in cells:
        steps = outcomes.seen(
            experiments.folder(cfg, level, arm), experiments.question_folder(cfg, level)
        )
        is_start = (
            (items.experiment == level.experiment)
            & (items.level == level.value)
            & (items.arm == START)
            & (items.seed == level.seed)
            & (items.condition == "aligned")
        )
        temperature = ARMS[arm].method(cfg).temperature
        expected = outcomes.of_cells(items[is_start], temperature).absent.item()
        cell = {
            "experiment": level.experiment,
            "level": level.value,
            "arm": arm,
            "seed": level.seed,
            "expected absent": expected,
        }
        first = _sums(steps[steps.step <= outcomes.FIRST])
        cell |= {f"first {name}/aligned": first[f"{name}/aligned"] for name in ("groups", "absent")}
        rows.append(cell | _sums(steps))
    return pd.DataFrame(rows)


def _sums(steps: pd.DataFrame) -> dict[str, int]:
    """The counts of `outcomes.seen` over its steps, by name and condition."""
    sums = steps.groupby("condition")[["rollouts", "personalized", "groups", "absent"]].sum()
    sums = sums.reindex(ASKERS, fill_value=0)
    return {
        f"{name}/{condition}": int(value)
        for condition, row in sums.iterrows()
        for name, value in row.items()
    }


def _trained(cfg: config.Config) -> list[Path]:
    """The stage folders of all runs."""
    return [
        experiments.folder(cfg, level, arm)
        for level in levels(cfg)
        for arm in taking_part(cfg, level.experiment)
    ]


def origin(table: pd.DataFrame) -> str:
    """Where a table of `results` comes from, in a line."""
    first = table.iloc[0]
    return (
        f"{int(table.seeds.max())} seeds, {first.steps} steps of RL, trained at revision "
        f"{first.revision} on {first.processor}"
    )


def written(cfg: config.Config) -> list[Path]:
    """The files of the largest finished experiment of this run, of at least two seeds; or none."""
    return committed.largest(prior.folder(cfg), TABLE, ITEMS, COUNTS)


def stored() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None:
    """(table, items, counts) of the last `make when` in outputs/reference; None without one."""
    folder = stages.REFERENCE
    if not (folder / TABLE).is_file():
        return None
    return (
        pd.read_csv(folder / TABLE),
        pd.read_parquet(folder / ITEMS),
        pd.read_csv(folder / COUNTS),
    )

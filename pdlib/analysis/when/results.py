"""The results of the experiments: trained here, or read from what an earlier `make when` left."""

from pathlib import Path

import pandas as pd

from pdlib import config
from pdlib.analysis.when import experiments, outcomes, predictions, prior
from pdlib.analysis.when.arms import ARMS, FREE, START, Level, levels, taking_part
from pdlib.run import stages

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
    table = judge(cfg, items, counts).assign(steps=cfg.when_steps, **_provenance(cfg))
    table.round(4).to_csv(target / TABLE, index=False)
    return table


def judge(cfg: config.Config, items: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """The table of predictions and outcomes, from what `results` keeps."""
    cells = outcomes.of_cells(items, cfg.eval_temperature)
    return predictions.table(cells, counts, predictions.methods(cfg))


def count(cfg: config.Config, items: pd.DataFrame) -> pd.DataFrame:
    """What the rollouts of every run saw, one row per cell: columns of `outcomes.seen`.

    With free rollouts there are, too: "first groups/aligned" and "first absent/aligned", of the
    first steps, and "expected absent", the share of such groups that theory says if the choice
    stays as it is at the start.
    """
    rows = []
    for level in levels(cfg):
        for arm in taking_part(cfg, level.experiment):
            model = experiments.folder(cfg, level, arm)
            questions = experiments.question_folder(cfg, level)
            row = {
                "experiment": level.experiment,
                "level": level.value,
                "arm": arm,
                "seed": level.seed,
            }
            row |= outcomes.seen(model, questions)
            if ARMS[arm].trainer == FREE:
                row |= _beginning(cfg, items, level, arm, model, questions)
            rows.append(row)
    return pd.DataFrame(rows)


def _beginning(
    cfg: config.Config,
    items: pd.DataFrame,
    level: Level,
    arm: str,
    model: Path,
    questions: Path,
) -> dict[str, float]:
    first = outcomes.seen(model, questions, range(1, outcomes.FIRST + 1))
    is_start = (
        (items.experiment == level.experiment)
        & (items.level == level.value)
        & (items.arm == START)
        & (items.seed == level.seed)
        & (items.condition == "aligned")
    )
    temperature = ARMS[arm].method(cfg).temperature
    expected = outcomes.of_cells(items[is_start], temperature).absent
    names = ("groups/aligned", "absent/aligned")
    return {f"first {name}": first.get(name, 0) for name in names} | {
        "expected absent": expected.item()
    }


def _provenance(cfg: config.Config) -> dict[str, str]:
    """{processor, revision} of the trainings, by their manifests; several are joined."""
    processors, revisions = [], []
    for level in levels(cfg):
        for arm in taking_part(cfg, level.experiment):
            manifest = stages.read_manifest(experiments.folder(cfg, level, arm))
            processors.append(manifest["provenance"]["hardware"]["cpu"])
            revisions.append((manifest["provenance"]["code"]["revision"] or "unknown")[:12])
    return {
        "processor": ", ".join(dict.fromkeys(processors)),
        "revision": ", ".join(dict.fromkeys(revisions)),
    }


def origin(table: pd.DataFrame) -> str:
    """Where a table of `results` comes from, in a line."""
    first = table.iloc[0]
    return (
        f"{int(table.seeds.max())} seeds, {first.steps} steps of RL, trained at revision "
        f"{first.revision} on {first.processor}"
    )


def written(cfg: config.Config) -> list[Path]:
    """The files of the largest finished experiment of this run, of at least two seeds; or none."""
    tables = [
        path
        for path in prior.folder(cfg).glob(f"*-steps/*-seeds/{TABLE}")
        if pd.read_csv(path).seeds.max() > 1
    ]
    if not tables:
        return []
    largest = max(tables, key=lambda path: len(pd.read_csv(path)))
    return [largest.with_name(name) for name in (TABLE, ITEMS, COUNTS)]


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

"""The results of asking back: trained here, or read from what an earlier `make ask-back` left."""

from pathlib import Path

import pandas as pd

from pdlib import config
from pdlib.analysis.asking_back import experiments, policies, tables
from pdlib.run import stages

TABLE, ITEMS = "ask.csv", "ask_items.parquet"


def results(cfg: config.Config) -> pd.DataFrame:
    """Train what is wanted and not done yet; returns the table, see `tables.table`.

    It is written to <steps>-steps/<seeds>-seeds as ask.csv, with ask_items.parquet, from which it
    is computed (see `policies.by_item`).
    """
    target = experiments.steps_folder(cfg) / f"{cfg.ask_seeds}-seeds"
    target.mkdir(parents=True, exist_ok=True)
    items = policies.by_item(experiments.run(cfg), experiments.questions(cfg))
    small = dict.fromkeys([name for name in items if name.startswith("p_")], "float32")
    items = items.astype(small)
    items.to_parquet(target / ITEMS, index=False)
    found = tables.table(items, cfg.eval_temperature).assign(
        steps=cfg.ask_steps, **_provenance(cfg)
    )
    found.round(4).to_csv(target / TABLE, index=False)
    return found


def _provenance(cfg: config.Config) -> dict[str, str]:
    """{processor, revision} of the trainings, by their manifests; several are joined."""
    folders = [
        experiments.steps_folder(cfg) / f"asking-{value:g}-{seed}"
        for seed in experiments.seeds(cfg)
        for value in experiments.values(cfg)
    ]
    found = [stages.read_manifest(folder)["provenance"] for folder in folders]
    processors = dict.fromkeys(one["hardware"]["cpu"] for one in found)
    revisions = dict.fromkeys((one["code"]["revision"] or "unknown")[:12] for one in found)
    return {"processor": ", ".join(processors), "revision": ", ".join(revisions)}


def written(cfg: config.Config) -> list[Path]:
    """The files of the largest finished experiment of this run, of at least two seeds; or none."""
    found = {
        path: pd.read_csv(path) for path in experiments.folder(cfg).glob(f"*-steps/*-seeds/{TABLE}")
    }
    sizes = {path: len(table) for path, table in found.items() if table.seeds.max() > 1}
    if not sizes:
        return []
    largest = max(sizes, key=sizes.get)
    return [largest, largest.with_name(ITEMS)]


def stored() -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """(table, items) of the last `make ask-back` in outputs/reference; None without one."""
    folder = stages.REFERENCE
    if not (folder / TABLE).is_file():
        return None
    return pd.read_csv(folder / TABLE), pd.read_parquet(folder / ITEMS)

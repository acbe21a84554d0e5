"""The results of asking back: trained here, or read from what an earlier `make ask-back` left."""

from pathlib import Path

import pandas as pd

from pdlib import config
from pdlib.analysis.asking_back import experiments, policies, tables
from pdlib.run import committed, stages

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
        steps=cfg.ask_steps, **committed.origin(_trained(cfg))
    )
    found.round(4).to_csv(target / TABLE, index=False)
    return found


def _trained(cfg: config.Config) -> list[Path]:
    """The stage folders of all models that RL has trained."""
    return [
        experiments.model_folder(cfg, seed, value)
        for seed in experiments.seeds(cfg)
        for value in experiments.values(cfg)
    ]


def written(cfg: config.Config) -> list[Path]:
    """The files of the largest finished experiment of this run, of at least two seeds; or none."""
    return committed.largest(experiments.folder(cfg), TABLE, ITEMS)


def stored() -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """(table, items) of the last `make ask-back` in outputs/reference; None without one."""
    folder = stages.REFERENCE
    if not (folder / TABLE).is_file():
        return None
    return pd.read_csv(folder / TABLE), pd.read_parquet(folder / ITEMS)

"""The replicates of each world: their training, their records, and where the results come from."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, systems
from pdlib.analysis import selection
from pdlib.analysis.replication.claims import table
from pdlib.analysis.replication.items import MODELS, by_replicate, write_items
from pdlib.dataset import construct
from pdlib.pocket.world import knows
from pdlib.run import parallel, stages

TABLE = "replication.csv"


def world(cfg: config.Config, fit: str) -> config.Config:
    """The config of one world; a world that is not the run's has a folder within the run's."""
    world_config = replace(cfg, train_seeds=max(1, cfg.replicates), fit=fit)
    if fit == cfg.fit:
        return world_config
    folder = Path(cfg.output_dir) / cfg.profile / f"world-{fit}"
    return replace(world_config, output_dir=str(folder))


def replicate(cfg: config.Config, fit: str, seed: int) -> list[Path]:
    """Train and evaluate one replicate, as far as it is not done; returns its record files."""
    world_config = world(cfg, fit)
    return [systems.evaluated_seed(world_config, name, seed) for name in MODELS]


def run(cfg: config.Config) -> pd.DataFrame:
    """The records of all replicates under the usual conditions, with the column `world`.

    Replicates are done side by side, as many as `cfg.workers` says. ValueError for none wanted.
    """
    if cfg.replicates < 1:
        raise ValueError("setting replicates is 0: none are wanted; `make replicate` trains five")
    records = []
    for fit in cfg.replicate_worlds:
        seeds = systems.seeds(world(cfg, fit))
        tasks = [
            parallel.Task(
                f"{fit}-{seed}",
                "pdlib.analysis.replication",
                (fit, str(seed)),
                partial(replicate, cfg, fit, seed),
            )
            for seed in seeds
        ]
        parallel.run(cfg, tasks)
        files = [file for seed in seeds for file in replicate(cfg, fit, seed)]
        records.append(evaluate.read_records(files).assign(world=fit))
    return pd.concat(records, ignore_index=True)


def choices(cfg: config.Config, fit: str) -> pd.DataFrame:
    """What `selection.rules` choose for every test question of a world under every condition.

    With the column `cue`: does the question have one?
    """
    world_config = world(cfg, fit)
    sets = {}
    for seed in systems.seeds(world_config):
        file = world_config.run_folder() / f"data-{seed}" / "sft.parquet"
        sets[seed] = construct.from_frame(pd.read_parquet(file))
    items = dataset.test_items(world_config)
    questions = evaluate.ask_all(items, dataset.persona_pool(world_config))
    cues = {(item.benchmark, item.id): bool(item.facts.get("cue")) for item in items}
    chosen = selection.rules(questions, sets, knows)
    keys = zip(chosen.benchmark, chosen.item_id, strict=True)
    return chosen.assign(cue=[cues[key] for key in keys])


def results(cfg: config.Config) -> pd.DataFrame | None:
    """The table of all worlds, with the columns world, processor and revision.

    With cfg.replicates the replicates are trained first, and the table and what it is computed from
    are written to the run's folder. Without, what an earlier `make replicate` left in
    outputs/reference; None where it left nothing.
    """
    if cfg.replicates < 1:
        stored = stages.REFERENCE / TABLE
        return pd.read_csv(stored) if stored.is_file() else None
    records, tables = run(cfg), []
    for fit in cfg.replicate_worlds:
        items = by_replicate(records[records.world == fit], choices(cfg, fit))
        write_items(items, cfg.run_folder() / f"replication_{fit}.parquet")
        tables.append(table(items).assign(world=fit, **_provenance(cfg, fit)))
    claims = pd.concat(tables, ignore_index=True)
    claims.round(6).to_csv(cfg.run_folder() / TABLE, index=False)
    return claims


def _provenance(cfg: config.Config, fit: str) -> dict[str, str]:
    """{processor, revision} of the trainings of a world, by their manifests; several are joined."""
    world_config = world(cfg, fit)
    processors, revisions = [], []
    for seed in systems.seeds(world_config):
        manifest = stages.read_manifest(systems.folder(world_config, "personadual", seed))
        provenance = manifest["provenance"]
        processors.append(provenance["hardware"]["cpu"])
        revisions.append((provenance["code"]["revision"] or "unknown")[:12])
    return {
        "processor": ", ".join(dict.fromkeys(processors)),
        "revision": ", ".join(dict.fromkeys(revisions)),
    }


def origin(cfg: config.Config) -> str:
    """Where the table of `results` comes from; one line per world where it is stored."""
    if cfg.replicates:
        return (
            f"{cfg.replicates} replicates in each of the worlds {', '.join(cfg.replicate_worlds)}, "
            "trained in this run"
        )
    stored = stages.REFERENCE / TABLE
    if not stored.is_file():
        return (
            "no replicates have been trained and none are stored; `make replicate` trains five in "
            "each world"
        )
    here, lines = stages.hardware()["cpu"], []
    for name, rows in pd.read_csv(stored).groupby("world", sort=False):
        row = rows.iloc[0]
        line = (
            f"world {name}, stored: {row.replicates} replicates, trained at revision "
            f"{row.revision} on {row.processor}"
        )
        if here != row.processor:
            line += (
                f"; this machine has another one ({here}), on which they would come out otherwise"
            )
        lines.append(line)
    return "\n".join(lines)

"""The advantage laboratory: every estimator from one SFT model, with the same questions and seeds.

Rival estimators sample and correct as they were published; `SYSTEMS` says how. Only what an
estimator does to the mode prefix and to the response is compared: loss aggregation, KL and learning
rate are the same for all.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, systems, train
from pdlib.analysis import stats
from pdlib.run import parallel, progress
from pdlib.train import backbone

FREE = {"forced_prefixes": False}
SYSTEMS = {  # name in the records -> settings of DualGRPOConfig
    "personadual": {},
    "no_dual_advantage": {"estimator": "grpo"},  # Table 2: w/o DualAdv
    # Table 2: w/o DualAdv + PfxSmp
    "no_dual_advantage_no_prefix_sampling": {"estimator": "grpo"} | FREE,
    "personadual_corrected": {"importance_correction": "uniform"},
    "personadual_code": {"estimator": "dualgrpo_code"},
    "dr_grpo": {"estimator": "dr_grpo"},
    "degrpo": {"estimator": "degrpo"} | FREE,
    "adaptthink": {"estimator": "adaptthink", "importance_correction": "uniform"},
    "hgpo": {"estimator": "hgpo"},
    "movt": {"estimator": "movt"},
    "ada_grpo": {"estimator": "ada_grpo"} | FREE,
}


def run(cfg: config.Config) -> Path:
    """Train and evaluate cfg.lab_systems (["all"]: every one), side by side; returns their folder.

    Training seeds are 0 .. cfg.lab_seeds - 1. Every run is a stage: what is there stays. Questions
    follow the seed, test items do not. The SFT model is evaluated once.
    """
    names = config.listed(cfg, "lab_systems", SYSTEMS)
    sft_model = systems.fit(cfg, "sft_only")
    evaluate.run_records(replace(cfg, eval_runs=1), "sft_only", sft_model, **_evaluation(cfg))
    tasks = [
        parallel.Task(
            f"laboratory-{name}-{seed}",
            "pdlib.analysis.estimators",
            (name, str(seed), json.dumps(SYSTEMS[name])),
            partial(run_one, cfg, name, seed, SYSTEMS[name]),
        )
        for seed in range(cfg.lab_seeds)
        for name in names
    ]
    parallel.run(cfg, tasks)
    for task in tasks:
        task.do()
    return folder(cfg)


def run_one(cfg: config.Config, name: str, seed: int, settings: dict) -> None:
    """Train and evaluate one system with one training seed, as far as it is not done.

    name: its name in the records. settings: of DualGRPOConfig, as in SYSTEMS.
    """
    sft_set = dataset.run_sft_set(cfg, backbone.run(cfg, cfg.backbone))
    seed_config = replace(cfg, seed=seed, rl_steps=cfg.lab_steps)
    evaluation = _evaluation(cfg)
    questions = dataset.run_rl_set(seed_config, f"{evaluation['subfolder']}/data-rl-{seed}")
    model = train.run_rl(
        seed_config,
        folder(cfg) / f"{name}-{seed}",
        systems.fit(cfg, "sft_only"),
        sft_set,
        questions,
        **settings,
    )
    evaluate.run_records(replace(cfg, eval_runs=1), name, model, train_seed=seed, **evaluation)


def _evaluation(cfg: config.Config) -> dict:
    """How the laboratory's models are evaluated: freely, into its own folder."""
    return {"forced": (None,), "subfolder": str(folder(cfg).relative_to(cfg.folder()))}


def folder(cfg: config.Config) -> Path:
    """outputs/<profile>/<run>/laboratory/<steps>-steps."""
    return cfg.run_folder() / "laboratory" / f"{cfg.lab_steps}-steps"


def curves(runs: Path) -> pd.DataFrame:
    """How training went, one row per system, seed and step, of the runs in a folder.

    Reward, P(personalised) by condition, the entropy of the choice (nats), the share of prompts
    whose rollouts hold one mode only or modes of equal reward (flat).
    """
    tables = []
    for log in sorted(runs.glob("*/log.jsonl")):
        system, _, seed = log.parent.name.rpartition("-")
        steps = progress.read_log(log.parent)
        chances = steps.filter(like="p_personalized/")
        chances.columns = chances.columns.str.replace("p_personalized/", "P: ", regex=False)
        tables.append(
            pd.concat([steps[["step", "reward"]], chances], axis=1).assign(
                entropy=steps.filter(like="choice_entropy/objective").mean(axis=1),
                flat=steps["zero_variance/between"],
                system=system,
                seed=int(seed),
            )
        )
    if not tables:
        raise ValueError(f"no runs in {runs}; run the laboratory first")
    return pd.concat(tables, ignore_index=True)


def differences(
    records: pd.DataFrame, against: str = "personadual", draws: int = 10_000
) -> pd.DataFrame:
    """Each system, and the SFT model that all start from, minus `against`.

    It is `stats.comparisons` on the records of all runs, with model and block under the names
    system and measure.
    """
    table = stats.comparisons(records, against, draws=draws)
    return table.rename(columns={"model": "system", "block": "measure"})

"""The advantage laboratory: every estimator from one SFT model, on the same questions, with the
same seeds.

Rival estimators sample and correct as they were published; `SYSTEMS` says how. Only what an
estimator does to the mode prefix and to the response is compared: loss aggregation, KL and learning
rate are the same for all.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, systems, train
from pdlib.analysis import stats
from pdlib.run import progress
from pdlib.train import backbone

FREE = {"forced_prefixes": False}
SYSTEMS = {  # name in the records -> settings of DualGRPOConfig
    "personadual": {},
    "no_dual_advantage": {"estimator": "grpo"},  # Table 2: w/o DualAdv
    "no_dual_advantage_no_prefix_sampling": {"estimator": "grpo"}
    | FREE,  # Table 2: w/o DualAdv + PfxSmp
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
    """Train cfg.lab_systems (["all"]: every one) with seeds 0 .. cfg.lab_seeds - 1, evaluate them,
    return their folder.

    Every run is a stage: what is there stays. Questions follow the seed, test items do not. The SFT
    model is evaluated once.
    """
    names = config.chosen(cfg, "lab_systems", SYSTEMS)
    start, sets, place = (
        systems.fit(cfg, "sft_only"),
        dataset.run_sft_set(cfg, backbone.run(cfg, cfg.backbone)),
        folder(cfg),
    )
    once = replace(cfg, eval_runs=1)
    asked = {"forced": (None,), "place": str(place.relative_to(cfg.folder()))}
    evaluate.run_records(once, "sft_only", start, **asked)
    for seed in range(cfg.lab_seeds):
        own = replace(cfg, seed=seed, rl_steps=cfg.lab_steps)
        questions = dataset.run_rl_set(own, f"{asked['place']}/data-rl-{seed}")
        for name in names:
            model = train.run_rl(
                own, place / f"{name}-{seed}", start, sets, questions, **SYSTEMS[name]
            )
            evaluate.run_records(once, name, model, train_seed=seed, **asked)
    return place


def folder(cfg: config.Config) -> Path:
    """outputs/<profile>/<run>/laboratory/<steps>-steps."""
    return cfg.run_folder() / "laboratory" / f"{cfg.lab_steps}-steps"


def curves(place: Path) -> pd.DataFrame:
    """One row a system, seed and step: reward, P(personalised) by condition, the entropy of the
    choice (nats), the share of prompts whose rollouts hold one mode only or modes of equal reward.
    """
    frames = []
    for log in sorted(place.glob("*/log.jsonl")):
        system, _, seed = log.parent.name.rpartition("-")
        rows = progress.read_log(log.parent)
        choice = rows.filter(like="p_personalized/").rename(
            columns=lambda name: name.replace("p_personalized/", "P: ")
        )
        frames.append(
            pd.concat([rows[["step", "reward"]], choice], axis=1).assign(
                entropy=rows.filter(like="choice_entropy/objective").mean(axis=1),
                flat=rows["zero_variance/between"],
                system=system,
                seed=int(seed),
            )
        )
    if not frames:
        raise ValueError(f"no runs in {place}; run the laboratory first")
    return pd.concat(frames, ignore_index=True)


def differences(
    found: pd.DataFrame, against: str = "personadual", draws: int = 10_000
) -> pd.DataFrame:
    """Each system, and the SFT model they started from, minus `against`, from the records of all
    runs: `stats.comparisons` with model and block under the names system and measure.
    """
    return stats.comparisons(found, against, draws=draws).rename(
        columns={"model": "system", "block": "measure"}
    )

"""Policies in dialogues -> records.

`python -m pdlib.rlpa.evaluate` trains the policy of one seed in a process of its own, see `tasks`.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pdlib import config, models, systems
from pdlib import dataset as questions
from pdlib import evaluate as answers
from pdlib.rlpa import data, scores, talk, train, user
from pdlib.rlpa.cast import cast
from pdlib.rlpa.scores import POLICIES
from pdlib.run import parallel
from pdlib.train import backbone


def policies(cfg: config.Config) -> list[str]:
    """The policies there are: without the pocket world's annotator there is no SFT."""
    return [name for name in POLICIES if cfg.dynamic_user == "pocket" or name != "rlpa_sft"]


def fit(cfg: config.Config, name: str, seed: int) -> Path:
    """The folder of a policy of POLICIES with one training seed; what is there already is not
    trained again.

    Everything follows the training seed, as in `systems.fit`: the backbone (where it is trained
    here), the dialogues of the annotator, the training. Only the users of the test follow cfg.seed.
    """
    own = replace(cfg, seed=seed)
    base = backbone.run(own, cfg.backbone)
    if name == "prompted":
        return base
    if cfg.dynamic_user != "pocket":  # no annotator there: RL from the backbone, as in the paper
        return train.run_rl(cfg, base, seed)
    taught = train.run_sft(cfg, base, data.run_sft_set(own), seed)
    return taught if name == "rlpa_sft" else train.run_rl(cfg, taught, seed)


def tasks(cfg: config.Config) -> list[parallel.Task]:
    """The training of RLPA's policies, SFT and RL of a seed together."""
    several = backbone.is_trained(cfg.backbone)
    return [
        parallel.Task(
            f"rlpa-{seed}",
            "pdlib.rlpa.evaluate",
            (str(seed),),
            partial(fit, cfg, "rlpa", seed),
            after=systems.label(cfg.backbone, seed if several else None),
        )
        for seed in systems.seeds(cfg)
    ]


def prepare(cfg: config.Config) -> int:
    """`beside.run` of the `tasks`: the seeds side by side."""
    return parallel.run(cfg, tasks(cfg))


def run_records(cfg: config.Config, name: str, seed: int, users: str = "test") -> Path:
    """Records of a policy's dialogues with the test users, or (users="meeting") with those who ask
    a test item afterwards; a stage.

    Returns dynamic/records/<run>.<policy>.<seed>.parquet, or dynamic/meeting/records/….
    """
    model_folder = fit(cfg, name, seed)

    def ask() -> tuple[pd.DataFrame, dict]:
        who = cast(cfg)
        found = who.test() if users == "test" else who.meeting()
        told = who.instruction or (talk.instruction() if name == "prompted" else "")
        model, tokenizer = models.load(model_folder, cfg.precision)
        return talk.converse(
            model,
            tokenizer,
            found,
            cfg.dynamic_turns,
            run=cfg.run,
            model_name=name,
            train_seed=seed,
            speak=who.speak,
            instruction=told,
            **answers.sampling(cfg) | {"seeds": [0]},
        ), {"users": len(found)}

    settings = cfg.subset(
        "seed",
        "precision",
        "eval_temperature",
        "eval_max",
        "dynamic_turns",
        "dynamic_test",
        "dynamic_meeting",
    ) | {"policy": name, "train_seed": seed, "script": user.VERSION}
    inputs = [model_folder] + ([questions.run_test_set(cfg)] if users == "meeting" else [])
    place = cfg.folder() / "dynamic" / ("meeting" if users == "meeting" else "")
    return answers.as_stage(
        place, f"{config.file_name(cfg.run)}.{name}.{seed}", ask, settings=settings, inputs=inputs
    )


def evaluated(cfg: config.Config, name: str) -> list[Path]:
    """Train and evaluate a policy with every training seed (one that no seed changes once); returns
    its record files.
    """
    once = name == "prompted" and not systems.differs_by_seed(cfg, "backbone")
    return [run_records(cfg, name, seed) for seed in systems.seeds(cfg)[: 1 if once else None]]


def scored(cfg: config.Config, records: pd.DataFrame) -> pd.DataFrame:
    """The records of the test users with their scores, see `dynamic.scores`; `judged` behind an
    endpoint.
    """
    who = cast(cfg)
    return (
        scores.scores(records, who.test())
        if cfg.dynamic_user == "pocket"
        else scores.judged(records, who.test(), who.judge)
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--overrides", type=json.loads, default={})
    parser.add_argument("seed", type=int, help="the training seed")
    asked = parser.parse_args(arguments)
    fit(config.load(asked.profile, **asked.overrides), "rlpa", asked.seed)


if __name__ == "__main__":
    main()

"""Policies in dialogues -> records.

`python -m pdlib.rlpa.evaluate` trains the policy of one seed in a process of its own, see `tasks`.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, models, systems
from pdlib import evaluate as answers
from pdlib.rlpa import annotator, dialogue, roles, train, user
from pdlib.rlpa.scores import POLICIES
from pdlib.run import parallel
from pdlib.train import backbone


def policies(cfg: config.Config) -> list[str]:
    """The policies of a run: without the pocket world's annotator there is no SFT."""
    return [name for name in POLICIES if cfg.dynamic_user == "pocket" or name != "rlpa_sft"]


def fit(cfg: config.Config, name: str, seed: int) -> Path:
    """The folder of a policy of POLICIES with one training seed; it is trained only once.

    Everything follows the training seed, as in `systems.fit`: the backbone (where it is trained
    here), the dialogues of the annotator, the training. Only the users of the test follow cfg.seed.
    """
    seed_config = replace(cfg, seed=seed)
    base = backbone.run(seed_config, cfg.backbone)
    if name == "prompted":
        return base
    if cfg.dynamic_user != "pocket":  # no annotator there: RL from the backbone, as in the paper
        return train.run_rl(cfg, base, seed)
    sft = train.run_sft(cfg, base, annotator.run_sft_set(seed_config), seed)
    return sft if name == "rlpa_sft" else train.run_rl(cfg, sft, seed)


def tasks(cfg: config.Config) -> list[parallel.Task]:
    """The training of RLPA's policies, SFT and RL of a seed together."""
    several = backbone.is_trained(cfg.backbone)
    return [
        parallel.Task(
            f"rlpa-{seed}",
            "pdlib.rlpa.evaluate",
            (str(seed),),
            partial(fit, cfg, "rlpa", seed),
            after=systems.task_label(cfg.backbone, seed if several else None),
        )
        for seed in systems.seeds(cfg)
    ]


def prepare(cfg: config.Config) -> int:
    """`parallel.run` of the `tasks`: the seeds side by side."""
    return parallel.run(cfg, tasks(cfg))


def run_records(cfg: config.Config, name: str, seed: int, users: str = "test") -> Path:
    """Records of a policy's dialogues with the test users; a stage.

    users="askers": with those who ask a test item afterwards, see `roles`.

    Returns dynamic/records/<run>.<policy>.<seed>.parquet, or dynamic/meeting/records/….
    """
    model_folder = fit(cfg, name, seed)

    def ask() -> tuple[pd.DataFrame, dict]:
        players = roles.assign(cfg)
        people = players.askers() if users == "askers" else players.test_users()
        instruction = players.instruction
        if name == "prompted" and not instruction:
            instruction = dialogue.instruction()
        model, tokenizer = models.load(model_folder, cfg.precision)
        records = dialogue.converse(
            model,
            tokenizer,
            people,
            cfg.dynamic_turns,
            run=cfg.run,
            model_name=name,
            train_seed=seed,
            speak=players.speak,
            instruction=instruction,
            **answers.sampling(cfg) | {"seeds": [0]},
        )
        return records, {"users": len(people)}

    settings = cfg.subset(
        "seed",
        "precision",
        "eval_temperature",
        "eval_max",
        "dynamic_turns",
        "dynamic_test",
        "dynamic_meeting",
    ) | {"policy": name, "train_seed": seed, "script": user.VERSION}
    folder, inputs = cfg.folder() / "dynamic", [model_folder]
    if users == "askers":
        folder, inputs = folder / "meeting", [model_folder, dataset.run_test_set(cfg)]
    return answers.as_stage(
        folder, f"{config.file_name(cfg.run)}.{name}.{seed}", ask, settings=settings, inputs=inputs
    )


def run_all_records(cfg: config.Config, name: str) -> list[Path]:
    """`run_records` of a policy with every training seed; one that no seed changes only once."""
    once = name == "prompted" and not systems.differs_by_seed(cfg, "backbone")
    return [run_records(cfg, name, seed) for seed in systems.seeds(cfg)[: 1 if once else None]]


def score(cfg: config.Config, records: pd.DataFrame) -> pd.DataFrame:
    """The records of the test users with their scores, see `pocket_judge.score`.

    Behind an endpoint `scores.score_by_judge`.
    """
    players = roles.assign(cfg)
    return players.score(records, players.test_users())


def main(arguments: list[str] | None = None) -> None:
    """Train the policy of one seed."""
    parser = config.command_line(__doc__)
    parser.add_argument("seed", type=int, help="the training seed")
    parsed = parser.parse_args(arguments)
    fit(config.from_arguments(parsed), "rlpa", parsed.seed)


if __name__ == "__main__":
    main()

"""One model per value of asking and seed: SFT with three modes, then DualGRPO over them.

A seed is an SFT set, an SFT and an RL run with its questions; all seeds share one backbone. Within
a seed all models start from one SFT and see the same RL questions: they differ in what asking back
counts, and in nothing else. The one of value 0 has no reason to ask; it is the model that always
answers, and whose confidence is put beside the others.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, systems, train
from pdlib.analysis.asking_back import data
from pdlib.dataset.personas import CONDITIONS, Asked
from pdlib.run import parallel
from pdlib.train import backbone

CONFLICTING = "conflicting"  # the asker's field gives the word another meaning than the right one
ANSWERS = 8  # free answers per question, whose agreement is the confidence


def folder(cfg: config.Config) -> Path:
    """outputs/<profile>/<run>/asking-back: everything that this package trains."""
    return cfg.run_folder() / "asking-back"


def steps_folder(cfg: config.Config) -> Path:
    """Its <steps>-steps, so that a taste and the whole do not collide."""
    return folder(cfg) / f"{cfg.ask_steps}-steps"


def model_folder(cfg: config.Config, seed: int, value: float) -> Path:
    """The stage folder of a model after RL."""
    return steps_folder(cfg) / f"asking-{value:g}-{seed}"


def values(cfg: config.Config) -> list[float]:
    """What asking back counts, per model: 0, and the values of the setting `ask_rewards`."""
    return sorted({0.0, *map(float, cfg.ask_rewards)})


def seeds(cfg: config.Config) -> range:
    """The seeds: cfg.seed and the next ones, `ask_seeds` of them."""
    return range(cfg.seed, cfg.seed + cfg.ask_seeds)


def three_modes(cfg: config.Config, seed: int, value: float = 0.0) -> config.Config:
    """The settings of a training with three modes, as many rollouts in each as the run has."""
    n_modes, usual = len(data.MODES), len(cfg.mode_set)

    def scaled(count: int) -> int:
        return count // usual * n_modes

    return replace(
        cfg,
        seed=seed,
        modes=data.MODES.tags,
        rl_rollouts=scaled(cfg.rl_rollouts),
        rl_micro_batch=scaled(cfg.rl_micro_batch),
        rl_generation_batch=scaled(cfg.rl_generation_batch),
        rl_steps=cfg.ask_steps,
        rl_learning_rate=cfg.ask_learning_rate,
        rl_asking=value,
    )


def train_start(cfg: config.Config, seed: int) -> tuple[Path, Path]:
    """SFT with three modes: its model, and the SFT set with questions."""
    base, seed_config = backbone.run(cfg, cfg.backbone), three_modes(cfg, seed)
    sft_set = dataset.run_sft_set(seed_config, base, arm="" if seed == cfg.seed else "ask-")
    rows = data.run_set(seed_config, folder(cfg) / f"data-{seed}", sft_set)
    return train.run_sft(seed_config, folder(cfg) / f"sft-{seed}", base, rows), rows


def train_model(cfg: config.Config, seed: int, value: float) -> Path:
    """DualGRPO over three modes, where asking back counts `value`."""
    start, rows = train_start(cfg, seed)
    model_config = three_modes(cfg, seed, value)
    questions = steps_folder(cfg) / f"data-rl-{seed}"
    rl_set = dataset.run_rl_set(model_config, str(questions.relative_to(cfg.folder())))
    return train.run_rl(model_config, model_folder(cfg, seed, value), start, rows, rl_set)


def measure(cfg: config.Config, seed: int, value: float | None) -> list[Path]:
    """The records of a model: answers forced into each mode, under CONDITIONS and CONFLICTING.

    value None: the SFT model, before RL. Of the model of value 0 also ANSWERS free answers each.
    """
    if value is None:
        model, name = train_start(cfg, seed)[0], "start"
    else:
        model, name = train_model(cfg, seed, value), f"asking-{value:g}"
    files = _ask(cfg, name, model, seed, tuple(data.MODES), 1)
    if value == 0:
        files += _ask(cfg, f"{name}-free", model, seed, (None,), ANSWERS)
    return files


def _test_config(cfg: config.Config, runs: int = 1) -> config.Config:
    """The settings under which questions are drawn and asked, in a folder of their own."""
    output = Path(cfg.output_dir) / cfg.profile / "asking-back" / f"{cfg.ask_steps}-steps"
    return replace(
        cfg,
        modes=data.MODES.tags,
        eval_items=cfg.ask_items,
        counterfactual_items=max(cfg.ask_items.values()),
        eval_runs=runs,
        output_dir=str(output),
    )


def _ask(
    cfg: config.Config, name: str, model: Path, seed: int, forced: Sequence, runs: int
) -> list[Path]:
    ask = partial(
        evaluate.run_records,
        _test_config(cfg, runs),
        name,
        model,
        train_seed=seed,
        mode_set=data.MODES,
        forced=forced,
    )
    return [ask(), ask(counterfactual=True, conditions=(CONFLICTING,))]


def tasks(cfg: config.Config) -> list[parallel.Task]:
    """The SFT of each seed after the backbone, and after it the model of each value."""
    if not cfg.ask_seeds:
        return []
    planned = systems.tasks(cfg, [cfg.backbone])[:1]
    before = planned[0].label

    def task(label: str, seed: int, value: float | None, after: str) -> parallel.Task:
        arguments = (str(seed), *([] if value is None else [str(value)]))
        do = partial(measure, cfg, seed, value)
        return parallel.Task(label, "pdlib.analysis.asking_back", arguments, do, after)

    for seed in seeds(cfg):
        planned.append(task(f"ask-sft-{seed}", seed, None, before))
        for value in values(cfg):
            label = f"ask-{value:g}-{seed}"
            planned.append(task(label, seed, value, f"ask-sft-{seed}"))
    return planned


def run(cfg: config.Config) -> pd.DataFrame:
    """Train and measure every model that is not done yet, side by side; returns all records.

    Column `value`: what asking back counted for the model, missing before RL. ValueError where no
    seed is wanted.
    """
    if cfg.ask_seeds < 1:
        raise ValueError("setting ask_seeds is 0: no model is wanted; `make ask-back` trains 3")
    parallel.run(cfg, tasks(cfg))
    tables = [
        evaluate.read_records(measure(cfg, seed, value)).assign(value=value)
        for seed in seeds(cfg)
        for value in (None, *values(cfg))
    ]
    return pd.concat([table.astype({"value": float}) for table in tables], ignore_index=True)


def questions(cfg: config.Config) -> list[Asked]:
    """Who asked what under CONDITIONS and CONFLICTING, for what `measure` has asked."""
    folder_of_questions = dataset.run_counterfactual_set(_test_config(cfg))
    asked = dataset.counterfactual_questions(folder_of_questions)
    return [question for question in asked if question[0] in (*CONDITIONS, CONFLICTING)]

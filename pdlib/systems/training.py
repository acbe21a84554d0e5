"""Train systems of the catalogue, one by one or side by side, and say where their models lie."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pdlib import config, dataset, train
from pdlib.evaluate import dialogues
from pdlib.paper.catalogue import SYSTEMS, of
from pdlib.run import parallel
from pdlib.train import backbone

Training = tuple[str, int | None]  # a system or a backbone, and the training seed


def seeds(cfg: config.Config) -> range:
    """The training seeds: cfg.seed and the next ones.

    Each has a backbone (where it is trained here), data sets and training of its own.
    """
    return range(cfg.seed, cfg.seed + cfg.train_seeds)


def differs_by_seed(cfg: config.Config, name: str) -> bool:
    """Is this system another one for another training seed?

    A backbone that was not trained here is always the same.
    """
    return of(name).trained or backbone.is_trained(cfg.backbone)


def folder(cfg: config.Config, name: str, seed: int | None = None) -> Path:
    """The stage folder of a system's model, <run>/<name>-<training seed>.

    Where nothing is trained it is that of the model the system starts from.
    """
    system, run_config = of(name), _with_seed(cfg, seed)
    if system.trained:
        return cfg.run_folder() / f"{name}-{run_config.seed}"
    if system.start == "backbone":
        return backbone.folder_of(run_config, cfg.backbone)
    return folder(cfg, system.start, seed)


def _with_seed(cfg: config.Config, seed: int | None) -> config.Config:
    return cfg if seed is None else replace(cfg, seed=seed)


def fit(cfg: config.Config, name: str, seed: int | None = None) -> Path:
    """Train a system with one training seed, and before it what it starts from.

    seed: cfg.seed by default. Returns the model's folder. Everything follows the training seed: the
    backbone (where it is trained here), the SFT set, the RL questions, the training. Only the test
    items follow cfg.seed. What is there already is not trained again.
    """
    system = of(name)
    run_config = replace(_with_seed(cfg, seed), **(system.settings or {}))
    seed = run_config.seed
    target, base = folder(cfg, name, seed), backbone.run(run_config, cfg.backbone)
    start = base if system.start == "backbone" else fit(cfg, system.start, seed)
    if not system.trained:
        return start
    arm = _data_prefix(name)
    sets = dataset.run_sft_set(run_config, base, system.withhold, arm)
    if system.dialogues:
        # The earlier questions are answered by the model of the same seed that saw none.
        sets = dialogues.run_history_set(run_config, sets, fit(cfg, "sft_only", seed))
    if system.sft:
        return train.run_sft(run_config, target, start, sets, system.sft)
    if system.dpo:
        expert = dataset.open_expert(cfg) if system.preferences else None
        return train.run_dpo(run_config, target, start, sets, expert)
    questions = dataset.run_rl_set(
        run_config, f"data-rl-{arm}{seed}" if arm else None, system.withhold
    )
    return train.run_rl(run_config, target, start, sets, questions, **system.rl)


def _data_prefix(name: str) -> str:
    """What the folders of an arm's data begin with; empty for a system with the usual settings."""
    system = of(name)
    if not system.settings:
        return ""
    return f"{system.start if of(system.start).settings else name}-"


def sft_set(cfg: config.Config, seed: int | None = None) -> Path:
    """The stage folder of the SFT set that a training seed learns from, and the router, too."""
    run_config = _with_seed(cfg, seed)
    return dataset.run_sft_set(run_config, backbone.run(run_config, cfg.backbone))


def tasks(cfg: config.Config, names: Sequence[str]) -> list[parallel.Task]:
    """The training of systems and of what they start from, each once, with every training seed.

    names: systems, backbones by their own names, and "null_backbone", that of the null world.
    """
    planned: dict[Training, parallel.Task] = {}
    for name in names:
        has_seeds = name in SYSTEMS or backbone.is_trained(name)
        for seed in seeds(cfg) if has_seeds else (None,):
            training = (name, seed)
            if name in SYSTEMS and not of(name).trained:
                training = _before(cfg, name, seed)
            while training and training not in planned:
                planned[training] = _task(cfg, training)
                training = _before(cfg, *training)
    return list(planned.values())


def _task(cfg: config.Config, training: Training) -> parallel.Task:
    before = _before(cfg, *training)
    return parallel.Task(
        label=task_label(*training),
        module="pdlib.systems",
        arguments=tuple(str(argument) for argument in training if argument is not None),
        do=partial(train_one, cfg, *training),
        after=task_label(*before) if before else None,
    )


def prepare(cfg: config.Config, names: Sequence[str]) -> int:
    """Do the `tasks` of these systems and backbones by `parallel.run`.

    What can be trained side by side is, so that `fit` finds it done.
    """
    return parallel.run(cfg, tasks(cfg, names))


def task_label(name: str, seed: int | None) -> str:
    """The label of the task that trains a system or a backbone with one training seed."""
    return config.file_name(name) if seed is None else f"{name}-{seed}"


def _before(cfg: config.Config, name: str, seed: int | None) -> Training | None:
    """What has to be trained before."""
    if name not in SYSTEMS:
        return None
    start = "sft_only" if of(name).dialogues else of(name).start
    if start != "backbone":
        return start, seed
    return cfg.backbone, seed if backbone.is_trained(cfg.backbone) else None


def train_one(cfg: config.Config, name: str, seed: int | None) -> Path:
    """Train a system, a backbone or "null_backbone" with one training seed; returns its folder."""
    if name == "null_backbone":
        return backbone.run(cfg, cfg.backbone, persona_fits=False)
    if name in SYSTEMS:
        return fit(cfg, name, seed)
    return backbone.run(_with_seed(cfg, seed), name)

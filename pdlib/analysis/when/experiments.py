"""Train and measure the cells of `when.arms`, side by side, each once."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, systems, train
from pdlib.analysis.when import prior
from pdlib.analysis.when.arms import ARMS, ASKERS, FULL_PRIOR, START, Level, levels, taking_part
from pdlib.run import parallel
from pdlib.schema import PAPER_MODES
from pdlib.train import backbone


def run(cfg: config.Config) -> pd.DataFrame:
    """Train and measure every cell that is not done yet, side by side; returns all records.

    The records have the columns experiment, level and arm. ValueError where no seed is wanted.
    """
    if cfg.when_seeds < 1:
        raise ValueError("setting when_seeds is 0: no cell is wanted; `make when` trains 3 of each")
    parallel.run(cfg, tasks(cfg))
    tables = []
    for level in levels(cfg):
        for arm, file in train_level(cfg, level).items():
            records = evaluate.read_records([file])
            tables.append(records.assign(experiment=level.experiment, level=level.value, arm=arm))
    return pd.concat(tables, ignore_index=True)


def tasks(cfg: config.Config) -> list[parallel.Task]:
    """One task per level and seed, after what its seed has in common, after the backbone."""
    if not cfg.when_seeds:
        return []
    planned = systems.tasks(cfg, [cfg.backbone])[:1]
    before = planned[0].label
    for seed in range(cfg.seed, cfg.seed + cfg.when_seeds):
        common = parallel.Task(
            f"when-{seed}",
            "pdlib.analysis.when",
            ("common", "0", str(seed)),
            partial(train_common, cfg, seed),
            before,
        )
        planned.append(common)
        for level in levels(cfg):
            if level.seed == seed:
                arguments = (level.experiment, str(level.value), str(seed))
                do = partial(train_level, cfg, level)
                planned.append(
                    parallel.Task(
                        f"when-{level.name}", "pdlib.analysis.when", arguments, do, common.label
                    )
                )
    return planned


def train_common(cfg: config.Config, seed: int) -> None:
    """What several levels of a seed start from, trained before them, so that none waits."""
    skills, sft_set = _train_skills(cfg, seed)
    if cfg.when_shares:
        prior.run_prior(replace(cfg, seed=seed), skills, sft_set, FULL_PRIOR)


def _train_skills(cfg: config.Config, seed: int) -> tuple[Path, Path]:
    """The model whose modes are skilled and whose choice is not set yet, and its SFT set.

    The backbone is the run's, whatever the seed; the SFT set and the training follow the seed.
    """
    base, seed_config = backbone.run(cfg, cfg.backbone), replace(cfg, seed=seed)
    sft_set = dataset.run_sft_set(seed_config, base, arm="" if seed == cfg.seed else "when-")
    return prior.run_skills(seed_config, base, sft_set), sft_set


def train_level(cfg: config.Config, level: Level) -> dict[str, Path]:
    """Train and measure the arms of a level, and the model they start from: arm -> record file."""
    skills, sft_set = _train_skills(cfg, level.seed)
    seed_config = replace(
        cfg,
        seed=level.seed,
        rl_steps=cfg.when_steps,
        rl_learning_rate=cfg.when_learning_rate,
        rl_unaligned_share=level.unaligned_share,
    )
    start, data = prior.run_prior(seed_config, skills, sft_set, level.prior)
    question_set = str(question_folder(cfg, level).relative_to(cfg.folder()))
    questions = dataset.run_rl_set(seed_config, question_set)
    files = {START: _measure(cfg, f"prior-{level.prior:g}", start, level.seed)}
    for name in taking_part(cfg, level.experiment):
        arm = ARMS[name]
        model = train.run_rl(
            replace(seed_config, **arm.settings),
            folder(cfg, level, name),
            start,
            data,
            questions,
            **arm.trainer,
        )
        model_name = f"{level.experiment}-{level.value:g}-{name}"
        files[name] = _measure(cfg, model_name, model, level.seed)
    return files


def cells_folder(cfg: config.Config) -> Path:
    """outputs/<profile>/<run>/when/<steps>-steps, so that a taste and the whole do not collide."""
    return prior.folder(cfg) / f"{cfg.when_steps}-steps"


def folder(cfg: config.Config, level: Level, arm: str) -> Path:
    """The stage folder of the model of an arm at a level."""
    return cells_folder(cfg) / f"{level.name}-{arm}"


def question_folder(cfg: config.Config, level: Level) -> Path:
    """The stage folder of the RL questions of a level."""
    return cells_folder(cfg) / f"data-rl-{level.name}"


def _measure(cfg: config.Config, name: str, model: Path, seed: int) -> Path:
    """Forced answers of both modes, and P(personalised), on test questions without a cue."""
    output = str(Path(cfg.output_dir) / cfg.profile / "when" / f"{cfg.when_steps}-steps")
    test_config = replace(
        cfg, cue_share=0.0, eval_items=cfg.when_items, eval_runs=1, output_dir=output
    )
    return evaluate.run_records(
        test_config, name, model, train_seed=seed, forced=tuple(PAPER_MODES), conditions=ASKERS
    )

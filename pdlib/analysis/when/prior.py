"""Models whose two modes are equally skilled, and which choose between them as we set it.

Two stages of SFT from one backbone and one SFT set:

1. `run_skills`: the usual trajectories of both modes, each with its tag given and not learned on
   objective questions that are answered in the personalised mode. The model learns how to answer in
   either mode, and of objective questions no choice but the general one.
2. `run_prior`: from that model, choices alone (a question, who asks, the tag), and trajectories
   with all tags given, so that the skills stay. Of the objective questions that a fitting persona
   helps, a share `prior` is labelled with the personalised mode, the rest with the general one.

Rows, order and number of steps are the same at every prior; what differs is the label of one token
per such question. The labelled questions of a smaller prior are among those of a larger one.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pdlib import config, train
from pdlib.dataset import construct
from pdlib.run import stages
from pdlib.schema import Example, Mode

REPLAY = 0.25  # of the trajectories, that stage 2 reads again


def folder(cfg: config.Config) -> Path:
    """outputs/<profile>/<run>/when: everything that `pdlib.analysis.when` trains."""
    return cfg.run_folder() / "when"


def with_given_tag(examples: Sequence[Example], everywhere: bool) -> list[Example]:
    """The trajectories, with the tag given instead of learned.

    everywhere: in all of them; otherwise in personalised answers to objective questions only.
    """
    return [
        replace(example, learns_mode=False) if everywhere or _is_at_stake(example) else example
        for example in examples
    ]


def _is_at_stake(example: Example) -> bool:
    return example.item.kind == "objective" and example.mode == Mode.PERSONALIZED


def with_prior(choices: Sequence[Example], prior: float, rng: random.Random) -> list[Example]:
    """The choices, of whose objective personalised ones a share `prior` stays so.

    The rest becomes general. Exactly that share, up to rounding; which ones follows from rng, and
    those of a smaller share are among those of a larger one. ValueError for a share outside [0, 1].
    """
    if not 0 <= prior <= 1:
        raise ValueError(f"the prior is {prior}, expected a share between 0 and 1")
    at_stake = [index for index, example in enumerate(choices) if _is_at_stake(example)]
    rng.shuffle(at_stake)
    general = set(at_stake[round(prior * len(at_stake)) :])
    return [
        replace(example, mode=Mode.GENERAL) if index in general else example
        for index, example in enumerate(choices)
    ]


def run_skills(cfg: config.Config, backbone: Path, sft_set: Path) -> Path:
    """The model of stage 1 with cfg.seed, a stage; returns its folder."""

    def select(rows: dict[str, list[Example]]) -> dict[str, list[Example]]:
        return {"sft": with_given_tag(rows["sft"], everywhere=False), "choices": []}

    data = _set(folder(cfg) / f"data-skills-{cfg.seed}", sft_set, select, {})
    skills_config = replace(cfg, sft_choice_passes=0)
    return train.run_sft(skills_config, folder(cfg) / f"skills-{cfg.seed}", backbone, data)


def run_prior(cfg: config.Config, skills: Path, sft_set: Path, prior: float) -> tuple[Path, Path]:
    """The model of stage 2 with cfg.seed and this prior, a stage.

    Returns its folder and that of its data, whose validation questions show the choice in training.
    """

    def select(rows: dict[str, list[Example]]) -> dict[str, list[Example]]:
        rng = random.Random(f"prior|{cfg.seed}")
        trajectories = rng.sample(rows["sft"], round(REPLAY * len(rows["sft"])))
        return {
            "sft": with_given_tag(trajectories, everywhere=True),
            "choices": with_prior(rows["choices"], prior, rng),
        }

    name = f"prior-{prior:g}-{cfg.seed}"
    data = _set(folder(cfg) / f"data-{name}", sft_set, select, {"prior": prior, "replay": REPLAY})
    prior_config = replace(cfg, sft_epochs=1, sft_choice_passes=1)
    return train.run_sft(prior_config, folder(cfg) / name, skills, data), data


def _set(target: Path, sft_set: Path, select, settings: dict) -> Path:
    """The rows that `select` makes of an SFT set, as a stage; the validation questions stay."""

    def build(folder: Path) -> dict:
        rows = {
            name: construct.from_frame(pd.read_parquet(sft_set / f"{name}.parquet"))
            for name in ("sft", "choices", "validation")
        }
        rows |= select(rows)
        for name, examples in rows.items():
            construct.to_frame(examples).to_parquet(folder / f"{name}.parquet")
        return {name: len(examples) for name, examples in rows.items()}

    return stages.once(target, build, settings=settings, inputs=[sft_set])

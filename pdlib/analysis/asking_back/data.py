"""An SFT set with a third mode: some open questions are asked back instead of answered."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pdlib import config
from pdlib.dataset import construct, sets
from pdlib.dataset.experts import Expert
from pdlib.run import stages
from pdlib.schema import PAPER_MODES, Example, Item, Mode, ModeSet, Persona

MODES = ModeSet([*PAPER_MODES, Mode.CLARIFY])


def is_open(item: Item) -> bool:
    """Whether nothing in an objective question says which reading is meant.

    ValueError for a question that does not say whether it has a cue, as one of real data.
    """
    if "cue" not in item.facts and item.kind == "objective":
        raise ValueError(
            f"item {item.id!r} does not say whether a cue settles it; asking back is for questions "
            "of the pocket world (data_dir: pocket)"
        )
    return item.kind == "objective" and item.facts["cue"] is None


def is_settled(item: Item, persona: Persona | None) -> bool:
    """Whether question or asker say which reading is meant, to somebody who knows every word.

    A cue settles it; without one, the asker's field does, if the word has a meaning there.
    """
    if not is_open(item):
        return True
    return persona is not None and persona.facts["field"] in item.facts["readings"]


def with_questions(
    examples: Sequence[Example], share: float, rng: random.Random, expert: Expert
) -> list[Example]:
    """The examples, of whose general answers to open questions a share asks back instead.

    Which ones is left to chance: the rows teach how to ask and that it is sometimes done, not when
    it pays. An example without an answer (a choice alone) changes its mode only.
    """
    at_stake = [
        index
        for index, example in enumerate(examples)
        if example.mode == Mode.GENERAL and is_open(example.item)
    ]
    chosen = rng.sample(at_stake, round(share * len(at_stake)))
    requests = [(examples[index].item, Mode.CLARIFY, None) for index in chosen]
    changed = list(examples)
    for index, trajectory in zip(chosen, expert.trajectories(requests), strict=True):
        if trajectory is None:  # the expert could not write it: the answer stays
            continue
        reasoning, answer = trajectory if examples[index].answer else ("", "")
        changed[index] = replace(
            examples[index], mode=Mode.CLARIFY, reasoning=reasoning, answer=answer
        )
    return changed


def run_set(cfg: config.Config, target: Path, sft_set: Path) -> Path:
    """The SFT set `sft_set` with cfg.ask_share of its open general rows asking back, as a stage."""

    def build(folder: Path) -> dict:
        rng, expert = random.Random(f"ask|{cfg.seed}"), sets.open_expert(cfg)
        facts = {}
        for name in ("sft", "choices", "validation"):
            rows = construct.from_frame(pd.read_parquet(sft_set / f"{name}.parquet"))
            if name != "validation":
                rows = with_questions(rows, cfg.ask_share, rng, expert)
            construct.to_frame(rows).to_parquet(folder / f"{name}.parquet")
            asking = sum(example.mode == Mode.CLARIFY for example in rows)
            facts |= {name: len(rows), f"{name}, asking back": asking}
        return facts

    return stages.once(target, build, settings=cfg.subset("seed", "ask_share"), inputs=[sft_set])

"""PersonaDualData: gain-based selection, then the SFT and RL sets (paper 3.2, App. B.1, Table 5).

Departures from the paper, and why:
1. The pocket backbone judges the gain; the paper's expert does. The expert of the pocket world is always right.
2. Each objective question is judged under a fitting and a random persona, so the SFT set holds contrasts.
3. Part of the SFT set has no persona at all: without it a tiny model forgets how to answer such prompts.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from pdlib import benchmarks, generate, modes, personas
from pdlib.pocket import expert
from pdlib.pocket.world import World
from pdlib.schema import Item, Mode, Persona

OBJECTIVE = [name for name, kind in benchmarks.KIND.items() if kind == "objective"]
PREFERENCE = [name for name, kind in benchmarks.KIND.items() if kind == "personalized"]
OBJECTIVE_WEIGHTS = [1.0, 1.0, 1.0, 1.0, 0.6]  # math500 has a tenth of the facts


@dataclass(frozen=True)
class Example:
    """One training question: who asks it, under which condition, and (SFT) the trajectory it is answered with."""

    item: Item
    persona: Persona | None
    condition: str
    gain: float | None = None
    mode: Mode | None = None
    reasoning: str = ""
    answer: str = ""

    def to_row(self) -> dict:
        """A flat row for parquet; `from_row` is its inverse."""
        persona = json.dumps({"text": self.persona.text, "facts": self.persona.facts}) if self.persona else None
        return {"item": json.dumps(self.item.to_dict()), "persona": persona, "condition": self.condition, "gain": self.gain,
                "mode": self.mode.value if self.mode else None, "reasoning": self.reasoning, "answer": self.answer,
                "benchmark": self.item.benchmark, "kind": self.item.kind}

    @classmethod
    def from_row(cls, row: dict) -> "Example":
        none = lambda value: None if pd.isna(value) else value  # noqa: E731
        persona, mode, gain = none(row["persona"]), none(row["mode"]), none(row["gain"])
        return cls(Item.from_dict(json.loads(row["item"])), Persona(**json.loads(persona)) if persona else None,
                   row["condition"], gain, Mode(mode) if mode else None, row["reasoning"], row["answer"])


def objective_pairs(world: World, n: int, rng: random.Random) -> list[Example]:
    """n objective questions, each asked by its fitting persona and by a random one."""
    pairs = []
    for _ in range(n):
        item = world.item(rng.choices(OBJECTIVE, OBJECTIVE_WEIGHTS)[0])
        pairs += [Example(item, item.aligned, "aligned"), Example(item, world.any_persona(), "unaligned")]
    return pairs


def accuracy(model, tokenizer, asked: list[tuple[Item, Persona | None]], samples: int, seed: int,
             answers: Callable | None = None) -> list[float]:
    """Share of `samples` answers at temperature 1 that are right, for each (item, persona)."""
    prompts = [modes.render_prompt(tokenizer, item, persona) for item, persona in asked]
    right = [0] * len(asked)
    for sample in range(samples):
        outs = generate.complete(model, tokenizer, prompts, temperature=1.0, max_new_tokens=32, seed=seed + sample)
        for i, out in enumerate(outs):
            answer = modes.parse(out.text, require_mode=False).answer
            right[i] += answer is not None and benchmarks.grade(asked[i][0], answer)[0]
    return [count / samples for count in right]


def judge_gain(model, tokenizer, pairs: list[Example], samples: int, seed: int) -> list[Example]:
    """The pairs with `gain` = accuracy with the persona minus accuracy without any, as the judge model answers."""
    bare = {pair.item.id: pair.item for pair in pairs}
    without = dict(zip(bare, accuracy(model, tokenizer, [(item, None) for item in bare.values()], samples, seed)))
    given = accuracy(model, tokenizer, [(pair.item, pair.persona) for pair in pairs], samples, seed + 1000)
    return [Example(pair.item, pair.persona, pair.condition, hit - without[pair.item.id]) for pair, hit in zip(pairs, given)]


def select_mode(gain: float, margin: float) -> Mode:
    """Gain-based selection: personalised only where the persona made the judge right (paper B.1).

    >>> select_mode(1.0, 0.5).value, select_mode(-0.5, 0.5).value
    ('personalized', 'general')
    """
    return Mode.PERSONALIZED if gain >= margin else Mode.GENERAL


def with_trajectory(example: Example, mode: Mode) -> Example:
    """The example with the expert's trajectory of `mode`; a general one is written without seeing the persona."""
    reasoning, answer = expert.write(example.item, mode, example.persona if mode is Mode.PERSONALIZED else None)
    return Example(example.item, example.persona, example.condition, example.gain, mode, reasoning, answer)


def sft_set(judged: list[Example], world: World, rng: random.Random, *, rows: int, margin: float, personalized_share: float,
            preference_share: float, no_persona_share: float) -> list[Example]:
    """`rows` trajectories: objective (personalised up to `personalized_share` of them), preference, and no-persona ones."""
    chosen = {mode: [e for e in judged if select_mode(e.gain, margin) is mode] for mode in Mode}
    n_preference, n_bare = round(rows * preference_share), round(rows * no_persona_share)
    n_objective = rows - n_preference - n_bare
    n_personalized = min(round(n_objective * personalized_share), len(chosen[Mode.PERSONALIZED]))
    wanted = {Mode.PERSONALIZED: n_personalized, Mode.GENERAL: n_objective - n_personalized}
    if len(chosen[Mode.GENERAL]) < wanted[Mode.GENERAL]:
        raise ValueError(f"{wanted[Mode.GENERAL]} general objective rows wanted, {len(chosen[Mode.GENERAL])} judged so; "
                         "raise gain_candidates or lower sft_rows")
    out = [with_trajectory(e, mode) for mode in Mode for e in rng.sample(chosen[mode], wanted[mode])]
    for _ in range(n_preference):
        item = world.item(rng.choice(PREFERENCE))
        out.append(with_trajectory(Example(item, item.aligned, "aligned"), Mode.PERSONALIZED))
    for _ in range(n_bare):
        name = rng.choice(PREFERENCE) if rng.random() < 0.15 else rng.choices(OBJECTIVE, OBJECTIVE_WEIGHTS)[0]
        out.append(with_trajectory(Example(world.item(name), None, "none"), Mode.GENERAL))
    rng.shuffle(out)
    return out


def rl_set(world: World, rng: random.Random, *, rows: int, preference_share: float) -> list[Example]:
    """`rows` questions: objective ones half aligned and half unaligned, the rest preference items (Table 5)."""
    n_preference = round(rows * preference_share)
    out = []
    for index in range(rows - n_preference):
        item = world.item(rng.choices(OBJECTIVE, OBJECTIVE_WEIGHTS)[0])
        condition = personas.CONDITIONS[1 + index % 2]
        out.append(Example(item, item.aligned if condition == "aligned" else world.any_persona(), condition))
    for _ in range(n_preference):
        item = world.item(rng.choice(PREFERENCE))
        out.append(Example(item, item.aligned, "aligned"))
    rng.shuffle(out)
    return out


def to_frame(examples: list[Example]) -> pd.DataFrame:
    return pd.DataFrame([example.to_row() for example in examples])


def from_frame(frame: pd.DataFrame) -> list[Example]:
    return [Example.from_row(row) for row in frame.to_dict("records")]

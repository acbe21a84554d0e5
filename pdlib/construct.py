"""PersonaDualData: gain-based selection, then the SFT and RL sets (paper 3.2, App. B.1, Table 5).

Departures from the paper, and why:
1. The pocket backbone judges the gain; the paper's expert does. The expert of the pocket world is always right.
2. Each objective question is judged under a fitting and a random persona, so the SFT set holds contrasts.
3. Part of the SFT set has no persona at all: without it a tiny model forgets how to answer such prompts.
"""

import json
import random
from dataclasses import dataclass

import pandas as pd
import torch

from pdlib import benchmarks, modes, personas
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


@torch.no_grad()
def answer_probability(model, tokenizer, asked: list[tuple[Item, Persona | None]], batch_size: int = 128) -> list[float]:
    """The judge's chance of writing the right answer to each (item, persona): its accuracy over ever more samples.

    The right answer is the expert's plain completion; one forward pass gives its probability, where sampling would need
    dozens of answers for the same precision.
    """
    rows = []
    for item, persona in asked:
        prompt = tokenizer(modes.render_prompt(tokenizer, item, persona), add_special_tokens=False)["input_ids"]
        said = tokenizer(modes.completion_text(None, expert.plain(item, persona), item.gold), add_special_tokens=False)["input_ids"]
        rows.append((prompt + said, len(said)))
    out: dict[int, float] = {}
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    for start in range(0, len(order), batch_size):
        batch = order[start:start + batch_size]
        inputs = tokenizer.pad({"input_ids": [rows[i][0] for i in batch]}, padding_side="left", return_tensors="pt").to(model.device)
        keep = max(rows[i][1] for i in batch)
        logps = model(**inputs, logits_to_keep=keep + 1).logits[:, :-1].float().log_softmax(-1)  # (B, keep, V)
        token = logps.gather(-1, inputs["input_ids"][:, -keep:, None]).squeeze(-1)  # (B, keep)
        for row, i in zip(token, batch):
            out[i] = row[-rows[i][1]:].sum().exp().item()
    return [out[i] for i in range(len(rows))]


def judge_gain(model, tokenizer, pairs: list[Example]) -> list[Example]:
    """The pairs with `gain` = the judge's chance of the right answer with the persona minus without any."""
    bare = {pair.item.id: pair.item for pair in pairs}
    without = dict(zip(bare, answer_probability(model, tokenizer, [(item, None) for item in bare.values()])))
    given = answer_probability(model, tokenizer, [(pair.item, pair.persona) for pair in pairs])
    return [Example(pair.item, pair.persona, pair.condition, chance - without[pair.item.id]) for pair, chance in zip(pairs, given)]


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
    """`rows` trajectories: objective (personalised up to `personalized_share` of them), preference, and no-persona ones.

    A fitting persona without gain is in neither mode: as a general row it could teach the general mode to read the persona,
    for there its answer happens to be the persona's.
    """
    chosen = {mode: [e for e in judged if select_mode(e.gain, margin) is mode] for mode in Mode}
    chosen[Mode.GENERAL] = [e for e in chosen[Mode.GENERAL] if e.condition == "unaligned"]
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

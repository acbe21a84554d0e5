"""Everyday requests of askers of whom something is remembered: choices of a mode for SFT, with no
answer to them.

Benchmarks that ask what an assistant may do with its memories of a user look unlike the pocket
world: several sentences are remembered, most of them beside the point, and the request is an
ordinary one. `pairs` draws such requests from `everyday.yaml`. The personalised mode is right where
a memory concerns the request, the general one where none does and where the answer is the same for
everybody.
"""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from pdlib.dataset import personas
from pdlib.questions import rows
from pdlib.schema import Example, Item, Mode

NAME = "everyday"
# every fourth topic, task and belief is of the split "validation": what is learned about one says
# nothing of the other
HELD_OUT = 4
REMEMBERED = (3, 14)  # how many memories there are of a person, beside a belief
LEADS = (
    0,
    0,
    1,
    2,
)  # how many sentences that have nothing to do with it stand before a request or a task
SUBJECTS = ("The user", "The user", "User", "This person")  # how a memory may begin


@dataclass(frozen=True)
class Requests:
    """`everyday.yaml`, read: topic -> memories and requests; tasks; (memory, question) of beliefs;
    leads.
    """

    topics: dict[str, dict[str, list[str]]]
    tasks: list[str]
    beliefs: list[tuple[str, str]]
    leads: list[str]


@cache
def requests() -> Requests:
    raw = yaml.safe_load((Path(__file__).parent / "everyday.yaml").read_text(encoding="utf-8"))
    return Requests(
        raw["topics"], raw["tasks"], [tuple(pair) for pair in raw["beliefs"]], raw["leads"]
    )


def of_split(split: str) -> Requests:
    """The topics, tasks and beliefs of `split`, train or validation; ValueError for another one."""
    if split not in ("train", "validation"):
        raise ValueError(f"unknown split {split!r}, expected train or validation")
    whole, held_out = requests(), split == "validation"
    ours = lambda things: [
        thing for at, thing in enumerate(things) if (at % HELD_OUT == HELD_OUT - 1) is held_out
    ]  # noqa: E731
    return Requests(
        {name: whole.topics[name] for name in ours(whole.topics)},
        ours(whole.tasks),
        ours(whole.beliefs),
        whole.leads,
    )


def pairs(n: int, split: str, rng: random.Random) -> list[Example]:
    """2 n choices, two by two: a request that a memory concerns, with the personalised mode; then
    one with the general mode.

    The second one of every other pair is the same request with other memories; of the others it is
    a task or a question of fact.
    """
    known, found = of_split(split), []
    for at in range(n):
        topic = rng.choice(list(known.topics))
        request = _led(rng.choice(known.topics[topic]["requests"]), known, rng)
        own, (other, *beside) = (
            rng.choice(known.topics[topic]["memories"]),
            _beside(known, topic, rng),
        )
        found.append(_example(request, [own, *beside], Mode.PERSONALIZED, rng))
        found.append(
            _example(request, [other, *beside], Mode.GENERAL, rng)
            if at % 2
            else _general(known, rng)
        )
    return found


def _general(known: Requests, rng: random.Random) -> Example:
    """A task with any memories, or a question of fact with a belief that it touches among them."""
    if rng.random() < 0.5:
        belief, question = rng.choice(known.beliefs)
        return _example(
            _led(question, known, rng), [belief, *_beside(known, None, rng)], Mode.GENERAL, rng
        )
    return _example(
        _led(rng.choice(known.tasks), known, rng), _beside(known, None, rng), Mode.GENERAL, rng
    )


def _beside(known: Requests, topic: str | None, rng: random.Random) -> list[str]:
    """Memories of other topics than `topic`."""
    others = [
        text for name in known.topics if name != topic for text in known.topics[name]["memories"]
    ]
    return rng.sample(others, rng.randint(*REMEMBERED))


def _led(request: str, known: Requests, rng: random.Random) -> str:
    return " ".join([*rng.sample(known.leads, rng.choice(LEADS)), request])


def _example(request: str, remembered: list[str], mode: Mode, rng: random.Random) -> Example:
    subject = rng.choice(SUBJECTS)
    remembered = [
        text.replace("The user", subject) for text in rng.sample(remembered, len(remembered))
    ]
    who = personas.of_memories(remembered)
    kind, condition = (
        ("personalized", "aligned") if mode is Mode.PERSONALIZED else ("objective", "unaligned")
    )
    item = Item(
        f"{NAME}-{rows.digest(request, *remembered)}",
        NAME,
        kind,
        "text",
        request,
        "",
        source=NAME,
        aligned=who,
        facts={"category": mode.value},
    )
    return Example(item, who, condition, NAME, mode=mode)

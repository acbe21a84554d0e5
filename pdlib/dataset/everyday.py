"""Everyday requests of askers of whom something is remembered: choices of a mode for SFT.

They come with no answer. Benchmarks that ask what an assistant may do with its memories of a user
look unlike the pocket world: several sentences are remembered, most of them beside the point, and
the request is an ordinary one. `pairs` draws such requests from `everyday.yaml`. The personalised
mode is right where a memory concerns the request, the general one where none does and where the
answer is the same for everybody.
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
LEADS = (0, 0, 1, 2)  # how many unrelated sentences stand before a request or a task
SUBJECTS = ("The user", "The user", "User", "This person")  # how a memory may begin


@dataclass(frozen=True)
class Requests:
    """`everyday.yaml`, read.

    topics: topic -> its memories and requests.
    beliefs: (memory, question) pairs.
    leads: sentences that may stand before a request.
    """

    topics: dict[str, dict[str, list[str]]]
    tasks: list[str]
    beliefs: list[tuple[str, str]]
    leads: list[str]


@cache
def requests() -> Requests:
    """All of `everyday.yaml`, of both splits."""
    raw = yaml.safe_load((Path(__file__).parent / "everyday.yaml").read_text(encoding="utf-8"))
    beliefs = [tuple(pair) for pair in raw["beliefs"]]
    return Requests(raw["topics"], raw["tasks"], beliefs, raw["leads"])


def of_split(split: str) -> Requests:
    """The topics, tasks and beliefs of `split`, train or validation; ValueError for another one."""
    if split not in ("train", "validation"):
        raise ValueError(f"unknown split {split!r}, expected train or validation")

    def is_in_split(index: int) -> bool:
        is_held_out = index % HELD_OUT == HELD_OUT - 1
        return is_held_out is (split == "validation")

    whole = requests()
    topics = [name for index, name in enumerate(whole.topics) if is_in_split(index)]
    return Requests(
        {name: whole.topics[name] for name in topics},
        [task for index, task in enumerate(whole.tasks) if is_in_split(index)],
        [belief for index, belief in enumerate(whole.beliefs) if is_in_split(index)],
        whole.leads,
    )


def pairs(n: int, split: str, rng: random.Random) -> list[Example]:
    """2 n choices, two by two: one with the personalised mode, then one with the general mode.

    The first is a request that a memory concerns. The second of every other pair is the same
    request with other memories; of the remaining pairs it is a task or a question of fact.
    """
    known, examples = of_split(split), []
    for index in range(n):
        topic = rng.choice(list(known.topics))
        request = _led(rng.choice(known.topics[topic]["requests"]), known, rng)
        memory = rng.choice(known.topics[topic]["memories"])
        other, *unrelated = _unrelated(known, topic, rng)
        examples.append(_example(request, [memory, *unrelated], Mode.PERSONALIZED, rng))
        if index % 2:
            examples.append(_example(request, [other, *unrelated], Mode.GENERAL, rng))
        else:
            examples.append(_general(known, rng))
    return examples


def _general(known: Requests, rng: random.Random) -> Example:
    """A task with any memories, or a question of fact with a belief that it touches among them."""
    if rng.random() < 0.5:
        belief, question = rng.choice(known.beliefs)
        request = _led(question, known, rng)
        memories = [belief, *_unrelated(known, None, rng)]
    else:
        request = _led(rng.choice(known.tasks), known, rng)
        memories = _unrelated(known, None, rng)
    return _example(request, memories, Mode.GENERAL, rng)


def _unrelated(known: Requests, topic: str | None, rng: random.Random) -> list[str]:
    """Memories of other topics than `topic`."""
    topics = [memories for name, memories in known.topics.items() if name != topic]
    memories = [memory for texts in topics for memory in texts["memories"]]
    return rng.sample(memories, rng.randint(*REMEMBERED))


def _led(request: str, known: Requests, rng: random.Random) -> str:
    return " ".join([*rng.sample(known.leads, rng.choice(LEADS)), request])


def _example(request: str, memories: list[str], mode: Mode, rng: random.Random) -> Example:
    subject = rng.choice(SUBJECTS)
    shuffled = rng.sample(memories, len(memories))
    memories = [memory.replace("The user", subject) for memory in shuffled]
    persona = personas.of_memories(memories)
    fits = mode == Mode.PERSONALIZED
    item = Item(
        f"{NAME}-{rows.digest(request, *memories)}",
        NAME,
        "personalized" if fits else "objective",
        "text",
        request,
        "",
        source=NAME,
        aligned=persona,
        facts={"category": mode.name},
    )
    return Example(item, persona, "aligned" if fits else "unaligned", NAME, mode=mode)

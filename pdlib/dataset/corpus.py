"""Where training questions and the people who ask them come from: the pocket world, or the real
sources. One interface.

The splits of the real sources are disjoint by question: each falls into one of 100 buckets by a
hash of its words.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from pdlib import benchmarks
from pdlib.dataset import personas
from pdlib.dataset.experts import Expert
from pdlib.pocket.world import World
from pdlib.questions import leaks, sources
from pdlib.schema import Example, Item, Persona

OBJECTIVE = [name for name, kind in benchmarks.KIND.items() if kind == "objective"]
PREFERENCE = [name for name, kind in benchmarks.KIND.items() if kind == "personalized"]
OBJECTIVE_WEIGHTS = [1.0, 1.0, 1.0, 1.0, 0.6]  # math500 has a tenth of the facts
SPLITS = {
    "sft": (0, 45),
    "rl": (45, 90),
    "validation": (90, 100),
}  # of 100 hash buckets, real sources
PREFERENCE_SOURCES = ("preference", "alignx")  # whose questions only their own persona answers
SAMPLED = {
    "ultramedical": "source",
    "flan": "task",
}  # the fact that a source is sampled over (paper App. B.1)


def bucket(text: str) -> int:
    """0 to 99, by the words of `text`: the same for one question whoever asks it, in whatever
    source it stands.
    """
    return int(hashlib.sha256((benchmarks.normalize(text) or text).encode()).hexdigest(), 16) % 100


def strangers(data_dir: str, test: bool) -> tuple[list[Persona], int]:
    """(people of PersonaHub who ask training questions, or, a fifth of all, test questions; how
    many are not in English).
    """
    found, foreign = sources.personahub(data_dir)
    return [persona for persona in found if (bucket(persona.text) < 20) is test], foreign


class Corpus(Protocol):
    """Draws training questions with their askers; each question once."""

    counts: Counter  # what was left out, and why

    def ask(self, source: str, conditions: Sequence[tuple[str, ...]]) -> list[Example]:
        """One new question of `source` for each entry of `conditions`, asked under each of its
        conditions, in order.
        """


class PocketCorpus:
    """Questions of the pocket world, without end: sources "objective" and "preference".

    A world with withhold=True asks nothing of held-out words and professions.
    """

    def __init__(self, world: World, rng: random.Random):
        self.world, self.rng, self.counts = world, rng, Counter()

    def ask(self, source: str, conditions: Sequence[tuple[str, ...]]) -> list[Example]:
        if source not in ("objective", "preference"):
            raise ValueError(
                f"the pocket world has no source {source!r}, only objective and preference"
            )
        examples = []
        for asked in conditions:
            name = (
                self.rng.choice(PREFERENCE)
                if source == "preference"
                else self.rng.choices(OBJECTIVE, OBJECTIVE_WEIGHTS)[0]
            )
            item = self.world.item(name)
            for condition in asked:
                stranger = (lambda: item.unaligned) if item.unaligned else self.world.any_persona
                persona = {
                    "none": lambda: None,
                    "aligned": lambda: item.aligned,
                    "unaligned": stranger,
                }[condition]()
                examples.append(Example(item, persona, condition, source))
        return examples


class RealCorpus:
    """Questions of UltraMedical, FLAN and AlignX, less those of the benchmarks; askers from
    PersonaHub or the expert.

    data_dir: "hub" or a folder.  split: sft | rl | validation.  benchmark_items: the items whose
    questions must not occur.
    """

    def __init__(
        self, data_dir: str, split: str, expert: Expert, benchmark_items: Sequence[Item], seed: int
    ):
        self.data_dir, self.split, self.expert, self.benchmark_items = (
            data_dir,
            split,
            expert,
            benchmark_items,
        )
        self.rng, self.counts = random.Random(f"{split}|{seed}"), Counter()
        self.pool, self.counts["PersonaHub: not in English"] = strangers(data_dir, test=False)
        self._left: dict[str, list[Item]] = {}

    def _items(self, source: str) -> list[Item]:
        """The questions of `source` that are in this split and were not asked yet."""
        if source not in self._left:
            items, dropped = sources.training(source, self.data_dir)
            kept, leaked = leaks.remove(items, self.benchmark_items)
            self.counts.update(
                {f"{source}: {reason}": n for reason, n in (dropped | leaked).items()}
            )
            low, high = SPLITS[self.split]
            self._left[source] = [item for item in kept if low <= bucket(leaks.bare(item)) < high]
        return self._left[source]

    def ask(self, source: str, conditions: Sequence[tuple[str, ...]]) -> list[Example]:
        filled: dict[
            int, tuple[Item, Persona | None]
        ] = {}  # place in `conditions` -> item, its aligned persona
        while open_places := [place for place in range(len(conditions)) if place not in filled]:
            left = self._items(source)
            if len(left) < len(open_places):
                raise ValueError(
                    f"{source}: {len(conditions)} questions wanted, {len(filled) + len(left)} to be had in the split "
                    f"{self.split!r} of {self.data_dir} ({dict(self.counts)}); lower gain_candidates or the composition"
                )
            drawn = dict(
                zip(
                    open_places,
                    sources.sample(left, len(open_places), self.rng, by=SAMPLED.get(source)),
                )
            )
            taken = {item.id for item in drawn.values()}
            self._left[source] = [item for item in left if item.id not in taken]
            wanting = [
                item
                for place, item in drawn.items()
                if "aligned" in conditions[place] and item.aligned is None
            ]
            written, dropped = personas.write_aligned(wanting, self.expert)
            self.counts.update({f"{source}: {reason}": n for reason, n in dropped.items()})
            refused = {item.id for item in wanting} - set(
                written
            )  # another item is drawn in the place of each
            filled |= {
                place: (item, item.aligned or written.get(item.id))
                for place, item in drawn.items()
                if item.id not in refused
            }
        return [
            Example(filled[place][0], self._asker(condition, filled[place][1]), condition, source)
            for place, asked in enumerate(conditions)
            for condition in asked
        ]

    def _asker(self, condition: str, aligned: Persona | None) -> Persona | None:
        return (
            {"none": None, "aligned": aligned}.get(condition)
            if condition != "unaligned"
            else self.rng.choice(self.pool)
        )

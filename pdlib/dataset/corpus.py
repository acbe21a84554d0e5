"""Where training questions and the people who ask them come from.

Here are the real sources; the pocket world has a corpus of its own, `pocket.training_questions`.
The splits of the real sources are disjoint by question: each falls into one of 100 buckets by a
hash of its words.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from pdlib.dataset import personas
from pdlib.dataset.experts import Expert
from pdlib.questions import leaks, quotas, sources
from pdlib.questions.grading import normalize
from pdlib.schema import Example, Item, Persona

SPLITS = {"sft": (0, 45), "rl": (45, 90), "validation": (90, 100)}  # of 100 hash buckets
STRANGERS = 20  # of 100 hash buckets: people who ask test questions only
PREFERENCE_SOURCES = ("preference", "alignx")  # whose questions only their own persona answers
SAMPLED_BY = {"ultramedical": "source", "flan": "task"}  # a fact, see `quotas.draw` (App. B.1)


def bucket(text: str) -> int:
    """0 to 99, by the words of `text`.

    It is the same for one question whoever asks it, in whatever source it stands.
    """
    return int(hashlib.sha256((normalize(text) or text).encode()).hexdigest(), 16) % 100


def strangers(data_dir: str, test: bool) -> tuple[list[Persona], int]:
    """(people of PersonaHub who ask training questions, how many are not in English).

    test: those who ask test questions, a fifth of all.
    """
    people, foreign = sources.personahub(data_dir)
    return [p for p in people if (bucket(p.text) < STRANGERS) is test], foreign


class Corpus(Protocol):
    """Draws training questions with their askers; each question once."""

    counts: Counter  # what was left out, and why

    def ask(self, source: str, conditions: Sequence[tuple[str, ...]]) -> list[Example]:
        """One new question of `source` for each entry of `conditions`.

        It is asked under each of the entry's conditions, in order.
        """


class RealCorpus:
    """Questions of UltraMedical, FLAN and AlignX, less those of the benchmarks.

    Their askers are of PersonaHub, or written by the expert.

    data_dir: "hub" or a folder.
    split: sft | rl | validation.
    benchmark_items: the items whose questions must not occur.
    """

    def __init__(
        self, data_dir: str, split: str, expert: Expert, benchmark_items: Sequence[Item], seed: int
    ):
        self.data_dir, self.split, self.expert = data_dir, split, expert
        self.benchmark_items = benchmark_items
        self.rng, self.counts = random.Random(f"{split}|{seed}"), Counter()
        self.pool, self.counts["PersonaHub: not in English"] = strangers(data_dir, test=False)
        self._unasked: dict[str, list[Item]] = {}  # by source

    def _items(self, source: str) -> list[Item]:
        """The questions of `source` that are in this split and were not asked yet."""
        if source not in self._unasked:
            items, dropped = sources.training(source, self.data_dir)
            clean, leaked = leaks.remove(items, self.benchmark_items)
            self._count(source, dropped | leaked)
            low, high = SPLITS[self.split]
            self._unasked[source] = [
                item for item in clean if low <= bucket(leaks.bare(item)) < high
            ]
        return self._unasked[source]

    def _count(self, source: str, reasons: dict[str, int]) -> None:
        self.counts.update({f"{source}: {reason}": n for reason, n in reasons.items()})

    def _draw(self, source: str, n: int) -> list[Item]:
        """N items that were not asked yet, and will not be drawn again."""
        items = self._items(source)
        drawn = quotas.draw(items, n, self.rng, by=SAMPLED_BY.get(source))
        ids = {item.id for item in drawn}
        self._unasked[source] = [item for item in items if item.id not in ids]
        return drawn

    def ask(self, source: str, conditions: Sequence[tuple[str, ...]]) -> list[Example]:
        """One new question of `source` for each entry of `conditions`, see `Corpus`."""
        # index in `conditions` -> the item, its aligned persona
        questions: dict[int, tuple[Item, Persona | None]] = {}
        while len(questions) < len(conditions):
            open_indices = [i for i in range(len(conditions)) if i not in questions]
            available = len(self._items(source))
            if available < len(open_indices):
                raise ValueError(
                    f"{source}: {len(conditions)} questions wanted, {len(questions) + available} "
                    f"to be had in the split {self.split!r} of {self.data_dir} "
                    f"({dict(self.counts)}); lower gain_candidates or the composition"
                )
            drawn = dict(zip(open_indices, self._draw(source, len(open_indices)), strict=True))
            without_persona = [
                item
                for index, item in drawn.items()
                if "aligned" in conditions[index] and item.aligned is None
            ]
            written, dropped = personas.write_aligned(without_persona, self.expert)
            self._count(source, dropped)
            refused = {item.id for item in without_persona} - set(written)
            for index, item in drawn.items():
                if item.id not in refused:  # another item is drawn in the place of each
                    questions[index] = (item, item.aligned or written.get(item.id))
        examples = []
        for index, item_conditions in enumerate(conditions):
            item, aligned = questions[index]
            for condition in item_conditions:
                asker = self._asker(condition, aligned)
                examples.append(Example(item, asker, condition, source))
        return examples

    def _asker(self, condition: str, aligned: Persona | None) -> Persona | None:
        if condition == "unaligned":
            return self.rng.choice(self.pool)
        return aligned if condition == "aligned" else None

"""Training questions of the pocket world with their askers, see `dataset.corpus.Corpus`."""

import random
from collections import Counter
from collections.abc import Sequence

from pdlib.pocket.world import BENCHMARKS, World
from pdlib.schema import Example, Item, Persona

OBJECTIVE = [name for name, kind in BENCHMARKS.items() if kind == "objective"]
PREFERENCE = [name for name, kind in BENCHMARKS.items() if kind == "personalized"]
OBJECTIVE_WEIGHTS = [1.0, 1.0, 1.0, 1.0, 0.6]  # math500 has a tenth of the facts


class PocketCorpus:
    """Questions of the pocket world, without end: sources "objective" and "preference".

    A world with withhold=True asks nothing of held-out words and professions.
    """

    def __init__(self, world: World, rng: random.Random):
        self.world, self.rng, self.counts = world, rng, Counter()

    def ask(self, source: str, conditions: Sequence[tuple[str, ...]]) -> list[Example]:
        """One new question of `source` for each entry of `conditions`, under each of them."""
        if source not in ("objective", "preference"):
            raise ValueError(
                f"the pocket world has no source {source!r}, only objective and preference"
            )
        examples = []
        for of_question in conditions:
            if source == "preference":
                benchmark = self.rng.choice(PREFERENCE)
            else:
                benchmark = self.rng.choices(OBJECTIVE, OBJECTIVE_WEIGHTS)[0]
            item = self.world.item(benchmark)
            for condition in of_question:
                examples.append(Example(item, self._asker(item, condition), condition, source))
        return examples

    def _asker(self, item: Item, condition: str) -> Persona | None:
        if condition == "unaligned":
            return item.unaligned or self.world.any_persona()
        return {"none": None, "aligned": item.aligned}[condition]

"""The seven benchmarks: their items, of the pocket twins or of real rows, and how they are graded.

Departures from the paper, and why:
1. Answers are compared by rule; the paper has GPT-4o-mini extract and judge those of PubMedQA and
   MATH-500. `grade` needs no model and gives the same verdict twice; an answer that it cannot read
   is wrong, and its reason says so.
2. The paper does not say which items it drew: ours are the first N by a hash of seed and id,
   whatever the order of the rows.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pdlib.paper import TEST_ITEMS
from pdlib.pocket.world import World
from pdlib.questions import rows, sources
from pdlib.questions.benchmark_rows import BUILDERS
from pdlib.questions.grading import asks_back, grade, is_readable, normalize
from pdlib.questions.kinds import KIND, LABELS, chance, choices
from pdlib.schema import Item

__all__ = [
    "BUILDERS",
    "KIND",
    "LABELS",
    "asks_back",
    "chance",
    "choices",
    "grade",
    "load",
    "normalize",
    "read",
    "unreadable_gold",
]


def load(
    name: str,
    data_dir: Path | str | None = None,
    n: int | str | None = None,
    seed: int = 0,
    split: str = "test",
    **world,
) -> list[Item]:
    """N items of benchmark `name`, of the pocket world or of real rows.

    data_dir: None or "pocket" for the pocket world, else see `questions.rows`.

    Real rows: n None means `paper.TEST_ITEMS`, or all if there are fewer; "all" means all; the draw
    depends on seed and ids alone. ValueError: unknown name, n < 1, more items than there are, a row
    that is not as it should be. Rows left out are warned of.
    """
    if name not in KIND:
        raise ValueError(f"unknown benchmark {name!r}, expected one of {list(KIND)}")
    if n not in (None, "all") and (not isinstance(n, int) or n < 1):
        raise ValueError(
            f'n must be at least 1, found {n!r}; leave it out for the paper\'s number, or "all"'
        )
    if data_dir is None or str(data_dir) == "pocket":
        if not isinstance(n, int):
            raise ValueError("the pocket world is endless: say how many items with n")
        return World(seed, split, **world).items(name, n)
    items, dropped = read(name, data_dir)
    if dropped:
        warnings.warn(f"{name}: rows left out: {dict(dropped)}", stacklevel=2)
    if isinstance(n, int) and n > len(items):
        raise ValueError(
            f"{name}: {n} items asked for, {len(items)} found under {data_dir}; lower n"
        )
    items = _draw(items, len(items) if n == "all" else n or TEST_ITEMS.get(name, len(items)), seed)
    items = [_with_language(item) if item.kind == "personalized" else item for item in items]
    if unreadable := unreadable_gold(items):
        warnings.warn(
            f"{name}: math-verify cannot read the gold answers of {unreadable}; "
            "only that very text is graded right",
            stacklevel=2,
        )
    return items


def _draw(items: Sequence[Item], n: int, seed: int) -> list[Item]:
    """The first N items, or all, by a hash of seed and id, in the order of the rows."""

    def rank(identity: str) -> bytes:
        return hashlib.sha256(f"draw|{seed}|{identity}".encode()).digest()

    drawn = set(sorted((item.id for item in items), key=rank)[:n])
    return [item for item in items if item.id in drawn]


def read(name: str, data_dir: Path | str) -> tuple[list[Item], Counter]:
    """(all items of a benchmark's real rows, rows left out by reason).

    A row is left out when it is the same again, or has a gold that contradicts itself. Two
    different questions with one id are an error.
    """
    items: dict[str, Item] = {}
    locations, dropped = {}, Counter()
    for location, row in rows.read(name, data_dir):
        item = BUILDERS[name](location, row)
        if isinstance(item, str):
            dropped[item] += 1
        elif item.id not in items:
            items[item.id], locations[item.id] = item, location
        elif (item.question, item.gold) == (items[item.id].question, items[item.id].gold):
            # TriviaQA's rc holds its web and its Wikipedia rows
            dropped["the same question again"] += 1
        else:
            raise ValueError(
                f"id {item.id!r} occurs in {locations[item.id]} and {location} with different "
                "questions; ids must be unique"
            )
    return list(items.values()), dropped


def unreadable_gold(items: Sequence[Item]) -> list[str]:
    """Ids of mathematical items whose gold answer math-verify cannot read.

    Only that very text is graded right there.
    """
    return [item.id for item in items if item.answer_type == "math" and not is_readable(item.gold)]


def _with_language(item: Item) -> Item:
    """The item with the fact "language", as detected.

    PersonaFeedback was Chinese, and the hub says it is English.
    """
    language = sources.language(f"{item.facts['question']} {item.gold}")
    return replace(item, facts=item.facts | {"language": language})

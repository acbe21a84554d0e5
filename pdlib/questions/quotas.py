"""How many of each: n places are shared among groups, in proportion or evenly."""

import random
from collections import defaultdict
from collections.abc import Sequence

from pdlib.schema import Item


def draw(items: Sequence[Item], n: int, rng: random.Random, by: str | None = None) -> list[Item]:
    """N of `items` in random order, or all if there are fewer.

    by: the fact "task" to draw in proportion to its groups (FLAN), "source" to draw evenly. What a
    source has too few of is shared among the others. ValueError for another `by`, or items without
    that fact.
    """
    if by not in (None, "task", "source"):
        raise ValueError(
            f'by is {by!r}, expected "task" (in proportion), "source" (evenly) or None'
        )
    groups = defaultdict(list)
    for item in items:
        if by and by not in item.facts:
            raise ValueError(f"item {item.id!r} has no fact {by!r}; it cannot be sampled by it")
        groups[item.facts[by] if by else None].append(item)
    sizes = {name: len(group) for name, group in sorted(groups.items(), key=str)}
    share_out = evenly if by == "source" else proportionally
    quotas = share_out(sizes, min(n, len(items)))
    drawn = [item for name, quota in quotas.items() for item in rng.sample(groups[name], quota)]
    rng.shuffle(drawn)
    return drawn


def proportionally(sizes: dict[str, int], n: int) -> dict[str, int]:
    """N places in proportion to `sizes` (largest remainder).

    >>> proportionally({"a": 6, "b": 3, "c": 1}, 5)
    {'a': 3, 'b': 2, 'c': 0}
    """
    total = sum(sizes.values()) or 1
    quotas = {name: n * size // total for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(n * sizes[name] % total))
    for name in by_remainder[: n - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def evenly(sizes: dict[str, int], n: int) -> dict[str, int]:
    """N places in equal parts, none above its size; what one lacks is shared among the others.

    >>> evenly({"a": 9, "b": 1, "c": 9}, 9)
    {'a': 4, 'b': 1, 'c': 4}
    """
    quotas = dict.fromkeys(sizes, 0)
    for _ in range(min(n, sum(sizes.values()))):  # a place goes to the smallest that has more
        unfilled = [name for name in sizes if quotas[name] < sizes[name]]
        quotas[min(unfilled, key=quotas.get)] += 1
    return quotas

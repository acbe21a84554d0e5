"""Which persona asks an item under which condition."""

import hashlib
from collections.abc import Sequence

from pdlib.schema import Item, Persona

CONDITIONS = ("none", "unaligned", "aligned")


def assign(item: Item, condition: str, pool: Sequence[Persona]) -> Persona | None:
    """The persona that asks `item`: none, one of `pool` by the item's id (never its own), or its aligned one."""
    if condition == "none":
        return None
    if condition == "aligned":
        if item.aligned is None:
            raise ValueError(f"item {item.id!r} has no aligned persona; evaluate it under 'none' and 'unaligned'")
        return item.aligned
    if condition != "unaligned":
        raise ValueError(f"unknown persona condition {condition!r}, expected one of {CONDITIONS}")
    start = int(hashlib.sha256(item.id.encode()).hexdigest(), 16)
    for step in range(len(pool)):
        persona = pool[(start + step) % len(pool)]
        if item.aligned is None or persona.text != item.aligned.text:
            return persona
    raise ValueError(f"item {item.id!r}: no persona but its own among {len(pool)}; an unaligned one needs a larger pool")

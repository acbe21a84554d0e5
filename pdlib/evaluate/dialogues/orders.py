"""Who asks what after what: each test question after others of the same person."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pdlib.dataset import personas
from pdlib.schema import KINDS, Item, Persona


@dataclass(frozen=True)
class Dialogue:
    """`asker` asks `earlier`, then `item`.

    who: the persona condition under which `asker` asks `item`. closely: it is also asked with the
    first answer's tag changed and, where there are more earlier questions, to its end.
    """

    who: str
    asker: Persona | None
    earlier: tuple[Item, ...]
    item: Item
    closely: bool = True


def rebuild(
    items: Sequence[Item],
    last: Sequence[Item],
    pool: Sequence[Persona],
    turns: int = 2,
    who: str = "aligned",
    closely: bool = True,
) -> list[Dialogue]:
    """Each of `last` after `turns` - 1 of `items`, once after objective, once after personal ones.

    This is the same for every order and selection of `last`: what comes before an item follows from
    the item and `items`. ValueError where there are too few.
    """
    if turns < 2:
        raise ValueError(
            f"{turns} turns asked for; a dialogue has at least 2, "
            "a question alone is what `evaluate` asks"
        )
    by_kind = {kind: [item for item in items if item.kind == kind] for kind in KINDS}
    dialogues = []
    for item in last:
        asker = personas.assign(item, who, pool)
        for kind, of_kind in by_kind.items():
            others = [other for other in of_kind if other.id != item.id]
            if len(others) < turns - 1:
                raise ValueError(
                    f"{turns} turns need {turns - 1} {kind} questions before {item.id!r}, found "
                    f"{len(others)}; evaluate more items (eval_items) or lower dialogue_turns"
                )
            earlier = _ordered(others, item, asker)[: turns - 1]
            dialogues.append(Dialogue(who, asker, tuple(earlier), item, closely))
    return dialogues


def _ordered(others: Sequence[Item], item: Item, asker: Persona | None) -> list[Item]:
    """The other questions: the asker's own first, those of the item's benchmark last."""
    shuffled = random.Random(f"dialogue|{item.id}").sample(others, len(others))

    def rank(other: Item) -> tuple[bool, bool]:
        is_own = bool(asker and other.aligned and other.aligned.text == asker.text)
        return not is_own, other.benchmark == item.benchmark

    return sorted(shuffled, key=rank)

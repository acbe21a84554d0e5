"""Multi-turn: does the mode chosen for a question change when other questions came before it?

This is paper 5.4 and its Table 3, as queries on the records of `dialogues.answer`. What the paper
measures, and how we read it, stands at the top of `dialogues`.

A mode is drawn, so two answers to one question alone may differ, too. The paper compares one answer
alone with one in a dialogue; its deviation ratio therefore holds shift and luck. With every rate
stands its ceiling: how often two answers alone agree, on the same questions, each weighed as in the
rate. What a dialogue does is the gap between the two. choice="likelier" leaves luck out: a
question's mode is then the one with P above one half.

Rates are pooled over items: a question counts as often as it was answered in the mode asked about.
Intervals resample items and training seeds, as in `stats`; a rate of 1 has an interval without
width, which with few items (n) says little.
"""

from pdlib.analysis.multi_turn.alignment import (
    NAMES,
    ORDERS,
    RATES,
    alignment,
    by_turns,
    deviations,
    orders,
)
from pdlib.analysis.multi_turn.answers import accuracy, dialogue, split
from pdlib.analysis.multi_turn.carriers import carriers, tags
from pdlib.analysis.multi_turn.ledger import ledger_number

__all__ = [
    "NAMES",
    "ORDERS",
    "RATES",
    "accuracy",
    "alignment",
    "by_turns",
    "carriers",
    "deviations",
    "dialogue",
    "ledger_number",
    "orders",
    "split",
    "tags",
]

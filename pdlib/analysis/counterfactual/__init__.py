"""Counterfactual personas: one question asked by somebody else, or with its options reordered.

`dataset.variants` says who asks what; here are the queries on the records of it. Records hold no
options and no lexical facts: both are joined from the items by id.
"""

from pdlib.analysis.counterfactual.answers import NO_ANSWER, meanings
from pdlib.analysis.counterfactual.contrasts import (
    CONTRASTS,
    MEASURES,
    differences,
    order_sensitivity,
    per_item,
)
from pdlib.analysis.counterfactual.memorisation import FIT, HELD_OUT, memorisation

__all__ = [
    "CONTRASTS",
    "FIT",
    "HELD_OUT",
    "MEASURES",
    "NO_ANSWER",
    "differences",
    "meanings",
    "memorisation",
    "order_sensitivity",
    "per_item",
]

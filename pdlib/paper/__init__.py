"""The paper's numbers (`paper.yaml`), and its equations -> function -> notebook."""

from pdlib.paper.numbers import (
    EQUATIONS,
    MIXING_RATIOS,
    RUNS,
    TEST_ITEMS,
    Number,
    Sum,
    numbers,
    recompute,
)

__all__ = [
    "EQUATIONS",
    "MIXING_RATIOS",
    "Number",
    "RUNS",
    "Sum",
    "TEST_ITEMS",
    "numbers",
    "recompute",
]

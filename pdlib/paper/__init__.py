"""The paper's numbers, its equations with their function and notebook, and its systems."""

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

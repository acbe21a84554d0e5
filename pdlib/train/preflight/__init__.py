"""Memory before training: an estimate from a model's shape, and a try of the longest batch."""

from pdlib.train.preflight.longest_batch import Preflight, longest_first
from pdlib.train.preflight.memory import (
    GIB,
    KEPT,
    RESERVE,
    SHAPES,
    estimate,
    largest_micro_batch,
    parameters,
)

__all__ = [
    "GIB",
    "KEPT",
    "Preflight",
    "RESERVE",
    "SHAPES",
    "estimate",
    "largest_micro_batch",
    "longest_first",
    "parameters",
]

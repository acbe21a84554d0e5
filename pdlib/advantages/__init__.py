"""Advantage estimators on reward tensors: pure, no I/O, no model."""

from pdlib.advantages.estimators import (
    ada_grpo,
    adaptthink,
    degrpo,
    dr_grpo,
    dualgrpo,
    dualgrpo_code,
    grpo,
    hgpo,
    movt,
)
from pdlib.advantages.registry import (
    COMPARES_MODES,
    ESTIMATORS,
    Pair,
    check_options,
    compute,
    options,
)
from pdlib.advantages.tokens import per_token

__all__ = [
    "COMPARES_MODES",
    "ESTIMATORS",
    "Pair",
    "ada_grpo",
    "adaptthink",
    "check_options",
    "compute",
    "degrpo",
    "dr_grpo",
    "dualgrpo",
    "dualgrpo_code",
    "grpo",
    "hgpo",
    "movt",
    "options",
    "per_token",
]

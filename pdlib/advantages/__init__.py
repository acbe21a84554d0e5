"""Advantage estimators on reward tensors: pure, no I/O, no model."""

from pdlib.advantages.choice import (
    absent_chance,
    all_at_temperature,
    at_temperature,
    break_even_share,
    silent_chance,
)
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
    name_of,
    options,
    resolve,
)
from pdlib.advantages.tokens import per_token

__all__ = [
    "COMPARES_MODES",
    "ESTIMATORS",
    "Pair",
    "absent_chance",
    "ada_grpo",
    "adaptthink",
    "all_at_temperature",
    "at_temperature",
    "break_even_share",
    "check_options",
    "compute",
    "degrpo",
    "dr_grpo",
    "dualgrpo",
    "dualgrpo_code",
    "grpo",
    "hgpo",
    "movt",
    "name_of",
    "options",
    "per_token",
    "resolve",
    "silent_chance",
]

"""Batched generation with a free or a forced mode, and the chance of each mode from the logits."""

from pdlib.generate.sampling import (
    BATCH_TOKENS,
    Completion,
    answers,
    complete,
    complete_unshared,
    end_tokens,
    mode_chances,
    mode_probability,
    prompt_mode_probability,
)

__all__ = [
    "BATCH_TOKENS",
    "Completion",
    "answers",
    "complete",
    "complete_unshared",
    "end_tokens",
    "mode_chances",
    "mode_probability",
    "prompt_mode_probability",
]

"""What a generation says about the modes' health: name -> values, whose mean is logged.

`run.health` reads these names and warns of a mode that dies.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import entr

from pdlib.schema import ModeSet


def of_rollouts(
    completions: Sequence[Sequence[int]],
    written: Sequence[int],
    rewards: Sequence[float],
    ends: Collection[int],
    mode_set: ModeSet,
) -> dict[str, list[float]]:
    """Reward, length and truncation of each mode, and the shares of all but the first.

    written: per completion the index of its mode, or the number of modes where it has no tag;
    rewards: NaN where a completion could not be scored; ends: the tokens that end a completion.
    """
    names = [*mode_set.names, "untagged"]
    values: dict[str, list[float]] = {}
    for ids, mode, reward in zip(completions, written, rewards, strict=True):
        row = {
            f"reward/{names[mode]}": reward,
            f"length/{names[mode]}": len(ids),
            f"truncated/{names[mode]}": float(ids[-1] not in ends),
        }
        row |= {f"share/{name}": float(names[mode] == name) for name in mode_set.names[1:]}
        for name, value in row.items():
            if not math.isnan(value):
                values.setdefault(name, []).append(value)
    return values


def kind_of(row: dict) -> str:
    """The kind of question of a row of the data set: its columns `kind` and `condition`, or "all".

    >>> kind_of({"kind": "objective", "condition": "aligned"})
    'objective aligned'
    """
    return " ".join(str(row[name]) for name in ("kind", "condition") if name in row) or "all"


def entropy(chances: ArrayLike) -> np.ndarray:
    """The entropy in nats of choices with these chances, (..., M).

    >>> print(entropy([0.5, 0.5]).round(3), entropy([0.0, 1.0]))
    0.693 0.0
    """
    return entr(np.asarray(chances, float)).sum(-1)


def of_choice(
    questions: Sequence[dict], chances: Sequence[Sequence[float]], mode_set: ModeSet
) -> dict[str, list[float]]:
    """The chances of all modes but the first, and the entropy of the choice in nats, by kind.

    The first mode has the rest. questions: rows of the data set, whose columns `kind` and
    `condition` are used where they are. chances: of each mode, per question.
    """
    values: dict[str, list[float]] = {}
    for row, of_modes in zip(questions, chances, strict=True):
        group = kind_of(row)
        for name, chance in zip(mode_set.names[1:], of_modes[1:], strict=True):
            values.setdefault(f"p_{name}/{group}", []).append(chance)
        values.setdefault(f"choice_entropy/{group}", []).append(float(entropy(of_modes)))
    return values


def _spread(values: torch.Tensor) -> torch.Tensor:
    """Highest minus lowest of the last axis, NaN left out."""
    return values.nan_to_num(-torch.inf).amax(-1) - values.nan_to_num(torch.inf).amin(-1)


def of_groups(rewards: torch.Tensor) -> dict[str, float]:
    """The shares of prompts that give no signal within the modes, and between them.

    rewards: (B, M, n) of all processes. Within: no mode's rewards vary. Between: the modes' means
    are equal, as they are where free rollouts all chose one mode.
    """
    is_flat = {
        "within": (_spread(rewards) < 1e-6).all(1),  # (B,)
        "between": _spread(rewards.nanmean(2)) < 1e-6,
    }
    return {f"zero_variance/{name}": flat.float().mean().item() for name, flat in is_flat.items()}

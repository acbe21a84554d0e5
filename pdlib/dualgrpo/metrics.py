"""What a generation says about the modes' health: name -> values, whose mean is logged.

`run.health` reads these names and warns of a mode that dies.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import entr

from pdlib.schema import Mode

ORDER = (Mode.GENERAL, Mode.PERSONALIZED)  # axis M of reward tensors
UNTAGGED = len(ORDER)  # what stands for the mode of a completion without a tag


def of_rollouts(
    completions: Sequence[Sequence[int]],
    written: Sequence[int],
    rewards: Sequence[float],
    ends: Collection[int],
) -> dict[str, list[float]]:
    """Reward, length, truncation and share of each mode.

    written: per completion the index of its mode in ORDER, or UNTAGGED; rewards: NaN where a
    completion could not be scored; ends: the tokens that end a completion.
    """
    names = [*(mode.value for mode in ORDER), "untagged"]
    values: dict[str, list[float]] = {}
    for ids, mode, reward in zip(completions, written, rewards, strict=True):
        row = {
            f"reward/{names[mode]}": reward,
            f"length/{names[mode]}": len(ids),
            f"truncated/{names[mode]}": float(ids[-1] not in ends),
            "share/personalized": float(names[mode] == Mode.PERSONALIZED.value),
        }
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


def entropy(p: ArrayLike) -> np.ndarray:
    """The entropy in nats of a choice between two, one of which has chance p.

    >>> print(entropy(0.5).round(3), entropy(1.0))
    0.693 0.0
    """
    p = np.asarray(p, float)
    return entr(p) + entr(1 - p)


def of_choice(questions: Sequence[dict], chances: Sequence[float]) -> dict[str, list[float]]:
    """P(personalised) and the entropy of the choice in nats, by task kind and persona condition.

    questions: rows of the data set, whose columns `kind` and `condition` are used where they are.
    """
    values: dict[str, list[float]] = {}
    for row, chance in zip(questions, chances, strict=True):
        group = kind_of(row)
        values.setdefault(f"p_personalized/{group}", []).append(chance)
        values.setdefault(f"choice_entropy/{group}", []).append(float(entropy(chance)))
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

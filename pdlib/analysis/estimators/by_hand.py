"""Estimators on rewards that fit on paper: typed in, set side by side."""

import math

import pandas as pd
import torch

from pdlib import advantages
from pdlib.schema import PAPER_MODES


def rewards_from(text: str) -> torch.Tensor:
    """Rewards (1, M, n) from "general ones | personalised ones", numbers with spaces between.

    "-" is an unscorable rollout, NaN. ValueError, in words, for anything else.

    >>> rewards_from("1 0.1 | 0.1 -")
    tensor([[[1.0000, 0.1000],
             [0.1000,    nan]]], dtype=torch.float64)
    """
    try:
        sides = [side.replace(",", " ").split() for side in text.split("|")]
        rows = [[_reward(word) for word in side] for side in sides]
    except ValueError as problem:
        raise ValueError(
            f"{problem}: write numbers such as 1 0.1 | 0.1 0.1, or - for an unscorable rollout"
        ) from None
    if len(rows) != 2 or not rows[0] or len(rows[0]) != len(rows[1]):
        counts = " and ".join(str(len(row)) for row in rows)
        raise ValueError(f"found {counts} rewards, expected as many after the | as before it")
    return torch.tensor([rows], dtype=torch.float64)


def _reward(word: str) -> float:
    reward = math.nan if word == "-" else float(word)
    if math.isinf(reward):
        raise ValueError("found an infinite reward")
    return reward


def compare(text: str, part: str = "prefix") -> pd.DataFrame:
    """Advantages by every estimator, one row each, for the rewards in `text`.

    part: of the completion, "response" or "prefix". NaN where an estimator cannot work with so few
    rewards. The last column is the mean of the general mode's advantages minus the other's: the
    push towards the general mode.
    """
    rewards, rows = rewards_from(text), {}
    for name in advantages.ESTIMATORS:
        try:
            response, prefix = advantages.compute(rewards, name)  # (1, M, n) each
        except ValueError:  # movt with one rollout per mode, which has no variance
            response = prefix = torch.full_like(rewards, math.nan)
        shown = {"response": response, "prefix": prefix}[part][0]  # (M, n)
        rows[name] = [*shown.flatten().tolist(), (shown[0].mean() - shown[1].mean()).item()]
    columns = [f"{mode.name} {k + 1}" for mode in PAPER_MODES for k in range(rewards.shape[2])]
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=[*columns, "general - personalized"]
    )

"""Estimators on rewards that fit on paper: typed in, set side by side."""

import math

import pandas as pd
import torch

from pdlib import advantages
from pdlib.schema import Mode


def rewards_from(text: str) -> torch.Tensor:
    """Rewards (1, 2, n) from "general ones | personalised ones", numbers with spaces between; "-"
    is unscorable.

    >>> rewards_from("1 0.1 | 0.1 -")
    tensor([[[1.0000, 0.1000],
             [0.1000,    nan]]], dtype=torch.float64)
    """
    try:
        rows = [
            [math.nan if word == "-" else float(word) for word in part.replace(",", " ").split()]
            for part in text.split("|")
        ]
        if any(math.isinf(reward) for row in rows for reward in row):
            raise ValueError("found an infinite reward")
    except ValueError as problem:
        raise ValueError(
            f"{problem}: write numbers such as 1 0.1 | 0.1 0.1, or - for an unscorable rollout"
        ) from None
    if len(rows) != 2 or not rows[0] or len(rows[0]) != len(rows[1]):
        raise ValueError(
            f"found {' and '.join(str(len(row)) for row in rows)} rewards, expected as many after the | as before it"
        )
    return torch.tensor([rows], dtype=torch.float64)


def compare(text: str, part: str = "prefix") -> pd.DataFrame:
    """Advantages by every estimator, one row each, for the rewards in `text`; part: "response" or
    "prefix".

    NaN where an estimator cannot work with so few rewards. The last column is the mean of the
    general mode's advantages minus the other's: the push towards the general mode.
    """
    rewards, rows = rewards_from(text), {}
    columns = [
        f"{mode} {i + 1}" for mode in (m.value for m in Mode) for i in range(rewards.shape[2])
    ]
    for name in advantages.ESTIMATORS:
        try:
            a = dict(zip(("response", "prefix"), advantages.compute(rewards, name)))[part][0]
        except ValueError:  # movt with one rollout a mode, which has no variance
            a = torch.full_like(rewards[0], math.nan)
        rows[name] = [*a.flatten().tolist(), (a[0].mean() - a[1].mean()).item()]
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=[*columns, "general - personalized"]
    )

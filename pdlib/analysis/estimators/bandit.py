"""A two-armed bandit in place of a language model: what an estimator does to the mode choice.

It is computed exactly. The policy is one logit z: the general mode has probability p = sigmoid(z),
the personalised one 1 - p. A completion is its mode token alone, so d log pi/dz is 1 - p for the
general mode and -p for the other. The push of an estimator is the expected update of z, E[mean over
rollouts of A d log pi/dz]: no sampling, every outcome is enumerated.

Shapes: P probabilities of the general mode, B outcomes (a table of rewards each, as if it were a
prompt's), M modes, n rollouts per mode.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from scipy.stats import binom

from pdlib import advantages

SAMPLING = ("forced", "natural")
CORRECTIONS = ("none", "uniform")


def _outcomes(
    successes: Sequence[float], counts: Sequence[int], noisy: bool, right: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """All reward tables for `counts` rollouts of the two modes, and the chance of each.

    Rewards are (B, M, max(counts)), padded with NaN, chances (B,).
    """
    per_mode = [
        _mode_outcomes(success, count, noisy, right)
        for success, count in zip(successes, counts, strict=True)
    ]
    width = max(counts)
    tables, chances = [], []
    for outcome in itertools.product(*per_mode):
        tables.append([rewards + [math.nan] * (width - len(rewards)) for rewards, _ in outcome])
        chances.append(math.prod(chance for _, chance in outcome))
    return torch.tensor(tables, dtype=torch.float64), torch.tensor(chances, dtype=torch.float64)


def _mode_outcomes(
    success: float, count: int, noisy: bool, right: float
) -> list[tuple[list[float], float]]:
    """(rewards of `count` rollouts of one mode, their chance) of every outcome, order aside."""
    if not noisy:
        return [([success * right] * count, 1.0)]
    return [
        ([right] * wins + [0.0] * (count - wins), binom.pmf(wins, count, success))
        for wins in range(count + 1)
    ]


def _prefix_advantages(
    successes, counts, noisy: bool, right: float, estimator: str, options: dict
) -> advantages.Pair:
    """Prefix advantages (B, M, n) of every outcome, and the chances of those (B,)."""
    rewards, chances = _outcomes(successes, counts, noisy, right)
    _, prefix = advantages.compute(rewards, estimator, **options)
    return prefix, chances


def _forced(
    p: torch.Tensor,
    advantage: torch.Tensor,
    chances: torch.Tensor,
    correction: str,
    clip: float | None,
) -> torch.Tensor:
    """(P,) push with n rollouts forced into each mode; `advantage` (B, M, n)."""
    slope = torch.stack([1 - p, -p], 1)  # (P, M): d log pi/dz
    ratio = torch.ones_like(slope)  # (P, M): pi / q
    if correction == "uniform":
        ratio = torch.stack([p, 1 - p], 1) / 0.5
    clip = math.inf if clip is None else clip
    a, w = advantage[None], ratio[:, None, :, None]  # (1, B, M, n), (P, 1, M, 1)
    # min(w A, clip(w) A) has no slope where clipping makes it smaller
    is_live = ~(((a > 0) & (w > 1 + clip)) | ((a < 0) & (w < 1 - clip)))  # (P, B, M, n)
    per_mode = (is_live * a * w).mean(3)  # (P, B, M)
    return ((per_mode * slope[:, None]).sum(2) / 2) @ chances


def push(
    p: Sequence[float],
    successes: Sequence[float],
    estimator: str = "dualgrpo",
    n: int = 4,
    *,
    sampling: str = "forced",
    correction: str = "none",
    clip: float | None = None,
    noisy: bool = False,
    right: float = 1.0,
    **options,
) -> torch.Tensor:
    """(P,) expected update of the logit z at each P(general) in `p`.

    Positive pushes towards the general mode. p: (P,) probabilities of the general mode. successes:
    mean reward of the general and the personalised mode. estimator, options: as in
    `advantages.compute`; the prefix advantage is what pushes. n: rollouts per mode when forced; 2n
    rollouts per prompt in both samplings. noisy: rewards are 0 or 1 with these means; otherwise
    every rollout gets the mean itself. right: what all rewards are multiplied by, the reward of a
    right answer.

    sampling: "forced" (n in each mode) or "natural" (each rollout draws its mode from the policy).
    correction: of forced rollouts. "none": ratio 1, as in the paper; "uniform": ratio pi / (1/2),
    as with `importance_correction="uniform"`. clip: epsilon of PPO's clip on that ratio; None:
    unclipped.

    >>> push([0.5], [0.7, 0.3])  # beta * difference / 2 = 2 * 0.4 / 2
    tensor([0.4000], dtype=torch.float64)
    """
    for name, value, allowed in (
        ("sampling", sampling, SAMPLING),
        ("correction", correction, CORRECTIONS),
    ):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
    if sampling == "natural" and (correction != "none" or clip is not None):
        raise ValueError(
            "natural rollouts come from the policy itself: there is nothing to correct or clip"
        )
    p = torch.as_tensor(p, dtype=torch.float64)
    if p.dim() != 1 or not ((p > 0) & (p < 1)).all():
        raise ValueError(
            f"p must be a list of probabilities strictly between 0 and 1, found {p.tolist()}"
        )
    if sampling == "forced":
        prefix, chances = _prefix_advantages(successes, (n, n), noisy, right, estimator, options)
        return _forced(p, prefix, chances, correction, clip)
    total = torch.zeros_like(p)
    for general in range(2 * n + 1):  # rollouts that happen to be general
        chance = torch.as_tensor(binom.pmf(general, 2 * n, p.numpy()))  # (P,)
        counts = (general, 2 * n - general)
        prefix, chances = _prefix_advantages(successes, counts, noisy, right, estimator, options)
        sums = chances @ prefix.sum(2)  # (M,)
        total += chance * (sums[0] * (1 - p) - sums[1] * p) / (2 * n)
    return total


def kl_push(p: Sequence[float], reference: float) -> torch.Tensor:
    """(P,) slope in z of the k3 KL estimate on forced rollouts, at each P(general) in `p`.

    The loss subtracts beta times it. Unlike the true KL's, it grows without bound at both ends: the
    mode that the policy never chooses is still forced.

    >>> kl_push([0.5], 0.5)
    tensor([0.], dtype=torch.float64)
    """
    p = torch.as_tensor(p, dtype=torch.float64)
    return (p - reference) / 2 * ((1 - p) / p + p / (1 - p))


def path(
    start: float,
    successes: Sequence[float],
    estimator: str = "dualgrpo",
    *,
    steps: int = 200,
    rate: float = 0.1,
    kl: float = 0.0,
    **settings,
) -> list[float]:
    """P(general) over `steps` gradient steps from `start`.

    kl: weight of the KL towards `start`, for forced rollouts only.

    >>> [round(x, 2) for x in path(0.5, [0.7, 0.3], steps=2, rate=1.0)]
    [0.5, 0.6, 0.69]
    """
    if kl and settings.get("sampling") == "natural":
        raise ValueError("kl is the push of forced rollouts; use it without sampling='natural'")
    z, chances = math.log(start / (1 - start)), [start]
    for _ in range(steps):
        p = chances[-1:]
        slope = push(p, successes, estimator, **settings) - kl * kl_push(p, start)
        z += rate * slope.item()
        chances.append(min(max(1 / (1 + math.exp(-z)), 1e-9), 1 - 1e-9))
    return chances

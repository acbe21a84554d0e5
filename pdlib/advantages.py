"""Advantage estimators on reward tensors: pure, no I/O, no model.

Rewards have shape (B, M, n): B prompts, M modes (general first), n rollouts a mode.
"""

import torch


def dualgrpo(rewards: torch.Tensor, prefix_weight: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """[Eq. 6-8] (response advantage, prefix advantage), each (B, 2, n).

    A = (r - mean of its own mode) + (mean of its own mode - mean of the other mode); the prefix gets
    `prefix_weight` times as much. NaN rewards (unscorable) carry no signal.

    >>> dualgrpo(torch.tensor([[[.9, 0., 1., .5], [.2, 0., .6, 0.]]]))[0][0, 1]
    tensor([-0.4000, -0.6000,  0.0000, -0.6000])
    """
    if rewards.dim() != 3 or rewards.shape[1] != 2 or rewards.shape[2] < 1:
        raise ValueError(f"rewards of shape {tuple(rewards.shape)}, expected (B, 2, n) with n at least 1")
    mean = rewards.nanmean(dim=2, keepdim=True)  # (B, 2, 1)
    intra = rewards - mean  # Eq. 6
    inter = mean - mean.flip(1)  # Eq. 7
    response = torch.nan_to_num(intra + inter, nan=0.0)  # Eq. 8
    return response, prefix_weight * response


def grpo(rewards: torch.Tensor, prefix_weight: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Stock GRPO over the pooled group: (r - mean) / (sample std + 1e-4); the ablation "w/o DualAdv" (Table 2)."""
    if rewards.dim() != 3 or rewards.shape[1] * rewards.shape[2] < 2:
        raise ValueError(f"rewards of shape {tuple(rewards.shape)}, expected (B, M, n) with at least 2 rollouts a prompt")
    known = ~rewards.isnan()  # (B, M, n)
    count = known.sum((1, 2), keepdim=True)
    mean = rewards.nanmean((1, 2), keepdim=True)
    std = (torch.where(known, rewards - mean, 0.0).square().sum((1, 2), keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    response = torch.nan_to_num((rewards - mean) / (std + 1e-4), nan=0.0)
    return response, prefix_weight * response


ESTIMATORS = {"dualgrpo": dualgrpo, "grpo": grpo}


def compute(rewards: torch.Tensor, estimator: str = "dualgrpo", **options) -> tuple[torch.Tensor, torch.Tensor]:
    """(response advantage, prefix advantage) of shape (B, M, n) by the named estimator."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown estimator {estimator!r}, expected one of {list(ESTIMATORS)}")
    return ESTIMATORS[estimator](rewards, **options)

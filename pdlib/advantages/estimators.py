"""The estimators: GRPO, DualGRPO, and those of rival papers.

What the rival papers do with these numbers in their losses (aggregation, clipping, importance
ratios) is the trainer's business; here stand the advantages alone. Standard deviations are sample
ones, plus 1e-4, as in stock TRL, unless `ddof` and `eps` say otherwise. For M > 2, "the other mode"
becomes the mean of all others (so that advantages add up to zero over modes); only `ada_grpo` was
published with more than two, the other extensions are ours.
"""

import math
from collections.abc import Sequence

import torch

from pdlib.advantages.registry import GROUP, MODES, ROLLOUTS, Pair, estimator


def _std(rewards: torch.Tensor, dim, ddof: int = 1) -> torch.Tensor:
    """NaN-aware standard deviation that keeps `dim`; NaN where at most `ddof` values are."""
    count = (~rewards.isnan()).sum(dim, keepdim=True)
    squares = (rewards - rewards.nanmean(dim, keepdim=True)).square().nansum(dim, keepdim=True)
    return torch.where(count > ddof, squares / (count - ddof).clamp(min=1), torch.nan).sqrt()


def _standardised(
    rewards: torch.Tensor, dim=GROUP, ddof: int = 1, eps: float = 1e-4
) -> torch.Tensor:
    return (rewards - rewards.nanmean(dim, keepdim=True)) / (_std(rewards, dim, ddof) + eps)


def _others(values: torch.Tensor) -> torch.Tensor:
    """For each mode the mean of `values` (B, M, 1) over the other modes that have one."""
    known = (~values.isnan()).to(values.dtype)
    total, count = values.nansum(MODES, keepdim=True), known.sum(MODES, keepdim=True)
    return (total - values.nan_to_num(0.0)) / (count - known)


def _scored(*advantages: torch.Tensor, like: torch.Tensor) -> Pair:
    """(response, prefix) with zeros wherever there is no signal.

    There is none in an unscorable rollout, and where there is nothing to compare it with.
    """
    response, prefix = (torch.where(like.isnan(), 0.0, a).nan_to_num(0.0) for a in advantages)
    return response, prefix


def _per_mode(values: Sequence[float] | None, rewards: torch.Tensor, name: str) -> torch.Tensor:
    """One number per mode, as (M, 1); None: zeros."""
    count = rewards.shape[MODES]
    values = [0.0] * count if values is None else list(values)
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values for {count} modes; give one a mode")
    return torch.tensor(values, dtype=rewards.dtype).unsqueeze(1)


@estimator()
def grpo(
    rewards: torch.Tensor, prefix_weight: float = 1.0, ddof: int = 1, eps: float = 1e-4
) -> Pair:
    """GRPO (arXiv 2402.03300, Eq. 3): (r - mean) / std over all rollouts of the prompt. Any M."""
    a = _standardised(rewards, ddof=ddof, eps=eps)
    return _scored(a, prefix_weight * a, like=rewards)


@estimator()
def dr_grpo(rewards: torch.Tensor, prefix_weight: float = 1.0) -> Pair:
    """Dr. GRPO (arXiv 2503.20783): r - mean of the prompt, no standard deviation. Any M.

    Its constant token normaliser belongs to the loss: TRL's `loss_type="dr_grpo"`.
    """
    a = rewards - rewards.nanmean(GROUP, keepdim=True)
    return _scored(a, prefix_weight * a, like=rewards)


@estimator(least_modes=2)
def dualgrpo(rewards: torch.Tensor, prefix_weight: float = 2.0) -> Pair:
    """[Eq. 6-8] A = (r - mean of its own mode) + (mean of its own mode - mean of the other).

    prefix_weight times that goes on the prefix. Any M. A mode that has no scored rollout takes no
    part in the comparison.

    >>> dualgrpo(torch.tensor([[[.9, 0., 1., .5], [.2, 0., .6, 0.]]]))[0][0, 1].round(decimals=4)
    tensor([-0.4000, -0.6000,  0.0000, -0.6000])
    """
    mean = rewards.nanmean(ROLLOUTS, keepdim=True)  # (B, M, 1)
    intra = rewards - mean  # Eq. 6
    inter = (mean - _others(mean)).nan_to_num(0.0)  # Eq. 7
    a = intra + inter  # Eq. 8
    return _scored(a, prefix_weight * a, like=rewards)


@estimator(least_modes=2)
def dualgrpo_code(
    rewards: torch.Tensor, prefix_weight: float = 2.0, ddof: int = 1, eps: float = 1e-4
) -> Pair:
    """The authors' published (and switched off) variant: (a - other mean) + (a - own mean).

    There a is GRPO's advantage. On balanced groups of two modes this is 2a: scaled GRPO, whatever
    the modes did. Any M.
    """
    a = _standardised(rewards, ddof=ddof, eps=eps)
    mean = a.nanmean(ROLLOUTS, keepdim=True)  # (B, M, 1)
    a = (a - _others(mean).nan_to_num(0.0)) + (a - mean)
    return _scored(a, prefix_weight * a, like=rewards)


@estimator()
def degrpo(rewards: torch.Tensor, prefix_weight: float = 0.001) -> Pair:
    """DeGRPO (Thinkless, arXiv 2505.13379): r - mean of the prompt. Any M.

    The control token gets alpha = prefix_weight of it. Its rewards (1 short, 1 - gamma long, -1
    wrong) are the caller's. Its loss takes the mean over rows on the control token and over tokens
    elsewhere; in a loss averaged within each completion the prefix is divided by the length too.
    """
    return dr_grpo(rewards, prefix_weight=prefix_weight)


@estimator(least_modes=2)
def adaptthink(
    rewards: torch.Tensor,
    prefix_weight: float = 1.0,
    bonus: Sequence[float] | None = None,
    reference: torch.Tensor | None = None,
) -> Pair:
    """AdaptThink (arXiv 2505.13417, Eq. 2-11): r + bonus of the mode - reference. Any M.

    It is neither centred nor scaled. bonus: one per mode (published: 0.05 for the cheap mode);
    None: zero, since here no mode costs more than another. reference: (B,) mean reward of the
    initial model in its usual mode, sampled beforehand; None: the mean of this prompt's rollouts in
    mode 0, a stand-in that needs no second model.
    """
    if reference is None:
        base = rewards[:, :1].nanmean(ROLLOUTS, keepdim=True)  # (B, 1, 1)
    else:
        base = torch.as_tensor(reference, dtype=rewards.dtype)
        if base.shape != rewards.shape[:1]:
            raise ValueError(
                f"reference of shape {tuple(base.shape)}, expected {tuple(rewards.shape[:1])}: "
                "one a prompt"
            )
        base = base.view(-1, 1, 1)
    a = rewards + _per_mode(bonus, rewards, "bonus") - base
    return _scored(a, prefix_weight * a, like=rewards)


def _winners(values: torch.Tensor, dim: int, known: torch.Tensor) -> torch.Tensor:
    """(B, M, n): 1 where `values` is highest along `dim`, else 0, NaN where nothing is known."""
    wins = values >= values.nan_to_num(-math.inf).amax(dim, keepdim=True) - 1e-6
    return torch.where(known, wins.expand_as(known).to(values.dtype), torch.nan)


@estimator(least_modes=2)
def hgpo(
    rewards: torch.Tensor,
    inter_weight: float = 1.0,
    bonus: Sequence[float] | None = None,
    pooled: bool = True,
    ddof: int = 1,
    eps: float = 1e-4,
) -> Pair:
    """HGPO (arXiv 2505.14631, Eq. 5-13): winners only, GRPO of "best rollout of its mode".

    The prefix additionally gets inter_weight x GRPO of "mode with the highest mean plus bonus". Any
    M. bonus: one per mode (published: 0.2 for the mode without thinking); None: zero. pooled=False
    standardises the first part within each mode; the paper leaves it open. Equal winners all win,
    so that equal rewards give no signal.
    """
    known = ~rewards.isnan()
    mean = rewards.nanmean(ROLLOUTS, keepdim=True) + _per_mode(bonus, rewards, "bonus")  # (B, M, 1)
    best_rollout, best_mode = _winners(rewards, ROLLOUTS, known), _winners(mean, MODES, known)
    intra = _standardised(best_rollout, GROUP if pooled else ROLLOUTS, ddof, eps).nan_to_num(0.0)
    inter = _standardised(best_mode, GROUP, ddof, eps).nan_to_num(0.0)
    return _scored(intra, intra + inter_weight * inter, like=rewards)


@estimator(least_modes=2)
def movt(rewards: torch.Tensor, centred: bool = True, ddof: int = 1, eps: float = 1e-4) -> Pair:
    """AdaGRPO of MoVT (arXiv 2509.22746, 3.3): GRPO on the response, W - 1/2 on the prefix.

    W is the chance that the prefix's mode is the better one, W = Phi(mean difference / (sqrt(sum of
    the two sample variances) + 1e-5)). centred=False keeps W itself, as the paper's summary has it.
    For M > 2, W is the mean over the other modes. Raises ValueError for n = 1, which has no sample
    variance. The variances are the published code's of the accuracy reward alone; here of the
    reward that is given.
    """
    if rewards.shape[ROLLOUTS] < 2:
        raise ValueError(
            "movt needs at least 2 rollouts a mode for a sample variance, "
            f"found {rewards.shape[ROLLOUTS]}"
        )
    response = _standardised(rewards, ddof=ddof, eps=eps)
    mean = rewards.nanmean(ROLLOUTS)  # (B, M)
    variance = _std(rewards, ROLLOUTS).squeeze(-1).square()  # (B, M)
    gap = mean.unsqueeze(2) - mean.unsqueeze(1)  # (B, M, M)
    spread = variance.unsqueeze(2) + variance.unsqueeze(1)
    chance = torch.special.ndtr(gap / (spread.sqrt() + 1e-5))
    itself = torch.eye(rewards.shape[MODES], dtype=torch.bool)
    chance = chance.masked_fill(itself, torch.nan).nanmean(2)  # (B, M)
    prefix = (chance - 0.5 if centred else chance).unsqueeze(2).expand_as(rewards)
    return _scored(response, prefix, like=rewards)


@estimator()
def ada_grpo(
    rewards: torch.Tensor,
    progress: float = 0.0,
    prefix_weight: float = 1.0,
    ddof: int = 1,
    eps: float = 1e-4,
) -> Pair:
    """Ada-GRPO (ARM, arXiv 2505.20258, Eq. 1-6): rare modes are boosted, then GRPO.

    r' = r (1 + (G/F - 1)(1 + cos(pi progress)) / 2). Any M (published with four). G: scored
    rollouts of the prompt, F: those in this mode. progress: share of the training steps done, 0 to
    1. With as many forced rollouts in each mode the boost is the same for all and GRPO's scaling
    takes it out again.
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress is {progress}, expected a share between 0 and 1")
    count = (~rewards.isnan()).sum(ROLLOUTS, keepdim=True)  # (B, M, 1)
    rarity = count.sum(MODES, keepdim=True) / count.clamp(min=1)
    boosted = rewards * (1 + (rarity - 1) * (1 + math.cos(math.pi * progress)) / 2)
    return grpo(boosted, prefix_weight=prefix_weight, ddof=ddof, eps=eps)

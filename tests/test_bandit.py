"""The two-armed bandit: exact pushes against closed forms, autograd and enumeration by hand."""

import math

import pytest
import torch

from pdlib import advantages
from pdlib.analysis.estimators import bandit

P = [0.01, 0.1, 0.5, 0.9, 0.99]
p = torch.tensor(P, dtype=torch.float64)
h = p * (1 - p)
GAP, N = 0.4, 4
SCALE = math.sqrt((2 * N - 1) / (2 * N))  # sample standard deviation
W = 1.0  # chance that a mode is better whose rewards do not vary
ones = torch.ones_like(p)


@pytest.mark.parametrize(
    "estimator, options, forced, corrected",
    [  # closed forms for rewards .7 and .3 without noise
        ("grpo", {"eps": 0.0}, SCALE / 2 * ones, 2 * SCALE * h),
        ("grpo", {"eps": 0.0, "ddof": 0}, ones / 2, 2 * h),
        ("dr_grpo", {}, GAP / 4 * ones, GAP * h),
        ("dualgrpo", {}, 2 * GAP / 2 * ones, 2 * 2 * GAP * h),
        ("dualgrpo", {"prefix_weight": 1.0}, GAP / 2 * ones, 2 * GAP * h),
        ("dualgrpo_code", {"eps": 0.0, "prefix_weight": 1.0}, SCALE * ones, 4 * SCALE * h),
        ("hgpo", {"eps": 0.0}, SCALE / 2 * ones, 2 * SCALE * h),
        ("movt", {}, (W - 0.5) / 2 * ones, (2 * W - 1) * h),
        ("movt", {"centred": False}, (W - p) / 2, (2 * W - 1) * h),
        ("adaptthink", {"bonus": [0.1, 0.0]}, (0.1 - p * (0.1 - GAP)) / 2, (GAP + 0.1) * h),
    ],
)
def test_forced_push_has_its_closed_form(estimator, options, forced, corrected):
    assert torch.allclose(bandit.push(P, [0.7, 0.3], estimator, N, **options), forced, atol=1e-6)
    assert torch.allclose(
        bandit.push(P, [0.7, 0.3], estimator, N, correction="uniform", **options),
        corrected,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "estimator, options, expected",
    [
        ("grpo", {"ddof": 0, "eps": 0.0}, [0.0258, 0.2095, 0.4639, 0.2095, 0.0258]),
        ("dr_grpo", {}, [0.0035, 0.0315, 0.0875, 0.0315, 0.0035]),
        ("degrpo", {"prefix_weight": 1.0}, [0.0035, 0.0315, 0.0875, 0.0315, 0.0035]),
        ("ada_grpo", {"ddof": 0, "eps": 0.0}, [0.0258, 0.2095, 0.3485, -0.1725, -0.0258]),
    ],
)
def test_natural_push(estimator, options, expected):
    found = bandit.push(P, [0.7, 0.3], estimator, N, sampling="natural", **options)
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), atol=5e-5)


def test_natural_push_of_two_noisy_rollouts_by_hand():
    """G = 2, Dr. GRPO: only pairs of different modes and rewards push, by half the difference each
    way.
    """
    chance, general, personalised = 0.3, 0.7, 0.2
    mixed = 2 * chance * (1 - chance)
    mixed_push = (general - personalised) / 2 / 2  # E[A_g (1-p) - A_p p] / 2 with A_p = -A_g
    same = bandit.push(
        [chance], [general, personalised], "dr_grpo", 1, sampling="natural", noisy=True
    )
    assert same.item() == pytest.approx(mixed * mixed_push)


@pytest.mark.parametrize("clip", [None, 0.2])
@pytest.mark.parametrize("noisy", [False, True])
def test_corrected_push_is_the_slope_of_the_clipped_objective(clip, noisy):
    """min(w A, clip(w) A) averaged over rollouts and outcomes, differentiated by autograd."""
    rewards, chances = bandit._outcomes([0.8, 0.3], [2, 2], noisy)
    _, a = advantages.compute(rewards, "dualgrpo")  # (B, M, n)
    for start in P:
        z = torch.tensor(math.log(start / (1 - start)), dtype=torch.float64, requires_grad=True)
        w = (torch.stack([z.sigmoid(), (-z).sigmoid()]) / 0.5).view(1, 2, 1)
        value = w * a if clip is None else torch.minimum(w * a, w.clamp(1 - clip, 1 + clip) * a)
        (chances @ value.mean((1, 2))).backward()
        found = bandit.push(
            [start], [0.8, 0.3], "dualgrpo", 2, correction="uniform", clip=clip, noisy=noisy
        )
        assert found.item() == pytest.approx(z.grad.item(), abs=1e-12)


def test_kl_push_is_the_slope_of_k3_and_settles_the_paper_settings():
    reference = 0.3
    for start in P:
        z = torch.tensor(math.log(start / (1 - start)), dtype=torch.float64, requires_grad=True)
        gap = (
            torch.tensor([reference, 1 - reference], dtype=torch.float64).log()
            - torch.stack([z.sigmoid(), (-z).sigmoid()]).log()
        )
        (gap.exp() - gap - 1).mean().backward()
        assert bandit.kl_push([start], reference).item() == pytest.approx(z.grad.item())
    assert bandit.path(0.5, [0.7, 0.3], kl=0.04, steps=3000)[-1] == pytest.approx(0.977, abs=5e-4)


def test_kl_of_forced_rollouts_is_refused_for_natural_ones():
    with pytest.raises(ValueError, match="forced rollouts"):
        bandit.path(0.5, [0.7, 0.3], "grpo", kl=0.04, sampling="natural")


def test_noise_changes_grpo_but_not_dualgrpo():
    """DualGRPO is linear in rewards: its expected push needs no more than the means. GRPO divides
    by their spread.
    """
    dual, grpo = (bandit.push(P, [0.7, 0.3], name, N, noisy=True) for name in ("dualgrpo", "grpo"))
    assert torch.allclose(dual, 0.4 * ones) and not torch.allclose(grpo, SCALE / 2 * ones, atol=0.1)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"p": [0.0, 0.5]}, "strictly between"),
        ({"sampling": "greedy"}, "forced, natural"),
        ({"correction": "some"}, "none, uniform"),
        ({"sampling": "natural", "correction": "uniform"}, "nothing to correct"),
        ({"magic": 1}, "no option magic"),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(ValueError, match=words):
        bandit.push(**({"p": P, "successes": [0.7, 0.3]} | arguments))

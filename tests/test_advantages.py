"""The estimators on hand-worked rewards, their invariants, and wrong variants that must not pass."""

import pytest
import torch

from pdlib import advantages

V = [[.9, 0., 1., .5], [.2, 0., .6, 0.]]  # mode means .6 and .2
V_DUAL = [[.7, -.2, .8, .3], [-.4, -.6, 0., -.6]]
V_STD = (1.18 / 7) ** 0.5  # squared deviations from the pooled mean .4 add up to 1.18; sample std
V_GRPO = [[d / (V_STD + 1e-4) for d in row] for row in [[.5, -.4, .6, .1], [-.2, -.4, .2, -.4]]]


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(*prompts) -> torch.Tensor:
    return tensor(list(prompts))


def some_rewards(seed: int = 0) -> torch.Tensor:
    """Skewed rewards of 6 prompts: means, medians and modes all differ."""
    return torch.rand(6, 2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3


def close(left, right, atol: float = 1e-6) -> bool:
    return torch.allclose(left, torch.as_tensor(right, dtype=left.dtype), atol=atol, rtol=0)


both = pytest.mark.parametrize("name", ["dualgrpo", "grpo"])


# --- hand-worked values ---

def test_dualgrpo_on_v():
    response, prefix = advantages.dualgrpo(batch(V))
    assert close(response[0], V_DUAL)
    assert close(prefix[0], [[1.4, -.4, 1.6, .6], [-.8, -1.2, 0., -1.2]])


def test_dualgrpo_on_v_in_single_precision():
    assert close(advantages.dualgrpo(torch.tensor([V]))[0][0], V_DUAL)


def test_grpo_on_v():
    response, prefix = advantages.grpo(batch(V))
    assert close(response[0], V_GRPO)
    assert close(prefix[0], V_GRPO)
    assert close(response[0], [[1.2178, -.9742, 1.4614, .2436], [-.4871, -.9742, .4871, -.9742]], atol=1e-3)


def test_prefix_weight():
    for estimate in (advantages.dualgrpo, advantages.grpo):
        response, prefix = estimate(batch(V), prefix_weight=3.0)
        assert close(prefix, 3 * response)


def test_compute_picks_the_estimator():
    assert close(advantages.compute(batch(V))[0][0], V_DUAL)
    assert close(advantages.compute(batch(V), "grpo")[0][0], V_GRPO)
    assert close(advantages.compute(batch(V), "dualgrpo", prefix_weight=1.0)[1][0], V_DUAL)


# --- invariants ---

@both
@pytest.mark.parametrize("value", [0.0, 0.1, 0.9, 1.0])
def test_equal_rewards_give_zero(name, value):
    for advantage in advantages.compute(torch.full((3, 2, 4), value, dtype=torch.float64), name):
        assert close(advantage, torch.zeros(3, 2, 4))


def test_eq8_telescopes():
    rewards = some_rewards()
    expected = torch.stack([rewards[:, 0] - rewards[:, 1].mean(1, keepdim=True),
                            rewards[:, 1] - rewards[:, 0].mean(1, keepdim=True)], 1)
    assert close(advantages.dualgrpo(rewards)[0], expected, 1e-12)


@both
def test_shift_changes_nothing(name):
    rewards = some_rewards()
    assert close(advantages.compute(rewards + 5, name)[0], advantages.compute(rewards, name)[0], 1e-9)


def test_scale():
    rewards = some_rewards()
    assert close(advantages.dualgrpo(10 * rewards)[0], 10 * advantages.dualgrpo(rewards)[0], 1e-9)
    # GRPO divides by the spread, so the unit drops out but for the 1e-4.
    assert close(advantages.grpo(10 * rewards)[0], advantages.grpo(rewards)[0], 5e-3)


@both
def test_permuting_rollouts_within_a_mode(name):
    rewards, order = some_rewards(), torch.tensor([2, 0, 3, 1])
    shuffled = torch.stack([rewards[:, 0, order], rewards[:, 1]], 1)
    before, after = (advantages.compute(r, name)[0] for r in (rewards, shuffled))
    assert close(after[:, 0], before[:, 0, order], 1e-12)
    assert close(after[:, 1], before[:, 1], 1e-12)


@both
def test_swapping_the_modes(name):
    rewards = some_rewards()
    assert close(advantages.compute(rewards.flip(1), name)[0], advantages.compute(rewards, name)[0].flip(1), 1e-12)


@both
def test_prompts_do_not_mix(name):
    rewards = some_rewards()
    one_by_one = torch.cat([advantages.compute(rewards[i:i + 1], name)[0] for i in range(len(rewards))])
    assert close(advantages.compute(rewards, name)[0], one_by_one, 1e-12)


def test_inter_part_is_zero_sum_and_intra_part_zero_mean():
    rewards = some_rewards()
    gap = rewards[:, 0].mean(1) - rewards[:, 1].mean(1)
    mode_mean = advantages.dualgrpo(rewards)[0].mean(2)  # (B, M)
    assert close(mode_mean, torch.stack([gap, -gap], 1), 1e-12)
    assert close(mode_mean.sum(1), torch.zeros(6), 1e-12)


@both
def test_input_is_left_alone(name):
    rewards = some_rewards()
    rewards[0, 0, 0] = torch.nan
    before = rewards.clone()
    advantages.compute(rewards, name)
    assert torch.equal(rewards.nan_to_num(-1), before.nan_to_num(-1))


# --- unscorable rollouts ---

def test_dualgrpo_ignores_nan():
    response, prefix = advantages.dualgrpo(batch([[.9, torch.nan, 1., .5], [.2, 0., .6, 0.]]))
    assert close(response[0], [[.7, 0., .8, .3], [-.6, -.8, -.2, -.8]])  # the general mean is now .8
    assert close(prefix, 2 * response)


def test_grpo_ignores_nan():
    response, _ = advantages.grpo(batch([[1., torch.nan], [0., .5]]))
    assert close(response[0], [[.5 / .5001, 0.], [-.5 / .5001, 0.]])  # mean .5, sample std .5


@both
def test_nan_stays_within_its_prompt(name):
    rewards = some_rewards()
    expected = advantages.compute(rewards, name)[0][1:]
    rewards[0] = torch.nan
    response, prefix = advantages.compute(rewards, name)
    assert close(response[0], torch.zeros(2, 4)) and close(prefix[0], torch.zeros(2, 4))
    assert close(response[1:], expected, 1e-12)


@both
def test_a_mode_without_scores_is_finite(name):
    response, _ = advantages.compute(batch([[torch.nan, torch.nan], [0., 1.]]), name)
    assert response.isfinite().all()
    assert close(response[0, 0], [0., 0.])


# --- errors ---

@both
@pytest.mark.parametrize("shape", [(2, 4), (8,), (1, 2, 2, 2), (3, 2, 0)])
def test_wrong_shape(name, shape):
    with pytest.raises(ValueError, match=re_shape(shape)):
        advantages.compute(torch.zeros(shape), name)


def re_shape(shape) -> str:
    return str(tuple(shape)).replace("(", r"\(").replace(")", r"\)")


@pytest.mark.parametrize("modes", [1, 3])
def test_dualgrpo_needs_two_modes(modes):
    with pytest.raises(ValueError, match="expected"):
        advantages.dualgrpo(torch.zeros(2, modes, 4))


def test_unknown_estimator():
    with pytest.raises(ValueError, match="reinforce.*dualgrpo.*grpo"):
        advantages.compute(torch.zeros(1, 2, 4), "reinforce")


# --- direction, and variants that are wrong ---

def variant(intra: float = 1.0, inter: float = 1.0):
    """Eq. 8 with its two parts weighted: (1, 1) is right, everything else is a mistake someone could make."""
    def estimate(rewards):
        mean = rewards.mean(2, keepdim=True)
        return intra * (rewards - mean) + inter * (mean - mean.flip(1))
    return estimate


WRONG = {"inter flipped": variant(1, -1), "intra flipped": variant(-1, 1), "inter lost": variant(1, 0),
         "intra lost": variant(0, 1), "pooled mean": variant(1, 0.5)}


def points_right(estimate) -> bool:
    """The better mode's mean advantage is positive, the worse one's negative; better rollouts get more in a mode."""
    rewards = batch([[1., .9, .1, 0.], [.1, .3, 0., .2]], [[0., 0., 0., 1.], [.9, .5, 1., .6]])
    response = estimate(rewards)
    better = rewards.mean(2).argmax(1)
    modes = response.mean(2)
    between = all(modes[b, m] > 0 > modes[b, 1 - m] for b, m in enumerate(better.tolist()))
    within = all((response[b, m].argsort(stable=True) == rewards[b, m].argsort(stable=True)).all()
                 for b in range(2) for m in range(2))
    return between and within


def test_direction():
    assert points_right(lambda rewards: advantages.dualgrpo(rewards)[0])
    assert points_right(lambda rewards: advantages.dualgrpo(rewards)[1])


@pytest.mark.parametrize("name", ["inter flipped", "intra flipped", "inter lost", "intra lost"])
def test_wrong_directions_are_caught(name):
    assert not points_right(WRONG[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_caught(name):
    assert close(variant()(batch(V))[0], V_DUAL)
    assert not close(WRONG[name](batch(V))[0], V_DUAL, atol=1e-2)


def test_dual_advantage_on_pooled_grpo_advantages_is_only_scaled_grpo():
    a = batch(V_GRPO)
    mean = a.mean(2, keepdim=True)
    assert close((a - mean.flip(1)) + (a - mean), 2 * a)
    assert not close(2 * a[0], V_DUAL, atol=1e-2)

"""The estimators on hand-worked rewards, their invariants, and wrong variants that must fail."""

import math

import pytest
import torch
from conftest import rounding

from pdlib import advantages

V = [[0.9, 0.0, 1.0, 0.5], [0.2, 0.0, 0.6, 0.0]]  # mode means .6 and .2
V_DUAL = [[0.7, -0.2, 0.8, 0.3], [-0.4, -0.6, 0.0, -0.6]]
V_STD = (1.18 / 7) ** 0.5  # squared deviations from the pooled mean .4 add up to 1.18; sample std
V_GRPO = [
    [d / (V_STD + 1e-4) for d in row] for row in [[0.5, -0.4, 0.6, 0.1], [-0.2, -0.4, 0.2, -0.4]]
]


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(*prompts) -> torch.Tensor:
    return tensor(list(prompts))


def some_rewards(seed: int = 0) -> torch.Tensor:
    """Skewed rewards of 6 prompts: means, medians and modes all differ."""
    return (
        torch.rand(6, 2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3
    )


def close(left, right, atol: float = 1e-6) -> bool:
    return torch.allclose(left, torch.as_tensor(right, dtype=left.dtype), atol=atol, rtol=0)


every = pytest.mark.parametrize("name", list(advantages.ESTIMATORS))
NAN = math.nan


# --- hand-worked values ---


def test_dualgrpo_on_v():
    response, prefix = advantages.dualgrpo(batch(V))
    assert close(response[0], V_DUAL)
    assert close(prefix[0], [[1.4, -0.4, 1.6, 0.6], [-0.8, -1.2, 0.0, -1.2]])


def test_dualgrpo_on_v_in_single_precision():
    assert close(
        advantages.dualgrpo(torch.tensor([V]))[0][0], V_DUAL, atol=rounding(torch.float32, 1, 8)
    )


def test_grpo_on_v():
    response, prefix = advantages.grpo(batch(V))
    assert close(response[0], V_GRPO)
    assert close(prefix[0], V_GRPO)
    assert close(
        response[0],
        [[1.2178, -0.9742, 1.4614, 0.2436], [-0.4871, -0.9742, 0.4871, -0.9742]],
        atol=1e-3,
    )


# The vectors of the rival papers on V, worked by hand from their formulas: response, then prefix.
A_STD = [[d / V_STD for d in row] for row in [[0.5, -0.4, 0.6, 0.1], [-0.2, -0.4, 0.2, -0.4]]]
A_POPULATION = [
    [d / (1.18 / 8) ** 0.5 for d in row] for row in [[0.5, -0.4, 0.6, 0.1], [-0.2, -0.4, 0.2, -0.4]]
]
CENTRED = [[0.5, -0.4, 0.6, 0.1], [-0.2, -0.4, 0.2, -0.4]]
W_MOVT = 0.5 * (
    1 + math.erf(0.4 / ((0.62 / 3 + 0.24 / 3) ** 0.5 + 1e-5) / 2**0.5)
)  # sample variances .62/3 and .24/3


def times(factor, rows):
    return [[factor * value for value in row] for row in rows]


def both_modes(general, personalized):
    return [[general] * 4, [personalized] * 4]


VECTORS = [
    ("grpo", {"eps": 0.0}, A_STD, A_STD),
    ("grpo", {"eps": 0.0, "ddof": 0}, A_POPULATION, A_POPULATION),
    ("dr_grpo", {}, CENTRED, CENTRED),
    ("dualgrpo", {}, V_DUAL, times(2, V_DUAL)),
    ("dualgrpo_code", {"eps": 0.0}, times(2, A_STD), times(4, A_STD)),
    ("degrpo", {}, CENTRED, times(0.001, CENTRED)),
    (
        "hgpo",
        {"eps": 0.0, "ddof": 0, "bonus": [0, 0.2]},
        [[-(3**-0.5), -(3**-0.5), 3**0.5, -(3**-0.5)]] * 2,
        [
            [1 - 3**-0.5, 1 - 3**-0.5, 1 + 3**0.5, 1 - 3**-0.5],
            [-1 - 3**-0.5, -1 - 3**-0.5, -1 + 3**0.5, -1 - 3**-0.5],
        ],
    ),
    (
        "hgpo",
        {"eps": 0.0, "pooled": False},
        [[-0.5, -0.5, 1.5, -0.5]] * 2,
        [
            [-0.5 + 0.875**0.5, -0.5 + 0.875**0.5, 1.5 + 0.875**0.5, -0.5 + 0.875**0.5],
            [-0.5 - 0.875**0.5, -0.5 - 0.875**0.5, 1.5 - 0.875**0.5, -0.5 - 0.875**0.5],
        ],
    ),
    ("movt", {"eps": 0.0}, A_STD, both_modes(W_MOVT - 0.5, 0.5 - W_MOVT)),
    ("movt", {"eps": 0.0, "centred": False}, A_STD, both_modes(W_MOVT, 1 - W_MOVT)),
    (
        "ada_grpo",
        {"eps": 0.0},
        A_STD,
        A_STD,
    ),  # as many rollouts in each mode: the boost is scaled away
]


@pytest.mark.parametrize("name, options, response, prefix", VECTORS)
def test_vectors(name, options, response, prefix):
    found = advantages.compute(batch(V), name, **options)
    assert close(found[0][0], response) and close(found[1][0], prefix)


def test_printed_decimals_of_the_vectors():
    """The four decimals that stand in the literature notes, so that a slip in the formulas above
    would show.
    """
    pooled = advantages.compute(batch(V), "hgpo", eps=0.0)[0][0, 0]
    assert close(pooled, [-0.5401, -0.5401, 1.6202, -0.5401], 5e-5)
    assert close(
        advantages.compute(batch(V), "dualgrpo_code", eps=0.0)[0][0],
        [[2.4356, -1.9485, 2.9227, 0.4871], [-0.9742, -1.9485, 0.9742, -1.9485]],
        5e-5,
    )
    assert pytest.approx(0.7725, abs=5e-5) == W_MOVT


def test_degrpo_on_unbalanced_groups():
    rewards = batch([[1.0, 1.0, -1.0, NAN, NAN], [0.5, 0.5, 0.5, 0.5, -1.0]])
    response, prefix = advantages.compute(rewards, "degrpo")
    assert close(response[0], [[0.75, 0.75, -1.25, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25, -1.25]])
    assert close(prefix, 0.001 * response)


def test_adaptthink():
    rewards = batch([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]])  # the cheap mode first
    response, prefix = advantages.compute(
        rewards, "adaptthink", bonus=[0.05, 0], reference=[0.8125]
    )
    assert close(
        response[0], [[0.2375, -0.7625, 0.2375, -0.7625], [0.1875, 0.1875, -0.8125, 0.1875]]
    )
    assert close(prefix, response)
    stand_in = advantages.compute(rewards, "adaptthink")[0][0]  # mean of mode 0 is .5
    assert close(stand_in, [[0.5, -0.5, 0.5, -0.5], [0.5, 0.5, -0.5, 0.5]])


@pytest.mark.parametrize(
    "progress, expected",
    [
        (0.0, [[2.1602, -1.0801], [0, 0, 0, 0, -1.0801, 0]]),
        (0.5, [[1.8447, -1.3176], [0.1581, 0.1581, 0.1581, 0.1581, -1.3176, 0.1581]]),
        (1.0, [[0.5401, -1.6202], [0.5401, 0.5401, 0.5401, 0.5401, -1.6202, 0.5401]]),
    ],
)
def test_ada_grpo_boosts_the_rarer_mode(progress, expected):
    rewards = batch([[1.0, 0.0, NAN, NAN, NAN, NAN], [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]])
    response = advantages.compute(rewards, "ada_grpo", progress=progress, eps=0.0)[0][0]
    assert close(response[0, :2], expected[0], 5e-5) and close(response[1], expected[1], 5e-5)
    scale = 1 + 0.5 * (8 / torch.tensor([[2.0], [6.0]], dtype=torch.float64) - 1) * (
        1 + math.cos(math.pi * progress)
    )
    boosted = (rewards[0] * scale)[~rewards[0].isnan()]
    exact = (boosted - boosted.mean()) / boosted.std()
    assert close(response[~rewards[0].isnan()], exact)


def test_three_modes():
    """The extension to M > 2: every other mode counts the same, and the push adds up to zero over
    modes.
    """
    rewards = batch([[1.0, 0.0], [0.5, 0.5], [0.0, 0.2]])  # means .5, .5, .1
    response, _ = advantages.compute(rewards, "dualgrpo")
    assert close(response[0], [[0.5 + 0.2, -0.5 + 0.2], [0.2, 0.2], [-0.1 - 0.4, 0.1 - 0.4]])
    assert close(response.sum(), 0.0)
    code = advantages.compute(rewards, "dualgrpo_code", eps=0.0)[0]
    a = advantages.compute(rewards, "grpo", eps=0.0)[0]
    assert close(code, 2 * a - a.mean(2, keepdim=True) / 2)
    assert close(advantages.compute(rewards, "movt")[1].sum(), 0.0)
    inter = advantages.compute(rewards, "hgpo", eps=0.0, ddof=0)
    assert close(
        (inter[1] - inter[0])[0], [[0.5**0.5] * 2, [0.5**0.5] * 2, [-(2**0.5)] * 2]
    )  # two winners, one loser


@every
def test_many_modes_and_unbalanced_groups_are_finite(name):
    rewards = torch.rand(5, 4, 3, generator=torch.Generator().manual_seed(0))
    rewards[0, 1] = NAN
    rewards[1, :, 1:] = NAN
    rewards[2] = NAN
    for part in advantages.compute(rewards, name):
        assert part.shape == rewards.shape and part.isfinite().all()
        assert (part[rewards.isnan()] == 0).all(), "an unscorable rollout got an advantage"


def test_prefix_weight():
    for estimate in (advantages.dualgrpo, advantages.grpo):
        response, prefix = estimate(batch(V), prefix_weight=3.0)
        assert close(prefix, 3 * response)


def test_compute_picks_the_estimator():
    assert close(advantages.compute(batch(V))[0][0], V_DUAL)
    assert close(advantages.compute(batch(V), "grpo")[0][0], V_GRPO)
    assert close(advantages.compute(batch(V), "dualgrpo", prefix_weight=1.0)[1][0], V_DUAL)


# --- invariants ---


@every
@pytest.mark.parametrize("value", [0.0, 0.1, 0.9, 1.0])
def test_equal_rewards_give_zero(name, value):
    for advantage in advantages.compute(torch.full((3, 2, 4), value), name):
        assert advantage.dtype == torch.float32 and close(advantage, torch.zeros(3, 2, 4))


def test_eq8_telescopes():
    rewards = some_rewards()
    expected = torch.stack(
        [
            rewards[:, 0] - rewards[:, 1].mean(1, keepdim=True),
            rewards[:, 1] - rewards[:, 0].mean(1, keepdim=True),
        ],
        1,
    )
    assert close(advantages.dualgrpo(rewards)[0], expected, 1e-12)


@every
def test_shift_changes_nothing(name):  # with as many rollouts in each mode also for ada_grpo
    rewards = some_rewards()
    assert close(
        advantages.compute(rewards + 5, name)[0], advantages.compute(rewards, name)[0], 1e-9
    )


def test_scale():
    rewards = some_rewards()
    assert close(advantages.dualgrpo(10 * rewards)[0], 10 * advantages.dualgrpo(rewards)[0], 1e-9)
    # GRPO divides by the spread, so the unit drops out but for the 1e-4.
    assert close(advantages.grpo(10 * rewards)[0], advantages.grpo(rewards)[0], 5e-3)


@every
def test_permuting_rollouts_within_a_mode(name):
    rewards, order = some_rewards(), torch.tensor([2, 0, 3, 1])
    shuffled = torch.stack([rewards[:, 0, order], rewards[:, 1]], 1)
    before, after = (advantages.compute(r, name)[0] for r in (rewards, shuffled))
    assert close(after[:, 0], before[:, 0, order], 1e-12)
    assert close(after[:, 1], before[:, 1], 1e-12)


@pytest.mark.parametrize(
    "name", [name for name in advantages.ESTIMATORS if name != "adaptthink"]
)  # its mode 0 is the baseline
def test_swapping_the_modes(name):
    rewards = some_rewards()
    assert close(
        advantages.compute(rewards.flip(1), name)[0],
        advantages.compute(rewards, name)[0].flip(1),
        1e-12,
    )


@every
def test_prompts_do_not_mix(name):
    rewards = some_rewards()
    one_by_one = torch.cat(
        [advantages.compute(rewards[i : i + 1], name)[0] for i in range(len(rewards))]
    )
    assert close(advantages.compute(rewards, name)[0], one_by_one, 1e-12)


def test_inter_part_is_zero_sum_and_intra_part_zero_mean():
    rewards = some_rewards()
    gap = rewards[:, 0].mean(1) - rewards[:, 1].mean(1)
    mode_mean = advantages.dualgrpo(rewards)[0].mean(2)  # (B, M)
    assert close(mode_mean, torch.stack([gap, -gap], 1), 1e-12)
    assert close(mode_mean.sum(1), torch.zeros(6), 1e-12)


@every
def test_input_is_left_alone(name):
    rewards = some_rewards()
    rewards[0, 0, 0] = torch.nan
    before = rewards.clone()
    advantages.compute(rewards, name)
    assert torch.equal(rewards.nan_to_num(-1), before.nan_to_num(-1))


# --- unscorable rollouts ---


def test_dualgrpo_ignores_nan():
    response, prefix = advantages.dualgrpo(
        batch([[0.9, torch.nan, 1.0, 0.5], [0.2, 0.0, 0.6, 0.0]])
    )
    assert close(
        response[0], [[0.7, 0.0, 0.8, 0.3], [-0.6, -0.8, -0.2, -0.8]]
    )  # the general mean is now .8
    assert close(prefix, 2 * response)


def test_grpo_ignores_nan():
    response, _ = advantages.grpo(batch([[1.0, torch.nan], [0.0, 0.5]]))
    assert close(response[0], [[0.5 / 0.5001, 0.0], [-0.5 / 0.5001, 0.0]])  # mean .5, sample std .5


@every
def test_nan_stays_within_its_prompt(name):
    rewards = some_rewards()
    expected = advantages.compute(rewards, name)[0][1:]
    rewards[0] = torch.nan
    response, prefix = advantages.compute(rewards, name)
    assert close(response[0], torch.zeros(2, 4)) and close(prefix[0], torch.zeros(2, 4))
    assert close(response[1:], expected, 1e-12)


@every
def test_a_mode_without_scores_is_finite(name):
    response, _ = advantages.compute(batch([[torch.nan, torch.nan], [0.0, 1.0]]), name)
    assert response.isfinite().all()
    assert close(response[0, 0], [0.0, 0.0])


# --- errors ---


@every
@pytest.mark.parametrize("shape", [(2, 4), (8,), (1, 2, 2, 2), (3, 2, 0)])
def test_wrong_shape(name, shape):
    with pytest.raises(ValueError, match=re_shape(shape)):
        advantages.compute(torch.zeros(shape), name)


def re_shape(shape) -> str:
    return str(tuple(shape)).replace("(", r"\(").replace(")", r"\)")


@pytest.mark.parametrize("name", sorted(advantages.COMPARES_MODES))
def test_one_mode_is_nothing_to_compare(name):
    with pytest.raises(ValueError, match=f"{name} compares modes"):
        advantages.compute(torch.zeros(2, 1, 4), name)


def test_one_rollout_a_prompt_is_nothing_to_compare():
    with pytest.raises(ValueError, match="at least 2"):
        advantages.compute(torch.zeros(2, 1, 1), "grpo")


def test_other_bad_input():
    with pytest.raises(ValueError, match="infinite"):
        advantages.compute(batch([[1.0, math.inf], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="no option weight.*prefix_weight"):
        advantages.compute(batch(V), weight=2)
    with pytest.raises(ValueError, match="3 values for 2 modes"):
        advantages.compute(batch(V), "hgpo", bonus=[0, 0, 1])
    with pytest.raises(ValueError, match="reference"):
        advantages.compute(batch(V), "adaptthink", reference=[0.1, 0.2])
    with pytest.raises(ValueError, match="progress"):
        advantages.compute(batch(V), "ada_grpo", progress=80)
    with pytest.raises(ValueError, match="at least 2 rollouts"):
        advantages.compute(torch.zeros(1, 2, 1), "movt")


def test_lists_and_whole_numbers_are_rewards_too():
    assert close(advantages.compute([[[1, 0], [0, 0]]])[0], [[[1.0, 0.0], [-0.5, -0.5]]])


def test_unknown_estimator():
    with pytest.raises(ValueError, match="reinforce.*dualgrpo.*grpo"):
        advantages.compute(torch.zeros(1, 2, 4), "reinforce")


# --- direction, and variants that are wrong ---


def variant(intra: float = 1.0, inter: float = 1.0):
    """Eq. 8 with its two parts weighted: (1, 1) is right, everything else is a mistake someone
    could make.
    """

    def estimate(rewards):
        mean = rewards.mean(2, keepdim=True)
        return intra * (rewards - mean) + inter * (mean - mean.flip(1))

    return estimate


WRONG = {
    "inter flipped": variant(1, -1),
    "intra flipped": variant(-1, 1),
    "inter lost": variant(1, 0),
    "intra lost": variant(0, 1),
    "pooled mean": variant(1, 0.5),
}


def points_right(estimate) -> bool:
    """The better mode's mean advantage is positive, the worse one's negative; better rollouts get
    more in a mode.
    """
    rewards = batch(
        [[1.0, 0.9, 0.1, 0.0], [0.1, 0.3, 0.0, 0.2]], [[0.0, 0.0, 0.0, 1.0], [0.9, 0.5, 1.0, 0.6]]
    )
    response = estimate(rewards)
    better = rewards.mean(2).argmax(1)
    modes = response.mean(2)
    between = all(modes[b, m] > 0 > modes[b, 1 - m] for b, m in enumerate(better.tolist()))
    within = all(
        (response[b, m].argsort(stable=True) == rewards[b, m].argsort(stable=True)).all()
        for b in range(2)
        for m in range(2)
    )
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

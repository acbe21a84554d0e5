"""The regime of a training: what its last generations say, in numbers and in words."""

import pytest

from pdlib.dualgrpo.regime import ENOUGH, FITTING, STRANGERS, WINDOW, Prompt, Regime, Rollout
from pdlib.run import health


def generation(p: dict[str, float], rewards: dict[str, tuple[float, float]], n: int = ENOUGH):
    """One prompt of each kind with this P(personalised); n rollouts per mode with these rewards."""
    prompts = [Prompt(kind, (1 - chance, chance)) for kind, chance in p.items()]
    rollouts = [
        Rollout(kind, mode, reward)
        for kind, pair in rewards.items()
        for mode, reward in zip(("general", "personalized"), pair, strict=True)
        for _ in range(n)
    ]
    return prompts, rollouts


def summary(is_forced: bool = True, times: int = 1, **changed) -> dict[str, float]:
    regime = Regime(temperature=1.0, rollouts=8, is_forced=is_forced)
    p = {FITTING: 0.5, STRANGERS: 0.1} | changed.pop("p", {})
    rewards = {FITTING: (0.4, 0.8), STRANGERS: (0.6, 0.4)} | changed.pop("rewards", {})
    for _ in range(times):
        regime.add(*generation(p, rewards, **changed))
    return regime.summary()


def test_the_numbers_of_one_generation_by_hand():
    values = summary()
    assert values["recent/forced"] == 1
    assert (
        values[f"recent/p_personalized/{FITTING}"]
        == values[f"recent/p_sampled_personalized/{FITTING}"]
        == 0.5
    )
    assert values[f"recent/absent_if_free_personalized/{STRANGERS}"] == pytest.approx(0.9**8)
    assert values[f"recent/silent_if_free/{FITTING}"] == pytest.approx(2 * 0.5**8)
    assert values[f"recent/gain_personalized/{FITTING}"] == pytest.approx(0.4)
    assert values[f"recent/gain_personalized/{STRANGERS}"] == pytest.approx(-0.2)
    assert values["recent/unaligned_share"] == 0.5
    assert values["recent/break_even/forced"] == pytest.approx(0.4 / 0.6)
    weights = 0.4 * 0.25, 0.2 * 0.09
    assert values["recent/break_even/free"] == pytest.approx(weights[0] / sum(weights))


def test_a_low_temperature_hides_a_rare_mode():
    regime = Regime(temperature=0.6, rollouts=8, is_forced=False)
    regime.add([Prompt("all", (0.95, 0.05))], [])
    values = regime.summary()
    assert values["recent/p_personalized/all"] == 0.05
    assert values["recent/p_sampled_personalized/all"] == pytest.approx(0.0073, abs=1e-4)
    assert values["recent/absent_if_free_personalized/all"] == pytest.approx(0.943, abs=1e-3)


def test_too_few_rollouts_tell_no_gain_and_no_share_at_which_it_turns():
    values = summary(n=ENOUGH - 1)
    assert not [name for name in values if "gain" in name or "break_even" in name]
    assert "recent/break_even/forced" in summary(n=ENOUGH - 1, times=2)


def test_rollouts_without_a_tag_or_a_reward_count_for_no_mode():
    regime = Regime(1.0, 8, True)
    prompts, rollouts = generation({FITTING: 0.5}, {FITTING: (0.4, 0.8)})
    lost = [Rollout(FITTING, None, 1.0), Rollout(FITTING, "general", float("nan"))]
    regime.add(prompts, [*rollouts, *lost])
    assert regime.summary()[f"recent/gain_personalized/{FITTING}"] == pytest.approx(0.4)


def test_gains_of_one_sign_turn_nowhere():
    values = summary(rewards={STRANGERS: (0.4, 0.6)})
    assert "recent/break_even/forced" not in values


def test_the_window_forgets():
    regime = Regime(1.0, 8, True)
    regime.add([Prompt("all", (0.1, 0.9))], [])
    for _ in range(WINDOW):
        regime.add([Prompt("all", (0.9, 0.1))], [])
    assert regime.summary()["recent/p_personalized/all"] == pytest.approx(0.1)


def test_the_entropy_of_the_window_tells_whether_the_choice_is_settled():
    """One step's prompts may all be settled; over the last steps others are open."""
    step = {"choice_entropy/all": 0.001}
    assert "settled everywhere" in health.warnings(step)[0]
    assert health.warnings(step | summary()) == []


# --- in words ---


def test_a_forced_run_is_told_that_forcing_matters():
    (text,) = health.regime(summary(p={FITTING: 0.01}, rewards={STRANGERS: (0.4, 0.6)}))
    assert text.startswith("free rollouts would see the personalised mode in 8 % of groups")
    assert FITTING in text and text.endswith("forced prefixes matter here")


def test_a_free_run_in_which_a_mode_is_hardly_seen_is_warned():
    row = summary(is_forced=False, p={FITTING: 0.01})
    assert [text for text in health.warnings(row) if "set forced_prefixes=True" in text]
    assert not health.warnings(summary(is_forced=False))


def test_a_mode_that_gains_nothing_is_not_missed():
    row = summary(p={FITTING: 0.01}, rewards={FITTING: (0.8, 0.4)})
    assert not [text for text in health.regime(row) if FITTING in text]


@pytest.mark.parametrize("share, mode", [(0.5, "personalised"), (0.9, "general")])
def test_the_direction_of_the_shared_push_is_told(share, mode):
    row = summary() | {"recent/unaligned_share": share}
    (text,) = [text for text in health.regime(row) if "strangers" in text]
    assert f"{share:.0%}".replace("%", " %") in text and "67 %" in text
    assert text.endswith(f"the push is towards the {mode} mode")


def test_a_step_without_fitting_askers_does_not_end_their_mode():
    """A step's own prompts may all be strangers'; over the last steps the mode is alive."""
    step = {f"p_personalized/{STRANGERS}": 0.001}
    assert "personalised mode dies" in health.warnings(step)[0]
    assert health.warnings(step | summary(p={STRANGERS: 0.001})) == []


def test_a_dying_mode_is_told_with_its_regime():
    row = summary(p={FITTING: 0.001, STRANGERS: 0.001})
    texts = health.warnings(row)
    assert "personalised mode dies" in texts[0]
    assert texts[1:] == health.regime(row) != []

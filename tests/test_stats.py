"""Queries on records, against numbers worked by hand."""

import numpy as np
import pandas as pd
import pytest

from pdlib import stats


def records(rows: list[tuple], **same) -> pd.DataFrame:
    """Records from (benchmark, item_id, correct)."""
    return pd.DataFrame(rows, columns=["benchmark", "item_id", "correct"]).assign(**({"train_seed": 0} | same))


def test_difference_pairs_by_item():
    left = records([("a", "1", 1), ("a", "2", 1), ("a", "3", 0), ("a", "4", 1)])
    right = records([("a", "4", 0), ("a", "3", 0), ("a", "2", 1), ("a", "1", 0)])
    found = stats.difference(left, right)
    assert found["mean"] == pytest.approx(0.5)  # differences 1, 0, 0, 1
    assert found["n"] == 4
    assert 0 <= found["ci_low"] <= 0.5 <= found["ci_high"] <= 1


def test_pairing_removes_what_both_sides_share():
    hard = np.random.default_rng(0).random(50)
    left = records([("a", str(i), h + 0.25) for i, h in enumerate(hard)])
    right = records([("a", str(i), h) for i, h in reversed(list(enumerate(hard)))])
    found = stats.difference(left, right)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((0.25, 0.25))


def test_difference_averages_runs_first():
    left = records([("a", "1", 1), ("a", "1", 0), ("a", "2", 1)])
    right = records([("a", "1", 0), ("a", "2", 0), ("a", "2", 0), ("a", "2", 0)])
    found = stats.difference(left, right)
    assert (found["mean"], found["n"]) == (pytest.approx(0.75), 2)  # (.5 + 1) / 2


def test_difference_averages_benchmarks_equally():
    left = records([("a", "1", 1), ("b", "1", 0), ("b", "2", 0), ("b", "3", 0)])
    right = records([("a", "1", 0), ("b", "1", 0), ("b", "2", 0), ("b", "3", 0)])
    assert stats.difference(left, right)["mean"] == pytest.approx(0.5)


def test_difference_changes_sign_with_its_sides():
    left, right = (records([("a", str(i), int(i % k == 0)) for i in range(30)]) for k in (2, 3))
    one, two = stats.difference(left, right), stats.difference(right, left)
    assert one["mean"] == pytest.approx(5 / 30)
    assert two["mean"] == pytest.approx(-5 / 30)


@pytest.mark.parametrize("right", [
    [("a", "1", 1)],
    [("a", "1", 1), ("a", "2", 1), ("a", "3", 1)],
    [("a", "1", 1), ("a", "9", 1)],
    [("a", "1", 1), ("b", "2", 1)],
], ids=["fewer", "more", "other item", "other benchmark"])
def test_unequal_items_are_refused(right):
    with pytest.raises(ValueError, match="items"):
        stats.difference(records([("a", "1", 1), ("a", "2", 1)]), records(right))


def test_mean_interval_averages_benchmarks_equally():
    found = stats.mean_interval(records([("a", "1", 1), ("b", "1", 0), ("b", "2", 0), ("b", "3", 0)]))
    assert found == {"mean": 0.5, "ci_low": 0.5, "ci_high": 0.5, "n": 4}  # no spread within either benchmark


def test_items_with_more_runs_weigh_no_more():
    found = stats.mean_interval(records([("a", "1", 1), ("a", "1", 1), ("a", "1", 1), ("a", "2", 0)]))
    assert (found["mean"], found["n"]) == (pytest.approx(0.5), 2)


def test_interval_has_the_width_of_95_percent():
    found = stats.mean_interval(records([("a", str(i), i % 2) for i in range(400)]), draws=4000)
    half = 1.96 * 0.5 / 400 ** 0.5
    assert found["ci_low"] == pytest.approx(0.5 - half, abs=0.06 * half)
    assert found["ci_high"] == pytest.approx(0.5 + half, abs=0.06 * half)


@pytest.mark.parametrize("seed", range(5))
def test_interval_contains_the_mean(seed):
    skewed = np.random.default_rng(seed).random(40) ** 4
    found = stats.mean_interval(records([("ab"[i % 2], str(i), value) for i, value in enumerate(skewed)]))
    assert found["ci_low"] < found["mean"] < found["ci_high"]


def test_intervals_repeat_and_depend_on_the_seed():
    rows = records([("a", str(i), int(i % 3 == 0)) for i in range(40)])
    assert stats.mean_interval(rows, seed=1) == stats.mean_interval(rows, seed=1)
    assert stats.mean_interval(rows, draws=37, seed=1) != stats.mean_interval(rows, draws=37, seed=2)


def test_other_columns_can_be_averaged():
    rows = records([("a", "1", 1), ("a", "2", 1)], p_personalized=[0.2, 0.6])
    assert stats.mean_interval(rows, "p_personalized")["mean"] == pytest.approx(0.4)


def test_nothing_to_average_is_refused():
    nothing = records([("a", "1", 1)]).iloc[:0]
    with pytest.raises(ValueError, match="no records"):
        stats.mean_interval(nothing)
    with pytest.raises(ValueError, match="no records"):
        stats.difference(nothing, nothing)


def test_block_average():
    aligned = records([("a", "1", 1), ("b", "1", 0), ("b", "2", 1)], kind="objective", condition="aligned")
    bare = records([("a", "1", 0), ("b", "1", 0), ("b", "2", 1)], kind="objective", condition="none")
    average = stats.block_average(pd.concat([aligned, bare]))
    assert average[("objective", "aligned")] == pytest.approx(0.75)
    assert average[("objective", "none")] == pytest.approx(0.25)


def test_accuracy_table():
    rows = records([("a", "1", 1), ("a", "2", 0)], kind="objective", condition="none")
    table = stats.accuracy_table(pd.concat([rows.assign(model="x", forced="none"),
                                            rows.assign(model="x", forced="general", correct=1)]))
    assert table.loc[("x", "none"), ("objective", "none")] == pytest.approx(0.5)
    assert table.loc[("x", "general"), ("objective", "none")] == pytest.approx(1.0)


def test_share_table_counts_free_answers_only():
    rows = pd.DataFrame({
        "model": "x", "kind": "objective", "condition": "aligned",
        "forced": ["none", "none", "none", "none", "personalized", "none"],
        "mode": ["personalized", "general", None, "general", "personalized", "personalized"],
        "p_personalized": [0.9, 0.2, 0.5, 0.1, 0.9, np.nan],  # the last is of a model without modes
    })
    assert stats.share_table(rows)[("x", "objective", "aligned")] == pytest.approx(0.25)


def test_seeds_are_paired_and_resampled():
    """Items do not vary, seeds do: the whole width comes from the seeds, and pairing them removes what both sides share."""
    shift = {0: 0.0, 1: 0.3, 2: 0.6}
    left = pd.concat([records([("a", str(i), s) for i in range(40)], train_seed=k) for k, s in shift.items()])
    found = stats.mean_interval(left)
    assert found["mean"] == pytest.approx(0.3) and found["ci_low"] <= 0.1 and found["ci_high"] >= 0.5 and found["n"] == 40
    right = left.assign(correct=left.correct - 0.2)
    assert stats.difference(left, right)["ci_low"] == pytest.approx(0.2)


def test_seeds_with_different_items_are_refused():
    left = pd.concat([records([("a", "1", 1)], train_seed=0), records([("a", "2", 1)], train_seed=1)])
    with pytest.raises(ValueError, match="different items"):
        stats.mean_interval(left)


def test_the_interval_for_many_comparisons_is_wider():
    rows = records([("a", str(i), i % 2) for i in range(400)])
    found = stats.mean_interval(rows, comparisons=50, draws=20_000)
    half = 0.5 / 400**0.5  # standard error of the mean
    assert found["ci_high"] - 0.5 == pytest.approx(1.96 * half, rel=0.05)
    assert 0.5 - found["wide_low"] == pytest.approx(3.29 * half, rel=0.05)  # 1 - 0.05 / 50, two-sided


@pytest.mark.parametrize("value", [1.0, 0.1])
def test_the_interval_of_a_constant_is_the_constant(value):
    """An error bar must not be negative, not even by a rounding error."""
    for items in range(2, 60):
        found = stats.mean_interval(pd.concat([records([("a", str(i), value) for i in range(items)], train_seed=s) for s in (0, 1, 2)]))
        assert found["ci_low"] == found["mean"] == found["ci_high"] == value


def test_macro_f1_is_that_of_the_labels_and_a_malformed_answer_is_none_of_them():
    """Hand-worked: yes has precision 2/3 and recall 2/3, no has recall 0: (2/3 + 0) / 2."""
    frame = pd.DataFrame({"model": "m", "forced": "none", "benchmark": "pubmedqa", "condition": "none", "gold": ["yes", "yes", "yes", "no"],
                          "answer": ["Yes", "yes ", None, "yes"], "parse_error": [None, None, "no answer", None]})
    assert stats.macro_f1(frame).tolist() == [pytest.approx((2 / 3) / 2)]
    right_but_malformed = frame.assign(answer="yes", parse_error="no mode tag")
    assert stats.macro_f1(right_but_malformed).tolist() == [0.0]

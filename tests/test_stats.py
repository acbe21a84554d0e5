"""Queries on records, against numbers worked by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from pdlib.analysis import stats
from pdlib.schema import Item


def records(rows: list[tuple], **same) -> pd.DataFrame:
    """Records from (benchmark, item_id, correct)."""
    return pd.DataFrame(rows, columns=["benchmark", "item_id", "correct"]).assign(
        **({"train_seed": 0} | same)
    )


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


@pytest.mark.parametrize(
    "right",
    [
        [("a", "1", 1)],
        [("a", "1", 1), ("a", "2", 1), ("a", "3", 1)],
        [("a", "1", 1), ("a", "9", 1)],
        [("a", "1", 1), ("b", "2", 1)],
    ],
    ids=["fewer", "more", "other item", "other benchmark"],
)
def test_unequal_items_are_refused(right):
    with pytest.raises(ValueError, match="items"):
        stats.difference(records([("a", "1", 1), ("a", "2", 1)]), records(right))


def test_mean_interval_averages_benchmarks_equally():
    found = stats.mean_interval(
        records([("a", "1", 1), ("b", "1", 0), ("b", "2", 0), ("b", "3", 0)])
    )
    assert found == {
        "mean": 0.5,
        "ci_low": 0.5,
        "ci_high": 0.5,
        "n": 4,
    }  # no spread within either benchmark


def test_items_with_more_runs_weigh_no_more():
    found = stats.mean_interval(
        records([("a", "1", 1), ("a", "1", 1), ("a", "1", 1), ("a", "2", 0)])
    )
    assert (found["mean"], found["n"]) == (pytest.approx(0.5), 2)


def test_interval_has_the_width_of_95_percent():
    found = stats.mean_interval(records([("a", str(i), i % 2) for i in range(400)]), draws=4000)
    half = 1.96 * 0.5 / 400**0.5
    assert found["ci_low"] == pytest.approx(0.5 - half, abs=0.06 * half)
    assert found["ci_high"] == pytest.approx(0.5 + half, abs=0.06 * half)


@pytest.mark.parametrize("seed", range(5))
def test_interval_contains_the_mean(seed):
    skewed = np.random.default_rng(seed).random(40) ** 4
    found = stats.mean_interval(
        records([("ab"[i % 2], str(i), value) for i, value in enumerate(skewed)])
    )
    assert found["ci_low"] < found["mean"] < found["ci_high"]


def test_intervals_repeat_and_depend_on_the_seed():
    rows = records([("a", str(i), int(i % 3 == 0)) for i in range(40)])
    assert stats.mean_interval(rows, seed=1) == stats.mean_interval(rows, seed=1)
    assert stats.mean_interval(rows, draws=37, seed=1) != stats.mean_interval(
        rows, draws=37, seed=2
    )


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
    aligned = records(
        [("a", "1", 1), ("b", "1", 0), ("b", "2", 1)], kind="objective", condition="aligned"
    )
    bare = records(
        [("a", "1", 0), ("b", "1", 0), ("b", "2", 1)], kind="objective", condition="none"
    )
    average = stats.block_average(pd.concat([aligned, bare]))
    assert average[("objective", "aligned")] == pytest.approx(0.75)
    assert average[("objective", "none")] == pytest.approx(0.25)


def test_accuracy_table():
    rows = records([("a", "1", 1), ("a", "2", 0)], kind="objective", condition="none")
    table = stats.accuracy_table(
        pd.concat(
            [
                rows.assign(model="x", forced="none"),
                rows.assign(model="x", forced="general", correct=1),
            ]
        )
    )
    assert table.loc[("x", "none"), ("objective", "none")] == pytest.approx(0.5)
    assert table.loc[("x", "general"), ("objective", "none")] == pytest.approx(1.0)


def test_seeds_are_paired_and_resampled():
    """Items do not vary, seeds do: the whole width comes from the seeds, and pairing them removes
    what both sides share.
    """
    shift = {0: 0.0, 1: 0.3, 2: 0.6}
    left = pd.concat(
        [records([("a", str(i), s) for i in range(40)], train_seed=k) for k, s in shift.items()]
    )
    found = stats.mean_interval(left)
    assert (
        found["mean"] == pytest.approx(0.3)
        and found["ci_low"] <= 0.1
        and found["ci_high"] >= 0.5
        and found["n"] == 40
    )
    right = left.assign(correct=left.correct - 0.2)
    assert stats.difference(left, right)["ci_low"] == pytest.approx(0.2)


def test_seeds_with_different_items_are_refused():
    left = pd.concat(
        [records([("a", "1", 1)], train_seed=0), records([("a", "2", 1)], train_seed=1)]
    )
    with pytest.raises(ValueError, match="different items"):
        stats.mean_interval(left)


def test_the_interval_for_many_comparisons_is_wider():
    rows = records([("a", str(i), i % 2) for i in range(400)])
    found = stats.mean_interval(rows, comparisons=50, draws=20_000)
    half = 0.5 / 400**0.5  # standard error of the mean
    assert found["ci_high"] - 0.5 == pytest.approx(1.96 * half, rel=0.05)
    assert 0.5 - found["wide_low"] == pytest.approx(
        3.29 * half, rel=0.05
    )  # 1 - 0.05 / 50, two-sided


@pytest.mark.parametrize("value", [1.0, 0.1])
def test_the_interval_of_a_constant_is_the_constant(value):
    """An error bar must not be negative, not even by a rounding error."""
    for items in range(2, 60):
        found = stats.mean_interval(
            pd.concat(
                [
                    records([("a", str(i), value) for i in range(items)], train_seed=s)
                    for s in (0, 1, 2)
                ]
            )
        )
        assert found["ci_low"] == found["mean"] == found["ci_high"] == value


def test_macro_f1_is_that_of_the_labels_and_a_malformed_answer_is_none_of_them():
    """Hand-worked: yes has precision 2/3 and recall 2/3, no has recall 0: (2/3 + 0) / 2."""
    frame = pd.DataFrame(
        {
            "model": "m",
            "forced": "none",
            "benchmark": "pubmedqa",
            "condition": "none",
            "gold": ["yes", "yes", "yes", "no"],
            "answer": ["Yes", "yes ", None, "yes"],
            "parse_error": [None, None, "no answer", None],
        }
    )
    assert stats.macro_f1(frame).tolist() == [pytest.approx((2 / 3) / 2)]
    right_but_malformed = frame.assign(answer="yes", parse_error="no mode tag")
    assert stats.macro_f1(right_but_malformed).tolist() == [0.0]


def several(answers: dict[str, list[tuple]], **same) -> pd.DataFrame:
    """Free first-turn answers under BLOCKS' conditions: model -> rows (block, item_id, correct[,
    train_seed]).
    """
    rows = [
        {
            "model": model,
            "item_id": row[1],
            "correct": row[2],
            "train_seed": row[3] if len(row) > 3 else 0,
            **dict(zip(("kind", "condition"), stats.BLOCKS[row[0]], strict=True)),
        }
        for model, answered in answers.items()
        for row in answered
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(
        **({"run": "r", "benchmark": frame.kind, "forced": "none", "turn": 1, "seed": 0} | same)
    )


def test_row_0_is_what_was_observed_and_columns_share_their_draws():
    items = (
        pd.concat(
            [records([(name, str(i), i) for i in range(n)]) for name, n in (("a", 3), ("b", 5))]
        )
        .set_index(stats.ITEM)
        .correct
    )
    table = pd.DataFrame(
        {"x": items, "y": 10 - items, "only b": items.where(items.index.get_level_values(0) == "b")}
    )
    drawn = stats.resample(table, draws=50)
    assert drawn.iloc[0].tolist() == pytest.approx([1.5, 8.5, 2.0]) and len(drawn) == 51
    assert (drawn.x + drawn.y).to_numpy() == pytest.approx(10) and drawn.x.iloc[1:].nunique() > 10


def test_a_column_that_lacks_some_items_of_a_benchmark_is_refused():
    items = records([("a", str(i), i) for i in range(4)]).set_index(stats.ITEM)
    with pytest.raises(ValueError, match="different items of a"):
        stats.resample(items.assign(other=items.correct.where(items.correct > 0)))


def mean_of_blocks(*blocks: pd.DataFrame) -> dict:
    """Interval of the mean of blocks, each weighing alike, as `stats.comparisons` makes it."""
    items = pd.concat(
        [block.groupby(stats.ITEM).correct.mean() for block in blocks],
        axis=1,
        keys=range(len(blocks)),
    )
    return stats.summary(stats.resample(items).mean(axis=1)) | {"n": stats.count(items)}


def test_an_item_of_two_blocks_is_resampled_as_one():
    """What one block gains on an item the other loses: the mean of the blocks does not vary, though
    each block does.
    """
    items = [("a", str(i), i % 2) for i in range(40)]
    one, two = records(items), records([(b, i, 1 - v) for b, i, v in items])
    assert mean_of_blocks(one, two) == {"mean": 0.5, "ci_low": 0.5, "ci_high": 0.5, "n": 40}
    apart = records(
        [("b", i, v) for _, i, v in two[["benchmark", "item_id", "correct"]].to_numpy()]
    )
    assert mean_of_blocks(one, apart)["ci_low"] < 0.45


def test_blocks_weigh_alike_whatever_they_hold():
    found = mean_of_blocks(
        records([("a", "1", 1), ("a", "2", 1), ("b", "1", 1)]), records([("c", "1", 0)])
    )
    assert (found["mean"], found["n"]) == (0.5, 4)


@pytest.mark.parametrize(
    "limits, said",
    [
        ((0.1, 0.3, 0.05, 0.4), "higher"),
        ((-0.3, -0.1, -0.4, -0.05), "lower"),
        ((0.1, 0.3, -0.1, 0.4), "perhaps higher"),
        ((-0.3, -0.1, -0.4, 0.0), "perhaps lower"),
        ((-0.1, 0.3, -0.2, 0.4), "no difference shown"),
        ((0.0, 0.3, 0.0, 0.4), "no difference shown"),
    ],
)
def test_verdicts_follow_the_intervals(limits, said):
    found = dict(zip(("ci_low", "ci_high", "wide_low", "wide_high"), limits, strict=True)) | {
        "mean": sum(limits[:2]) / 2
    }
    assert stats.verdict(found) == said


def test_a_model_with_one_seed_stands_beside_every_seed():
    answered = [("personalised", "1", 1, 7)]
    given = several(
        {"trained": [("personalised", "1", s % 2, s) for s in (3, 4, 5)], "prompted": answered}
    )
    other = several({"prompted": answered}, run="other")
    found = stats.across_seeds(
        pd.concat([given, other])
    )  # an index that repeats, as files read one by one have it
    held = found.groupby(["run", "model"]).train_seed.agg(sorted).to_dict()
    assert held == {
        ("r", "trained"): [3, 4, 5],
        ("r", "prompted"): [3, 4, 5],
        ("other", "prompted"): [7],
    }
    assert found[(found.model == "prompted")].correct.tolist() == [1] * 4
    pd.testing.assert_frame_equal(stats.across_seeds(found), found)


def test_some_of_the_seeds_are_refused():
    held = {"whole": (0, 1, 2), "cut": (0, 1), "prompted": (0,)}
    rows = {model: [("personalised", "1", 1, s) for s in seeds] for model, seeds in held.items()}
    with pytest.raises(
        ValueError, match=r"model cut of run r has training seeds \[0, 1\], others have \[0, 1, 2\]"
    ):
        stats.across_seeds(several(rows))


def test_mcnemar_is_exact():
    """Five items only left has right, one only right has: 2 * (1 + 6) / 2^6."""
    left = records([("a", str(i), int(i < 5 or i > 5)) for i in range(10)])
    right = records([("a", str(i), int(i >= 5)) for i in range(10)])
    assert stats.mcnemar(left, right) == {
        "both": 4,
        "left_only": 5,
        "right_only": 1,
        "neither": 0,
        "n": 10,
        "p": pytest.approx(14 / 64),
    }
    assert stats.mcnemar(left, left)["p"] == 1.0


def test_mcnemar_counts_items_not_answers():
    """Three runs and two training seeds of one item are no six pieces of evidence; half of the
    answers is not right.
    """
    left, right = (records([("a", str(i), value) for i in range(5)]) for value in (1, 0))
    many = [
        pd.concat([side.assign(train_seed=s) for s in (0, 1) for _ in range(3)])
        for side in (left, right)
    ]
    assert stats.mcnemar(*many) == stats.mcnemar(left, right) and stats.mcnemar(left, right)[
        "p"
    ] == pytest.approx(2 / 32)
    half = pd.concat([left, right])
    assert stats.mcnemar(half, right)["neither"] == 5
    with pytest.raises(ValueError, match="items"):
        stats.mcnemar(left, right.iloc[:3])


def test_holm():
    assert stats.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.5, 0.6]).tolist() == [1.0, 1.0]
    found = stats.holm([0.02, np.nan, 0.01])
    assert found[[0, 2]].tolist() == pytest.approx([0.02, 0.02]) and np.isnan(found[1])


def ours(right: int) -> list[tuple]:
    """Each block's first `right` of 40 items right."""
    return [(block, str(i), int(i < right)) for block in stats.BLOCKS for i in range(40)]


def test_comparisons():
    """worse: right on 10 items of 40 where personadual is right on 30; same: the same answers;
    twice: two seeds, 10 and 50 points off.
    """
    twice = [row + (s,) for s, right in enumerate((26, 10)) for row in ours(right)]
    table = stats.comparisons(
        several({"personadual": ours(30), "worse": ours(10), "same": ours(30), "twice": twice}),
        draws=2000,
    )
    assert len(table) == 3 * 4 and set(table.block) == {*stats.BLOCKS, stats.MEAN}
    worse, same, trained = (
        table[table.model == name].set_index("block") for name in ("worse", "same", "twice")
    )
    assert worse["mean"].tolist() == [-0.5] * 4 and (worse.verdict == "lower").all()
    assert (same[["mean", "ci_low", "wide_high"]] == 0).all(axis=None) and (
        same.verdict == "no difference shown"
    ).all()
    assert (
        trained["mean"].tolist() == pytest.approx([-0.3] * 4)
        and trained.seeds.tolist() == [2] * 4
        and worse.seeds.tolist() == [1] * 4
    )
    assert (trained.ci_high > -0.15).all() and (
        trained.ci_low < -0.45
    ).all()  # the seeds vary, so the interval is wide
    assert worse.n.to_dict() == dict.fromkeys(stats.BLOCKS, 40) | {stats.MEAN: 80}
    p = 2 / 2**20
    assert worse.p[:3].tolist() == pytest.approx([p] * 3) and np.isnan(worse.p[stats.MEAN])
    assert worse.p_holm[:3].tolist() == pytest.approx(
        [9 * p] * 3
    )  # 9 tests: three models, three blocks
    assert (worse.wide_low < worse.ci_low).all() and (worse.wide_high > worse.ci_high).all()


def test_comparisons_take_free_answers_of_one_run():
    given = several({"personadual": ours(30), "other": ours(10)})
    forced = given.assign(forced="general", correct=1)
    later = given.assign(turn=2, correct=1)
    assert stats.comparisons(pd.concat([given, forced, later]), draws=200).equals(
        stats.comparisons(given, draws=200)
    )
    with pytest.raises(ValueError, match="one run"):
        stats.comparisons(pd.concat([given, given.assign(run="second")]))
    with pytest.raises(ValueError, match="personadual"):
        stats.comparisons(given[given.model == "other"])
    with pytest.raises(ValueError, match="like with like"):
        stats.comparisons(given[(given.model != "other") | (given.item_id != "3")])
    assert set(
        stats.comparisons(given, blocks={"aligned": ("objective", "aligned")}, draws=200).block
    ) == {"aligned"}


@pytest.mark.parametrize(
    "values", [(0.1, 0.4, 0.3), (0.5, 0.55, 0.7, 0.2, 0.6)], ids=["three seeds", "five seeds"]
)
def test_seed_weights_give_students_interval(values):
    """Against scipy's t interval of the same few values; a bootstrap of them (the wrong variant) is
    far too narrow.
    """
    x = np.array(values)
    drawn = stats.seed_weights(np.random.default_rng(0), len(x), 40_000) @ x
    low, high = student.interval(
        0.95, len(x) - 1, loc=x.mean(), scale=x.std(ddof=1) / len(x) ** 0.5
    )
    assert drawn[0] == pytest.approx(x.mean())
    assert np.quantile(drawn[1:], [0.025, 0.975]) == pytest.approx(
        [low, high], abs=0.03 * (high - low)
    )
    bootstrap = stats.item_weights(np.random.default_rng(0), len(x), 40_000) @ x
    assert np.ptp(np.quantile(bootstrap[1:], [0.025, 0.975])) < 0.7 * (high - low)


def test_seed_weights_add_up_to_one_and_keep_pairs():
    weights = stats.seed_weights(np.random.default_rng(1), 4, 500)
    assert weights.shape == (501, 4) and weights.sum(1) == pytest.approx(1)
    left, right = np.array([0.9, 0.2, 0.4, 0.6]), np.array([0.8, 0.1, 0.3, 0.5])
    assert weights @ left - weights @ right == pytest.approx(0.1), (
        "a difference that all seeds share is certain"
    )
    assert (stats.seed_weights(np.random.default_rng(1), 1, 5) == 1).all()


def test_few_seeds_widen_the_interval_and_cover_what_a_bootstrap_misses():
    """Twenty items that all agree, three seeds that do not: the interval is Student's, t(2) = 4.30
    standard errors.
    """
    frame = pd.concat(
        [
            records([("a", str(i), value) for i in range(20)], train_seed=seed)
            for seed, value in enumerate((0.4, 0.5, 0.6))
        ]
    )
    found = stats.mean_interval(frame, draws=20_000)
    half = student.ppf(0.975, 2) * 0.1 / 3**0.5
    assert found["mean"] == pytest.approx(0.5)
    assert (found["ci_high"] - found["ci_low"]) / 2 == pytest.approx(half, rel=0.06)


def test_a_benchmark_at_chance_shows_no_difference():
    items = [
        Item(f"{name}-{k}", name, "objective", "choice", "?", "a", ("a", "b"))
        for name in ("known", "guessed")
        for k in range(200)
    ]
    rows = []
    for item in items:
        k = int(item.id.rpartition("-")[2])
        for condition, right in (
            ("none", k % 10 < (9 if item.benchmark == "known" else 5)),
            ("unaligned", k % 10 < (6 if item.benchmark == "known" else 4)),
        ):
            rows.append(
                {
                    "run": "r",
                    "model": "backbone",
                    "benchmark": item.benchmark,
                    "item_id": item.id,
                    "train_seed": 0,
                    "seed": 0,
                    "turn": 1,
                    "forced": "none",
                    "condition": condition,
                    "correct": right,
                }
            )
    found = stats.by_benchmark(pd.DataFrame(rows), items).set_index("benchmark")
    assert (
        found.loc["known", "mean"] == pytest.approx(-0.3)
        and found.loc["known", "verdict"] == "lower"
    )
    assert found.loc["guessed", "verdict"] == stats.AT_CHANCE and np.isnan(
        found.loc["guessed", "mean"]
    )
    assert (
        found.chance.eq(0.5).all()
        and found.loc["guessed", "accuracy"] == pytest.approx(0.4)
        and found.n.eq(200).all()
    )

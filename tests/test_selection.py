"""Does selection pay: four questions and two runs worked by hand, invariants, and selectors that peek."""

import numpy as np
import pandas as pd
import pytest

from pdlib import stats
from pdlib.analysis import selection
from pdlib.plots import selection as plots

BENCHMARKS = {"objective": "trivia", "personalized": "feedback"}
BY_HAND = {  # item -> general runs, personalised runs, free runs as (mode, right), P(personalised)
    "1": ((1, 1), (0, 0), (("general", 1), ("general", 1)), 0.1),
    "2": ((0, 0), (1, 1), (("general", 0), ("personalized", 1)), 0.6),
    "3": ((1, 0), (1, 1), (("personalized", 1), ("general", 0)), 0.5),
    "4": ((0, 0), (0, 0), (("personalized", 0), ("none", 0)), 0.9),
}


def records(items: dict, blocks: tuple = tuple(stats.BLOCKS), **same) -> pd.DataFrame:
    """Records of `items` (as in BY_HAND) in each of `blocks`."""
    rows = []
    for kind, condition in (selection.COLUMNS[block] for block in blocks):
        for item, (general, personalized, free, chance) in items.items():
            answered = [("general", s, "general", right) for s, right in enumerate(general)]
            answered += [("personalized", s, "personalized", right) for s, right in enumerate(personalized)]
            answered += [("none", s, mode, right) for s, (mode, right) in enumerate(free)]
            rows += [{"kind": kind, "condition": condition, "benchmark": BENCHMARKS[kind], "item_id": item, "forced": forced, "seed": s,
                      "mode": mode, "correct": bool(right), "p_personalized": chance} for forced, s, mode, right in answered]
    return pd.DataFrame(rows).assign(**({"run": "r", "model": "personadual", "train_seed": 0, "turn": 1} | same))


def noise(items: int = 200, runs: int = 2, right: float = 0.5, seed: int = 0) -> dict:
    """Both modes toss a coin on every item, and so does the choice."""
    rng = np.random.default_rng(seed)
    toss = lambda: tuple(int(x) for x in rng.random(runs) < right)  # noqa: E731
    modes = lambda: tuple(("general", "personalized")[int(x)] for x in rng.random(runs) < 0.5)  # noqa: E731
    return {str(i): (toss(), toss(), tuple(zip(modes(), toss())), float(rng.random())) for i in range(items)}


def steady(items: int = 60, seed: int = 0) -> dict:
    """Each mode answers an item alike in every run; the choice tosses a coin."""
    rng = np.random.default_rng(seed)
    made = {}
    for i in range(items):
        right = {mode: int(rng.random() < 0.6) for mode in ("general", "personalized")}
        free = tuple((mode, right[mode]) for mode in rng.choice(["general", "personalized"], 2))
        made[str(i)] = ((right["general"],) * 2, (right["personalized"],) * 2, free, float(rng.random()))
    return made


def of(table: pd.DataFrame, block: str = "objective unaligned") -> pd.DataFrame:
    return table[table.block == block].set_index(next(iter(table)) if table.columns[0] != "block" else table.columns[1])


@pytest.mark.parametrize("block", [*stats.BLOCKS, stats.MEAN])
def test_value_by_hand(block):
    """general (1 + 0 + 1/2 + 0) / 4; personalised (0 + 1 + 1 + 0) / 4; free answers: 4 of 8 right, 3 of 8 personalised.

    Oracle: 1, 1, item 3: run 1 by run 2 (0 against 1): personalised, right; run 2 by run 1 (a tie, also on the benchmark): a coin
    between 0 and 1; item 4 never: (1 + 1 + 3/4 + 0) / 4. Its share: 0, 1, (1 + 1/2) / 2, and on item 4, a tie in both runs, the
    benchmark says personalised by run 2, nothing by run 1.
    """
    found = of(selection.value(records(BY_HAND)), block)
    random = 3 / 8 * 0.5 + 5 / 8 * 0.375
    expected = {selection.GENERAL: 0.375, selection.PERSONALIZED: 0.5, selection.RANDOM: random, selection.RANDOM_WITHIN: random,
                selection.LEARNED: 0.5, selection.ORACLE: 0.6875, selection.EITHER: 0.75}
    assert found["mean"][list(expected)].to_dict() == pytest.approx(expected)
    assert found.difference[list(expected)].to_dict() == pytest.approx({name: mean - 0.5 for name, mean in expected.items()})
    assert found.regret[list(expected)].to_dict() == pytest.approx({name: 0.6875 - mean for name, mean in expected.items()})
    shares = {selection.GENERAL: 0, selection.PERSONALIZED: 1, selection.RANDOM: 0.375, selection.LEARNED: 0.375, selection.ORACLE: 0.625}
    assert found.share[list(shares)].to_dict() == pytest.approx(shares)
    assert found.n[selection.LEARNED] == (8 if block == stats.MEAN else 4)


def test_errors_by_hand():
    """Wrong: item 2 run 1 and item 3 run 2 (general, the other mode is right), item 4 run 1 (neither is), item 4 run 2 (no mode)."""
    found = of(selection.errors(records(BY_HAND)))
    assert found.rate.to_dict() == pytest.approx(dict(zip(selection.ERRORS, (2 / 8, 1 / 8, 0, 1 / 8))))
    assert found.share.to_dict() == pytest.approx(dict(zip(selection.ERRORS, (0.5, 0.25, 0, 0.25))))


def test_an_unlucky_run_is_no_error_of_the_mode():
    """Personalised is always right; general is in two of three runs, so its one wrong free answer is bad luck."""
    item = ((1, 1, 0), (1, 1, 1), (("general", 0), ("general", 1), ("personalized", 1)), 0.5)
    found = of(selection.errors(records({"1": item})))
    assert found.rate.to_dict() == pytest.approx(dict(zip(selection.ERRORS, (0, 0, 1 / 3, 0))))


def test_selection_errors_by_hand():
    """Known: item 1 (general; chosen both times), item 2 (personalised; chosen once). Item 3's general mode was right once."""
    found = of(selection.selection_errors(records(BY_HAND)))
    assert found["mean"].to_dict() == pytest.approx({"general": 0.0, "personalised": 0.5, "all": 0.25})
    assert found.n.to_dict() == {"general": 1, "personalised": 1, "all": 2} and (found.n_all == 4).all()
    assert found.ci_high["general"] == pytest.approx(0.975)  # one item without an error: 1 - 0.025, not a certain 0


def test_an_answer_without_a_mode_is_a_wrong_choice():
    given = {k: (g, p, (("none", 0), ("general", 1)), c) for k, (g, p, _, c) in BY_HAND.items()}
    found = of(selection.selection_errors(records(given)))["mean"]
    assert found.to_dict() == {"general": 0.5, "personalised": 1.0, "all": 0.75}


def test_no_known_item_gives_no_rate():
    found = of(selection.selection_errors(records({"3": BY_HAND["3"], "4": BY_HAND["4"]})))
    assert found["mean"].isna().all() and found.ci_low.isna().all() and (found.n == 0).all()


def test_tradeoff_by_hand():
    table = selection.tradeoff(records(BY_HAND), thresholds=(0, 1))
    found = of(table).assign(key=lambda t: t.mark.where(t.mark != "", t.index.astype(str)))
    assert table.columns[0] == "threshold" and dict(zip(table.threshold, table.mark))[0.5] == "0.5"
    part = table[table.block == "objective aligned"]
    assert part.threshold.tolist()[:3] == [0, 0.5, 1] and np.isnan(part.threshold.iloc[3]) and found.mark.tolist()[-1] == selection.LEARNED
    assert part["mean"].tolist() == pytest.approx([0.5, 0.625, 0.375, 0.5])  # 0.5: personalised on items 2 and 4, not on 3
    assert part.share.tolist() == pytest.approx([1, 0.5, 0, 0.375])


def test_calibration_by_hand():
    """At most 0.5: items 1 and 3, worth -1 and +1/2; above: items 2 and 4, worth 1 and 0."""
    table = selection.calibration(records(BY_HAND), bins=(0, 0.5, 1))
    for block in (*stats.BLOCKS, selection.TOGETHER):
        part = table[table.block == block]
        assert part["mean"].tolist() == pytest.approx([-0.25, 0.5]) and part.p.tolist() == pytest.approx([0.3, 0.75])
        assert part.share.tolist() == pytest.approx([0.25, 0.5]) and (part.n == (4 if block == selection.TOGETHER else 2)).all()
    assert table.ci_low.isna().all()  # fewer than FEW items
    many = records({f"{k}{i}": item for i in range(5) for k, item in BY_HAND.items()})
    wide = selection.calibration(many, bins=(0, 0.5, 1))
    assert (wide.ci_low < wide["mean"]).all() and (wide["mean"] < wide.ci_high).all()
    with pytest.raises(ValueError, match="rising edges"):
        selection.calibration(many, bins=(0, 0.5))


def test_each_benchmark_weighs_alike_in_its_block():
    more = records({str(i): BY_HAND["1"] for i in range(10, 16)}).assign(benchmark="maths")
    both = pd.concat([records(BY_HAND), more[more.kind == "objective"]])
    assert of(selection.value(both))["mean"][selection.GENERAL] == pytest.approx((0.375 + 1) / 2)


def test_the_best_mode_is_not_chosen_on_the_items_that_score_it():
    """One item for each mode, one in each half: whoever chooses without peeking is wrong on both."""
    free = (("general", 1), ("general", 1))
    split = {"x": ((1, 1), (0, 0), free, 0.5), "y": ((0, 0), (1, 1), free, 0.5)}
    found = of(selection.value(records(split)))
    assert found["mean"][[selection.BEST, selection.BEST_TOLD]].tolist() == [0.0, 0.0]


def test_the_best_mode_of_a_benchmark_does_not_know_the_persona():
    """Unaligned: general is right; aligned: personalised is. Whoever is told the persona is right, the other tosses a coin."""
    free = (("general", 1), ("general", 1))
    sides = {"objective unaligned": ((1, 1), (0, 0)), "objective aligned": ((0, 0), (1, 1)), "personalised": ((0, 0), (1, 1))}
    given = pd.concat([records({str(i): (*pair, free, 0.5) for i in range(6)}, (block,)) for block, pair in sides.items()])
    table = selection.value(given)
    for block, blind in {"objective unaligned": 0.5, "objective aligned": 0.5, "personalised": 1.0, stats.MEAN: 2 / 3}.items():
        found = of(table, block)["mean"]
        assert (found[selection.BEST], found[selection.BEST_TOLD], found[selection.ORACLE]) == pytest.approx((blind, 1.0, 1.0))


def test_the_best_mode_of_a_benchmark_is_chosen_for_the_columns_of_the_mean():
    """The personalised mode is worth -1/2 and 0 with a persona, 1 without one, which is no column of the mean."""
    free, useless = (("general", 1), ("general", 1)), ((0, 0), (0, 0))
    sides = dict.fromkeys(stats.BLOCKS, useless) | {"objective none": ((0, 0), (1, 1)), "objective unaligned": ((1, 0), (0, 0))}
    given = pd.concat([records({str(i): (*pair, free, 0.5) for i in range(6)}, (block,)) for block, pair in sides.items()])
    found = selection.value(given).set_index(["selector", "block"])["mean"][selection.BEST]
    assert (found["objective unaligned"], found["objective none"]) == (0.5, 0.0)


def peeking(answers) -> np.ndarray:
    """A wrong oracle: chooses by all runs, the scored one among them."""
    return selection.selectors._prefer((answers.personalized - answers.general).mean(1, keepdims=True))


@pytest.mark.parametrize("runs", [2, 3])
def test_the_oracle_takes_no_luck_for_skill(runs, monkeypatch):
    """Where both modes toss coins there is nothing to choose; an oracle that peeks, or gets two tries, is found out."""
    given = records(noise(items=400, runs=runs))
    mean = lambda: selection.value(given, draws=10)[lambda t: t.block == stats.MEAN].set_index("selector")["mean"]  # noqa: E731
    honest = mean()
    assert honest[selection.ORACLE] == pytest.approx(0.5, abs=0.03) and honest[selection.EITHER] == pytest.approx(0.75, abs=0.03)
    monkeypatch.setattr(selection.selectors, "_oracle", peeking)
    assert mean()[selection.ORACLE] > 0.6


@pytest.mark.parametrize("seed", range(3))
def test_no_selector_beats_the_oracle_where_runs_agree(seed):
    given = records(steady(seed=seed))
    router = given[["benchmark", "item_id", "condition"]].drop_duplicates().assign(personalized=lambda t: t.item_id.str.len() == 1)
    table = selection.value(given, choices=router)
    assert (table.regret[table.selector != selection.EITHER] >= 0).all()
    found = of(table)
    others = found["mean"].drop([selection.ORACLE, selection.EITHER])
    assert found["mean"][selection.ORACLE] == found["mean"][selection.EITHER] > others.max()


def test_runs_inform_the_oracle():
    """The mode that is right with 0.9 is found by the other runs nearly always; one that is right with 0.1 is avoided."""
    rng = np.random.default_rng(0)
    items = {}
    for i in range(300):
        good, bad = (tuple(int(x) for x in rng.random(3) < p) for p in (0.9, 0.1))
        pair = (good, bad) if i % 2 else (bad, good)
        items[str(i)] = (*pair, (("general", 0),) * 3, 0.5)
    found = of(selection.value(records(items), draws=10))["mean"]
    assert found[selection.ORACLE] > 0.85 and found[selection.PERSONALIZED] < 0.6


def routes(given: pd.DataFrame, choose) -> pd.DataFrame:
    rows = given[["benchmark", "item_id", "condition", "train_seed"]].drop_duplicates()
    return rows.assign(personalized=[bool(choose(item)) for item in rows.item_id])


def test_a_router_that_always_says_the_same_is_that_selector():
    given = records(noise(items=30), tuple(selection.COLUMNS))
    for answer, name in ((False, selection.GENERAL), (True, selection.PERSONALIZED)):
        table = selection.value(given, choices=routes(given, lambda _: answer), draws=50)
        one, two = (table[table.selector == which].drop(columns="selector").reset_index(drop=True) for which in (selection.ROUTER, name))
        pd.testing.assert_frame_equal(one, two)


def test_a_router_by_p_is_the_threshold():
    items = noise(items=30)
    given = records(items)
    routed = selection.value(given, choices=routes(given, lambda item: items[item][3] > 0.5), draws=50)
    swept = selection.tradeoff(given, draws=50)
    for block in (*stats.BLOCKS, stats.MEAN):
        one = of(routed, block).loc[selection.ROUTER]
        two = swept[(swept.mark == "0.5") & (swept.block == block)].iloc[0]
        assert (one["mean"], one.ci_low, one.share) == pytest.approx((two["mean"], two.ci_low, two.share))


def test_router_choices_for_each_training_seed():
    given = pd.concat([records(BY_HAND, train_seed=s) for s in (0, 1)])
    choices = routes(given, lambda _: True)
    choices["personalized"] = choices.train_seed == 1
    assert of(selection.value(given, choices=choices))["mean"][selection.ROUTER] == pytest.approx((0.375 + 0.5) / 2)


def test_bad_router_choices_are_refused():
    given = records(BY_HAND)
    choices = routes(given, lambda _: True)
    for wrong, message in ((choices.iloc[1:], "no choice for 1 of 12"), (pd.concat([choices, choices]), "chosen for before"),
                           (choices.assign(personalized=0.7), "True or False"), (choices.drop(columns="condition"), "lack the columns")):
        with pytest.raises(ValueError, match=message):
            selection.value(given, choices=wrong)


def test_random_has_the_share_of_its_own_training_seed():
    """Seed 0 never chooses the personalised mode, seed 1 always does: random at their shares does just that."""
    always = [{k: (g, p, ((mode, 0),) * 2, c) for k, (g, p, _, c) in BY_HAND.items()} for mode in ("general", "personalized")]
    given = pd.concat([records(items, train_seed=s) for s, items in enumerate(always)])
    found = of(selection.value(given))["mean"]
    assert found[[selection.RANDOM, selection.RANDOM_WITHIN]].tolist() == pytest.approx([(0.375 + 0.5) / 2] * 2)


def test_the_overall_share_weighs_the_three_blocks_alike():
    """Personalised on personalised questions only: a third overall, none and all of the block; no persona counts for nothing."""
    chosen = {k: (g, p, (("personalized", 0),) * 2, c) for k, (g, p, _, c) in BY_HAND.items()}
    never = {k: (g, p, (("general", 0),) * 2, c) for k, (g, p, _, c) in BY_HAND.items()}
    given = pd.concat([records(never, ("objective unaligned", "objective aligned")), records(chosen, ("personalised", "objective none"))])
    table = selection.value(given).set_index(["selector", "block"]).share
    assert table[selection.RANDOM].tolist() == pytest.approx([1 / 3] * 5)
    assert table[selection.RANDOM_WITHIN].to_dict() == pytest.approx(
        {"objective none": 1, "objective unaligned": 0, "objective aligned": 0, "personalised": 1, stats.MEAN: 1 / 3})


TABLES = (selection.value, selection.errors, selection.selection_errors, selection.tradeoff, selection.calibration)


@pytest.mark.parametrize("table", TABLES)
def test_the_order_of_rows_does_not_matter_and_other_rows_do_not_count(table):
    given = records(noise(items=25, runs=3), tuple(selection.COLUMNS))
    others = pd.concat([given.assign(model="sft_only", correct=True), given.assign(turn=2), given.assign(condition="swapped")])
    shuffled = pd.concat([given, others]).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(table(given, draws=50), table(shuffled, draws=50))


def test_rates_and_accuracy_add_up():
    given = records(noise(items=50, runs=3), tuple(selection.COLUMNS))
    rates = selection.errors(given, draws=10).groupby("block").rate.sum()
    right = selection.value(given, draws=10)[lambda t: t.selector == selection.LEARNED].set_index("block")["mean"]
    assert (rates + right).to_numpy() == pytest.approx(np.ones(5))


def test_one_training_seed_twice_is_one():
    given = records(noise(items=25))
    twice = pd.concat([given, given.assign(train_seed=1)])
    one, two = (selection.value(rows, draws=200) for rows in (given, twice))
    numbers = ["mean", "n", "share", "difference", "regret"]
    pd.testing.assert_frame_equal(one[numbers], two[numbers])


def test_with_one_run_there_is_no_oracle():
    single = {k: (g[:1], p[:1], free[:1], c) for k, (g, p, free, c) in BY_HAND.items()}
    table = selection.value(records(single))
    assert table[table.selector == selection.ORACLE]["mean"].isna().all() and table.regret.isna().all()
    assert of(table)["mean"][selection.GENERAL] == 0.5


def test_what_cannot_be_compared_is_refused():
    given = records(BY_HAND)
    for wrong, message in (
            (given[given.forced != "general"], "lacks answers: general"),
            (given[given.condition != "unaligned"], "lacks answers: objective unaligned"),
            (given[(given.forced != "general") | (given.item_id != "2")], "3 of 12 questions"),
            (given[(given.forced != "none") | (given.seed == 0)], "12 of 12 questions"),
            (pd.concat([given, given]), "there twice"),
            (pd.concat([given, given.assign(run="second")]), "one run"),
            (given.assign(model="sft_only"), r"models \['sft_only'\]"),
            (given.assign(p_personalized=None), "no p_personalized"),
            (pd.concat([given, given[given.item_id != "2"].assign(train_seed=1)]), "different items")):
        with pytest.raises(ValueError, match=message):
            selection.value(wrong)


def test_figures_show_what_the_tables_hold():
    given = records(noise(items=30, runs=1), tuple(selection.COLUMNS))
    figure = plots.selectors(selection.value(given, draws=20))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[-1] == selection.GENERAL and selection.ORACLE not in labels and len(figure.axes) == 5  # one run: no oracle
    figure = plots.selection_errors(selection.errors(given, draws=20), selection.selection_errors(given, draws=20))
    widest = max(bar.get_x() + bar.get_width() for bar in figure.axes[0].patches)
    assert figure.axes[0].get_xlim()[1] >= widest
    assert len(plots.tradeoff(selection.tradeoff(given, draws=20)).axes[0].lines) == 6  # five blocks and the threshold 0.5
    assert len(plots.calibration(selection.calibration(given, draws=20)).axes) == 4

"""Does selection pay: four questions and two runs worked by hand, invariants, and selectors that
peek.
"""

import numpy as np
import pandas as pd
import pytest

from pdlib import plots
from pdlib.analysis import selection, stats
from pdlib.evaluate import ask_all
from pdlib.pocket.world import World, knows
from pdlib.schema import Example, Item, Mode, Persona

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
    for kind, condition in (stats.AVERAGES[block] for block in blocks):
        for item, (general, personalized, free, chance) in items.items():
            answered = [("general", s, "general", right) for s, right in enumerate(general)]
            answered += [
                ("personalized", s, "personalized", right) for s, right in enumerate(personalized)
            ]
            answered += [("none", s, mode, right) for s, (mode, right) in enumerate(free)]
            rows += [
                {
                    "kind": kind,
                    "condition": condition,
                    "benchmark": BENCHMARKS[kind],
                    "item_id": item,
                    "forced": forced,
                    "seed": s,
                    "mode": mode,
                    "correct": bool(right),
                    "p_personalized": chance,
                }
                for forced, s, mode, right in answered
            ]
    return pd.DataFrame(rows).assign(
        **({"run": "r", "model": "personadual", "train_seed": 0, "turn": 1} | same)
    )


def noise(items: int = 200, runs: int = 2, right: float = 0.5, seed: int = 0) -> dict:
    """Both modes toss a coin on every item, and so does the choice."""
    rng = np.random.default_rng(seed)

    def toss():
        return tuple(int(x) for x in rng.random(runs) < right)

    def modes():
        return tuple(("general", "personalized")[int(x)] for x in rng.random(runs) < 0.5)

    return {
        str(i): (toss(), toss(), tuple(zip(modes(), toss(), strict=True)), float(rng.random()))
        for i in range(items)
    }


def steady(items: int = 60, seed: int = 0) -> dict:
    """Each mode answers an item alike in every run; the choice tosses a coin."""
    rng = np.random.default_rng(seed)
    answers = {}
    for i in range(items):
        right = {mode: int(rng.random() < 0.6) for mode in ("general", "personalized")}
        free = tuple((mode, right[mode]) for mode in rng.choice(["general", "personalized"], 2))
        answers[str(i)] = (
            (right["general"],) * 2,
            (right["personalized"],) * 2,
            free,
            float(rng.random()),
        )
    return answers


def of(table: pd.DataFrame, block: str = "objective unaligned") -> pd.DataFrame:
    return table[table.block == block].set_index(
        next(iter(table)) if table.columns[0] != "block" else table.columns[1]
    )


@pytest.mark.parametrize("block", [*stats.BLOCKS, selection.OBJECTIVE, stats.MEAN])
def test_value_by_hand(block):
    """general (1 + 0 + 1/2 + 0) / 4; personalised (0 + 1 + 1 + 0) / 4; free answers: 4 of 8 right,
    3 of 8 personalised.

    Oracle: 1, 1, item 3: run 1 by run 2 (0 against 1): personalised, right; run 2 by run 1 (a tie,
    also on the benchmark): a coin between 0 and 1; item 4 never: (1 + 1 + 3/4 + 0) / 4. Its share:
    0, 1, (1 + 1/2) / 2, and on item 4, a tie in both runs, the benchmark says personalised by run
    2, nothing by run 1.
    """
    found = of(selection.value(records(BY_HAND)), block)
    random = 3 / 8 * 0.5 + 5 / 8 * 0.375
    expected = {
        selection.GENERAL: 0.375,
        selection.PERSONALIZED: 0.5,
        selection.RANDOM: random,
        selection.RANDOM_WITHIN: random,
        selection.LEARNED: 0.5,
        selection.ORACLE: 0.6875,
        selection.EITHER: 0.75,
    }
    assert found["mean"][list(expected)].to_dict() == pytest.approx(expected)
    assert found.difference[list(expected)].to_dict() == pytest.approx(
        {name: mean - 0.5 for name, mean in expected.items()}
    )
    assert found.regret[list(expected)].to_dict() == pytest.approx(
        {name: 0.6875 - mean for name, mean in expected.items()}
    )
    told = (
        0.375
        if block == "objective unaligned"
        else 0.5
        if block not in selection.MEANS
        else (0.4375 if block == selection.OBJECTIVE else (0.375 + 0.5 + 0.5) / 3)
    )
    assert found["mean"][selection.TOLD] == pytest.approx(told)
    shares = {
        selection.GENERAL: 0,
        selection.PERSONALIZED: 1,
        selection.RANDOM: 0.375,
        selection.LEARNED: 0.375,
        selection.ORACLE: 0.625,
    }
    assert found.share[list(shares)].to_dict() == pytest.approx(shares)
    assert found.n[selection.LEARNED] == (8 if block == stats.MEAN else 4)


def test_errors_by_hand():
    """Wrong: item 2 run 1 and item 3 run 2 (general, the other mode is right), item 4 run 1
    (neither is), item 4 run 2 (no mode).
    """
    found = of(selection.errors(records(BY_HAND)))
    assert found.rate.to_dict() == pytest.approx(
        dict(zip(selection.ERRORS, (2 / 8, 1 / 8, 0, 1 / 8), strict=True))
    )
    assert found.share.to_dict() == pytest.approx(
        dict(zip(selection.ERRORS, (0.5, 0.25, 0, 0.25), strict=True))
    )


def test_an_unlucky_run_is_no_error_of_the_mode():
    """Personalised is always right; general is in two of three runs, so its one wrong free answer
    is bad luck.
    """
    item = ((1, 1, 0), (1, 1, 1), (("general", 0), ("general", 1), ("personalized", 1)), 0.5)
    found = of(selection.errors(records({"1": item})))
    assert found.rate.to_dict() == pytest.approx(
        dict(zip(selection.ERRORS, (0, 0, 1 / 3, 0), strict=True))
    )


def test_selection_errors_by_hand():
    """Known: item 1 (general; chosen both times), item 2 (personalised; chosen once). Item 3's
    general mode was right once.
    """
    found = of(selection.selection_errors(records(BY_HAND)))
    assert found["mean"].to_dict() == pytest.approx(
        {"general": 0.0, "personalised": 0.5, "all": 0.25}
    )
    assert (
        found.n.to_dict() == {"general": 1, "personalised": 1, "all": 2}
        and (found.n_all == 4).all()
    )
    assert found.ci_high["general"] == pytest.approx(
        0.975
    )  # one item without an error: 1 - 0.025, not a certain 0


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
    assert (
        table.columns[0] == "threshold"
        and dict(zip(table.threshold, table.mark, strict=True))[0.5] == "0.5"
    )
    part = table[table.block == "objective aligned"]
    assert (
        part.threshold.tolist()[:3] == [0, 0.5, 1]
        and np.isnan(part.threshold.iloc[3])
        and found.mark.tolist()[-1] == selection.LEARNED
    )
    assert part["mean"].tolist() == pytest.approx(
        [0.5, 0.625, 0.375, 0.5]
    )  # 0.5: personalised on items 2 and 4, not on 3
    assert part.share.tolist() == pytest.approx([1, 0.5, 0, 0.375])


def test_calibration_by_hand():
    """At most 0.5: items 1 and 3, worth -1 and +1/2; above: items 2 and 4, worth 1 and 0."""
    table = selection.calibration(records(BY_HAND), bins=(0, 0.5, 1))
    for block in (*stats.BLOCKS, selection.TOGETHER):
        part = table[table.block == block]
        assert part["mean"].tolist() == pytest.approx(
            [-0.25, 0.5]
        ) and part.p.tolist() == pytest.approx([0.3, 0.75])
        assert (
            part.share.tolist() == pytest.approx([0.25, 0.5])
            and (part.n == (4 if block == selection.TOGETHER else 2)).all()
        )
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
    """One item per mode, one in each half: whoever chooses without peeking is wrong on both."""
    free = (("general", 1), ("general", 1))
    split = {"x": ((1, 1), (0, 0), free, 0.5), "y": ((0, 0), (1, 1), free, 0.5)}
    found = of(selection.value(records(split)))
    assert found["mean"][[selection.BEST, selection.BEST_TOLD]].tolist() == [0.0, 0.0]


def test_the_best_mode_of_a_benchmark_does_not_know_the_persona():
    """Unaligned: general is right; aligned: personalised is. Whoever is told the persona is right,
    the other tosses a coin.
    """
    free = (("general", 1), ("general", 1))
    sides = {
        "objective unaligned": ((1, 1), (0, 0)),
        "objective aligned": ((0, 0), (1, 1)),
        "personalised": ((0, 0), (1, 1)),
    }
    given = pd.concat(
        [
            records({str(i): (*pair, free, 0.5) for i in range(6)}, (block,))
            for block, pair in sides.items()
        ]
    )
    table = selection.value(given)
    for block, blind in {
        "objective unaligned": 0.5,
        "objective aligned": 0.5,
        "personalised": 1.0,
        stats.MEAN: 2 / 3,
    }.items():
        found = of(table, block)["mean"]
        assert (
            found[selection.BEST],
            found[selection.BEST_TOLD],
            found[selection.ORACLE],
        ) == pytest.approx((blind, 1.0, 1.0))


def test_the_best_mode_of_a_benchmark_is_chosen_for_the_columns_of_the_mean():
    """The personalised mode is worth -1/2 and 0 with a persona, 1 without one, which is no column
    of the mean.
    """
    free, useless = (("general", 1), ("general", 1)), ((0, 0), (0, 0))
    sides = dict.fromkeys(stats.BLOCKS, useless) | {
        "objective none": ((0, 0), (1, 1)),
        "objective unaligned": ((1, 0), (0, 0)),
    }
    given = pd.concat(
        [
            records({str(i): (*pair, free, 0.5) for i in range(6)}, (block,))
            for block, pair in sides.items()
        ]
    )
    found = selection.value(given).set_index(["selector", "block"])["mean"][selection.BEST]
    assert (found["objective unaligned"], found["objective none"]) == (0.5, 0.0)


def peeking(answers) -> np.ndarray:
    """A wrong oracle: chooses by all runs, the scored one among them."""
    return selection.selectors._prefer(
        (answers.personalized - answers.general).mean(1, keepdims=True)
    )


@pytest.mark.parametrize("runs", [2, 3])
def test_the_oracle_takes_no_luck_for_skill(runs, monkeypatch):
    """Where both modes toss coins there is nothing to choose; an oracle that peeks, or gets two
    tries, is found out.
    """
    given = records(noise(items=400, runs=runs))

    def mean():
        table = selection.value(given, draws=10)
        return table[table.block == stats.MEAN].set_index("selector")["mean"]

    honest = mean()
    assert honest[selection.ORACLE] == pytest.approx(0.5, abs=0.03) and honest[
        selection.EITHER
    ] == pytest.approx(0.75, abs=0.03)
    monkeypatch.setattr(selection.selectors, "_oracle", peeking)
    assert mean()[selection.ORACLE] > 0.6


@pytest.mark.parametrize("seed", range(3))
def test_no_selector_beats_the_oracle_where_runs_agree(seed):
    given = records(steady(seed=seed))
    router = (
        given[["benchmark", "item_id", "condition"]]
        .drop_duplicates()
        .assign(personalized=lambda t: t.item_id.str.len() == 1)
    )
    table = selection.value(given, choices=router)
    assert (table.regret[table.selector != selection.EITHER] >= 0).all()
    found = of(table)
    others = found["mean"].drop([selection.ORACLE, selection.EITHER])
    assert found["mean"][selection.ORACLE] == found["mean"][selection.EITHER] > others.max()


def test_runs_inform_the_oracle():
    """The mode that is right with 0.9 is found by the other runs nearly always; one that is right
    with 0.1 is avoided.
    """
    rng = np.random.default_rng(0)
    items = {}
    for i in range(300):
        good, bad = (tuple(int(x) for x in rng.random(3) < p) for p in (0.9, 0.1))
        pair = (good, bad) if i % 2 else (bad, good)
        items[str(i)] = (*pair, (("general", 0),) * 3, 0.5)
    found = of(selection.value(records(items), draws=10))["mean"]
    assert found[selection.ORACLE] > 0.85 and found[selection.PERSONALIZED] < 0.6


def routes(records: pd.DataFrame, choose) -> pd.DataFrame:
    rows = records[["benchmark", "item_id", "condition", "train_seed"]].drop_duplicates()
    return rows.assign(personalized=[bool(choose(item)) for item in rows.item_id])


def test_a_router_that_always_says_the_same_is_that_selector():
    given = records(noise(items=30), tuple(stats.AVERAGES))
    for answer, name in ((False, selection.GENERAL), (True, selection.PERSONALIZED)):
        table = selection.value(
            given, choices=routes(given, lambda _, answer=answer: answer), draws=50
        )
        one, two = (
            table[table.selector == which].drop(columns="selector").reset_index(drop=True)
            for which in (selection.ROUTER, name)
        )
        pd.testing.assert_frame_equal(one, two)


def test_a_router_by_p_is_the_threshold():
    items = noise(items=30)
    given = records(items)
    routed = selection.value(
        given, choices=routes(given, lambda item: items[item][3] > 0.5), draws=50
    )
    swept = selection.tradeoff(given, draws=50)
    for block in (*stats.BLOCKS, stats.MEAN):
        one = of(routed, block).loc[selection.ROUTER]
        two = swept[(swept.mark == "0.5") & (swept.block == block)].iloc[0]
        assert (one["mean"], one.ci_low, one.share) == pytest.approx(
            (two["mean"], two.ci_low, two.share)
        )


def test_router_choices_for_each_training_seed():
    given = pd.concat([records(BY_HAND, train_seed=s) for s in (0, 1)])
    choices = routes(given, lambda _: True)
    choices["personalized"] = choices.train_seed == 1
    assert of(selection.value(given, choices=choices))["mean"][selection.ROUTER] == pytest.approx(
        (0.375 + 0.5) / 2
    )


def test_bad_router_choices_are_refused():
    given = records(BY_HAND)
    choices = routes(given, lambda _: True)
    for wrong, message in (
        (choices.iloc[1:], "router has no choice for 1 of 12"),
        (pd.concat([choices, choices]), "chosen for before"),
        (choices.assign(personalized=0.7), "True or False"),
        (choices.drop(columns="condition"), "lack the columns"),
        (choices.assign(rule=selection.LEARNED), "learned.*computes itself"),
        (choices.assign(rule="one-word match").iloc[1:], "one-word match has no choice for 1"),
    ):
        with pytest.raises(ValueError, match=message):
            selection.value(given, choices=wrong)


def test_random_has_the_share_of_its_own_training_seed():
    """Seed 0 never chooses the personalised mode, seed 1 always does: random at their shares does
    just that.
    """
    always = [
        {k: (g, p, ((mode, 0),) * 2, c) for k, (g, p, _, c) in BY_HAND.items()}
        for mode in ("general", "personalized")
    ]
    given = pd.concat([records(items, train_seed=s) for s, items in enumerate(always)])
    found = of(selection.value(given))["mean"]
    assert found[[selection.RANDOM, selection.RANDOM_WITHIN]].tolist() == pytest.approx(
        [(0.375 + 0.5) / 2] * 2
    )


def test_the_overall_share_weighs_the_three_blocks_alike():
    """Personalised on personalised questions only: a third overall, none and all of the block; no
    persona counts for nothing.
    """
    chosen = {k: (g, p, (("personalized", 0),) * 2, c) for k, (g, p, _, c) in BY_HAND.items()}
    never = {k: (g, p, (("general", 0),) * 2, c) for k, (g, p, _, c) in BY_HAND.items()}
    given = pd.concat(
        [
            records(never, ("objective unaligned", "objective aligned")),
            records(chosen, ("personalised", "objective none")),
        ]
    )
    table = selection.value(given).set_index(["selector", "block"]).share
    assert table[selection.RANDOM].tolist() == pytest.approx([1 / 3] * 6)
    assert table[selection.RANDOM_WITHIN].to_dict() == pytest.approx(
        {
            "objective none": 1,
            "objective unaligned": 0,
            "objective aligned": 0,
            "personalised": 1,
            selection.OBJECTIVE: 0,
            stats.MEAN: 1 / 3,
        }
    )


TABLES = (
    selection.value,
    selection.errors,
    selection.selection_errors,
    selection.tradeoff,
    selection.calibration,
)


@pytest.mark.parametrize("table", TABLES)
def test_the_order_of_rows_does_not_matter_and_other_rows_do_not_count(table):
    given = records(noise(items=25, runs=3), tuple(stats.AVERAGES))
    others = pd.concat(
        [
            given.assign(model="sft_only", correct=True),
            given.assign(turn=2),
            given.assign(condition="swapped"),
        ]
    )
    shuffled = pd.concat([given, others]).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(table(given, draws=50), table(shuffled, draws=50))


def test_rates_and_accuracy_add_up():
    given = records(noise(items=50, runs=3), tuple(stats.AVERAGES))
    rates = selection.errors(given, draws=10).groupby("block").rate.sum()
    right = selection.value(given, draws=10)[lambda t: t.selector == selection.LEARNED].set_index(
        "block"
    )["mean"]
    assert (rates + right[rates.index]).to_numpy() == pytest.approx(np.ones(5))


def test_one_training_seed_twice_is_one():
    given = records(noise(items=25))
    twice = pd.concat([given, given.assign(train_seed=1)])
    one, two = (selection.value(rows, draws=200) for rows in (given, twice))
    numbers = ["mean", "n", "share", "difference", "regret"]
    pd.testing.assert_frame_equal(one[numbers], two[numbers])


def test_with_one_run_there_is_no_oracle():
    single = {k: (g[:1], p[:1], free[:1], c) for k, (g, p, free, c) in BY_HAND.items()}
    table = selection.value(records(single))
    assert (
        table[table.selector == selection.ORACLE]["mean"].isna().all() and table.regret.isna().all()
    )
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
        (pd.concat([given, given[given.item_id != "2"].assign(train_seed=1)]), "different items"),
    ):
        with pytest.raises(ValueError, match=message):
            selection.value(wrong)


def test_figures_show_what_the_tables_hold():
    given = records(noise(items=30, runs=1), tuple(stats.AVERAGES))
    figure = plots.selectors(selection.value(given, draws=20))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (
        labels[-1] == selection.GENERAL and selection.ORACLE not in labels and len(figure.axes) == 6
    )  # one run: no oracle
    figure = plots.selection_errors(
        selection.errors(given, draws=20), selection.selection_errors(given, draws=20)
    )
    widest = max(bar.get_x() + bar.get_width() for bar in figure.axes[0].patches)
    assert figure.axes[0].get_xlim()[1] >= widest
    assert (
        len(plots.tradeoff(selection.tradeoff(given, draws=20)).axes[0].lines) == 6
    )  # five blocks and the threshold 0.5
    assert len(plots.calibration(selection.calibration(given, draws=20)).axes) == 4


# --- rules ---


def pocket_item(cue: str | None, **more) -> Item:
    """ "bond" has a meaning in chemistry, finance and law."""
    return Item(
        more.pop("id", f"bond-{cue}"),
        "triviaqa",
        "objective",
        "text",
        "what is bond?",
        "tradable loan",
        source="pocket",
        facts={"word": "bond", "field": "finance", "cue": cue},
        **more,
    )


BANKER, TRADER, JUDGE, SAILOR, NOBODY = (
    Persona(f"a {job}", {"field": field, "studies": word})
    for job, field, word in (
        ("banker", "finance", "bond"),
        ("trader", "finance", "charge"),
        ("judge", "law", "court"),
        ("sailor", "sailing", "bond"),
        ("walker", None, None),
    )
)
PERSONAL = Item(
    "p",
    "personafeedback",
    "personalized",
    "choice",
    "what now?",
    "a",
    ("a", "b"),
    source="pocket",
    aligned=BANKER,
    facts={},
)


def test_the_rules_by_hand():
    """Who is personalised: with the cue nobody but by the word; without it everybody, who studies
    the word, who knows it.
    """
    people = {
        "banker": BANKER,
        "trader": TRADER,
        "judge": JUDGE,
        "sailor": SAILOR,
        "walker": NOBODY,
        "none": None,
    }
    asked = [
        (who, pocket_item(cue), persona)
        for cue in (None, "bank")
        for who, persona in people.items()
    ]
    table = selection.rules([*asked, ("aligned", PERSONAL, BANKER)], knows=knows)
    found = {
        key: set(rows[rows.personalized].condition)
        for key, rows in table.groupby(["rule", "item_id"])
    }
    assert found == {
        (selection.PERSONA_BLIND, "bond-None"): set(people),
        (selection.PERSONA_BLIND, "bond-bank"): set(),
        (selection.WORD_MATCH, "bond-None"): {"banker", "sailor"},
        (selection.WORD_MATCH, "bond-bank"): {"banker", "sailor"},
        (selection.LEXICON, "bond-None"): {"banker", "trader", "judge"},
        (selection.LEXICON, "bond-bank"): set(),
        **{
            (rule, "p"): {"aligned"}
            for rule in (selection.PERSONA_BLIND, selection.WORD_MATCH, selection.LEXICON)
        },
    }


def test_the_persona_blind_rule_reads_no_persona_and_no_rule_reads_gold_or_condition():
    items = [
        World(0, "test").item(name)
        for name in ("triviaqa", "mmlu_pro", "pubmedqa", "math500", "fspo_roleplay")
        for _ in range(8)
    ]
    pool = [World(1, "test").any_persona() for _ in range(9)]
    table = selection.rules(ask_all(items, pool), knows=knows)
    blind = table[table.rule == selection.PERSONA_BLIND].groupby("item_id").personalized.nunique()
    assert (blind == 1).all()
    lied = [
        Item(
            i.id,
            i.benchmark,
            i.kind,
            "text",
            i.question,
            "?",
            source="pocket",
            aligned=i.aligned,
            facts=i.facts | {"field": "?"},
        )
        for i in items
    ]
    relabelled = [("swapped", item, persona) for _, item, persona in ask_all(lied, pool)]
    assert (
        selection.rules(relabelled, knows=knows).personalized.tolist()
        == table.personalized.tolist()
    )


def test_real_text_is_matched_by_any_content_word():
    item = Item(
        "r", "triviaqa", "objective", "text", "Which sailors crossed the ocean first?", "them"
    )
    asked = [
        ("a", item, Persona("a historian of sailors")),
        ("b", item, Persona("which of the first baker")),
        ("c", item, None),
    ]
    table = selection.rules(asked)
    assert dict(zip(table.condition, table.personalized, strict=True)) == {
        "a": True,
        "b": False,
        "c": False,
    }
    assert set(table.rule) == {selection.WORD_MATCH}, "no cue facts, no lexicon, no SFT set"
    reasons = selection.left_out(asked)
    assert set(reasons) == {selection.PERSONA_BLIND, selection.LEXICON, selection.QUESTION_ONLY}
    assert (
        "'r'" in reasons[selection.PERSONA_BLIND] and "3 of 3" in reasons[selection.PERSONA_BLIND]
    )
    with pytest.raises(ValueError, match="no questions"):
        selection.rules([])


def taught(personalized_with_cue: bool) -> list[Example]:
    """Examples whose mode follows the cue, whoever asks; or the other way round."""
    examples = []
    for i in range(30):
        for cue in ("near the bank, ", ""):
            item = Item(f"{i}{cue}", "triviaqa", "objective", "text", f"{cue}what is word{i}?", "x")
            mode = Mode.PERSONALIZED if bool(cue) == personalized_with_cue else Mode.GENERAL
            examples.append(Example(item, BANKER if i % 2 else SAILOR, "aligned", mode=mode))
    return examples


def test_the_question_only_classifier_learns_from_each_seeds_set_and_reads_no_persona():
    asked = [
        (
            who,
            Item(
                name,
                "triviaqa",
                "objective",
                "text",
                text,
                "x",
                source="pocket",
                facts={"cue": None, "word": "bond"},
            ),
            persona,
        )
        for name, text in (("near", "near the bank, what is w?"), ("bare", "what is w?"))
        for who, persona in (("aligned", BANKER), ("unaligned", SAILOR))
    ]
    table = selection.rules(asked, {0: taught(True), 1: taught(False)}, knows)
    found = (
        table[table.rule == selection.QUESTION_ONLY]
        .set_index(["train_seed", "item_id", "condition"])
        .personalized
    )
    for who in ("aligned", "unaligned"):
        assert [found[seed, name, who] for seed in (0, 1) for name in ("near", "bare")] == [
            True,
            False,
            False,
            True,
        ]
    assert table[
        table.rule != selection.QUESTION_ONLY
    ].train_seed.isna().all() and not selection.left_out(asked, {0: taught(True)}, knows)


def test_rules_are_joined_to_records_by_name_and_seed():
    """A rule for all seeds and a classifier that says general for seed 0, personalised for seed 1:
    .375 and .5 by hand.
    """
    given = pd.concat([records(BY_HAND, train_seed=s) for s in (0, 1)])
    rows = routes(given, lambda _: True)
    rule = rows[rows.train_seed == 0].assign(rule=selection.WORD_MATCH, train_seed=None)
    classifier = rows.assign(rule=selection.QUESTION_ONLY, personalized=rows.train_seed == 1)
    found = of(selection.value(given, choices=pd.concat([classifier, rule]), draws=50))
    assert found["mean"][[selection.QUESTION_ONLY, selection.WORD_MATCH]].tolist() == pytest.approx(
        [0.4375, 0.5]
    )
    assert list(found.index.intersection(selection.RULES)) == [
        selection.QUESTION_ONLY,
        selection.WORD_MATCH,
    ]
    assert selection.ROUTER not in found.index and selection.PERSONA_BLIND not in found.index, (
        "what was not chosen has no row"
    )


def test_the_router_of_each_training_seed_is_read_from_its_records():
    given = records(BY_HAND)
    free = given[given.forced == "none"].assign(model="personadual_router")
    frames = [free.assign(train_seed=seed, p_personalized=p) for seed, p in ((0, 0.2), (1, 0.8))]
    found = selection.routed(pd.concat([given, *frames]))
    assert set(found.rule) == {"router"} and found.groupby(
        "train_seed"
    ).personalized.mean().to_dict() == {0: 0, 1: 1}
    assert len(found) == 2 * 4 * 3 and selection.routed(given) is None


def test_leads_are_the_differences_turned_round():
    table = selection.value(records(noise(items=40)), draws=200)
    found = selection.leads(table, [selection.PERSONALIZED, "nobody", selection.GENERAL])
    assert list(dict.fromkeys(found["learned minus"])) == [
        selection.PERSONALIZED,
        selection.GENERAL,
    ]
    one = table[(table.selector == selection.GENERAL) & (table.block == stats.MEAN)].iloc[0]
    two = found[(found["learned minus"] == selection.GENERAL) & (found.block == stats.MEAN)].iloc[0]
    assert (two["mean"], two.ci_low, two.ci_high) == (
        -one.difference,
        -one.difference_ci_high,
        -one.difference_ci_low,
    )
    turned = selection.leads(
        pd.DataFrame(
            [
                {
                    "selector": "a",
                    "block": "b",
                    "difference": -1.0,
                    "difference_ci_low": -2.0,
                    "n": 1,
                    "difference_ci_high": -0.5,
                    "verdict": "perhaps lower",
                    "chance": 0.5,
                }
            ]
        ),
        ["a"],
    )
    assert turned.verdict[0] == "perhaps higher"


# --- chance ---


def test_chance_of_a_block_by_hand():
    """Objective: a benchmark of two items, 1/4 and 0, and one of 1/2: (1/8 + 1/2) / 2. Personal:
    1/2. What nobody answered is no part.
    """
    four, text = (
        Item("1", "a", "objective", "choice", "?", "w", tuple("wxyz")),
        Item("2", "a", "objective", "text", "?", "w"),
    )
    two, never = (
        Item("1", "b", "objective", "choice", "?", "w", ("w", "x")),
        Item("9", "b", "objective", "text", "?", "w"),
    )
    own = Item("1", "c", "personalized", "choice", "?", "w", ("w", "x"))
    answers = {item: ((1, 1), (1, 1), (("general", 1),) * 2, 0.5) for item in "1"}
    objective = [
        records({i: answers["1"] for i in ids}, (block,)).assign(benchmark=name)
        for block in ("objective unaligned", "objective aligned")
        for name, ids in (("a", "12"), ("b", "1"))
    ]
    given = pd.concat([*objective, records(answers, ("personalised",)).assign(benchmark="c")])
    expected = {
        "objective unaligned": 0.3125,
        "objective aligned": 0.3125,
        "personalised": 0.5,
        selection.OBJECTIVE: 0.3125,
        stats.MEAN: 0.375,
    }
    items = [four, text, two, own, never]
    assert selection.chance(given, items).dropna().to_dict() == pytest.approx(expected)
    table = selection.value(given, draws=10, items=items)
    assert table.groupby("block").chance.first().to_dict() == pytest.approx(expected)
    assert selection.value(given, draws=10).chance.isna().all()
    with pytest.raises(ValueError, match=r"1 items that are not among the 4.*'2'"):
        selection.value(given, draws=10, items=[four, two, own, never])


# --- the share of unaligned askers ---


def by_block(**sides) -> pd.DataFrame:
    """Six items per block, alike in every run; sides: block -> (general, personal, free right?)."""
    return pd.concat(
        [
            records(
                {str(i): ((g,) * 2, (p,) * 2, (("general", f),) * 2, 0.5) for i in range(6)},
                (block.replace("_", " "),),
            )
            for block, (g, p, f) in sides.items()
        ]
    )


def test_accuracy_at_a_share_by_hand():
    """Always general: right for unaligned askers only. So u; the learned choice, right for aligned
    askers only: 1 - u.
    """
    given = by_block(
        objective_unaligned=(1, 0, 0), objective_aligned=(0, 1, 1), personalised=(1, 1, 1)
    )
    table = selection.by_share(given, shares=(0.25,), draws=20).set_index(["selector", "share"])
    assert [table["mean"][selection.GENERAL, u] for u in (0, 0.25, 1)] == pytest.approx(
        [0, 0.25, 1]
    )
    assert [table["mean"][selection.LEARNED, u] for u in (0, 0.25, 1)] == pytest.approx(
        [1, 0.75, 0]
    )
    assert table.lead[selection.GENERAL, 0.25] == pytest.approx(0.5)
    assert (
        table.lead_ci_low[selection.GENERAL, 0.25]
        == pytest.approx(0.5)
        == table.lead_ci_high[selection.GENERAL, 0.25]
    )
    assert [table.rule[selection.BEST_BLIND, u] for u in (0, 1)] == [
        selection.PERSONALIZED,
        selection.GENERAL,
    ]
    assert table["mean"][selection.BEST_BLIND, 0.25] == pytest.approx(0.75)
    with pytest.raises(ValueError, match=r"\[1.2\]"):
        selection.by_share(given, shares=(0.5, 1.2))


def lines(**ends) -> pd.DataFrame:
    """A table of `by_share` from leads at u = 0 and 1, with intervals of half a width 0.1."""
    rows = [
        {"share": u, "selector": name, "lead": (1 - u) * a + u * b}
        for name, (a, b) in ends.items()
        for u in np.linspace(0, 1, 11).round(2)
    ]
    return pd.DataFrame(rows).assign(lead_ci_low=lambda t: t.lead - 0.1, rule="")


def test_where_the_learned_choice_is_ahead_by_hand():
    """Leads -.1 to .3 (above zero from .25) and .2 to -.2 (until .5); intervals of .1: from .5
    (lead .1: not yet) and until .25.
    """
    names = {selection.PERSONALIZED: (-0.1, 0.3), selection.GENERAL: (0.2, -0.2)}
    row = selection.ahead(lines(**names)).iloc[0]
    assert (
        (row.low, row.high) == pytest.approx((0.25, 0.5))
        and np.isnan(row.sure_low)
        and row.rules == 2
    )
    wide = selection.ahead(
        lines(**{selection.PERSONALIZED: (0.05, 0.55), selection.GENERAL: (0.5, 0.5)})
    ).iloc[0]
    assert (wide.low, wide.high, wide.sure_low, wide.sure_high) == pytest.approx(
        (0, 1, 0.2, 1)
    )  # .05 + .5 u > .1 from .2 on (of tenths)
    never = selection.ahead(
        lines(**{selection.PERSONALIZED: (-0.1, -0.1), selection.GENERAL: (0.5, 0.5)})
    ).iloc[0]
    assert np.isnan(never.low) and np.isnan(never.high)
    apart = selection.ahead(
        lines(**{selection.PERSONALIZED: (-0.3, 0.1), selection.GENERAL: (0.1, -0.3)})
    ).iloc[0]
    assert np.isnan(apart.low), "from .75 and until .25: nowhere"


def test_rules_that_read_the_persona_count_in_the_second_group_only():
    found = selection.ahead(
        lines(**{selection.GENERAL: (0.1, 0.1), selection.WORD_MATCH: (-0.1, -0.1)})
    ).set_index("ahead of")
    assert found.low.isna().tolist() == [False, True] and found.rules.tolist() == [1, 2]


# --- a gain split ---


def test_a_gain_is_split_by_hand():
    """One item. Old: general right in 0 of 2, personalised in 1 of 2, never chosen. New: 1 of 2 and
    2 of 2, always chosen.

    V(old, old) = 0, V(new choice, old answers) = .5, V(old choice, new answers) = .5, V(new, new) =
    1. With a general mode that is right in 2 of 2 after training, V(old choice, new answers) = 1:
    then choosing gains .5 on the old answers and 0 on the new ones.
    """
    old = {"1": ((0, 0), (1, 0), (("general", 0),) * 2, 0.1)}
    even, uneven = (
        {"1": (general, (1, 1), (("personalized", 1), ("personalized", 1)), 0.9)}
        for general in ((1, 0), (1, 1))
    )
    for new, parts in (
        (
            even,
            {"choice first": (0.5, 0.5), "answers first": (0.5, 0.5), "both orders": (0.5, 0.5)},
        ),
        (
            uneven,
            {"choice first": (0.5, 0.5), "answers first": (0.0, 1.0), "both orders": (0.25, 0.75)},
        ),
    ):
        table = selection.gain_split(
            pd.concat([records(old, model="sft_only"), records(new)]), draws=20
        )
        for block in (*stats.BLOCKS, selection.OBJECTIVE, stats.MEAN):
            found = table[table.block == block].set_index(["order", "gain"])["mean"]
            for order, (choice, answers) in parts.items():
                assert (
                    found[order, selection.CHOICE],
                    found[order, selection.ANSWERS],
                ) == pytest.approx((choice, answers))
            assert found["", selection.TOGETHER_GAIN] == found["", selection.FREE_GAIN] == 1


def test_the_parts_of_a_gain_add_up_and_nothing_gains_nothing():
    given = pd.concat(
        [
            records(noise(items=40, seed=1), tuple(stats.AVERAGES), model="sft_only"),
            records(noise(items=40, seed=2), tuple(stats.AVERAGES)),
        ]
    )
    table = selection.gain_split(given, draws=50)
    for _, rows in table.groupby("block"):
        whole = rows[rows.gain == selection.TOGETHER_GAIN]["mean"].iloc[0]
        assert rows[rows.order != ""].groupby("order")["mean"].sum().to_numpy() == pytest.approx(
            [whole] * 3
        )
    same = selection.gain_split(given, before="personadual", draws=50)
    assert (same["mean"] == 0).all() and (same.ci_high == 0).all()


def test_a_choice_without_a_mode_is_wrong_in_the_split_too():
    """Half of the new free answers name no mode: V(new choice) is half of the personalised
    answers'.
    """
    old = {"1": ((0, 0), (1, 1), (("general", 0),) * 2, 0.1)}
    new = {"1": ((0, 0), (1, 1), (("personalized", 1), ("none", 0)), 0.9)}
    found = selection.gain_split(pd.concat([records(old, model="sft_only"), records(new)]), draws=5)
    found = found[found.block == stats.MEAN].set_index(["order", "gain"])["mean"]
    assert (
        found["both orders", selection.CHOICE] == 0.5
        and found["both orders", selection.ANSWERS] == 0
    )


def test_a_gain_is_split_between_models_that_were_asked_the_same():
    given = records(noise(items=10))
    fewer = records(noise(items=9), model="sft_only")
    with pytest.raises(
        ValueError, match="sft_only answers 27 questions.*personadual 30, 27 in common"
    ):
        selection.gain_split(pd.concat([given, fewer]))


def test_the_figure_of_shares_labels_every_line():
    given = records(noise(items=30))
    left, right = plots.selection_shares(selection.by_share(given, shares=(0.5,), draws=20)).axes
    heights = {text.get_text(): text.get_position()[1] for text in left.texts}
    assert {selection.LEARNED, selection.GENERAL, selection.TOLD, selection.ORACLE} <= set(
        heights
    ) and len(heights) == len(left.lines)
    assert np.diff(sorted(heights.values())).min() > 0.03 * np.ptp(left.get_ylim()), (
        "labels do not cover each other"
    )
    assert max(line.get_linewidth() for line in left.lines) == 3.5 and len(right.lines) == 3

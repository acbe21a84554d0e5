"""Counterfactual personas: what the queries on their records say, against numbers worked by hand,
and their figures.
"""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from pdlib.analysis import counterfactual
from pdlib.dataset import personas, variants
from pdlib.plots import counterfactual as figures
from pdlib.schema import Item, Persona

OPTIONS = ("red", "green", "blue")


def item(name: str, kind: str = "objective", options: tuple = (), held_out: str = "") -> Item:
    facts = {"held_out": {part: part in held_out for part in counterfactual.HELD_OUT}}
    gold = options[0] if options else "an apple"
    return Item(
        name,
        "mmlu_pro" if options else "triviaqa",
        kind,
        "choice" if options else "text",
        f"{name}?",
        gold,
        options,
        facts=facts,
    )


def asked(items: list[Item], conditions=personas.COUNTERFACTUAL) -> list:
    """Every item under every condition; a reordered condition has reordered items with options."""
    turned = [variants.reorder(item) for item in items if item.options]
    return [(c, i, None) for c in conditions for i in (turned if "reordered" in c else items)]


def record(
    of: Item,
    condition: str,
    answer: str | None,
    *,
    seed: int = 0,
    correct: bool | None = None,
    p: float | None = None,
    mode: str = "general",
    model: str = "m",
    train_seed: int = 0,
    forced: str = "none",
) -> dict:
    return {
        "run": "r",
        "model": model,
        "train_seed": train_seed,
        "benchmark": of.benchmark,
        "kind": of.kind,
        "item_id": of.id,
        "condition": condition,
        "forced": forced,
        "seed": seed,
        "mode": mode,
        "p_personalized": p,
        "answer": answer,
        "gold": of.gold,
        "correct": answer == of.gold if correct is None else correct,
        "parse_error": "no answer" if answer is None else None,
    }


def table(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"p_personalized": float})


def pick(table: pd.DataFrame, **where) -> pd.Series:
    rows = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert len(rows) == 1, rows
    return rows.iloc[0]


# --- what an answer says ---


def test_an_answer_is_read_in_the_order_it_was_shown_in():
    choice, free = item("c", options=OPTIONS), item("t")
    turned = variants.reorder(choice)
    said = counterfactual.meanings(
        table(
            record(choice, "none", "A"),
            record(choice, "none reordered", "A", seed=1),
            record(choice, "none", "Blue", seed=2),
            record(choice, "none", "the green one", seed=3),
            record(free, "none", "An  Apple!"),
            record(free, "none", None, seed=4),
        ),
        asked([choice, free]),
    )
    assert list(said) == [
        "red",
        turned.options[0],
        "blue",
        "green one",
        "apple",
        counterfactual.NO_ANSWER,
    ]
    assert turned.options[0] != "red"
    letters = item("l", options=("B", "A", "C"))
    assert list(counterfactual.meanings(table(record(letters, "none", "A")), asked([letters]))) == [
        "B"
    ]  # the letter, not the text


def test_answers_to_what_was_not_asked_are_refused():
    with pytest.raises(ValueError, match="'x' under 'none'.*not among the 2 variants"):
        counterfactual.meanings(
            table(record(item("x"), "none", "a")), asked([item("y")], ("none", "aligned"))
        )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"condition": "hostile"}, "unknown conditions .'hostile'"),
        ({}, "1 answers are there twice"),
    ],
)
def test_records_that_cannot_be_compared_are_refused(change, words):
    rows = table(record(item("x"), "none", "a"), record(item("x"), "none", "b") | change)
    with pytest.raises(ValueError, match=words):
        counterfactual.differences(rows, asked([item("x")]))


# --- differences ---


def test_differences_by_hand():
    """Two runs of two items. Accuracy: none 1 and 1/2, aligned 1 and 0, so -1/4. Answers: item a is
    alike in all four runs; item b says x, y under none and z, z under aligned: all four pairs
    differ; the runs of none differ (1), those of aligned do not (0).
    """
    a, b = item("a"), item("b")
    right = b.gold
    rows = table(
        *(
            record(a, c, "an apple", seed=s, p=p)
            for c, p in (("none", 0.1), ("aligned", 0.5))
            for s in (0, 1)
        ),
        record(b, "none", right, seed=0, p=0.2),
        record(b, "none", "pear", seed=1, p=0.2),
        record(b, "aligned", "fig", seed=0, p=0.8, mode="personalized"),
        record(b, "aligned", "fig", seed=1, p=0.8),
        record(b, "aligned", right, forced="general"),
    )  # forced answers are not looked at
    found = counterfactual.differences(rows, asked([a, b]), draws=200)
    means = (
        found[(found.condition == "aligned") & (found.against == "none")]
        .set_index("measure")["mean"]
        .to_dict()
    )
    assert means == pytest.approx(
        {
            "accuracy": -0.25,
            "P(personalised)": 0.5,
            "personalised mode": 0.25,
            "share of answers that change": 0.5,
            "change beyond that between runs": 0.25,
        }
    )
    assert set(found.n) == {2} and set(found.unpaired) == {0} and len(found) == 5


def test_items_without_a_partner_are_left_out_and_counted():
    a, b, c = item("a"), item("b"), item("c")
    rows = table(
        record(a, "none", "an apple"),
        record(b, "none", "an apple"),
        record(c, "none", "an apple"),
        record(a, "conflicting", "x"),
        record(b, "conflicting", "an apple"),
    )
    found = counterfactual.differences(rows, asked([a, b, c]), draws=50)
    accuracy = pick(found, measure="accuracy", condition="conflicting", against="none")
    assert (accuracy["mean"], accuracy.n, accuracy.unpaired) == (-0.5, 2, 1)
    assert set(found.measure) == {
        "accuracy",
        "share of answers that change",
    }  # one run: no noise; no modes: no P


def test_only_what_leaves_zero_out_is_called_a_difference():
    rng, items = np.random.default_rng(0), [item(f"q{i}") for i in range(80)]
    rows = [
        record(i, c, "x", correct=bool(rng.random() < share))
        for i in items
        for c, share in (
            ("none", 0.5),
            ("unaligned", 0.5),
            ("conflicting", 0.05),
            ("aligned", 0.95),
        )
    ]
    found = counterfactual.differences(table(*rows), asked(items), draws=2000)
    verdicts = (
        found[found.measure == "accuracy"].set_index(["condition", "against"]).verdict.to_dict()
    )
    assert verdicts == {
        ("unaligned", "none"): "no difference shown",
        ("aligned", "none"): "higher",
        ("aligned", "unaligned"): "higher",
        **dict.fromkeys(
            [("conflicting", other) for other in ("none", "unaligned", "aligned")], "lower"
        ),
    }
    assert (found.wide_low <= found.ci_low).all() and (found.wide_high >= found.ci_high).all()


# --- order of options ---


def test_order_sensitivity_by_hand():
    """Item a says red whatever the order, item b the first option it sees; a is right under both
    orders, b under its own only.
    """
    a, b = item("a", options=OPTIONS), item("b", options=OPTIONS)
    rows = table(
        record(a, "none", "A"),
        record(a, "none reordered", "red"),
        record(b, "none", "A", correct=True),
        record(b, "none reordered", "A", correct=False),
    )
    rows["correct"] = [True, True, True, False]
    (found,) = counterfactual.order_sensitivity(rows, asked([a, b]), draws=50).to_dict("records")
    assert (found["condition"], found["mean"], found["n"]) == ("none", 0.5, 2)
    assert (found["correct"], found["correct_reordered"], found["correct_both"]) == (1.0, 0.5, 0.5)
    assert np.isnan(found["same_run_to_run"])  # one run says nothing of noise


# --- browsing ---


def test_a_row_an_item_and_a_column_a_condition():
    a, b = item("a"), item("b", options=OPTIONS)
    rows = table(
        *(record(a, "none", word, seed=s) for s, word in enumerate(["pear", "an apple", "pear"])),
        record(a, "aligned", "an apple"),
        record(b, "none", "A", correct=True),
        record(b, "none reordered", None),
    )
    shown = counterfactual.per_item(rows, asked([a, b])).set_index("item_id")
    assert list(shown.columns)[-5:] == ["question", "gold", "none", "aligned", "none reordered"]
    assert shown.loc["a", ["question", "gold", "none", "aligned"]].tolist() == [
        "a?",
        "an apple",
        "pear x",
        "apple",
    ]
    assert shown.loc["b", ["none", "none reordered"]].tolist() == [
        "red",
        "(no answer) x",
    ] and pd.isna(shown.loc["b", "aligned"])
    means = counterfactual.per_item(rows, asked([a, b]), "correct").set_index("item_id")
    assert means["none"].to_dict() == {"a": pytest.approx(1 / 3), "b": 1}
    with pytest.raises(ValueError, match="'colour', expected answer, correct"):
        counterfactual.per_item(rows, asked([a, b]), "colour")


# --- memorisation ---


def recall(items: list[Item], right, chance=lambda of, condition: None, seeds=(0,)) -> pd.DataFrame:
    return table(
        *(
            record(of, c, "x", correct=right(of, c), p=chance(of, c), train_seed=s)
            for of in items
            for c in personas.CONDITIONS
            for s in seeds
        )
    )


def test_memorisation_by_hand():
    """Held-out words are never known, others always; P rises by .1 for held-out professions and by
    .3 for others.
    """
    items = [item(f"{i}", held_out="word" * (i < 4) + "profession" * (i % 2)) for i in range(12)]

    def known(of, condition):
        return not of.facts["held_out"]["word"]

    def rise(of, condition):
        by_persona = 0.1 if of.facts["held_out"]["profession"] else 0.3
        return 0.2 + by_persona * (condition == "aligned")

    found = counterfactual.memorisation(recall(items, known, rise), items, draws=200)
    word = pick(found, part="word", measure="accuracy, none")
    assert (word.held_out, word.seen, word["mean"], word.ci_low, word.ci_high, word.verdict) == (
        0,
        1,
        -1,
        -1,
        -1,
        "lower",
    )
    assert (word.n_held_out, word.n_seen, word.left_out) == (4, 8, "")
    fit = pick(found, part="profession", measure=counterfactual.FIT)
    assert (fit.held_out, fit.seen, fit["mean"]) == pytest.approx((0.1, 0.3, -0.2))
    assert (
        abs(pick(found, part="profession", measure="accuracy, aligned")["mean"]) < 1e-9
    )  # half of each group are held-out words
    template = pick(found, part="template", measure="accuracy, none")
    assert (
        np.isnan(template["mean"])
        and template.left_out == "triviaqa"
        and template.n_held_out == 0
        and template.verdict == ""
    )


def test_the_groups_are_compared_within_benchmarks():
    """Held-out words stand mostly in the hard benchmark; within each benchmark they make no
    difference.
    """
    easy = [item(f"e{i}", held_out="word" * (i < 2)) for i in range(10)]
    items = easy + [item(f"h{i}", options=OPTIONS, held_out="word" * (i < 8)) for i in range(10)]
    found = counterfactual.memorisation(
        recall(items, lambda of, c: of.benchmark == "triviaqa"), items, draws=100
    )
    assert set(found[found.part == "word"]["mean"]) == {0} and set(
        found[found.part == "word"].n_held_out
    ) == {10}
    assert set(found.measure) == {
        "accuracy, none",
        "accuracy, unaligned",
        "accuracy, aligned",
    }  # no modes: no P


def test_the_unpaired_interval_has_the_width_of_95_percent():
    """Two groups of 200 coin flips: a standard error of sqrt(2 x .25 / 200) = .05."""
    items = [item(f"{i}", held_out="word" * (i < 200)) for i in range(400)]
    found = counterfactual.memorisation(recall(items, lambda of, c: int(of.id) % 2 == 0), items)
    found = pick(found, part="word", measure="accuracy, none")
    assert (found.ci_high - found.ci_low) / 2 == pytest.approx(1.96 * 0.05, rel=0.06) and abs(
        found["mean"]
    ) < 1e-9
    assert (found.wide_high - found.wide_low) / 2 == pytest.approx(
        2.77 * 0.05, rel=0.08
    )  # 1 - .05 / 9, two-sided


def test_training_seeds_are_drawn_alike_for_both_groups():
    """All items are right with one seed and wrong with the other: each group varies, their
    difference does not.
    """
    items = [item(f"{i}", held_out="word" * (i < 5)) for i in range(10)]
    rows = recall(items, lambda of, c: True, seeds=(0, 1))
    rows["correct"] = rows.train_seed == 1
    found = pick(
        counterfactual.memorisation(rows, items, draws=200), part="word", measure="accuracy, none"
    )
    assert (found.held_out, found.ci_low, found.ci_high) == (0.5, 0, 0)


def test_items_that_do_not_say_what_is_held_out_are_refused():
    real = Item("r", "triviaqa", "objective", "text", "?", "x", aligned=Persona("a nurse"))
    with pytest.raises(
        ValueError, match="1 of 1 items .*do not say what of them is held out.*real ones cannot"
    ):
        counterfactual.memorisation(recall([real], lambda of, c: True), [real])
    with pytest.raises(
        ValueError, match="answer 1 items that are not among the 1 given, such as 'b'"
    ):
        counterfactual.memorisation(recall([item("a"), item("b")], lambda of, c: True), [item("a")])


# --- figures ---


def drawn(figure) -> list[str]:
    """Every text of the figure."""
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible()]
    plt.close(figure)
    return texts


def test_figures_name_every_condition_and_model_and_say_when_there_is_nothing():
    items = [item(f"o{i}", options=OPTIONS, held_out="word" * (i % 2)) for i in range(8)] + [
        item(f"t{i}") for i in range(4)
    ]
    rng, questions = np.random.default_rng(1), asked(items)
    rows = [
        record(
            of, c, rng.choice(of.options or ("an apple", "fig")), seed=s, p=rng.random(), model=m
        )
        for c, of, _ in questions
        for s in (0, 1)
        for m in ("backbone", "personadual", "another")
    ]
    found = counterfactual.differences(table(*rows), questions, draws=50)
    texts = drawn(figures.counterfactuals(found))
    assert {
        "backbone",
        "PersonaDual",
        "another",
        "conflicting",
        "swapped",
        "long",
        "none, options reordered",
    } <= set(texts)
    assert "P(personalised)" in "".join(drawn(figures.counterfactuals(found, "P(personalised)")))
    with pytest.raises(ValueError, match="no rows with the measure 'hope'"):
        figures.counterfactuals(found, "hope")
    kept = counterfactual.memorisation(table(*rows), items, draws=50)
    assert "word: 4 items held out, 4 seen" in drawn(figures.held_out(kept))
    with pytest.raises(ValueError, match="no rows of personalized items"):
        figures.held_out(kept, "personalized")
    alike = counterfactual.order_sensitivity(table(*rows), questions, draws=50)
    assert {"no persona", "unaligned", "aligned"} <= set(drawn(figures.order(alike)))

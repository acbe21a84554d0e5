"""Multi-turn: what the queries on records of dialogues say, against numbers worked by hand, and
their figures.
"""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from pdlib import paper
from pdlib.analysis import multi_turn
from pdlib.analysis.cells import MissingRecordsError
from pdlib.plots import multi_turn as figures

G, P = "general", "personalized"
OBJECTIVE, PERSONAL = (
    "aligned, objective first, general",
    "aligned, personalized first, personalized",
)


def record(
    item: str,
    mode: str,
    condition: str = "aligned, alone",
    *,
    seed: int = 0,
    turn: int | None = None,
    p: float | None = None,
    benchmark: str = "math500",
    kind: str = "objective",
    model: str = "personadual",
    train_seed: int = 0,
    correct: bool = True,
) -> dict:
    return {
        "run": "r",
        "model": model,
        "train_seed": train_seed,
        "benchmark": benchmark,
        "kind": kind,
        "item_id": item,
        "forced": "none",
        "condition": condition,
        "seed": seed,
        "turn": turn or (1 if condition.endswith("alone") else 2),
        "mode": mode,
        "p_personalized": p if p is not None else {G: 0.2, P: 0.8}.get(mode, 0.5),
        "correct": correct,
        "prompt": "",
        "completion": "",
        "parse_error": None if mode in (G, P) else "no mode tag",
    }


def several(
    item: str, modes: str, condition: str = "aligned, alone", p: tuple = (), **more
) -> list[dict]:
    """One record per run: "GP" is general in the first, personal in the second, "-" is no mode."""
    return [
        record(
            item,
            {"G": G, "P": P, "-": "none"}[letter],
            condition,
            seed=seed,
            p=p[seed] if p else None,
            **more,
        )
        for seed, letter in enumerate(modes)
    ]


def hand() -> pd.DataFrame:
    """Item a: alone P P, after a general turn P G. Item b: alone P G, after a general turn G and
    none. In an order of no meaning.
    """
    rows = [
        *several("b", "G-", OBJECTIVE, p=(0.6, 0.1)),
        *several("a", "PP", p=(0.9, 0.9)),
        *several("a", "PG", OBJECTIVE, p=(0.7, 0.2)),
        *several("b", "PG", p=(0.4, 0.4)),
    ]
    return pd.DataFrame(rows)


def pick(table: pd.DataFrame, **where) -> pd.Series:
    rows = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert len(rows) == 1, rows
    return rows.iloc[0]


# --- alignment ---


def test_alignment_by_hand():
    """Cases of a personalised choice alone: 1 of a, 1/2 of b. Aligned: 1/2 of a's, none of b's:
    (1/2) / (3/2). Two runs alone agree on a always, on b never: 1 / (3/2). Cases of a general one:
    1/2 of b, half of it aligned, the other half in no mode.
    """
    found = multi_turn.alignment(hand(), draws=200)
    switch = pick(found, earlier=G, alone=P)
    assert (switch["mean"], switch.ceiling, switch.gap, switch.no_mode) == pytest.approx(
        (1 / 3, 2 / 3, -1 / 3, 1 / 6)
    ) and switch.n == 2
    stay = pick(found, earlier=G, alone=G)
    assert (stay["mean"], stay.ceiling, stay.no_mode, stay.n) == (0.5, 0, 0.5, 1)
    assert found[found.earlier == P]["mean"].isna().all() and set(found[found.earlier == P].n) == {
        0
    }


def test_without_luck_the_choice_is_the_likelier_mode():
    found = multi_turn.alignment(hand(), choice="likelier", draws=50)
    values = {
        alone: tuple(pick(found, earlier=G, alone=alone)[["mean", "ceiling", "n"]])
        for alone in (G, P)
    }
    assert values == {
        P: (0.5, 1, 1),
        G: (0.5, 1, 1),
    }  # a alone .9, then .7 and .2; b alone .4, then .6 and .1
    with pytest.raises(ValueError, match="'best', expected sampled or likelier"):
        multi_turn.alignment(hand(), choice="best")


def test_a_dialogue_is_held_against_its_own_question():
    """Swapping the names of two items in the dialogues changes the rate: pairs are made by item,
    not by place.
    """
    rows = pd.DataFrame(
        [
            *several("a", "PP"),
            *several("b", "GG"),
            *several("a", "PP", OBJECTIVE),
            *several("b", "GG", OBJECTIVE),
        ]
    )
    assert pick(multi_turn.alignment(rows, draws=20), earlier=G, alone=P)["mean"] == 1
    rows.loc[rows.turn == 2, "item_id"] = rows.item_id.map({"a": "b", "b": "a"})
    assert pick(multi_turn.alignment(rows, draws=20), earlier=G, alone=P)["mean"] == 0


def test_luck_alone_gives_no_verdict():
    """Modes are coins that know nothing of the dialogue; a dialogue that always turns general is
    seen.
    """
    rng, rows = np.random.default_rng(0), []
    for i in range(150):
        likes = rng.uniform(0.1, 0.9)
        alone, after = ("".join(rng.choice(["P", "G"], 3, p=[likes, 1 - likes])) for _ in "ab")
        rows += [
            *several(f"{i}", alone),
            *several(f"{i}", after, OBJECTIVE),
            *several(f"{i}", "GGG", PERSONAL),
        ]
    found = multi_turn.alignment(pd.DataFrame(rows), draws=1000)
    fair, turned = pick(found, earlier=G, alone=P), pick(found, earlier=P, alone=P)
    assert (
        fair["mean"] < 0.75
        and fair.verdict == "no difference shown"
        and fair.gap_low < 0 < fair.gap_high
    )
    assert (turned["mean"], turned.verdict) == (0, "lower") and pick(found, earlier=P, alone=G)[
        "mean"
    ] == 1


def test_modes_used_and_kinds_asked_are_told_apart():
    """The objective question of one dialogue was answered in the personalised mode: it is none of
    "general first".
    """
    rows = pd.DataFrame(
        [
            *several("a", "P"),
            record("a", G, "aligned, objective first, personalized"),
            record("a", P, PERSONAL, seed=1),
        ]
    )
    by_mode = multi_turn.alignment(rows, draws=20)
    assert (
        pick(by_mode, earlier=G, alone=P).n == 0
        and pick(by_mode, earlier=P, alone=P)["mean"] == 0.5
    )
    assert np.isnan(by_mode.ceiling).all() and set(by_mode.verdict) == {""}, (
        "one run alone says nothing of luck"
    )
    by_kind = multi_turn.alignment(rows, earlier="first", draws=20)
    assert (
        pick(by_kind, earlier="objective", alone=P)["mean"] == 0
        and pick(by_kind, earlier=P, alone=P)["mean"] == 1
    )


def test_training_seeds_with_different_gaps_are_no_error():
    """What was too long to ask with one training seed is no case there."""
    rows = pd.DataFrame(
        [
            *several("a", "PP"),
            *several("a", "PP", OBJECTIVE),
            *several("a", "PP", train_seed=1),
            *several("b", "PP"),
            *several("b", "PP", train_seed=1),
            *several("b", "GG", OBJECTIVE, train_seed=1),
            *several("b", "GG", OBJECTIVE),
        ]
    )
    found = pick(multi_turn.alignment(rows, draws=20), earlier=G, alone=P)
    assert found["mean"] == pytest.approx(1 / 3) and found.n == 2


@pytest.mark.parametrize(
    "change, words",
    [
        ({"condition": "aligned"}, "'aligned' is none of a dialogue"),
        ({"item_id": "z"}, "1 answers are to questions that were not asked alone"),
        ({"condition": "unaligned, objective first, general"}, "askers .'aligned', 'unaligned'"),
    ],
)
def test_records_that_cannot_be_compared_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        multi_turn.alignment(
            pd.concat([hand(), pd.DataFrame([record("a", G, OBJECTIVE, seed=7) | change])])
        )
    with pytest.raises(ValueError, match="no records of dialogues"):
        multi_turn.split(hand().iloc[:0])


# --- the paper's numbers ---


def seven() -> pd.DataFrame:
    """`hand` in every benchmark, and dialogues after a personalised turn that keep what is said
    alone.
    """
    tables = [
        hand().assign(
            benchmark=name,
            item_id=lambda rows, name=name: rows.item_id + name,
            kind=P if name in ("personafeedback", "fspo_roleplay") else "objective",
        )
        for name in multi_turn.NAMES.values()
    ]
    after = [table[table.turn == 1].assign(turn=2, condition=PERSONAL, mode=G) for table in tables]
    return pd.concat([*tables, *after], ignore_index=True)


def test_table_3_by_hand():
    """As in `hand`, but that cases halve (half of the dialogues come after another turn): ratios
    stay.
    """
    found = multi_turn.deviations(seven(), draws=100)
    assert list(found.benchmark) == list(multi_turn.NAMES.values())
    assert found["mean"].tolist() == pytest.approx(
        [2 / 3] * 7
    ) and found.luck.tolist() == pytest.approx([1 / 3] * 7)
    assert (
        found.beyond.tolist() == pytest.approx([1 / 3] * 7)
        and (found.ci_low <= found["mean"]).all()
    )
    assert found.set_index("benchmark").paper["pubmedqa"] == 0.6863


def test_the_two_orders_with_the_paper_s_rates():
    found = multi_turn.orders(seven(), draws=100).set_index("order")
    assert found["mean"].to_dict() == pytest.approx(
        {"general first": 1 / 3, "personalized first": 1}
    )
    assert (
        found.paper.to_dict()
        == {"general first": 0.843, "personalized first": 1.0}
        == multi_turn.RATES
    )


def test_every_number_of_the_ledger():
    records = seven()
    for number in paper.numbers():
        if number.artefact in ("table3", "multi_turn"):
            found, remark = multi_turn.ledger_number(records, "r", number.artefact, number.column)
            level = {
                "personalized first": (1, "agree in 0.0%"),
                "general first": (1 / 3, "agree in 66.7%"),
            }
            mean, said = level.get(number.column, (2 / 3, "differ in 33.3%"))
            assert (
                found.mean == pytest.approx(mean)
                and found.interval()[0] <= found.mean <= found.interval()[1]
                and said in remark
            )
            n = {"personalized first": 7, "general first": 14}.get(number.column, 2)
            assert (found.seeds, found.runs, sum(found.items.values())) == (1, 2, n)


@pytest.mark.parametrize(
    "records, words",
    [
        (None, "no two-turn dialogues of model personadual in run r"),
        (hand().assign(model="cot"), "no two-turn dialogues of model personadual"),
        (hand().assign(benchmark="pubmedqa"), "on math500"),
        (
            hand().assign(condition=lambda r: r.condition.where(r.turn == 1, PERSONAL)),
            "personalized mode alone and after a turn in general",
        ),
    ],
)
def test_what_the_ledger_cannot_have_is_said(records, words):
    with pytest.raises(MissingRecordsError, match=words):
        multi_turn.ledger_number(records, "r", "table3", "MATH500")


# --- turns, tags, accuracy ---


def test_all_numbers_of_turns_speak_of_the_same_dialogues():
    """b's dialogue was too long for three turns: it is left out of two as well."""
    rows = pd.DataFrame(
        [
            *several("a", "P", p=(0.8,)),
            *several("b", "P"),
            record("a", P, OBJECTIVE, p=0.7),
            record("b", G, OBJECTIVE, p=0.1),
            record("a", G, OBJECTIVE, turn=3, p=0.3),
        ]
    )
    found = multi_turn.by_turns(rows, draws=20)
    values = {
        turns: tuple(pick(found, turns=turns, earlier="objective", alone=P)[["mean", "shift", "n"]])
        for turns in (2, 3)
    }
    assert values == {2: pytest.approx((1, -0.1, 1)), 3: pytest.approx((0, -0.5, 1))}


def tagged(item: str, p: dict[str, tuple[float, float, float]], **more) -> list[dict]:
    """P after a first turn of a kind with its tag kept, removed, swapped; .5 alone."""
    conditions = {"objective": OBJECTIVE, P: PERSONAL}
    return [
        record(item, G, p=0.5, **more),
        *(
            record(item, G, conditions[first] + tags, p=value, **more)
            for first, values in p.items()
            for tags, value in zip(("", ", tags removed", ", tags swapped"), values, strict=True)
        ),
    ]


def test_tag_and_content_are_told_apart():
    """Tag: (.6 - .2 + .9 - .3) / 2. Content: (.3 - .2 + .9 - .6) / 2. Turn: (.2 + .9) / 2 - .5."""
    rows = pd.DataFrame(
        tagged("a", {"objective": (0.2, 0.4, 0.6), P: (0.9, 0.7, 0.3)})
        + tagged("b", {"objective": (0.9, 0.9, 0.9)})
    )
    shown = multi_turn.tags(rows, draws=20)
    table = shown.set_index(["content", "tag"])["mean"].to_dict()
    assert table == {
        ("objective", G): 0.2,
        ("objective", "none"): 0.4,
        ("objective", P): 0.6,
        (P, G): 0.3,
        (P, "none"): 0.7,
        (P, P): 0.9,
        ("alone", ""): 0.5,
    }
    assert set(shown.n) == {1}, "b has no dialogue after a personal question"
    found = multi_turn.carriers(rows, draws=20).set_index("part")
    assert found["mean"].to_dict() == pytest.approx({"tag": 0.5, "content": 0.2, "turn": 0.05})
    untold = rows[~rows.condition.str.endswith("swapped")]
    assert multi_turn.tags(untold).empty and multi_turn.carriers(untold).empty
    assert "no question was asked after both" in drawn(
        figures.dialogue_tags(multi_turn.tags(untold))
    )


def test_accuracy_by_hand():
    rows = pd.DataFrame(
        [
            record("a", P),
            record("b", P),
            record("a", P, OBJECTIVE),
            record("b", "none", OBJECTIVE, correct=False),
        ]
    )
    (found,) = multi_turn.accuracy(rows, draws=20).to_dict("records")
    assert [found[name] for name in ("first", "alone", "second", "mean", "parse_errors", "n")] == [
        "objective",
        1,
        0.5,
        -0.5,
        0.5,
        2,
    ]


# --- figures ---


def drawn(figure) -> str:
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible()]
    plt.close(figure)
    return "\n".join(texts)


def test_figures_name_models_benchmarks_and_the_paper():
    models = ("personadual", "sft_only", "sft_only_dialogues")
    records = pd.concat([seven().assign(model=model) for model in models], ignore_index=True)
    text = drawn(figures.deviations(multi_turn.deviations(records, draws=20)))
    for word in (
        "MATH500\n2 items",
        "FSPO-roleplay",
        "paper",
        "two runs alone",
        "PersonaDual",
        "SFT with dialogues",
    ):
        assert word in text
    longer = pd.concat([records, records[records.turn == 2].assign(turn=3)], ignore_index=True)
    text = drawn(figures.dialogue_turns(multi_turn.by_turns(longer, draws=20)))
    assert "alone: personalized mode" in text and "SFT only" in text
    rows = pd.DataFrame(
        list(
            itertools.chain.from_iterable(
                tagged("a", {"objective": (0.2, 0.4, 0.6), P: (0.9, 0.7, 0.3)}, model=model)
                for model in models
            )
        )
    )
    text = drawn(figures.dialogue_tags(multi_turn.tags(rows, draws=20)))
    assert (
        "[Personalized]" in text
        and "PersonaDual: objective second question, 1 items" in text
        and "asked alone" in text
    )

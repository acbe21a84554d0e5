"""The paper's numbers, the ledger, tables, figures and the committed reference, on small records
worked by hand.
"""

import json
import re
from collections import Counter

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats

matplotlib.use("Agg")

from pdlib import config, dataset, paper, report
from pdlib.analysis import cells, lexical, stats
from pdlib.analysis.cells import OBJECTIVE, PERSONALIZED, Cell, Cells
from pdlib.paper import catalogue
from pdlib.report import counterparts, notes, reference, status
from pdlib.run import committed

FIRST, SECOND = "pocket-qwen3", "pocket-llama"
HALF = {condition: (2, 2) for condition in cells.CONDITIONS}


def answers(
    model: str,
    right: dict,
    run: str = FIRST,
    forced: str = "none",
    mode: str = "none",
    train_seed: int = 0,
    items: int = 4,
    benchmarks: tuple = OBJECTIVE + PERSONALIZED,
    seeds: int = 1,
) -> pd.DataFrame:
    """Records of a model; right: condition -> (objective, personalised) items answered correctly,
    counted from the first.
    """
    rows = [
        {
            "run": run,
            "model": model,
            "train_seed": train_seed,
            "benchmark": name,
            "item_id": f"{name}-{i}",
            "condition": condition,
            "kind": "objective" if name in OBJECTIVE else "personalized",
            "forced": forced,
            "seed": seed,
            "turn": 1,
            "mode": mode,
            "correct": i < counts[name in PERSONALIZED],
        }
        for condition, counts in right.items()
        for name in benchmarks
        for i in range(items)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows).assign(p_personalized=None, parse_error=None)


def world() -> pd.DataFrame:
    """Every system of the first backbone, the second backbone alone, and a counterfactual condition
    that no table has.
    """
    plain = (
        "cot",
        "g_sft_rl",
        "personal_prompt",
        "p_sft_rl",
        "alignxpert_ica",
        "alignxpert_pba",
        "no_dual_advantage",
        "no_dual_advantage_no_prefix_sampling",
    )
    frames = [
        answers(model, HALF, mode="general" if model.startswith("no_") else "none")
        for model in plain
    ]
    frames.append(answers("backbone", {"none": (2, 1), "unaligned": (1, 1), "aligned": (3, 3)}))
    frames.append(
        answers("backbone", {"none": (2, 1), "unaligned": (2, 1), "aligned": (2, 1)}, run=SECOND)
    )
    for seed, aligned in ((0, 4), (1, 3)):
        frames.append(
            answers(
                "personadual",
                HALF | {"none": (3, 2), "aligned": (aligned, 4)},
                mode="personalized",
                train_seed=seed,
            )
        )
        frames.append(
            answers("personadual", HALF, forced="general", mode="general", train_seed=seed)
        )
        late = answers(
            "personadual", HALF, forced="personalized", mode="personalized", train_seed=seed
        )
        frames.append(
            late.assign(correct=late.item_id.str[-1].isin(list("12")))
        )  # items 1, 2; general mode: items 0, 1
    frames += [
        answers("sft_only", HALF, mode="general"),
        answers("sft_only", HALF, forced="general", mode="general"),
    ]
    router = answers("personadual_router", HALF, mode="general")
    frames.append(
        router.assign(
            mode=np.where(router.item_id.str[-1].isin(list("012")), "personalized", "general")
        )
    )
    prompt = answers("personadual_prompt", HALF, mode="personalized")
    frames.append(prompt.assign(mode=prompt["mode"].where(prompt.item_id.str[-1] != "3", "none")))
    frames.append(answers("personadual", {"conflicting": (4, 4)}, mode="personalized"))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def records():
    return world()


@pytest.fixture(scope="module")
def entries(records):
    return report.ledger(records, FIRST, SECOND)


@pytest.fixture(scope="module")
def by_id(entries):
    return {entry["id"]: entry for entry in entries}


# --- the paper's numbers ---


def test_every_number_of_the_paper_is_there():
    assert Counter(number.artefact for number in paper.numbers()) == {
        "table1": 171,
        "table2": 12,
        "table3": 7,
        "table4": 48,
        "table5": 8,
        "table8": 60,
        "table9": 156,
        "multi_turn": 2,
        "figure1": 24,
        "figure3a": 2,
        "figure3b": 2,
        "figure5": 6,
        "text": 20,
        "rlpa_table1": 30,
        "rlpa_table2": 6,
        "rlpa_figure4": 8,
    }
    assert len({number.id for number in paper.numbers()}) == 562


def test_what_the_text_states_follows_from_the_tables_by_its_rule():
    """A wrong sign, row or column in a rule would show: the rule on the paper's own tables gives
    the stated number.
    """
    values = {number.id: number.value for number in paper.numbers() if number.value is not None}
    wrong = {
        number.id: paper.recompute(number, values)
        for number in paper.numbers()
        if number.id in values
        and abs(paper.recompute(number, values) - number.value) > number.rounding + 1e-9
    }
    assert wrong == {}
    assert (
        values["text/PersonaDual/Avg. unaligned - none"] == -0.007
        and values["text/PersonaDual/Avg. aligned - none"] == 0.028
    )


def test_figure_1_is_the_mean_of_two_models_minus_no_persona():
    values = {number.id: number.value for number in paper.numbers()}
    assert values["figure1/general models/PubMedQA unaligned - none"] == pytest.approx(
        (0.345 - 0.452 + 0.385 - 0.444) / 2
    )
    assert values["figure1/personalized models/objective aligned - none"] == pytest.approx(
        (0.480 - 0.368 + 0.495 - 0.521 + 0.464 - 0.470 + 0.461 - 0.470) / 4
    )


def test_what_no_table_prints_is_quoted():
    said = [
        number
        for number in paper.numbers()
        if number.artefact in ("text", "figure3a", "figure3b", "figure5", "multi_turn")
    ]
    assert [number.id for number in said if not number.quotation] == []


def test_a_tie_is_not_ahead():
    """Table 8, MATH500 unaligned: free and forced personalised are both .790, so 5 of 12, not 6:
    "most" is not what it prints.
    """
    (number,) = [n for n in paper.numbers() if n.id.endswith("above both of its modes")]
    assert number.derived and number.value == pytest.approx(5 / 12, abs=5e-7)


# --- the ledger ---


def test_one_entry_a_number(entries):
    assert [e["id"] for e in entries] == [number.id for number in paper.numbers()]
    assert {e["status"] for e in entries} == {"scaled-down", "not attempted"}
    assert [e["id"] for e in entries if not e["note"]] == []
    keys = [
        "id",
        "artefact",
        "row",
        "column",
        "paper",
        "ours",
        "ci_low",
        "ci_high",
        "n",
        "seeds",
        "margin",
        "comparison",
        "status",
        "direction",
        "quotation",
        "note",
    ]
    assert all(list(e) == keys for e in entries)


@pytest.mark.parametrize(
    "name, ours, n, seeds",
    [
        ("table1/Qwen3-8B-Instruct/Avg. unaligned", 1 / 4, 20, 1),
        (
            "table1/Llama3.1-8B-Instruct/Personalized Avg. aligned",
            1 / 4,
            8,
            1,
        ),  # the second backbone
        (
            "table1/PersonaDual/MATH500 aligned",
            7 / 8,
            4,
            2,
        ),  # 4 and 3 of 4 in the two training seeds
        ("table1/PersonaDual/F.RP. aligned", 1, 4, 2),
        ("table1/No-Persona Upperbound/Avg. none", 3 / 4, 20, 2),
        ("table1/PersonaDual-Router/Avg. aligned", 1 / 2, 20, 1),
        ("table2/PersonaDual-SFT/Avg. aligned", 1 / 2, 20, 1),
        ("table4/DeepSeek-R1/P.FB. aligned", 3 / 4, 4, 1),
        ("table4/Qwen3-30B-A3B-Thinking/P.FB. aligned", 1 / 4, 4, 1),
        ("table4/ALIGNXPERT-PBA/PubMedQA none", 1 / 2, 4, 1),
        ("table8/PersonaDual-personal/Avg. unaligned", 1 / 2, 20, 2),
        ("table8/PersonaDual Upperbound/Avg. unaligned", 3 / 4, 20, 2),  # items 0, 1, 2 of 4
        ("table9/LLaMA3.1-8B-Instruct/Avg. aligned", 1 / 2, 20, 1),
        ("figure3b/PersonaDual-Router/personalised share unaligned", 3 / 4, 20, 1),
        ("figure1/general models/PubMedQA unaligned - none", (-1 / 4 + 0) / 2, 4, 1),
        ("figure1/general models/personalized aligned - none", (2 / 4 + 0) / 2, 8, 1),
        ("text/PersonaDual/Avg. unaligned - none", -1 / 4, 20, 2),
        ("text/PersonaDual/Avg. aligned - none", 7 / 8 - 3 / 4, 20, 2),
        ("text/PersonaDual - PersonaDual-SFT/Avg. aligned", 7 / 8 - 1 / 2, 20, 2),
        ("text/largest drop of Fig. 1/objective with - without persona", -1 / 8, 4, 1),
        (
            "text/PersonaDual/share of averages at which it is above both ablations",
            2 / 3,
            28,
            2,
        ),  # a tie under unaligned personas
        ("figure3a/PersonaDual/share of mixing ratios at which it is best aligned", 1, 28, 2),
        (
            "figure3a/PersonaDual/share of mixing ratios at which it is best unaligned",
            10 / 11,
            28,
            2,
        ),  # a tie at 0
    ],
)
def test_an_entry_worked_by_hand(by_id, name, ours, n, seeds):
    entry = by_id[name]
    assert (entry["ours"], entry["n"], entry["seeds"]) == (pytest.approx(ours), n, seeds)
    assert entry["ci_low"] <= entry["ci_high"]


def test_the_largest_of_many_changes_has_a_wider_interval():
    right = {"none": (20, 20), "unaligned": (10, 10), "aligned": (30, 30)}
    made = [
        answers(model, right, items=40)
        for model in ("backbone", "alignxpert_ica", "alignxpert_pba")
    ]
    found = {
        e["id"]: e
        for e in report.ledger(
            pd.concat([*made, answers("backbone", right, run=SECOND, items=40)]), FIRST, SECOND
        )
    }
    chosen = found["text/largest drop of Fig. 1/objective with - without persona"]
    one = found["figure1/general models/PubMedQA unaligned - none"]
    assert chosen["ours"] == one["ours"] == -1 / 4 and "8 comparisons" in chosen["note"]
    assert chosen["ci_low"] < one["ci_low"] and chosen["ci_high"] > one["ci_high"]


def test_missing_models_say_so(by_id):
    assert (
        by_id["table9/CoT/Avg. aligned"]["note"]
        == f"no records of model cot in run {SECOND}, answering freely"
    )
    assert (
        by_id["table9/CoT/Avg. aligned"]["ours"] is None
        and by_id["table9/CoT/Avg. aligned"]["seeds"] == 0
    )
    assert (
        "no records of model personadual"
        in by_id["text/PersonaDual (Llama)/Avg. aligned - none"]["note"]
    )
    assert "two-turn" in by_id["table3/mode deviation ratio/MATH500"]["note"]
    assert "training examples" in by_id["text/PersonaDualData/SFT examples"]["note"]


HOBBY = {"hobby": ["chess"]}  # what personas may state


@pytest.mark.parametrize(
    "profile, is_known", [("pocket", True), ("pretrained", True), ("gpu", False)]
)
def test_what_personas_state_is_known_by_their_world_not_by_the_backbone(profile, is_known):
    assert (dataset.persona_facts(config.load(profile)) is not None) == is_known


def test_figure_5_by_hand(records, monkeypatch):
    """Three refits of two top words among four: occupation is in the top as found and in two
    refits.
    """
    table = pd.DataFrame(
        {
            "word": ["banker", "chess", "poetic", "bond"],
            "group": ["occupation", "interest", "trait", "interest"],
            "coefficient": [2.0, -1.5, 0.5, 0.1],
        }
    )
    drawn = np.array([[2, 1, 0, 0], [2, 0, 1, 0], [0, 2, 0, 1]])
    found = lexical.Words(table, drawn, np.array([[0, 0, 2, 1]]), 1.0, {}, 1.0, 9, 9, 2)
    monkeypatch.setattr(lexical, "words", lambda answers, facts: found if facts else None)
    said = pd.DataFrame(
        {
            "train_seed": 0,
            "seed": [0, 1] * 20,
            "benchmark": "math500",
            "persona": [f"chess {k}" for k in range(40)],
            "personalized": [True, True, False, False] * 10,
        }
    )
    by_id = {e["id"]: e for e in report.ledger(records, FIRST, SECOND, answers=said, facts=HOBBY)}
    assert by_id["figure5/top 30 words/trait"]["status"] == "not attempted", (
        "no word stands in five personas and not in all"
    )
    assert "no word stands in" in by_id["figure5/top 30 words/trait"]["note"]
    said["persona"] = [f"{word} {k}" for k, word in enumerate(["chess", "bond"] * 20)]
    by_id = {
        e["id"].removeprefix("figure5/top 30 words/"): e
        for e in report.ledger(records, FIRST, SECOND, answers=said, facts=HOBBY)
    }
    assert (by_id["occupation"]["ours"], by_id["interest"]["ours"], by_id["trait"]["ours"]) == (
        0.5,
        0.5,
        0,
    )
    assert by_id["occupation"]["paper"] is None and (
        by_id["occupation"]["n"],
        by_id["occupation"]["seeds"],
    ) == (40, 1)
    assert (
        "shuffled 50%" in by_id["trait"]["note"]
        and "40 answers, the paper samples 2500" not in by_id["trait"]["note"]
    )
    most = by_id["share of the other groups that occupation outnumbers"]
    assert (
        most["ours"] == 0.75
        and most["ci_low"] == pytest.approx(0.0, abs=0.05)
        and most["ci_high"] == pytest.approx(0.75, abs=0.02)
    )
    assert (
        most["direction"] == "undecided"
        and most["status"] == by_id["occupation"]["status"] == "scaled-down"
    )


def test_what_is_not_printed_has_no_comparison(records, monkeypatch):
    real = records.assign(run=records.run.replace({FIRST: "Qwen/Qwen3-8B"}))
    table = pd.DataFrame(
        {
            "word": ["banker", "chess"],
            "group": ["occupation", "interest"],
            "coefficient": [2.0, -1.5],
        }
    )
    for said_alike in (True, False):
        found = lexical.Words(
            table.assign(
                group=["occupation", "interest"] if said_alike else ["interest", "occupation"]
            ),
            np.array([[2.0, 1.0]] * 5),
            np.array([[0.0, 1.0]]),
            1.0,
            {},
            1.0,
            9,
            9,
            1,
        )

        def words(answers, facts, words=found):
            return None if facts else words

        monkeypatch.setattr(lexical, "words", words)
        said = pd.DataFrame(
            {
                "train_seed": 0,
                "seed": np.arange(2500) % 3,
                "benchmark": "math500",
                "personalized": [True, False] * 1250,
                "persona": [("chess" if k % 4 < 2 else "bond") + f" {k}" for k in range(2500)],
            }
        )
        entries = report.ledger(real, "Qwen/Qwen3-8B", SECOND, paper_training=True, answers=said)
        five = [e for e in entries if e["artefact"] == "figure5"]
        assert {e["status"] for e in five} == {"scaled-down"} and "another expert" in five[0][
            "note"
        ]
        assert {(e["comparison"], e["margin"]) for e in five[:-1]} == {(None, None)}, (
            "the paper prints no share"
        )
        assert five[-1]["comparison"] == ("within margin" if said_alike else "different")


def test_stand_ins_say_so(by_id):
    assert (
        "our first backbone stands for DeepSeek-R1"
        in by_id["table4/DeepSeek-R1/PubMedQA none"]["note"]
    )
    assert (
        "second backbone stands for Qwen3-30B"
        in by_id["figure1/general models/TriviaQA aligned - none"]["note"]
    )


def test_answers_without_a_mode_are_counted_and_said(by_id):
    entry = by_id["figure3b/PersonaDual-Prompt/personalised share unaligned"]
    assert (
        entry["ours"] == pytest.approx(3 / 4)
        and "25.0% of the answers name no mode" in entry["note"]
    )


def test_a_model_that_never_names_a_mode_has_no_share(records):
    mute = records.assign(mode=records["mode"].where(records.model != "personadual_prompt", "none"))
    (entry,) = [
        e
        for e in report.ledger(mute, FIRST, SECOND)
        if e["id"].startswith("figure3b/PersonaDual-Prompt")
    ]
    assert entry["status"] == "not attempted" and "name no mode" in entry["note"]


def test_counterfactual_conditions_and_second_turns_change_nothing(records, entries):
    without = records[records.condition != "conflicting"]
    later = answers("backbone", {c: (4, 4) for c in cells.CONDITIONS}).assign(turn=2)
    assert report.ledger(pd.concat([without, later], ignore_index=True), FIRST, SECOND) == entries


def test_the_second_backbone_is_the_named_one(records):
    renamed = records.assign(run=records.run.replace(SECOND, "other/llama"))
    found = {e["id"]: e for e in report.ledger(renamed, FIRST, "other/llama")}
    assert found["table9/LLaMA3.1-8B-Instruct/Avg. aligned"]["ours"] == pytest.approx(1 / 2)
    nobody = {e["id"]: e for e in report.ledger(records, FIRST)}
    assert "none is named" in nobody["table9/LLaMA3.1-8B-Instruct/Avg. aligned"]["note"]


def test_a_benchmark_that_was_not_asked_is_no_average(records):
    part = records[~((records.model == "backbone") & (records.benchmark == "math500"))]
    found = {e["id"]: e for e in report.ledger(part, FIRST, SECOND)}
    assert found["table1/Qwen3-8B-Instruct/Avg. unaligned"]["note"].endswith(
        "persona unaligned, on math500"
    )
    assert found["table1/Qwen3-8B-Instruct/PubMedQA unaligned"]["ours"] == pytest.approx(1 / 4)


def test_an_oracle_needs_both_modes(records):
    part = records[~((records.model == "personadual") & (records.forced == "general"))]
    found = {e["id"]: e for e in report.ledger(part, FIRST, SECOND)}
    assert "forced into both modes" in found["table8/PersonaDual Upperbound/Avg. unaligned"]["note"]


def test_unequal_items_are_no_difference(records):
    part = records[~((records.model == "sft_only") & (records.item_id == "math500-0"))]
    found = {e["id"]: e for e in report.ledger(part, FIRST, SECOND)}
    assert (
        "not asked the same items of math500 (4, 3 items)"
        in found["text/PersonaDual - PersonaDual-SFT/Avg. aligned"]["note"]
    )
    with pytest.raises(ValueError, match="PersonaDual - SFT only.*not asked the same items"):
        report.headline(part, FIRST, SECOND)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda r: r.iloc[:0], "empty"),
        (lambda r: r.drop(columns="mode"), "lack the columns"),
        (lambda r: r.assign(run="elsewhere"), "no single-turn records of run"),
        (lambda r: r[r.condition == "conflicting"], "conditions"),
        (
            lambda r: r[(r.train_seed == 0) | (r.item_id != "math500-0")],
            "seeds hold different items",
        ),
    ],
)
def test_records_that_cannot_be_used_are_refused(records, change, words):
    with pytest.raises(ValueError, match=words):
        report.ledger(change(records), FIRST, SECOND)


def test_one_run_cannot_be_both_backbones(records):
    with pytest.raises(ValueError, match="first and as second"):
        report.ledger(records, FIRST, FIRST)


# --- status of real runs ---


def real(
    model="backbone",
    right=309,
    run="Qwen/Qwen3-8B",
    items=1000,
    seeds=3,
    benchmark="supergpqa",
    column="SuperGPQA",
    condition="unaligned",
    paper_training=True,
) -> dict:
    """The entry of one benchmark for a real run; the paper's backbone is right on .309 of SuperGPQA
    with unaligned personas.
    """
    records = answers(
        model,
        {condition: (right, right)},
        run=run,
        items=items,
        benchmarks=(benchmark,),
        seeds=seeds,
    )
    row = next(name for name, system in counterparts.ROWS.items() if system == model)
    (entry,) = [
        e
        for e in report.ledger(records, run, None, paper_training)
        if e["id"] == f"table1/{row}/{column} {condition}"
    ]
    return entry


def test_a_real_run_without_departure_is_what_the_comparison_says(monkeypatch):
    """.309 of 1,000: the standard error is .0146, so the 90 % interval is ±.024: no success at a
    margin of .0205, one at .0405.
    """
    assert (real()["status"], real()["comparison"], real()["note"], real()["margin"]) == (
        "undecided",
        "undecided",
        "",
        0.0205,
    )
    assert [real(right=right)["status"] for right in (270, 348)] == [
        "differs",
        "differs",
    ]  # beyond two standard errors
    monkeypatch.setattr(status, "MARGIN", 0.04)
    assert (real()["status"], real()["comparison"], real()["margin"]) == (
        "reproduced",
        "within margin",
        0.0405,
    )


@pytest.mark.parametrize(
    "departure, words",
    [
        ({"items": 999}, "999 items of supergpqa, the paper has 1000"),
        ({"seeds": 2}, "2 sampling runs"),
        ({"run": "Qwen/Qwen3-0.6B"}, "backbone Qwen/Qwen3-0.6B"),
        ({"model": "personadual", "paper_training": False}, "Table 6"),
        ({"model": "personadual"}, "training trajectories are written by another expert"),
        (
            {"benchmark": "pubmedqa", "column": "PubMedQA"},
            "rules grade PubMedQA, the paper has GPT-4o-mini judge",
        ),
        ({"condition": "aligned"}, "aligned personas are written by another expert"),
        ({"model": "cot"}, "of CoT the paper does not describe its training data"),
        ({"model": "personal_prompt"}, "of Personal-Prompt the paper does not describe its prompt"),
        ({"model": "personadual_router"}, "the router and whom it routes"),
    ],
)
def test_a_real_run_that_departs_is_scaled_down_and_still_compared(departure, words):
    entry = real(**departure)
    assert entry["status"] == "scaled-down" and words in entry["note"]
    assert entry["comparison"] in status.STATUS and entry["margin"] == 0.0205


@pytest.mark.parametrize(
    "departure, silent",
    [
        ({}, "another expert"),
        ({}, "rules grade"),
        ({"benchmark": "personafeedback", "column": "P.FB.", "condition": "aligned"}, "personas"),
        ({"model": "personal_prompt"}, "trajectories"),
    ],
)
def test_a_departure_is_not_told_where_there_is_none(departure, silent):
    assert silent not in real(**departure)["note"]


def test_every_baseline_that_the_paper_leaves_open_is_listed():
    """All rows of Table 1 but the backbone and PersonaDual: the paper's own system and its
    ablations are described.
    """
    assert set(notes.GUESSED) == set(catalogue.TABLE_1) - {"backbone", "personadual"}
    assert set(notes.JUDGED) <= set(OBJECTIVE)


def test_a_share_of_modes_is_not_judged_by_anybody():
    made = answers(
        "personadual_router",
        {"unaligned": (500, 0)},
        run="Qwen/Qwen3-8B",
        items=1000,
        mode="general",
        seeds=3,
    )
    (entry,) = [
        e
        for e in report.ledger(made, "Qwen/Qwen3-8B", None, True)
        if e["id"].startswith("figure3b/PersonaDual-Router")
    ]
    assert "rules grade" not in entry["note"] and "the router" in entry["note"]


# --- the comparison ---


def normal(mean: float, error: float) -> cells.Statistic:
    """A number whose draws are the quantiles of a normal distribution, so that its intervals are
    known: ±1.645 and ±1.96 errors.
    """
    quantiles = scipy.stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    return cells.Statistic(mean, mean + error * quantiles, {"x": 1000}, 1, 3)


@pytest.mark.parametrize(
    "mean, error, found",
    [
        (0.540, 0.0120, "within margin"),  # 1.645 x .0120 = .0197, the margin .0205
        (0.540, 0.0130, "undecided"),  # .0214: too wide for a success, whatever its middle
        (0.540, 0.1000, "undecided"),
        (0.555, 0.0030, "within margin"),  # sure to be 1.5 points off (95 %), too little to matter
        (
            0.555,
            0.0040,
            "different",
        ),  # the 90 % interval ends at .5616, above .5605, and the 95 % one begins at .5472
        (0.555, 0.0080, "undecided"),  # .5393 to .5707 holds .540
        (0.600, 0.0100, "different"),
        (0.480, 0.0100, "different"),
        (0.600, 0.0400, "undecided"),
    ],
)
def test_two_one_sided_tests_worked_by_hand(mean, error, found):
    assert status.compare(normal(mean, error), 0.540, 0.0005) == found


def test_a_wider_interval_is_never_a_success():
    """The rule that this one replaces called a number reproduced when the paper's value lay in our
    interval: noise was rewarded.
    """
    said = [
        status.compare(normal(0.55, error), 0.540, 0.0005) for error in (0.002, 0.008, 0.02, 0.2)
    ]
    assert said == ["within margin", "undecided", "undecided", "undecided"]
    assert "reproduced" not in {status.STATUS[word] for word in said[1:]}


def test_rounding_widens_both_bounds():
    """A change said to be 8 % is anything from .075 to .085; the margin is two points wider."""
    assert status.compare(normal(-0.060, 0.002), -0.08, 0.005) == "within margin"
    assert status.compare(normal(-0.060, 0.002), -0.08, 0.0005) == "different"
    assert (
        status.margin(-0.08, 0.005) == 0.025
        and status.margin(8000, 0) is None
        and status.margin(None, 0.0005) is None
    )


def test_the_largest_of_many_is_compared_with_wider_intervals():
    assert status.compare(normal(0.54, 0.0120), 0.54, 0.0005) == "within margin"
    assert status.compare(normal(0.54, 0.0120), 0.54, 0.0005, comparisons=8) == "undecided"


def test_entries_are_counted(entries):
    counts = report.directions(entries)
    assert counts == {
        name: sum(e["direction"] == name for e in entries)
        for name in ("same", "undecided", "opposite")
    }
    assert sum(report.statuses(entries).values()) == len(entries) == 562
    assert sum(report.comparisons(entries).values()) == sum(
        e["ours"] is not None and e["margin"] is not None for e in entries
    )


# --- direction ---


@pytest.mark.parametrize(
    "value, low, high, found",
    [
        (0.02, 0.01, 0.03, "same"),
        (0.02, -0.03, -0.01, "opposite"),
        (0.02, -0.01, 0.03, "undecided"),
        (0.02, 0, 0.03, "undecided"),
        (-0.02, -0.03, -0.01, "same"),
        (-0.02, 0.01, 0.03, "opposite"),
        (-0.02, -0.01, 0.03, "undecided"),
        (0, 0.01, 0.03, None),
    ],
)
def test_direction_of_a_change(value, low, high, found):
    change = paper.Number("x", "text", "", "", value, rule="sum")
    assert status.direction(change, low, high) == found


def test_levels_have_no_direction(entries):
    assert {e["artefact"] for e in entries if e["direction"]} == {"figure1", "figure3a", "text"}


@pytest.mark.parametrize(
    "margins, found",
    [
        ([0.3, 0.2], "same"),
        ([0.3, -0.2], "opposite"),
        ([0.3, 0.0], "undecided"),
        ([0.3, -0.02], "undecided"),
    ],
)
def test_best_of_all_is_every_margin(margins, found):
    noise = np.random.default_rng(0).normal(0, 0.02, (len(margins), 2000))
    assert status.direction_of_all(np.array(margins), np.array(margins)[:, None] + noise) == found


def test_one_loser_among_many_even_rivals_must_hold_for_all():
    """Forty rivals as good as we are: the worst of forty margins lies below its own interval, but
    that is chance.
    """
    rng = np.random.default_rng(1)
    means = rng.normal(0, 0.02, 40)
    assert means.min() < -1.96 * 0.02
    draws = means[:, None] + rng.normal(0, 0.02, (40, 2000))
    assert status.direction_of_all(means, draws) == "undecided"


# --- cells ---


def random_records(seeds: tuple = (0, 1, 2)) -> pd.DataFrame:
    rng, frames = np.random.default_rng(0), []
    for model, chance in (("backbone", 0.4), ("personadual", 0.6)):
        for seed in seeds:
            frames.append(answers(model, {"aligned": (0, 0)}, train_seed=seed, items=60, seeds=2))
            frames[-1]["correct"] = rng.random(len(frames[-1])) < chance
    return pd.concat(frames, ignore_index=True)


def test_intervals_are_those_of_stats():
    """Two programs, one answer: `stats` resamples for each question, cells share their draws."""
    rows = random_records()
    table = Cells(rows, draws=4000)
    sides = [
        rows[(rows.model == model) & (rows.kind == "objective")]
        for model in ("personadual", "backbone")
    ]
    asked = [Cell(FIRST, model, OBJECTIVE, "aligned") for model in ("personadual", "backbone")]
    for mine, other in (
        (table[asked[0]].row(), stats.mean_interval(sides[0], draws=4000)),
        (table.sum([(1, asked[0]), (-1, asked[1])]).row(), stats.difference(*sides, draws=4000)),
    ):
        assert mine["mean"] == pytest.approx(other["mean"]) and mine["n"] == other["n"]
        assert (mine["ci_low"], mine["ci_high"]) == pytest.approx(
            (other["ci_low"], other["ci_high"]), abs=0.006
        )


def test_a_difference_with_itself_is_nothing_and_one_seed_can_be_set_against_three():
    rows = random_records()
    rows = rows[(rows.model == "personadual") | (rows.train_seed == 0)]
    table, asked = Cells(rows), Cell(FIRST, "personadual", OBJECTIVE, "aligned")
    assert table.sum([(1, asked), (-1, asked)]).interval() == (0, 0)
    found = table.sum([(1, asked), (-1, Cell(FIRST, "backbone", OBJECTIVE, "aligned"))])
    assert found.seeds == 3 and 0 < found.interval()[0] < found.mean < found.interval()[1]


def test_mixing_goes_straight_from_objective_to_personalised(records):
    table = cells.mixing(Cells(records), FIRST, ["personadual"]).set_index(["condition", "ratio"])[
        "mean"
    ]
    assert table["aligned", 0.0] == pytest.approx(7 / 8) and table["aligned", 1.0] == pytest.approx(
        1
    )
    assert table["unaligned", 0.3] == pytest.approx(0.7 * 2 / 4 + 0.3 * 1)


def test_ablations_are_paired_against_personadual(records):
    table = cells.ablations(Cells(records), FIRST).set_index(["measure", "system"])
    assert table.loc[("objective, aligned persona", "SFT only"), "mean"] == pytest.approx(
        1 / 2 - 7 / 8
    )
    assert (table.wide_low <= table.ci_low).all() and (table.wide_high >= table.ci_high).all()


def test_every_row_of_the_tables_is_a_system_of_the_catalogue():
    rows = {
        n.row
        for n in paper.numbers()
        if n.artefact in ("table1", "table2", "table4", "table9", "figure3b")
    }
    assert rows <= set(counterparts.ROWS) and set(counterparts.ROWS.values()) == {
        *catalogue.TABLE_1,
        *catalogue.TABLE_2,
    } == set(catalogue.FIGURE_ORDER)
    assert (
        counterparts.ROWS["PersonaDual-SFT"] == "sft_only"
        and counterparts.ROWS["w/o DualAdv"] == "no_dual_advantage"
    )


# --- headline, tables, page ---


def test_headline_holds_the_claims_that_can_be_computed(records, entries):
    claims = report.headline(records, FIRST, SECOND, entries).set_index("claim")
    assert claims.loc["backbone, objective: unaligned - none", "ours"] == pytest.approx(-1 / 4)
    assert claims.loc["PersonaDual - SFT only, mean of the three columns", "ours"] == pytest.approx(
        (0 + 3 / 8 + 1 / 2) / 3
    )
    assert claims.loc[
        "PersonaDual, free - either mode right, objective unaligned", "ours"
    ] == pytest.approx(2 / 4 - 3 / 4)
    assert claims.loc[
        "text: PersonaDual, Avg. aligned - none", ["paper", "direction"]
    ].tolist() == [0.028, "undecided"]
    assert not any("Llama" in claim for claim in claims.index)
    few = report.headline(records[records.model == "backbone"], FIRST, SECOND)
    assert len(few) and not any("PersonaDual" in claim for claim in few.claim)


def test_tables_have_the_papers_layout(entries):
    table = report.table(entries, "table1")
    assert table.shape == (12, 21) and list(table.index[:2]) == [
        "Qwen3-8B-Instruct",
        "Llama3.1-8B-Instruct",
    ]
    assert re.fullmatch(
        r"0\.250 \[0\.\d{3}, 0\.\d{3}\] \| 0\.460",
        table.loc["Qwen3-8B-Instruct", ("Avg.", "unaligned")],
    )
    assert table.loc["Qwen3-8B-Instruct", ("Avg.", "none")] == ""
    assert table.loc["No-Persona Upperbound", ("Avg.", "none")].endswith("| 0.547")
    assert report.table(entries, "table9").loc["CoT", ("Avg.", "aligned")] == "– | 0.430"
    assert {name: report.table(entries, name).shape for name in report.TABLES} == {
        "table1": (12, 21),
        "table2": (4, 3),
        "table4": (4, 12),
        "table8": (4, 15),
        "table9": (11, 21),
    }
    with pytest.raises(ValueError, match="no table 'figure1'"):
        report.table(entries, "figure1")


def test_every_figure_is_drawn_or_says_why_not(records):
    done, left = report.figures(records, FIRST)
    assert (
        set(done) == {"table1", "table2", "table8", "figure1", "figure3a", "figure3b"}
        and left == {}
    )
    done, left = report.figures(records[records.model == "backbone"], FIRST)
    assert {"table1", "figure1", "figure3a"} <= set(
        done
    ) and "no records of models sft_only" in left["table2"]
    assert "holds none of the systems of dual-mode" in left["figure3b"]


def test_table1_figure_shows_every_system_and_the_upper_bound(records):
    figure = report.figures(records, FIRST)[0]["table1"]
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        catalogue.label(m) for m in catalogue.FIGURE_ORDER
    ]
    (bound,) = [line for line in axis.lines if line.get_label() == "PersonaDual, no persona"]
    assert bound.get_xdata()[0] == pytest.approx(3 / 4)


@pytest.fixture(scope="module")
def written(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    drawn = folder / "curve.png"
    plt.figure(figsize=(1, 1)).savefig(drawn)
    report.write_html(folder, records, FIRST, [(drawn, "a <curve>")], SECOND)
    return folder


def test_the_page_is_one_file_with_everything(written, entries):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "{{" not in page and not re.search(r"(src|href)=['\"]https?:", page)
    assert page.count("<img") == 7 and "a &lt;curve&gt;" in page and page.count("<caption>") == 5
    ledger = page[page.index("id='ledger'") :]
    assert (
        ledger.count("<tr") == 1 + len(entries)
        and "closely matches the no-personalization upper bound" in ledger
    )
    assert "prefers-color-scheme" in page or "color-scheme: light dark" in page
    upper = page[page.index("No-Persona Upperbound</th>") :]
    assert (
        upper[: upper.index("</tr>")].count("colspan='2'") == 6
        and ">0.547<" in upper[: upper.index("</tr>")]
    )


def test_the_page_leaves_data_beside_it(written, entries):
    assert json.loads((written / "ledger.json").read_text(encoding="utf-8")) == entries
    assert len(pd.read_csv(written / "tables" / "table1.csv", header=[0, 1], index_col=0)) == 12
    assert "PersonaDual - SFT only, personalised" in set(
        pd.read_csv(written / "headline.csv").claim
    )


def test_a_missing_figure_is_named(records, tmp_path):
    with pytest.raises(ValueError, match="curve.png"):
        report.write_html(tmp_path, records, FIRST, [(tmp_path / "curve.png", "")])


# --- the committed reference ---


def test_compact_records_give_the_same_ledger(records, entries, tmp_path):
    full = records.assign(
        prompt="why?",
        completion="so",
        answer="a",
        gold="b",
        n_prompt_tokens=3,
        n_completion_tokens=4,
    )
    report.write_reference(tmp_path, full.assign(p_personalized=0.25), FIRST, SECOND, facts=HOBBY)
    small, arguments = report.read_reference(tmp_path)
    others = {"paper_training": False, "facts": HOBBY}
    assert arguments == {"first_run": FIRST, "second_run": SECOND} | others
    assert len(small) == len(full)
    assert (
        not {"prompt", "completion", "answer", "gold"} & set(small)
        and str(small.p_personalized.dtype) == "float32"
    )
    assert (
        report.ledger_differences(
            json.loads((tmp_path / "ledger.json").read_text()), report.ledger(small, **arguments)
        )
        == []
    )


@pytest.mark.parametrize(
    "field, value",
    [("ours", 0.541), ("ci_low", 0.5), ("status", "reproduced"), ("n", 1000), ("paper", 0.5)],
)
def test_a_number_typed_by_hand_is_found(entries, field, value):
    typed = [dict(e) for e in entries]
    (entry,) = [e for e in typed if e["id"] == "table1/PersonaDual/Avg. unaligned"]
    entry[field] = value
    (line,) = report.ledger_differences(typed, entries)
    assert line.startswith(f"table1/PersonaDual/Avg. unaligned, {field}: {value!r} committed")


def test_a_number_typed_where_there_is_none_is_found(entries):
    typed = [e | ({"ours": 0.43} if e["id"] == "table9/CoT/Avg. aligned" else {}) for e in entries]
    assert report.ledger_differences(typed, entries) == [
        "table9/CoT/Avg. aligned, ours: 0.43 committed, None from the records"
    ]


def test_entries_added_or_left_out_are_found(entries):
    assert report.ledger_differences(entries[1:], entries) == [
        f"{entries[0]['id']}: only in the recomputed ledger"
    ]
    assert report.ledger_differences([*entries, entries[0] | {"id": "x"}], entries) == [
        "x: only in the committed ledger"
    ]


@pytest.mark.parametrize("profile", committed.FOLDERS)
def test_no_number_of_the_committed_reference_is_typed_by_hand(profile):
    place = committed.FOLDERS[profile]
    if not (place / "records.parquet").is_file():
        pytest.skip(
            f"{place} holds no records.parquet yet; "
            f"`make reference PROFILE={profile}` writes it from a run's records"
        )
    records, arguments = report.read_reference(place)
    again = report.ledger(records, **arguments)
    stored = json.loads((place / "ledger.json").read_text(encoding="utf-8"))
    assert report.ledger_differences(stored, again) == []
    claims = report.headline(records, arguments["first_run"], arguments["second_run"], again).round(
        3
    )
    pd.testing.assert_frame_equal(
        pd.read_csv(place / "headline.csv"), claims, check_dtype=False, rtol=0, atol=0.0011
    )
    pd.testing.assert_frame_equal(
        pd.read_csv(place / "form.csv"),
        reference.form(records),
        check_dtype=False,
        rtol=0,
        atol=6e-5,
    )


def test_the_form_of_answers_is_counted():
    asked = pd.DataFrame(
        {
            "run": "r",
            "model": ["a", "a", "a", "b"],
            "forced": ["none", "general", "general", "none"],
            "mode": ["general", "general", "personalized", "none"],
            "parse_error": [None, None, "no answer", None],
        }
    )
    assert reference.form(asked).to_dict("list") == {
        "run": ["r", "r"],
        "model": ["a", "b"],
        "completions": [3, 1],
        "parse": [2 / 3, 1.0],
        "obey": [0.5, pytest.approx(float("nan"), nan_ok=True)],
    }


def test_no_reference_is_told(tmp_path):
    with pytest.raises(ValueError, match="write_reference"):
        report.read_reference(tmp_path)

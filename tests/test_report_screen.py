"""The report's first screen: sentences whose words follow from their intervals, and what is folded
below.
"""

import re

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest

matplotlib.use("Agg")

from pdlib import report
from pdlib.analysis import stats
from pdlib.analysis.cells import OBJECTIVE, PERSONALIZED, Cells
from pdlib.report import formats, screen, sentences
from pdlib.report.sentences import sentence
from pdlib.run import committed

RUN = "pocket-qwen3"


def answers(
    model: str, right: dict, share: dict | None = None, seed: int = 0, items: int = 40
) -> pd.DataFrame:
    """Answers of a model to 40 items a benchmark; right, share: condition -> items answered
    correctly (in the personalised mode).
    """
    rows = [
        {
            "run": RUN,
            "model": model,
            "train_seed": seed,
            "benchmark": name,
            "item_id": f"{name}-{i}",
            "condition": condition,
            "kind": "objective" if name in OBJECTIVE else "personalized",
            "forced": "none",
            "seed": 0,
            "turn": 1,
            "mode": "none"
            if share is None
            else "personalized"
            if i < share[condition]
            else "general",
            "correct": i < count,
        }
        for condition, count in right.items()
        for name in OBJECTIVE + PERSONALIZED
        for i in range(items)
    ]
    return pd.DataFrame(rows).assign(p_personalized=None, parse_error=None)


def findings_of(
    own: dict, share: dict, cot: dict, selection: pd.DataFrame | None = None
) -> list[screen.Finding]:
    records = [
        answers("personadual", own, share),
        answers("cot", cot),
        answers("sft_only", own, share),
    ]
    return screen.findings(Cells(pd.concat(records)), RUN, selection)


def selection(**differences: tuple[float, float, float]) -> pd.DataFrame:
    """A table of `selection.value`: selector -> its difference from the learned choice, and the
    interval.
    """
    return pd.DataFrame(
        [
            {
                "selector": name,
                "block": stats.MEAN,
                "difference": mean,
                "difference_ci_low": low,
                "difference_ci_high": high,
                "n": 1000,
            }
            for name, (mean, low, high) in differences.items()
        ]
    )


FLAT = {"none": 20, "unaligned": 20, "aligned": 20}
OWN, SHARE = (
    {"none": 20, "unaligned": 10, "aligned": 36},
    {"none": 0, "unaligned": 4, "aligned": 30},
)


def test_the_same_questions_say_the_opposite_when_the_answers_are_turned():
    """Nothing is hard-wired: with the records of both sides exchanged, each sentence says the
    contrary.
    """
    better, worse = (
        findings_of(OWN, SHARE, dict.fromkeys(FLAT, 2)),
        findings_of(dict.fromkeys(FLAT, 2), SHARE, OWN),
    )
    assert sentence(better[0]).startswith("PersonaDual is right 63.3 points more often than CoT"), (
        "(10 + 36 + 36) / 3 / 40 - 2 / 40"
    )
    assert sentence(worse[0]).startswith("PersonaDual is right 63.3 points less often than CoT")
    assert (better[0].verdict, worse[0].verdict) == ("higher", "lower")
    assert (
        better[0].mean
        == pytest.approx(-worse[0].mean)
        == pytest.approx((10 + 36 + 36) / 120 - 2 / 40)
    )


def test_an_interval_around_zero_shows_no_difference():
    found = findings_of(FLAT, SHARE, FLAT)
    cot, sft_only, unaligned, aligned, _ = map(sentence, found)
    assert cot.startswith("No difference is shown between PersonaDual and CoT")
    assert "0.0 points" in cot
    start = "No difference is shown between PersonaDual and the same model before RL"
    assert sft_only.startswith(start)
    assert "is not shown to change" in unaligned and "is not shown to change" in aligned


def test_a_persona_harms_helps_and_moves_the_mode():
    _, _, unaligned, aligned, share = findings_of(OWN, SHARE, FLAT)
    assert (
        sentence(unaligned).startswith(
            "An unaligned persona harms: PersonaDual is right 25.0 points less often"
        )
        and unaligned.mean == -0.25
    )
    low, high = map(
        float, re.search(r"\((-?[\d.]+) to (-?[\d.]+)\)\.$", sentence(unaligned)).groups()
    )
    assert 0 < low < 25 < high, "the interval of a size is a size"
    assert sentence(aligned).startswith(
        "An aligned persona helps: PersonaDual is right 40.0 points more often"
    )
    assert (
        sentence(share).startswith(
            "PersonaDual takes its personalised mode 65.0 points more often for an aligned persona"
        )
        and share.n == 200
    )
    turned = findings_of(OWN, SHARE | {"unaligned": 30, "aligned": 4}, FLAT)[-1]
    assert "65.0 points less often" in sentence(turned) and turned.verdict == "lower"


@pytest.mark.parametrize(
    "difference, words",
    [
        (
            (-0.03, -0.04, -0.01),
            "is right 3.0 points more often than a rule that never reads the persona (1.0 to 4.0).",
        ),
        (
            (0.03, 0.01, 0.04),
            "is right 3.0 points less often than a rule that never reads the persona (1.0 to 4.0).",
        ),
        (
            (0.01, -0.01, 0.02),
            "and a rule that never reads the persona: -1.0 points (-2.0 to 1.0).",
        ),
    ],
)
def test_the_choice_is_told_against_the_rules(difference, words):
    table = selection(
        **{"persona-blind rule": difference, "told whether it fits": (0.05, 0.04, 0.06)}
    )
    found = findings_of(OWN, SHARE, FLAT, table)
    assert (
        words in sentence(found[5])
        and "being told whether the persona fits" in sentence(found[6])
        and len(found) == 7
    )


def test_where_the_rules_are_missing_the_benchmarks_best_mode_stands_in():
    table = selection(
        **{
            "best mode of the benchmark": (-0.05, -0.06, -0.04),
            "always general": (-0.3, -0.4, -0.2),
        }
    )
    found = findings_of(OWN, SHARE, FLAT, table)
    assert len(found) == 6
    words = "5.0 points more often than always the better mode of each benchmark"
    assert words in sentence(found[5])


def test_what_was_not_asked_is_left_out():
    only = Cells(answers("backbone", FLAT))
    assert (
        screen.findings(only, RUN) == []
        and screen.findings(only, "elsewhere") == []
        and screen.failures(None) == []
    )


def test_failures_come_from_the_counterfactual_table():
    row = {
        "model": "personadual",
        "kind": "objective",
        "against": "none",
        "measure": "accuracy",
        "n": 300,
    }
    table = pd.DataFrame(
        [
            row | {"condition": "conflicting", "mean": -0.194, "ci_low": -0.235, "ci_high": -0.156},
            row | {"condition": "long", "mean": 0.01, "ci_low": -0.01, "ci_high": 0.03},
            row
            | {
                "condition": "long",
                "model": "backbone",
                "mean": -0.4,
                "ci_low": -0.5,
                "ci_high": -0.3,
            },
        ]
    )
    misleads, long = screen.failures(table)
    assert sentence(misleads) == (
        "A persona that misleads harms: PersonaDual is right 19.4 points less often on objective "
        "questions than without a persona (15.6 to 23.5)."
    )
    assert sentence(long).startswith(
        "A long persona that has nothing to do with the question is not shown to change"
    )
    assert "1.0 points" in sentence(long)


@pytest.mark.parametrize(
    "seeds, backbones, words",
    [
        (1, 1, "cover the test items only: there is one training seed"),
        (3, 1, "3 training seeds, trainings on one backbone"),
        (3, 3, "3 training seeds, each a backbone, a data set and a training run of its own"),
    ],
)
def test_intervals_say_what_they_cover(seeds, backbones, words):
    made = [answers("personadual", OWN, SHARE, seed) for seed in range(seeds)]
    made += [answers("backbone", FLAT, seed=seed) for seed in range(backbones)]
    assert words in sentences.coverage(Cells(pd.concat(made)), RUN)


def entry(
    direction=None,
    comparison="different",
    status="scaled-down",
    ours=0.5,
    paper=0.1,
    note="",
    row="r",
) -> dict:
    return {
        "row": row,
        "column": "c",
        "paper": paper,
        "ours": ours,
        "direction": direction,
        "comparison": comparison,
        "status": status,
        "note": note,
    }


def test_open_questions_count_and_name_the_worst():
    entries = [
        entry("same"),
        entry("undecided", "undecided"),
        entry("opposite", ours=-0.1, row="near"),
        entry("opposite", row="far", ours=-0.9),
        entry(None, "within margin"),
        entry(None, None, "not attempted", None, note="nobody asked"),
    ]
    told = sentences.open_questions(entries, {"figure1": "why"})
    assert told[0] == (
        "Of 4 changes and orderings that the paper states, 1 have the same sign here, 1 are "
        "undecided and 2 have the opposite sign."
    )
    assert (
        told[1]
        == "Furthest apart: far, c (paper 0.100, here -0.900); near, c (paper 0.100, here -0.100)."
    )
    assert (
        "the margin of 2.0 points holds 1; 3 differ" in told[2]
        and "1 are undecided. Scaled down" in told[2]
    )
    assert told[2].endswith("are 5 numbers.")
    assert told[3].startswith("1 numbers of the paper were not attempted.") and told[3].endswith(
        "(1 times): nobody asked."
    )
    assert told[4].startswith("1 figures could not be drawn")


# --- the page ---


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("screen")
    records = [answers("personadual", OWN, SHARE), answers("cot", FLAT), answers("backbone", FLAT)]
    table = selection(**{"persona-blind rule": (0.03, 0.01, 0.04)})
    path = report.write_html(folder, pd.concat(records), RUN, selection=table)
    plt.close("all")
    return path.read_text(encoding="utf-8")


def test_the_first_screen_comes_before_everything_that_is_folded(page):
    first, *_ = page.split("<details", 1)
    assert (
        "more often than CoT" in first
        and "a rule that never reads the persona" in first
        and "Where it fails" in first
    )
    assert (
        first.count("<img") == 1
        and "have the opposite sign" in first
        and "one training seed" in first
    )
    assert 5 <= first[first.index("<section>") : first.index("</section>")].count("<li>") <= 8
    assert "<table" not in first


def test_tables_and_ledger_are_folded_and_searchable(page):
    folds = re.findall(r"<details id=\"(\w+)\">", page)
    assert folds == ["counts", "statements", "figures", "tables", "entries"], (
        "closed: none has the attribute open"
    )
    assert page.index('id="find"') < page.index("<details") and page.count("</details>") == len(
        folds
    )
    for group in (
        ("artefact", "table1"),
        ("comparison", "within margin"),
        ("status", "undecided"),
        ("direction", "opposite"),
    ):
        options = page[page.index(f'id="{group[0]}"') :]
        assert f"<option>{group[1]}</option>" in options[: options.index("</select>")]


def test_the_filters_read_the_columns_that_they_name(page):
    """The script counts columns; the ledger's head must have them at these places."""
    head = re.findall(
        r"<th scope='col'>([^<]+)</th>",
        page[page.index("id='ledger'") : page.index("</thead>", page.index("id='ledger'"))],
    )
    places = dict(re.findall(r"(\w+): (\d+)", re.search(r"columns = \{([^}]+)\}", page)[1]))
    assert {name: head[int(place)] for name, place in places.items()} == {
        name: name for name in places
    } and len(places) == 4


def test_numbers_are_rounded_without_a_negative_zero():
    assert [formats.points(value) for value in (-0.0004, 0.0126, -0.0449)] == ["0.0", "1.3", "-4.5"]


def test_another_processor_is_named(tmp_path):
    from pdlib.run import stages

    assert committed.other_processor(tmp_path) == "", "nothing is known where no run was copied"
    stages.write_json(tmp_path / "run.json", {"processor": "Abacus 9"})
    assert committed.other_processor(tmp_path, here="Abacus 9") == ""
    assert "another processor (Abacus 9; this is Slide rule)" in committed.other_processor(
        tmp_path, here="Slide rule"
    )

"""RESULTS.md: every number stands in outputs/reference, and no words outlive the numbers they were
written for.
"""

import json
import re

import pandas as pd
import pytest

from pdlib.report import citations, results
from tests.conftest import ROOT

FIRST = "On five backbones, in two worlds"
UNSEEN = "On questions that nobody had looked at"
SIZES, REAL = "At three sizes", "A real language model"
WHEN, ASK = "When does DualGRPO pay?", "When should a model ask back?"
SECTIONS = ["What holds", "What is undecided", "Where it fails"]
TEXT = (ROOT / "RESULTS.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """Two files like the reference's, with numbers that are easy to check by eye."""
    table = pd.DataFrame(
        {
            "claim": ["A - B, all", "A - C", "A - C"],
            "ours": [0.022, -0.0004, 0.5],
            "ci_low": [0.008, -0.02, 0.4],
            "ci_high": [0.035, 0.02, 0.6],
            "n": [500, 200, 100],
        }
    )
    table.to_csv(tmp_path / "headline.csv", index=False)
    (tmp_path / "ledger.json").write_text(
        json.dumps(
            [
                {"id": "x", "direction": "same"},
                {"id": "y", "direction": "same"},
                {"id": "z", "direction": None},
            ]
        )
    )
    (tmp_path / "nested.json").write_text('{"a": {"b": 1}}')
    citations._table.cache_clear()
    return tmp_path


BOUND = (
    '<!-- headline.csv: claim="A - B, all" -> 100*ours, 100*ci_low, 100*ci_high, n; says higher -->'
)
GOOD = f"It gains 2.2 points (0.8 to 3.5) over 500 items {BOUND}."


# --- the document of the repository ---


def test_every_number_of_the_results_stands_in_the_reference():
    assert results.check(TEXT) == []


def test_the_results_are_not_empty_and_begin_with_the_fair_comparisons():
    found, _ = citations.citations(TEXT)
    assert len(found) > 20 and sum(len(claim.numbers) for claim in found) > 60
    sections = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert sections == [FIRST, SIZES, *SECTIONS, UNSEEN, WHEN, ASK, REAL, "What was not tried"]
    named = [
        name
        for claim in found
        for name in ("CoT", "SFT only", "w/o DualAdv")
        if f"PersonaDual - {name}" in claim.comment
    ]
    assert list(dict.fromkeys(named)) == ["CoT", "SFT only", "w/o DualAdv"]


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]


@pytest.mark.parametrize("title", [FIRST, *SECTIONS, UNSEEN])
def test_every_point_has_its_number(title):
    points = re.split(r"^- ", section(title), flags=re.MULTILINE)[1:]
    assert len(points) >= 3 and [point[:60] for point in points if "<!--" not in point] == []


def test_every_claim_has_its_limit_beside_it():
    points = re.split(r"^- ", section("What holds"), flags=re.MULTILINE)[1:]
    assert points and [point[:60] for point in points if "*Limit:*" not in point] == []


def test_failures_are_named():
    fails = section("Where it fails")
    assert all(word in fails for word in ("conflicting", "long", "withheld"))


# --- the check ---


def test_a_good_sentence_passes(folder):
    assert results.check(GOOD, folder) == []


@pytest.mark.parametrize(
    "change, words",
    [
        (("2.2 points", "2.3 points"), "2.3 printed, 2.2 in the file"),
        (("0.8 to", "-0.8 to"), "-0.8 printed, 0.8 in the file"),
        (("500 items", "501 items"), "501 printed, 500 in the file"),
        (("500 items", "many items"), "3 numbers .* but 4 columns"),
        (("says higher", "says undecided"), "the words say undecided, the interval says higher"),
        (('"A - B, all"', '"A - D"'), "has 0 rows with .*, expected one"),
        (('"A - B, all"', '"A - C"'), "has 2 rows with .*, expected one"),
        (("100*ours", "100*mine"), "no column mine, found claim, ours"),
        (("claim=", "system="), "no column system"),
        (("headline.csv", "nothing.csv"), "there is no nothing.csv"),
        (("headline.csv", "nested.json"), "is no list of rows"),
        (("-> 100", "to 100"), "cannot read"),
        (("100*ours", "ours^2"), "cannot read the columns"),
        (("says higher", "says better"), "expected one of higher, lower, undecided"),
        ((BOUND, ""), "2.2, 0.8, 3.5, 500: no comment names where this comes from"),
        ((BOUND + ".", BOUND + ", of 7."), "7: no comment names"),
        ((" " + BOUND, "\n  " + BOUND), "begins a line, which ends the paragraph"),
    ],
)
def test_what_is_wrong_is_seen(folder, change, words):
    changed = GOOD.replace(*change)
    assert changed != GOOD
    assert any(re.search(words, fault) for fault in results.check(changed, folder)), results.check(
        changed, folder
    )


def test_a_comment_binds_its_own_paragraph_only(folder):
    faults = results.check(f"It gains 2.2 points.\n\nNothing else. {BOUND}", folder)
    assert any("2.2: no comment" in fault for fault in faults) and any(
        "0 numbers" in fault for fault in faults
    )


def test_two_comments_share_a_sentence_and_wrapped_lines_are_one(folder):
    text = (
        'Two <!-- ledger.json: direction="same"\n-> count() --> say so.\n\n'
        'Of these 2 <!-- ledger.json:\ndirection="same" ->\n'
        'count() --> and 0 <!-- ledger.json: direction="opposite" -> count() --> others.'
    )
    assert ["0 numbers" in fault for fault in results.check(text, folder)] == [True]


def test_a_misspelt_word_is_not_counted_as_nothing(folder):
    (fault,) = results.check('None, 0 <!-- ledger.json: direction="oposite" -> count() -->', folder)
    assert 'no row with direction="oposite"' in fault


def test_rows_are_told_apart_by_several_columns(folder):
    assert (
        results.check('It is .50 <!-- headline.csv: claim="A - C", n="100" -> ours -->.', folder)
        == []
    )


def test_a_factor_turns_the_sign_and_a_verdict_is_that_of_the_file(folder):
    text = (
        'B is 2.2 points below (0.8 to 3.5) <!-- headline.csv: claim="A - B, all" -> '
        "100*ours, 100*ci_low, 100*ci_high; says higher -->"
    )
    assert results.check(text, folder) == []
    turned = text.replace("2.2 points below (0.8 to 3.5)", "-2.2 (-3.5 to -0.8)").replace(
        "100*ours, 100*ci_low, 100*ci_high", "-100*ours, -100*ci_high, -100*ci_low"
    )
    assert results.check(turned, folder) == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("Table 2 and Fig. 5b at 95 %", []),
        ("`x = 3` and [here](file-4.md)", []),
        ("MATH500, Qwen3-8B, F1, 05b", []),
        ("0.8 to 3.5, .52; -1 and +2.", ["0.8", "3.5", ".52", "-1", "+2"]),
        ("90 % of 7", ["90", "7"]),
        ("(1.5)", ["1.5"]),
    ],
)
def test_which_numbers_need_a_source(text, found):
    assert [shown for _, _, shown in citations.numbers(text)] == found


# --- the formatter ---


def test_numbers_are_rewritten_and_words_are_not(folder):
    old = GOOD.replace("2.2", "9.9").replace("3.5", "12.25").replace("500", "1")
    text, again, faults = results.rewrite(old, folder)
    assert (text, again, faults) == (GOOD.replace("3.5", "3.50"), [], [])
    assert results.rewrite(text, folder) == (text, [], [])


def test_sentences_whose_sign_or_verdict_changed_are_listed(folder):
    _, again, _ = results.rewrite(GOOD.replace("2.2", "-1.4"), folder)
    assert len(again) == 1 and "-1.4 is now 2.2" in again[0] and "It gains" in again[0]
    _, again, _ = results.rewrite(GOOD.replace("says higher", "says undecided"), folder)
    assert again == [
        "the words say undecided, the interval says higher: "
        "It gains 2.2 points (0.8 to 3.5) over 500 items"
    ]


def test_what_cannot_be_looked_up_stays_as_it_is(folder):
    old = GOOD.replace("A - B, all", "A - D") + "\n\nAnd 5 more."
    text, again, faults = results.rewrite(old, folder)
    assert text == old and again == [] and len(faults) == 2

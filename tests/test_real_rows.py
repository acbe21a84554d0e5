"""Real rows go through the same loaders, prompts, parser, scorer and records as pocket items."""

import json
from collections import Counter

import pytest

from pdlib import benchmarks, evaluate, modes
from pdlib.analysis import stats
from pdlib.dataset import personas
from pdlib.evaluate import COLUMNS
from pdlib.questions import sources
from pdlib.questions.hub import HUB
from pdlib.schema import PAPER_MODES, Item, Mode

REAL = [
    "pubmedqa",
    "triviaqa",
    "mmlu_pro",
    "supergpqa",
    "math500",
]  # benchmarks of which real rows are to be had


@pytest.mark.parametrize("two_modes", [False, True])
def test_interference_and_evaluation_on_triviaqa_with_personahub(
    shared_data, tiny_model, tokenizer, two_modes
):
    items = benchmarks.load("triviaqa", data_dir=shared_data, n=12)
    pool, skipped = sources.personahub(shared_data / "personahub.jsonl")
    assert len(pool) > 40 and skipped > 0
    asked = evaluate.ask_all(items, pool, ("none", "unaligned"))
    records = evaluate.answer(
        tiny_model,
        tokenizer,
        asked,
        run="test",
        model_name="backbone",
        train_seed=0,
        seeds=(0,),
        forced=(None, *PAPER_MODES) if two_modes else (None,),
        mode_set=PAPER_MODES if two_modes else None,
        max_tokens=8,
    )
    assert list(records.columns) == COLUMNS
    assert len(records) == 12 * 2 * (3 if two_modes else 1)
    assert records.parse_error.notna().all() and not records.correct.any(), (
        "an untrained model cannot answer"
    )
    by_condition = records.groupby("condition").prompt
    assert by_condition.get_group("unaligned").str.contains("my question is").all()
    assert not by_condition.get_group("none").str.contains("my question is").any()
    assert (
        stats.difference(
            records[records.condition == "none"], records[records.condition == "unaligned"]
        )["mean"]
        == 0
    )
    if two_modes:
        forced = records[records.forced == "general"]
        assert (
            forced.completion.str.startswith(Mode.GENERAL.tag).all()
            and records.p_personalized.between(0, 1).all()
        )


def test_real_rows_have_no_aligned_persona_and_say_so(shared_data):
    item = benchmarks.load("triviaqa", data_dir=shared_data, n=1)[0]
    with pytest.raises(ValueError, match="no aligned persona"):
        personas.assign(item, "aligned", [])


@pytest.fixture(scope="module")
def items(shared_data) -> dict[str, list[Item]]:
    """Every item of every slice: benchmarks and training sources."""
    return {name: benchmarks.load(name, shared_data) for name in REAL} | {
        name: sources.training(name, shared_data)[0] for name in ("ultramedical", "flan")
    }


def raw(folder, name: str) -> list[dict]:
    return [
        json.loads(line)
        for line in (folder / f"{HUB[name].stem}.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def wrong_answers(item: Item) -> list[str]:
    if item.options:
        others = [i for i, text in enumerate(item.options) if text != item.gold]
        return [
            answer
            for i in others
            for answer in (
                item.options[i],
                modes.LETTERS[i],
                f"{modes.LETTERS[i]}) {item.options[i]}",
            )
        ]
    if item.answer_type == "label":
        return [label for label in ("yes", "no", "maybe") if label != item.gold]
    if item.answer_type == "math":
        return [
            f"{item.gold} + 1",
            f"-7 + 3 {item.gold}",
            "17/293",
            "odd one out",
            "\\text{hyperbola}",
        ]
    return [f"{item.gold} zyx", f"not {item.gold}", f"{item.gold[:-1]}qx", "the", "?"]


@pytest.mark.parametrize("name", REAL)
def test_every_row_of_every_benchmark_loads(items, shared_data, name):
    assert (
        len(items[name])
        == len({item.id for item in items[name]})
        == len(raw(shared_data, name))
        == 60
    )
    assert {(i.benchmark, i.kind, i.aligned) for i in items[name]} == {(name, "objective", None)}
    assert benchmarks.unreadable_gold(items[name]) == []
    assert len(benchmarks.load(name, str(shared_data), n=7)) == 7


@pytest.mark.parametrize("name", [*REAL, "ultramedical", "flan"])
def test_gold_is_right_and_changed_gold_is_wrong(items, name):
    for item in items[name]:
        letter = [modes.LETTERS[item.options.index(item.gold)]] if item.options else []
        accepted = [
            item.gold,
            f" {item.gold} ",
            *item.aliases,
            *letter,
            *(f"{a}) {item.gold}" for a in letter),
        ]
        assert [a for a in accepted if not benchmarks.grade(item, a)[0]] == [], item.id
        assert [
            a for a in [*wrong_answers(item), "", "none of these"] if benchmarks.grade(item, a)[0]
        ] == [], item.id


@pytest.mark.parametrize("name", [*REAL, "ultramedical", "flan"])
def test_another_rows_gold_is_wrong(items, name):
    free = [item for item in items[name] if item.answer_type in ("text", "math")]
    crossed = [
        (a.gold, b.gold)
        for a, b in zip(free, free[1:], strict=False)
        if benchmarks.grade(a, b.gold)[0]
    ]
    assert [
        pair
        for pair in crossed
        if pair[0].removesuffix("^\\circ") != pair[1].removesuffix("^\\circ")
    ] == []


@pytest.mark.parametrize("name", [*REAL, "ultramedical", "flan"])
def test_prompts_hold_the_question_and_every_option_once(items, shared_data, name):
    column = {"math500": "problem", "flan": "inputs"}.get(name, "question")
    texts = (
        {row[column].strip() for row in raw(shared_data, name)}
        if name not in ("ultramedical", "flan")
        else None
    )
    for item in items[name]:
        prompt = modes.user_message(item, None)
        assert prompt.startswith(item.question) and prompt.endswith("}")
        assert [
            o for i, o in enumerate(item.options) if prompt.count(f"\n{modes.LETTERS[i]}) {o}") != 1
        ] == []
        assert "OPTIONS:" not in prompt and "\nA. " not in prompt
        assert texts is None or any(text in item.question for text in texts)


def test_letters_are_those_of_the_rows(items, shared_data):
    for name, column in (("mmlu_pro", "answer"), ("supergpqa", "answer_letter")):
        for item, row in zip(items[name], raw(shared_data, name), strict=True):
            assert modes.LETTERS[item.options.index(item.gold)] == row[column] and len(
                item.options
            ) == len(row["options"])


def test_pubmedqa_shows_its_context(items, shared_data):
    for item, row in zip(items["pubmedqa"], raw(shared_data, "pubmedqa"), strict=True):
        assert all(paragraph in item.question for paragraph in row["context"]["contexts"])
        assert row["long_answer"] not in item.question and item.facts == {
            "question": row["question"],
            "pmid": row["pubid"],
        }


def test_words_and_signs_of_math_answers(items):
    by_gold = {item.gold: item for item in items["math500"]}
    for gold, said, expected in (
        ("\\text{even}", "even", True),
        ("\\text{(C)}", "C", True),
        ("\\text{(C)}", "(B)", False),
        ("x \\in [-2,7]", "[-2, 7]", True),
        ("x \\in [-2,7]", "(-2, 7)", False),
        ("30^\\circ", "30", True),
        ("11,\\! 111,\\! 111,\\! 100", "11111111100", True),
        ("1 \\pm \\sqrt{19}", "1+\\sqrt{19}", False),
    ):
        assert benchmarks.grade(by_gold[gold], said)[0] is expected, (gold, said)


def test_every_training_row_is_an_item_or_counted(shared_data):
    medical, dropped = sources.training("ultramedical", shared_data)
    assert Counter(item.facts["source"] for item in medical) == {
        "MedMCQA": 3,
        "MedQA": 3,
        "MedQA-Evol": 3,
        "PubMedQA": 3,
        "TextBookQA": 3,
    }
    assert dropped == {"the answer is not one letter": 15}
    assert {item.facts["pmid"] for item in medical if "pmid" in item.facts} == {
        22808261,
        20804554,
        19267237,
    }
    flan, dropped = sources.training("flan", shared_data)
    assert Counter(item.answer_type for item in flan) == {"choice": 34, "text": 14, "math": 10}
    assert dropped == {
        f"{task}: no options, and no short answer that a rule can compare": 1
        for task in ("openbookqa", "story_cloze")
    }
    assert Counter(item.facts["task"] for item in flan)["bool_q"] == 4


def test_a_real_choice_prompt(items):
    item = next(item for item in items["flan"] if item.gold == "put them in the freezer")
    assert (
        modes.user_message(item, None)
        == """Objective: how to increase shelf life of nuts?

Which of the following solutions is more sound in terms of naive physics reasoning?
A) place them outside in the sun for several days
B) put them in the freezer
Please return your answer in JSON format:
{"answer":"A/B/..."}"""
    )

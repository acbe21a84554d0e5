"""Rows of the real data sets, read from files, and what is said about files that are not as they
should be.
"""

import json
import random
import re
from collections import Counter
from types import SimpleNamespace

import datasets
import pandas as pd
import pytest

from pdlib import benchmarks, modes
from pdlib.questions import alignx, hub, quotas, rows, sources
from pdlib.schema import Item

GOOD = {
    "question": "Who wrote Emma?",
    "question_id": "q1",
    "answer": {"value": "Jane Austen", "aliases": ["Austen"]},
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def file(tmp_path):
    """Write lines (objects become JSON) to a file and return its path."""

    def write(*lines, name="triviaqa"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(
            "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines),
            encoding="utf-8",
        )
        return path

    return write


def triviaqa(path):
    return benchmarks.load("triviaqa", data_dir=path.parent)


def without(key: str) -> dict:
    return {k: v for k, v in GOOD.items() if k != key}


# --- files that are not as they should be ---


def test_blank_lines_are_no_rows(file):
    assert len(triviaqa(file(GOOD, "", "   "))) == 1


BAD_LINES = {
    "malformed": ('{"question": "Who', "not JSON"),
    "two objects": ("{} {}", "not JSON"),
    "endless number": ('{"question": ' + "7" * 4400 + "}", "not JSON"),
    "endless lists": ('{"question": ' + "[" * 100_000, "not JSON"),
    "half a character": (
        GOOD | {"question_id": "q2", "question": "Who is \ud835?"},
        "half of a surrogate pair",
    ),
    "list": ("[1, 2]", "list"),
    "text": ('"Who?"', "str"),
    "null": ("null", "NoneType"),
    "no question": (without("question"), "no column.*question"),
    "no answer": (without("answer"), "no column.*answer"),
    "answer is text": (GOOD | {"question_id": "q2", "answer": "Jane Austen"}, "value.*aliases"),
    "answer without value": (
        GOOD | {"question_id": "q2", "answer": {"aliases": []}},
        "value.*aliases",
    ),
    "answer with empty value": (
        GOOD | {"question_id": "q2", "answer": {"value": "", "aliases": []}},
        "value.*aliases",
    ),
    "answer without aliases": (
        GOOD | {"question_id": "q2", "answer": {"value": "Jane Austen"}},
        "value.*aliases",
    ),
    "aliases null": (
        GOOD | {"question_id": "q2", "answer": {"value": "Jane Austen", "aliases": None}},
        "aliases",
    ),
    "value a number": (
        GOOD | {"question_id": "q2", "answer": {"value": 4, "aliases": []}},
        "value",
    ),
    "question null": (GOOD | {"question_id": "q2", "question": None}, "question"),
}


@pytest.mark.parametrize("line, found", BAD_LINES.values(), ids=list(BAD_LINES))
def test_bad_triviaqa_row(file, line, found):
    path = file(GOOD, line)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, (line|row) 2: .*{found}"):
        triviaqa(path)


@pytest.mark.parametrize("name", ["malformed", "list", "no question", "answer without value"])
def test_the_number_named_is_the_line_in_the_file(file, name):
    with pytest.raises(ValueError, match="line 4"):
        triviaqa(file(GOOD, "", "", BAD_LINES[name][0]))


@pytest.mark.parametrize(
    "reader, stem", [(triviaqa, "triviaqa"), (sources.personahub, "personahub")]
)
def test_missing_and_empty_files(reader, stem, file, tmp_path):
    with pytest.raises(ValueError, match=f"{stem}.jsonl does not exist"):
        reader(tmp_path / f"{stem}.jsonl")
    for lines in ([], ["", " "]):
        with pytest.raises(ValueError, match=f"{stem}.jsonl has no rows"):
            reader(file(*lines, name=stem))


def test_bytes_that_are_not_text(tmp_path):
    path = tmp_path / "triviaqa.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\xff\xfe\n")
    with pytest.raises(ValueError, match="triviaqa.jsonl, line 2: not UTF-8"):
        triviaqa(path)


# --- where rows come from ---


def test_parquet_is_read_as_jsonl_is(file, tmp_path):
    given = [GOOD, GOOD | {"question_id": "q2", "question": "Who wrote Persuasion?"}]
    from_jsonl = triviaqa(file(*given))
    (tmp_path / "other").mkdir()
    pd.DataFrame(given).to_parquet(tmp_path / "other" / "triviaqa.parquet")
    assert benchmarks.load("triviaqa", tmp_path / "other") == from_jsonl
    pd.DataFrame([without("answer")]).to_parquet(tmp_path / "other" / "triviaqa.parquet")
    with pytest.raises(ValueError, match="triviaqa.parquet, row 1: no column.*answer"):
        benchmarks.load("triviaqa", tmp_path / "other")
    (tmp_path / "other" / "triviaqa.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match="arquet"):
        benchmarks.load("triviaqa", tmp_path / "other")


@pytest.mark.parametrize("name", hub.HUB)
def test_a_hub_that_is_not_reached_says_what_replaces_it(name):
    hub._current.cache_clear()
    with pytest.raises(
        ValueError, match=f"^{name}: .*{hub.HUB[name].hub}.*{hub.HUB[name].stem}.*data_dir"
    ):
        list(rows.read(name, "hub"))


def test_unknown_data_set():
    with pytest.raises(ValueError, match="'squad'.*pubmedqa"):
        rows.read("squad", "hub")


def test_published_pins_are_commits():
    pinned = {name: entry.revision for name, entry in hub.HUB.items() if entry.revision}
    assert set(pinned) == {"pubmedqa", "triviaqa", "mmlu_pro", "supergpqa", "math500", "flan"}
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in pinned.values())
    assert hub.revision("math500") == pinned["math500"]


@pytest.fixture
def hub_requests(monkeypatch):
    """A hub of two TriviaQA rows; the list of what was asked of it."""
    requests = []

    def load_dataset(*given, **options):
        requests.append((*given, options["split"], options["revision"]))
        return datasets.Dataset.from_list(
            [GOOD, GOOD | {"question_id": "q2", "question": "Who wrote Persuasion?"}]
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(
        hub,
        "HfApi",
        lambda: SimpleNamespace(dataset_info=lambda name: SimpleNamespace(sha=COMMIT[::-1])),
    )
    hub._current.cache_clear()
    yield requests
    hub._current.cache_clear()


def test_the_hub_is_read_at_the_pinned_commit(hub_requests, file):
    assert [item.id for item in benchmarks.load("triviaqa", "hub")] == ["q1", "q2"]
    assert hub_requests == [
        ("mandarjoshi/trivia_qa", "rc.nocontext", "validation", hub.HUB["triviaqa"].revision)
    ]
    with pytest.raises(ValueError, match="TsinghuaC3I/UltraMedical, row 1: no column"):
        sources.training("ultramedical", "hub")
    assert hub_requests[1] == (
        "TsinghuaC3I/UltraMedical",
        None,
        "train",
        COMMIT[::-1],
    )  # not pinned: the current commit, looked up once
    assert hub.revision("ultramedical") == COMMIT[::-1]


def test_a_folder_pins_revisions_and_its_files_come_first(hub_requests, file, tmp_path):
    (tmp_path / "revisions.json").write_text(json.dumps({"triviaqa": COMMIT}))
    assert hub.revision("triviaqa", tmp_path) == COMMIT
    assert len(benchmarks.load("triviaqa", tmp_path)) == 2 and hub_requests[0][-1] == COMMIT
    file(GOOD)
    assert len(benchmarks.load("triviaqa", tmp_path)) == 1 and len(hub_requests) == 1
    with pytest.raises(ValueError, match="math500.jsonl does not exist"):
        benchmarks.load("math500", tmp_path)
    (tmp_path / "revisions.json").write_text(json.dumps({"triviaqa": "main"}))
    with pytest.raises(ValueError, match="revisions.json.*triviaqa: main.*40 hexadecimal"):
        hub.revision("triviaqa", tmp_path)


def test_a_sample_of_rows_is_uniform_seeded_and_in_order(file, tmp_path, hub_requests):
    file(
        *({"inputs": f"q{i}", "targets": "x", "task": "trivia_qa"} for i in range(40)), name="flan"
    )
    draws = [
        [row["inputs"] for _, row in rows.sample("flan", tmp_path, 10, seed)[0]]
        for seed in range(400)
    ]
    assert (
        draws[0]
        == [row["inputs"] for _, row in rows.sample("flan", tmp_path, 10, 0)[0]]
        != draws[1]
    )
    assert all(
        len(set(draw)) == 10 and draw == sorted(draw, key=lambda q: int(q[1:])) for draw in draws
    )
    counts = Counter(q for draw in draws for q in draw)
    assert len(counts) == 40 and all(
        60 < n < 145 for n in counts.values()
    )  # 100 each, standard deviation 8.7
    assert (
        rows.sample("flan", tmp_path, 10)[1] == 40
        and len(rows.sample("flan", tmp_path, 99)[0]) == 40
    )
    picked, total = rows.sample("triviaqa", "hub", 1)
    assert (len(list(picked)), total) == (1, 2)


# --- PersonaHub ---


def test_personahub(shared_data):
    personas, skipped = sources.personahub(shared_data / "personahub.jsonl")
    assert len(personas) + skipped == 60
    texts = [persona.text for persona in personas]
    assert (
        "A high school junior debating between a career in anthropology or graphic design" in texts
    )
    assert [
        t for t in texts if t.startswith("Un desarrollador") or re.search("[\u4e00-\u9fff]", t)
    ] == []
    assert (
        skipped <= 6
    )  # two of the rows are in another language; detection on a few words may err a little
    assert sources.personahub(shared_data) == (personas, skipped)
    few, foreign = sources.personahub(shared_data, at_most=7)
    assert len(few) + foreign == 7


def test_personahub_leaves_other_languages_out_and_counts_them(file):
    texts = [
        "a nurse who works night shifts in a large hospital",
        "eine Krankenschwester, die nachts im Krankenhaus arbeitet",
        "12345",
    ]
    personas, skipped = sources.personahub(
        file(*({"persona": text} for text in texts), name="personahub")
    )
    assert ([p.text for p in personas], skipped) == (texts[:1], 2)


@pytest.mark.parametrize(
    "line, found",
    [
        ("{", "not JSON"),
        ("[]", "list"),
        ({"input persona": "a nurse"}, "no column.*persona.*input persona"),
        ({"persona": None}, "persona"),
        ({"persona": 3}, "persona"),
    ],
)
def test_bad_personahub_row(file, line, found):
    path = file(
        {"persona": "a nurse who works night shifts in a large hospital"}, line, name="personahub"
    )
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, (line|row) 2: .*{found}"):
        sources.personahub(path)


# --- UltraMedical and FLAN ---


def medical(question="Which?\n\nA. one\nB. two", answer="B", id="MedQA,1", **more) -> dict:
    return {
        "id": id,
        "type": "Exam",
        "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": "..."}],
        "answer": answer,
    } | more


def flan(inputs: str, targets: str, task="piqa_10templates") -> dict:
    return {"inputs": inputs, "targets": targets, "task": task}


def train(name: str, file, *lines) -> tuple[list[Item], dict]:
    return sources.training(name, file(*lines, name=name).parent)


def test_ultramedical_options_are_taken_out_of_the_question(file):
    question = (
        "Vitamins:\nA. is fat-soluble\nC. is not\nWhich?\n\nA. one\nB. two\nand a half\nC. three"
    )
    (item,), dropped = train("ultramedical", file, medical(question))
    assert item.question == "Vitamins:\nA. is fat-soluble\nC. is not\nWhich?"
    assert (item.options, item.gold) == (("one", "two\nand a half", "three"), "two\nand a half")
    assert dropped == {} and item.facts == {"source": "MedQA"}
    (item,), _ = train("ultramedical", file, medical(id="PubMedQA,123"))
    assert item.facts == {"source": "PubMedQA", "pmid": 123}


@pytest.mark.parametrize(
    "row, reason",
    [
        (medical(answer="two"), "not one letter"),
        (medical(answer=None), "not one letter"),
        (medical(answer="C"), "letter is no option"),
        (medical("Which?"), "no lettered options"),
        (medical("A. one\nB. two"), "no lettered options"),
        (medical("Which?\nA. one\nC. two"), "no lettered options"),
        (medical("Which?\nA. one\nB. one"), "options are the same"),
        (medical(id="MedQA,0"), "again"),
    ],
)
def test_ultramedical_rows_that_cannot_be_read_are_counted(file, row, reason):
    items, dropped = train("ultramedical", file, medical(id="MedQA,0"), row)
    assert len(items) == 1 and list(dropped.values()) == [1] and reason in next(iter(dropped))


def test_ultramedical_without_a_question_is_an_error(file):
    with pytest.raises(ValueError, match="line 1: 'conversations'.*human"):
        train("ultramedical", file, medical(conversations=[]))


def test_flan_bullets_become_letters(file):
    rows_ = [
        flan("Goal?\n\nOPTIONS:\n- cut glass \n- cut a can", "cut a can"),
        flan("OPTIONS:\n- no\n- yes\nIs it - or not?", "no", "rte_10templates"),
        flan("Question: who?\n\nAnswer:\nOPTIONS:\n- a-b\n- c", "a-b"),
    ]
    items, dropped = train("flan", file, *rows_)
    assert [(i.question, i.options, i.gold, i.facts["task"]) for i in items] == [
        ("Goal?", ("cut glass", "cut a can"), "cut a can", "piqa"),
        ("Is it - or not?", ("no", "yes"), "no", "rte"),
        ("Question: who?", ("a-b", "c"), "a-b", "piqa"),
    ]
    assert dropped == {} and {i.answer_type for i in items} == {"choice"}


@pytest.mark.parametrize(
    "row, reason",
    [
        (flan("Which?", "this one"), "piqa: no options"),
        (flan("Which?\nOPTIONS:\n", "this"), "piqa: no options"),
        (flan("Summarise: ...", "Short.", "xsum_10templates"), "xsum: no options"),
        (flan("Which?\nOPTIONS:\n- a\n- b", "c"), "piqa: the answer is none"),
        (flan("Which?\nOPTIONS:\n- a\n- a", "a"), "piqa: two options"),
        (flan("Which?\nOPTIONS:\n- a", "a"), "piqa: fewer than 2"),
        (flan("?\nOPTIONS:" + "".join(f"\n- o{i}" for i in range(11)), "o3"), "more than 10"),
        (flan("What?", "4", "trivia_qa_10templates"), "again"),
        (flan("What?", " ", "trivia_qa_10templates"), "trivia_qa: an empty"),
    ],
)
def test_flan_rows_that_cannot_be_compared_are_counted(file, row, reason):
    items, dropped = train("flan", file, flan("What?", "4", "trivia_qa_10templates"), row)
    assert len(items) == 1 and list(dropped.values()) == [1] and reason in next(iter(dropped))


def test_flan_answers_by_task(file):
    items, _ = train(
        "flan",
        file,
        flan("Solve x = 3.", "3", "math_dataset_10templates"),
        flan("who?", "Bo", "natural_questions_10templates"),
    )
    assert [
        (i.answer_type, benchmarks.grade(i, " 3.0 ")[0], benchmarks.grade(i, "bo!")[0])
        for i in items
    ] == [("math", True, False), ("text", False, True)]


def test_rows_beyond_the_limit_are_counted(file):
    path = file(*(flan(f"q{i}?", "x", "trivia_qa_10templates") for i in range(9)), name="flan")
    items, dropped = sources.training("flan", path.parent, at_most=5)
    assert len(items) == 5 and dropped == {"beyond the 5 rows drawn": 4}


def test_unknown_training_source(tmp_path):
    with pytest.raises(ValueError, match="'personahub'.*ultramedical.*flan.*alignx"):
        sources.training("personahub", tmp_path)


# --- AlignX ---


def wants(**values: float) -> list[float]:
    """90 directions of 0.5 but for those given, as `d1=1`; counted from 1 as in AlignX's list."""
    return [values.get(f"d{i}", 0.5) for i in range(1, 91)]


def alignx_row(*history, prompt="What now?", chosen="Sleep.", rejected="Run.") -> dict:
    entries = [
        {"prompt": "p", "chosen": "c", "rejected": "r", "Preference Direction": values}
        for values in history
    ]
    return {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "Preference Direction": wants(),
        "Demographic Information": "",
        "User-Generated Content": [],
        alignx.HISTORY: entries,
    }


def test_the_ninety_directions():
    pairs = alignx.directions()
    assert len(pairs) == 90 and all(len(pair) == 2 and pair[0] != pair[1] for pair in pairs)
    assert pairs[0] == ("is young", "is older") and pairs[9] == ("likes sleep", "dislikes sleep")
    assert (
        pairs[23] == ("needs order", "does not need order")
        and pairs[40][0] == "wants answers that do no harm"
    )
    assert pairs[47] == ("likes science", "dislikes science") and pairs[89] == (
        "likes fashion",
        "dislikes fashion",
    )
    assert len({text for pair in pairs for text in pair}) == 180


@pytest.mark.parametrize(
    "history, text",
    [
        ([wants(d1=1)], "someone who is young"),
        ([wants(d1=1, d10=1), wants(d1=1, d10=1)], "someone who is young and likes sleep"),
        ([wants(d1=0, d10=1, d90=0)], "someone who is older, likes sleep and dislikes fashion"),
        (
            [wants(d1=1, d10=1)] + [wants(d10=1)] * 4,
            "someone who is young and likes sleep",
        ),  # mean exactly 0.6
        (
            [wants(d1=0, d10=1)] + [wants(d10=1)] * 4,
            "someone who is older and likes sleep",
        ),  # mean exactly 0.4
        (
            [wants(d1=0, d2=1, d10=1)] + [wants(d10=1)] * 5,
            "someone who likes sleep",
        ),  # 0.417 and 0.583 say nothing
        ([wants(d1=1)] + [wants()] * 5, "someone who is young"),  # 0.583: the most extreme speaks
        (
            [wants(d1=0, d10=1)] + [wants()] * 5,
            "someone who is older",
        ),  # 0.417 and 0.583: 1 - max is not below min
        (
            [wants(d1=1, d10=1, d2=0)] + [wants(d1=1, d10=1)] + [wants()] * 9,
            "someone who is young and likes sleep",
        ),
    ],
)
def test_alignx_persona_from_the_mean_of_the_history(history, text):
    assert alignx.preference_persona(history).text == text


def test_a_history_that_says_nothing_gives_no_persona():
    assert alignx.preference_persona([wants(d1=1), wants(d1=0)]) is None


def test_alignx(file):
    items, dropped = train(
        "alignx",
        file,
        alignx_row(wants(d1=1)),
        alignx_row(wants(d1=1), chosen="Run.", rejected="Sleep."),
        alignx_row(),
        alignx_row(wants()),
        alignx_row(wants(d1=1)),
        alignx_row(wants(d1=1), chosen="Run."),
        alignx_row(wants(d1=1), chosen=""),
    )
    assert dropped == {
        "no preference in the history": 2,
        "the same row or id again": 1,
        "both answers are the same": 1,
        "an empty question or answer": 1,
    }
    assert {i.kind for i in items} == {"personalized"} and [i.gold for i in items] == [
        "Sleep.",
        "Run.",
    ]
    assert modes.user_message(items[0], items[0].aligned).startswith(
        "I am someone who is young, my question is:\nWhat now?\n\nWhich of"
    )
    assert all(sorted(i.options) == ["Run.", "Sleep."] for i in items)


@pytest.mark.parametrize("values", [[1.0] * 89, None, [2.0] * 90, ["1"] * 90])
def test_alignx_directions_of_another_form_are_an_error(file, values):
    with pytest.raises(ValueError, match="line 1: 'Preference Direction' must be 90 numbers"):
        train("alignx", file, alignx_row(values))


# --- sampling ---


def items_of(**sizes: int) -> list[Item]:
    return [
        Item(f"{name}{i}", "x", "objective", "text", "?", "x", facts={"task": name, "source": name})
        for name, n in sizes.items()
        for i in range(n)
    ]


@pytest.mark.parametrize(
    "by, n, expected",
    [
        ("task", 10, {"a": 6, "b": 3, "c": 1}),
        ("task", 5, {"a": 3, "b": 2}),
        ("task", 100, {"a": 60, "b": 30, "c": 10}),
        ("source", 30, {"a": 10, "b": 10, "c": 10}),
        ("source", 60, {"a": 25, "b": 25, "c": 10}),
        ("source", 90, {"a": 50, "b": 30, "c": 10}),
        ("source", 500, {"a": 60, "b": 30, "c": 10}),
        ("task", 0, {}),
    ],
)
def test_sampling(by, n, expected):
    drawn = quotas.draw(items_of(a=60, b=30, c=10), n, random.Random(0), by)
    assert Counter(item.facts["task"] for item in drawn) == expected and len(
        {item.id for item in drawn}
    ) == len(drawn)


def test_sampling_is_seeded_and_mixed():
    items = items_of(a=50, b=50)
    drawn = quotas.draw(items, 60, random.Random(1), "source")
    assert (
        drawn
        == quotas.draw(items, 60, random.Random(1), "source")
        != quotas.draw(items, 60, random.Random(2), "source")
    )
    assert 5 < sum(item.facts["source"] == "a" for item in drawn[:30]) < 25, (
        "parts must not stand one after the other"
    )
    assert len(quotas.draw(items, 7, random.Random(1))) == 7


def test_sampling_refuses():
    with pytest.raises(ValueError, match="'kind'.*task.*source"):
        quotas.draw(items_of(a=2), 1, random.Random(0), "kind")
    with pytest.raises(ValueError, match="no fact 'task'"):
        quotas.draw([Item("i", "x", "objective", "text", "?", "x")], 1, random.Random(0), "task")

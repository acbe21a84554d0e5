"""Rows of the real data sets, read from files, and what is said about files that are not as they should be."""

import json
import re

import pytest

from pdlib import benchmarks, sources

GOOD = {"question": "Who wrote Emma?", "question_id": "q1", "answer": {"value": "Jane Austen", "aliases": ["Austen"]}}


@pytest.fixture
def file(tmp_path):
    """Write lines (objects become JSON) to a file and return its path."""
    def write(*lines):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
        return path
    return write


def without(key: str) -> dict:
    return {k: v for k, v in GOOD.items() if k != key}


# --- the slices of real rows ---

def test_triviaqa(shared_data):
    items = sources.triviaqa(shared_data / sources.TRIVIAQA_FILE)
    assert len(items) == len({item.id for item in items}) == 60
    assert {(i.benchmark, i.kind, i.answer_type, i.options, i.aligned) for i in items} == {("triviaqa", "objective", "text", (), None)}
    (war,) = [item for item in items if item.question == "In which war did the battles of Crecy and Poitiers take place?"]
    assert "Hundred Years War" in (war.gold, *war.aliases)


def test_triviaqa_grading(shared_data):
    items = sources.triviaqa(shared_data / sources.TRIVIAQA_FILE)
    refused = [(i.gold, a) for i in items for a in (i.gold, *i.aliases, f" {i.gold.upper()}. ") if not benchmarks.grade(i, a)[0]]
    assert refused == []
    changed = [(i.gold, a) for i in items for a in (f"{i.gold} zyx", f"not {i.gold}", i.gold[:-1] + "qx", "", "the", "?")
               if benchmarks.grade(i, a)[0]]
    assert changed == []
    crossed = [(i.gold, j.gold) for i, j in zip(items, items[1:] + items[:1]) if benchmarks.grade(i, j.gold)[0]]
    assert crossed == []


def test_benchmark_items_reads_the_folder(shared_data):
    items = benchmarks.load("triviaqa", data_dir=shared_data)
    assert items == sources.triviaqa(shared_data / sources.TRIVIAQA_FILE)
    assert benchmarks.load("triviaqa", data_dir=str(shared_data), n=7) == items[:7]


def test_personahub(shared_data):
    personas, skipped = sources.personahub(shared_data / sources.PERSONAHUB_FILE)
    assert len(personas) + skipped == 60
    texts = [persona.text for persona in personas]
    assert "A high school junior debating between a career in anthropology or graphic design" in texts
    assert [t for t in texts if t.startswith("Un desarrollador") or re.search("[\u4e00-\u9fff]", t)] == []
    assert skipped <= 6  # two of the rows are in another language; detection on a few words may err a little
    assert sources.personahub(shared_data / sources.PERSONAHUB_FILE) == (personas, skipped)


# --- made-up files ---

def test_small_triviaqa(file):
    (item,) = sources.triviaqa(file(GOOD))
    assert (item.id, item.question, item.gold, item.aliases) == ("q1", "Who wrote Emma?", "Jane Austen", ("Austen",))


def test_rows_without_an_id_get_one_each(file):
    items = sources.triviaqa(file(without("question_id"), without("question_id") | {"question_id": None}))
    assert len({item.id for item in items}) == 2


def test_blank_lines_are_no_rows(file):
    assert len(sources.triviaqa(file(GOOD, "", "   "))) == 1


def test_personahub_leaves_other_languages_out_and_counts_them(file):
    rows = ["a nurse who works night shifts in a large hospital", "eine Krankenschwester, die nachts im Krankenhaus arbeitet", "12345"]
    personas, skipped = sources.personahub(file(*({"persona": text} for text in rows)))
    assert ([p.text for p in personas], skipped) == (rows[:1], 2)


BAD_LINES = {
    "malformed": ('{"question": "Who', "not JSON"),
    "two objects": ("{} {}", "not JSON"),
    "list": ("[1, 2]", "list"),
    "text": ('"Who?"', "str"),
    "null": ("null", "NoneType"),
    "no question": (without("question"), "no column.*question"),
    "no answer": (without("answer"), "no column.*answer"),
    "answer is text": (GOOD | {"question_id": "q2", "answer": "Jane Austen"}, "value.*aliases"),
    "answer without value": (GOOD | {"question_id": "q2", "answer": {"aliases": []}}, "value.*aliases"),
    "answer with empty value": (GOOD | {"question_id": "q2", "answer": {"value": "", "aliases": []}}, "value.*aliases"),
    "answer without aliases": (GOOD | {"question_id": "q2", "answer": {"value": "Jane Austen"}}, "value.*aliases"),
    "aliases null": (GOOD | {"question_id": "q2", "answer": {"value": "Jane Austen", "aliases": None}}, "aliases"),
    "value a number": (GOOD | {"question_id": "q2", "answer": {"value": 4, "aliases": []}}, "value"),
    "question null": (GOOD | {"question_id": "q2", "question": None}, "question"),
}


@pytest.mark.parametrize("line, found", BAD_LINES.values(), ids=list(BAD_LINES))
def test_bad_triviaqa_row(file, line, found):
    path = file(GOOD, line)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, (line|row) 2: .*{found}"):
        sources.triviaqa(path)


@pytest.mark.parametrize("name", ["malformed", "list", "no question", "answer without value"])
def test_the_number_named_is_the_line_in_the_file(file, name):
    with pytest.raises(ValueError, match="line 4"):
        sources.triviaqa(file(GOOD, "", "", BAD_LINES[name][0]))


def test_duplicate_ids(file):
    path = file(GOOD, GOOD | {"question_id": "q2"}, GOOD)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*'q1'.* 1 and 3"):
        sources.triviaqa(path)


@pytest.mark.parametrize("reader", [sources.triviaqa, sources.personahub])
def test_missing_and_empty_files(reader, file, tmp_path):
    with pytest.raises(ValueError, match="none.jsonl does not exist"):
        reader(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="rows.jsonl has no rows"):
        reader(file())
    with pytest.raises(ValueError, match="rows.jsonl has no rows"):
        reader(file("", " "))


@pytest.mark.parametrize("line, found", [
    ("{", "not JSON"), ("[]", "list"), ({"input persona": "a nurse"}, "no column.*persona.*input persona"),
    ({"persona": None}, "persona"), ({"persona": 3}, "persona"),
])
def test_bad_personahub_row(file, line, found):
    path = file({"persona": "a nurse who works night shifts in a large hospital"}, line)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, (line|row) 2: .*{found}"):
        sources.personahub(path)


def test_bytes_that_are_not_text(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\xff\xfe\n")
    with pytest.raises(ValueError, match="rows.jsonl"):
        sources.triviaqa(path)


def test_a_benchmark_without_reader(tmp_path):
    with pytest.raises(ValueError, match="'math500'.*triviaqa"):
        sources.benchmark_items("math500", tmp_path)

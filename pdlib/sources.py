"""Rows of the real data sets, in the hub's columns, read from JSONL files and turned into items and personas."""

import json
from collections.abc import Iterator
from pathlib import Path

from langdetect import DetectorFactory, LangDetectException, detect

from pdlib.schema import Item, Persona

DetectorFactory.seed = 0  # langdetect samples; a fixed seed makes it a function
TRIVIAQA_FILE, PERSONAHUB_FILE = "triviaqa.jsonl", "personahub.jsonl"


def read_jsonl(path: Path | str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict]]:
    """The rows of `path`; ValueError names file and line of anything that is not a JSON object with `columns`."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; put the data set's rows there as JSONL with the columns {columns}")
    count = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as broken:
                raise ValueError(f"{path}, line {number}: not UTF-8 ({broken.reason}); save the file as UTF-8") from broken
            except json.JSONDecodeError as broken:
                raise ValueError(f"{path}, line {number}: not JSON ({broken.msg}); expected one object a line") from broken
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: found a {type(row).__name__}, expected an object")
            missing = [column for column in columns if column not in row]
            if missing:
                raise ValueError(f"{path}, line {number}: no column {missing}, found {sorted(row)}; expected the hub's columns")
            count += 1
            yield number, row
    if not count:
        raise ValueError(f"{path} has no rows; expected one JSON object a line")


def triviaqa(path: Path) -> list[Item]:
    """TriviaQA rows (`mandarjoshi/trivia_qa`, rc.nocontext) as closed-book items."""
    items, seen = [], {}
    for number, row in read_jsonl(path, ("question", "answer")):
        answer = row["answer"]
        if not isinstance(row["question"], str) or not row["question"].strip():
            raise ValueError(f"{path}, line {number}: 'question' must be text, found {row['question']!r}")
        if not (isinstance(answer, dict) and isinstance(answer.get("value"), str) and answer["value"].strip()
                and isinstance(answer.get("aliases"), list) and all(isinstance(a, str) for a in answer["aliases"])):
            raise ValueError(f"{path}, line {number}: 'answer' must hold 'value' and 'aliases', found {answer!r}")
        identity = str(row.get("question_id") or f"triviaqa-{number}")
        if identity in seen:
            raise ValueError(f"{path}: id {identity!r} occurs in lines {seen[identity]} and {number}; ids must be unique")
        seen[identity] = number
        items.append(Item(identity, "triviaqa", "objective", "text", row["question"], answer["value"],
                          aliases=tuple(answer["aliases"]), source="mandarjoshi/trivia_qa"))
    return items


READERS = {"triviaqa": (TRIVIAQA_FILE, triviaqa)}


def benchmark_items(name: str, data_dir: Path) -> list[Item]:
    """All items of a benchmark's file in `data_dir`."""
    if name not in READERS:
        raise ValueError(f"no reader of real rows for {name!r} yet, only for {list(READERS)}; leave data_dir out for its pocket twin")
    file, reader = READERS[name]
    return reader(data_dir / file)


def personahub(path: Path | str) -> tuple[list[Persona], int]:
    """(English personas of PersonaHub, number of rows left out because they are in another language)."""
    personas, skipped = [], 0
    for number, row in read_jsonl(path, ("persona",)):
        if not isinstance(row["persona"], str):
            raise ValueError(f"{path}, line {number}: 'persona' must be text, found {row['persona']!r}")
        try:
            language = detect(row["persona"])
        except LangDetectException:  # text without letters
            language = "unknown"
        if language == "en":
            personas.append(Persona(row["persona"]))
        else:
            skipped += 1
    return personas, skipped

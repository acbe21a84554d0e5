"""The training sources: UltraMedical, FLAN and AlignX as items, PersonaHub's personas.

Departures from the paper, and why:
1. FLAN rows are kept where a rule can compare the answer: choices that show their options,
   mathematics, short questions. Of summaries, translations and the like no answer is right or
   wrong; they are counted by task.
2. At most AT_MOST rows of a source, drawn uniformly, become items: FLAN has five million, the paper
   draws a few thousand.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from langdetect import DetectorFactory, LangDetectException, detect

from pdlib import modes
from pdlib.questions import alignx, rows
from pdlib.questions.grading import is_readable
from pdlib.questions.hub import HUB
from pdlib.schema import Item, Persona

DetectorFactory.seed = 0  # langdetect samples; a fixed seed makes it a function
AT_MOST = 100_000  # rows of a source
PERSONAS_AT_MOST = 20_000  # personas whose language is looked at
FLAN_FREE = {  # tasks without options -> how to compare
    "math_dataset": "math",
    "natural_questions": "text",
    "trivia_qa": "text",
}


def language(text: str) -> str:
    """The ISO 639-1 code that langdetect finds, "unknown" for a text without letters.

    A text of a few words may be misjudged.

    >>> language("a nurse who works night shifts in a large hospital")
    'en'
    """
    try:
        return detect(text)
    except LangDetectException:
        return "unknown"


def personahub(data_dir: Path | str, at_most: int = PERSONAS_AT_MOST) -> tuple[list[Persona], int]:
    """(English personas of PersonaHub, how many of its rows are in another language).

    data_dir: "hub", a folder, or the path of a file.  at_most: rows that are looked at.
    """
    if Path(data_dir).suffix in (".jsonl", ".parquet"):
        located = rows.read_file(data_dir, ("persona",))
    else:
        located, _ = rows.sample("personahub", data_dir, at_most)
    texts = [rows.text(location, row, "persona", may_be_empty=True) for location, row in located]
    personas = [Persona(text) for text in texts if language(text) == "en"]
    return personas, len(texts) - len(personas)


def training(
    name: str, data_dir: Path | str, at_most: int = AT_MOST, seed: int = 0
) -> tuple[list[Item], dict[str, int]]:
    """(items of source ultramedical, flan or alignx, rows left out by reason).

    The facts "source" and "task" of the items are those of `quotas.draw`. ValueError for an unknown
    source, no rows to be had, or a row that is not in the hub's columns.
    """
    if name not in BUILDERS:
        raise ValueError(f"unknown training source {name!r}, expected one of {list(BUILDERS)}")
    located, total = rows.sample(name, data_dir, at_most, seed)
    items, dropped = {}, Counter({f"beyond the {at_most} rows drawn": max(0, total - at_most)})
    for location, row in located:
        item = BUILDERS[name](location, row)
        if isinstance(item, str):
            dropped[item] += 1
        elif item.id in items:
            dropped["the same row or id again"] += 1
        else:
            items[item.id] = item
    return list(items.values()), dict(+dropped)


def _choice(
    name: str, identity: str, question: str, options: Sequence[str], gold: str, facts: dict
) -> Item | str:
    if gold not in options:
        return "the answer is none of the options"
    if len(set(options)) < len(options):
        return "two options are the same"
    if not 2 <= len(options) <= len(modes.LETTERS):
        return f"fewer than 2 or more than {len(modes.LETTERS)} options"
    return Item(
        identity,
        name,
        "objective",
        "choice",
        question,
        gold,
        tuple(options),
        source=HUB[name].hub,
        facts=facts,
    )


def lettered_options(text: str) -> tuple[str, list[str]]:
    r"""(question, options) of a text that ends in options "A. ...", "B. ...", one per line.

    Where there are no options, the list is empty.

    >>> lettered_options("Which?\n\nA. one\nB. two")
    ('Which?', ['one', 'two'])
    """
    marks = list(re.finditer(r"^[ \t]*([A-J])[.):][ \t]*", text, re.MULTILINE))
    starts = [index for index, mark in enumerate(marks) if mark.group(1) == "A"]
    last = marks[starts[-1] :] if starts else []
    if len(last) < 2 or "".join(mark.group(1) for mark in last) != modes.LETTERS[: len(last)]:
        return text.strip(), []
    ends = [mark.start() for mark in last[1:]] + [len(text)]
    options = [text[mark.end() : end].strip() for mark, end in zip(last, ends, strict=True)]
    return text[: last[0].start()].strip(), options


def _ultramedical(location: str, row: dict) -> Item | str:
    if not isinstance(row["answer"], str) or not re.fullmatch("[A-J]", row["answer"].strip()):
        return "the answer is not one letter"
    turns = row["conversations"]
    first = turns[0] if isinstance(turns, list) and turns else None
    if not (isinstance(first, dict) and first.get("from") == "human"):
        raise ValueError(
            f"{location}: 'conversations' must begin with a turn from 'human', "
            f"found {str(turns)[:200]}"
        )
    question, options = lettered_options(rows.text(location, first, "value", may_be_empty=True))
    gold = modes.LETTERS.index(row["answer"].strip())
    if not options or not question:
        return "no lettered options in the question"
    if gold >= len(options):
        return "the answer's letter is no option"
    source, _, number = rows.text(location, row, "id").partition(",")
    facts = {"source": source}
    if source == "PubMedQA" and number.isdecimal():
        facts["pmid"] = int(number)
    identity = f"ultramedical-{row['id']}"
    return _choice("ultramedical", identity, question, options, options[gold], facts)


def bulleted_options(text: str) -> tuple[str, list[str]]:
    r"""(question, options) of a FLAN prompt: "OPTIONS:", then one "- ..." per line.

    What follows the options stays with the question.

    >>> bulleted_options("Is it?\n\nOPTIONS:\n- no\n- yes")
    ('Is it?', ['no', 'yes'])
    """
    block = re.search(r"^[ \t]*OPTIONS:[ \t]*\n((?:[ \t]*-[ \t].*(?:\n|$))+)", text, re.MULTILINE)
    if not block:
        return text.strip(), []
    options = [line.strip()[1:].strip() for line in block.group(1).strip().splitlines()]
    # the prompt itself asks for the answer below
    before = re.sub(r"\s*\n\s*(Answer|A):\s*$", "", text[: block.start()]).strip()
    after = text[block.end() :].strip()
    return "\n".join(piece for piece in (before, after) if piece), options


def _flan(location: str, row: dict) -> Item | str:
    prompt, gold = (
        rows.text(location, row, column, may_be_empty=True) for column in ("inputs", "targets")
    )
    task = re.sub(r"_\d+templates$", "", rows.text(location, row, "task"))
    if not prompt or not gold:
        return f"{task}: an empty prompt or answer"
    identity, facts = f"flan-{rows.digest(task, prompt, gold)}", {"task": task}
    question, options = bulleted_options(prompt)
    if options:
        item = _choice("flan", identity, question, options, gold, facts)
        return f"{task}: {item}" if isinstance(item, str) else item
    if "OPTIONS:" in prompt or task not in FLAN_FREE:
        return f"{task}: no options, and no short answer that a rule can compare"
    answer_type = FLAN_FREE[task]
    if answer_type == "math" and not is_readable(gold):
        return f"{task}: math-verify cannot read the answer"
    return Item(
        identity,
        "flan",
        "objective",
        answer_type,
        question,
        gold,
        source=HUB["flan"].hub,
        facts=facts,
    )


# (location, row) -> the item, or why the row is left out
BUILDERS: dict[str, Callable[[str, dict], Item | str]] = {
    "ultramedical": _ultramedical,
    "flan": _flan,
    "alignx": alignx.read_row,
}

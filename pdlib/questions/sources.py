"""The training sources: UltraMedical, FLAN and AlignX as items, PersonaHub's personas; sampling
over their parts.

Departures from the paper, and why:
1. FLAN rows are kept where a rule can compare the answer: choices that show their options,
   mathematics, short questions. Of summaries, translations and the like no answer is right or
   wrong; they are counted by task.
2. At most AT_MOST rows of a source, drawn uniformly, become items: FLAN has five million, the paper
   draws a few thousand.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import yaml
from langdetect import DetectorFactory, LangDetectException, detect

from pdlib import modes
from pdlib.questions import rows
from pdlib.questions.grading import is_readable
from pdlib.schema import Item, Persona

DetectorFactory.seed = 0  # langdetect samples; a fixed seed makes it a function
AT_MOST = 100_000  # rows of a source
PERSONAS_AT_MOST = 20_000  # personas whose language is looked at
PAIRWISE = "Which of these two answers suits me better?"
FLAN_FREE = {
    "math_dataset": "math",
    "natural_questions": "text",
    "trivia_qa": "text",
}  # tasks without options -> how to compare
HISTORY = "Pair-wise Comparative Feedback"


def language(text: str) -> str:
    """The ISO 639-1 code langdetect finds, "unknown" for a text without letters; a few words may be
    misjudged.

    >>> language("a nurse who works night shifts in a large hospital")
    'en'
    """
    try:
        return detect(text)
    except LangDetectException:
        return "unknown"


def pairwise(question: str) -> str:
    """The question of an item whose options are two answers to `question`."""
    return f"{question}\n\n{PAIRWISE}"


def no_preference(question: str, better: str, worse: str) -> str | None:
    """Why a row says nothing of what someone prefers, or None."""
    if not (question and better and worse):
        return "an empty question or answer"
    return "both answers are the same" if better == worse else None


def profile(place: str, persona: object) -> str:
    """A person as a text that follows "I am ", from a text or from a record of (nested) keys and
    values.

    >>> profile("here", {"Name": "Li", "Preference": {"food": ["rice", "tea"]}})
    'someone with this profile: Name: Li; Preference, food: rice, tea'
    """
    if isinstance(persona, str) and persona.strip():
        text = re.sub(r"^(I am|I'm|I’m|You are)\s+", "", persona.strip(), flags=re.IGNORECASE)
        follows = text != persona.strip() or re.match(r"(an?|the|someone)\s", text, re.IGNORECASE)
        return text if follows else f"someone with this profile: {text}"
    lines = list(_leaves("", persona)) if isinstance(persona, dict) else []
    if not lines:
        raise ValueError(
            f"{place}: a persona must be a text or an object with some value, found {persona!r}"
        )
    return "someone with this profile: " + "; ".join(lines)


def _leaves(key: str, value: object):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}, {name}" if key else str(name), inner)
    elif shown := ", ".join(
        str(part).strip()
        for part in (value if isinstance(value, list) else [value])
        if part not in (None, "")
    ):
        yield f"{key}: {shown}"


def personahub(data_dir: Path | str, at_most: int = PERSONAS_AT_MOST) -> tuple[list[Persona], int]:
    """(English personas of PersonaHub, number of rows left out because they are in another
    language), of `at_most` rows.

    data_dir: "hub", a folder, or the path of a file.
    """
    is_file = Path(data_dir).suffix in (".jsonl", ".parquet")
    found = (
        rows.read_file(data_dir, ("persona",))
        if is_file
        else rows.sample("personahub", data_dir, at_most)[0]
    )
    texts = [rows.text(place, row, "persona", may_be_empty=True) for place, row in found]
    personas = [Persona(text) for text in texts if language(text) == "en"]
    return personas, len(texts) - len(personas)


def training(
    name: str, data_dir: Path | str, at_most: int = AT_MOST, seed: int = 0
) -> tuple[list[Item], dict[str, int]]:
    """(items of source ultramedical, flan or alignx, rows left out by reason); facts["source"],
    facts["task"]: see `sample`.

    ValueError for an unknown source, no rows to be had, or a row that is not in the hub's columns.
    """
    if name not in BUILDERS:
        raise ValueError(f"unknown training source {name!r}, expected one of {list(BUILDERS)}")
    found, total = rows.sample(name, data_dir, at_most, seed)
    items, dropped = {}, Counter({f"beyond the {at_most} rows drawn": max(0, total - at_most)})
    for place, row in found:
        item = BUILDERS[name](place, row)
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
        source=rows.HUB[name].hub,
        facts=facts,
    )


def lettered_options(text: str) -> tuple[str, list[str]]:
    """(question, options) of a text that ends in options "A. ...", "B. ..." on lines of their own;
    no options: an empty list.

    >>> lettered_options("Which?\\n\\nA. one\\nB. two")
    ('Which?', ['one', 'two'])
    """
    marks = list(re.finditer(r"^[ \t]*([A-J])[.):][ \t]*", text, re.MULTILINE))
    starts = [place for place, mark in enumerate(marks) if mark.group(1) == "A"]
    tail = marks[starts[-1] :] if starts else []
    if "".join(mark.group(1) for mark in tail) != modes.LETTERS[: len(tail)] or len(tail) < 2:
        return text.strip(), []
    ends = [mark.start() for mark in tail[1:]] + [len(text)]
    return text[: tail[0].start()].strip(), [
        text[mark.end() : end].strip() for mark, end in zip(tail, ends)
    ]


def _ultramedical(place: str, row: dict) -> Item | str:
    if not isinstance(row["answer"], str) or not re.fullmatch("[A-J]", row["answer"].strip()):
        return "the answer is not one letter"
    turns = row["conversations"]
    if not (
        isinstance(turns, list)
        and turns
        and isinstance(turns[0], dict)
        and turns[0].get("from") == "human"
    ):
        raise ValueError(
            f"{place}: 'conversations' must begin with a turn from 'human', found {str(turns)[:200]}"
        )
    question, options = lettered_options(rows.text(place, turns[0], "value", may_be_empty=True))
    place_of_gold = modes.LETTERS.index(row["answer"].strip())
    if place_of_gold >= len(options) or not question:
        return (
            "no lettered options in the question"
            if not options or not question
            else "the answer's letter is no option"
        )
    source, _, number = rows.text(place, row, "id").partition(",")
    facts = {"source": source} | (
        {"pmid": int(number)} if source == "PubMedQA" and number.isdecimal() else {}
    )
    return _choice(
        "ultramedical",
        f"ultramedical-{row['id']}",
        question,
        options,
        options[place_of_gold],
        facts,
    )


def bulleted_options(text: str) -> tuple[str, list[str]]:
    """(question, options) of a FLAN prompt: "OPTIONS:", then "- ..." a line; what follows them
    stays with the question.

    >>> bulleted_options("Is it?\\n\\nOPTIONS:\\n- no\\n- yes")
    ('Is it?', ['no', 'yes'])
    """
    block = re.search(r"^[ \t]*OPTIONS:[ \t]*\n((?:[ \t]*-[ \t].*(?:\n|$))+)", text, re.MULTILINE)
    if not block:
        return text.strip(), []
    options = [line.strip()[1:].strip() for line in block.group(1).strip().splitlines()]
    before = re.sub(
        r"\s*\n\s*(Answer|A):\s*$", "", text[: block.start()]
    )  # the prompt itself asks for the answer below
    return "\n".join(
        part for part in (before.strip(), text[block.end() :].strip()) if part
    ), options


def _flan(place: str, row: dict) -> Item | str:
    asked, gold = (
        rows.text(place, row, column, may_be_empty=True) for column in ("inputs", "targets")
    )
    task = re.sub(r"_\d+templates$", "", rows.text(place, row, "task"))
    if not asked or not gold:
        return f"{task}: an empty prompt or answer"
    identity, facts = f"flan-{rows.digest(task, asked, gold)}", {"task": task}
    question, options = bulleted_options(asked)
    if options:
        chosen = _choice("flan", identity, question, options, gold, facts)
        return f"{task}: {chosen}" if isinstance(chosen, str) else chosen
    if "OPTIONS:" in asked or task not in FLAN_FREE:
        return f"{task}: no options, and no short answer that a rule can compare"
    if FLAN_FREE[task] == "math" and not is_readable(gold):
        return f"{task}: math-verify cannot read the answer"
    return Item(
        identity,
        "flan",
        "objective",
        FLAN_FREE[task],
        question,
        gold,
        source=rows.HUB["flan"].hub,
        facts=facts,
    )


@cache
def directions() -> list[tuple[str, str]]:
    """AlignX's 90 preference directions: (what a value near 1 says, what a value near 0 says),
    after "someone who".
    """
    lines = yaml.safe_load(
        (Path(__file__).parent / "alignx_directions.yaml").read_text(encoding="utf-8")
    )
    return [tuple(line.split(" | ")) for line in lines]


def preference_persona(history: Sequence[Sequence[float]]) -> Persona | None:
    """The persona of AlignX histories, each 90 numbers from 0 to 1: means from 0.6 in the first
    wording, to 0.4 in the second.

    Where all lie between, the most extreme ones speak (the authors' rule); where all are 0.5,
    nothing is known: None.
    """
    n, sums = (
        len(history),
        [sum(values) for values in zip(*history, strict=True)],
    )  # sums of halves are exact, means are not
    poles = {
        i: 0 if total / n >= 0.6 else 1
        for i, total in enumerate(sums)
        if total / n >= 0.6 or total / n <= 0.4
    }
    if not poles and set(sums) != {n / 2}:
        extreme, pole = (max(sums), 0) if n - max(sums) < min(sums) else (min(sums), 1)
        poles = {i: pole for i, total in enumerate(sums) if total == extreme}
    words = [directions()[i][pole] for i, pole in poles.items()]
    if not words:
        return None
    text = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
    return Persona(
        f"someone who {text}", {"directions": {str(i): 1 - pole for i, pole in poles.items()}}
    )


def _alignx(place: str, row: dict) -> Item | str:
    question, better, worse = (
        rows.text(place, row, column, may_be_empty=True)
        for column in ("prompt", "chosen", "rejected")
    )
    if reason := no_preference(question, better, worse):
        return reason
    history = [
        entry.get("Preference Direction") if isinstance(entry, dict) else None
        for entry in row[HISTORY] or ()
    ]
    wanted = len(directions())
    wrong = [
        values
        for values in history
        if not (
            isinstance(values, list)
            and len(values) == wanted
            and all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in values)
        )
    ]
    if wrong:
        raise ValueError(
            f"{place}: 'Preference Direction' must be {wanted} numbers from 0 to 1, found {str(wrong[0])[:200]}"
        )
    persona = preference_persona(history) if history else None
    if persona is None:
        return "no preference in the history"
    identity = f"alignx-{rows.digest(question, better, worse, persona.text)}"
    return Item(
        identity,
        "alignx",
        "personalized",
        "choice",
        pairwise(question),
        better,
        rows.shuffled(identity, better, worse),
        source=rows.HUB["alignx"].hub,
        aligned=persona,
        facts={"question": question},
    )


BUILDERS: dict[
    str, Callable[[str, dict], Item | str]
] = {  # (place, row) -> the item, or why the row is left out
    "ultramedical": _ultramedical,
    "flan": _flan,
    "alignx": _alignx,
}


def sample(items: Sequence[Item], n: int, rng: random.Random, by: str | None = None) -> list[Item]:
    """N of `items` in random order, or all if there are fewer; by the fact "task" in proportion
    (FLAN), "source" evenly.

    What a source has too few of is shared among the others. ValueError for another `by`, or items
    without that fact.
    """
    if by not in (None, "task", "source"):
        raise ValueError(
            f'by is {by!r}, expected "task" (in proportion), "source" (evenly) or None'
        )
    groups = defaultdict(list)
    for item in items:
        if by and by not in item.facts:
            raise ValueError(f"item {item.id!r} has no fact {by!r}; it cannot be sampled by it")
        groups[item.facts[by] if by else None].append(item)
    sizes = {name: len(group) for name, group in sorted(groups.items(), key=str)}
    quotas = (evenly if by == "source" else proportionally)(sizes, min(n, len(items)))
    drawn = [item for name, quota in quotas.items() for item in rng.sample(groups[name], quota)]
    rng.shuffle(drawn)
    return drawn


def proportionally(sizes: dict[str, int], n: int) -> dict[str, int]:
    """N places in proportion to `sizes` (largest remainder).

    >>> proportionally({"a": 6, "b": 3, "c": 1}, 5)
    {'a': 3, 'b': 2, 'c': 0}
    """
    total = sum(sizes.values()) or 1
    quotas = {name: n * size // total for name, size in sizes.items()}
    for name in sorted(sizes, key=lambda name: -(n * sizes[name] % total))[
        : n - sum(quotas.values())
    ]:
        quotas[name] += 1
    return quotas


def evenly(sizes: dict[str, int], n: int) -> dict[str, int]:
    """N places in equal parts, none above its size; what one lacks is shared among the others.

    >>> evenly({"a": 9, "b": 1, "c": 9}, 9)
    {'a': 4, 'b': 1, 'c': 4}
    """
    quotas = dict.fromkeys(sizes, 0)
    for left in range(
        min(n, sum(sizes.values())), 0, -1
    ):  # a place at a time, to the one with the fewest that has more
        quotas[min((name for name in sizes if quotas[name] < sizes[name]), key=quotas.get)] += 1
    return quotas

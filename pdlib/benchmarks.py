"""The seven benchmarks: items from their pocket twins or from rows in the hub's columns; `grade`
compares an answer.

Departures from the paper, and why:
1. Answers are compared by rule; the paper has GPT-4o-mini extract and judge those of PubMedQA and
   MATH-500. `grade` needs no model and gives the same verdict twice; an answer that it cannot read
   is wrong, and its reason says so.
2. The paper does not say which items it drew: ours are the first N by a hash of seed and id,
   whatever the order of the rows.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pdlib import modes
from pdlib.pocket.world import BENCHMARKS, World
from pdlib.questions import rows, sources
from pdlib.questions.grading import grade, is_readable, normalize
from pdlib.schema import Item, Persona

__all__ = [
    "KIND",
    "LABELS",
    "PAPER_N",
    "chance",
    "choices",
    "grade",
    "load",
    "normalize",
    "read",
    "unreadable_gold",
]

KIND = BENCHMARKS  # benchmark -> objective | personalized (paper Table 7)
PAPER_N = {
    "pubmedqa": 1000,
    "triviaqa": 1000,
    "mmlu_pro": 1000,
    "supergpqa": 1000,
    "math500": 500,
    "personafeedback": 1000,
    "fspo_roleplay": 1500,
}  # items the paper evaluates on (paper 4.1)
LABELS = {"pubmedqa": ("yes", "no", "maybe")}  # what may be answered where the answer is a label
PADDING = "N/A"  # MMLU-Pro's fill for options that do not exist


def load(
    name: str,
    data_dir: Path | str | None = None,
    n: int | str | None = None,
    seed: int = 0,
    split: str = "test",
    **world,
) -> list[Item]:
    """N items of benchmark `name`: of the pocket world (data_dir None or "pocket"), else of the
    real rows (see `rows`).

    Real rows: n None means the paper's N, or all if there are fewer; "all" means all; the draw
    depends on seed and ids alone. ValueError: unknown name, n < 1, more items than there are, a row
    that is not as it should be. Rows left out are warned of.
    """
    if name not in KIND:
        raise ValueError(f"unknown benchmark {name!r}, expected one of {list(KIND)}")
    if n not in (None, "all") and (not isinstance(n, int) or n < 1):
        raise ValueError(
            f'n must be at least 1, found {n!r}; leave it out for the paper\'s number, or "all"'
        )
    if data_dir is None or str(data_dir) == "pocket":
        if not isinstance(n, int):
            raise ValueError("the pocket world is endless: say how many items with n")
        return World(seed, split, **world).items(name, n)
    items, dropped = read(name, data_dir)
    if dropped:
        warnings.warn(f"{name}: rows left out: {dict(dropped)}", stacklevel=2)
    if isinstance(n, int) and n > len(items):
        raise ValueError(
            f"{name}: {n} items asked for, {len(items)} found under {data_dir}; lower n"
        )
    n = len(items) if n == "all" else min(n or PAPER_N[name], len(items))
    drawn = set(
        sorted(
            (item.id for item in items),
            key=lambda i: hashlib.sha256(f"draw|{seed}|{i}".encode()).digest(),
        )[:n]
    )
    items = [
        _with_language(item) if item.kind == "personalized" else item
        for item in items
        if item.id in drawn
    ]
    if unreadable := unreadable_gold(items):
        warnings.warn(
            f"{name}: math-verify cannot read the gold answers of {unreadable}; only that very text is graded right",
            stacklevel=2,
        )
    return items


def read(name: str, data_dir: Path | str) -> tuple[list[Item], Counter]:
    """(all items of a benchmark's real rows, rows left out by reason: the same again, or a gold
    that contradicts itself).

    Two different questions with one id are an error.
    """
    items: dict[str, Item] = {}
    places, dropped = {}, Counter()
    for place, row in rows.read(name, data_dir):
        item = BUILDERS[name](place, row)
        if isinstance(item, str):
            dropped[item] += 1
        elif item.id not in items:
            items[item.id], places[item.id] = item, place
        elif (item.question, item.gold) == (items[item.id].question, items[item.id].gold):
            dropped["the same question again"] += (
                1  # TriviaQA's rc holds its web and its Wikipedia rows
            )
        else:
            raise ValueError(
                f"id {item.id!r} occurs in {places[item.id]} and {place} with different questions; ids must be unique"
            )
    return list(items.values()), dropped


def chance(item: Item) -> float:
    """The accuracy of guessing: one in the number of options or labels; 0 where the answer is a
    text or a number, which nobody guesses.

    ValueError for a label question of a benchmark whose labels are not in LABELS.

    >>> chance(Item("1", "mmlu_pro", "objective", "choice", "which?", "a", options=("a", "b", "c", "d")))
    0.25
    """
    known = choices(item)
    return 1 / len(known) if known else 0.0


def choices(item: Item) -> tuple[str, ...]:
    """The texts among which the answer is: options or labels; none where the answer is a text or a
    number. ValueError as for `chance`.
    """
    if item.answer_type == "choice":
        return item.options
    if item.answer_type != "label":
        return ()
    if item.benchmark not in LABELS:
        raise ValueError(
            f"item {item.id!r} is answered with a label, and the labels of {item.benchmark!r} are unknown; "
            f"LABELS has those of {', '.join(LABELS)}: add the benchmark's"
        )
    return LABELS[item.benchmark]


def unreadable_gold(items: Sequence[Item]) -> list[str]:
    """Ids of mathematical items whose gold answer math-verify cannot read: only that very text is
    graded right.
    """
    return [item.id for item in items if item.answer_type == "math" and not is_readable(item.gold)]


def _with_language(item: Item) -> Item:
    """PersonaFeedback was Chinese and the hub says English: what the text is, is detected."""
    return replace(
        item,
        facts=item.facts | {"language": sources.language(f"{item.facts['question']} {item.gold}")},
    )


def _item(
    name: str,
    identity: object,
    answer_type: str,
    question: str,
    gold: str,
    facts: dict | None = None,
    **more,
) -> Item:
    return Item(
        str(identity),
        name,
        KIND[name],
        answer_type,
        question,
        gold,
        source=rows.HUB[name].hub,
        facts=facts or {},
        **more,
    )


def _pubmedqa(place: str, row: dict) -> Item:
    question, gold, context = (
        rows.text(place, row, "question"),
        rows.text(place, row, "final_decision"),
        row["context"],
    )
    if gold not in LABELS["pubmedqa"]:
        raise ValueError(f"{place}: 'final_decision' is {gold!r}, expected yes, no or maybe")
    if not str(row["pubid"]).isdecimal():
        raise ValueError(f"{place}: 'pubid' is {row['pubid']!r}, expected a PMID")
    if not (
        isinstance(context, dict)
        and isinstance(context.get("contexts"), list)
        and isinstance(context.get("labels"), list)
        and len(context["contexts"]) == len(context["labels"]) > 0
    ):
        raise ValueError(
            f"{place}: 'context' must be a dict with the lists 'contexts' and 'labels' of one length, found {context!r}"
        )
    shown = "\n".join(
        f"{label.capitalize()}: {paragraph}"
        for label, paragraph in zip(context["labels"], context["contexts"])
    )
    return _item(
        "pubmedqa",
        row["pubid"],
        "label",
        f"{shown}\n\n{question}\nAnswer yes, no or maybe.",
        gold,
        {"question": question, "pmid": int(row["pubid"])},
    )


def _triviaqa(place: str, row: dict) -> Item:
    question, answer = rows.text(place, row, "question"), row["answer"]
    if not (
        isinstance(answer, dict)
        and isinstance(answer.get("value"), str)
        and answer["value"].strip()
        and isinstance(answer.get("aliases"), list)
        and all(isinstance(a, str) for a in answer["aliases"])
    ):
        raise ValueError(f"{place}: 'answer' must hold 'value' and 'aliases', found {answer!r}")
    identity = row.get("question_id") or f"triviaqa-{rows.digest(question)}"
    return _item(
        "triviaqa", identity, "text", question, answer["value"], aliases=tuple(answer["aliases"])
    )


def _choice(
    name: str, place: str, row: dict, letter_column: str, identity: object, facts: dict
) -> Item | str:
    """A choice. Padding is dropped; equal options are one option (they are equally right), so
    letters are assigned anew.
    """
    question, letter, options = (
        rows.text(place, row, "question"),
        row[letter_column],
        row["options"],
    )
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise ValueError(f"{place}: 'options' must be a list of texts, found {options!r}")
    if letter not in tuple(modes.LETTERS[: len(options)]):
        return f"{identity}: '{letter_column}' is {letter!r}, which is none of the {len(options)} options"
    options = [option.strip() for option in options]
    gold = options[modes.LETTERS.index(letter)]
    real = [option for option in options if option != PADDING or option == gold]
    kept = tuple(dict.fromkeys(real))
    if not 2 <= len(kept) <= len(modes.LETTERS) or "" in kept:
        return f"{identity}: {len(kept)} different options{' and an empty one' * ('' in kept)}, expected 2 to {len(modes.LETTERS)}"
    counts = {"padding options": len(options) - len(real), "equal options": len(real) - len(kept)}
    return _item(
        name,
        identity,
        "choice",
        question,
        gold,
        facts | {key: count for key, count in counts.items() if count},
        options=kept,
    )


def _mmlu_pro(place: str, row: dict) -> Item | str:
    identity = (
        f"mmlu_pro-{rows.digest(str(row['question']))}"
        if row["question_id"] is None
        else row["question_id"]
    )
    item, index = (
        _choice("mmlu_pro", place, row, "answer", identity, {"category": row.get("category")}),
        row["answer_index"],
    )
    if isinstance(item, Item) and index is not None and index != modes.LETTERS.index(row["answer"]):
        return f"{identity}: 'answer' is {row['answer']!r}, 'answer_index' is {index}"
    return item


def _supergpqa(place: str, row: dict) -> Item | str:
    identity = (
        row.get("uuid") or f"supergpqa-{rows.digest(str(row['question']), str(row['options']))}"
    )
    item = _choice(
        "supergpqa", place, row, "answer_letter", identity, {"discipline": row.get("discipline")}
    )
    if isinstance(item, Item) and rows.text(place, row, "answer", may_be_empty=True) != item.gold:
        return f"{identity}: 'answer' is {row['answer']!r}, the option of 'answer_letter' {row['answer_letter']} is {item.gold!r}"
    return item


def _math500(place: str, row: dict) -> Item:
    facts = {"subject": row.get("subject"), "level": row.get("level")}
    identity, question, gold = (
        rows.text(place, row, column) for column in ("unique_id", "problem", "answer")
    )
    return _item("math500", identity, "math", question, gold, facts)


def _personafeedback(place: str, row: dict) -> Item | str:
    question, better, worse = (
        rows.text(place, row, column, may_be_empty=True)
        for column in ("question", "chosen", "reject")
    )
    persona = Persona(sources.profile(place, row["persona"]))
    facts = {
        "question": question,
        "user": str(row["user_id"]),
        "track": row["track"],
        "level": row["level"],
    }
    return _preference("personafeedback", question, better, worse, persona, facts)


def _fspo_roleplay(place: str, row: dict) -> Item | str:
    question, better, worse = (
        rows.text(place, row, column, may_be_empty=True) for column in ("x", "yw", "yl")
    )
    described = row["score_persona"]
    if isinstance(described, dict):
        described = described.get("persona_description")
    if not isinstance(described, str) or not described.strip():
        raise ValueError(
            f"{place}: 'score_persona' must be a text or hold a text 'persona_description', found {row['score_persona']!r}"
        )
    return _preference(
        "fspo_roleplay",
        question,
        better,
        worse,
        Persona(sources.profile(place, described)),
        {"question": question},
    )


def _preference(
    name: str, question: str, better: str, worse: str, persona: Persona, facts: dict
) -> Item | str:
    if reason := sources.no_preference(question, better, worse):
        return reason
    identity = f"{name}-{rows.digest(question, better, worse, persona.text)}"
    return _item(
        name,
        identity,
        "choice",
        sources.pairwise(question),
        better,
        facts,
        options=rows.shuffled(identity, better, worse),
        aligned=persona,
    )


BUILDERS: dict[
    str, Callable[[str, dict], Item | str]
] = {  # (place, row) -> the item, or why the row is left out
    "pubmedqa": _pubmedqa,
    "triviaqa": _triviaqa,
    "mmlu_pro": _mmlu_pro,
    "supergpqa": _supergpqa,
    "math500": _math500,
    "personafeedback": _personafeedback,
    "fspo_roleplay": _fspo_roleplay,
}

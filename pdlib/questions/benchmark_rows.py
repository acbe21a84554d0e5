"""How a real row of each of the seven benchmarks becomes an item."""

from collections.abc import Callable

from pdlib import modes
from pdlib.questions import preferences, rows
from pdlib.questions.hub import HUB
from pdlib.questions.kinds import KIND, LABELS
from pdlib.schema import Item, Persona

PADDING = "N/A"  # MMLU-Pro's fill for options that do not exist


def _item(
    name: str,
    identity: object,
    answer_type: str,
    question: str,
    gold: str,
    facts: dict | None = None,
    **fields,
) -> Item:
    return Item(
        str(identity),
        name,
        KIND[name],
        answer_type,
        question,
        gold,
        source=HUB[name].hub,
        facts=facts or {},
        **fields,
    )


def _pubmedqa(location: str, row: dict) -> Item:
    question = rows.text(location, row, "question")
    gold = rows.text(location, row, "final_decision")
    if gold not in LABELS["pubmedqa"]:
        raise ValueError(f"{location}: 'final_decision' is {gold!r}, expected yes, no or maybe")
    if not str(row["pubid"]).isdecimal():
        raise ValueError(f"{location}: 'pubid' is {row['pubid']!r}, expected a PMID")
    context = row["context"]
    paragraphs, labels = (
        context.get(key) if isinstance(context, dict) else None for key in ("contexts", "labels")
    )
    both_lists = isinstance(paragraphs, list) and isinstance(labels, list)
    if not both_lists or not len(paragraphs) == len(labels) > 0:
        raise ValueError(
            f"{location}: 'context' must be a dict with the lists 'contexts' and 'labels' of one "
            f"length, found {context!r}"
        )
    shown = "\n".join(
        f"{label.capitalize()}: {paragraph}"
        for label, paragraph in zip(labels, paragraphs, strict=True)
    )
    return _item(
        "pubmedqa",
        row["pubid"],
        "label",
        f"{shown}\n\n{question}\nAnswer yes, no or maybe.",
        gold,
        {"question": question, "pmid": int(row["pubid"])},
    )


def _triviaqa(location: str, row: dict) -> Item:
    question, answer = rows.text(location, row, "question"), row["answer"]
    gold, aliases = (
        answer.get(key) if isinstance(answer, dict) else None for key in ("value", "aliases")
    )
    has_gold = isinstance(gold, str) and gold.strip()
    if not (has_gold and isinstance(aliases, list) and all(isinstance(a, str) for a in aliases)):
        raise ValueError(f"{location}: 'answer' must hold 'value' and 'aliases', found {answer!r}")
    identity = row.get("question_id") or f"triviaqa-{rows.digest(question)}"
    return _item("triviaqa", identity, "text", question, gold, aliases=tuple(aliases))


def _choice(
    name: str, location: str, row: dict, letter_column: str, identity: object, facts: dict
) -> Item | str:
    """A choice, whose letters are assigned anew.

    Padding is dropped. Equal options are one option: they are equally right.
    """
    question = rows.text(location, row, "question")
    letter, texts = row[letter_column], row["options"]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{location}: 'options' must be a list of texts, found {texts!r}")
    if letter not in tuple(modes.LETTERS[: len(texts)]):
        return (
            f"{identity}: '{letter_column}' is {letter!r}, which is none of the {len(texts)} "
            "options"
        )
    texts = [text.strip() for text in texts]
    gold = texts[modes.LETTERS.index(letter)]
    real = [text for text in texts if text != PADDING or text == gold]
    options = tuple(dict.fromkeys(real))
    if not 2 <= len(options) <= len(modes.LETTERS) or "" in options:
        return (
            f"{identity}: {len(options)} different options"
            f"{' and an empty one' if '' in options else ''}, expected 2 to {len(modes.LETTERS)}"
        )
    removed = {"padding options": len(texts) - len(real), "equal options": len(real) - len(options)}
    facts = facts | {kind: count for kind, count in removed.items() if count}
    return _item(name, identity, "choice", question, gold, facts, options=options)


def _mmlu_pro(location: str, row: dict) -> Item | str:
    identity, index = row["question_id"], row["answer_index"]
    if identity is None:
        identity = f"mmlu_pro-{rows.digest(str(row['question']))}"
    item = _choice("mmlu_pro", location, row, "answer", identity, {"category": row.get("category")})
    if isinstance(item, Item) and index is not None and index != modes.LETTERS.index(row["answer"]):
        return f"{identity}: 'answer' is {row['answer']!r}, 'answer_index' is {index}"
    return item


def _supergpqa(location: str, row: dict) -> Item | str:
    digest = rows.digest(str(row["question"]), str(row["options"]))
    identity = row.get("uuid") or f"supergpqa-{digest}"
    facts = {"discipline": row.get("discipline")}
    item = _choice("supergpqa", location, row, "answer_letter", identity, facts)
    if isinstance(item, str):
        return item
    if rows.text(location, row, "answer", may_be_empty=True) != item.gold:
        return (
            f"{identity}: 'answer' is {row['answer']!r}, the option of 'answer_letter' "
            f"{row['answer_letter']} is {item.gold!r}"
        )
    return item


def _math500(location: str, row: dict) -> Item:
    facts = {"subject": row.get("subject"), "level": row.get("level")}
    identity, question, gold = (
        rows.text(location, row, column) for column in ("unique_id", "problem", "answer")
    )
    return _item("math500", identity, "math", question, gold, facts)


def _personafeedback(location: str, row: dict) -> Item | str:
    question, better, worse = (
        rows.text(location, row, column, may_be_empty=True)
        for column in ("question", "chosen", "reject")
    )
    persona = Persona(preferences.profile(location, row["persona"]))
    facts = {
        "question": question,
        "user": str(row["user_id"]),
        "track": row["track"],
        "level": row["level"],
    }
    return preferences.make_item("personafeedback", question, better, worse, persona, facts)


def _fspo_roleplay(location: str, row: dict) -> Item | str:
    question, better, worse = (
        rows.text(location, row, column, may_be_empty=True) for column in ("x", "yw", "yl")
    )
    described = row["score_persona"]
    if isinstance(described, dict):
        described = described.get("persona_description")
    if not isinstance(described, str) or not described.strip():
        raise ValueError(
            f"{location}: 'score_persona' must be a text or hold a text 'persona_description', "
            f"found {row['score_persona']!r}"
        )
    persona = Persona(preferences.profile(location, described))
    return preferences.make_item(
        "fspo_roleplay", question, better, worse, persona, {"question": question}
    )


# (location, row) -> the item, or why the row is left out
BUILDERS: dict[str, Callable[[str, dict], Item | str]] = {
    "pubmedqa": _pubmedqa,
    "triviaqa": _triviaqa,
    "mmlu_pro": _mmlu_pro,
    "supergpqa": _supergpqa,
    "math500": _math500,
    "personafeedback": _personafeedback,
    "fspo_roleplay": _fspo_roleplay,
}

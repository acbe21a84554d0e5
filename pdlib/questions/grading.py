"""Grading an answer, where nothing is guessed.

Choices are compared by letter and option text, labels and texts by normalised exact match,
mathematics by math-verify.
"""

import re
import string

from math_verify import parse as math_parse
from math_verify import verify as math_verify

from pdlib import modes
from pdlib.schema import Item

_POWER = re.compile(r"\*\* *(-?[0-9a-z]+|\([^()]*\))")
_WORDS_ONLY = re.compile(r"\\(?:text|mbox|textbf|mathrm)\{([^{}]*)\}")


def normalize(text: str) -> str:
    """TriviaQA's normalisation: lower case, punctuation to spaces, articles dropped, one space.

    >>> normalize("The Ape-Man!")
    'ape man'
    """
    text = re.sub(f"[{re.escape(string.punctuation)}‘’´`_]", " ", text.lower())
    return " ".join(word for word in text.split() if word not in ("a", "an", "the"))


def grade(item: Item, answer: str) -> tuple[bool, str]:
    """(right?, reason). Choices are accepted as a letter or as the option's text.

    A letter that no option has is read as a text: of the options I, II, III and IV the answer "I"
    means the first.
    """
    answer = answer.strip()
    if item.answer_type == "choice":
        return _grade_choice(item, answer)
    if item.answer_type == "math":
        return _grade_math(item.gold, answer)
    accepted = {normalize(text) for text in (item.gold, *item.aliases)} - {""}
    if not accepted:  # nothing is left of a gold like "?" or "A"
        is_right = answer.casefold() == item.gold.strip().casefold()
        return is_right, f"exact match of {answer!r} against {item.gold!r}"
    reason = f"normalised exact match of {answer!r} against {len(accepted)} accepted texts"
    return normalize(answer) in accepted, reason


def asks_back(item: Item, answer: str) -> bool:
    """Whether an answer asks which reading of the question is meant, and the right one is offered.

    It must name several of the item's readings (the fact "readings"), among them the one that is
    meant (the fact "field"). An item without these facts has nothing to ask back about.

    >>> facts = {"readings": ["law", "music"], "field": "law"}
    >>> item = Item("1", "triviaqa", "objective", "text", "bar?", "all lawyers", facts=facts)
    >>> asks_back(item, "Which bar: law or music?"), asks_back(item, "Which bar: law?")
    (True, False)
    """
    words = normalize(answer).split()
    named = [reading for reading in item.facts.get("readings", ()) if reading in words]
    return len(named) > 1 and item.facts["field"] in named


def math_words(latex: str) -> str | None:
    r"""The normalised words of an answer that is words and no mathematics, else None.

    >>> math_words(r"\text{even}"), math_words(r"\text{(C)}"), math_words("True"), math_words("30")
    ('even', 'c', 'true', None)
    """
    bare = latex.strip().strip("$").strip()
    inside = _WORDS_ONLY.fullmatch(bare)
    words = normalize(inside.group(1) if inside else bare)
    return words or None if inside or words in ("true", "false", "yes", "no") else None


def is_readable(gold: str) -> bool:
    """Whether `gold` is mathematics that math-verify can read, or words.

    With any other gold, answers can only be compared as texts.
    """
    return math_words(gold) is not None or bool(_expressions(gold))


def _expressions(text: str) -> list:
    """What math-verify reads in `text`; nothing where it finds no more than the text itself.

    x**2, as FLAN writes it, is read as x^2.
    """
    latex = _POWER.sub(r"^{\1}", text)
    expressions = math_parse(f"${latex}$")
    return expressions if any(not isinstance(entry, str) for entry in expressions) else []


def _grade_math(gold: str, answer: str) -> tuple[bool, str]:
    # math-verify takes the words of an answer without \text for a product of letters
    if words := math_words(gold):
        is_right = (math_words(answer) or normalize(answer)) == words
        return is_right, f"words {answer!r} against {gold!r}"
    target = _expressions(gold)
    if not target:
        reason = (
            f"math-verify cannot read the gold {gold!r}; {answer!r} is compared with it as text"
        )
        return answer == gold.strip(), reason
    answered = _expressions(answer)
    if not answered:
        return False, f"math-verify cannot read {answer!r}"
    return math_verify(target, answered), f"math-verify: {answer!r} against {gold!r}"


def _grade_choice(item: Item, answer: str) -> tuple[bool, str]:
    gold_letter = modes.LETTERS[item.options.index(item.gold)]
    letter = re.fullmatch(r"\(?([A-Ja-j])[).:]?", answer)
    if letter and letter.group(1).upper() in modes.LETTERS[: len(item.options)]:
        return letter.group(1).upper() == gold_letter, f"letter {answer!r} against {gold_letter}"
    lettered = re.fullmatch(r"\(?([A-Ja-j])[).:]\s*(.+)", answer, re.DOTALL)
    if lettered and answer not in item.options:
        named = _options_named(item.options, lettered.group(2))
        if named:
            is_right = named == {item.gold} and lettered.group(1).upper() == gold_letter
            return is_right, f"letter and text {answer!r} against {gold_letter}"
    is_right = _options_named(item.options, answer) == {item.gold}
    return is_right, f"option text {answer!r} against {item.gold!r}"


def _options_named(options: tuple[str, ...], text: str) -> set[str]:
    """The options that `text` spells out, or, if none, those it equals after normalising.

    Where it equals several, it names none.
    """
    exact = {option for option in options if option.strip() == text.strip()}
    return exact or {option for option in options if normalize(option) == normalize(text) != ""}

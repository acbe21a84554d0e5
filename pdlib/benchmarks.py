"""The benchmarks: load items (pocket twins, or rows in the hub's columns) and grade an answer."""

import re
import string
from pathlib import Path

from math_verify import parse as math_parse
from math_verify import verify as math_verify

from pdlib import modes, sources
from pdlib.pocket.world import BENCHMARKS, World
from pdlib.schema import Item

KIND = BENCHMARKS  # benchmark -> objective | personalized (paper Table 7)


def load(name: str, data_dir: Path | str | None = None, n: int | None = None, seed: int = 0, split: str = "test",
         **world) -> list[Item]:
    """n items of benchmark `name`: the pocket twin, or with `data_dir` the real rows of its JSONL file.

    Raises ValueError for an unknown name, n < 1, more items than there are, or a file that is not as it should be.
    """
    if name not in KIND:
        raise ValueError(f"unknown benchmark {name!r}, expected one of {list(KIND)}")
    if n is not None and n < 1:
        raise ValueError(f"n must be at least 1, found {n}; leave it out for all items")
    if data_dir is None:
        if n is None:
            raise ValueError("the pocket world is endless: say how many items with n")
        return World(seed, split, **world).items(name, n)
    items = sources.benchmark_items(name, Path(data_dir))
    if n is not None and n > len(items):
        raise ValueError(f"{name}: {n} items asked for, {len(items)} found under {data_dir}; lower n")
    return items[:n]


def normalize(text: str) -> str:
    """TriviaQA's normalisation: lower case, punctuation to spaces, articles dropped, one space.

    >>> normalize("The Ape-Man!")
    'ape man'
    """
    text = re.sub(f"[{re.escape(string.punctuation)}‘’´`_]", " ", text.lower())
    return " ".join(word for word in text.split() if word not in ("a", "an", "the"))


def grade(item: Item, answer: str) -> tuple[bool, str]:
    """(right?, reason). Choices are accepted as a letter or as the option's text, and never guessed."""
    answer = answer.strip()
    if item.answer_type == "choice":
        return _grade_choice(item, answer)
    if item.answer_type == "math":
        right = math_verify(math_parse(f"${item.gold}$"), math_parse(f"${answer}$"))
        return right, f"math-verify: {answer!r} against {item.gold!r}"
    accepted = {normalize(text) for text in (item.gold, *item.aliases)}
    return normalize(answer) in accepted, f"normalised exact match of {answer!r} against {len(accepted)} accepted texts"


def _grade_choice(item: Item, answer: str) -> tuple[bool, str]:
    gold_letter = modes.LETTERS[item.options.index(item.gold)]
    letter = re.fullmatch(r"\(?([A-Ja-j])[).:]?", answer)
    if letter:
        return letter.group(1).upper() == gold_letter, f"letter {answer!r} against {gold_letter}"
    lettered = re.fullmatch(r"\(?([A-Ja-j])[).:]\s*(.+)", answer, re.DOTALL)
    named = _options_named(item.options, lettered.group(2)) if lettered and answer not in item.options else set()
    if named:
        return named == {item.gold} and lettered.group(1).upper() == gold_letter, f"letter and text {answer!r} against {gold_letter}"
    return _options_named(item.options, answer) == {item.gold}, f"option text {answer!r} against {item.gold!r}"


def _options_named(options: tuple[str, ...], text: str) -> set[str]:
    """The options that `text` spells out, or, if none, those it equals after normalising (several: it names none)."""
    exact = {option for option in options if option.strip() == text.strip()}
    return exact or {option for option in options if normalize(option) == normalize(text) != ""}

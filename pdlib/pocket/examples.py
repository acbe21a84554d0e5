"""Askers and questions to try a model of the pocket world with, and the words it can have read."""

import re
from functools import cache

from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.templates import PERSONA_TEMPLATES, TEMPLATES

PEOPLE = (
    "a coach who studies pitch, likes hiking and wants short replies",
    "a musician who studies pitch, likes chess and wants short replies",
    "a chemist who studies base, likes chess and wants detailed replies",
)
QUESTIONS = (
    "what is pitch?",
    "near the stadium, what is pitch?",
    "near the piano, what is pitch?",
    "what should I do today? | try hiking | try chess",
)
SMALL_WORDS = ("who studies near", "the context notes from", "try useful yes no maybe")


def unknown_words(*texts: str) -> list[str]:
    """The words of texts that a pocket model has never read, in order and each once.

    >>> unknown_words("a banker", "what is gravity?")
    ['gravity']
    """
    words = dict.fromkeys(_words(" ".join(texts)))
    return [word for word in words if word not in vocabulary() and not word.isdecimal()]


@cache
def vocabulary() -> frozenset[str]:
    """Every word (lower case) that pocket questions, options and personas can hold."""
    lex = lexicon()
    texts = [
        *PERSONA_TEMPLATES,
        *SMALL_WORDS,
        *lex.hobbies,
        *lex.styles,
        *lex.styles.values(),
        *lex.plain_people,
        *lex.words,
        *lex.units,
    ]
    for by_field in (TEMPLATES, lex.occupations, lex.cues):
        for of_field in by_field.values():
            texts += of_field
    for senses in lex.words.values():
        for glosses in senses.values():
            texts += glosses
    for senses in lex.units.values():
        for value_and_unit in senses.values():
            texts += map(str, value_and_unit)
    return frozenset(_words(" ".join(texts)))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", re.sub(r"\{.*?\}", " ", text.lower()))

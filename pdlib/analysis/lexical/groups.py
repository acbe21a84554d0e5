"""Groups of persona words: by the pocket lexicon, or on real text by short lists and endings."""

import re
from functools import cache
from pathlib import Path

import yaml
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from pdlib.pocket.world import lexicon

GROUPS = ("occupation", "interest", "demographic", "trait", "other")
# what the pocket world's fit between asker and question is made of
CAUSE = "occupation or studied word"
TOKEN = r"\w\w+"
OCCUPATION_ENDINGS = ("er", "or", "ist", "ian", "man", "woman")


def tokens(text: str) -> list[str]:
    """>>> tokens("A 60-year-old retired cop")
    ['60', 'year', 'old', 'retired', 'cop']
    """
    return re.findall(TOKEN, text.lower())


@cache
def _pocket() -> dict[str, frozenset[str]]:
    lex = lexicon()
    lists = {
        "occupation": [job for jobs in lex.occupations.values() for job in jobs],
        "studied": [*lex.words, *lex.units],
        "hobby": lex.hobbies,
        "demographic": lex.plain_people,
        "trait": lex.styles,
    }
    return {
        name: frozenset(token for text in texts for token in tokens(text))
        for name, texts in lists.items()
    }


def pocket_group(word: str) -> str:
    """By the pocket lexicon: occupations; studied words and hobbies are interests; people without a
    profession are demographic; how replies should be is a trait.
    """
    lists = _pocket()
    where = {
        "occupation": "occupation",
        "studied": "interest",
        "hobby": "interest",
        "demographic": "demographic",
        "trait": "trait",
    }
    return next((group for name, group in where.items() if word in lists[name]), "other")


def pocket_cause(word: str) -> bool:
    """Is it an occupation or a studied word: what decides in the pocket world whether the asker
    fits the question?
    """
    return word in _pocket()["occupation"] or word in _pocket()["studied"]


@cache
def _lists() -> dict[str, frozenset[str]]:
    raw = yaml.safe_load((Path(__file__).with_name("groups.yaml")).read_text(encoding="utf-8"))
    return {name: frozenset(text.split()) for name, text in raw.items()}


def text_group(word: str) -> str:
    """By the short lists of groups.yaml, which states their limits, a plural as its singular; then
    by the endings of occupations.

    >>> [text_group(word) for word in ("students", "historian", "woman", "curious", "river", "the")]
    ['occupation', 'occupation', 'demographic', 'trait', 'other', 'other']
    """
    lists, forms = (
        _lists(),
        {word, word[:-1] if word.endswith("s") and not word.endswith("ss") else word},
    )
    for group in ("demographic", "trait", "interest", "occupation"):
        if forms & lists[group]:
            return group
    named = [form for form in forms if len(form) > 4 and form.endswith(OCCUPATION_ENDINGS)]
    return (
        "occupation"
        if named and not forms & (lists["not occupations"] | ENGLISH_STOP_WORDS)
        else "other"
    )

"""Groups of persona words: by the facts of a made world, or on real text by lists and endings."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

GROUPS = ("occupation", "interest", "demographic", "trait", "other")
FACT_GROUPS = {  # what a persona of a made world may state -> the group of its words
    "occupation": "occupation",
    "studies": "interest",
    "hobby": "interest",
    "demographic": "demographic",
    "style": "trait",
}
CAUSE = "occupation or studied word"  # what decides there whether the asker fits the question
CAUSE_FACTS = ("occupation", "studies")
TOKEN = r"\w\w+"
OCCUPATION_ENDINGS = ("er", "or", "ist", "ian", "man", "woman")


def tokens(text: str) -> list[str]:
    """The words of a text.

    >>> tokens("A 60-year-old retired cop")
    ['60', 'year', 'old', 'retired', 'cop']
    """
    return re.findall(TOKEN, text.lower())


def facts_by_word(facts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Word -> the fact that it states; the first of FACT_GROUPS where it may state several.

    facts: fact -> all that personas may state of it. ValueError for an unknown fact.

    >>> facts_by_word({"hobby": ["board games"], "occupation": ["games designer"]})
    {'games': 'occupation', 'designer': 'occupation', 'board': 'hobby'}
    """
    if unknown := set(facts) - set(FACT_GROUPS):
        raise ValueError(f"unknown facts {sorted(unknown)}, expected some of {list(FACT_GROUPS)}")
    by_word = {}
    for fact in FACT_GROUPS:
        for text in facts.get(fact, ()):
            for word in tokens(text):
                by_word.setdefault(word, fact)
    return by_word


@cache
def _lists() -> dict[str, frozenset[str]]:
    raw = yaml.safe_load(Path(__file__).with_name("groups.yaml").read_text(encoding="utf-8"))
    return {name: frozenset(text.split()) for name, text in raw.items()}


def text_group(word: str) -> str:
    """The group of a word of real text.

    By the short lists of groups.yaml, which states their limits, a plural as its singular; then by
    the endings of occupations.

    >>> [text_group(word) for word in ("students", "historian", "woman", "curious", "river", "the")]
    ['occupation', 'occupation', 'demographic', 'trait', 'other', 'other']
    """
    lists, forms = _lists(), {word}
    if word.endswith("s") and not word.endswith("ss"):
        forms.add(word[:-1])
    for group in ("demographic", "trait", "interest", "occupation"):
        if forms & lists[group]:
            return group
    if forms & (lists["not occupations"] | ENGLISH_STOP_WORDS):
        return "other"
    has_ending = any(len(form) > 4 and form.endswith(OCCUPATION_ENDINGS) for form in forms)
    return "occupation" if has_ending else "other"

"""The vocabulary of the pocket world, read from `lexicon.yaml`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Lexicon:
    """Words with their meanings, and what else questions and personas are made of.

    occupations, cues: by field.  words: word -> field -> accepted glosses.  units: word -> field ->
    [value of one, unit].  styles: reply preference -> how such a reply begins.
    """

    occupations: dict[str, list[str]]
    cues: dict[str, list[str]]
    words: dict[str, dict[str, list[str]]]
    units: dict[str, dict[str, list]]
    hobbies: list[str]
    styles: dict[str, str]
    plain_people: list[str]


@cache
def lexicon() -> Lexicon:
    """The lexicon, read once."""
    raw = yaml.safe_load((Path(__file__).parent / "lexicon.yaml").read_text(encoding="utf-8"))
    words = {}
    for word, senses in raw["words"].items():
        words[word] = {field: glosses.split(" | ") for field, glosses in senses.items()}
    return Lexicon(
        occupations={name: entry["occupations"] for name, entry in raw["fields"].items()},
        cues={name: entry["cues"] for name, entry in raw["fields"].items()},
        words=words,
        units=raw["units"],
        hobbies=raw["hobbies"],
        styles=raw["styles"],
        plain_people=raw["plain_people"],
    )


def persona_facts() -> dict[str, list[str]]:
    """What personas may state, by fact; "demographic" are people without a profession."""
    lex = lexicon()
    return {
        "occupation": [job for jobs in lex.occupations.values() for job in jobs],
        "studies": [*lex.words, *lex.units],
        "hobby": lex.hobbies,
        "demographic": lex.plain_people,
        "style": list(lex.styles),
    }

"""The nouns of the project: an item (question), a persona, a reasoning mode."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum


class Mode(StrEnum):
    """A reasoning mode [Eq. 1]; the value is what records and tables print."""

    GENERAL = "general"
    PERSONALIZED = "personalized"

    @property
    def tag(self) -> str:
        return {"general": "[General_mode]", "personalized": "[Personalized_mode]"}[self.value]


KINDS = ("objective", "personalized")
ANSWER_TYPES = ("choice", "text", "math", "label")


@dataclass(frozen=True)
class Persona:
    """A user description in the form that follows "I am ", with what is known about it."""

    text: str
    facts: dict = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if not self.text.strip():
            raise ValueError("a Persona needs a text, found an empty one; pass None for 'no persona'")


@dataclass(frozen=True)
class Item:
    """One question with its gold answer. It does not know under which persona it will be asked.

    question: the text shown, options excluded.  options: option texts, empty for free answers.
    gold: the gold answer's text (for choices: the gold option's text).  aliases: other accepted texts.
    kind: objective | personalized.  answer_type: choice | text | math | label (how `benchmarks.grade` compares).
    aligned: the persona that fits the question (always the asker's own for personalized items), if there is one.
    """

    id: str
    benchmark: str
    kind: str
    answer_type: str
    question: str
    gold: str
    options: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    source: str = ""
    aligned: Persona | None = None
    facts: dict = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"item {self.id!r}: kind {self.kind!r}, expected one of {KINDS}")
        if self.answer_type not in ANSWER_TYPES:
            raise ValueError(f"item {self.id!r}: answer_type {self.answer_type!r}, expected one of {ANSWER_TYPES}")
        if self.answer_type == "choice" and self.gold not in self.options:
            raise ValueError(f"item {self.id!r}: gold {self.gold!r} is not among its options {self.options}")

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict) -> "Item":
        """The inverse of `to_dict` (JSON turns tuples into lists; they are turned back)."""
        row = dict(row)
        aligned = row.pop("aligned", None)
        row["options"], row["aliases"] = tuple(row["options"]), tuple(row["aliases"])
        return cls(aligned=Persona(**aligned) if aligned else None, **row)

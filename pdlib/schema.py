"""The nouns of the project: an item (question), a persona, a reasoning mode, a training example."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

RESERVED = ("none", "untagged")  # what records and logs say of a completion without a mode


@dataclass(frozen=True)
class Mode:
    """A reasoning mode: its name, as records and tables print it, and its tag.

    The tag is what a completion of this mode begins with. `Mode.GENERAL` and `Mode.PERSONALIZED`
    are the paper's two [Eq. 1]; `Mode.CLARIFY` asks back which reading is meant (ours). `ModeSet`
    says which modes belong together.
    """

    name: str
    tag: str
    GENERAL: ClassVar["Mode"]
    PERSONALIZED: ClassVar["Mode"]
    CLARIFY: ClassVar["Mode"]

    def __str__(self) -> str:
        return self.name


Mode.GENERAL = Mode("general", "[General_mode]")
Mode.PERSONALIZED = Mode("personalized", "[Personalized_mode]")
Mode.CLARIFY = Mode("clarify", "[Clarify_mode]")


class ModeSet(tuple[Mode, ...]):
    """The modes that one model chooses between, in order; two at least.

    The order is that of axis M of reward tensors. ValueError for one mode, for a name that is taken
    or that a log could not print, and for tags of which one holds another: where "[Think]" is a
    mode, "[Think]!" could not be told from it.

    >>> ModeSet([Mode("think", "[Think]"), Mode("quick", "[Quick]")]).names
    ('think', 'quick')
    """

    __slots__ = ()

    def __new__(cls, modes: Iterable[Mode]) -> "ModeSet":
        """Check that these modes can be told apart."""
        modes = tuple(modes)
        if len(modes) < 2:
            raise ValueError(f"{len(modes)} modes, expected two or more to choose between: {modes}")
        for mode in modes:
            _check_mode(mode)
        for one, other in itertools.permutations(modes, 2):
            if one.name == other.name:
                raise ValueError(f"two modes are called {one.name!r}, expected names that differ")
            if one.tag in other.tag:
                raise ValueError(
                    f"the tag {one.tag!r} of mode {one.name!r} is part of {other.tag!r}, that of "
                    f"{other.name!r}: no completion could tell them apart; choose other tags"
                )
        return super().__new__(cls, modes)

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> "ModeSet":
        """The modes of {name: tag}, as the setting `modes` and DualGRPOConfig have them."""
        if not isinstance(tags, Mapping):
            raise ValueError(
                f"modes are {tags!r}, expected their names with their tags, such as "
                '{"think": "[Think]", "quick": "[Quick]"}'
            )
        return cls(Mode(name, tag) for name, tag in tags.items())

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(mode.name for mode in self)

    @property
    def tags(self) -> dict[str, str]:
        """{name: tag}, the inverse of `of`."""
        return {mode.name: mode.tag for mode in self}

    def named(self, name: str) -> Mode:
        """The mode of that name; ValueError where there is none."""
        for mode in self:
            if mode.name == name:
                return mode
        raise ValueError(f"mode {name!r}, expected one of {', '.join(self.names)}")


def _check_mode(mode: Mode) -> None:
    """ValueError for a mode that could not be written, read back or logged."""
    if not isinstance(mode.name, str) or not re.fullmatch(r"\w[\w-]*", mode.name):
        raise ValueError(
            f"a mode is called {mode.name!r}, expected letters, digits, '_' and '-' only: records "
            "and logs use it in their names"
        )
    if mode.name in RESERVED:
        raise ValueError(f"a mode is called {mode.name!r}, which means that there is no mode")
    if not isinstance(mode.tag, str) or not mode.tag.strip() or mode.tag != mode.tag.strip():
        raise ValueError(
            f"the tag of mode {mode.name!r} is {mode.tag!r}, expected a text without space around "
            "it; a line break follows every tag by itself"
        )


PAPER_MODES = ModeSet([Mode.GENERAL, Mode.PERSONALIZED])

KINDS = ("objective", "personalized")
ANSWER_TYPES = ("choice", "text", "math", "label")


@dataclass(frozen=True)
class Persona:
    """A user description in the form that follows "I am ", with what is known about it."""

    text: str
    facts: dict = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if not self.text.strip():
            raise ValueError(
                "a Persona needs a text, found an empty one; pass None for 'no persona'"
            )


@dataclass(frozen=True)
class Item:
    """One question with its gold answer. It does not know under which persona it will be asked.

    kind: objective | personalized.
    answer_type: choice | text | math | label (how `benchmarks.grade` compares).
    question: the text shown, options excluded.
    gold: the gold answer's text (for choices: the gold option's text).
    options: option texts, empty for free answers.
    aliases: other accepted texts.
    aligned: the persona that fits the question (always the asker's own for personalized items), if
    there is one.
    unaligned: a persona made for this question that does not fit it; None where strangers are drawn
    from a pool.
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
    unaligned: Persona | None = None
    facts: dict = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"item {self.id!r}: kind {self.kind!r}, expected one of {KINDS}")
        if self.answer_type not in ANSWER_TYPES:
            raise ValueError(
                f"item {self.id!r}: answer_type {self.answer_type!r}, "
                f"expected one of {ANSWER_TYPES}"
            )
        if self.answer_type == "choice" and self.gold not in self.options:
            raise ValueError(
                f"item {self.id!r}: gold {self.gold!r} is not among its options {self.options}"
            )

    def to_dict(self) -> dict:
        """All fields as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict) -> "Item":
        """The inverse of `to_dict` (JSON turns tuples into lists; they are turned back)."""
        row = dict(row)
        people = {name: row.pop(name, None) for name in ("aligned", "unaligned")}
        row["options"], row["aliases"] = tuple(row["options"]), tuple(row["aliases"])
        return cls(
            **{name: Persona(**person) if person else None for name, person in people.items()},
            **row,
        )


@dataclass(frozen=True)
class Example:
    """One training question, who asks it under which condition, and (SFT) its trajectory.

    source: the training source it was drawn from.
    chance: the judge's accuracy with the persona; gain: that minus its accuracy without any
    [paper 3.2].
    mode, reasoning, answer: the trajectory.
    history: earlier questions of the same asker, each with the completion it got.
    learns_mode: does SFT learn the mode's tag? Otherwise the tag is given, like the prompt.
    """

    item: Item
    persona: Persona | None
    condition: str
    source: str = ""
    chance: float | None = None
    gain: float | None = None
    mode: Mode | None = None
    reasoning: str = ""
    answer: str = ""
    history: tuple[tuple[Item, str], ...] = ()
    learns_mode: bool = True

    def without_mode(self) -> "Example":
        """The same trajectory for a model without modes: no tag."""
        return replace(self, mode=None)

    def to_row(self) -> dict:
        """A flat row for parquet; `from_row` is its inverse."""
        persona = self.persona and json.dumps(asdict(self.persona))
        turns = [[item.to_dict(), completion] for item, completion in self.history]
        return {
            "source": self.source,
            "benchmark": self.item.benchmark,
            "kind": self.item.kind,
            "condition": self.condition,
            "chance": self.chance,
            "gain": self.gain,
            "mode": self.mode.name if self.mode else None,
            "reasoning": self.reasoning,
            "answer": self.answer,
            "item": json.dumps(self.item.to_dict()),
            "persona": persona,
            "history": json.dumps(turns) if turns else None,
            "learns_mode": self.learns_mode,
        }

    @classmethod
    def from_row(cls, row: dict, mode_set: ModeSet = PAPER_MODES) -> "Example":
        """The example of a row; what parquet turned into NaN is None again.

        mode_set: the modes by whose names the row calls its own; their tags are those that are
        trained.
        """
        row = {key: None if value != value else value for key, value in row.items()}
        persona = Persona(**json.loads(row["persona"])) if row["persona"] else None
        turns = json.loads(row.get("history") or "[]")
        learns_mode = row.get("learns_mode")  # sets written before it existed have None
        history = tuple((Item.from_dict(item), completion) for item, completion in turns)
        return cls(
            Item.from_dict(json.loads(row["item"])),
            persona,
            row["condition"],
            row["source"],
            row["chance"],
            row["gain"],
            mode_set.named(row["mode"]) if row["mode"] else None,
            row["reasoning"],
            row["answer"],
            history,
            True if learns_mode is None else bool(learns_mode),
        )

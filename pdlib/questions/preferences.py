"""Preference questions: which of two answers suits the asker, who is described in words."""

import hashlib
import re
from collections.abc import Iterator

from pdlib.questions import rows
from pdlib.questions.hub import HUB
from pdlib.schema import Item, Persona

PAIRWISE = "Which of these two answers suits me better?"
PROFILE_LEAD = "someone with this profile: "


def pairwise(question: str) -> str:
    """The question of an item whose options are two answers to `question`."""
    return f"{question}\n\n{PAIRWISE}"


def no_preference(question: str, better: str, worse: str) -> str | None:
    """Why a row says nothing of what someone prefers, or None."""
    if not (question and better and worse):
        return "an empty question or answer"
    return "both answers are the same" if better == worse else None


def make_item(
    name: str, question: str, better: str, worse: str, persona: Persona, facts: dict
) -> Item | str:
    """The item of a row of data set `name`, or why the row says nothing of a preference."""
    if reason := no_preference(question, better, worse):
        return reason
    identity = f"{name}-{rows.digest(question, better, worse, persona.text)}"
    return Item(
        identity,
        name,
        "personalized",
        "choice",
        pairwise(question),
        better,
        shuffled(identity, better, worse),
        source=HUB[name].hub,
        aligned=persona,
        facts=facts,
    )


def shuffled(identity: str, better: str, worse: str) -> tuple[str, str]:
    """The two texts in an order by the item's id alone, so that the position tells nothing."""
    swap = int(hashlib.sha256(f"position|{identity}".encode()).hexdigest(), 16) % 2
    return (worse, better) if swap else (better, worse)


def profile(location: str, persona: object) -> str:
    """A person as a text that follows "I am ", from a text or from a record.

    A record has keys and values; a value may be a record again.

    >>> profile("here", {"Name": "Li", "Preference": {"food": ["rice", "tea"]}})
    'someone with this profile: Name: Li; Preference, food: rice, tea'
    """
    if isinstance(persona, str) and persona.strip():
        text = re.sub(r"^(I am|I'm|I’m|You are)\s+", "", persona.strip(), flags=re.IGNORECASE)
        follows = text != persona.strip() or re.match(r"(an?|the|someone)\s", text, re.IGNORECASE)
        return text if follows else PROFILE_LEAD + text
    lines = list(_leaves("", persona)) if isinstance(persona, dict) else []
    if not lines:
        raise ValueError(
            f"{location}: a persona must be a text or an object with some value, found {persona!r}"
        )
    return PROFILE_LEAD + "; ".join(lines)


def _leaves(key: str, value: object) -> Iterator[str]:
    """The lines "key: value" of a record; keys within keys are joined by commas."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}, {name}" if key else str(name), inner)
        return
    entries = value if isinstance(value, list) else [value]
    shown = ", ".join(str(entry).strip() for entry in entries if entry not in (None, ""))
    if shown:
        yield f"{key}: {shown}"

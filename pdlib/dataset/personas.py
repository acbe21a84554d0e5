"""Which persona asks an item under which condition; written personas give no answer away."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from pdlib.dataset.experts import Expert
from pdlib.questions.grading import normalize
from pdlib.questions.kinds import check_objective
from pdlib.schema import Item, Persona

Asked = tuple[str, Item, Persona | None]  # (condition, the item as shown, who asks)

CONDITIONS = ("none", "unaligned", "aligned")  # the paper's
COUNTERFACTUAL = (  # those of `variants`
    *CONDITIONS,
    "conflicting",
    "swapped",
    "long",
    "none reordered",
    "unaligned reordered",
    "aligned reordered",
)
# what a persona made of memories begins with; it follows "I am "
REMEMBERED = "somebody of whom you remember this: "
RETRIES = 2  # how often a persona that gives the answer away is asked for anew
WRITTEN_NONE, GIVES_AWAY = "the expert wrote none", "gives the answer away"
TRIVIAL = {
    "yes",
    "no",
    "maybe",
    "true",
    "false",
    "none",
    "both",
    "unknown",
    "all of above",
    "none of above",
}


def of_memories(memories: Sequence[str]) -> Persona:
    """What an assistant remembers of somebody, one sentence per memory, as a persona.

    >>> of_memories(["The user is a nurse.", "The user likes tea. "]).text
    'somebody of whom you remember this: The user is a nurse. The user likes tea.'
    """
    text = REMEMBERED + " ".join(memory.strip() for memory in memories)
    return Persona(text, {"memories": list(memories)})


def assign(item: Item, condition: str, pool: Sequence[Persona]) -> Persona | None:
    """The persona that asks `item`: none, its aligned one, or its unaligned one.

    An item without an unaligned persona is asked by one of `pool`, by the item's id, never by its
    aligned one. ValueError where there is no such persona.
    """
    if condition == "none":
        return None
    if condition == "aligned":
        if item.aligned is None:
            raise ValueError(
                f"item {item.id!r} has no aligned persona; evaluate it under 'none' and 'unaligned'"
            )
        return item.aligned
    if condition != "unaligned":
        raise ValueError(f"unknown persona condition {condition!r}, expected one of {CONDITIONS}")
    if item.unaligned is not None:
        return item.unaligned
    start = int(hashlib.sha256(item.id.encode()).hexdigest(), 16)
    for step in range(len(pool)):
        persona = pool[(start + step) % len(pool)]
        if item.aligned is None or persona.text != item.aligned.text:
            return persona
    raise ValueError(
        f"item {item.id!r}: no persona but its own among {len(pool)}; an unaligned one needs a "
        "larger pool"
    )


def gives_away(item: Item, persona: Persona) -> str | None:
    """Why the persona's text gives the answer to `item` away, or None.

    It does when it holds an accepted answer as whole words, or, for a choice, words that only the
    gold option has and no word that only another has. Words of the question itself give nothing
    away. Single letters, numbers below 100, yes/no and the like stand in too many texts to tell
    anything, and pass.
    """
    described, question = (f" {normalize(text)} " for text in (persona.text, item.question))
    for answer in map(normalize, (item.gold, *item.aliases)):
        small_number = answer.isdecimal() and int(answer) < 100
        trivial = len(answer) < 2 or answer in TRIVIAL or small_number
        if not trivial and f" {answer} " in described and f" {answer} " not in question:
            return f"it holds the answer {answer!r}"
    named = {}  # option -> the words of the persona that only this option has
    for option in item.options:
        others = [other for other in item.options if other != option]
        distinctive = content_words(option) - content_words(item.question, *others)
        if words := distinctive & content_words(persona.text):
            named[option] = words
    if set(named) == {item.gold}:
        return f"only the right option has its words {sorted(named[item.gold])}"
    return None


def content_words(*texts: str) -> set[str]:
    """The words of four letters and more that are not among the commonest."""
    words = {word for text in texts for word in normalize(text).split()}
    return {word for word in words if len(word) > 3 and not word.isdecimal()} - ENGLISH_STOP_WORDS


def write_aligned(items: Sequence[Item], expert: Expert) -> tuple[dict[str, Persona], Counter]:
    """(item id -> aligned persona that `expert` wrote, number of dropped items by reason).

    The expert sees the question alone. A persona that gives the answer away is asked for anew up to
    RETRIES times, then dropped. ValueError for personalised items: they carry their asker's own
    persona.
    """
    check_objective(items, "their persona is the asker's own")
    return _write(items, expert.personas)


def write_rivals(items: Sequence[Item], expert: Expert) -> tuple[dict[str, Persona], Counter]:
    """(item id -> persona of another reading of the question, number of dropped items by reason).

    As in `write_aligned`.
    """
    return _write(items, expert.rivals)


def _write(
    items: Sequence[Item], ask: Callable[[Sequence[Item], int], list[Persona | None]]
) -> tuple[dict[str, Persona], Counter]:
    written, refused, waiting = {}, {}, list(items)
    for attempt in range(1 + RETRIES):
        personas = ask(waiting, attempt) if waiting else []
        for item, persona in zip(waiting, personas, strict=True):
            if persona is None:
                refused[item.id] = WRITTEN_NONE
            elif gives_away(item, persona):
                refused[item.id] = GIVES_AWAY
            else:
                written[item.id] = persona
                refused.pop(item.id, None)
        waiting = [item for item in waiting if refused.get(item.id) == GIVES_AWAY]
    return written, Counter(refused.values())

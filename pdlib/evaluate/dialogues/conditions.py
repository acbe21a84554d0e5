"""The mode tags of earlier answers, and the names that dialogues have in records."""

import re

from pdlib import modes
from pdlib.schema import PAPER_MODES, Item

History = tuple[tuple[Item, str], ...]  # earlier questions, each with the completion it got
TAGS = ("kept", "removed", "swapped")  # what is done to the tags of the earlier completions

_CONDITION = re.compile(
    r"(?P<who>\w+), (alone|(?P<first>\w+) first, (?P<before>\w+)(, tags (?P<tags>\w+))?)"
)


def retag(completion: str, tags: str) -> str | None:
    r"""The completion with its mode tag kept, removed, or swapped for the other mode's.

    None where there is no tag to take away.

    >>> retag("[General_mode]\nSo.", "swapped"), retag("[General_mode]\nSo.", "removed")
    ('[Personalized_mode]\nSo.', 'So.')
    >>> retag("So.", "removed") is None
    True
    """
    if tags not in TAGS:
        raise ValueError(f"tags {tags!r}, expected one of {TAGS}")
    if tags == "kept":
        return completion
    mode = modes.parse(completion).mode
    if mode is None or not completion.startswith(mode.tag):
        return None
    content = completion.removeprefix(mode.tag).removeprefix("\n")
    (other,) = set(PAPER_MODES) - {mode}
    return content if tags == "removed" else f"{other.tag}\n{content}"


def condition(who: str, history: History = (), tags: str = "kept") -> str:
    """The name in records: who asks, the kind of the earlier questions, how they were answered.

    That is the mode they were answered in, "mixed", or "none" where some were in no mode.

    >>> condition("aligned")
    'aligned, alone'
    """
    if not history:
        return f"{who}, alone"
    answered_in = {modes.parse(completion).mode for _, completion in history}
    if None in answered_in:
        before = "none"
    elif len(answered_in) > 1:
        before = "mixed"
    else:
        before = answered_in.pop().name
    name = f"{who}, {history[0][0].kind} first, {before}"
    return name if tags == "kept" else f"{name}, tags {tags}"


def parse_condition(name: str) -> dict[str, str]:
    """What `condition` put into a name: {who, first, before, tags}.

    The texts are empty for a question alone. ValueError for other names.

    >>> parse_condition("aligned, objective first, general, tags swapped")
    {'who': 'aligned', 'first': 'objective', 'before': 'general', 'tags': 'swapped'}
    """
    match = _CONDITION.fullmatch(name)
    if not match:
        raise ValueError(
            f"condition {name!r} is none of a dialogue, expected one such as 'aligned, objective "
            "first, general'"
        )
    fields = match.groupdict(default="")
    if fields["first"] and not fields["tags"]:
        fields["tags"] = "kept"
    return fields

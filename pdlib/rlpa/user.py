"""A user with a hidden profile who talks in turns, whoever plays the part."""

from dataclasses import dataclass

from pdlib.rlpa.profile import Profile
from pdlib.schema import Item, Persona

VERSION = 2  # of `pocket_user.script`: with another one, all dialogues are held again
KINDS = ("steady", "change", "contradiction")  # of dialogues


@dataclass(frozen=True)
class Turn:
    """One message of the user.

    revealed: the part of the hidden profile that was told so far.  whole: all of it, as it now is.

    The rest is known of the pocket user only. statements: what is said of the user, see
    `pocket_user.Statement`.  about: the slot that the right reply hangs on.  word: the word asked
    about.  accepted: the right replies for what was revealed, the usual one first.
    """

    text: str
    revealed: Profile
    whole: Profile
    statements: tuple = ()
    about: str = ""
    word: str = ""
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """Who talks: a person with a hidden profile.

    turns: the script of the pocket user, who does not react; empty for a user behind an endpoint.
    persona, profile: who they are in the end.  item: a question to ask afterwards.  stranger: who
    talks in the first half, where that is another person.
    """

    id: str
    kind: str
    turns: tuple[Turn, ...]
    persona: Persona
    profile: Profile
    item: Item | None = None
    stranger: Persona | None = None

"""The rewards of a turn: Profile Reward and Response Reward [RLPA 3.2, 3.3], and the judge that
gives them by rule.

R = R_profile + R_response, both in [0, 1]; 0 for an answer in the wrong format. As in the authors'
code, with equal weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pdlib import modes
from pdlib.questions import grading
from pdlib.rlpa import profile as profiles
from pdlib.rlpa.profile import Profile, Written
from pdlib.rlpa.user import ASK_BACK, Turn, reply_to


@dataclass(frozen=True)
class Said:
    """A completion, read: the inferred profile and the reply; `error` as `modes.parse` gives it."""

    written: Written
    reply: str | None
    error: str | None


@dataclass(frozen=True)
class Reward:
    profile: float
    response: float

    @property
    def total(self) -> float:
        return self.profile + self.response


def read(completion: str) -> Said:
    """The inferred profile stands where a trajectory has its reasoning, the reply where it has its
    answer.

    >>> read('likes: chess\\n\\n<answer>{"answer": "try chess"}</answer>').reply
    'try chess'
    """
    parsed = modes.parse(completion, require_mode=False)
    body = completion.split(modes.ANSWER_OPEN)[0] if parsed.error is None else ""
    return Said(profiles.read(body), parsed.answer, parsed.error)


def write(profile: Profile, reply: str) -> str:
    """The completion that `read` reads."""
    return modes.completion_text(None, profiles.text(profile), reply)


def fits(reply: str | None, turn: Turn, profile: Profile) -> bool:
    """Is this the reply that `profile` asks for in this turn? Compared as free answers are."""
    accepted = {grading.normalize(text) for text in reply_to(turn.about, turn.word, profile)}
    return reply is not None and grading.normalize(reply) in accepted


class Judge(Protocol):
    """Whoever gives the rewards of some turns; said: what the completions say, one a turn."""

    def rewards(self, turns: Sequence[Turn], said: Sequence[Said]) -> list[Reward]: ...


def asks_again(reply: str | None, turn: Turn) -> bool:
    """Does the reply ask for what the user has told? Among the paper's five criteria that fails
    logic and informativeness.
    """
    return turn.about in turn.revealed and grading.normalize(reply or "") == grading.normalize(
        ASK_BACK
    )


class Rules:
    """The pocket judge: F1 of the inferred with the revealed profile; 1 for a reply that is right
    for the inferred profile, else 0.

    Asking for what was told earns 0, whatever was inferred: else leaving slots out would make
    replies easy, and RL finds that out.
    """

    def rewards(self, turns: Sequence[Turn], said: Sequence[Said]) -> list[Reward]:
        return [
            Reward(0.0, 0.0)
            if one.error
            else Reward(
                profiles.agreement(one.written, turn.revealed).f1,
                float(fits(one.reply, turn, one.written.slots) and not asks_again(one.reply, turn)),
            )
            for turn, one in zip(turns, said, strict=True)
        ]

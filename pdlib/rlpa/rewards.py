"""The rewards of a turn: Profile Reward and Response Reward [RLPA 3.2, 3.3].

R = R_profile + R_response, both in [0, 1]; 0 for an answer in the wrong format. As in the authors'
code, with equal weights. Judges are `pocket_judge.RuleJudge` and `real.EndpointJudge`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pdlib import modes
from pdlib.rlpa import profile as profiles
from pdlib.rlpa.profile import Profile, WrittenProfile
from pdlib.rlpa.user import Turn


@dataclass(frozen=True)
class ParsedCompletion:
    """The inferred profile and the reply of a completion; `error` as `modes.parse` gives it."""

    written: WrittenProfile
    reply: str | None
    error: str | None


@dataclass(frozen=True)
class Reward:
    """The two rewards of a completion, each in [0, 1]."""

    profile: float
    response: float

    @property
    def total(self) -> float:
        """Their sum, by which the best rollout of a turn is found."""
        return self.profile + self.response


class Judge(Protocol):
    """Whoever gives the rewards of some turns."""

    def rewards(
        self, turns: Sequence[Turn], completions: Sequence[ParsedCompletion]
    ) -> list[Reward]:
        """The rewards of one completion per turn."""


def read(completion: str) -> ParsedCompletion:
    r"""The profile stands where a trajectory has its reasoning, the reply where it has its answer.

    >>> read('likes: chess\n\n<answer>{"answer": "try chess"}</answer>').reply
    'try chess'
    """
    parsed = modes.parse(completion, require_mode=False)
    body = completion.split(modes.ANSWER_OPEN)[0] if parsed.error is None else ""
    return ParsedCompletion(profiles.read(body), parsed.answer, parsed.error)


def write(profile: Profile, reply: str) -> str:
    """The completion that `read` reads."""
    return modes.completion_text(None, profiles.text(profile), reply)

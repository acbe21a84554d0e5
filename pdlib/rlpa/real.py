"""A user and a judge behind an OpenAI-compatible endpoint, in the places of the pocket world's
[RLPA 3.1-3.3, App. C.2, C.4, H].

Departures: the paper's prompts are Chinese, and it has one model for each role; these are ours, in
English, and one endpoint may play all. Here the gold profile is the whole hidden one, as in the
paper: what a free speaker has revealed, no rule can tell.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence

from pdlib.dataset.endpoint import Endpoint, Messages
from pdlib.rlpa import profile as profiles
from pdlib.rlpa.profile import Agreement, Profile
from pdlib.rlpa.rewards import Reward, Said, read
from pdlib.rlpa.talk import Talk
from pdlib.rlpa.user import KINDS, Turn, User
from pdlib.schema import Persona

GREETING = "Hello"  # the first message of every user [App. C.2]
_SLOTS = """Somebody describes themselves: I am {persona}.

Fill in these slots about this person: {slots}. Where nothing is said, supply something plausible that fits; never write that it is \
unknown. Reply in English with one JSON object, each slot a key with a short text as its value, and nothing else."""
_PLAY = """You play a person who has just begun to talk to an assistant. Who you are:
{profile}

The talk so far:
{history}

Write your next message, one to three sentences in everyday English. Reveal who you are little by little: at most one or two of the \
lines above in a message, and none before the talk gives reason to. Stay true to them. Now and then ask for something that somebody \
like you would want. Do not say that you play a part. Reply with the message alone."""
_COUNT = """Two profiles of a person.

Profile A:
{inferred}

Profile B:
{gold}

How many lines of profile B are said by profile A as well? Compare the meaning, not the wording; count a line of B once. Reply with the \
number in \\boxed{{}}."""
_REPLY = """You are this person:
{profile}

You said: {message}
The reply: {reply}

Judge the reply strictly by five criteria. Naturalness: short, fluent, as people talk. Relevance: to your interests and needs. Logic: it \
answers what you said. Engagement: you want to go on. Informativeness: more than repeating or flattering you. If it meets all five, reply \
with \\boxed{{1}}, else with \\boxed{{0}}."""
_BOXED = re.compile(r"\\boxed\{\s*(\d+)\s*\}")


class EndpointUser:
    """Plays users with hidden profiles; what could not be had is counted by reason in `failed`.

    middle: the number of turns that whoever talked `before` has, of users who have one.
    """

    def __init__(
        self, endpoint: Endpoint, slots: Sequence[str] = profiles.PAPER_SLOTS, middle: int = 5
    ):
        self.endpoint, self.slots, self.middle, self.failed = (
            endpoint,
            tuple(slots),
            middle,
            Counter(),
        )

    def filled(self, personas: Sequence[Persona]) -> list[Persona | None]:
        """Personas with facts["slots"] filled by the endpoint [App. C.1]; None, and counted, where
        these cannot be read.
        """
        asked = [
            [
                {
                    "role": "user",
                    "content": _SLOTS.format(persona=p.text, slots=", ".join(self.slots)),
                }
            ]
            for p in personas
        ]
        out = []
        for persona, said in zip(personas, self.endpoint.ask(asked), strict=True):
            found = self._read(said)
            if found is None:
                self.failed["no answer" if said is None else "slots cannot be read"] += 1
            out.append(Persona(persona.text, persona.facts | {"slots": found}) if found else None)
        return out

    def users(self, personas: Sequence[Persona], name: str = "user") -> list[User]:
        """Users who stay who they are; without those whose slots cannot be read."""
        return [
            User(f"{name}-{at}", KINDS[0], (), who)
            for at, who in enumerate(self.filled(personas))
            if who
        ]

    def _read(self, said: str | None) -> Profile | None:
        start, end = (said or "").find("{"), (said or "").rfind("}")
        try:
            found = json.loads(said[start : end + 1]) if start >= 0 else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        texts = {
            slot: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            for slot, value in found.items()
        }
        return {slot: texts[slot] for slot in self.slots if texts.get(slot, "").strip()} or None

    def __call__(self, talks: Sequence[Talk]) -> list[Turn]:
        """The users' next turns: a greeting, then what the endpoint says; RuntimeError where it
        says nothing: no turn can be skipped.
        """
        going = [talk for talk in talks if talk.turns]
        said = iter(self.endpoint.ask([self._play(talk) for talk in going]) if going else [])
        out = []
        for talk in talks:
            text = next(said) if talk.turns else GREETING
            if not text:
                raise RuntimeError(
                    f"the endpoint gave user {talk.user.id!r} no next message; what it did answer is kept: run again"
                )
            hidden = self._hidden(talk)
            out.append(Turn(text, (), "", "", hidden, hidden))
        return out

    def _hidden(self, talk: Talk) -> Profile:
        who = (
            talk.user.before
            if talk.user.before and len(talk.turns) < self.middle
            else talk.user.persona
        )
        return who.facts["slots"]

    def _play(self, talk: Talk) -> Messages:
        return [
            {
                "role": "user",
                "content": _PLAY.format(profile=_lines(self._hidden(talk)), history=_history(talk)),
            }
        ]


class EndpointJudge:
    """Counts the slots that agree, and judges replies by the five criteria for the *inferred*
    profile; a verdict it does not give is 0, counted in `failed`.
    """

    def __init__(self, endpoint: Endpoint):
        self.endpoint, self.failed = endpoint, Counter()

    def rewards(self, turns: Sequence[Turn], said: Sequence[Said]) -> list[Reward]:
        whole = [at for at, one in enumerate(said) if not one.error]
        asked: list[Messages] = []
        for at in whole:
            turn, one = turns[at], said[at]
            inferred = _lines(one.written.slots)
            asked.append(
                [
                    {
                        "role": "user",
                        "content": _COUNT.format(inferred=inferred, gold=_lines(turn.whole)),
                    }
                ]
            )
            asked.append(
                [
                    {
                        "role": "user",
                        "content": _REPLY.format(
                            profile=inferred, message=turn.text, reply=one.reply
                        ),
                    }
                ]
            )
        numbers = iter([self._number(text) for text in self.endpoint.ask(asked)] if asked else [])
        out = [Reward(0.0, 0.0)] * len(said)
        for at in whole:
            matched, right = next(numbers), next(numbers)
            matched = min(
                matched, said[at].written.lines, len(turns[at].whole)
            )  # a judge that counts beyond what there is
            lines, gold = said[at].written.lines, len(turns[at].whole)
            found = Agreement(matched / lines if lines else 0.0, matched / gold if gold else 0.0)
            out[at] = Reward(found.f1, float(right == 1))
        return out

    def _number(self, text: str | None) -> int:
        found = _BOXED.findall(text or "")
        if not found:
            self.failed["no answer" if text is None else "no number in a box"] += 1
        return int(found[-1]) if found else 0


def training_users(player: EndpointUser, personas: Sequence[Persona], seed: int):
    """next_user(k) for `train.run_rl`: the personas in an order of this seed, over and over;
    ValueError where no slots could be had.
    """
    found = player.users(personas, f"rl-{seed}")
    if not found:
        raise ValueError(
            f"the endpoint filled no slots of {len(personas)} personas ({dict(player.failed)}); try another model"
        )
    random.Random(seed).shuffle(found)
    return lambda k: found[k % len(found)]


def _lines(profile: Profile) -> str:
    return "\n".join(f"- {slot}: {value}" for slot, value in profile.items()) or "(nothing)"


def _history(talk: Talk) -> str:
    """The talk in the user's eyes: replies without inferred profiles."""
    lines = []
    for turn, said in zip(talk.turns, talk.said):
        lines += [f"You: {turn.text}", f"Assistant: {read(said).reply or '(nothing)'}"]
    return "\n".join(lines)

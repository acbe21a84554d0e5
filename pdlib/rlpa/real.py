"""A user and a judge behind an OpenAI-compatible endpoint [RLPA 3.1-3.3, App. C.2, C.4, H].

They take the places of the pocket world's. Departures: the paper's prompts are Chinese, and it has
one model for each role; these are ours, in English, and one endpoint may play all. Here the gold
profile is the whole hidden one, as in the paper: what a free speaker has revealed, no rule can
tell.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence

from pdlib.dataset.endpoint import Endpoint, Messages
from pdlib.rlpa.dialogue import Dialogue
from pdlib.rlpa.profile import PAPER_SLOTS, Agreement, Profile
from pdlib.rlpa.rewards import ParsedCompletion, Reward, read
from pdlib.rlpa.user import KINDS, Turn, User
from pdlib.schema import Persona

GREETING = "Hello"  # the first message of every user [App. C.2]
_SLOTS = (
    "Somebody describes themselves: I am {persona}.\n\n"
    "Fill in these slots about this person: {slots}. Where nothing is said, supply something "
    "plausible that fits; never write that it is unknown. Reply in English with one JSON object, "
    "each slot a key with a short text as its value, and nothing else."
)
_PLAY = (
    "You play a person who has just begun to talk to an assistant. Who you are:\n{profile}\n\n"
    "The talk so far:\n{history}\n\n"
    "Write your next message, one to three sentences in everyday English. Reveal who you are "
    "little by little: at most one or two of the lines above in a message, and none before the "
    "talk gives reason to. Stay true to them. Now and then ask for something that somebody like "
    "you would want. Do not say that you play a part. Reply with the message alone."
)
_COUNT = (
    "Two profiles of a person.\n\nProfile A:\n{inferred}\n\nProfile B:\n{gold}\n\n"
    "How many lines of profile B are said by profile A as well? Compare the meaning, not the "
    "wording; count a line of B once. Reply with the number in \\boxed{{}}."
)
_REPLY = (
    "You are this person:\n{profile}\n\nYou said: {message}\nThe reply: {reply}\n\n"
    "Judge the reply strictly by five criteria. Naturalness: short, fluent, as people talk. "
    "Relevance: to your interests and needs. Logic: it answers what you said. Engagement: you want "
    "to go on. Informativeness: more than repeating or flattering you. If it meets all five, reply "
    "with \\boxed{{1}}, else with \\boxed{{0}}."
)
_BOXED = re.compile(r"\\boxed\{\s*(\d+)\s*\}")


def _request(template: str, **values: str) -> Messages:
    return [{"role": "user", "content": template.format(**values)}]


def persona(profile: Profile) -> Persona:
    """The asker whom an inferred profile describes: its slots are told as they are."""
    slots = "; ".join(f"{slot}: {value}" for slot, value in profile.items())
    return Persona(f"somebody of whom this is known: {slots}")


class EndpointUser:
    """Plays users with hidden profiles; what could not be had is counted by reason in `failed`.

    middle: the number of turns that a `stranger` has, of users who have one.
    """

    def __init__(self, endpoint: Endpoint, slots: Sequence[str] = PAPER_SLOTS, middle: int = 5):
        self.endpoint, self.slots, self.middle = endpoint, tuple(slots), middle
        self.failed: Counter = Counter()

    def filled(self, personas: Sequence[Persona]) -> list[Persona | None]:
        """Personas with facts["slots"] filled by the endpoint [App. C.1].

        None, and counted, where these cannot be read.
        """
        names = ", ".join(self.slots)
        requests = [_request(_SLOTS, persona=persona.text, slots=names) for persona in personas]
        filled = []
        for persona, answer in zip(personas, self.endpoint.ask(requests), strict=True):
            slots = self._read(answer)
            if slots is None:
                self.failed["no answer" if answer is None else "slots cannot be read"] += 1
                filled.append(None)
            else:
                filled.append(Persona(persona.text, persona.facts | {"slots": slots}))
        return filled

    def users(self, personas: Sequence[Persona], name: str = "user") -> list[User]:
        """Users who stay who they are; without those whose slots cannot be read."""
        return [
            User(f"{name}-{at}", KINDS[0], (), persona, persona.facts["slots"])
            for at, persona in enumerate(self.filled(personas))
            if persona
        ]

    def _read(self, answer: str | None) -> Profile | None:
        text = answer or ""
        start, end = text.find("{"), text.rfind("}")
        try:
            slots = json.loads(text[start : end + 1]) if start >= 0 else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(slots, dict):
            return None
        profile = {}
        for slot in self.slots:
            value = slots.get(slot, "")
            value = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            if value.strip():
                profile[slot] = value
        return profile or None

    def __call__(self, dialogues: Sequence[Dialogue]) -> list[Turn]:
        """The users' next turns: a greeting, then what the endpoint says.

        RuntimeError where it says nothing: no turn can be skipped.
        """
        requests = [
            _request(_PLAY, profile=_lines(self._hidden(dialogue)), history=_history(dialogue))
            for dialogue in dialogues
            if dialogue.turns
        ]
        messages = iter(self.endpoint.ask(requests) if requests else [])
        turns = []
        for dialogue in dialogues:
            text = next(messages) if dialogue.turns else GREETING
            if not text:
                raise RuntimeError(
                    f"the endpoint gave user {dialogue.user.id!r} no next message; what it did "
                    "answer is kept: run again"
                )
            hidden = self._hidden(dialogue)
            turns.append(Turn(text, hidden, hidden))
        return turns

    def _hidden(self, dialogue: Dialogue) -> Profile:
        user = dialogue.user
        is_strangers_turn = user.stranger and len(dialogue.turns) < self.middle
        return user.stranger.facts["slots"] if is_strangers_turn else user.profile


class EndpointJudge:
    """Counts the slots that agree, and judges replies by the five criteria.

    Replies are judged for the *inferred* profile. A verdict it does not give is 0, counted in
    `failed`.
    """

    def __init__(self, endpoint: Endpoint):
        self.endpoint, self.failed = endpoint, Counter()

    def rewards(
        self, turns: Sequence[Turn], completions: Sequence[ParsedCompletion]
    ) -> list[Reward]:
        """The rewards of one completion per turn; 0 for a malformed one."""
        requests: list[Messages] = []
        for turn, completion in zip(turns, completions, strict=True):
            if completion.error:
                continue
            inferred, gold = _lines(completion.written.slots), _lines(turn.whole)
            requests.append(_request(_COUNT, inferred=inferred, gold=gold))
            requests.append(
                _request(_REPLY, profile=inferred, message=turn.text, reply=completion.reply)
            )
        answers = self.endpoint.ask(requests) if requests else []
        numbers = iter([self._number(answer) for answer in answers])
        rewards = []
        for turn, completion in zip(turns, completions, strict=True):
            if completion.error:
                rewards.append(Reward(0.0, 0.0))
                continue
            matched, verdict = next(numbers), next(numbers)
            lines, gold = completion.written.lines, len(turn.whole)
            matched = min(matched, lines, gold)  # a judge may count beyond what there is
            agreement = Agreement(
                matched / lines if lines else 0.0, matched / gold if gold else 0.0
            )
            rewards.append(Reward(agreement.f1, float(verdict == 1)))
        return rewards

    def _number(self, answer: str | None) -> int:
        numbers = _BOXED.findall(answer or "")
        if not numbers:
            self.failed["no answer" if answer is None else "no number in a box"] += 1
        return int(numbers[-1]) if numbers else 0


def training_users(
    player: EndpointUser, personas: Sequence[Persona], seed: int
) -> Callable[[int], User]:
    """next_user(k) for `train.run_rl`: the personas in an order of this seed, over and over.

    ValueError where no slots could be had.
    """
    users = player.users(personas, f"rl-{seed}")
    if not users:
        raise ValueError(
            f"the endpoint filled no slots of {len(personas)} personas ({dict(player.failed)}); "
            "try another model"
        )
    random.Random(seed).shuffle(users)
    return lambda k: users[k % len(users)]


def _lines(profile: Profile) -> str:
    return "\n".join(f"- {slot}: {value}" for slot, value in profile.items()) or "(nothing)"


def _history(dialogue: Dialogue) -> str:
    """The dialogue in the user's eyes: replies without inferred profiles."""
    lines = []
    # The last turn may not have been answered yet.
    for turn, completion in zip(dialogue.turns, dialogue.completions, strict=False):
        lines += [f"You: {turn.text}", f"Assistant: {read(completion).reply or '(nothing)'}"]
    return "\n".join(lines)

"""Experts: who writes trajectories, blind answers, aligned personas, translations and verdicts. One
interface, two of them.

Departures from the paper: it used DeepSeek-R1, Qwen3 and GPT-4o, and prints no prompts for them;
the prompts here are ours.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from sklearn.metrics import cohen_kappa_score

from pdlib import modes
from pdlib.dataset.endpoint import Endpoint, Messages
from pdlib.pocket import expert as pocket
from pdlib.questions import grading
from pdlib.questions.sources import language
from pdlib.schema import Item, Mode, Persona

AGAIN = 2  # how often a reply that does not pass its check is asked for anew
EMPTY = "empty or cut off"
PERSONA_WORDS = 60  # longer than this is no description in one sentence

_RATIONALISE = """{question}

The answer to be explained: {answer}

Write the reasoning that leads from the question to this answer, as somebody writes who works it out and arrives there. {how} \
Do not say or hint that the answer was known beforehand. Write plain text of at most 200 words, without headings, tags or JSON, \
and end with the conclusion."""
_HOW = {
    Mode.GENERAL: "Use the question and general knowledge alone: do not address, mention or imagine the person who asks.",
    Mode.PERSONALIZED: 'Begin with what the person who asks has said about themselves, address them as "you", and show what '
    "follows from it for the question.",
}
_PERSONA = """A question somebody asked:
{question}

Describe, in one sentence of at most 30 words, a person for whom it is natural to ask this: their background should help to \
understand what is meant. The sentence continues the words "I am", for example: a nurse who works night shifts in a children's ward. \
Do not answer the question, and use no word that would give its answer away. Reply with the description alone."""
_RIVAL = """A question somebody asked:
{question}

Describe, in one sentence of at most 30 words, a person who would easily misread it: from their background, its words would seem to \
mean something else than what is meant{options}. The sentence continues the words "I am", for example: a nurse who works \
night shifts in a children's ward. Do not answer the question, do not say what is meant or how it is misread, and use no word that \
would give its answer away. Reply with the description alone."""
_PREFERENCES = """Somebody describes themselves: I am {persona}.

Say, in one sentence of at most 30 words, what this person prefers in an answer: length, tone, detail, the kind of examples and \
interests that suit them. The sentence continues the words "I am", for example: somebody who likes gardening and wants short answers \
with one example. Leave out occupation, studies, background, age and name. Reply in English, with the sentence alone."""
_TRANSLATE = """Translate the following text into English. Keep its meaning, tone and names; add and explain nothing. \
Reply with the translation alone.

{text}"""
_JUDGE = """{question}

Reference answer: {gold}
Answer to be judged: {answer}

Does the answer to be judged mean the same as the reference answer? Reply with one word, Yes or No."""

_GIVEN = re.compile(
    r"\b(given|provided|supplied|reference|gold|stated|expected|known|predetermined) (correct )?(answer|solution)\b|"
    r"\b(answer|solution) (that |which )?(is|was|has been) (already )?(given|provided|supplied|known)\b|"
    r"\banswer to be explained\b|\bI was (told|given)\b",
    re.IGNORECASE,
)
_ASKER = re.compile(
    r"\bpersona\b|\b(the|this) (user|asker|questioner)\b|\bwho(ever)? (asks|is asking)\b|"
    r"\b(your|their|the asker's|the user's) (background|profession|occupation|expertise|hobby|preferences?)\b|"
    r"\b(since|because|as) you (are|work|study|like)\b",
    re.IGNORECASE,
)


class Expert(Protocol):
    """Whoever can do the seven tasks; None stands for what could not be had, and `rejected` counts
    these by reason.
    """

    name: str
    rejected: Counter

    def trajectories(
        self, asked: Sequence[tuple[Item, Mode, Persona | None]]
    ) -> list[tuple[str, str] | None]:
        """(reasoning, answer), the answer in view; general ones written from the question alone."""

    def answers(
        self, asked: Sequence[tuple[Item, Persona | None]], samples: int = 1
    ) -> list[list[str | None]]:
        """`samples` blind answers to each: the gold is not in view."""

    def personas(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Aligned personas, written from the question's words alone; another `attempt` writes
        others.
        """

    def rivals(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Personas who fit another reading of the question, which would lead to a wrong answer;
        objective items only.
        """

    def preferences(self, personas: Sequence[Persona]) -> list[Persona | None]:
        """What each person prefers in an answer, without occupation and background, as a text that
        follows "I am ".
        """

    def translations(self, texts: Sequence[str]) -> list[str | None]:
        """The texts in English."""

    def verdicts(self, asked: Sequence[tuple[Item, str]]) -> list[bool | None]:
        """Is this answer to the item right? A judge with the reference answer in view."""


def check_trajectory(item: Item, mode: Mode, reasoning: str) -> str | None:
    """Why `reasoning` cannot be taught in `mode`, or None. Words that the question itself uses are
    not held against it.
    """
    says = lambda pattern: any(
        m.group().lower() not in item.question.lower() for m in pattern.finditer(reasoning)
    )  # noqa: E731
    if not reasoning.strip():
        return EMPTY
    if any(other.tag in reasoning for other in Mode):
        return "a mode tag"
    if modes.ANSWER_OPEN in reasoning or modes.ANSWER_CLOSE in reasoning:
        return "answer marks"
    if says(_GIVEN):
        return "says that the answer was given"
    own = grading.normalize(item.aligned.text) if item.aligned else None
    if mode is Mode.GENERAL and (says(_ASKER) or own and own in grading.normalize(reasoning)):
        return "a general one mentions the asker"
    return None


def check_asked(item: Item, mode: Mode, persona: Persona | None) -> None:
    """ValueError for a general trajectory with a persona or a personalised one without."""
    if (persona is None) is not (mode is Mode.GENERAL):
        raise ValueError(
            f"item {item.id!r}: a {mode.value} trajectory "
            + (
                "is written without the persona, found one"
                if persona
                else "needs a persona, found none"
            )
        )


def check_objective(items: Sequence[Item]) -> None:
    """ValueError for personalised items: what is asked there follows from the asker, so no other
    reading is wrong.
    """
    if own := [item.id for item in items if item.kind != "objective"]:
        raise ValueError(
            f"{len(own)} items are personalised ({own[0]!r} ...): their answer is the asker's own and has no rival reading; "
            "pass objective items"
        )


class PocketExpert:
    """The expert of the pocket world: knows every sense of every word, and which is meant as far as
    question and asker tell.

    Blind, a cue settles the field; without one the asker's own field does, if the word (and the
    options) have such a sense; without either it guesses among the senses, evenly, by item and
    sample number. So it is always right with a cue or an aligned persona, misled by an asker of
    another fitting field, and right by luck otherwise.
    """

    name = "pocket"

    def __init__(self):
        self.rejected: Counter = Counter()

    def trajectories(
        self, asked: Sequence[tuple[Item, Mode, Persona | None]]
    ) -> list[tuple[str, str] | None]:
        return [pocket.write(item, mode, persona) for item, mode, persona in asked]

    def answers(
        self, asked: Sequence[tuple[Item, Persona | None]], samples: int = 1
    ) -> list[list[str | None]]:
        return [
            [pocket.answer(item, persona, sample) for sample in range(samples)]
            for item, persona in asked
        ]

    def personas(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        return [item.aligned for item in items]

    def rivals(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """A person of another field in which the word has a sense, else like the aligned one; None
        where no field would mislead.
        """
        check_objective(items)
        found = [pocket.rival(item, attempt) for item in items]
        if missing := found.count(None):
            self.rejected["rival: no reading of the word changes the answer"] += missing
        return found

    def preferences(self, personas: Sequence[Persona]) -> list[Persona | None]:
        """Hobby and reply preference of each, with a plain person in place of the occupation."""
        return [pocket.preference(persona) for persona in personas]

    def translations(self, texts: Sequence[str]) -> list[str | None]:
        raise ValueError(
            f"the pocket expert knows English only and cannot translate {len(texts)} texts; use an endpoint"
        )

    def verdicts(self, asked: Sequence[tuple[Item, str]]) -> list[bool | None]:
        """A lenient reader: right if an accepted text stands in the answer as whole words, or the
        gold letter alone does.
        """
        return [pocket.verdict(item, answer) for item, answer in asked]


def _shown(item: Item, options: bool = True) -> str:
    return "\n".join(
        [
            item.question,
            *(f"{modes.LETTERS[i]}) {text}" for i, text in enumerate(item.options) if options),
        ]
    )


class EndpointExpert:
    """A model behind an OpenAI-compatible endpoint. At temperature 0 asking anew brings the same
    reply: leave it above 0.
    """

    def __init__(self, endpoint: Endpoint):
        self.endpoint, self.name, self.rejected = endpoint, endpoint.model, Counter()

    def trajectories(
        self, asked: Sequence[tuple[Item, Mode, Persona | None]]
    ) -> list[tuple[str, str] | None]:
        """The answer of a choice is its letter, as the prompt asks for."""
        requests, answers = [], []
        for item, mode, persona in asked:
            check_asked(item, mode, persona)
            letter = modes.LETTERS[item.options.index(item.gold)] if item.options else None
            lead = f"I am {modes.persona_text(persona.text)}, my question is:\n" if persona else ""
            requests.append(
                _user(
                    _RATIONALISE.format(
                        question=lead + _shown(item),
                        how=_HOW[mode],
                        answer=f"{letter}) {item.gold}" if letter else item.gold,
                    )
                )
            )
            answers.append(letter or item.gold)
        reasonings = self._ask_until(
            "trajectory", requests, lambda i, reply: (reply, check_trajectory(*asked[i][:2], reply))
        )
        return [
            (text, answer) if text is not None else None
            for text, answer in zip(reasonings, answers)
        ]

    def answers(
        self, asked: Sequence[tuple[Item, Persona | None]], samples: int = 1
    ) -> list[list[str | None]]:
        """The expert sees what the policy sees. A reply that does not parse is no answer; it is
        counted, not asked anew.
        """
        pairs = [
            (_user(modes.user_message(item, persona)), sample)
            for item, persona in asked
            for sample in range(samples)
        ]
        parsed = []
        for reply in self.endpoint.ask(*map(list, zip(*pairs))) if pairs else []:
            read = modes.parse(reply, require_mode=False) if reply is not None else None
            error = "no reply" if read is None else read.error
            parsed.append(None if error else read.answer)
            self.rejected.update([f"answer: {error}"] if error else [])
        return [parsed[start : start + samples] for start in range(0, len(parsed), samples)]

    def personas(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Options stay out of the request: which of them the model took for right could colour the
        persona.
        """
        requests = [_user(_PERSONA.format(question=_shown(item, options=False))) for item in items]
        return self._ask_until(
            "persona", requests, lambda i, reply: _read_persona(reply), attempt * (1 + AGAIN)
        )

    def rivals(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Options are shown, none of them marked: a wrong one is to look right.
        `personas.write_rivals` drops what names the answer.
        """
        check_objective(items)
        another = {True: ", or another option than the right one would look right", False: ""}
        requests = [
            _user(_RIVAL.format(question=_shown(item), options=another[bool(item.options)]))
            for item in items
        ]
        return self._ask_until(
            "rival", requests, lambda i, reply: _read_persona(reply), attempt * (1 + AGAIN)
        )

    def preferences(self, personas: Sequence[Persona]) -> list[Persona | None]:
        requests = [
            _user(_PREFERENCES.format(persona=modes.persona_text(persona.text)))
            for persona in personas
        ]
        return self._ask_until(
            "preference", requests, lambda i, reply: _read_persona(reply, english=True)
        )

    def translations(self, texts: Sequence[str]) -> list[str | None]:
        return self._ask_until(
            "translation",
            [_user(_TRANSLATE.format(text=text)) for text in texts],
            lambda i, reply: (reply, None if reply else EMPTY),
        )

    def verdicts(self, asked: Sequence[tuple[Item, str]]) -> list[bool | None]:
        requests = [
            _user(_JUDGE.format(question=_shown(item), answer=answer, gold=_gold(item)))
            for item, answer in asked
        ]
        return self._ask_until("verdict", requests, lambda i, reply: _read_verdict(reply))

    def _ask_until(
        self, task: str, requests: list[Messages], read: Callable, first: int = 0
    ) -> list:
        """What `read(index, reply)` -> (value, reason to refuse it) takes of each request's first
        acceptable reply.

        A refused reply is asked for anew, as the next sample, up to AGAIN times; then None, counted
        in `rejected`.
        """
        values, refused, left = [None] * len(requests), {}, list(range(len(requests)))
        for sample in range(first, first + 1 + AGAIN):
            replies = (
                self.endpoint.ask([requests[i] for i in left], [sample] * len(left), whole=True)
                if left
                else []
            )
            for i, reply in zip(left, replies):
                value, reason = read(i, reply) if reply is not None else (None, "no reply")
                refused[i] = reason
                values[i] = value if reason is None else None
            left = [i for i in left if refused[i] not in (None, "no reply")]
        self.rejected.update(f"{task}: {reason}" for reason in refused.values() if reason)
        return values


def _user(text: str) -> Messages:
    return [{"role": "user", "content": text}]


def _gold(item: Item) -> str:
    """The reference as a judge sees it: letter and text, or all accepted texts."""
    if item.options:
        return f"{modes.LETTERS[item.options.index(item.gold)]}) {item.gold}"
    return item.gold + (f" (also accepted: {'; '.join(item.aliases)})" if item.aliases else "")


def _read_persona(reply: str, english: bool = False) -> tuple[Persona | None, str | None]:
    text = modes.persona_text(reply.strip().strip('"“”'))
    if not text:
        return None, EMPTY
    if "\n" in text or len(text.split()) > PERSONA_WORDS:
        return None, f"more than one sentence of {PERSONA_WORDS} words"
    if english and (code := language(text)) != "en":
        return None, f"not in English ({code})"
    return Persona(text), None


def _read_verdict(reply: str) -> tuple[bool | None, str | None]:
    word = re.match(r"\W*(yes|no)\b", reply, re.IGNORECASE)
    return (word.group(1).lower() == "yes", None) if word else (None, "neither Yes nor No")


def agreement(items: Sequence[Item], answers: Sequence[str | None], expert: Expert) -> dict:
    """How far an LLM judge agrees with the judge-free grader over the answers both can judge.

    n: answers with a verdict.  agree: share of them judged alike.  kappa: Cohen's (nan when both
    said one and the same of all).  judge_yes_grader_no, judge_no_grader_yes, no_verdict: counts.
    no_answer: answers that did not parse (None), which the grader calls wrong and the judge is not
    asked about.
    """
    asked = [
        (item, answer) for item, answer in zip(items, answers, strict=True) if answer is not None
    ]
    pairs = [
        (verdict, grading.grade(*pair)[0])
        for pair, verdict in zip(asked, expert.verdicts(asked))
        if verdict is not None
    ]
    judge, grader = [v for v, _ in pairs], [g for _, g in pairs]
    return {
        "n": len(pairs),
        "agree": sum(v == g for v, g in pairs) / len(pairs) if pairs else math.nan,
        "kappa": float(cohen_kappa_score(judge, grader))
        if len({*judge, *grader}) == 2
        else math.nan,
        "judge_yes_grader_no": sum(v and not g for v, g in pairs),
        "judge_no_grader_yes": sum(g and not v for v, g in pairs),
        "no_verdict": len(asked) - len(pairs),
        "no_answer": len(items) - len(asked),
    }

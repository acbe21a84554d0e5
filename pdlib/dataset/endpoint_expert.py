"""The expert behind an OpenAI-compatible endpoint, and the prompts it is asked with."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from pdlib import modes
from pdlib.dataset.endpoint import Endpoint, Messages
from pdlib.dataset.experts import EMPTY, check_persona, check_trajectory
from pdlib.questions.kinds import check_objective
from pdlib.questions.sources import language
from pdlib.schema import Item, Mode, Persona

RETRIES = 2  # how often a reply that does not pass its check is asked for anew
PERSONA_WORDS = 60  # longer than this is no description in one sentence
NO_REPLY = "no reply"

_RATIONALISE = """{question}

The answer to be explained: {answer}

Write the reasoning that leads from the question to this answer, as somebody writes who works it \
out and arrives there. {how} Do not say or hint that the answer was known beforehand. Write plain \
text of at most 200 words, without headings, tags or JSON, and end with the conclusion."""
_HOW = {
    Mode.GENERAL: "Use the question and general knowledge alone: do not address, mention or "
    "imagine the person who asks.",
    Mode.PERSONALIZED: "Begin with what the person who asks has said about themselves, address "
    'them as "you", and show what follows from it for the question.',
}
_PERSONA = """A question somebody asked:
{question}

Describe, in one sentence of at most 30 words, a person for whom it is natural to ask this: their \
background should help to understand what is meant. The sentence continues the words "I am", for \
example: a nurse who works night shifts in a children's ward. Do not answer the question, and use \
no word that would give its answer away. Reply with the description alone."""
_RIVAL = """A question somebody asked:
{question}

Describe, in one sentence of at most 30 words, a person who would easily misread it: from their \
background, its words would seem to mean something else than what is meant{options}. The sentence \
continues the words "I am", for example: a nurse who works night shifts in a children's ward. Do \
not answer the question, do not say what is meant or how it is misread, and use no word that would \
give its answer away. Reply with the description alone."""
_RIVAL_OPTIONS = ", or another option than the right one would look right"
_PREFERENCES = """Somebody describes themselves: I am {persona}.

Say, in one sentence of at most 30 words, what this person prefers in an answer: length, tone, \
detail, the kind of examples and interests that suit them. The sentence continues the words "I \
am", for example: somebody who likes gardening and wants short answers with one example. Leave out \
occupation, studies, background, age and name. Reply in English, with the sentence alone."""
_TRANSLATE = """Translate the following text into English. Keep its meaning, tone and names; add \
and explain nothing. Reply with the translation alone.

{text}"""
_JUDGE = """{question}

Reference answer: {gold}
Answer to be judged: {answer}

Does the answer to be judged mean the same as the reference answer? Reply with one word, Yes or \
No."""


class EndpointExpert:
    """A model behind an OpenAI-compatible endpoint.

    At temperature 0 asking anew brings the same reply: leave it above 0.
    """

    def __init__(self, endpoint: Endpoint):
        self.endpoint, self.name, self.rejected = endpoint, endpoint.model, Counter()

    def trajectories(
        self, requests: Sequence[tuple[Item, Mode, Persona | None]]
    ) -> list[tuple[str, str] | None]:
        """(reasoning, answer) of each; the answer of a choice is its letter, as the prompt asks.

        ValueError for a mode that there is no prompt for.
        """
        prompts, answers = [], []
        for item, mode, persona in requests:
            check_persona(item, mode, persona)
            if mode not in _HOW:
                raise ValueError(
                    f"item {item.id!r}: a {mode.name} trajectory is asked for, and there is a "
                    "prompt for general and personalised ones only; the pocket world's own expert "
                    "(expert: pocket) asks back, too"
                )
            lead = f"I am {modes.persona_text(persona.text)}, my question is:\n" if persona else ""
            prompt = _RATIONALISE.format(
                question=lead + _question(item), how=_HOW[mode], answer=_lettered_gold(item)
            )
            prompts.append(prompt)
            answers.append(_letter(item) or item.gold)

        def check(index: int, reply: str) -> tuple[str, str | None]:
            item, mode, _ = requests[index]
            return reply, check_trajectory(item, mode, reply)

        reasonings = self._ask_until("trajectory", prompts, check)
        return [
            (reasoning, answer) if reasoning is not None else None
            for reasoning, answer in zip(reasonings, answers, strict=True)
        ]

    def answers(
        self, questions: Sequence[tuple[Item, Persona | None]], samples: int = 1
    ) -> list[list[str | None]]:
        """`samples` blind answers to each; the expert sees what the policy sees.

        A reply that does not parse is no answer; it is counted, not asked anew.
        """
        prompts = [modes.user_message(item, persona) for item, persona in questions]
        requests = [_user(prompt) for prompt in prompts for _ in range(samples)]
        replies = self.endpoint.ask(requests, [*range(samples)] * len(prompts)) if requests else []
        answers = [self._read_answer(reply) for reply in replies]
        return [answers[start : start + samples] for start in range(0, len(answers), samples)]

    def _read_answer(self, reply: str | None) -> str | None:
        if reply is None:
            self.rejected[f"answer: {NO_REPLY}"] += 1
            return None
        parsed = modes.parse(reply, require_mode=False)
        if parsed.error:
            self.rejected[f"answer: {parsed.error}"] += 1
            return None
        return parsed.answer

    def personas(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Aligned personas; options stay out of the request.

        Which of the options the model took for right could colour the persona.
        """
        prompts = [_PERSONA.format(question=item.question) for item in items]
        return self._ask_until("persona", prompts, _read_persona, attempt)

    def rivals(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Personas of another reading; options are shown, none of them marked.

        A wrong option is to look right. `personas.write_rivals` drops what names the answer.
        """
        check_objective(items, "their answer is the asker's own and has no rival reading")
        prompts = [
            _RIVAL.format(question=_question(item), options=_RIVAL_OPTIONS if item.options else "")
            for item in items
        ]
        return self._ask_until("rival", prompts, _read_persona, attempt)

    def preferences(self, personas: Sequence[Persona]) -> list[Persona | None]:
        """What each person prefers in an answer, in English."""
        prompts = [
            _PREFERENCES.format(persona=modes.persona_text(persona.text)) for persona in personas
        ]
        return self._ask_until("preference", prompts, _read_english_persona)

    def translations(self, texts: Sequence[str]) -> list[str | None]:
        """The texts in English."""
        prompts = [_TRANSLATE.format(text=text) for text in texts]
        return self._ask_until(
            "translation", prompts, lambda _, reply: (reply, None if reply else EMPTY)
        )

    def verdicts(self, answered: Sequence[tuple[Item, str]]) -> list[bool | None]:
        """Does the answer mean the same as the reference answer?"""
        prompts = [
            _JUDGE.format(question=_question(item), answer=answer, gold=_accepted(item))
            for item, answer in answered
        ]
        return self._ask_until("verdict", prompts, _read_verdict)

    def _ask_until(self, task: str, prompts: list[str], read: Callable, attempt: int = 0) -> list:
        """What `read` takes of the first acceptable reply to each prompt.

        read: (index, reply) -> (value, reason to refuse it). A refused reply is asked for anew, as
        the next sample, up to RETRIES times; then None, counted in `rejected`. Another `attempt`
        takes other samples.
        """
        values, refused, waiting = [None] * len(prompts), {}, list(range(len(prompts)))
        first = attempt * (1 + RETRIES)
        for sample in range(first, first + 1 + RETRIES):
            if not waiting:
                break
            requests = [_user(prompts[index]) for index in waiting]
            replies = self.endpoint.ask(requests, [sample] * len(requests), whole=True)
            for index, reply in zip(waiting, replies, strict=True):
                value, reason = (None, NO_REPLY) if reply is None else read(index, reply)
                refused[index] = reason
                values[index] = value if reason is None else None
            waiting = [index for index in waiting if refused[index] not in (None, NO_REPLY)]
        self.rejected.update(f"{task}: {reason}" for reason in refused.values() if reason)
        return values


def _user(text: str) -> Messages:
    return [{"role": "user", "content": text}]


def _question(item: Item) -> str:
    options = [f"{modes.LETTERS[i]}) {text}" for i, text in enumerate(item.options)]
    return "\n".join([item.question, *options])


def _letter(item: Item) -> str | None:
    return modes.LETTERS[item.options.index(item.gold)] if item.options else None


def _lettered_gold(item: Item) -> str:
    return f"{_letter(item)}) {item.gold}" if item.options else item.gold


def _accepted(item: Item) -> str:
    """The reference as a judge sees it: letter and text, or all accepted texts."""
    if item.options or not item.aliases:
        return _lettered_gold(item)
    return f"{item.gold} (also accepted: {'; '.join(item.aliases)})"


def _read_persona(_: int, reply: str) -> tuple[Persona | None, str | None]:
    text = modes.persona_text(reply.strip().strip('"“”'))
    if not text:
        return None, EMPTY
    if "\n" in text or len(text.split()) > PERSONA_WORDS:
        return None, f"more than one sentence of {PERSONA_WORDS} words"
    return Persona(text), None


def _read_english_persona(index: int, reply: str) -> tuple[Persona | None, str | None]:
    persona, reason = _read_persona(index, reply)
    if persona and (code := language(persona.text)) != "en":
        return None, f"not in English ({code})"
    return persona, reason


def _read_verdict(_: int, reply: str) -> tuple[bool | None, str | None]:
    word = re.match(r"\W*(yes|no)\b", reply, re.IGNORECASE)
    if word is None:
        return None, "neither Yes nor No"
    return word.group(1).lower() == "yes", None

"""One question, asked by somebody and by nobody in particular, answered in both modes.

It is put to a model, or to stored replies. What is shown is each mode's most likely answer
(greedy); records hold sampled ones.
"""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pdlib import generate, modes
from pdlib.analysis.words.explain import typed
from pdlib.run import stages
from pdlib.schema import PAPER_MODES, Item, Mode, Persona

STORED = "playground.json"  # in outputs/reference
NOBODY = ""
LITTLE = 0.05  # a smaller change of P(personalised) is called none
NAMES = {Mode.GENERAL: "general", Mode.PERSONALIZED: "personalised"}


@dataclass(frozen=True)
class Reply:
    """What one model answers to `question`, asked by `persona` (NOBODY: no persona).

    It has P(personalised) and a whole completion in each mode.
    """

    persona: str
    question: str
    p_personalized: float
    general: str
    personalized: str

    def answer(self, mode: Mode) -> str:
        """The answer in that mode's completion, or why there is none, in brackets."""
        parsed = modes.parse(getattr(self, mode.name))
        return f"({parsed.error})" if parsed.error else parsed.answer


Ask = Callable[[str, str], Reply]  # (persona, question) -> the reply


def question_from(text: str) -> Item:
    """A typed question; options follow after bars. ValueError for an empty one, or a single option.

    >>> question_from("which one is bond? | bail guarantee | tradable loan").options
    ('bail guarantee', 'tradable loan')
    """
    question, *options = (part.strip() for part in text.split("|"))
    if options and (len(options) < 2 or not all(options)):
        raise ValueError(
            f"found the options {options}, expected two or more, none of them empty, such as: "
            "which one is bond? | a | b"
        )
    if len(options) > len(modes.LETTERS):
        raise ValueError(f"found {len(options)} options, expected at most {len(modes.LETTERS)}")
    return replace(typed(question), options=tuple(options))


def model_asker(model, tokenizer, max_tokens: int = 64) -> Ask:
    """Ask `model`; ValueError, in words, for a question that it cannot be asked.

    That is an empty question, and a prompt that is too long for the model.
    """
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    def ask(persona: str, question: str) -> Reply:
        persona, item = persona.strip(), question_from(question)
        prompt = modes.render_prompt(tokenizer, item, Persona(persona) if persona else None)
        length = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        if longest and length + max_tokens > longest:
            raise ValueError(
                f"persona and question are {length} tokens; with {max_tokens} for the answer this "
                f"model reads at most {longest}: shorten them by {length + max_tokens - longest}"
            )
        chances, completions = generate.answers(
            model,
            tokenizer,
            [prompt],
            forced=tuple(PAPER_MODES),
            temperature=0,
            max_new_tokens=max_tokens,
        )
        texts = {mode.name: completions[mode, 0][0].text for mode in PAPER_MODES}
        return Reply(persona, question.strip(), round(float(chances[0, 1]), 6), **texts)

    return ask


def stored_asker(replies: Sequence[Reply]) -> Ask:
    """Ask stored replies; ValueError, in words, for what was never asked."""
    known = {(reply.persona, reply.question): reply for reply in replies}

    def ask(persona: str, question: str) -> Reply:
        reply = known.get((persona.strip(), question.strip()))
        if reply is None:
            questions = sorted({stored.question for stored in replies})
            people = sorted({stored.persona or "nobody" for stored in replies})
            raise ValueError(
                "there is no trained model yet, so only stored answers can be shown; stored "
                f"questions: {'; '.join(questions)}; asked by: {'; '.join(people)}"
            )
        return reply

    return ask


def read(path: Path) -> list[Reply]:
    """The stored replies of `path`, written by `write`.

    FileNotFoundError or ValueError, in words, where there are none.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no trained model yet, and no stored answers in {path.parent.name}/{path.name}: run "
            "`make reproduce`, or notebooks 01 to 05 one after another"
        )
    try:
        return [Reply(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (json.JSONDecodeError, TypeError) as broken:
        raise ValueError(
            f"{path.name} holds no stored answers ({broken}); get it again, or write it by "
            "`make reference`"
        ) from broken


def write(ask: Ask, path: Path, people: Sequence[str], questions: Sequence[str]) -> Path:
    """Store the replies to `questions`, asked by nobody and by `people`.

    A JSON list of {persona, question, p_personalized, general, personalized}: the persona is empty
    for nobody, the last two are whole completions.
    """
    askers = [NOBODY, *people]
    replies = [ask(persona, question) for question in questions for persona in askers]
    stages.write_json(path, [asdict(reply) for reply in replies])
    return path


def compare(ask: Ask, persona: str, question: str) -> tuple[list[Reply], list[str]]:
    """(replies to nobody and, where one is named, to the persona; what changed, in words)."""
    askers = dict.fromkeys((NOBODY, persona.strip()))
    replies = [ask(asker, question) for asker in askers]
    return replies, changes(replies)


def changes(replies: Sequence[Reply]) -> list[str]:
    """What the persona changes, and what the mode changes, one sentence each.

    replies: as from `compare`.
    """
    reply = replies[-1]
    sentences = _persona_changes(*replies) if len(replies) == 2 else []
    general, personalised = (reply.answer(mode) for mode in PAPER_MODES)
    if general == personalised:
        sentences.append(f"Both modes answer {general}.")
    else:
        sentences.append(f"The modes differ: general {general}, personalised {personalised}.")
    likelier = Mode.PERSONALIZED if reply.p_personalized > 0.5 else Mode.GENERAL
    sentences.append(
        f"Left alone, the model would sooner answer in the {NAMES[likelier]} mode: "
        f"{reply.answer(likelier)}."
    )
    return sentences


def _persona_changes(nobody: Reply, somebody: Reply) -> list[str]:
    before, after = nobody.p_personalized, somebody.p_personalized
    verb = "hardly changes"
    if after > before + LITTLE:
        verb = "raises"
    elif after < before - LITTLE:
        verb = "lowers"
    sentences = [
        f"The persona {verb} P(personalised): {before:.2f} without it, {after:.2f} with it."
    ]
    for mode, name in NAMES.items():
        old, new = nobody.answer(mode), somebody.answer(mode)
        if old == new:
            sentences.append(f"The {name} mode's answer stays with the persona: {new}.")
        else:
            sentences.append(
                f"The persona changes the {name} mode's answer: {old} before, {new} now."
            )
    return sentences


def differing(left: str, right: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """The words of two texts, each with whether it is in the other text at that place.

    >>> differing("a b", "a c")
    ([('a', True), ('b', False)], [('a', True), ('c', False)])
    """
    words = [re.findall(r"\S+", text) for text in (left, right)]
    is_same = [[False] * len(side) for side in words]
    for start, other, length in difflib.SequenceMatcher(
        None, *words, autojunk=False
    ).get_matching_blocks():
        is_same[0][start : start + length] = [True] * length
        is_same[1][other : other + length] = [True] * length
    return tuple(list(zip(*side, strict=True)) for side in zip(words, is_same, strict=True))

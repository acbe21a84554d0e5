"""One question, asked by somebody and by nobody in particular, answered in both modes: from a
model, or from stored answers.

What is shown is each mode's most likely answer (greedy); records hold sampled ones.
"""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from pdlib import generate, modes
from pdlib.analysis.words.explain import typed
from pdlib.pocket.world import PERSONA_TEMPLATES, TEMPLATES, lexicon
from pdlib.run import stages
from pdlib.schema import Item, Mode, Persona

STORED = "playground.json"  # in outputs/reference
NOBODY = ""
LITTLE = 0.05  # a smaller change of P(personalised) is called none
PEOPLE = (
    "a coach who studies pitch, likes hiking and wants short replies",
    "a musician who studies pitch, likes chess and wants short replies",
    "a chemist who studies base, likes chess and wants detailed replies",
)
QUESTIONS = (
    "what is pitch?",
    "near the stadium, what is pitch?",
    "near the piano, what is pitch?",
    "what should I do today? | try hiking | try chess",
)


@dataclass(frozen=True)
class Said:
    """What one model says to `question`, asked by `persona` (NOBODY: no persona): P(personalised),
    a completion in each mode.
    """

    persona: str
    question: str
    p_personalized: float
    general: str
    personalized: str

    def answer(self, mode: Mode) -> str:
        """The answer in that mode's completion, or why there is none, in brackets."""
        parsed = modes.parse(getattr(self, mode.value))
        return f"({parsed.error})" if parsed.error else parsed.answer


Ask = Callable[[str, str], Said]  # (persona, question) -> what is said


def question_from(text: str) -> Item:
    """A typed question; options follow after bars. ValueError for an empty one, or a single option.

    >>> question_from("which one is bond? | bail guarantee | tradable loan").options
    ('bail guarantee', 'tradable loan')
    """
    question, *options = (part.strip() for part in text.split("|"))
    if options and (len(options) < 2 or not all(options)):
        raise ValueError(
            f"found the options {options}, expected two or more, none of them empty, such as: which one is bond? | a | b"
        )
    if len(options) > len(modes.LETTERS):
        raise ValueError(f"found {len(options)} options, expected at most {len(modes.LETTERS)}")
    return replace(typed(question), options=tuple(options))


def asker(model, tokenizer, max_tokens: int = 64) -> Ask:
    """Ask `model`; ValueError, in words, for an empty question and for a prompt that is too long
    for it.
    """
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    def ask(persona: str, question: str) -> Said:
        item, who = question_from(question), Persona(persona.strip()) if persona.strip() else None
        prompt = modes.render_prompt(tokenizer, item, who)
        length = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        if longest and length + max_tokens > longest:
            raise ValueError(
                f"persona and question are {length} tokens; with {max_tokens} for the answer this model reads at most "
                f"{longest}: shorten them by {length + max_tokens - longest}"
            )
        (chance,), found = generate.answers(
            model, tokenizer, [prompt], forced=tuple(Mode), temperature=0, max_new_tokens=max_tokens
        )
        texts = {mode.value: found[mode, 0][0].text for mode in Mode}
        return Said(persona.strip(), question.strip(), round(chance, 6), **texts)

    return ask


def stored(path: Path) -> list[Said]:
    """The stored answers of `path`, written by `write`; FileNotFoundError or ValueError, in words,
    where there are none.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no trained model yet, and no stored answers in {path.parent.name}/{path.name}: run `make reproduce`, "
            "or notebooks 01 to 05 one after another"
        )
    try:
        return [Said(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (json.JSONDecodeError, TypeError) as broken:
        raise ValueError(
            f"{path.name} holds no stored answers ({broken}); get it again, or write it by `make reference`"
        ) from broken


def teller(rows: Sequence[Said]) -> Ask:
    """Ask stored answers; ValueError, in words, for what was never asked."""
    known = {(row.persona, row.question): row for row in rows}

    def ask(persona: str, question: str) -> Said:
        if (found := known.get((persona.strip(), question.strip()))) is None:
            questions, people = (
                sorted({getattr(row, name) or "nobody" for row in rows})
                for name in ("question", "persona")
            )
            raise ValueError(
                f"there is no trained model yet, so only stored answers can be shown; stored questions: "
                f"{'; '.join(questions)}; asked by: {'; '.join(people)}"
            )
        return found

    return ask


def write(ask: Ask, path: Path) -> Path:
    """Store what `ask` says to QUESTIONS, asked by nobody and by PEOPLE: a JSON list of {persona,
    question, p_personalized, general, personalized}, the persona empty for nobody, the last two
    whole completions.
    """
    stages.write_json(
        path,
        [asdict(ask(persona, question)) for question in QUESTIONS for persona in (NOBODY, *PEOPLE)],
    )
    return path


def compare(ask: Ask, persona: str, question: str) -> tuple[list[Said], list[str]]:
    """(what is said to nobody and, where one is named, to the persona; what changed, in words)."""
    rows = [ask(one, question) for one in dict.fromkeys((NOBODY, persona.strip()))]
    return rows, changes(rows)


def changes(rows: Sequence[Said]) -> list[str]:
    """What the persona changes, and what the mode changes, one sentence each; rows: as from
    `compare`.
    """
    last, found = rows[-1], []
    if len(rows) == 2:
        before, after = (row.p_personalized for row in rows)
        moved = (
            "raises"
            if after > before + LITTLE
            else "lowers"
            if after < before - LITTLE
            else "hardly changes"
        )
        found.append(
            f"The persona {moved} P(personalised): {before:.2f} without it, {after:.2f} with it."
        )
        for mode, name in zip(Mode, ("general", "personalised")):
            one, two = (row.answer(mode) for row in rows)
            found.append(
                f"The {name} mode's answer stays with the persona: {two}."
                if one == two
                else f"The persona changes the {name} mode's answer: {one} before, {two} now."
            )
    answers = [last.answer(mode) for mode in Mode]
    found.append(
        f"Both modes answer {answers[0]}."
        if answers[0] == answers[1]
        else f"The modes differ: general {answers[0]}, personalised {answers[1]}."
    )
    chosen = Mode.PERSONALIZED if last.p_personalized > 0.5 else Mode.GENERAL
    found.append(
        f"Left alone, the model would sooner answer in the {'personalised' if chosen is Mode.PERSONALIZED else 'general'} mode: "
        f"{last.answer(chosen)}."
    )
    return found


def differing(left: str, right: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """The words of two texts, each with whether it is in the other text at that place.

    >>> differing("a b", "a c")
    ([('a', True), ('b', False)], [('a', True), ('c', False)])
    """
    words = [re.findall(r"\S+", text) for text in (left, right)]
    same: tuple[set[int], set[int]] = (set(), set())
    for block in difflib.SequenceMatcher(None, *words, autojunk=False).get_matching_blocks():
        same[0].update(range(block.a, block.a + block.size))
        same[1].update(range(block.b, block.b + block.size))
    return tuple(
        [(word, i in kept) for i, word in enumerate(part)] for part, kept in zip(words, same)
    )


@cache
def pocket_words() -> frozenset[str]:
    """Every word (lower case) that pocket questions, options and personas can hold."""
    lex = lexicon()
    texts = [
        *PERSONA_TEMPLATES,
        *(text for templates in TEMPLATES.values() for text in templates),
        "who studies near",
        "the context notes from",
        "try useful yes no maybe",
        *lex.hobbies,
        *lex.styles,
        *lex.styles.values(),
        *lex.plain_people,
        *lex.words,
        *lex.units,
    ]
    texts += [
        text
        for part in (lex.occupations, lex.cues)
        for texts_of in part.values()
        for text in texts_of
    ]
    texts += [
        gloss for senses in lex.words.values() for glosses in senses.values() for gloss in glosses
    ]
    texts += [
        str(unit) for senses in lex.units.values() for value in senses.values() for unit in value
    ]
    return frozenset(_words(" ".join(texts)))


def strange(persona: str, question: str) -> list[str]:
    """The words of persona and question that the pocket world does not have, in order: a pocket
    model has never read them.

    >>> strange("a banker", "what is gravity?")
    ['gravity']
    """
    return [
        word
        for word in dict.fromkeys(_words(f"{persona} {question}"))
        if word not in pocket_words() and not word.isdecimal()
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", re.sub(r"\{.*?\}", " ", text.lower()))

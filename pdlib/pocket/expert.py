"""The pocket expert writes the trajectory of either mode, as DeepSeek-R1 does in the paper.

It also answers, judges, and finds people who would misread a question.
"""

import random
from collections import Counter
from collections.abc import Sequence

from pdlib import modes
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.splits import is_held_out_persona
from pdlib.pocket.templates import PERSONA_TEMPLATES
from pdlib.pocket.world import World, senses
from pdlib.questions import grading
from pdlib.questions.kinds import check_objective
from pdlib.schema import Item, Mode, Persona


def _recall(item: Item, field: str) -> str:
    """What the expert recalls of the word in `field`, as the sentence that leads to the answer."""
    word, first = item.facts["word"], senses(item)[field][0]
    subject = f"one {word}" if item.benchmark == "math500" else word
    return f'In {field}, {subject} is "{first}".'


def plain(item: Item, persona: Persona | None) -> str:
    """What a model without modes writes before its answer: the fact, or the persona's wish."""
    if item.benchmark == "self":
        return ""
    if item.kind == "personalized":
        return _preference(item, Mode.PERSONALIZED, persona)
    return _recall(item, item.facts["field"])


def write(item: Item, mode: Mode, persona: Persona | None) -> tuple[str, str]:
    """(reasoning, answer) of `mode`. The answer is in view, as in the published data pipeline.

    General trajectories and those that ask back are written from the question alone: a persona
    there is an error, and so is a personalised trajectory without one. Asking back names the fields
    in which the word has a meaning; of a personal question there is nothing to ask (ValueError).
    """
    if mode != Mode.PERSONALIZED and persona is not None:
        raise ValueError(
            f"item {item.id!r}: a {mode.name} trajectory is written without the persona, found one"
        )
    if mode == Mode.PERSONALIZED and persona is None:
        raise ValueError(f"item {item.id!r}: a personalised trajectory needs a persona, found none")
    if mode == Mode.CLARIFY:
        return _question_back(item)
    if item.kind == "personalized":
        return _preference(item, mode, persona), item.gold
    field = item.facts["field"]
    if mode == Mode.PERSONALIZED:
        opening = f"You are a {persona.facts['occupation']}, so {field}."
    elif item.facts["cue"]:
        opening = f"The {item.facts['cue']} points to {field}."
    else:
        opening = f"No cue, so perhaps {field}."
    return f"{opening} {_recall(item, field)}", item.gold


def _question_back(item: Item) -> tuple[str, str]:
    check_objective([item], "a personal question has one reading")
    *others, last = sorted(senses(item))
    readings = f"{', '.join(others)} or {last}"
    return f"No cue, so perhaps {readings}.", f"Which {item.facts['word']}: {readings}?"


def _preference(item: Item, mode: Mode, persona: Persona | None) -> str:
    if mode == Mode.GENERAL:
        return "Either would do."
    if item.benchmark == "personafeedback":
        hobby = persona.facts["hobby"]
        return f'You like "{hobby}".'
    style = persona.facts["style"]
    return f'You want {style}, so "{lexicon().styles[style]}".'


def _check(item: Item) -> None:
    if item.source != "pocket":
        raise ValueError(
            f"item {item.id!r} is not of the pocket world (source {item.source!r}); ask an endpoint"
        )


def rival(item: Item, attempt: int) -> Persona | None:
    """A person of another field than the gold's, whose sense of the word would be answered wrong.

    The field is one whose sense stands among options or question, where there is one. None where
    no field would mislead.
    """
    _check(item)
    facts, world = item.facts, World(f"rival|{item.id}|{attempt}", "test")
    if item.gold == "maybe" and item.benchmark == "pubmedqa":
        return None  # what is asked about is no sense of the word in any field
    meanings = senses(item)
    others = [field for field in meanings if field != facts["field"]]
    texts = (*item.options, facts.get("g"))
    shown = [field for field in others if meanings[field][0] in texts]
    like = {key: item.aligned.facts[key] for key in ("hobby", "style")} if item.aligned else {}
    return world.persona(world.rng.choice(shown or others), facts["word"], **like)


def preference(persona: Persona) -> Persona:
    """A plain person with the persona's hobby and style.

    Training may hold the new combination exactly where it may hold the original one.
    """
    facts, plain_people = persona.facts, lexicon().plain_people
    if not {"occupation", "hobby", "style"} <= set(facts):
        raise ValueError(
            f"the persona {persona.text[:60]!r} is not of the pocket world: its facts are {facts}; "
            "ask an endpoint"
        )
    hobby, style = facts["hobby"], facts["style"]
    is_held_out = is_held_out_persona(facts["occupation"], hobby, style)
    alike = [job for job in plain_people if is_held_out_persona(job, hobby, style) is is_held_out]
    job = random.Random(f"preference|{persona.text}").choice(alike or plain_people)
    text = PERSONA_TEMPLATES[0].format(job=job, study="", hobby=hobby, style=style)
    new_facts = {"field": None, "occupation": job, "hobby": hobby, "style": style, "studies": None}
    return Persona(text, new_facts)


def answer(item: Item, persona: Persona | None, sample: int) -> str:
    """A blind answer, from the question's facts without its field and gold.

    The facts are word, cue, count and the gloss that is asked about.
    """
    _check(item)
    lex, facts, guess = lexicon(), item.facts, random.Random(f"{item.id}|{sample}")
    asker = persona.facts if persona else {}
    if item.kind == "personalized":
        if item.benchmark == "personafeedback":
            wish = f"try {asker.get('hobby')}"
        else:
            wish = f"{lex.styles.get(asker.get('style'))}, {facts['word']}"
        return wish if wish in item.options else guess.choice(item.options)
    meanings = senses(item)
    fields = [
        field for field, texts in meanings.items() if not item.options or texts[0] in item.options
    ]
    cued = [field for field in fields if facts["cue"] in lex.cues[field]]
    if cued:
        field = cued[0]
    elif asker.get("field") in fields:
        field = asker["field"]
    else:
        field = guess.choice(fields)
    if item.benchmark == "math500":
        return str(facts["count"] * meanings[field][0])
    if item.benchmark == "pubmedqa":
        if all(facts["g"] != texts[0] for texts in meanings.values()):
            return "maybe"
        return "yes" if facts["g"] == meanings[field][0] else "no"
    return meanings[field][0]


def verdict(item: Item, answer: str) -> bool:
    """Whether an accepted text stands in the answer as whole words, or the gold letter alone."""
    words = grading.normalize(answer)
    letter = words.upper()
    if item.options and letter and letter in modes.LETTERS[: len(item.options)]:
        return item.options[modes.LETTERS.index(letter)] == item.gold
    accepted = [grading.normalize(text) for text in (item.gold, *item.aliases)]
    return any(f" {text} " in f" {words} " for text in accepted if text)


class PocketExpert:
    """The expert of the pocket world, see `dataset.experts.Expert`.

    It knows every sense of every word, and which is meant as far as question and asker tell. Blind,
    a cue settles the field; without one the asker's own field does, if the word (and the options)
    have such a sense; without either it guesses among the senses, evenly, by item and sample
    number. So it is always right with a cue or an aligned persona, misled by an asker of another
    fitting field, and right by luck otherwise.
    """

    name = "pocket"

    def __init__(self):
        self.rejected: Counter = Counter()

    def trajectories(
        self, requests: Sequence[tuple[Item, Mode, Persona | None]]
    ) -> list[tuple[str, str] | None]:
        """(reasoning, answer) of each, see `write`."""
        return [write(item, mode, persona) for item, mode, persona in requests]

    def answers(
        self, questions: Sequence[tuple[Item, Persona | None]], samples: int = 1
    ) -> list[list[str | None]]:
        """`samples` blind answers to each, see `answer`."""
        return [
            [answer(item, persona, sample) for sample in range(samples)]
            for item, persona in questions
        ]

    def personas(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """The persona that fits, which every pocket item has."""
        return [item.aligned for item in items]

    def rivals(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """A person of another field in which the word has a sense, else like the aligned one.

        None where no field would mislead.
        """
        check_objective(items, "their answer is the asker's own and has no rival reading")
        people = [rival(item, attempt) for item in items]
        if missing := people.count(None):
            self.rejected["rival: no reading of the word changes the answer"] += missing
        return people

    def preferences(self, personas: Sequence[Persona]) -> list[Persona | None]:
        """Hobby and reply preference of each, with a plain person in place of the occupation."""
        return [preference(persona) for persona in personas]

    def translations(self, texts: Sequence[str]) -> list[str | None]:
        """ValueError: the pocket world is English throughout."""
        raise ValueError(
            f"the pocket expert knows English only and cannot translate {len(texts)} texts; use an "
            "endpoint"
        )

    def verdicts(self, answered: Sequence[tuple[Item, str]]) -> list[bool | None]:
        """A lenient reader: an accepted text within the answer is right, as whole words.

        So is the gold letter alone.
        """
        return [verdict(item, text) for item, text in answered]

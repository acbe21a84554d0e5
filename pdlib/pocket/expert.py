"""The pocket expert: writes the trajectory of either mode for a pocket item, as DeepSeek-R1 does in
the paper; answers, judges, and finds people who would misread a question.
"""

import random

from pdlib import modes
from pdlib.pocket.world import PERSONA_TEMPLATES, World, is_held_out_persona, lexicon
from pdlib.questions import grading
from pdlib.schema import Item, Mode, Persona


def _recall(item: Item, field: str) -> str:
    """What the expert recalls of the word in `field`, as the sentence that leads to the answer."""
    lex, word = lexicon(), item.facts["word"]
    if item.benchmark == "math500":
        return f'In {field}, one {word} is "{lex.units[word][field][0]}".'
    return f'In {field}, {word} is "{lex.words[word][field][0]}".'


def plain(item: Item, persona: Persona | None) -> str:
    """What a model without modes writes before its answer: the fact, or what the persona prefers."""
    if item.benchmark == "self":
        return ""
    return (
        _preference(item, Mode.PERSONALIZED, persona)
        if item.kind == "personalized"
        else _recall(item, item.facts["field"])
    )


def write(item: Item, mode: Mode, persona: Persona | None) -> tuple[str, str]:
    """(reasoning, answer) of `mode`. The answer is in view, as in the published data pipeline.

    General trajectories are written from the question alone: a persona there is an error, and so is
    a personalised trajectory without one.
    """
    if mode is Mode.GENERAL and persona is not None:
        raise ValueError(
            f"item {item.id!r}: a general trajectory is written without the persona, found one"
        )
    if mode is Mode.PERSONALIZED and persona is None:
        raise ValueError(f"item {item.id!r}: a personalised trajectory needs a persona, found none")
    if item.kind == "personalized":
        return _preference(item, mode, persona), item.gold
    field = item.facts["field"]
    if mode is Mode.PERSONALIZED:
        opening = f"You are a {persona.facts['occupation']}, so {field}."
    elif item.facts["cue"]:
        opening = f"The {item.facts['cue']} points to {field}."
    else:
        opening = f"No cue, so perhaps {field}."
    return f"{opening} {_recall(item, field)}", item.gold


def _preference(item: Item, mode: Mode, persona: Persona | None) -> str:
    if mode is Mode.GENERAL:
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
    """Of a field other than the gold's whose sense would be answered wrong, one among options or
    question where there is one.
    """
    _check(item)
    facts, world = item.facts, World(f"rival|{item.id}|{attempt}", "test")
    if (
        item.gold == "maybe" and item.benchmark == "pubmedqa"
    ):  # what is asked about is no sense of the word in any field
        return None
    senses = (lexicon().units if item.benchmark == "math500" else lexicon().words)[facts["word"]]
    others = [field for field in senses if field != facts["field"]]
    shown = [field for field in others if senses[field][0] in (*item.options, facts.get("g"))]
    like = {key: item.aligned.facts[key] for key in ("hobby", "style")} if item.aligned else {}
    return world.persona(world.rng.choice(shown or others), facts["word"], **like)


def preference(persona: Persona) -> Persona:
    """A plain person with its hobby and style; the combination is one that training may hold where
    the original is.
    """
    facts, plain = persona.facts, lexicon().plain_people
    if not {"occupation", "hobby", "style"} <= set(facts):
        raise ValueError(
            f"the persona {persona.text[:60]!r} is not of the pocket world: its facts are {facts}; ask an endpoint"
        )
    withheld = is_held_out_persona(facts["occupation"], facts["hobby"], facts["style"])
    usual = [
        who for who in plain if is_held_out_persona(who, facts["hobby"], facts["style"]) is withheld
    ]
    who = random.Random(f"preference|{persona.text}").choice(usual or plain)
    text = PERSONA_TEMPLATES[0].format(
        job=who, study="", hobby=facts["hobby"], style=facts["style"]
    )
    return Persona(
        text,
        {
            "field": None,
            "occupation": who,
            "hobby": facts["hobby"],
            "style": facts["style"],
            "studies": None,
        },
    )


def answer(item: Item, persona: Persona | None, sample: int) -> str:
    """Blind: reads the question's facts (word, cue, count, gloss asked about), never its field or
    gold.
    """
    _check(item)
    lex, facts, guess = lexicon(), item.facts, random.Random(f"{item.id}|{sample}")
    about = persona.facts if persona else {}
    if item.kind == "personalized":
        style = lex.styles.get(about.get("style"))
        wish = (
            f"try {about.get('hobby')}"
            if item.benchmark == "personafeedback"
            else f"{style}, {facts['word']}"
        )
        return wish if wish in item.options else guess.choice(item.options)
    senses = (lex.units if item.benchmark == "math500" else lex.words)[facts["word"]]
    fields = [
        field for field, texts in senses.items() if not item.options or texts[0] in item.options
    ]
    cued = [field for field in fields if facts["cue"] in lex.cues[field]]
    field = (
        cued[0]
        if cued
        else about.get("field")
        if about.get("field") in fields
        else guess.choice(fields)
    )
    if item.benchmark == "math500":
        return str(facts["count"] * senses[field][0])
    if item.benchmark == "pubmedqa":
        named = any(facts["g"] == texts[0] for texts in senses.values())
        return "maybe" if not named else "yes" if facts["g"] == senses[field][0] else "no"
    return senses[field][0]


def verdict(item: Item, answer: str) -> bool:
    said = f" {grading.normalize(answer)} "
    if item.options and said.strip().upper() in modes.LETTERS[: len(item.options)] and said.strip():
        return item.options[modes.LETTERS.index(said.strip().upper())] == item.gold
    return any(
        f" {text} " in said for text in map(grading.normalize, (item.gold, *item.aliases)) if text
    )

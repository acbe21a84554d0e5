"""Questions about the asker, which backbones read; no benchmark has them."""

from pdlib.pocket.templates import STUDY_QUESTIONS, TEMPLATES, WORK_QUESTIONS
from pdlib.pocket.world import World
from pdlib.schema import Item, Persona


def self_question(world: World) -> Item:
    """A question about the asker: do they study this word?

    In the world fit="field" every other one asks whether their profession has a meaning for the
    word.
    """
    rng = world.rng
    field = rng.choice(list(world.lex.cues))
    persona = world.persona(field)
    if world.people.fit == "field" and rng.random() < 0.5:
        return _work_question(world, field, persona)
    studied, is_yes = persona.facts["studies"], rng.random() < 0.5
    word = studied if is_yes else rng.choice([w for w in world.words if w != studied])
    text = rng.choice(STUDY_QUESTIONS).format(w=word)
    return _item(f"self-{studied}-{word}", text, is_yes, word, persona)


def _work_question(world: World, field: str, persona: Persona) -> Item:
    """Does the asker's profession have a meaning for this word?

    Half ask it of a question: "what is bond? do we say that at work?".
    """
    rng, senses = world.rng, world.words | world.units
    is_yes = rng.random() < 0.5
    word = rng.choice([w for w, fields in senses.items() if (field in fields) is is_yes])
    if rng.random() < 0.5:
        lead, named = "", word
    else:
        lead, named = _plain_question(world, word) + " ", "that"
    text = lead + rng.choice(WORK_QUESTIONS).format(w=named)
    return _item(f"work-{field}-{word}", text, is_yes, word, persona)


def _plain_question(world: World, word: str) -> str:
    """A question about `word` as a benchmark asks it, without cue and options: "what is bond?".

    Never in a held-out template.
    """
    rng = world.rng
    if word in world.units:
        templates = TEMPLATES["math500"]
    else:
        templates = TEMPLATES[rng.choice(["triviaqa", "mmlu_pro", "supergpqa"])]
    return rng.choice(templates[:-1]).format(w=word, k=rng.choice([1, 2, 3]))


def _item(name: str, text: str, is_yes: bool, word: str, persona: Persona) -> Item:
    gold = "yes" if is_yes else "no"
    facts = {"word": word}
    return Item(name, "self", "objective", "label", text, gold, aligned=persona, facts=facts)

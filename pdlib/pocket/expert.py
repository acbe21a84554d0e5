"""The pocket expert: writes the trajectory of either mode for a pocket item, as DeepSeek-R1 does in the paper."""

from pdlib.pocket.world import lexicon
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
    return _preference(item, Mode.PERSONALIZED, persona) if item.kind == "personalized" else _recall(item, item.facts["field"])


def write(item: Item, mode: Mode, persona: Persona | None) -> tuple[str, str]:
    """(reasoning, answer) of `mode`. The answer is in view, as in the published data pipeline.

    General trajectories are written from the question alone: a persona there is an error, and so is a personalised
    trajectory without one.
    """
    if mode is Mode.GENERAL and persona is not None:
        raise ValueError(f"item {item.id!r}: a general trajectory is written without the persona, found one")
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

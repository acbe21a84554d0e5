"""What the pocket world makes of a profile: who has it, and which replies it asks for."""

from pdlib.pocket.lexicon import lexicon
from pdlib.rlpa.profile import Profile
from pdlib.schema import Persona

FACTS = {  # slot -> what a pocket persona's facts call it
    "field": "field",
    "studies": "studies",
    "likes": "hobby",
    "wants": "style",
}
UNKNOWN_WORK = "neighbour"  # of the plain people: says nothing of a field
ASK_BACK = "tell me about you"  # the right reply where the slot is not known


def of(persona: Persona) -> Profile:
    """The profile of a pocket persona; ValueError for any other.

    >>> facts = {"field": "law", "studies": "bond", "hobby": "chess", "style": "short replies"}
    >>> of(Persona("a judge", facts))["likes"]
    'chess'
    """
    if not set(FACTS.values()) <= set(persona.facts):
        raise ValueError(
            f"the persona {persona.text[:60]!r} is not of the pocket world: its facts are "
            f"{persona.facts}; ask an endpoint for its slots (pdlib.rlpa.real)"
        )
    return {slot: persona.facts[fact] for slot, fact in FACTS.items() if persona.facts[fact]}


def persona(profile: Profile) -> Persona | None:
    """The asker whom an inferred profile describes, in the words of the given personas.

    A field becomes its first occupation; where no field is known the asker is a neighbour, who has
    none. What is unknown is not said. None where no slot can be read.

    >>> persona({"field": "music", "likes": "chess"}).text
    'a musician, likes chess'
    """
    occupations = lexicon().occupations
    field = profile.get("field") if profile.get("field") in occupations else None
    if not field and not set(profile) & {"studies", "likes", "wants"}:
        return None
    job = occupations[field][0] if field else UNKNOWN_WORK
    text = f"a {job}"
    if "studies" in profile:
        text += f" who studies {profile['studies']}"
    wishes = [f"{slot} {profile[slot]}" for slot in ("likes", "wants") if slot in profile]
    if wishes:
        text += f", {' and '.join(wishes)}"
    facts = {
        "field": field,
        "occupation": job,
        "studies": profile.get("studies"),
        "hobby": profile.get("likes"),
        "style": profile.get("wants"),
    }
    return Persona(text, facts)


def reply_to(about: str, word: str, profile: Profile) -> list[str]:
    """The replies that `profile` asks for, all accepted; the first is the usual one.

    >>> reply_to("likes", "", {"likes": "chess"})
    ['try chess']
    >>> reply_to("field", "bow", {"field": "music"}), reply_to("field", "bow", {})
    (['stick for strings', 'string stick'], ['tell me about you'])
    """
    lex, value = lexicon(), profile.get(about)
    if about == "field":
        return lex.words.get(word, {}).get(value) or [ASK_BACK]
    if about == "likes":
        return [f"try {value}" if value else ASK_BACK]
    return [f"{lex.styles[value]}, {word}" if value in lex.styles else ASK_BACK]

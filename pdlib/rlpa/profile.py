"""A profile: slot -> value [RLPA 3.2]. Its text, what a completion says of it, precision and
recall, and the persona it makes.
"""

from dataclasses import dataclass

from pdlib.pocket.world import lexicon
from pdlib.schema import Persona

Profile = dict[str, str]
SLOTS = ("field", "studies", "likes", "wants")  # of the pocket world
PAPER_SLOTS = (
    "Age",
    "Gender",
    "Interests",
    "Education Background",
    "Personality Traits",
    "Occupation",
    "Marital Status",
    "Family Background",
    "Location",
    "Other Information",
)  # RLPA App. C.2
NOTHING = "No cue."  # what stands in the place of a profile without slots
UNKNOWN_WORK = "neighbour"  # of the pocket world's plain people: says nothing of a field
INSTRUCTION = "First write what you know about me, one line for each of: {slots}. For example:\nlikes: chess\n"
FACTS = {
    "field": "field",
    "studies": "studies",
    "likes": "hobby",
    "wants": "style",
}  # slot -> what a pocket persona's facts call it


@dataclass(frozen=True)
class Written:
    """What a completion says of the user: `slots`, and how many `lines` it took for it (repeated
    and unreadable ones count).
    """

    slots: Profile
    lines: int


@dataclass(frozen=True)
class Agreement:
    """Of an inferred profile with the gold: shares in [0, 1]."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def of(persona: Persona) -> Profile:
    """The profile of a pocket persona; ValueError for any other.

    >>> of(Persona("a chemist", {"field": "chemistry", "studies": "bond", "hobby": "chess", "style": "short replies"}))["likes"]
    'chess'
    """
    if not set(FACTS.values()) <= set(persona.facts):
        raise ValueError(
            f"the persona {persona.text[:60]!r} is not of the pocket world: its facts are {persona.facts}; ask an endpoint "
            "for its slots (pdlib.rlpa.real)"
        )
    return {slot: persona.facts[fact] for slot, fact in FACTS.items() if persona.facts[fact]}


def text(profile: Profile, slots: tuple[str, ...] = SLOTS) -> str:
    """One line a slot, in the order of `slots`.

    >>> text({"likes": "chess", "field": "music"})
    'field: music\\nlikes: chess'
    """
    order = [*slots, *(slot for slot in profile if slot not in slots)]
    return "\n".join(f"{slot}: {profile[slot]}" for slot in order if slot in profile) or NOTHING


def read(said: str) -> Written:
    """The profile that `text` wrote; of a slot that is written twice the last line holds, and both
    count as lines.

    >>> read("field: music\\nlikes: chess\\nso what")
    Written(slots={'field': 'music', 'likes': 'chess'}, lines=3)
    """
    lines = [line.strip().removeprefix("- ") for line in said.splitlines() if line.strip()]
    if lines == [NOTHING]:
        return Written({}, 0)
    pairs = [
        (slot.strip(), value.strip())
        for slot, colon, value in (line.partition(":") for line in lines)
        if colon and value.strip()
    ]
    return Written(dict(pairs), len(lines))


def agreement(written: Written, gold: Profile) -> Agreement:
    """Slots with the gold's value over lines written, and over the gold's slots [RLPA 3.2]; nothing
    written where nothing is known: 1, 1.

    >>> agreement(Written({"field": "music", "likes": "chess"}, 2), {"likes": "chess", "wants": "short replies", "studies": "bow"}).f1
    0.4
    """
    if not gold and not written.lines:
        return Agreement(1.0, 1.0)
    right = sum(written.slots.get(slot) == value for slot, value in gold.items())
    return Agreement(
        right / written.lines if written.lines else 0.0, right / len(gold) if gold else 0.0
    )


def persona(profile: Profile) -> Persona | None:
    """The asker whom an inferred profile describes, of pocket slots in the words of the given ones;
    None where no slot can be read.

    A field becomes its first occupation; where no field is known the asker is a neighbour, who has
    none. What is unknown is not said. Other slots are told as they are.

    >>> persona({"field": "music", "likes": "chess"}).text
    'a musician, likes chess'
    """
    lex = lexicon()
    if set(profile) & set(PAPER_SLOTS):
        return Persona(
            "somebody of whom this is known: "
            + "; ".join(f"{slot}: {value}" for slot, value in profile.items())
        )
    field = profile.get("field") if profile.get("field") in lex.occupations else None
    if not set(profile) & {"studies", "likes", "wants"} and not field:
        return None
    study = f" who studies {profile['studies']}" if "studies" in profile else ""
    rest = [f"{slot} {profile[slot]}" for slot in ("likes", "wants") if slot in profile]
    job = lex.occupations[field][0] if field else UNKNOWN_WORK
    said = f"a {job}{study}" + (f", {' and '.join(rest)}" if rest else "")
    return Persona(
        said,
        {
            "field": field,
            "occupation": job,
            "studies": profile.get("studies"),
            "hobby": profile.get("likes"),
            "style": profile.get("wants"),
        },
    )

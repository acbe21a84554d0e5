"""A profile is slot -> value [RLPA 3.2]: how it is written, read, and compared with another.

What the pocket world makes of a profile is in `pocket_profile`.
"""

from dataclasses import dataclass

Profile = dict[str, str]
SLOTS = ("field", "studies", "likes", "wants")  # of the pocket world
PAPER_SLOTS = (  # RLPA App. C.2
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
)
NOTHING = "No cue."  # what stands in the place of a profile without slots
INSTRUCTION = (
    "First write what you know about me, one line for each of: {slots}. "
    "For example:\nlikes: chess\n"
)


@dataclass(frozen=True)
class WrittenProfile:
    """What a completion says of the user.

    lines: how many lines it took for the `slots`; repeated and unreadable ones count.
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
        """The harmonic mean of precision and recall; 0 where both are 0."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def text(profile: Profile, slots: tuple[str, ...] = SLOTS) -> str:
    r"""One line per slot, in the order of `slots`.

    >>> text({"likes": "chess", "field": "music"})
    'field: music\nlikes: chess'
    """
    order = [*slots, *(slot for slot in profile if slot not in slots)]
    return "\n".join(f"{slot}: {profile[slot]}" for slot in order if slot in profile) or NOTHING


def read(text: str) -> WrittenProfile:
    r"""The profile that `text` wrote.

    Of a slot that is written twice the last line holds, and both count as lines.

    >>> read("field: music\nlikes: chess\nso what")
    WrittenProfile(slots={'field': 'music', 'likes': 'chess'}, lines=3)
    """
    lines = [line.strip().removeprefix("- ") for line in text.splitlines() if line.strip()]
    if lines == [NOTHING]:
        return WrittenProfile({}, 0)
    slots = {}
    for line in lines:
        slot, _, value = line.partition(":")
        if value.strip():
            slots[slot.strip()] = value.strip()
    return WrittenProfile(slots, len(lines))


def agreement(written: WrittenProfile, gold: Profile) -> Agreement:
    """Precision and recall of the slots that have the gold's value [RLPA 3.2].

    Precision is their share of the lines written, recall their share of the gold's slots. Both are
    1 where nothing is written and nothing is known.

    >>> written = WrittenProfile({"field": "music", "likes": "chess"}, 2)
    >>> agreement(written, {"likes": "chess", "wants": "short replies", "studies": "bow"}).f1
    0.4
    """
    if not gold and not written.lines:
        return Agreement(1.0, 1.0)
    right = sum(written.slots.get(slot) == value for slot, value in gold.items())
    precision = right / written.lines if written.lines else 0.0
    return Agreement(precision, right / len(gold) if gold else 0.0)

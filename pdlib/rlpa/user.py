"""The simulated user of the pocket world [RLPA 3.1]: a hidden profile, told piece by piece, with
mistakes.

In each turn the user says something about themselves, or nothing, and asks a question whose right
reply hangs on one slot. What is said: plain, "I like chess."; a change, "now I like chess.": from
here on this is so; a hint, "I am near the piano.": a place of the user's field, or (HINT_MISLEADS)
of another; a whim, "perhaps I like chess.", which contradicts what was said before and is never so.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pdlib.pocket.world import World, is_held_out_persona, lexicon
from pdlib.rlpa import profile as profiles
from pdlib.rlpa.profile import Profile
from pdlib.schema import Item, Persona

VERSION = 2  # of `script`: what was asked of other users is asked again
KINDS = ("steady", "change", "contradiction")  # of dialogues
HINTS, HINT_MISLEADS = (
    0.5,
    0.3,
)  # ours: shares of users that begin with a hint, and of hints that mislead
ASKS_KNOWN = 0.75  # ours: share of questions about a slot that was spoken of, where there is one
UNITS = (
    ("field", "studies"),
    ("likes",),
    ("wants",),
)  # what changes together: one studies a word of one's own field
SENTENCES = {
    "field": "I am a {v}.",
    "studies": "I study {v}.",
    "likes": "I like {v}.",
    "wants": "I want {v}.",
}
BEFORE = {"plain": "", "change": "now ", "whim": "perhaps "}
QUESTIONS = {
    "field": ["what is {w}?", "define {w}."],
    "likes": ["suggest a pastime.", "what should I do today?"],
    "wants": ["tell me about {w}.", "say something on {w}."],
}  # by the slot that the right reply hangs on
ASK_BACK = "tell me about you"  # the right reply where that slot is not known


@dataclass(frozen=True)
class Statement:
    """What is said of a slot, and how: plain | change | hint | whim. The hidden profile is touched
    by plain and change only.
    """

    slot: str
    value: str
    how: str = "plain"
    cue: str = ""
    job: str = ""

    @property
    def sentence(self) -> str:
        if self.how == "hint":
            return f"I am near the {self.cue}."
        return BEFORE[self.how] + SENTENCES[self.slot].format(v=self.job or self.value)


@dataclass(frozen=True)
class Turn:
    """One message of the user. revealed: the part of the hidden profile that was told so far;
    whole: all of it, as it now is.

    about: the slot that the right reply hangs on; word: the word asked about. Both are empty for a
    user behind an endpoint.
    """

    text: str
    said: tuple[Statement, ...]
    about: str
    word: str
    revealed: Profile
    whole: Profile


@dataclass(frozen=True)
class User:
    """A script of turns, since the pocket user does not react; empty for a user behind an endpoint.

    persona: who they are in the end; before: who talks in the first half, where that is another;
    item: a question to ask afterwards.
    """

    id: str
    kind: str
    turns: tuple[Turn, ...]
    persona: Persona
    item: Item | None = None
    before: Persona | None = None


def reply_to(about: str, word: str, profile: Profile) -> list[str]:
    """The replies that `profile` asks for, all accepted, the first is the usual one.

    >>> reply_to("likes", "", {"likes": "chess"}), reply_to("field", "bow", {"field": "music"}), reply_to("field", "bow", {})
    (['try chess'], ['stick for strings', 'string stick'], ['tell me about you'])
    """
    lex, value = lexicon(), profile.get(about)
    if about == "field":
        return lex.words.get(word, {}).get(value) or [ASK_BACK]
    if about == "likes":
        return [f"try {value}" if value else ASK_BACK]
    return [f"{lex.styles[value]}, {word}" if value in lex.styles else ASK_BACK]


def script(
    name: str,
    kind: str,
    persona: Persona,
    rng: random.Random,
    n_turns: int,
    then: Persona | None = None,
) -> User:
    """A user who talks for `n_turns`. then: who they turn out to be from the middle on (kind
    change), with all that differs.

    The first half has n_turns // 2 turns, however much there is to tell. One slot is spoken of in a
    turn; turns in which nothing is said of the user fill up the rest. So no change and no whim
    comes before the middle, and no hint gives the later field away. From the middle on a change is
    told two slots a turn, as far as the turns reach, and then what was not told yet. ValueError
    where there is nothing to ask about, or no turn before the change or the contradiction.
    """
    first = profiles.of(persona)
    middle = n_turns // 2  # turns before the change or the contradiction
    if not set(first) & set(QUESTIONS):
        raise ValueError(
            f"the persona {persona.text[:60]!r} has no slot to ask about: expected a value of one of {tuple(QUESTIONS)}, "
            f"found {first}"
        )
    if kind != "steady" and not middle:
        raise ValueError(
            f"a user of kind {kind!r} needs a turn before the middle, found n_turns {n_turns}: set dynamic_turns to 2 or more"
        )
    order = rng.sample(list(first), len(first))
    plain = {
        slot: Statement(slot, value, job=persona.facts["occupation"] if slot == "field" else "")
        for slot, value in first.items()
    }
    talk = [[plain[slot]] for slot in order]
    if (
        "field" in first and middle > 1 and rng.random() < HINTS
    ):  # a single turn before the middle has to state something
        shown = {first["field"], profiles.of(then).get("field")} if then else {first["field"]}
        talk.insert(rng.randrange(order.index("field") + 1), [_hint(first["field"], shown, rng)])
    if kind == "steady":
        talk = _filled(talk, n_turns, rng)
    else:
        half, left = _filled(talk[:middle], middle, rng), talk[middle:]
        spoken = [one for turn in half for one in turn]
        if kind == "change":
            changed = _changes(spoken, first, then, rng)
            left = [turn for turn in left if turn[0].slot not in {one.slot for one in changed}]
            late = [changed[start : start + 2] for start in range(0, len(changed), 2)] + left
        else:
            late = [[_whim(spoken, first, rng)], *left]
        talk = half + late
    talk = (talk + [[] for _ in range(n_turns)])[:n_turns]
    return User(name, kind, tuple(_turns(talk, first, rng)), then or persona)


def _filled(
    talk: Sequence[list[Statement]], n_turns: int, rng: random.Random
) -> list[list[Statement]]:
    """The turns of `talk`, and empty ones among or after them until there are `n_turns`; something
    is said in the first.
    """
    filled = list(talk)
    while len(filled) < n_turns:
        filled.insert(rng.randrange(1, len(filled) + 1), [])
    return filled


def _hint(field: str, avoided: Collection[str], rng: random.Random) -> Statement:
    """A hint at `field`, or a misleading one at a field that is none of those `avoided`."""
    shown = (
        rng.choice([f for f in lexicon().cues if f not in avoided])
        if rng.random() < HINT_MISLEADS
        else field
    )
    return Statement("field", shown, "hint", rng.choice(lexicon().cues[shown]))


def _changes(
    spoken: Sequence[Statement], first: Profile, then: Persona | None, rng: random.Random
) -> list[Statement]:
    """All that differs in `then`; or, of a person drawn anew, some units of what was told: at least
    one slot gets another value.

    The new field is none that was spoken of, in a hint either.
    """
    if then is not None:
        return _differing(first, then, profiles.SLOTS)
    told = {one.slot for one in spoken if one.how == "plain"}
    units = [unit for unit in UNITS if set(unit) & told]
    avoided = {first.get("field"), *(one.value for one in spoken if one.slot == "field")}
    changed = []
    while not changed:  # the person drawn may like and want the same
        drawn = World(rng.random(), "train").persona(
            rng.choice([f for f in lexicon().cues if f not in avoided])
        )
        changed = _differing(
            first,
            drawn,
            {slot for unit in rng.sample(units, rng.randint(1, len(units))) for slot in unit},
        )
    return changed


def _differing(first: Profile, then: Persona, wanted: Collection[str]) -> list[Statement]:
    """The changes that make the `wanted` slots of the profile `first` those of the persona `then`."""
    new = profiles.of(then)
    slots = [
        slot
        for slot in profiles.SLOTS
        if slot in wanted and slot in new and new[slot] != first.get(slot)
    ]
    return [
        Statement(
            slot, new[slot], "change", job=then.facts["occupation"] if slot == "field" else ""
        )
        for slot in slots
    ]


def _whim(spoken: Sequence[Statement], first: Profile, rng: random.Random) -> Statement:
    """A value that is not so and was not spoken of, of a slot that was told."""
    slot, lex = rng.choice([one.slot for one in spoken if one.how == "plain"]), lexicon()
    values = {
        "field": list(lex.cues),
        "studies": list(lex.words),
        "likes": lex.hobbies,
        "wants": list(lex.styles),
    }[slot]
    avoided = {first[slot], *(one.value for one in spoken if one.slot == slot)}
    value = rng.choice([v for v in values if v not in avoided])
    return Statement(
        slot, value, "whim", job=rng.choice(lex.occupations[value]) if slot == "field" else ""
    )


def _turns(talk: Sequence[Sequence[Statement]], first: Profile, rng: random.Random) -> list[Turn]:
    revealed, whole, spoken, out = {}, dict(first), set(), []
    for said in talk:
        for one in said:
            spoken.add(one.slot)
            if one.how in BEFORE and one.how != "whim":
                whole[one.slot] = revealed[one.slot] = one.value
            elif one.how == "hint" and one.value == whole.get("field"):
                revealed["field"] = one.value
        about, word, question = _question(whole, spoken, rng)
        out.append(
            Turn(
                " ".join([*(one.sentence for one in said), question]),
                tuple(said),
                about,
                word,
                dict(revealed),
                dict(whole),
            )
        )
    return out


def _question(whole: Profile, spoken: set[str], rng: random.Random) -> tuple[str, str, str]:
    lex = lexicon()
    askable = [slot for slot in QUESTIONS if slot in whole]
    known = [slot for slot in askable if slot in spoken]
    about = rng.choice(known if known and rng.random() < ASKS_KNOWN else askable)
    words = [
        word for word, senses in lex.words.items() if about != "field" or whole["field"] in senses
    ]
    word = "" if about == "likes" else rng.choice(words)
    return about, word, rng.choice(QUESTIONS[about]).format(w=word)


def draw(
    name: str,
    seed: int | str,
    n: int,
    n_turns: int,
    kinds: Sequence[str] = KINDS,
    held_out: bool = False,
) -> list[User]:
    """N users of `kinds` in turn, from one seed; held_out: (occupation, hobby, style) combinations
    that no training user has.
    """
    world, rng, out = (
        World(f"users|{seed}", "test" if held_out else "train"),
        random.Random(f"users|{name}|{seed}"),
        [],
    )
    while len(out) < n:
        persona = world.any_persona()
        if (
            is_held_out_persona(*(persona.facts[fact] for fact in ("occupation", "hobby", "style")))
            is held_out
        ):
            out.append(
                script(
                    f"{name}-{seed}-{len(out)}", kinds[len(out) % len(kinds)], persona, rng, n_turns
                )
            )
    return out

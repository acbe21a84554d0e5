"""The simulated user of the pocket world [RLPA 3.1]: a hidden profile, told with mistakes.

In each turn the user says something about themselves, or nothing, and asks a question whose right
reply hangs on one slot. A statement has one of four forms:
- plain, "I like chess.";
- a change, "now I like chess.": from here on this is so;
- a hint, "I am near the piano.": a place of the user's field, or (HINT_MISLEADS) of another;
- a whim, "perhaps I like chess.", which contradicts what was said before and is never so.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pdlib import config
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.splits import is_held_out_persona
from pdlib.pocket.world import World
from pdlib.rlpa import pocket_profile
from pdlib.rlpa.profile import SLOTS, Profile
from pdlib.rlpa.user import KINDS, Turn, User
from pdlib.schema import Persona

HINTS = 0.5  # ours: share of users that begin with a hint
HINT_MISLEADS = 0.3  # ours: share of hints that mislead
ASKS_KNOWN = 0.75  # ours: share of questions about a slot that was spoken of, where there is one
# what changes together: one studies a word of one's own field
UNITS = (("field", "studies"), ("likes",), ("wants",))
SENTENCES = {
    "field": "I am a {v}.",
    "studies": "I study {v}.",
    "likes": "I like {v}.",
    "wants": "I want {v}.",
}
BEFORE = {"plain": "", "change": "now ", "whim": "perhaps "}
QUESTIONS = {  # by the slot that the right reply hangs on
    "field": ["what is {w}?", "define {w}."],
    "likes": ["suggest a pastime.", "what should I do today?"],
    "wants": ["tell me about {w}.", "say something on {w}."],
}


@dataclass(frozen=True)
class Statement:
    """What is said of a slot, and how: plain | change | hint | whim.

    The hidden profile is touched by plain and change only. job: the occupation that names a field.
    """

    slot: str
    value: str
    how: str = "plain"
    cue: str = ""
    job: str = ""

    @property
    def sentence(self) -> str:
        """The words in which it is said."""
        if self.how == "hint":
            return f"I am near the {self.cue}."
        return BEFORE[self.how] + SENTENCES[self.slot].format(v=self.job or self.value)


def script(
    name: str,
    kind: str,
    persona: Persona,
    rng: random.Random,
    n_turns: int,
    then: Persona | None = None,
) -> User:
    """A user who talks for `n_turns`.

    then: who they turn out to be from the middle on (kind change), with all that differs.

    The first half has n_turns // 2 turns, however much there is to tell. One slot is spoken of in a
    turn; turns in which nothing is said of the user fill up the rest. So no change and no whim
    comes before the middle, and no hint gives the later field away. From the middle on a change is
    told two slots per turn, as far as the turns reach, and then what was not told yet. ValueError
    where there is nothing to ask about, or no turn before the change or the contradiction.
    """
    first = pocket_profile.of(persona)
    later = pocket_profile.of(then) if then else first
    middle = n_turns // 2  # turns before the change or the contradiction
    if not set(first) & set(QUESTIONS):
        raise ValueError(
            f"the persona {persona.text[:60]!r} has no slot to ask about: expected a value of one "
            f"of {tuple(QUESTIONS)}, found {first}"
        )
    if kind != "steady" and not middle:
        raise ValueError(
            f"a user of kind {kind!r} needs a turn before the middle, found n_turns {n_turns}: "
            "set dynamic_turns to 2 or more"
        )
    order = rng.sample(list(first), len(first))
    talk = [[_statement(slot, first[slot], "plain", persona)] for slot in order]
    # A single turn before the middle has to state something, so it is no hint.
    if "field" in first and middle > 1 and rng.random() < HINTS:
        hint_at = rng.randrange(order.index("field") + 1)
        talk.insert(hint_at, [_hint(first["field"], {first["field"], later.get("field")}, rng)])
    if kind == "steady":
        talk = _filled(talk, n_turns, rng)
    else:
        half, rest = _filled(talk[:middle], middle, rng), talk[middle:]
        spoken = [statement for turn in half for statement in turn]
        if kind == "change":
            changes = _changes(spoken, first, then, rng)
            changed_slots = {change.slot for change in changes}
            pairs = [changes[start : start + 2] for start in range(0, len(changes), 2)]
            talk = half + pairs + [turn for turn in rest if turn[0].slot not in changed_slots]
        else:
            talk = [*half, [_whim(spoken, first, rng)], *rest]
    talk = (talk + [[] for _ in range(n_turns)])[:n_turns]
    return User(name, kind, tuple(_turns(talk, first, rng)), then or persona, later)


def _statement(slot: str, value: str, how: str, persona: Persona) -> Statement:
    """A field is told by the persona's occupation, all else as it is."""
    return Statement(slot, value, how, job=persona.facts["occupation"] if slot == "field" else "")


def _filled(
    talk: Sequence[list[Statement]], n_turns: int, rng: random.Random
) -> list[list[Statement]]:
    """The turns of `talk`, with empty ones among or after them until there are `n_turns`.

    Something is said in the first.
    """
    filled = list(talk)
    while len(filled) < n_turns:
        filled.insert(rng.randrange(1, len(filled) + 1), [])
    return filled


def _hint(field: str, avoided: Collection[str | None], rng: random.Random) -> Statement:
    """A hint at `field`, or a misleading one at a field that is none of those `avoided`."""
    cues = lexicon().cues
    if rng.random() < HINT_MISLEADS:
        field = rng.choice([name for name in cues if name not in avoided])
    return Statement("field", field, "hint", rng.choice(cues[field]))


def _changes(
    spoken: Sequence[Statement], first: Profile, then: Persona | None, rng: random.Random
) -> list[Statement]:
    """All that differs in `then`; or, of a person drawn anew, some units of what was told.

    At least one slot gets another value. The new field is none that was spoken of, in a hint
    either.
    """
    if then is not None:
        return _differing(first, then, SLOTS)
    told = {statement.slot for statement in spoken if statement.how == "plain"}
    units = [unit for unit in UNITS if set(unit) & told]
    avoided = {first.get("field"), *_values_of("field", spoken)}
    changes = []
    while not changes:  # the person drawn may like and want the same
        fields = [field for field in lexicon().cues if field not in avoided]
        drawn = World(rng.random(), "train").persona(rng.choice(fields))
        changing = rng.sample(units, rng.randint(1, len(units)))
        changes = _differing(first, drawn, {slot for unit in changing for slot in unit})
    return changes


def _values_of(slot: str, spoken: Sequence[Statement]) -> list[str]:
    return [statement.value for statement in spoken if statement.slot == slot]


def _differing(first: Profile, then: Persona, slots: Collection[str]) -> list[Statement]:
    """The changes that make the `slots` of the profile `first` those of the persona `then`."""
    new = pocket_profile.of(then)
    changed = [slot for slot in SLOTS if slot in slots and slot in new]
    return [
        _statement(slot, new[slot], "change", then)
        for slot in changed
        if new[slot] != first.get(slot)
    ]


def _whim(spoken: Sequence[Statement], first: Profile, rng: random.Random) -> Statement:
    """A value that is not so and was not spoken of, of a slot that was told."""
    lex = lexicon()
    slot = rng.choice([statement.slot for statement in spoken if statement.how == "plain"])
    values = {
        "field": list(lex.cues),
        "studies": list(lex.words),
        "likes": lex.hobbies,
        "wants": list(lex.styles),
    }[slot]
    avoided = {first[slot], *_values_of(slot, spoken)}
    value = rng.choice([value for value in values if value not in avoided])
    job = rng.choice(lex.occupations[value]) if slot == "field" else ""
    return Statement(slot, value, "whim", job=job)


def _turns(talk: Sequence[Sequence[Statement]], first: Profile, rng: random.Random) -> list[Turn]:
    revealed, whole, spoken, turns = {}, dict(first), set(), []
    for statements in talk:
        for statement in statements:
            spoken.add(statement.slot)
            if statement.how in ("plain", "change"):
                whole[statement.slot] = revealed[statement.slot] = statement.value
            elif statement.how == "hint" and statement.value == whole.get("field"):
                revealed["field"] = statement.value
        about, word, question = _question(whole, spoken, rng)
        turns.append(
            Turn(
                " ".join([*(statement.sentence for statement in statements), question]),
                dict(revealed),
                dict(whole),
                tuple(statements),
                about,
                word,
                tuple(pocket_profile.reply_to(about, word, revealed)),
            )
        )
    return turns


def _question(whole: Profile, spoken: set[str], rng: random.Random) -> tuple[str, str, str]:
    """(the slot that it is about, the word it names, its text)."""
    words = lexicon().words
    askable = [slot for slot in QUESTIONS if slot in whole]
    known = [slot for slot in askable if slot in spoken]
    about = rng.choice(known if known and rng.random() < ASKS_KNOWN else askable)
    if about == "likes":
        word = ""
    elif about == "field":
        word = rng.choice([word for word, senses in words.items() if whole["field"] in senses])
    else:
        word = rng.choice(list(words))
    return about, word, rng.choice(QUESTIONS[about]).format(w=word)


def draw(
    name: str,
    seed: int | str,
    n: int,
    n_turns: int,
    kinds: Sequence[str] = KINDS,
    held_out: bool = False,
) -> list[User]:
    """N users of `kinds` in turn, from one seed.

    held_out: (occupation, hobby, style) combinations that no training user has.
    """
    world = World(f"users|{seed}", "test" if held_out else "train")
    rng, users = random.Random(f"users|{name}|{seed}"), []
    while len(users) < n:
        persona = world.any_persona()
        who = [persona.facts[fact] for fact in ("occupation", "hobby", "style")]
        if is_held_out_persona(*who) is held_out:
            k = len(users)
            users.append(script(f"{name}-{seed}-{k}", kinds[k % len(kinds)], persona, rng, n_turns))
    return users


def test_users(cfg: config.Config) -> list[User]:
    """`dynamic_test_users` of each kind.

    None of them has a training user's occupation, hobby and style together.
    """
    n = cfg.dynamic_test_users * len(KINDS)
    return draw("test", cfg.seed, n, cfg.dynamic_turns, held_out=True)

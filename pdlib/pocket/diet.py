"""What the pocket backbones read: statements, questions with and without a persona, preference questions."""

import random

from pdlib.pocket.world import BENCHMARKS, People, World, lexicon
from pdlib.schema import Item, Persona

Statement = tuple[str, str]
Question = tuple[Item, Persona | None]


def _statement(rng: random.Random, lex) -> Statement:
    """(prompt, completion) of one plain sentence: a fact, what a cue points to, or what an occupation is about."""
    words = lex.units if rng.random() < 0.15 else lex.words
    word = rng.choice(list(words))
    field = rng.choice(list(words[word]))
    form = rng.random()
    if form < 0.2:
        return f"The {rng.choice(lex.cues[field])} points to", f" {field}."
    if form < 0.4:
        return f"You are a {rng.choice(lex.occupations[field])}, so", f" {field}."
    if words is lex.units:
        return f'In {field}, one {word} is "', f'{words[word][field][0]}".'
    return f'In {field}, {word} is "', f'{words[word][field][0]}".'


def self_questions(seed: int, n: int, people: People | None = None) -> list[Question]:
    """n questions about the asker ("do I study bond?"), read first: they teach to compare a persona with a question."""
    world = World(seed, "train", people=people)
    return [(item, item.aligned) for item in (world.self_question() for _ in range(n))]


def draw(seed: int, n: int, cue_share: float, persona_fits: bool = True, people: People | None = None) -> list[Statement | Question]:
    """n training examples: 22 % statements, 8 % questions about the asker, 18 % questions without persona, 39 % with,
    13 % preference questions.

    With persona_fits every persona is of the question's field: such a backbone learns to trust it, as a model does
    that was trained on conversations people chose to have. With False (the null world) personas carry no information.
    people: what a fitting persona shares with the question.
    """
    world, rng, rows = World(seed, "train", cue_share, persona_fits, people=people), random.Random(f"diet|{seed}"), []
    objective = [name for name, kind in BENCHMARKS.items() if kind == "objective"]
    preference = [name for name, kind in BENCHMARKS.items() if kind == "personalized"]
    for _ in range(n):
        share = rng.random()
        if share < 0.22:
            rows.append(_statement(rng, lexicon()))
        elif share < 0.30:
            item = world.self_question()
            rows.append((item, item.aligned))
        elif share < 0.87:
            item = world.item(rng.choices(objective, [1.5, 1, 1, 1, 0.6])[0])
            rows.append((item, item.aligned if share >= 0.48 else None))
        else:
            item = world.item(rng.choice(preference))
            rows.append((item, item.aligned))
    return rows

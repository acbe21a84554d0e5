"""What the pocket backbones read: statements, questions with and without a persona, preference
questions.
"""

import random

from pdlib.pocket.world import BENCHMARKS, People, World, lexicon
from pdlib.schema import Item, Persona

Statement = tuple[str, str]
Question = tuple[Item, Persona | None]
VERSION = {
    "word": 2,
    "field": 3,
}  # of what is read in each world: with another one, backbones are trained again
LIST_LENGTH = 8  # words a list
LISTS = {"word": 0.2, "field": 0.35}  # of what is read after `first`, the share of word lists
OF_WORK = {
    "word": 0.0,
    "field": 0.85,
}  # of these lists, how many ask for the words of a profession; nobody needs them where fit="word"


def _statement(rng: random.Random, lex) -> Statement:
    """(prompt, completion) of one plain sentence: a fact, what a cue points to, or what an
    occupation is about.
    """
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


def first(seed: int, n: int, people: People | None = None) -> list[Statement | Question]:
    """N examples that are read first and teach to compare an asker with a question: word lists
    ("which do I study?"), and then, a quarter of all, questions about the asker ("do I study
    bond?").

    A list gives LIST_LENGTH answers where a question gives one. Three backbones that read questions
    alone hardly learned the comparison (backbone_first_steps in profiles/pocket.yaml).
    """
    questions, lists, world = (
        n // 4,
        _WordLists(f"first|{seed}"),
        World(seed, "train", people=people),
    )
    asked = [world.self_question() for _ in range(questions)]
    return [lists.draw() for _ in range(n - questions)] + [(item, item.aligned) for item in asked]


class _WordLists:
    """Lists of words, after each of which stands whether the asker studies it; in a share `work` of
    the lists, whether the asker's profession has a meaning for it.
    """

    def __init__(self, seed: str, work: float = 0.0):
        self.world, self.work = World(seed, "train"), work
        self.senses = self.world.words | self.world.units

    def draw(self) -> Statement:
        rng = self.world.rng
        field = rng.choice(list(self.world.lex.cues))
        persona, of_work = self.world.persona(field), rng.random() < self.work
        ours = (
            {word for word, fields in self.senses.items() if field in fields}
            if of_work
            else {persona.facts["studies"]}
        )
        groups = {"yes": sorted(ours), "no": sorted(set(self.senses) - ours)}
        said = [
            f" {rng.choice(groups[label])} {label}"
            for label in rng.choices(("yes", "no"), k=LIST_LENGTH)
        ]
        question = "which are words of my work?" if of_work else "which do I study?"
        return f"I am {persona.text}, my question is:\n{question}", ",".join(said)


def reading(seed: int, n: int) -> list[Statement]:
    """N rows for a backbone that has not read about the pocket world, before SFT: by turns a
    statement, and a list of words of an asker's work. Facts and vocabulary only: nobody asks a
    question of a benchmark, and no asker fits or misleads.
    """
    rng, lists = random.Random(f"reading|{seed}"), _WordLists(f"reading|{seed}", work=1.0)
    return [lists.draw() if at % 2 else _statement(rng, lexicon()) for at in range(n)]


def draw(
    seed: int, n: int, cue_share: float, persona_fits: bool = True, people: People | None = None
) -> list[Statement | Question]:
    """N training examples: LISTS word lists; of the others 20 % statements, 18 % questions about
    the asker, 14 % questions without persona, 36 % with, 12 % preference questions.

    With persona_fits every persona is of the question's field: such a backbone learns to trust it,
    as a model does that was trained on conversations people chose to have. With False (the null
    world) personas carry no information. people: what a fitting persona shares with the question.
    """
    world, rng, rows = (
        World(seed, "train", cue_share, persona_fits, people=people),
        random.Random(f"diet|{seed}"),
        [],
    )
    fit = people.fit if people else "word"
    lists = _WordLists(f"lists|{seed}", OF_WORK[fit])
    objective = [name for name, kind in BENCHMARKS.items() if kind == "objective"]
    preference = [name for name, kind in BENCHMARKS.items() if kind == "personalized"]
    for _ in range(n):
        if rng.random() < LISTS[fit]:
            rows.append(lists.draw())
            continue
        share = rng.random()
        if share < 0.20:
            rows.append(_statement(rng, lexicon()))
        elif share < 0.38:
            item = world.self_question()
            rows.append((item, item.aligned))
        elif share < 0.88:
            item = world.item(rng.choices(objective, [1.5, 1, 1, 1, 0.6])[0])
            rows.append((item, item.aligned if share >= 0.52 else None))
        else:
            item = world.item(rng.choice(preference))
            rows.append((item, item.aligned))
    return rows

"""What the pocket backbones read: statements, word lists, questions with and without persona."""

import random

from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.personas import People
from pdlib.pocket.self_questions import self_question
from pdlib.pocket.world import BENCHMARKS, World
from pdlib.schema import Item, Persona

Statement = tuple[str, str]  # prompt, completion
Question = tuple[Item, Persona | None]
# of what is read in each world: with another version, backbones are trained again
VERSION = {"word": 2, "field": 3}
LIST_LENGTH = 8  # words per list
LIST_SHARE = {"word": 0.2, "field": 0.35}  # of what is read after `first`, the share of word lists
# of these lists, how many ask for the words of a profession; nobody needs them where fit="word"
WORK_SHARE = {"word": 0.0, "field": 0.85}


def _statement(rng: random.Random) -> Statement:
    """One plain sentence: a fact, what a cue points to, or what an occupation is about."""
    lex = lexicon()
    words = lex.units if rng.random() < 0.15 else lex.words
    word = rng.choice(list(words))
    field = rng.choice(list(words[word]))
    form = rng.random()
    if form < 0.2:
        return f"The {rng.choice(lex.cues[field])} points to", f" {field}."
    if form < 0.4:
        return f"You are a {rng.choice(lex.occupations[field])}, so", f" {field}."
    subject = f"one {word}" if words is lex.units else word
    return f'In {field}, {subject} is "', f'{words[word][field][0]}".'


def first(seed: int, n: int, people: People | None = None) -> list[Statement | Question]:
    """N examples that are read first and teach to compare an asker with a question.

    Three quarters are word lists ("which do I study?"), then a quarter are questions about the
    asker ("do I study bond?"). A list gives LIST_LENGTH answers where a question gives one. Three
    backbones that read questions alone hardly learned the comparison (backbone_first_steps in
    profiles/pocket.yaml).
    """
    n_questions = n // 4
    lists, world = _WordLists(f"first|{seed}"), World(seed, "train", people=people)
    items = [self_question(world) for _ in range(n_questions)]
    questions = [(item, item.aligned) for item in items]
    return [lists.draw() for _ in range(n - n_questions)] + questions


class _WordLists:
    """Lists of words, after each of which stands whether the asker studies it.

    In a share `work` of the lists it stands whether the asker's profession has a meaning for it.
    """

    def __init__(self, seed: str, work: float = 0.0):
        self.world, self.work = World(seed, "train"), work
        self.senses = self.world.words | self.world.units

    def draw(self) -> Statement:
        rng = self.world.rng
        field = rng.choice(list(self.world.lex.cues))
        persona, of_work = self.world.persona(field), rng.random() < self.work
        if of_work:
            question, right = "which are words of my work?", set(self.world.words_of(field))
        else:
            question, right = "which do I study?", {persona.facts["studies"]}
        words = {"yes": sorted(right), "no": sorted(set(self.senses) - right)}
        labels = rng.choices(("yes", "no"), k=LIST_LENGTH)
        answers = [f" {rng.choice(words[label])} {label}" for label in labels]
        return f"I am {persona.text}, my question is:\n{question}", ",".join(answers)


def reading(seed: int, n: int) -> list[Statement]:
    """N rows for a backbone that has not read about the pocket world, before SFT.

    By turns a statement, and a list of words of an asker's work. Facts and vocabulary only: nobody
    asks a question of a benchmark, and no asker fits or misleads.
    """
    rng, lists = random.Random(f"reading|{seed}"), _WordLists(f"reading|{seed}", work=1.0)
    return [lists.draw() if at % 2 else _statement(rng) for at in range(n)]


def draw(
    seed: int, n: int, cue_share: float, persona_fits: bool = True, people: People | None = None
) -> list[Statement | Question]:
    """N training examples, a share LIST_SHARE of them word lists.

    Of the others 20 % are statements, 18 % questions about the asker, 14 % questions without
    persona, 36 % questions with a persona, 12 % preference questions.

    With persona_fits every persona is of the question's field: such a backbone learns to trust it,
    as a model does that was trained on conversations people chose to have. With False (the null
    world) personas carry no information. people: what a fitting persona shares with the question.
    """
    fit = people.fit if people else "word"
    world = World(seed, "train", cue_share, persona_fits, people=people)
    rng, lists = random.Random(f"diet|{seed}"), _WordLists(f"lists|{seed}", WORK_SHARE[fit])
    objective = [name for name, kind in BENCHMARKS.items() if kind == "objective"]
    preference = [name for name, kind in BENCHMARKS.items() if kind == "personalized"]
    rows: list[Statement | Question] = []
    for _ in range(n):
        if rng.random() < LIST_SHARE[fit]:
            rows.append(lists.draw())
            continue
        share = rng.random()
        if share < 0.20:
            rows.append(_statement(rng))
            continue
        if share < 0.38:
            item = self_question(world)
        elif share < 0.88:
            item = world.item(rng.choices(objective, [1.5, 1, 1, 1, 0.6])[0])
        else:
            item = world.item(rng.choice(preference))
        is_anonymous = 0.38 <= share < 0.52
        rows.append((item, None if is_anonymous else item.aligned))
    return rows

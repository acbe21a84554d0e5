"""The pocket world: items and personas drawn from the lexicon, everything from one seed.

An ambiguous word is asked about, sometimes near a cue that settles its field, sometimes without
one. The asker may say who they are. A persona that fits the question settles a word without a cue;
one that does not is noise. Which persona an item is asked under is decided elsewhere: nothing here
knows the condition.

There are two worlds. In the world `fit="word"` a fitting persona always studies the very word that
is asked about, and strangers are drawn at random: comparing two words is enough to see who fits. In
the world `fit="field"` it is not. Some fitting personas share only the profession and study another
word of the field. Some strangers study the word that is asked about, but their profession has no
meaning for it. Some stand near a cue that contradicts their profession. To see who fits, a reader
has to know which words a profession uses, and to trust the cue more than the persona.
"""

import hashlib
from collections.abc import Sequence

from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.personas import People, Personas
from pdlib.pocket.splits import HELD_OUT_PROFESSIONS, HELD_OUT_WORDS, split_of, stable_hash
from pdlib.pocket.templates import TEMPLATES
from pdlib.questions.kinds import KIND
from pdlib.schema import Item, Persona

BENCHMARKS = dict(KIND)  # the paper's benchmark -> kind; the pocket twin has its form


def senses(item: Item) -> dict[str, list]:
    """Field -> what the word that an objective pocket item asks about means there."""
    return (lexicon().units if item.benchmark == "math500" else lexicon().words)[item.facts["word"]]


def knows(item: Item, persona: Persona | None) -> bool:
    """Whether the persona's profession has a meaning for the word that the question is about.

    >>> item = World(0, "test").item("triviaqa")
    >>> knows(item, item.aligned), knows(item, None)
    (True, False)
    """
    return persona is not None and persona.facts.get("field") in senses(item)


def studies_it(item: Item, persona: Persona | None) -> bool:
    """Whether the persona studies the very word that the objective question is about."""
    return persona is not None and persona.facts.get("studies") == item.facts["word"]


def commonest(word: str, fields: Sequence[str]) -> str:
    """The field of a word's commonest meaning."""
    return sorted(fields)[stable_hash(f"commonest|{word}") % len(fields)]


class World(Personas):
    """Draws items and personas.

    Two worlds of the same seed, split and settings draw the same things in order.
    cue_share: the share of questions that a cue settles.
    persona_fits: the persona of an objective item is of the item's field (True), or of any field
    (False: the null world, in which personas carry no information about questions).
    withhold: nothing in its questions is of HELD_OUT_WORDS or HELD_OUT_PROFESSIONS.
    people: what fitting and other personas share with the question; by default those of the world
    fit="word".
    """

    def __init__(
        self,
        seed: int | str,
        split: str,
        cue_share: float = 0.5,
        persona_fits: bool = True,
        withhold: bool = False,
        people: People | None = None,
    ):
        super().__init__(seed, split, withhold, people)
        self.cue_share, self.persona_fits = cue_share, persona_fits

    def item(self, benchmark: str) -> Item:
        """One item in the form of `benchmark`, with the persona that fits it."""
        if benchmark not in BENCHMARKS:
            raise ValueError(
                f"unknown pocket benchmark {benchmark!r}, expected one of {list(BENCHMARKS)}"
            )
        if BENCHMARKS[benchmark] == "personalized":
            return self._preference(benchmark)
        return self._objective(benchmark)

    def items(self, benchmark: str, n: int) -> list[Item]:
        """N items with distinct ids."""
        by_id: dict[str, Item] = {}
        while len(by_id) < n:
            item = self.item(benchmark)
            by_id.setdefault(item.id, item)
        return list(by_id.values())

    def _meant(self, word: str, fields: list[str]) -> str:
        """The field whose meaning of `word` a question is about.

        The commonest, or any other; all alike in the world fit="word".
        """
        share = self.people.commonest
        if self.people.fit == "word" or not share:
            return self.rng.choice(fields)
        usual = commonest(word, fields)
        if self.rng.random() < share:
            return usual
        return self.rng.choice([field for field in fields if field != usual])

    def _draw(self, benchmark: str, words: dict) -> tuple[str, str, str | None, str]:
        """(word, field, cue, template) that belong to this world's split."""
        rng, templates = self.rng, TEMPLATES[benchmark]
        while True:
            word = rng.choice(list(words))
            field = self._meant(word, list(words[word]))
            cue = rng.choice(self.lex.cues[field]) if rng.random() < self.cue_share else None
            template = rng.choice(templates)
            if split_of(word, cue, template, template == templates[-1]) == self.split:
                return word, field, cue, template

    def _objective(self, benchmark: str) -> Item:
        words = self.units if benchmark == "math500" else self.words
        word, field, cue, template = self._draw(benchmark, words)
        facts = {"word": word, "field": field, "cue": cue, "template": template}
        facts["readings"] = sorted(words[word])
        context = f"near the {cue}, " if cue else ""
        if benchmark == "math500":
            blanks, answer = self._count(word, field)
            facts["count"] = blanks["k"]
        elif benchmark == "pubmedqa":
            blanks, answer = self._claim(word, field)
            facts["g"] = blanks["g"]
            context = f"context: notes from near the {cue}.\n" if cue else "context: notes.\n"
        elif benchmark == "triviaqa":
            gold, *aliases = self.words[word][field]
            blanks, answer = {}, {"answer_type": "text", "gold": gold, "aliases": tuple(aliases)}
        else:
            blanks, answer = {}, self._choice(word, field, benchmark)
        question = context + template.format(w=word, **blanks)
        asker_field = field if self.persona_fits else self.rng.choice(list(self.lex.cues))
        fits = asker_field == field
        aligned = self.fitting(field, word) if fits else self.persona(asker_field)
        unaligned = self.stranger(word, field, cue, words[word])
        return self._item(benchmark, question, facts, aligned, unaligned, **answer)

    def _count(self, word: str, field: str) -> tuple[dict, dict]:
        """What fills the template's blanks, and the answer: so many of a unit."""
        count = self.rng.choice([1, 2, 3])
        gold = str(count * self.units[word][field][0])
        return {"k": count}, {"answer_type": "math", "gold": gold}

    def _claim(self, word: str, field: str) -> tuple[dict, dict]:
        """What fills the template's blanks, and the answer: is this the word's meaning?"""
        glosses = self.words[word]
        label = self.rng.choices(["yes", "no", "maybe"], [0.55, 0.33, 0.12])[0]  # near the real
        other = self.rng.choice([f for f in glosses if f != field])
        claims = {"yes": glosses[field][0], "no": glosses[other][0], "maybe": "useful"}
        return {"g": claims[label]}, {"answer_type": "label", "gold": label}

    def _choice(self, word: str, field: str, benchmark: str) -> dict:
        """The answer among options: other meanings of the word, and meanings of other words."""
        rng, gold = self.rng, self.words[word][field][0]
        rivals = [texts[0] for f, texts in self.words[word].items() if f != field]
        if benchmark == "supergpqa":
            size, wrong = rng.randint(6, 8), rivals
        else:
            size = rng.randint(4, 5)
            wrong = rng.sample(rivals, min(2, len(rivals)))
        while len(wrong) < size - 1:
            other_senses = self.words[rng.choice(list(self.words))].values()
            far = rng.choice([texts[0] for texts in other_senses])
            if far not in wrong and far != gold:
                wrong.append(far)
        options = tuple(rng.sample([gold, *wrong], size))
        return {"answer_type": "choice", "gold": gold, "options": options}

    def _preference(self, benchmark: str) -> Item:
        rng, templates = self.rng, TEMPLATES[benchmark]
        while True:
            word, template = rng.choice(list(self.words)), rng.choice(templates)
            persona = self.any_persona()
            who = "|".join(persona.facts[key] for key in ("occupation", "hobby", "style"))
            # personafeedback shows no word: the persona takes the word's place in the split.
            key = who if benchmark == "personafeedback" else word
            if split_of(key, None, template, template == templates[-1]) == self.split:
                break
        if benchmark == "personafeedback":
            wish, wishes = persona.facts["hobby"], self.lex.hobbies
        else:
            wish, wishes = persona.facts["style"], list(self.lex.styles)
        other = rng.choice([another for another in wishes if another != wish])
        if benchmark == "personafeedback":
            texts = [f"try {wish}", f"try {other}"]
        else:
            texts = [f"{self.lex.styles[style]}, {word}" for style in (wish, other)]
        options = tuple(rng.sample(texts, 2))
        return self._item(
            benchmark,
            template.format(w=word),
            {"word": word, "template": template},
            persona,
            answer_type="choice",
            gold=texts[0],
            options=options,
        )

    def _item(
        self,
        benchmark: str,
        question: str,
        facts: dict,
        aligned: Persona,
        unaligned: Persona | None = None,
        *,
        answer_type: str,
        gold: str,
        options: tuple[str, ...] = (),
        aliases: tuple[str, ...] = (),
    ) -> Item:
        shows_word = benchmark != "personafeedback"
        facts["held_out"] = {
            "word": facts["word"] in HELD_OUT_WORDS and shows_word,
            "template": facts["template"] == TEMPLATES[benchmark][-1],
            "profession": aligned.facts["occupation"] in HELD_OUT_PROFESSIONS,
        }
        content = f"{question}|{options}|{gold}|{aligned.text}"
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return Item(
            f"{benchmark}-{self.split}-{digest}",
            benchmark,
            BENCHMARKS[benchmark],
            answer_type,
            question,
            gold,
            options,
            aliases,
            "pocket",
            aligned,
            unaligned,
            facts,
        )

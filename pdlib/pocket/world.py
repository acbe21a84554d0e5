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
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from pdlib.schema import Item, Persona

BENCHMARKS = {  # the paper's benchmark -> kind; the pocket twin has its form
    "pubmedqa": "objective",
    "triviaqa": "objective",
    "mmlu_pro": "objective",
    "supergpqa": "objective",
    "math500": "objective",
    "personafeedback": "personalized",
    "fspo_roleplay": "personalized",
}
TEMPLATES = {  # the last one of each list is held out: it occurs in the test split only
    "triviaqa": [
        "what is {w}?",
        "what does {w} mean?",
        "define {w}.",
        "explain {w}.",
        "say what {w} is.",
    ],
    "mmlu_pro": [
        "which one is {w}?",
        "choose what {w} is.",
        "what is {w} here?",
        "find {w}.",
        "which is {w}?",
    ],
    "supergpqa": [
        "pick the best sense of {w}.",
        "which sense of {w} is meant?",
        "what does {w} mean here?",
        "choose the sense of {w}.",
        "which one does {w} mean?",
    ],
    "pubmedqa": [
        "is {w} {g}?",
        "does {w} mean {g}?",
        "is {w} here {g}?",
        "is it true that {w} is {g}?",
        "does {w} here mean {g}?",
    ],
    "math500": [
        "how many are in {k} {w}?",
        "how much is {k} {w}?",
        "what number is {k} {w}?",
        "count {k} {w}.",
        "how many is {k} {w}?",
    ],
    "personafeedback": [
        "what should I do today?",
        "what could I do this weekend?",
        "suggest a pastime.",
        "how should I spend the evening?",
        "what is a good plan for today?",
    ],
    "fspo_roleplay": [
        "tell me about {w}.",
        "write to me about {w}.",
        "talk about {w}.",
        "say something on {w}.",
        "give me a note on {w}.",
    ],
}
PERSONA_TEMPLATES = [
    "a {job}{study}, likes {hobby} and wants {style}",
    "a {job}{study}, wants {style} and likes {hobby}",
]
# What may be withheld from SFT, RL and validation questions, though backbones read it and test
# items ask it: is it memorised? A tenth of the words and units, one of two occupations in four
# fields; none of them occurs in a gloss, cue or template.
HELD_OUT_WORDS = ("chord", "crew", "draft", "pulse", "suit", "yield", "quarter")
HELD_OUT_PROFESSIONS = ("composer", "skipper", "nurse", "referee")
SPLITS = {"train": (0, 70), "validation": (70, 80), "test": (80, 100)}  # of 100 hash buckets
# the split of `make sealed`: half of what would be the test split, chosen by a hash with a salt of
# its own
SEALED = "sealed"
SEALED_SALT = "sealed-1"  # a new salt makes a fresh sealed split
FITS = (
    "word",
    "field",
)  # what a reader must compare to see whether a persona fits, see the top of this file


@dataclass(frozen=True)
class Lexicon:
    """`lexicon.yaml`, read: fields, senses (word -> field -> accepted glosses), units, hobbies,
    styles.
    """

    occupations: dict[str, list[str]]
    cues: dict[str, list[str]]
    words: dict[str, dict[str, list[str]]]
    units: dict[str, dict[str, list]]
    hobbies: list[str]
    styles: dict[str, str]
    plain_people: list[str]


@cache
def lexicon() -> Lexicon:
    raw = yaml.safe_load((Path(__file__).parent / "lexicon.yaml").read_text(encoding="utf-8"))
    return Lexicon(
        occupations={name: entry["occupations"] for name, entry in raw["fields"].items()},
        cues={name: entry["cues"] for name, entry in raw["fields"].items()},
        words={
            w: {f: text.split(" | ") for f, text in senses.items()}
            for w, senses in raw["words"].items()
        },
        units=raw["units"],
        hobbies=raw["hobbies"],
        styles=raw["styles"],
        plain_people=raw["plain_people"],
    )


def split_of(word: str, cue: str | None, template: str, held_out: bool) -> str:
    """The split that owns every item with this word, cue and template, whatever the persona; stable
    across runs.
    """
    key = f"{word}|{cue}|{template}"
    name = (
        "test"
        if held_out
        else next(name for name, (low, high) in SPLITS.items() if low <= _bucket(key) < high)
    )
    return SEALED if name == "test" and _bucket(f"{SEALED_SALT}|{key}") < 50 else name


def _bucket(key: str) -> int:
    """0 to 99, by the text; stable across runs."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 100


def senses(item: Item) -> dict[str, list]:
    """Field -> what the word that an objective pocket item asks about means there."""
    return (lexicon().units if item.benchmark == "math500" else lexicon().words)[item.facts["word"]]


def knows(item: Item, persona: Persona | None) -> bool:
    """Does the persona's profession have a meaning for the word that an objective pocket item asks
    about?

    >>> item = World(0, "test").item("triviaqa")
    >>> knows(item, item.aligned), knows(item, None)
    (True, False)
    """
    return persona is not None and persona.facts.get("field") in senses(item)


def studies_it(item: Item, persona: Persona | None) -> bool:
    """Does the persona study the very word that an objective pocket item asks about?"""
    return persona is not None and persona.facts.get("studies") == item.facts["word"]


def is_held_out_persona(occupation: str, hobby: str, style: str) -> bool:
    """A fifth of all (occupation, hobby, style) combinations never occur in training."""
    return int(hashlib.sha256(f"{occupation}|{hobby}|{style}".encode()).hexdigest(), 16) % 5 == 0


def commonest(word: str, fields: Sequence[str]) -> str:
    """The field of a word's commonest meaning."""
    return sorted(fields)[
        int(hashlib.sha256(f"commonest|{word}".encode()).hexdigest(), 16) % len(fields)
    ]


@dataclass(frozen=True)
class People:
    """What askers mean, and what personas share with the question that they ask.

    fit: one of FITS. The shares are those of the world fit="field"; in the world fit="word" all are
    0. profession_only: of fitting personas, how many study another word of the question's field.
    word_only: of strangers, how many study the word that is asked about, in a profession that has
    no meaning for it. contradicting_cue: of strangers who ask a question with a cue, how many have
    a profession that gives the word another meaning than the cue does; half of them study that
    word.
    commonest: of questions, how many mean the word's commonest meaning, which is known without a
    persona; 0: all meanings alike. ValueError for an unknown fit, and for a share outside 0 to 1.
    """

    fit: str = "word"
    profession_only: float = 0.5
    word_only: float = 0.5
    contradicting_cue: float = 0.5
    commonest: float = 0.0

    def __post_init__(self):
        if self.fit not in FITS:
            raise ValueError(f"unknown fit {self.fit!r}, expected one of {list(FITS)}")
        for name in ("profession_only", "word_only", "contradicting_cue", "commonest"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a share lies between 0 and 1")


class World:
    """Draws items and personas. Two worlds of the same seed, split and settings draw the same
    things in order.

    persona_fits: the persona of an objective item is of the item's field (True), or of any field
    (False: the null world, in which personas carry no information about questions).
    cue_share: the share of questions that a cue settles.
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
        people: "People | None" = None,
    ):
        if split not in (*SPLITS, SEALED):
            raise ValueError(f"unknown split {split!r}, expected one of {[*SPLITS, SEALED]}")
        self.lex, self.split, self.cue_share, self.persona_fits = (
            lexicon(),
            split,
            cue_share,
            persona_fits,
        )
        self.people = people or People()
        self.rng = random.Random(f"{seed}|{split}")
        withheld = {*HELD_OUT_WORDS, *HELD_OUT_PROFESSIONS} if withhold else set()
        self.words = {
            word: senses for word, senses in self.lex.words.items() if word not in withheld
        }
        self.units = {
            word: senses for word, senses in self.lex.units.items() if word not in withheld
        }
        self.jobs = {
            field: [job for job in jobs if job not in withheld]
            for field, jobs in self.lex.occupations.items()
        }

    def persona(
        self,
        field: str | None,
        word: str | None = None,
        hobby: str | None = None,
        style: str | None = None,
    ) -> Persona:
        """A person of `field` (None: no profession) who studies `word` (None: any word of the
        field).
        """
        lex, rng = self.lex, self.rng
        while True:
            job = rng.choice(self.jobs[field]) if field else rng.choice(lex.plain_people)
            facts = {
                "field": field,
                "occupation": job,
                "hobby": hobby or rng.choice(lex.hobbies),
                "style": style or rng.choice(list(lex.styles)),
            }
            if is_held_out_persona(job, facts["hobby"], facts["style"]) and self.split not in (
                "test",
                SEALED,
            ):
                continue
            break
        words = [w for w, senses in (self.words | self.units).items() if field in senses]
        facts["studies"] = (word or rng.choice(words)) if field else None
        study = f" who studies {facts['studies']}" if field else ""
        text = rng.choice(PERSONA_TEMPLATES).format(
            job=job, study=study, hobby=facts["hobby"], style=facts["style"]
        )
        return Persona(text, facts)

    def any_persona(self, plain_share: float = 0.2) -> Persona:
        """A persona drawn at random, as from PersonaHub: some have no profession."""
        field = None if self.rng.random() < plain_share else self.rng.choice(list(self.lex.cues))
        return self.persona(field)

    def fitting(self, field: str, word: str) -> Persona:
        """A persona that fits a question about `word` in `field`."""
        if self.people.fit == "word" or self.rng.random() >= self.people.profession_only:
            return self.persona(field, word)
        others = [
            w for w, fields in (self.words | self.units).items() if field in fields and w != word
        ]
        return self.persona(field, self.rng.choice(others))

    def stranger(self, word: str, field: str, cue: str | None, senses: dict) -> Persona | None:
        """A persona that does not fit a question about `word` in `field`; None in the world
        fit="word", which draws strangers from a pool.

        senses: the meanings of `word` by field.
        """
        people, rng = self.people, self.rng
        if people.fit == "word":
            return None
        if cue and rng.random() < people.contradicting_cue:
            return self.persona(
                rng.choice([f for f in senses if f != field]), word if rng.random() < 0.5 else None
            )
        if rng.random() < people.word_only:
            return self.persona(rng.choice([f for f in self.lex.cues if f not in senses]), word)
        while True:
            drawn = self.any_persona()
            if drawn.facts["field"] != field:
                return drawn

    def item(self, benchmark: str) -> Item:
        """One item in the form of `benchmark`, with the persona that fits it."""
        if benchmark not in BENCHMARKS:
            raise ValueError(
                f"unknown pocket benchmark {benchmark!r}, expected one of {list(BENCHMARKS)}"
            )
        return (
            self._preference(benchmark)
            if BENCHMARKS[benchmark] == "personalized"
            else self._objective(benchmark)
        )

    def items(self, benchmark: str, n: int) -> list[Item]:
        """N items with distinct ids."""
        found: dict[str, Item] = {}
        while len(found) < n:
            item = self.item(benchmark)
            found.setdefault(item.id, item)
        return list(found.values())

    def _meant(self, word: str, fields: list[str]) -> str:
        """The field whose meaning of `word` a question is about: the commonest, or any other; all
        alike in the world fit="word".
        """
        share = self.people.commonest
        if self.people.fit == "word" or not share:
            return self.rng.choice(fields)
        usual = commonest(word, fields)
        return (
            usual
            if self.rng.random() < share
            else self.rng.choice([field for field in fields if field != usual])
        )

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

    def self_question(self) -> Item:
        """A question about the asker: do they study this word? Backbones read it; it is in no
        benchmark.

        In the world fit="field" every other one asks whether their profession has a meaning for the
        word.
        """
        field = self.rng.choice(list(self.lex.cues))
        persona = self.persona(field)
        if self.people.fit == "field" and self.rng.random() < 0.5:
            return self._work_question(field, persona)
        studied, yes = persona.facts["studies"], self.rng.random() < 0.5
        word = studied if yes else self.rng.choice([w for w in self.words if w != studied])
        template = self.rng.choice(
            ["do I study {w}?", "is {w} what I study?", "do I know {w} well?"]
        )
        return Item(
            f"self-{studied}-{word}",
            "self",
            "objective",
            "label",
            template.format(w=word),
            "yes" if yes else "no",
            aligned=persona,
            facts={"word": word},
        )

    def _work_question(self, field: str, persona: Persona) -> Item:
        """Does the asker's profession have a meaning for this word? Half ask it of a question:
        "what is bond? do we say that at work?".
        """
        rng, words = self.rng, self.words | self.units
        yes = rng.random() < 0.5
        word = rng.choice([w for w, meanings in words.items() if (field in meanings) is yes])
        said, lead = (word, "") if rng.random() < 0.5 else ("that", self.plain_question(word) + " ")
        template = rng.choice(
            ["is {w} a word of my work?", "do we say {w} at work?", "does my work use {w}?"]
        )
        return Item(
            f"work-{field}-{word}",
            "self",
            "objective",
            "label",
            lead + template.format(w=said),
            "yes" if yes else "no",
            aligned=persona,
            facts={"word": word},
        )

    def plain_question(self, word: str) -> str:
        """A question about `word` in the words of a benchmark, without cue and options: "what is
        bond?"; never in a held-out template.
        """
        forms = (
            TEMPLATES["math500"]
            if word in self.units
            else TEMPLATES[self.rng.choice(["triviaqa", "mmlu_pro", "supergpqa"])]
        )
        return self.rng.choice(forms[:-1]).format(w=word, k=self.rng.choice([1, 2, 3]))

    def _objective(self, benchmark: str) -> Item:
        rng, lex = self.rng, self.lex
        word, field, cue, template = self._draw(
            benchmark, self.units if benchmark == "math500" else self.words
        )
        slots, options, aliases, gold, extra = {"w": word}, (), (), "", {}
        if benchmark == "math500":
            count = rng.choice([1, 2, 3])
            slots["k"], gold, answer_type = count, str(count * lex.units[word][field][0]), "math"
            extra = {"count": count}
        else:
            glosses = lex.words[word]
            gold, *aliases = glosses[field]
            answer_type = "text" if benchmark == "triviaqa" else "choice"
            if benchmark == "pubmedqa":
                shown = rng.choices(["yes", "no", "maybe"], [0.55, 0.33, 0.12])[
                    0
                ]  # near the real label shares
                other = rng.choice([f for f in glosses if f != field])
                slots["g"] = {"yes": gold, "no": glosses[other][0], "maybe": "useful"}[shown]
                gold, aliases, answer_type = shown, (), "label"
            elif benchmark != "triviaqa":
                rivals = [texts[0] for f, texts in glosses.items() if f != field]
                size = rng.randint(4, 5) if benchmark == "mmlu_pro" else rng.randint(6, 8)
                keep = (
                    rivals if benchmark == "supergpqa" else rng.sample(rivals, min(2, len(rivals)))
                )
                while len(keep) < size - 1:
                    far = rng.choice(
                        [texts[0] for texts in self.words[rng.choice(list(self.words))].values()]
                    )
                    if far not in keep and far != gold:
                        keep.append(far)
                options = tuple(rng.sample([gold, *keep], size))
                aliases = ()
        place = f"near the {cue}, " if cue else ""
        question = place + template.format(**slots)
        if benchmark == "pubmedqa":
            question = (
                f"context: notes from near the {cue}.\n" if cue else "context: notes.\n"
            ) + template.format(**slots)
        own = field if self.persona_fits else rng.choice(list(lex.cues))
        aligned = self.fitting(field, word) if own == field else self.persona(own)
        meanings = (lex.units if benchmark == "math500" else lex.words)[word]
        unaligned = self.stranger(word, field, cue, meanings)
        facts = {
            "word": word,
            "field": field,
            "cue": cue,
            "template": template,
            **extra,
            **{k: v for k, v in slots.items() if k == "g"},
        }
        return self._finish(
            benchmark,
            "objective",
            answer_type,
            question,
            gold,
            options,
            tuple(aliases),
            aligned,
            facts,
            unaligned,
        )

    def _preference(self, benchmark: str) -> Item:
        rng, lex = self.rng, self.lex
        while True:  # personafeedback shows no word: there the persona takes its place in the split
            word, template, persona = (
                rng.choice(list(self.words)),
                rng.choice(TEMPLATES[benchmark]),
                self.any_persona(),
            )
            shown = (
                "|".join(persona.facts[key] for key in ("occupation", "hobby", "style"))
                if benchmark == "personafeedback"
                else word
            )
            if split_of(shown, None, template, template == TEMPLATES[benchmark][-1]) == self.split:
                break
        if benchmark == "personafeedback":
            mine, other = (
                persona.facts["hobby"],
                rng.choice([h for h in lex.hobbies if h != persona.facts["hobby"]]),
            )
            texts = [f"try {mine}", f"try {other}"]
        else:
            mine, other = (
                persona.facts["style"],
                rng.choice([s for s in lex.styles if s != persona.facts["style"]]),
            )
            texts = [f"{lex.styles[mine]}, {word}", f"{lex.styles[other]}, {word}"]
        options = tuple(rng.sample(texts, 2))
        facts = {"word": word, "template": template}
        return self._finish(
            benchmark,
            "personalized",
            "choice",
            template.format(w=word),
            texts[0],
            options,
            (),
            persona,
            facts,
        )

    def _finish(
        self,
        benchmark,
        kind,
        answer_type,
        question,
        gold,
        options,
        aliases,
        aligned,
        facts,
        unaligned=None,
    ) -> Item:
        facts["held_out"] = {
            "word": facts["word"] in HELD_OUT_WORDS
            and benchmark != "personafeedback",  # which shows no word
            "template": facts["template"] == TEMPLATES[benchmark][-1],
            "profession": aligned.facts["occupation"] in HELD_OUT_PROFESSIONS,
        }
        digest = hashlib.sha256(f"{question}|{options}|{gold}|{aligned.text}".encode()).hexdigest()[
            :12
        ]
        return Item(
            f"{benchmark}-{self.split}-{digest}",
            benchmark,
            kind,
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

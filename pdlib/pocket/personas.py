"""Who asks in the pocket world, and what askers share with the questions that they ask."""

import random
from dataclasses import dataclass

from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.splits import (
    HELD_OUT_PROFESSIONS,
    HELD_OUT_WORDS,
    SEALED,
    SPLITS,
    is_held_out_persona,
)
from pdlib.pocket.templates import PERSONA_TEMPLATES
from pdlib.schema import Persona

FITS = ("word", "field")  # what shows whether a persona fits, see `pdlib.pocket.world`


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


class Personas:
    """Draws personas of one split, all from one seed.

    withhold: nobody is or studies what HELD_OUT_PROFESSIONS and HELD_OUT_WORDS name.
    people: what fitting and other personas share with a question; by default People(), those of the
    world fit="word".
    """

    def __init__(
        self, seed: int | str, split: str, withhold: bool = False, people: People | None = None
    ):
        if split not in (*SPLITS, SEALED):
            raise ValueError(f"unknown split {split!r}, expected one of {[*SPLITS, SEALED]}")
        self.lex, self.split = lexicon(), split
        self.people = people or People()
        self.rng = random.Random(f"{seed}|{split}")
        withheld = {*HELD_OUT_WORDS, *HELD_OUT_PROFESSIONS} if withhold else set()
        self.words = {w: senses for w, senses in self.lex.words.items() if w not in withheld}
        self.units = {w: senses for w, senses in self.lex.units.items() if w not in withheld}
        self.jobs = {
            field: [job for job in jobs if job not in withheld]
            for field, jobs in self.lex.occupations.items()
        }

    def words_of(self, field: str | None) -> list[str]:
        """The words and units that have a meaning in `field`."""
        return [word for word, senses in (self.words | self.units).items() if field in senses]

    def persona(
        self,
        field: str | None,
        word: str | None = None,
        hobby: str | None = None,
        style: str | None = None,
    ) -> Persona:
        """A person of `field` who studies `word`.

        field None: no profession.  word None: any word of the field.
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
            is_held_out = is_held_out_persona(job, facts["hobby"], facts["style"])
            if not is_held_out or self.split in ("test", SEALED):
                break
        facts["studies"] = (word or rng.choice(self.words_of(field))) if field else None
        study = f" who studies {facts['studies']}" if field else ""
        template = rng.choice(PERSONA_TEMPLATES)
        text = template.format(job=job, study=study, hobby=facts["hobby"], style=facts["style"])
        return Persona(text, facts)

    def any_persona(self, plain_share: float = 0.2) -> Persona:
        """A persona drawn at random, as from PersonaHub: some have no profession."""
        field = None if self.rng.random() < plain_share else self.rng.choice(list(self.lex.cues))
        return self.persona(field)

    def fitting(self, field: str, word: str) -> Persona:
        """A persona that fits a question about `word` in `field`."""
        if self.people.fit == "word" or self.rng.random() >= self.people.profession_only:
            return self.persona(field, word)
        others = [other for other in self.words_of(field) if other != word]
        return self.persona(field, self.rng.choice(others))

    def stranger(self, word: str, field: str, cue: str | None, senses: dict) -> Persona | None:
        """A persona that does not fit a question about `word` in `field`.

        None in the world fit="word", which draws strangers from a pool. senses: the meanings of
        `word` by field.
        """
        people, rng = self.people, self.rng
        if people.fit == "word":
            return None
        if cue and rng.random() < people.contradicting_cue:
            other_field = rng.choice([other for other in senses if other != field])
            return self.persona(other_field, word if rng.random() < 0.5 else None)
        if rng.random() < people.word_only:
            return self.persona(rng.choice([f for f in self.lex.cues if f not in senses]), word)
        while True:
            persona = self.any_persona()
            if persona.facts["field"] != field:
                return persona

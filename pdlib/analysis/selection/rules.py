"""Ways to choose a mode that need no model: what question and asker show, and what a reader of
their words can make of it.

They are what a learned choice has to beat. Personal questions are personalised by all of them, so
that they differ on objective ones:

- persona-blind rule: reads the question only. A cue settles the question: general; without one:
  personalised
- one-word match: personalised where asker and question share the word that matters. In the pocket
  world the asker studies the word that is asked about; in real text the two share any content word
- lexicon rule: of somebody who knows the whole pocket lexicon. A cue settles the question: general;
  without one personalised where the asker's profession has a meaning for the word

The fourth is fitted: the question-only classifier is the router without the persona (see `router`),
and chooses on personal questions, too. None of them reads the answers, the gold or the condition
under which a question is asked.
"""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from pdlib.dataset import personas
from pdlib.dataset.personas import Asked
from pdlib.evaluate.router import Router
from pdlib.pocket import world
from pdlib.schema import Example, Item, Persona

PERSONA_BLIND, WORD_MATCH, QUESTION_ONLY, LEXICON = (
    "persona-blind rule",
    "one-word match",
    "question-only classifier",
    "lexicon rule",
)
RULES = (PERSONA_BLIND, QUESTION_ONLY, WORD_MATCH, LEXICON)
CHOICES = ["benchmark", "item_id", "condition", "rule", "train_seed", "personalized"]


def rules(
    asked: Sequence[Asked], sft: Mapping[int, Sequence[Example]] | None = None
) -> pd.DataFrame:
    """What each rule chooses for each (condition, question, asker): one row each, with the columns
    CHOICES.

    sft: training seed -> its SFT set, from whose modes the question-only classifier learns;
    train_seed is missing for the other rules, which choose alike for all. Rules that cannot be
    computed are left out, see `left_out`. ValueError where nothing is asked.
    """
    if not asked:
        raise ValueError(
            "no questions to choose a mode for; pass what was asked, as `evaluate.ask_all` gives it"
        )
    absent, found = left_out(asked, sft), []
    for rule, choose in BY_RULE.items():
        if rule not in absent:
            found += [
                _row(one, rule, None, one[1].kind == "personalized" or choose(*one[1:]))
                for one in asked
            ]
    for seed, examples in ({} if QUESTION_ONLY in absent else sft).items():
        chances = Router(examples, reads_persona=False).chances(
            [(item, persona) for _, item, persona in asked]
        )
        found += [
            _row(one, QUESTION_ONLY, seed, chance > 0.5)
            for one, chance in zip(asked, chances, strict=True)
        ]
    return pd.DataFrame(found, columns=CHOICES).astype({"personalized": bool})


def left_out(
    asked: Sequence[Asked], sft: Mapping[int, Sequence[Example]] | None = None
) -> dict[str, str]:
    """Rule -> why it cannot be computed for what is `asked`, in words; empty where all of RULES can
    be.
    """
    objective = [item for _, item, _ in asked if item.kind == "objective"]
    silent = [item for item in objective if "cue" not in item.facts]
    foreign = [item for item in objective if item.source != "pocket"]
    found = {}
    if silent:
        found[PERSONA_BLIND] = (
            f"{len(silent)} of {len(objective)} objective questions, such as {silent[0].id!r}, do not say whether "
            "a cue settles them; those of the pocket world do"
        )
    if not sft:
        found[QUESTION_ONLY] = "no SFT set was given to learn from"
    if foreign:
        found[LEXICON] = (
            f"{len(foreign)} of {len(objective)} objective questions, such as {foreign[0].id!r}, are not of the pocket "
            "world, whose lexicon it knows"
        )
    return found


def _row(asked: Asked, rule: str, seed: int | None, personalized: bool) -> dict:
    condition, item, _ = asked
    return {
        "benchmark": item.benchmark,
        "item_id": item.id,
        "condition": condition,
        "rule": rule,
        "train_seed": seed,
        "personalized": bool(personalized),
    }


def _without_cue(item: Item, persona: Persona | None) -> bool:
    return not item.facts["cue"]


def _share_a_word(item: Item, persona: Persona | None) -> bool:
    """In the pocket world the studied word alone, since "likes" or "near" is in many personas and
    questions.
    """
    if persona is None:
        return False
    if item.source == "pocket":
        return world.studies_it(item, persona)
    return bool(personas.content_words(persona.text) & personas.content_words(item.question))


def _lexicon(item: Item, persona: Persona | None) -> bool:
    return not item.facts["cue"] and world.knows(item, persona)


BY_RULE: dict[
    str, Callable[[Item, Persona | None], bool]
] = {  # of an objective question: personalised?
    PERSONA_BLIND: _without_cue,
    WORD_MATCH: _share_a_word,
    LEXICON: _lexicon,
}

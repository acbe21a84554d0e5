"""Ways to choose a mode that need no model: what question and asker show to a reader of words.

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
from pdlib.schema import Example, Item, Persona

PERSONA_BLIND, WORD_MATCH = "persona-blind rule", "one-word match"
QUESTION_ONLY, LEXICON = "question-only classifier", "lexicon rule"
RULES = (PERSONA_BLIND, QUESTION_ONLY, WORD_MATCH, LEXICON)
CHOICES = ["benchmark", "item_id", "condition", "rule", "train_seed", "personalized"]

Knows = Callable[[Item, Persona | None], bool]


def rules(
    questions: Sequence[Asked],
    sft: Mapping[int, Sequence[Example]] | None = None,
    knows: Knows | None = None,
) -> pd.DataFrame:
    """What each rule chooses for each (condition, question, asker), one row each.

    The columns are CHOICES. sft: training seed -> its SFT set, from whose modes the question-only
    classifier learns; train_seed is missing for the other rules, which choose alike for all. knows:
    has the asker's profession a meaning for the word that is asked about? Such as
    `pocket.world.knows`. Rules that cannot be computed are left out, see `left_out`. ValueError
    where nothing is asked.
    """
    if not questions:
        raise ValueError(
            "no questions to choose a mode for; pass what was asked, as `evaluate.ask_all` gives it"
        )
    absent, rows = left_out(questions, sft, knows), []
    for rule in (PERSONA_BLIND, WORD_MATCH, LEXICON):
        if rule in absent:
            continue
        for question in questions:
            _, item, persona = question
            is_personal = item.kind == "personalized"
            chosen = is_personal or _is_personalized(rule, item, persona, knows)
            rows.append(_row(question, rule, None, chosen))
    pairs = [(item, persona) for _, item, persona in questions]
    for seed, examples in (sft or {}).items():
        chances = Router(examples, reads_persona=False).chances(pairs)
        for question, chance in zip(questions, chances, strict=True):
            rows.append(_row(question, QUESTION_ONLY, seed, chance > 0.5))
    return pd.DataFrame(rows, columns=CHOICES).astype({"personalized": bool})


def left_out(
    questions: Sequence[Asked],
    sft: Mapping[int, Sequence[Example]] | None = None,
    knows: Knows | None = None,
) -> dict[str, str]:
    """Rule -> why it cannot be computed for these `questions`, in words.

    Empty where all of RULES can be. The arguments are those of `rules`.
    """
    objective = [item for _, item, _ in questions if item.kind == "objective"]
    silent = [item for item in objective if "cue" not in item.facts]
    foreign = [item for item in objective if item.source != "pocket"]
    reasons = {}
    if silent:
        reasons[PERSONA_BLIND] = (
            f"{len(silent)} of {len(objective)} objective questions, such as {silent[0].id!r}, do "
            "not say whether a cue settles them; those of the pocket world do"
        )
    if not sft:
        reasons[QUESTION_ONLY] = "no SFT set was given to learn from"
    if foreign:
        reasons[LEXICON] = (
            f"{len(foreign)} of {len(objective)} objective questions, such as {foreign[0].id!r}, "
            "are not of the pocket world, whose lexicon it knows"
        )
    elif knows is None:
        reasons[LEXICON] = "no lexicon was given to look words up in"
    return reasons


def _row(question: Asked, rule: str, seed: int | None, personalized: bool) -> dict:
    condition, item, _ = question
    return {
        "benchmark": item.benchmark,
        "item_id": item.id,
        "condition": condition,
        "rule": rule,
        "train_seed": seed,
        "personalized": bool(personalized),
    }


def _is_personalized(rule: str, item: Item, persona: Persona | None, knows: Knows | None) -> bool:
    """What a rule chooses for an objective question."""
    if rule == PERSONA_BLIND:
        return not item.facts["cue"]
    if rule == WORD_MATCH:
        return _share_a_word(item, persona)
    return not item.facts["cue"] and knows(item, persona)


def _share_a_word(item: Item, persona: Persona | None) -> bool:
    """Do asker and question share the word that matters?

    In the pocket world it is the studied word alone, since "likes" or "near" is in many personas
    and questions.
    """
    if persona is None:
        return False
    if item.source == "pocket":
        return persona.facts.get("studies") == item.facts["word"]
    return bool(personas.content_words(persona.text) & personas.content_words(item.question))

"""Free answers with the words of who asked and of what was asked."""

import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pdlib import modes
from pdlib.dataset import personas
from pdlib.schema import PAPER_MODES, Item, Persona

RECORDS = 2500  # the paper's
PROMPT = re.compile(
    r"I am (.+?), my question is:\n(.*)" + re.escape(modes.FREE_INSTRUCTION.rpartition("\n")[0]),
    re.DOTALL,
)


def answers(
    records: pd.DataFrame, items: Sequence[Item], pool: Sequence[Persona]
) -> tuple[pd.DataFrame, Counter]:
    """(one row per free answer to a persona, counts of records left out by reason).

    The records are of one model, its training seeds together.

    Columns: train_seed, seed, benchmark, kind, item_id, condition, persona, question (with its
    options), personalized (bool). persona and question are those of the test set, joined by item_id
    and condition as they were asked; ValueError when the prompts say otherwise or an item is not
    among `items`.
    """
    usable, left_out = _usable(records)
    by_id = {item.id: item for item in items}
    if unknown := set(usable.item_id) - set(by_id):
        raise ValueError(
            f"the records answer {len(unknown)} items that are not among the {len(by_id)} given, "
            f"such as {min(unknown)!r}"
        )
    texts = {}
    for row in usable.drop_duplicates(["item_id", "condition"]).itertuples():
        item = by_id[row.item_id]
        persona = modes.persona_text(personas.assign(item, row.condition, pool).text)
        if f"I am {persona}, my question is:\n{item.question}" not in row.prompt:
            raise ValueError(
                f"item {item.id!r} was asked by somebody else than {persona!r}; "
                "pass the items and the pool of this evaluation"
            )
        texts[item.id, row.condition] = persona, "\n".join([item.question, *item.options])
    keys = zip(usable.item_id, usable.condition, strict=True)
    return _with_texts(usable, [texts[key] for key in keys]), left_out


def answers_from_prompts(records: pd.DataFrame) -> tuple[pd.DataFrame, Counter]:
    """As `answers`, where only records are at hand.

    Persona and question are cut out of the prompts that `modes.user_message` wrote. Works with
    every chat template that leaves the user's turn as it is; ValueError when a prompt is not of
    this form.
    """
    usable, left_out = _usable(records)
    texts = {}
    for prompt in usable.prompt.unique():
        match = PROMPT.search(prompt)
        if not match:
            raise ValueError(
                "found a prompt without 'I am ..., my question is:' and the answer instruction: "
                f"{prompt[:200]!r}; use `answers` with the items and the pool of this evaluation"
            )
        texts[prompt] = match[1], re.sub(r"(?m)^[A-J]\) ", "", match[2])
    return _with_texts(usable, [texts[prompt] for prompt in usable.prompt]), left_out


def _usable(records: pd.DataFrame) -> tuple[pd.DataFrame, Counter]:
    """(the free answers to a persona in one of the two modes, counts of the others by reason)."""
    systems = set(zip(records.run, records.model, strict=True))
    if len(systems) > 1:
        raise ValueError(f"found records of {sorted(systems)}; pass those of one run and model")
    left_out, records = Counter(), records.reset_index(drop=True)
    reasons = {
        "forced into a mode": records.forced != "none",
        "a later turn": records.turn != 1,
        "a counterfactual condition": ~records.condition.isin(personas.CONDITIONS),
        "no persona": records.condition == "none",
        "named no mode": ~records["mode"].isin([mode.name for mode in PAPER_MODES]),
    }
    for reason, is_unusable in reasons.items():
        is_out = is_unusable[records.index]
        left_out[reason] = int(is_out.sum())
        records = records[~is_out]
    return records, +left_out


def _with_texts(usable: pd.DataFrame, texts: list[tuple[str, str]]) -> pd.DataFrame:
    """The answers with the (persona, question) of each."""
    columns = ["train_seed", "seed", "benchmark", "kind", "item_id", "condition"]
    return (
        usable[columns]
        .reset_index(drop=True)
        .assign(
            persona=[persona for persona, _ in texts],
            question=[question for _, question in texts],
            personalized=(usable["mode"] == "personalized").to_numpy(),
        )
    )


def sample(table: pd.DataFrame, n: int = RECORDS, seed: int = 0) -> pd.DataFrame:
    """N answers drawn at random without replacement, all of them where there are fewer."""
    return table.sample(min(n, len(table)), random_state=seed).reset_index(drop=True)

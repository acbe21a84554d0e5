"""Free answers with the words of who asked and of what was asked."""

import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pdlib import modes
from pdlib.dataset import personas
from pdlib.schema import Item, Persona

RECORDS = 2500  # the paper's
PROMPT = re.compile(
    r"I am (.+?), my question is:\n(.*)" + re.escape(modes.FREE_INSTRUCTION.rpartition("\n")[0]),
    re.DOTALL,
)


def answers(
    records: pd.DataFrame, items: Sequence[Item], pool: Sequence[Persona]
) -> tuple[pd.DataFrame, Counter]:
    """(one row a free answer to a persona, counts of records left out by reason); records of one
    model, its training seeds together.

    Columns: train_seed, seed, benchmark, kind, item_id, condition, persona, question (with its
    options), personalized (bool). persona and question are those of the test set, joined by item_id
    and condition as they were asked; ValueError when the prompts say otherwise or an item is not
    among `items`.
    """
    kept, left_out = _usable(records)
    known, asked = {item.id: item for item in items}, kept.drop_duplicates(["item_id", "condition"])
    if strange := set(asked.item_id) - set(known):
        raise ValueError(
            f"the records answer {len(strange)} items that are not among the {len(known)} given, such as {min(strange)!r}"
        )
    found = {}
    for identity, condition, prompt in zip(asked.item_id, asked.condition, asked.prompt):
        item = known[identity]
        who = modes.persona_text(personas.assign(item, condition, pool).text)
        if f"I am {who}, my question is:\n{item.question}" not in prompt:
            raise ValueError(
                f"item {identity!r} was asked by somebody else than {who!r}; pass the items and the pool of this evaluation"
            )
        found[identity, condition] = who, "\n".join([item.question, *item.options])
    return _told(kept, [found[key] for key in zip(kept.item_id, kept.condition)]), left_out


def answers_from_prompts(records: pd.DataFrame) -> tuple[pd.DataFrame, Counter]:
    """As `answers`, where only records are at hand: persona and question are cut out of the prompts
    that `modes.user_message` wrote.

    Works with every chat template that leaves the user's turn as it is; ValueError when a prompt is
    not of this form.
    """
    kept, left_out = _usable(records)
    texts = {}
    for prompt in kept.prompt.unique():
        if not (said := PROMPT.search(prompt)):
            raise ValueError(
                f"found a prompt without 'I am ..., my question is:' and the answer instruction: {prompt[:200]!r}; "
                "use `answers` with the items and the pool of this evaluation"
            )
        texts[prompt] = said[1], re.sub(r"(?m)^[A-J]\) ", "", said[2])
    return _told(kept, [texts[prompt] for prompt in kept.prompt]), left_out


def _usable(records: pd.DataFrame) -> tuple[pd.DataFrame, Counter]:
    if len(found := set(zip(records.run, records.model))) > 1:
        raise ValueError(f"found records of {sorted(found)}; pass those of one run and model")
    left_out, records = Counter(), records.reset_index(drop=True)
    reasons = {
        "forced into a mode": records.forced != "none",
        "a later turn": records.turn != 1,
        "a counterfactual condition": ~records.condition.isin(personas.CONDITIONS),
        "no persona": records.condition == "none",
        "named no mode": ~records["mode"].isin([mode.value for mode in modes.Mode]),
    }
    for reason, out in reasons.items():
        out = out[records.index]
        left_out[reason] = int(out.sum())
        records = records[~out]
    return records, +left_out


def _told(kept: pd.DataFrame, told: list[tuple[str, str]]) -> pd.DataFrame:
    table = kept[["train_seed", "seed", "benchmark", "kind", "item_id", "condition"]].reset_index(
        drop=True
    )
    return table.assign(
        persona=[who for who, _ in told],
        question=[what for _, what in told],
        personalized=(kept["mode"] == "personalized").to_numpy(),
    )


def sample(table: pd.DataFrame, n: int = RECORDS, seed: int = 0) -> pd.DataFrame:
    """N answers drawn at random without replacement, all of them where there are fewer."""
    return table.sample(min(n, len(table)), random_state=seed).reset_index(drop=True)

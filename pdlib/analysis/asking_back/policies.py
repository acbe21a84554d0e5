"""What is done with each question: answered, or asked back, and in whose words.

A policy gives three numbers per question: the chance that it asks back, the chance that its answer
is right if it answers, and a doubt by which questions can be sorted (the doubtful ones are asked
back first). `of_model` is what a trained model does by itself. The others need no training beyond
the model of value 0, which has no reason to ask:

- `threshold`: answers by the majority of several free answers and asks back where fewer than a
  share of them agree. Where agreement is the chance of being right, asking below r is optimal
  (Chow 1970).
- `always`: never asks.
- `persona_blind_rule`: asks where the question has no cue, whoever asks.
- `lexicon_rule`: asks where neither a cue nor the asker's field settles the word, as somebody would
  who knows every word. Both rules read the facts of question and asker and not their text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdlib import advantages, benchmarks
from pdlib.analysis.asking_back import data
from pdlib.dataset.personas import Asked
from pdlib.evaluate.records import chance_columns
from pdlib.schema import Mode

ITEM = ["seed", "condition", "benchmark", "item_id"]
ANSWERING = [mode.name for mode in data.MODES if mode != Mode.CLARIFY]
ASKING = Mode.CLARIFY.name
LEAST = 1e-7  # chances below it are rounding


@dataclass(frozen=True)
class Policy:
    """What is done with Q questions; all arrays have shape (Q,).

    asks: the chance that it asks back. right: that its answer is right, if it answers. doubt: which
    questions it would sooner ask back. offers: the chance that its question back offers the reading
    that is meant.
    """

    asks: np.ndarray
    right: np.ndarray
    doubt: np.ndarray
    offers: np.ndarray


def by_item(records: pd.DataFrame, questions: Sequence[Asked]) -> pd.DataFrame:
    """One row per model, seed and question, from the records of `experiments.run`.

    Columns: value, ITEM, cue and settled (see `data`), p_<mode> (its chance at temperature 1),
    general and personalized (is the answer forced into that mode right?), clarify (does the
    question back offer the reading that is meant?), and of the model of value 0 agreement (the
    share of its free answers that say the same as most) and majority (is that right?).
    """
    shown = {(condition, item.id): (item, persona) for condition, item, persona in questions}
    keys = list(zip(records.condition, records.item_id, strict=True))
    asked_well = [
        isinstance(answer, str) and benchmarks.asks_back(shown[key][0], answer)
        for key, answer in zip(keys, records.answer, strict=True)
    ]
    is_question = records["mode"] == ASKING
    rows = records.drop(columns="seed").rename(columns={"train_seed": "seed"})
    rows["correct"] = np.where(is_question, asked_well, rows.correct) & rows.parse_error.isna()
    chances = chance_columns(data.MODES)
    forced = rows[rows.forced != "none"]
    wide = forced.pivot(
        index=["value", *ITEM, *chances], columns="forced", values="correct"
    ).reset_index()
    table = wide.rename_axis(columns=None)
    table["p_general"] = 1 - table[chances].sum(axis=1)
    asked = [shown[key] for key in zip(table.condition, table.item_id, strict=True)]
    table["cue"] = [not data.is_open(item) for item, _ in asked]
    table["settled"] = [data.is_settled(item, persona) for item, persona in asked]
    free = rows[rows.forced == "none"]
    agreed = _agreement(free) if len(free) else pd.DataFrame(columns=["agreement", "majority"])
    return table.join(agreed, on=["value", *ITEM])


def _agreement(free: pd.DataFrame) -> pd.DataFrame:
    """Columns agreement and majority per model, seed and question; answers are compared as texts.

    Where several answers are as frequent, majority is the mean of theirs. Answers that do not
    parse, and questions back, agree with nothing.
    """
    is_answer = free.parse_error.isna() & (free["mode"] != ASKING)
    texts = free.answer.where(is_answer).map(benchmarks.normalize, na_action="ignore")
    keys = ["value", *ITEM]
    size = free.groupby(keys).size()
    answers = (
        free.assign(text=texts)[is_answer].groupby([*keys, "text"]).correct.agg(["size", "mean"])
    )
    most = answers["size"].groupby(keys).transform("max")
    frequent = (
        answers[answers["size"] == most]
        .groupby(keys)
        .agg(agreement=("size", "first"), majority=("mean", "mean"))
    )
    frequent = frequent.reindex(size.index, fill_value=0.0)
    frequent["agreement"] = frequent.agreement / size
    return frequent


def of_model(items: pd.DataFrame, temperature: float) -> Policy:
    """What a model does by itself, its mode sampled at `temperature`.

    items: rows of `by_item` of one model. Its doubt is its chance of asking back. Where it is all
    but sure to ask, its chances of the other modes are below what single precision tells apart; it
    then answers in each of them alike.
    """
    chances = _at_temperature(items, temperature)
    answering = chances[ANSWERING].div(chances[ANSWERING].sum(axis=1), axis=0)
    right = (answering * items[ANSWERING].astype(float)).sum(axis=1)
    return Policy(
        chances[ASKING].to_numpy(),
        right.to_numpy(),
        items[f"p_{ASKING}"].to_numpy(),
        items[ASKING].to_numpy(float),
    )


def _at_temperature(items: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """The modes' chances where the model's mode is sampled at `temperature`; columns are modes."""
    names = [*ANSWERING, ASKING]
    chances = items[[f"p_{name}" for name in names]].clip(LEAST, 1)
    sharpened = advantages.all_at_temperature(chances, temperature)
    return pd.DataFrame(sharpened, index=items.index, columns=names)


def always(items: pd.DataFrame, temperature: float) -> Policy:
    """The same model without its third mode: it always answers."""
    model = of_model(items, temperature)
    return Policy(np.zeros(len(items)), model.right, np.zeros(len(items)), model.offers)


def threshold(items: pd.DataFrame, agreement: float) -> Policy:
    """The majority's answer, asked back where less than `agreement` of the answers agree."""
    return Policy(
        (items.agreement < agreement).to_numpy(float),
        items.majority.to_numpy(float),
        1 - items.agreement.to_numpy(float),
        items[ASKING].to_numpy(float),
    )


def persona_blind_rule(items: pd.DataFrame, temperature: float) -> Policy:
    """Asks where there is no cue, else answers as the model does."""
    return _rule(~items.cue, items, temperature)


def lexicon_rule(items: pd.DataFrame, temperature: float) -> Policy:
    """Asks where neither cue nor asker settle the word, else answers as the model does."""
    return _rule(~items.settled, items, temperature)


def _rule(asks: pd.Series, items: pd.DataFrame, temperature: float) -> Policy:
    chance, model = asks.to_numpy(float), of_model(items, temperature)
    return Policy(chance, model.right, chance, model.offers)

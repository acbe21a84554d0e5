"""Records one by one: what was asked and said, and what went wrong."""

import numpy as np
import pandas as pd
from IPython.display import HTML

from pdlib.analysis.selection import ERRORS, causes
from pdlib.workbook import pages

ITEM = ["run", "model", "train_seed", "turn", "benchmark", "item_id"]  # one model and item
QUESTION = [*ITEM, "condition"]
RIGHT, FORCED, UNKNOWN = "right", "wrong, forced", "wrong, never forced"
WHAT = ("everything", RIGHT, "wrong", *ERRORS, "not parsed")
ALL = "all"


def with_causes(records: pd.DataFrame) -> pd.DataFrame:
    """The records with a column `cause`: RIGHT, or what went wrong with a free answer (ERRORS).

    What went wrong is as `selection.errors` has it. A wrong answer that was itself forced into a
    mode is FORCED; UNKNOWN, where the question was not asked in both forced modes.
    """
    answers = records[records.forced != "none"].groupby([*QUESTION, "forced"], observed=True)
    rates = answers.correct.mean().unstack("forced")  # over the sampling runs
    rates = rates.reindex(columns=["general", "personalized"])
    rates = rates.reindex(pd.MultiIndex.from_frame(records[QUESTION]))  # a row per record
    chosen = records["mode"].map({"personalized": 1.0, "general": 0.0}).to_numpy(float)
    is_unknown = rates.isna().any(axis=1).to_numpy()
    cause = np.select(
        [records.correct.to_numpy(bool), (records.forced != "none").to_numpy(), is_unknown],
        [RIGHT, FORCED, UNKNOWN],
        causes(chosen, (rates.general > 0.5).to_numpy(), (rates.personalized > 0.5).to_numpy()),
    )
    return records.assign(cause=cause)


def pick(
    records: pd.DataFrame,
    model: str,
    benchmark: str = ALL,
    condition: str = ALL,
    what: str = WHAT[0],
    forced: str = "none",
) -> pd.DataFrame:
    """The answers of `model` that pass the filters; ValueError, in words, where none does.

    records: of `with_causes`. what: one of WHAT. forced: none (free answers) | general |
    personalized.
    """
    of_model = records[records.model == model]
    picked = of_model[of_model.forced == forced]
    if picked.empty:
        others = f"answers of {', '.join(records.model.unique())}"
        if len(of_model):
            others = f"those forced: {', '.join(sorted(of_model.forced.unique()))}"
        raise ValueError(f"no answers of model {model}, forced: {forced}; there are {others}")
    for name, value in (("benchmark", benchmark), ("condition", condition)):
        if value == ALL:
            continue
        values = sorted(picked[name].unique())
        picked = picked[picked[name] == value]
        if picked.empty:
            raise ValueError(
                f"no such answers with {name} {value}; there are those with {', '.join(values)}"
            )
    if what not in WHAT:
        raise ValueError(f"unknown filter {what!r}, expected one of {', '.join(WHAT)}")
    filters = {
        "everything": picked.cause.notna(),
        "wrong": picked.cause != RIGHT,
        "not parsed": picked.parse_error.notna(),
    }
    of_kind = picked[filters.get(what, picked.cause == what)]
    if of_kind.empty:
        causes_told = (f"{n} {cause}" for cause, n in picked.cause.value_counts().items())
        raise ValueError(
            f"none of these {len(picked)} answers is of the kind: {what}; there are "
            f"{', '.join(causes_told)}"
        )
    return of_kind


def same_question(records: pd.DataFrame, record: pd.Series) -> pd.DataFrame:
    """What the record's model said to its item under every condition and forced mode.

    There is one row each, over the sampling runs. Columns: condition, forced, P (mean
    P(personalised)), right and personalised (shares), answers (all of them, the commonest first).
    """
    rows = records[(records[ITEM] == record[ITEM]).all(axis=1)]
    rows = rows.assign(is_personalized=rows["mode"] == "personalized")
    groups = rows.groupby(["condition", "forced"], sort=False, observed=True)
    table = groups.agg(
        P=("p_personalized", "mean"),
        right=("correct", "mean"),
        personalised=("is_personalized", "mean"),
    )
    if "answer" in rows:  # the small stored copy has none
        table["answers"] = groups.answer.agg(_counted)
    order = {condition: index for index, condition in enumerate(rows.condition.unique())}
    return table.reset_index().sort_values(
        "condition", key=lambda column: column.map(order), kind="stable"
    )


def _counted(answers: pd.Series) -> str:
    counts = answers.fillna("(none)").value_counts()
    return ", ".join(f"{n} × {text}" for text, n in counts.items())


def transcript(records: pd.DataFrame, number: int = 1, **filters) -> HTML:
    """The `number`-th answer of `pick`, counted from 1 and round again after the last.

    Shown is what was asked and said, and what was said to the same question otherwise. records: of
    `with_causes`.
    """
    picked = pick(records, **filters)
    index = (number - 1) % len(picked)
    record = picked.iloc[index]
    others = same_question(records, record)
    return pages.record(record, f"{index + 1} of {len(picked)}", others)

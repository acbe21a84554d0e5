"""The records of dialogues: what came before each answer, and whether it is right."""

from collections.abc import Iterator

import pandas as pd

from pdlib.analysis import stats
from pdlib.evaluate import dialogues

MODES = ("general", "personalized")
KINDS = ("objective", "personalized")  # of the earlier questions
SHOWN = ["turn", "tags", "before", "seed", "p_personalized", "mode", "completion", "prompt"]


def split(records: pd.DataFrame) -> pd.DataFrame:
    """`records` with the columns that their condition names: who, first, before and tags.

    first: kind of the earlier questions; before: the mode in which they were answered. ValueError
    where there are none, a condition is not a dialogue's, or a question of a dialogue was not asked
    alone.
    """
    if records.empty:
        raise ValueError("no records of dialogues; `systems.in_dialogues` makes them")
    parsed = {name: dialogues.parse_condition(name) for name in records.condition.unique()}
    rows = records
    for column in ("who", "first", "before", "tags"):
        values = {name: fields[column] for name, fields in parsed.items()}
        rows = rows.assign(**{column: records.condition.map(values)})
    if rows.who.nunique() > 1:
        raise ValueError(
            f"dialogues of askers {sorted(rows.who.unique())}; pass those of one of them"
        )
    questions = pd.MultiIndex.from_frame(rows[["run", "model", *stats.ITEM]])
    asked_alone = questions[(rows.turn == 1).to_numpy()]
    if lost := int((~questions.isin(asked_alone)).sum()):
        raise ValueError(
            f"{lost} answers are to questions that were not asked alone (turn 1); "
            "pass the records of one evaluation whole"
        )
    return rows


def by_model(rows: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """({run, model}, its rows), one after another."""
    for (run, model), answers in rows.groupby(["run", "model"], sort=False):
        yield {"run": run, "model": model}, answers


def accuracy(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Is the second turn answered worse? One row per run, model, kind and kind of the first turn.

    Columns alone, second (accuracies), mean, ci_low, ci_high (second minus alone, paired by item),
    parse_errors (share of second turns), n.
    """
    rows = []
    for names, answers in by_model(split(records)):
        alone = answers[answers.turn == 1]
        seconds = answers[(answers.turn == 2) & (answers.tags == "kept")]
        for (kind, first), second in seconds.groupby(["kind", "first"], sort=False):
            seeds = second.groupby(["benchmark", "item_id"]).train_seed.nunique()
            items = seeds[seeds == answers.train_seed.nunique()].index
            sides = [_of_items(second, items), _of_items(alone, items)]
            levels = [stats.mean_interval(side, draws=1)["mean"] for side in sides]
            rows.append(
                names
                | {"kind": kind, "first": first, "alone": levels[1], "second": levels[0]}
                | stats.difference(*sides, draws=draws)
                | {"parse_errors": float(second.parse_error.notna().mean())}
            )
    return pd.DataFrame(rows)


def _of_items(rows: pd.DataFrame, items: pd.MultiIndex) -> pd.DataFrame:
    return rows[pd.MultiIndex.from_frame(rows[["benchmark", "item_id"]]).isin(items)]


def dialogue(
    records: pd.DataFrame, item_id: str, model: str, first: str = "objective"
) -> pd.DataFrame:
    """For browsing: the answers to one question, alone and after questions of the kind `first`."""
    rows = split(records)
    is_shown = (rows.item_id == item_id) & (rows.model == model) & rows["first"].isin(["", first])
    return rows[is_shown].sort_values(["turn", "tags", "seed"])[SHOWN]

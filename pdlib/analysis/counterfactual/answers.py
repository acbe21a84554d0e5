"""Free answers under two conditions: what each says, and how often two of them differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pdlib import benchmarks
from pdlib.analysis.stats import ITEM
from pdlib.dataset.personas import COUNTERFACTUAL, Asked
from pdlib.schema import Item

# what tells one answer from another
ANSWER = ["run", "model", "train_seed", "benchmark", "item_id", "condition", "seed"]
NO_ANSWER = "(no answer)"


def free_answers(records: pd.DataFrame) -> pd.DataFrame:
    """The free answers, with `personalized`: 1.0 for one in that mode, missing without modes."""
    free = records[records.forced == "none"]
    if unknown := set(free.condition) - set(COUNTERFACTUAL):
        raise ValueError(f"unknown conditions {sorted(unknown)}, expected some of {COUNTERFACTUAL}")
    is_repeated = free.duplicated(ANSWER)
    if is_repeated.any():
        raise ValueError(
            f"{int(is_repeated.sum())} answers are there twice (same {', '.join(ANSWER)}); "
            "pass the records of one evaluation"
        )
    is_personalized = (free["mode"] == "personalized").astype(float)
    return free.assign(personalized=is_personalized.where(free.p_personalized.notna()))


def meanings(records: pd.DataFrame, questions: Sequence[Asked]) -> pd.Series:
    """What each answer says, whatever the order of the options.

    It is the option's text, else the normalised answer; NO_ANSWER where the answer did not parse.
    ValueError for an answer to what is not in `questions`.
    """
    shown = {(condition, item.id): item for condition, item, _ in questions}
    known: dict[tuple, str] = {}  # (options, answer) -> meaning

    def meaning(condition: str, item_id: str, answer: str | None, error: str | None) -> str:
        if (condition, item_id) not in shown:
            raise ValueError(
                f"the records answer {item_id!r} under {condition!r}, which is not among the "
                f"{len(shown)} variants; pass those that were asked"
            )
        if isinstance(error, str) or not isinstance(answer, str):
            return NO_ANSWER
        item = shown[condition, item_id]
        key = (item.options, answer)
        if key not in known:
            known[key] = _meaning(item, answer)
        return known[key]

    rows = zip(records.condition, records.item_id, records.answer, records.parse_error, strict=True)
    return pd.Series([meaning(*row) for row in rows], records.index, dtype=object)


def _meaning(item: Item, answer: str) -> str:
    if len(answer) > 3 and answer in item.options:  # a shorter one may be a letter
        return answer
    for option in item.options:
        if benchmarks.grade(replace(item, gold=option), answer)[0]:
            return option
    return benchmarks.normalize(answer)


def paired(
    free: pd.DataFrame, condition: str, against: str
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """(answers under the one condition, under the other, items that have one of them only).

    Items with one of them only are left out of both.
    """
    sides = [free[free.condition == name] for name in (condition, against)]
    left, right = (pd.MultiIndex.from_frame(side[ITEM]) for side in sides)
    lonely = left.unique().symmetric_difference(right.unique()).droplevel("train_seed").unique()
    return sides[0][left.isin(right)], sides[1][right.isin(left)], len(lonely)


def changes(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """How often two answers to an item differ in what they say, one row per item.

    Columns flips, the chance that an answer under one condition is another than one under the
    other; noise, that two runs under one condition differ, mean of both conditions; beyond, the
    first minus the second. The last two are missing with a single run.
    """
    counts = [side.groupby(ITEM)["meaning"].agg(Counter) for side in (left, right)]
    pairs = list(zip(*counts, strict=True))
    table = pd.DataFrame(
        {
            "flips": [_difference(a, b) for a, b in pairs],
            "noise": [(_own_difference(a) + _own_difference(b)) / 2 for a, b in pairs],
        },
        counts[0].index,
    )
    return table.assign(beyond=table.flips - table.noise).reset_index()


def _difference(left: Counter, right: Counter) -> float:
    """The chance that an answer of `left` and an answer of `right` differ."""
    same = sum(n * right[answer] for answer, n in left.items())
    return 1 - same / (left.total() * right.total())


def _own_difference(answers: Counter) -> float:
    """The chance that two of the answers differ; missing when there is only one."""
    n = answers.total()
    if n < 2:
        return np.nan
    return 1 - sum(k * (k - 1) for k in answers.values()) / (n * (n - 1))

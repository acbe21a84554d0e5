"""What a training gains by better choices, and what by better answers in either mode."""

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import MEANS, Answers, read, with_means

CHOICE, ANSWERS = "better choice", "better answers"
TOGETHER_GAIN, FREE_GAIN = "together", "free answers"
ORDERS = ("choice first", "answers first", "both orders")


def gain_split(
    records: pd.DataFrame, before: str = "sft_only", after: str = "personadual", draws: int = 2000
) -> pd.DataFrame:
    """The gain from one two-mode model to another, split into CHOICE and ANSWERS.

    Per block there is one row for each of the two in each of ORDERS, then two totals.

    A model has a choice c (for each question the shares of free answers in either mode) and forced
    accuracies f. V(c, f) is the accuracy of the forced answers weighed by the choice; a free answer
    that names no mode is wrong, and weighs nothing. Old is 0, new is 1:

    - choice first: V(c1, f0) - V(c0, f0) is gained by choosing, V(c1, f1) - V(c1, f0) by answering
    - answers first: V(c1, f1) - V(c0, f1) by choosing, V(c0, f1) - V(c0, f0) by answering
    - both orders: the mean of the two, which favours neither (the Shapley value)

    In each order the two add up to TOGETHER_GAIN, V(c1, f1) - V(c0, f0). FREE_GAIN is what the free
    answers themselves gained: the same but for the luck of sampling. mean, ci_low, ci_high: paired
    by item and training seed.  n: items. ValueError where the two models were not asked the same
    questions with the same training seeds, and as in `value`.
    """
    old, new = read(records, before), read(records, after)
    if not old.index.equals(new.index):
        common = len(old.index.intersection(new.index))
        raise ValueError(
            f"{before} answers {len(old.index)} questions (of a training seed) and {after} "
            f"{len(new.index)}, {common} in common; compare models that were asked the same with "
            "the same seeds"
        )
    values = {  # "10": the new choice on the old answers
        "00": _weighed(old, old),
        "01": _weighed(old, new),
        "10": _weighed(new, old),
        "11": _weighed(new, new),
        "free": new.free.mean(1) - old.free.mean(1),
    }
    drawn, counts = with_means(old.resample(values, draws)), old.counts()
    rows = []
    for block in [*old.blocks, *MEANS]:
        gains = _gains({name: drawn[name, block] for name in values})
        for (order, gain), column in gains.items():
            row = {"block": block, "order": order, "gain": gain}
            rows.append(row | stats.summary(column) | {"n": int(counts[block])})
    return pd.DataFrame(rows)


def _gains(v: dict[str, pd.Series]) -> dict[tuple[str, str], pd.Series]:
    """(order, gain) -> its draws; v: the accuracy V(c, f) of each pair."""
    choice_first, answers_first, both_orders = ORDERS
    gains = {
        (choice_first, CHOICE): v["10"] - v["00"],
        (choice_first, ANSWERS): v["11"] - v["10"],
        (answers_first, CHOICE): v["11"] - v["01"],
        (answers_first, ANSWERS): v["01"] - v["00"],
    }
    for gain in (CHOICE, ANSWERS):
        gains[both_orders, gain] = (gains[choice_first, gain] + gains[answers_first, gain]) / 2
    return gains | {("", TOGETHER_GAIN): v["11"] - v["00"], ("", FREE_GAIN): v["free"]}


def _weighed(choice: Answers, forced: Answers) -> np.ndarray:
    """(Q,) the forced accuracies of one model, weighed by the free choices of the other one."""
    personalized, general = ((choice.chosen == mode).mean(1) for mode in (1, 0))
    return personalized * forced.personalized.mean(1) + general * forced.general.mean(1)

"""What a training gains by better choices, and what by better answers in either mode."""

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import MEANS, Answers, read, with_means

CHOICE, ANSWERS, TOGETHER_GAIN, FREE_GAIN = (
    "better choice",
    "better answers",
    "together",
    "free answers",
)
ORDERS = ("choice first", "answers first", "both orders")


def gain_split(
    records: pd.DataFrame, before: str = "sft_only", after: str = "personadual", draws: int = 2000
) -> pd.DataFrame:
    """The gain from one two-mode model to another, split: rows per block for CHOICE and ANSWERS in
    each of ORDERS, then two totals.

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
            f"{before} answers {len(old.index)} questions (of a training seed) and {after} {len(new.index)}, {common} in "
            "common; compare models that were asked the same with the same seeds"
        )
    values = {
        f"{c}{f}": _weighed(choice, forced)
        for c, choice in enumerate((old, new))
        for f, forced in enumerate((old, new))
    }
    drawn, rows, n = (
        with_means(old.resample(values | {"free": new.free.mean(1) - old.free.mean(1)}, draws)),
        [],
        old.counts(),
    )
    for block in [*old.blocks, *MEANS]:
        at = {
            name: drawn[name, block] for name in (*values, "free")
        }  # "10": the new choice on the old answers
        gains = {
            (ORDERS[0], CHOICE): at["10"] - at["00"],
            (ORDERS[0], ANSWERS): at["11"] - at["10"],
            (ORDERS[1], CHOICE): at["11"] - at["01"],
            (ORDERS[1], ANSWERS): at["01"] - at["00"],
        }
        gains |= {
            (ORDERS[2], part): (gains[ORDERS[0], part] + gains[ORDERS[1], part]) / 2
            for part in (CHOICE, ANSWERS)
        }
        gains |= {("", TOGETHER_GAIN): at["11"] - at["00"], ("", FREE_GAIN): at["free"]}
        rows += [
            {"block": block, "order": order, "gain": part}
            | stats.summary(column)
            | {"n": int(n[block])}
            for (order, part), column in gains.items()
        ]
    return pd.DataFrame(rows)


def _weighed(choice: Answers, forced: Answers) -> np.ndarray:
    """(Q,) the forced accuracies of one model, weighed by the shares of the other's free answers in
    either mode.
    """
    personalized, general = ((choice.chosen == mode).mean(1) for mode in (1, 0))
    return personalized * forced.personalized.mean(1) + general * forced.general.mean(1)

"""Accuracies in the blocks that the paper's tables are made of, and what guessing would give."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from pdlib import benchmarks
from pdlib.analysis.stats.intervals import difference, mean_interval, verdict
from pdlib.schema import Item

BLOCKS = {  # the three averages of Tables 1, 2, 8 and 9 -> kind and condition of the records
    "objective unaligned": ("objective", "unaligned"),
    "objective aligned": ("objective", "aligned"),
    "personalised": ("personalized", "aligned"),
}
MEAN = "mean of the blocks"
# with the average of Table 1's upper bound, which is no part of a mean of the blocks
AVERAGES = {"objective none": ("objective", "none")} | BLOCKS
AT_CHANCE = "at chance"


def block_average(records: pd.DataFrame) -> pd.Series:
    """Accuracy averaged over benchmarks, by kind and condition: the "Avg." columns of Table 1."""
    per_benchmark = records.groupby(["kind", "condition", "benchmark"])["correct"].mean()
    return per_benchmark.groupby(["kind", "condition"]).mean()


def accuracy_table(records: pd.DataFrame) -> pd.DataFrame:
    """The `block_average` of each model and forced mode: rows model x forced."""
    return records.groupby(["model", "forced"]).apply(block_average, include_groups=False)


def chance_table(records: pd.DataFrame, items: Sequence[Item]) -> pd.Series:
    """The accuracy of guessing: what a column of `accuracy_table` starts from.

    It is `benchmarks.chance`, averaged as in `block_average`. items: what the records answer; there
    may be more of them. ValueError where the records answer an item that is not among them.
    """
    chances = {(item.benchmark, item.id): benchmarks.chance(item) for item in items}
    questions = records[["kind", "condition", "benchmark", "item_id"]].astype(str).drop_duplicates()
    keys = list(zip(questions.benchmark, questions.item_id, strict=True))
    if missing := set(keys) - set(chances):
        raise ValueError(
            f"the records answer {len(missing)} items that are not among the {len(chances)} given, "
            f"such as {min(missing)}; pass the items that were asked"
        )
    return block_average(questions.assign(correct=[chances[key] for key in keys]))


def macro_f1(records: pd.DataFrame) -> pd.Series:
    """Macro-F1 over the gold labels of label benchmarks (PubMedQA).

    By model, forced, benchmark and condition. The majority label is over half of the gold there, so
    accuracy alone flatters. A malformed answer is no label: it is missed.
    """
    answers = records.answer.where(records.parse_error.isna(), "").fillna("")
    table = records.assign(
        label=answers.str.strip().str.lower(), gold=records.gold.str.strip().str.lower()
    )

    def score(rows: pd.DataFrame) -> float:
        labels = sorted(rows.gold.unique())
        return f1_score(rows.gold, rows.label, labels=labels, average="macro", zero_division=0)

    return table.groupby(["model", "forced", "benchmark", "condition"]).apply(score)


def by_benchmark(
    records: pd.DataFrame, items: Sequence[Item], against: str = "none"
) -> pd.DataFrame:
    """The accuracy of each benchmark under each condition minus that under `against`, free answers.

    One row per run, model, benchmark and condition: accuracy, chance (of guessing), mean, ci_low,
    ci_high (of the difference), n, verdict. Where the accuracy of neither side is shown to be above
    guessing (the lower end of its 95 % interval), a difference would be one of two guesses: the
    verdict is AT_CHANCE, and mean and interval are missing. items: as for `chance_table`.
    """
    chances = pd.DataFrame(
        [(item.benchmark, item.id, benchmarks.chance(item)) for item in items],
        columns=["benchmark", "item_id", "chance"],
    )
    free, rows = records[(records.forced == "none") & (records.turn == 1)], []
    for (run, model, benchmark), answers in free.groupby(["run", "model", "benchmark"], sort=False):
        is_asked = (chances.benchmark == benchmark) & chances.item_id.isin(answers.item_id)
        guessing = chances[is_asked].chance.mean()
        sides = dict(iter(answers.groupby("condition")))
        levels = {condition: mean_interval(side) for condition, side in sides.items()}
        for condition in sides:
            if condition == against:
                continue
            change = difference(sides[condition], sides[against], comparisons=1)
            change["verdict"] = verdict(change)
            if all(levels[side]["ci_low"] <= guessing for side in (condition, against)):
                change |= dict.fromkeys(("mean", "ci_low", "ci_high"), np.nan)
                change["verdict"] = AT_CHANCE
            rows.append(
                {
                    "run": run,
                    "model": model,
                    "benchmark": benchmark,
                    "condition": condition,
                    "accuracy": levels[condition]["mean"],
                    f"accuracy_{against}": levels[against]["mean"],
                    "chance": guessing,
                }
                | {key: change[key] for key in ("mean", "ci_low", "ci_high", "n", "verdict")}
            )
    return pd.DataFrame(rows)

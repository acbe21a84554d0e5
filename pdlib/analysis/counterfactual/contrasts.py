"""Answers under each condition against those under others, paired by item."""

from collections.abc import Iterator, Sequence

import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.counterfactual.answers import changes, free_answers, meanings, paired
from pdlib.dataset import personas
from pdlib.dataset.personas import Asked

CONTRASTS = {  # condition -> what it is held against
    "unaligned": ("none",),
    "aligned": ("none", "unaligned"),
    "conflicting": ("none", "unaligned", "aligned"),
    "swapped": ("none", "unaligned", "aligned"),
    "long": ("none", "unaligned"),
    "none reordered": ("none",),
    "unaligned reordered": ("unaligned",),
    "aligned reordered": ("aligned",),
}
MEASURES = {  # column -> name; the last two compare answers, not means
    "correct": "accuracy",
    "p_personalized": "P(personalised)",
    "personalized": "personalised mode",
    "flips": "share of answers that change",
    "beyond": "change beyond that between runs",
}


def differences(
    records: pd.DataFrame, questions: Sequence[Asked], draws: int = 4000
) -> pd.DataFrame:
    """Each condition minus what CONTRASTS hold it against, paired by item.

    One row per run, model, kind, contrast and measure. measure: a name of MEASURES. mean, ci_low,
    ci_high: in shares (1 = 100 points). wide_low, wide_high: for all contrasts of the model's
    measure together (Bonferroni). verdict: see `stats.verdict`; none for "share of answers that
    change", which is never below zero. n: items. unpaired: items left out because they were asked
    under one of the two only.
    """
    free, rows = free_answers(records), []
    free = free.assign(meaning=meanings(free, questions))
    for (run, model), answers in free.groupby(["run", "model"], sort=False):
        contrasts = list(_contrasts(answers))
        bootstrap = {"draws": draws, "comparisons": len(contrasts)}
        for contrast, left, right, unpaired in contrasts:
            for column, change in _measured(left, right, bootstrap):
                rows.append(
                    {"run": run, "model": model}
                    | contrast
                    | {"measure": MEASURES[column]}
                    | change
                    | {
                        "unpaired": unpaired,
                        "verdict": "" if column == "flips" else stats.verdict(change),
                    }
                )
    return pd.DataFrame(rows)


def _contrasts(
    answers: pd.DataFrame,
) -> Iterator[tuple[dict[str, str], pd.DataFrame, pd.DataFrame, int]]:
    """({kind, condition, against}, `paired`) of one model's answers, where there are any."""
    for kind, of_kind in answers.groupby("kind", sort=False):
        for condition in personas.COUNTERFACTUAL:
            for against in CONTRASTS.get(condition, ()):
                left, right, unpaired = paired(of_kind, condition, against)
                if len(left):
                    names = {"kind": kind, "condition": condition, "against": against}
                    yield names, left, right, unpaired


def _measured(
    left: pd.DataFrame, right: pd.DataFrame, bootstrap: dict
) -> Iterator[tuple[str, dict]]:
    """Column of MEASURES -> its mean change; a model without modes or with one run has fewer."""
    flips = changes(left, right)
    for column in MEASURES:
        if column in flips:
            if flips[column].notna().all():
                yield column, stats.mean_interval(flips, column, **bootstrap)
        elif left[column].notna().all():
            yield column, stats.difference(left, right, column, **bootstrap)


def order_sensitivity(
    records: pd.DataFrame, questions: Sequence[Asked], draws: int = 2000
) -> pd.DataFrame:
    """Choices under both orders of their options, by run, model, kind and persona condition.

    mean, ci_low, ci_high: the share of items with the same answer under both. same_run_to_run: that
    share between two runs of one order (missing with one run). correct, correct_reordered;
    correct_both: right under both. n: items.
    """
    free, rows = free_answers(records), []
    free = free.assign(meaning=meanings(free, questions))
    for (run, model, kind), answers in free.groupby(["run", "model", "kind"], sort=False):
        for condition in personas.CONDITIONS:
            left, right, _ = paired(answers, condition, f"{condition} reordered")
            if left.empty:
                continue
            flips = changes(left, right)
            same = stats.mean_interval(flips.assign(same=1 - flips.flips), "same", draws=draws)
            correct, reordered = (
                side.assign(correct=side.correct.astype(float)).groupby(stats.ITEM).correct.mean()
                for side in (left, right)
            )
            rows.append(
                {"run": run, "model": model, "kind": kind, "condition": condition}
                | same
                | {
                    "same_run_to_run": 1 - flips.groupby("benchmark").noise.mean().mean(),
                    "correct": _mean(correct),
                    "correct_reordered": _mean(reordered),
                    "correct_both": _mean(correct * reordered),
                }
            )
    return pd.DataFrame(rows)


def _mean(items: pd.Series) -> float:
    """Mean over benchmarks."""
    return items.groupby("benchmark").mean().mean()


def per_item(
    records: pd.DataFrame, questions: Sequence[Asked], value: str = "answer"
) -> pd.DataFrame:
    """For browsing: one row per item, a column per condition, after question and gold.

    An item has a row for each run, model and training seed. value: answer (the most frequent one,
    "x" after a wrong one), correct, p_personalized or personalized (means over runs).
    """
    free, aggregate = free_answers(records), "mean"
    if value == "answer":
        marks = free.correct.map({True: "", False: " x"})
        free, aggregate = free.assign(answer=meanings(free, questions) + marks), _commonest
    elif value not in MEASURES or value not in free:
        raise ValueError(
            f"value is {value!r}, expected answer, correct, p_personalized or personalized"
        )
    table = free.pivot_table(
        index=["run", "model", *stats.ITEM],
        columns="condition",
        values=value,
        sort=False,
        aggfunc=aggregate,
    )
    conditions = [name for name in personas.COUNTERFACTUAL if name in table]
    table = table[conditions].reset_index().rename_axis(None, axis=1)
    texts = {item.id: (item.id, item.question, item.gold) for _, item, _ in questions}
    question_texts = pd.DataFrame(texts.values(), columns=["item_id", "question", "gold"])
    table = table.merge(question_texts, on="item_id", how="left", validate="many_to_one")
    head = ["run", "model", "train_seed", "benchmark", "item_id", "question", "gold"]
    return table[[*head, *conditions]]


def _commonest(answers: pd.Series) -> str:
    return answers.mode().iloc[0]

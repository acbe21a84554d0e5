"""Does choosing a mode protect objective answers from a wrong inferred profile?

Queries on the records of `inferred_profiles.collect_records`; no model is loaded.
"""

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.paper.catalogue import SYSTEMS

MODELS = ("backbone", "sft_only", "personadual")
NONE, GIVEN = "no persona", "given persona"  # conditions beside "inferred, turn k"
BINS = (-0.01, 0.25, 0.5, 0.75, 1.0)  # of profile F1
VALUES = ("correct", "p_personalized")


def by_turn(records: pd.DataFrame, draws: int = 1000) -> pd.DataFrame:
    """`correct` and P(personalised) with intervals by model, kind of question and condition.

    One row per value; f1 is the mean profile F1.
    """
    rows = []
    groups = records.groupby(["model", "kind", "condition"], sort=False)
    for (model, kind, condition), answers in groups:
        key = {"model": model, "kind": kind, "condition": condition}
        for value in VALUES:
            if answers[value].notna().all():
                interval = stats.mean_interval(answers, value, draws=draws)
                rows.append(key | {"value": value, "f1": answers.profile_f1.mean()} | interval)
    return pd.DataFrame(rows)


def changes(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Objective questions: what each inferred or given profile changes against no persona.

    Columns: model, condition, f1; mean, ci_low, ci_high: accuracy minus that without persona,
    paired by item and seed; against, against_low, against_high: PersonaDual's change minus this
    model's; verdict (wide over all rows), n.
    """
    objective = records[records.kind == "objective"]
    key = ["benchmark", "item_id", "train_seed"]
    table = objective.assign(correct=objective.correct.astype(float)).pivot_table(
        index=key, columns=["model", "condition"], values="correct"
    )
    conditions = [name for name in objective.condition.unique() if name != NONE]
    drawn = stats.resample(table, draws)
    change = {(m, c): drawn[m, c] - drawn[m, NONE] for m in MODELS for c in conditions}
    rows = []
    for (model, condition), column in change.items():
        f1 = objective[objective.condition == condition].profile_f1.mean()
        summary = stats.summary(column, len(change))
        against = stats.summary(change["personadual", condition] - column)
        rows.append(
            {"model": model, "condition": condition, "f1": f1}
            | summary
            | {
                "against": against["mean"],
                "against_low": against["ci_low"],
                "against_high": against["ci_high"],
                "verdict": stats.verdict(summary),
                "n": stats.count(table),
            }
        )
    return pd.DataFrame(rows)


def by_f1(records: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Answers after a dialogue by the F1 of the profile they were asked with.

    Columns: model, kind, value, bin, f1, mean, ci_low, ci_high, n (answers). Items fall into bins
    by what was inferred, so bins hold different items; intervals resample items (all answers of one
    together).
    """
    inferred = records[records.asked_after > 0]
    inferred = inferred.assign(bin=pd.cut(inferred.profile_f1, list(BINS)).astype(str))
    rows, rng = [], np.random.default_rng(seed)
    for (model, kind, name), answers in inferred.groupby(["model", "kind", "bin"], sort=True):
        for value in VALUES:
            if answers[value].isna().any():
                continue
            by_item = answers[value].astype(float).groupby(answers.item_id).agg(["sum", "size"])
            weights = stats.item_weights(rng, len(by_item), draws)  # (draws + 1, items)
            totals = weights @ by_item.to_numpy()  # (draws + 1, 2)
            means = pd.Series(totals[:, 0] / totals[:, 1])
            key = {"model": model, "kind": kind, "value": value, "bin": name}
            f1 = {"f1": answers.profile_f1.mean()}
            rows.append(key | f1 | stats.summary(means) | {"n": len(answers)})
    return pd.DataFrame(rows)


def paragraph(records: pd.DataFrame, table: pd.DataFrame) -> str:
    """The result in words, for quoting.

    Changes of accuracy, profile F1 and P(personalised) early, late and with the given persona.
    table: `changes` of the records. Whether PersonaDual changes more or less than the backbone is
    said where the interval leaves 0 out.
    """
    inferred = [name for name in table.condition.unique() if name != GIVEN]
    early, *_, late = sorted(inferred, key=lambda name: int(name.split()[-1]))
    when = {
        early: "after the stranger's half",
        late: "after the whole dialogue",
        GIVEN: "with the asker's own persona given",
    }
    rows = table.set_index(["model", "condition"])
    sentences = [
        f"Objective questions, {rows.n.max()} items, {records.train_seed.nunique()} training "
        "seeds, accuracy against no persona."
    ]
    for condition, words in when.items():
        f1 = rows.loc[(MODELS[0], condition)].f1
        turn = condition.removeprefix("inferred, ")
        profile = "" if condition == GIVEN else f" ({turn}, mean profile F1 {f1:.2f})"
        changed = "; ".join(_change(rows.loc[(model, condition)], model) for model in MODELS)
        sentences.append(f"{words.capitalize()}{profile}: {changed}.")
    chances = "; ".join(
        f"{SYSTEMS[model].label} "
        + ", ".join(f"{_chance(records, model, name):.2f}" for name in (NONE, *when))
        for model in MODELS
        if SYSTEMS[model].two_modes
    )
    conditions = f"without a persona, {', '.join(when.values())}"
    sentences.append(f"Mean P(personalised) {conditions}: {chances}.")
    gap = rows.loc[(MODELS[0], early)]
    positions = {1: "above 0", -1: "below 0", 0: "not shown to differ from 0"}
    position = positions[stats.side(gap.against_low, gap.against_high)]
    sentences.append(
        f"{when[early].capitalize()} the change of PersonaDual minus that of the backbone is "
        f"{100 * gap.against:+.1f} points [{100 * gap.against_low:+.1f}, "
        f"{100 * gap.against_high:+.1f}], {position}."
    )
    return " ".join(sentences)


def _change(row: pd.Series, model: str) -> str:
    """A row of `changes` in words."""
    interval = f"[{100 * row.ci_low:+.1f}, {100 * row.ci_high:+.1f}]"
    return f"{SYSTEMS[model].label} {100 * row['mean']:+.1f} points {interval}"


def _chance(records: pd.DataFrame, model: str, condition: str) -> float:
    """Mean P(personalised) of a model on objective questions."""
    objective = records[records.kind == "objective"]
    rows = objective[(objective.model == model) & (objective.condition == condition)]
    return rows.p_personalized.mean()

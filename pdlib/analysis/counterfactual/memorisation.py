"""Is it memorised? Items with something that the training sets withheld against items without."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.counterfactual.answers import free_answers
from pdlib.dataset import personas
from pdlib.schema import Item

HELD_OUT = ("word", "template", "profession")
FIT = "P(personalised), aligned minus unaligned"


def memorisation(records: pd.DataFrame, items: Sequence[Item], draws: int = 4000) -> pd.DataFrame:
    """Items with a held-out word, template or profession against items without.

    One row per run, model, kind, part and measure. measure: accuracy under none, unaligned and
    aligned, and FIT, the rise of P(personalised) from the unaligned to the aligned persona of an
    item. part: word | template | profession (of the aligned persona).

    The groups hold different items, so nothing is paired: mean is held_out minus seen, each the
    mean over benchmarks of the mean over items; for the intervals items are drawn anew within each
    benchmark and group, training seeds alike for both groups. wide_low, wide_high and verdict as in
    `differences`, over the model's comparisons of a kind. left_out: benchmarks with fewer than two
    items in either group.

    A word may be harder of itself, held out or not: the backbone, which has read all of them, shows
    how much.
    """
    held_out = _held_out(items)
    free = free_answers(records)
    if strange := set(free.item_id) - set(held_out):
        raise ValueError(
            f"the records answer {len(strange)} items that are not among the {len(held_out)} "
            f"given, such as {min(strange)!r}"
        )
    rows = []
    for (run, model, kind), answers in free.groupby(["run", "model", "kind"], sort=False):
        measures = _measures(answers)
        for part in HELD_OUT:
            for measure, values in measures.items():
                ids = values.index.get_level_values("item_id")
                is_held_out = np.array([held_out[item_id][part] for item_id in ids], bool)
                comparison = _unpaired(
                    values[is_held_out], values[~is_held_out], draws, len(HELD_OUT) * len(measures)
                )
                is_missing = np.isnan(comparison["mean"])
                rows.append(
                    {"run": run, "model": model, "kind": kind, "part": part, "measure": measure}
                    | comparison
                    | {"verdict": "" if is_missing else stats.verdict(comparison)}
                )
    return pd.DataFrame(rows)


def _held_out(items: Sequence[Item]) -> dict[str, dict[str, bool]]:
    """Item id -> what of HELD_OUT is held out of it; ValueError for items that do not say it."""
    facts = {item.id: item.facts.get("held_out") for item in items}
    silent = [
        item_id
        for item_id, held_out in facts.items()
        if not isinstance(held_out, dict) or set(held_out) != set(HELD_OUT)
    ]
    if silent:
        raise ValueError(
            f"{len(silent)} of {len(facts)} items ({silent[0]!r} ...) do not say what of them is "
            f"held out {HELD_OUT}; items of the pocket world do, real ones cannot: nobody knows "
            "what the backbone has read"
        )
    return facts


def _measures(answers: pd.DataFrame) -> dict[str, pd.Series]:
    """Measure -> value by item and training seed, of one model's answers to one kind."""
    means = {}
    for condition in personas.CONDITIONS:
        by_item = answers[answers.condition == condition].groupby(stats.ITEM)
        means[condition] = by_item[["correct", "p_personalized"]].mean().astype(float)
    measures = {
        f"accuracy, {condition}": table.correct for condition, table in means.items() if len(table)
    }
    fit = (means["aligned"].p_personalized - means["unaligned"].p_personalized).dropna()
    return measures | ({FIT: fit} if len(fit) else {})


def _unpaired(held_out: pd.Series, seen: pd.Series, draws: int, comparisons: int) -> dict:
    """Mean of `held_out` minus mean of `seen`, each a value by item and training seed.

    See `memorisation`.
    """
    groups = {"held_out": held_out, "seen": seen}
    sizes = pd.DataFrame(
        {name: values.groupby("benchmark").apply(stats.count) for name, values in groups.items()}
    )
    sizes = sizes.fillna(0).astype(int)
    compared = sizes[(sizes > 1).all(axis=1)]
    counts = {f"n_{name}": int(compared[name].sum()) for name in groups}
    counts["left_out"] = ", ".join(sorted(sizes.index.difference(compared.index)))
    if compared.empty:
        columns = ("held_out", "seen", "mean", "ci_low", "ci_high", "wide_low", "wide_high")
        return dict.fromkeys(columns, np.nan) | counts
    apart = {}
    for name, values in groups.items():
        values = values[values.index.isin(compared.index, level="benchmark")]
        # a benchmark of each group's own, so that items are drawn apart and seeds alike
        apart[name] = values.rename(f"{{}}, {name}".format, level="benchmark")
    drawn = stats.resample(pd.concat(apart, axis=1), draws)
    means = {name: float(drawn[name][0]) for name in groups}
    return means | stats.summary(drawn.held_out - drawn.seen, comparisons) | counts

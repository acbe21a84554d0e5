"""The claims of one world over its replicates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from pdlib.analysis import selection, stats
from pdlib.analysis.replication.items import MODELS, RIVALS, RULES, SCORED_ON, column
from pdlib.paper.catalogue import label

GAP = "share of personalised mode, aligned - unaligned, no cue"
TOLD_AHEAD = "told whether it fits - the better of both rules"
ROUNDING = 0.0005  # of the values in per_replicate
OBJECTIVE = tuple(selection.MEANS[selection.OBJECTIVE])
OBJECTIVE_BLOCKS = {  # a block of the table -> the blocks that it averages
    "objective unaligned": OBJECTIVE[:1],
    "objective aligned": OBJECTIVE[1:],
    selection.OBJECTIVE: OBJECTIVE,
}
BLOCKS = OBJECTIVE_BLOCKS | {
    "personalised": ("personalised",),
    stats.MEAN: tuple(stats.BLOCKS),
}
Terms = list[tuple[float, tuple[str, str]]]  # (weight, column of the items) each


def table(items: pd.DataFrame, draws: int = 4000) -> pd.DataFrame:
    """The claims of one world over its replicates, one row per measure and block.

    Columns measure, block, mean, ci_low, ci_high, n (items), replicates, another_low, another_high,
    lowest and highest (of the replicates), and per_replicate. items: as `by_replicate` gives them.
    ci_low, ci_high: of the mean over all backbones and items (`stats.seed_weights`). another_low,
    another_high: where a further replicate would come out on the same items, with 95 %, see
    `another`. per_replicate: the values one by one, in the order of the seeds. better_rule: of
    TOLD_AHEAD, the rule that is meant.
    """
    seeds, rows = sorted(items.index.unique("train_seed")), []
    for (measure, block), terms in _claims().items():
        if not {name for _, name in terms} <= set(items.columns):
            continue  # a rule that could not be computed
        drawn, per_seed, n = _sum(items, terms, draws)
        rows.append(
            {"measure": measure, "block": block}
            | stats.summary(drawn)
            | another(per_seed)
            | {
                "lowest": float(per_seed.min()),
                "highest": float(per_seed.max()),
                "n": n,
                "per_replicate": " ".join(f"{per_seed[seed]:.3f}" for seed in seeds),
            }
        )
    rows += [row for start in SCORED_ON.values() for row in _least_ahead(rows, start)]
    return pd.DataFrame(rows).assign(replicates=len(seeds))


def another(values: Sequence[float]) -> dict[str, float]:
    """{another_low, another_high}: the 95 % prediction interval for one more value like these.

    By Student's t, mean -+ t s sqrt(1 + 1/n); missing for fewer than two values. It is wider than
    the interval of the mean: one run is not a mean.

    >>> {name: round(value, 3) for name, value in another([0.0, 0.1, 0.2]).items()}
    {'another_low': -0.397, 'another_high': 0.597}
    """
    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        return {"another_low": np.nan, "another_high": np.nan}
    t = student.ppf(0.5 + stats.LEVEL / 2, n - 1)
    half = t * values.std(ddof=1) * np.sqrt(1 + 1 / n)
    return {"another_low": float(values.mean() - half), "another_high": float(values.mean() + half)}


def inside(claims: pd.DataFrame) -> float:
    """How often a replicate lies where the others said that it would.

    That is the share of claims (of a `table`) and replicates whose value lies in the interval that
    `another` makes of the other replicates. Missing for fewer than three.
    """
    hits = []
    for text in claims.per_replicate[~claims.measure.str.endswith(TOLD_AHEAD)]:
        values = [float(value) for value in str(text).split()]
        if len(values) < 3:
            continue
        for k, value in enumerate(values):
            others = another(values[:k] + values[k + 1 :])
            low, high = others["another_low"] - ROUNDING, others["another_high"] + ROUNDING
            hits.append(low <= value <= high)
    return float(np.mean(hits)) if hits else np.nan


def _claims() -> dict[tuple[str, str], Terms]:
    """(measure, block) -> the weighted sum of columns that it claims something of."""
    claims: dict[tuple[str, str], Terms] = {}
    for rival in ("cot", "sft_only", *RIVALS):
        for name, blocks in BLOCKS.items():
            terms = _difference("personadual", rival, blocks)
            claims[f"PersonaDual - {label(rival)}", name] = terms
    for model, start in SCORED_ON.items():
        for rule in RULES:
            for name, blocks in OBJECTIVE_BLOCKS.items():
                terms = _difference(column(selection.TOLD, model), column(rule, model), blocks)
                claims[f"{start}{selection.TOLD} - {rule}", name] = terms
    for model in ("sft_only", "personadual"):
        share, (unaligned, aligned) = f"{model}, share", OBJECTIVE
        claims[f"{label(model)}: {GAP}", selection.OBJECTIVE] = [
            (1, (share, aligned)),
            (-1, (share, unaligned)),
        ]
    for model in MODELS:
        for condition in ("unaligned", "aligned"):
            block = f"objective {condition}"
            claims[f"{label(model)}: {condition} - none", block] = [
                (1, (model, block)),
                (-1, (model, "objective none")),
            ]
        for block in stats.AVERAGES:
            claims[f"{label(model)}: accuracy", block] = [(1, (model, block))]
    return claims


def _difference(left: str, right: str, blocks: Sequence[str]) -> Terms:
    """Left minus right, in the mean of `blocks`."""
    weight = 1 / len(blocks)
    return [
        term for block in blocks for term in ((weight, (left, block)), (-weight, (right, block)))
    ]


def _sum(items: pd.DataFrame, terms: Terms, draws: int) -> tuple[pd.Series, pd.Series, int]:
    """(draws of the sum, its value by training seed, items)."""
    names = list(dict.fromkeys(name for _, name in terms))
    held = items[names].dropna(how="all")
    drawn = stats.resample(held, draws)
    means = items[names].groupby(["train_seed", "benchmark"]).mean().groupby("train_seed").mean()
    total = sum(weight * drawn[name] for weight, name in terms)
    per_seed = sum(weight * means[name] for weight, name in terms)
    return total, per_seed, stats.count(held)


def _least_ahead(rows: Sequence[dict], start: str) -> list[dict]:
    """Told whether the persona fits minus the better of RULES, on the objective blocks.

    It is one of `rows`, or nothing where they have none.
    """
    rule_of = {f"{start}{selection.TOLD} - {rule}": rule for rule in RULES}
    leads = [
        row | {"measure": start + TOLD_AHEAD, "better_rule": rule_of[row["measure"]]}
        for row in rows
        if row["measure"] in rule_of and row["block"] == selection.OBJECTIVE
    ]
    return sorted(leads, key=lambda row: row["mean"])[:1]

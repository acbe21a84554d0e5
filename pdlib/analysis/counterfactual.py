"""Counterfactual personas: the same question asked by somebody else, or with its options in another
order.

`personas.variants` says who asks what; here are the queries on the records of it. Records hold no
options and no lexical facts: both are joined from the items by id.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pdlib import benchmarks
from pdlib.analysis import stats
from pdlib.dataset import personas
from pdlib.dataset.personas import Asked
from pdlib.schema import Item

CONDITIONS, variants = (
    personas.COUNTERFACTUAL,
    personas.variants,
)  # made below this floor: the data stages ask for them
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
HELD_OUT = ("word", "template", "profession")
FIT = "P(personalised), aligned minus unaligned"
ANSWER = [
    "run",
    "model",
    "train_seed",
    "benchmark",
    "item_id",
    "condition",
    "seed",
]  # what tells one answer from another
ITEM = ["benchmark", "item_id", "train_seed"]  # what differences are paired by, as in `stats`
NO_ANSWER = "(no answer)"


def _free(records: pd.DataFrame) -> pd.DataFrame:
    """The free answers, with `personalized`: 1.0 for an answer in that mode, missing for models
    without modes.
    """
    free = records[records.forced == "none"]
    if unknown := set(free.condition) - set(CONDITIONS):
        raise ValueError(f"unknown conditions {sorted(unknown)}, expected some of {CONDITIONS}")
    if free.duplicated(ANSWER).any():
        raise ValueError(
            f"{int(free.duplicated(ANSWER).sum())} answers are there twice (same {', '.join(ANSWER)}); "
            "pass the records of one evaluation"
        )
    return free.assign(
        personalized=(free["mode"] == "personalized")
        .astype(float)
        .where(free.p_personalized.notna())
    )


def meanings(records: pd.DataFrame, asked: Sequence[Asked]) -> pd.Series:
    """What each answer says, whatever the order of the options: the option's text, else the
    normalised answer; NO_ANSWER where it did not parse. ValueError for an answer to what is not in
    `asked`.
    """
    shown, known = {(condition, item.id): item for condition, item, _ in asked}, {}

    def meaning(condition: str, identity: str, answer: str | None, error: str | None) -> str:
        if (condition, identity) not in shown:
            raise ValueError(
                f"the records answer {identity!r} under {condition!r}, which is not among the {len(shown)} variants; "
                "pass those that were asked"
            )
        if isinstance(error, str) or not isinstance(answer, str):
            return NO_ANSWER
        key = (shown[condition, identity].options, answer)
        if key not in known:
            item = shown[condition, identity]
            read = (
                option
                for option in item.options
                if benchmarks.grade(replace(item, gold=option), answer)[0]
            )
            whole = len(answer) > 3 and answer in item.options  # a shorter one may be a letter
            known[key] = answer if whole else next(read, benchmarks.normalize(answer))
        return known[key]

    rows = zip(records.condition, records.item_id, records.answer, records.parse_error)
    return pd.Series([meaning(*row) for row in rows], records.index, dtype=object)


def _unlike(one: Counter, two: Counter) -> float:
    """The chance that an answer of `one` and an answer of `two` differ."""
    return 1 - sum(n * two[answer] for answer, n in one.items()) / (one.total() * two.total())


def _unlike_itself(one: Counter) -> float:
    """The chance that two of the answers differ; missing when there is only one."""
    n = one.total()
    return (1 - sum(k * (k - 1) for k in one.values()) / (n * (n - 1))) if n > 1 else np.nan


def _flips(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Of each item: flips, the chance that an answer under one condition is another than one under
    the other; noise, that two runs under one condition differ, mean of both conditions; beyond, the
    first minus the second (missing with a single run).
    """
    one, two = (side.groupby(ITEM)["said"].agg(Counter) for side in (left, right))
    found = pd.DataFrame(
        {
            "flips": [_unlike(a, b) for a, b in zip(one, two)],
            "noise": [(_unlike_itself(a) + _unlike_itself(b)) / 2 for a, b in zip(one, two)],
        },
        one.index,
    )
    return found.assign(beyond=found.flips - found.noise).reset_index()


def _paired(
    free: pd.DataFrame, condition: str, against: str
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """(answers under the one condition, under the other, items that have one of them only and are
    left out).
    """
    sides = [free[free.condition == name] for name in (condition, against)]
    keys = [set(zip(*(side[name] for name in ITEM))) for side in sides]
    both = keys[0] & keys[1]
    kept = [side[[key in both for key in zip(*(side[name] for name in ITEM))]] for side in sides]
    return *kept, len({key[:2] for key in keys[0] ^ keys[1]})


def differences(records: pd.DataFrame, asked: Sequence[Asked], draws: int = 4000) -> pd.DataFrame:
    """Each condition minus what CONTRASTS hold it against, paired by item: one row a run, model,
    kind, contrast and measure.

    measure: a name of MEASURES.  mean, ci_low, ci_high: in shares (1 = 100 points).  wide_low,
    wide_high: for all contrasts of the model's measure together (Bonferroni).  verdict: see
    `stats.verdict`; none for "share of answers that change", which is never below zero.  n: items.
    unpaired: items left out because they were asked under one of the two only.
    """
    rows, free = [], _free(records)
    free = free.assign(said=meanings(free, asked))
    for (run, model), own in free.groupby(["run", "model"], sort=False):
        pairs = [
            (kind, condition, other, *_paired(part, condition, other))
            for kind, part in own.groupby("kind", sort=False)
            for condition in CONDITIONS
            for other in CONTRASTS.get(condition, ())
        ]
        pairs = [pair for pair in pairs if len(pair[3])]
        settings = {"draws": draws, "comparisons": len(pairs)}
        for kind, condition, other, left, right, unpaired in pairs:
            flips = _flips(left, right)
            for column, measure in MEASURES.items():
                if column in flips:
                    found = (
                        None
                        if flips[column].isna().any()
                        else stats.mean_interval(flips, column, **settings)
                    )
                else:
                    found = (
                        None
                        if left[column].isna().any()
                        else stats.difference(left, right, column, **settings)
                    )
                if found is None:  # no modes, or one run
                    continue
                verdict = "" if column == "flips" else stats.verdict(found)
                rows.append(
                    {
                        "run": run,
                        "model": model,
                        "kind": kind,
                        "condition": condition,
                        "against": other,
                        "measure": measure,
                    }
                    | found
                    | {"unpaired": unpaired, "verdict": verdict}
                )
    return pd.DataFrame(rows)


def per_item(records: pd.DataFrame, asked: Sequence[Asked], value: str = "answer") -> pd.DataFrame:
    """For browsing: one row an item (of a run, model and training seed), a column a condition,
    after question and gold.

    value: answer (the most frequent one, "x" after a wrong one), correct, p_personalized or
    personalized (means over runs).
    """
    free = _free(records)
    if value == "answer":
        free = free.assign(answer=meanings(free, asked) + free.correct.map({True: "", False: " x"}))
    elif value not in MEASURES or value not in free:
        raise ValueError(
            f"value is {value!r}, expected answer, correct, p_personalized or personalized"
        )
    commonest = lambda said: said.mode().iloc[0]  # noqa: E731
    table = free.pivot_table(
        index=["run", "model", *ITEM],
        columns="condition",
        values=value,
        sort=False,
        aggfunc=commonest if value == "answer" else "mean",
    )
    texts = pd.DataFrame(
        {item.id: (item.question, item.gold) for _, item, _ in asked}, index=["question", "gold"]
    ).T.rename_axis("item_id")
    table = (
        table[[name for name in CONDITIONS if name in table]]
        .reset_index()
        .rename_axis(None, axis=1)
    )
    front = ["run", "model", "train_seed", "benchmark", "item_id", "question", "gold"]
    table = table.merge(texts.reset_index(), on="item_id", how="left", validate="many_to_one")
    return table[[*front, *(name for name in table if name not in front)]]


def order_sensitivity(
    records: pd.DataFrame, asked: Sequence[Asked], draws: int = 2000
) -> pd.DataFrame:
    """Choices under both orders of their options, by run, model, kind and persona condition.

    mean, ci_low, ci_high: the share of items with the same answer under both.  same_run_to_run:
    that share between two runs of one order (missing with one run).  correct, correct_reordered;
    correct_both: right under both.  n: items.
    """
    free = _free(records)
    free, rows = free.assign(said=meanings(free, asked)), []
    for (run, model, kind), own in free.groupby(["run", "model", "kind"], sort=False):
        for condition in personas.CONDITIONS:
            left, right, _ = _paired(own, condition, f"{condition} reordered")
            if left.empty:
                continue
            flips = _flips(left, right)
            right_in = [
                side.assign(correct=side.correct.astype(float)).groupby(ITEM).correct.mean()
                for side in (left, right)
            ]
            means = [
                values.groupby("benchmark").mean().mean()
                for values in (*right_in, right_in[0] * right_in[1])
            ]
            rows.append(
                {"run": run, "model": model, "kind": kind, "condition": condition}
                | stats.mean_interval(flips.assign(same=1 - flips.flips), "same", draws=draws)
                | {"same_run_to_run": 1 - flips.groupby("benchmark").noise.mean().mean()}
                | dict(zip(("correct", "correct_reordered", "correct_both"), means))
            )
    return pd.DataFrame(rows)


def _unpaired(held_out: pd.Series, seen: pd.Series, draws: int, comparisons: int) -> dict:
    """Mean of `held_out` minus mean of `seen`, each (benchmark, item, training seed) -> value, see
    `memorisation`.
    """
    groups, counts = {"held_out": held_out, "seen": seen}, {}
    sizes = {name: group.groupby("benchmark").apply(stats.count) for name, group in groups.items()}
    both = [
        name
        for name in sizes["seen"].index
        if min(size.get(name, 0) for size in sizes.values()) > 1
    ]
    counts = {f"n_{name}": int(size[both].sum()) for name, size in sizes.items()}
    counts["left_out"] = ", ".join(
        sorted({*sizes["held_out"].index, *sizes["seen"].index} - {*both})
    )
    if not both:
        return (
            dict.fromkeys(
                ("held_out", "seen", "mean", "ci_low", "ci_high", "wide_low", "wide_high"), np.nan
            )
            | counts
        )
    apart = {
        name: group[group.index.isin(both, level="benchmark")].rename(
            lambda one, name=name: f"{one}, {name}", level="benchmark"
        )
        for name, group in groups.items()
    }  # a benchmark of each group's own, so that items are drawn apart and seeds alike
    drawn = stats.resample(pd.concat(apart, axis=1), draws)
    return (
        {name: float(drawn[name][0]) for name in groups}
        | stats.summary(drawn.held_out - drawn.seen, comparisons)
    ) | counts


def memorisation(records: pd.DataFrame, items: Sequence[Item], draws: int = 4000) -> pd.DataFrame:
    """Is it memorised? Items with a held-out word, template or profession against items without, by
    run, model and kind.

    measure: accuracy under none, unaligned and aligned, and FIT, the rise of P(personalised) from
    the unaligned to the aligned persona of an item.  part: word | template | profession (of the
    aligned persona).
    The groups hold different items, so nothing is paired: mean is held_out minus seen, each the
    mean over benchmarks of the mean over items; for the intervals items are drawn anew within each
    benchmark and group, training seeds alike for both groups. wide_low, wide_high and verdict as in
    `differences`, over the model's comparisons of a kind.  left_out: benchmarks with fewer than two
    items in either group.
    A word may be harder of itself, held out or not: the backbone, which has read all of them, shows
    how much.
    """
    facts = {item.id: item.facts.get("held_out") for item in items}
    if bare := [
        identity
        for identity, held in facts.items()
        if not isinstance(held, dict) or set(held) != set(HELD_OUT)
    ]:
        raise ValueError(
            f"{len(bare)} of {len(facts)} items ({bare[0]!r} ...) do not say what of them is held out {HELD_OUT}; "
            "items of the pocket world do, real ones cannot: nobody knows what the backbone has read"
        )
    free = _free(records)
    if strange := set(free.item_id) - set(facts):
        raise ValueError(
            f"the records answer {len(strange)} items that are not among the {len(facts)} given, such as {min(strange)!r}"
        )
    rows = []
    for (run, model, kind), own in free.groupby(["run", "model", "kind"], sort=False):
        means = {
            name: own[own.condition == name]
            .groupby(ITEM)[["correct", "p_personalized"]]
            .mean()
            .astype(float)
            for name in personas.CONDITIONS
        }
        values = {f"accuracy, {name}": table.correct for name, table in means.items() if len(table)}
        fit = (means["aligned"].p_personalized - means["unaligned"].p_personalized).dropna()
        values |= {FIT: fit} if len(fit) else {}
        for part in HELD_OUT:
            for measure, value in values.items():
                is_held_out = value.index.get_level_values("item_id").map(
                    lambda identity: facts[identity][part]
                )
                found = _unpaired(
                    value[is_held_out], value[~is_held_out], draws, len(HELD_OUT) * len(values)
                )
                rows.append(
                    {"run": run, "model": model, "kind": kind, "part": part, "measure": measure}
                    | found
                    | {"verdict": "" if np.isnan(found["mean"]) else stats.verdict(found)}
                )
    return pd.DataFrame(rows)

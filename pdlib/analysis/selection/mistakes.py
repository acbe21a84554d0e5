"""Wrong answers by cause, wrong choices, and what P(personalised) is worth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import beta

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import LEARNED, TOGETHER, Answers, prefixed, read, with_means

ERRORS = (
    "wrong mode",
    "in-mode: neither mode is right",
    "in-mode: own mode is mostly right",
    "no mode",
)
THRESHOLDS = (
    0,
    0.001,
    0.003,
    0.01,
    0.03,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.97,
    0.99,
    0.997,
    0.999,
    1,
)
BINS = (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1)
FEW = 5  # items; fewer are too few to resample


def causes(chosen: np.ndarray, general: np.ndarray, personalized: np.ndarray) -> np.ndarray:
    """Which of ERRORS a free answer has if it is wrong, see `errors`; arrays that broadcast.

    chosen: 1 personalised, 0 general, missing where no mode is named.  general, personalized: is
    that forced mode mostly right?
    """
    own, other = (
        np.where(chosen == 1, *pair) for pair in ((personalized, general), (general, personalized))
    )
    return np.select([np.isnan(chosen), own, other], [ERRORS[3], ERRORS[2], ERRORS[0]], ERRORS[1])


def errors(records: pd.DataFrame, model: str = "personadual", draws: int = 2000) -> pd.DataFrame:
    """Wrong free answers by what went wrong, one row a block and kind of ERRORS: rate (of all
    answers) and share (of the wrong ones).

    A forced mode is right on a question when more than half of its sampling runs are. A wrong free
    answer is of the wrong mode when the other mode is right and its own is not; in-mode when
    neither is right (the other would not have helped), or when its own is (bad luck of this run);
    or it names no mode. The rates of a block add up to one minus its accuracy. A majority of few
    runs is itself partly luck, on both sides alike; the regret of `value` is free of it. n: items.
    """
    answers = read(records, model)
    general, personalized = (
        (forced.mean(1) > 0.5)[:, None] for forced in (answers.general, answers.personalized)
    )
    wrong, found = answers.free == 0, causes(answers.chosen, general, personalized)
    parts = {name: wrong & (found == name) for name in ERRORS}
    drawn = with_means(
        answers.resample(
            {name: part.mean(1) for name, part in parts.items()} | {"all": wrong.mean(1)}, draws
        )
    )
    n = answers.counts()
    return pd.DataFrame(
        [
            {"block": block, "error": name}
            | prefixed("rate", stats.summary(drawn[name, block]))
            | prefixed("share", stats.summary(drawn[name, block] / drawn["all", block]))
            | {"n": int(n[block])}
            for block in [*answers.blocks, stats.MEAN]
            for name in ERRORS
        ]
    )


def selection_errors(
    records: pd.DataFrame, model: str = "personadual", draws: int = 2000
) -> pd.DataFrame:
    """How often the learned choice is wrong where the right mode is known: one row a block and
    right mode (general | personalised | all).

    Known: one forced mode is right in all sampling runs, the other wrong in all. An answer without
    a mode is a wrong choice. mean, ci_low, ci_high: share of free answers that are not in the right
    mode (benchmarks weigh by how much they know); where all known items are alike, so that
    resampling shows no spread, the exact binomial interval.  n: items whose right mode is known for
    some training seed, of n_all.  Missing where there are none.
    """
    answers = read(records, model)
    general, personalized = answers.general.mean(1), answers.personalized.mean(1)
    known = {
        "general": (general == 1) & (personalized == 0),
        "personalised": (personalized == 1) & (general == 0),
    }
    wrong = {
        "general": (answers.chosen != 0).mean(1),
        "personalised": (answers.chosen != 1).mean(1),
    }
    known["all"], wrong["all"] = (
        known["general"] | known["personalised"],
        np.where(known["general"], *wrong.values()),
    )
    drawn = _ratios(answers, {name: ({"": wrong[name]}, known[name]) for name in known}, draws)
    every, rows = answers.counts(), []
    counts = {name: answers.counts(which) for name, which in known.items()}
    for block in [*answers.blocks, TOGETHER]:
        for name in known:
            n = int(counts[name][block])
            rows.append(
                {"block": block, "right_mode": name}
                | _or_exact(stats.summary(drawn[name, "", block]), n)
                | {"n": n, "n_all": int(every[block])}
            )
    return pd.DataFrame(rows)


def _or_exact(found: dict, n: int) -> dict:
    """Within 0 and 1, which Student's t over few seeds may leave; the Clopper-Pearson interval of
    `n` items where draws show no spread.
    """
    if not n or found["ci_low"] < found["ci_high"]:
        return found | {"ci_low": max(found["ci_low"], 0.0), "ci_high": min(found["ci_high"], 1.0)}
    tail, hits = (1 - stats.LEVEL) / 2, found["mean"] * n
    return found | {
        "ci_low": float(beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0,
        "ci_high": float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0,
    }


def _ratios(answers: Answers, parts: dict, draws: int) -> pd.DataFrame:
    """Means over some questions only: parts name -> ({quantity: (Q,)}, which (Q,)); columns (name,
    quantity, block or TOGETHER).
    """
    values = {
        (name, what): value * which
        for name, (quantities, which) in parts.items()
        for what, value in quantities.items()
    }
    values |= {(name, "which"): which.astype(float) for name, (_, which) in parts.items()}
    codes = {code: key for code, key in enumerate(values)}
    drawn = answers.resample({code: values[key] for code, key in codes.items()}, draws)
    drawn = {(*codes[code], block): drawn[code, block] for code, block in drawn.columns}
    drawn |= {
        (*key, TOGETHER): sum(drawn[(*key, block)] for block in stats.BLOCKS) for key in values
    }
    found = {
        (name, what, block): value / drawn[name, "which", block]
        for (name, what, block), value in drawn.items()
        if what != "which"
    }
    return pd.DataFrame({key: value.where(np.isfinite(value)) for key, value in found.items()})


def tradeoff(
    records: pd.DataFrame,
    model: str = "personadual",
    thresholds: Sequence[float] = THRESHOLDS,
    draws: int = 1000,
) -> pd.DataFrame:
    """Personalised where P(personalised) > threshold, from forced answers: one row a threshold and
    block, and the learned selector.

    mark: "0.5" (the greedy choice), "learned" (free answers at the sampling temperature, threshold
    missing), or nothing; 0.5 is always there.  mean, ci_low, ci_high: accuracy.  share: of
    personalised choices.  n: items.
    """
    answers = read(records, model)
    levels = sorted({*map(float, thresholds), 0.5})
    above = {level: answers.chance > level for level in levels}
    values = {
        level: np.where(w[:, None], answers.personalized, answers.general).mean(1)
        for level, w in above.items()
    }
    shares = {level: w.astype(float) for level, w in above.items()} | {
        LEARNED: (answers.chosen == 1).mean(1)
    }
    drawn = with_means(answers.resample(values | {LEARNED: answers.free.mean(1)}, draws))
    share = with_means(answers.resample(shares, 0)).iloc[0]
    n = answers.counts()
    return pd.DataFrame(
        [
            {
                "threshold": np.nan if level == LEARNED else level,
                "mark": {0.5: "0.5", LEARNED: LEARNED}.get(level, ""),
                "block": block,
            }
            | stats.summary(drawn[level, block])
            | {"share": share[level, block], "n": int(n[block])}
            for level in [*levels, LEARNED]
            for block in [*answers.blocks, stats.MEAN]
        ]
    )


def calibration(
    records: pd.DataFrame,
    model: str = "personadual",
    bins: Sequence[float] = BINS,
    draws: int = 1000,
) -> pd.DataFrame:
    """Does P(personalised) rise with what the mode is worth? One row a block and bin of P (low,
    high], the first with its low end.

    p: mean P (temperature 1).  share: of free answers that are personalised (at the sampling
    temperature).  mean, ci_low, ci_high: benefit, forced personalised minus forced general
    accuracy; no interval for fewer than FEW items.  n: items.  Bins without questions are left out.
    """
    if list(bins) != sorted(set(bins)) or bins[0] > 0 or bins[-1] < 1:
        raise ValueError(f"bins are {list(bins)}, expected rising edges that cover 0 to 1")
    answers = read(records, model)
    benefit = answers.personalized.mean(1) - answers.general.mean(1)
    place = np.digitize(answers.chance, bins, right=True).clip(1, len(bins) - 1)
    quantities = {"p": answers.chance, "share": (answers.chosen == 1).mean(1), "benefit": benefit}
    parts = {k: (quantities, place == k) for k in sorted(set(place))}
    drawn, rows = _ratios(answers, parts, draws), []
    counts = {k: answers.counts(which) for k, (_, which) in parts.items()}
    for block in [*answers.blocks, TOGETHER]:
        for k in parts:
            if n := int(counts[k][block]):
                p, share = (float(drawn[k, what, block].iloc[0]) for what in ("p", "share"))
                found = stats.summary(drawn[k, "benefit", block]) | (
                    {"ci_low": np.nan, "ci_high": np.nan} if n < FEW else {}
                )
                rows.append(
                    {"block": block, "low": bins[k - 1], "high": bins[k], "p": p, "share": share}
                    | found
                    | {"n": n}
                )
    return pd.DataFrame(rows)

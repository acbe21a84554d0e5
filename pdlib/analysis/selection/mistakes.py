"""Wrong answers by cause, wrong choices, and what P(personalised) is worth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import beta

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import LEARNED, TOGETHER, Answers, read, with_means

ERRORS = (
    "wrong mode",
    "in-mode: neither mode is right",
    "in-mode: own mode is mostly right",
    "no mode",
)
NEAR_ENDS = (0, 0.001, 0.003, 0.01, 0.03, 0.97, 0.99, 0.997, 0.999, 1)
THRESHOLDS = tuple(sorted({*NEAR_ENDS, *(k / 10 for k in range(1, 10))}))
BINS = (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1)
FEW = 5  # items; fewer are too few to resample


def causes(chosen: np.ndarray, general: np.ndarray, personalized: np.ndarray) -> np.ndarray:
    """Which of ERRORS a free answer has if it is wrong, see `errors`; arrays that broadcast.

    chosen: 1 personalised, 0 general, missing where no mode is named.  general, personalized: is
    that forced mode mostly right?
    """
    chosen_is_right = np.where(chosen == 1, personalized, general)
    other_is_right = np.where(chosen == 1, general, personalized)
    wrong_mode, neither, bad_luck, no_mode = ERRORS
    conditions = [np.isnan(chosen), chosen_is_right, other_is_right]
    return np.select(conditions, [no_mode, bad_luck, wrong_mode], neither)


def errors(records: pd.DataFrame, model: str = "personadual", draws: int = 2000) -> pd.DataFrame:
    """Wrong free answers by what went wrong, one row per block and kind of ERRORS.

    rate: of all answers; share: of the wrong ones.

    A forced mode is right on a question when more than half of its sampling runs are. A wrong free
    answer is of the wrong mode when the other mode is right and its own is not; in-mode when
    neither is right (the other would not have helped), or when its own is (bad luck of this run);
    or it names no mode. The rates of a block add up to one minus its accuracy. A majority of few
    runs is itself partly luck, on both sides alike; the regret of `value` is free of it. n: items.
    """
    answers = read(records, model)
    general = (answers.general.mean(1) > 0.5)[:, None]  # (Q, 1)
    personalized = (answers.personalized.mean(1) > 0.5)[:, None]
    is_wrong, cause = answers.free == 0, causes(answers.chosen, general, personalized)  # (Q, R)
    rates = {name: (is_wrong & (cause == name)).mean(1) for name in ERRORS}
    drawn = with_means(answers.resample(rates | {"all": is_wrong.mean(1)}, draws))
    counts, rows = answers.counts(), []
    for block in [*answers.blocks, stats.MEAN]:
        for name in ERRORS:
            rate, every = drawn[name, block], drawn["all", block]
            rows.append(
                {"block": block, "error": name}
                | stats.prefixed("rate", stats.summary(rate))
                | stats.prefixed("share", stats.summary(rate / every))
                | {"n": int(counts[block])}
            )
    return pd.DataFrame(rows)


def selection_errors(
    records: pd.DataFrame, model: str = "personadual", draws: int = 2000
) -> pd.DataFrame:
    """How often the learned choice is wrong where the right mode is known.

    One row per block and right mode (general | personalised | all).

    Known: one forced mode is right in all sampling runs, the other wrong in all. An answer without
    a mode is a wrong choice. mean, ci_low, ci_high: share of free answers that are not in the right
    mode (benchmarks weigh by how much they know); where all known items are alike, so that
    resampling shows no spread, the exact binomial interval.  n: items whose right mode is known for
    some training seed, of n_all.  Missing where there are none.
    """
    answers = read(records, model)
    general, personalized = answers.general.mean(1), answers.personalized.mean(1)
    not_general = (answers.chosen != 0).mean(1)
    not_personalized = (answers.chosen != 1).mean(1)
    is_general = (general == 1) & (personalized == 0)
    is_personalized = (personalized == 1) & (general == 0)
    wrong = {  # right mode -> (share of answers in another mode, where it is known)
        "general": (not_general, is_general),
        "personalised": (not_personalized, is_personalized),
        "all": (
            np.where(is_general, not_general, not_personalized),
            is_general | is_personalized,
        ),
    }
    parts = {name: ({"wrong": share}, is_known) for name, (share, is_known) in wrong.items()}
    drawn, counts_all, rows = _ratios(answers, parts, draws), answers.counts(), []
    counts = {name: answers.counts(is_known) for name, (_, is_known) in wrong.items()}
    for block in [*answers.blocks, TOGETHER]:
        for name in wrong:
            n = int(counts[name][block])
            rows.append(
                {"block": block, "right_mode": name}
                | _or_exact(stats.summary(drawn[name, "wrong", block]), n)
                | {"n": n, "n_all": int(counts_all[block])}
            )
    return pd.DataFrame(rows)


def _or_exact(estimate: dict, n: int) -> dict:
    """An interval within 0 and 1, which Student's t over few seeds may leave.

    The Clopper-Pearson interval of `n` items where draws show no spread.
    """
    if not n or estimate["ci_low"] < estimate["ci_high"]:
        low, high = max(estimate["ci_low"], 0.0), min(estimate["ci_high"], 1.0)
        return estimate | {"ci_low": low, "ci_high": high}
    tail, hits = (1 - stats.LEVEL) / 2, estimate["mean"] * n
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return estimate | {"ci_low": low, "ci_high": high}


def _ratios(
    answers: Answers,
    parts: Mapping[object, tuple[Mapping[str, np.ndarray], np.ndarray]],
    draws: int,
) -> pd.DataFrame:
    """Means over some questions only; columns (name, quantity, block or TOGETHER).

    parts: name -> ({quantity: (Q,)}, which questions (Q,)).
    """
    values = {}  # (name, quantity), or (name, None) for the number of questions
    for name, (quantities, which) in parts.items():
        values |= {(name, what): value * which for what, value in quantities.items()}
        values[name, None] = which.astype(float)
    codes = dict(enumerate(values))  # `unstack` would take tuples apart
    drawn = answers.resample({code: values[key] for code, key in codes.items()}, draws)
    sums = {(*codes[code], block): drawn[code, block] for code, block in drawn.columns}
    for key in values:
        sums[*key, TOGETHER] = sum(sums[*key, block] for block in stats.BLOCKS)
    ratios = {}
    for (name, what, block), column in sums.items():
        if what is not None:
            ratio = column / sums[name, None, block]
            ratios[name, what, block] = ratio.where(np.isfinite(ratio))
    return pd.DataFrame(ratios)


def tradeoff(
    records: pd.DataFrame,
    model: str = "personadual",
    thresholds: Sequence[float] = THRESHOLDS,
    draws: int = 1000,
) -> pd.DataFrame:
    """Personalised where P(personalised) > threshold, scored on forced answers.

    One row per threshold and block, and the learned selector.

    mark: "0.5" (the greedy choice), "learned" (free answers at the sampling temperature, threshold
    missing), or nothing; 0.5 is always there.  mean, ci_low, ci_high: accuracy.  share: of
    personalised choices.  n: items.
    """
    answers = read(records, model)
    accuracies, shares = {}, {}
    levels = sorted({*map(float, thresholds), 0.5})
    for level in levels:
        is_above = answers.chance > level  # (Q,)
        right = np.where(is_above[:, None], answers.personalized, answers.general)
        accuracies[level], shares[level] = right.mean(1), is_above.astype(float)
    accuracies[LEARNED], shares[LEARNED] = answers.free.mean(1), (answers.chosen == 1).mean(1)
    drawn = with_means(answers.resample(accuracies, draws))
    share = with_means(answers.resample(shares, 0)).iloc[0]
    counts, rows = answers.counts(), []
    for level in [*levels, LEARNED]:
        threshold = np.nan if level == LEARNED else level
        mark = {0.5: "0.5", LEARNED: LEARNED}.get(level, "")
        for block in [*answers.blocks, stats.MEAN]:
            rows.append(
                {"threshold": threshold, "mark": mark, "block": block}
                | stats.summary(drawn[level, block])
                | {"share": share[level, block], "n": int(counts[block])}
            )
    return pd.DataFrame(rows)


def calibration(
    records: pd.DataFrame,
    model: str = "personadual",
    bins: Sequence[float] = BINS,
    draws: int = 1000,
) -> pd.DataFrame:
    """Does P(personalised) rise with what the personalised mode is worth?

    One row per block and bin of P (low, high], the first with its low end.

    p: mean P (temperature 1).  share: of free answers that are personalised (at the sampling
    temperature).  mean, ci_low, ci_high: benefit, forced personalised minus forced general
    accuracy; no interval for fewer than FEW items.  n: items.  Bins without questions are left out.
    """
    if list(bins) != sorted(set(bins)) or bins[0] > 0 or bins[-1] < 1:
        raise ValueError(f"bins are {list(bins)}, expected rising edges that cover 0 to 1")
    answers = read(records, model)
    quantities = {
        "p": answers.chance,
        "share": (answers.chosen == 1).mean(1),
        "benefit": answers.personalized.mean(1) - answers.general.mean(1),
    }
    bin_of = np.digitize(answers.chance, bins, right=True).clip(1, len(bins) - 1)
    parts = {k: (quantities, bin_of == k) for k in sorted(set(bin_of))}
    drawn, rows = _ratios(answers, parts, draws), []
    counts = {k: answers.counts(which) for k, (_, which) in parts.items()}
    for block in [*answers.blocks, TOGETHER]:
        for k in parts:
            n = int(counts[k][block])
            if not n:
                continue
            benefit = stats.summary(drawn[k, "benefit", block])
            if n < FEW:
                benefit |= {"ci_low": np.nan, "ci_high": np.nan}
            row = {"block": block, "low": bins[k - 1], "high": bins[k]}
            row |= {what: float(drawn[k, what, block].iloc[0]) for what in ("p", "share")}
            rows.append(row | benefit | {"n": n})
    return pd.DataFrame(rows)

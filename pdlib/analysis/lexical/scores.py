"""Scores of predictions, with personas drawn anew."""

import numpy as np


def draw_personas(personas: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """(draws + 1, answers): how often each answer is drawn when its persona is.

    personas: their codes from 0, for each answer. Row 0 has each answer once.
    """
    n, rng = int(personas.max()) + 1, np.random.default_rng(seed)
    times = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), draws)])
    return times[:, personas]


def weighted_mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(D,) mean of (answers,) values under each row of weights (D, answers).

    Missing where they are all 0.
    """
    return _ratio(weight @ values, weight.sum(axis=1))


def auc(
    chances: np.ndarray, labels: np.ndarray, fold: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """(D,) area under the ROC curve within folds, under each row of weights (D, answers).

    The share of (personalised, general) pairs of one fold in which the personalised answer has the
    larger chance, a tie as half. Pairs of two folds are not compared: they have two models, and
    pooled they fall below 0.5 by construction where nothing can be known. Missing where no fold has
    both modes.
    """
    wins, pairs = np.zeros(len(weight)), np.zeros(len(weight))
    for k in np.unique(fold):
        rows = np.flatnonzero(fold == k)
        rows = rows[np.argsort(chances[rows].round(12), kind="stable")]
        starts = np.flatnonzero(np.diff(chances[rows].round(12), prepend=-1))
        weights = weight[:, rows]
        personalised = np.add.reduceat(weights * labels[rows], starts, axis=1)  # (D, chances)
        general = np.add.reduceat(weights * ~labels[rows], starts, axis=1)
        below = general.cumsum(axis=1) - general / 2
        wins += (personalised * below).sum(axis=1)
        pairs += personalised.sum(axis=1) * general.sum(axis=1)
    return _ratio(wins, pairs)


def _ratio(sums: np.ndarray, totals: np.ndarray) -> np.ndarray:
    return np.divide(sums, totals, out=np.full(len(totals), np.nan), where=totals > 0)

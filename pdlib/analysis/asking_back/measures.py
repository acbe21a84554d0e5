"""What a policy comes to: how much it answers, how often that is right, what it scores.

Weights have shape (D, Q): D draws of Q questions, each row adds up to 1; results have shape (D,).
"""

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.asking_back.policies import Policy


def coverage(policy: Policy, weights: np.ndarray) -> np.ndarray:
    """The share of questions that are answered."""
    return weights @ (1 - policy.asks)


def accuracy(policy: Policy, weights: np.ndarray) -> np.ndarray:
    """The share of right answers among those that are given; NaN where hardly any is."""
    answered = weights @ (1 - policy.asks)
    right = weights @ ((1 - policy.asks) * policy.right)
    return np.divide(right, answered, out=np.full_like(right, np.nan), where=answered > 1e-6)


def score(policy: Policy, weights: np.ndarray, value: float) -> np.ndarray:
    """The mean of 1 for right answers, 0 for wrong ones, and `value` for asking.

    A question back counts where it offers the reading that is meant.
    """
    right = (1 - policy.asks) * policy.right
    return weights @ (right + policy.asks * policy.offers * value)


def accuracy_at(policy: Policy, weights: np.ndarray, share: float) -> np.ndarray:
    """Accuracy where the least doubtful `share` of the questions is answered.

    Questions of equal doubt are answered in the same share. ValueError for a share outside 0 to 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share is {share}, expected one above 0 and at most 1")
    _, group = np.unique(policy.doubt, return_inverse=True)
    found = []
    for row in weights:
        answered = np.cumsum(np.bincount(group, row))
        right = np.cumsum(np.bincount(group, row * policy.right))
        found.append(np.interp(share, [0.0, *answered], [0.0, *right]) / share)
    return np.array(found)


def question_weights(items: pd.DataFrame, draws: int, seed: int = 0) -> np.ndarray:
    """(draws + 1, Q): row 0 weighs all questions alike, in the others items are drawn anew.

    items: rows of `policies.by_item` of one model and seed. An item is drawn with all its askers,
    within its benchmark.
    """
    rng, weights = np.random.default_rng(seed), np.zeros((draws + 1, len(items)))
    for _, group in items.reset_index(drop=True).groupby("benchmark"):
        ids, position = np.unique(group.item_id, return_inverse=True)
        weights[:, group.index] = stats.item_weights(rng, len(ids), draws)[:, position] * len(ids)
    return weights / weights.sum(axis=1, keepdims=True)


def estimate(by_seed: np.ndarray) -> dict:
    """{mean, ci_low, ci_high} of a measure over items and seeds; by_seed: (seeds, draws + 1).

    Seeds are weighed by `stats.seed_weights`; of one seed the interval is over items alone.
    """
    n_seeds, n_rows = by_seed.shape
    weights = stats.seed_weights(np.random.default_rng(0), n_seeds, n_rows - 1)
    return stats.summary(pd.Series((weights * by_seed.T).sum(axis=1)))

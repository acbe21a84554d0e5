"""The top words of each persona by a score, and what chance would make of them."""

import numpy as np
import pandas as pd

ASKER = ["item_id", "condition"]  # what names a persona of the table of `explain.explain`


def persona_of(words: pd.DataFrame) -> np.ndarray:
    """(N,) the persona of each word, in codes from 0."""
    return words.groupby(ASKER, sort=False).ngroup().to_numpy()


def top_weights(
    scores: np.ndarray, persona: np.ndarray, k: int, rng: np.random.Generator
) -> np.ndarray:
    """(N,) weights: 1 / k for each of the k highest scores of its persona; ties by lot.

    A persona with fewer words has 1 / their number for each.
    """
    order = np.lexsort((rng.random(len(scores)), -scores, persona))
    first = np.r_[0, np.flatnonzero(np.diff(persona[order])) + 1]
    rank = np.arange(len(scores)) - np.repeat(first, np.diff(np.r_[first, len(scores)]))
    weights = np.empty(len(scores))
    weights[order] = rank < k
    return weights / np.minimum(k, np.bincount(persona))[persona]


def deal(scores: np.ndarray, persona: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The scores dealt out anew among the words of each persona."""
    dealt, by_persona = np.empty(len(scores)), np.argsort(persona, kind="stable")
    dealt[np.lexsort((rng.random(len(scores)), persona))] = scores[by_persona]
    return dealt


class Ranking:
    """How often the top words of personas are of some class.

    words: a table of `explain.explain`, index from 0. is_member: (N,) which words are of the class.
    """

    def __init__(self, words: pd.DataFrame, is_member: np.ndarray, seed: int):
        self.askers, self.persona = words.drop_duplicates(ASKER), persona_of(words)
        self.is_member, self.seed = is_member, seed
        by_item = self.askers.groupby("item_id").item_id.transform("size")
        by_benchmark = self.askers.groupby("benchmark").item_id.transform("nunique")
        weights = 1 / by_item / by_benchmark / self.askers.benchmark.nunique()
        self.weights = weights.to_numpy()  # (personas,)

    def hits(self, scores: np.ndarray, k: int) -> np.ndarray:
        """(personas,) the share of members among the top k by `scores` (N,)."""
        weights = top_weights(scores, self.persona, k, np.random.default_rng(self.seed))
        return np.bincount(self.persona, weights * self.is_member)

    def share(self, scores: np.ndarray, k: int) -> float:
        """The mean of `hits` over items within benchmarks, then over benchmarks."""
        return self.hits(scores, k) @ self.weights

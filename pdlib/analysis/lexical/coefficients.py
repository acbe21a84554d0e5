"""Coefficients of persona words, with intervals and what luck alone gives [Fig. 5]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.lexical.features import LEAST, presence
from pdlib.analysis.lexical.groups import CAUSE_FACTS, FACT_GROUPS, facts_by_word, text_group
from pdlib.analysis.lexical.held_out import FOLDS, choose, fit, no_split, out_of_fold
from pdlib.analysis.lexical.scores import auc, draw_personas

TOP = 30  # the paper's


def too_few(table: pd.DataFrame, least: int = LEAST) -> str | None:
    """Why nothing can be fitted to these answers, in words, or None.

    Each mode must be chosen for 2 x FOLDS personas, words must recur, and personas must split.
    """
    general = table[~table.personalized.astype(bool)].persona.nunique()
    personalised = table[table.personalized.astype(bool)].persona.nunique()
    if min(general, personalised) < 2 * FOLDS:
        return (
            f"{len(table)} free answers to {table.persona.nunique()} personas, {general} of whom "
            f"were answered in the general mode and {personalised} in the personalised one: "
            f"at least {2 * FOLDS} of each are needed"
        )
    if not presence(table.persona.unique(), least)[1]:
        return (
            f"no word stands in {least} or more of the {table.persona.nunique()} personas "
            "(and not in all of them)"
        )
    return no_split(pd.factorize(table.persona)[0], table.personalized.to_numpy(bool)) or None


@dataclass(frozen=True)
class Words:
    """What `words` found.

    table: word, group, cause (with known facts only), coefficient (log-odds of the personalised
    mode), ci_low, ci_high, count (answers whose asker has it), personas, in_top (share of refits
    that have it in the top), verdict; sorted by |coefficient|. drawn, permuted: (refits, words)
    coefficients with personas resampled, and with their texts shuffled, in the table's order.
    chance: 95 % of the shuffled fits have no larger |coefficient|.  auc: of held-out personas:
    mean, ci_low, ci_high, and under shuffling chance_mean, chance_low, chance_high; p.  c: the
    strength of all of them, chosen once on all answers.
    """

    table: pd.DataFrame
    drawn: np.ndarray
    permuted: np.ndarray
    chance: float
    auc: dict
    c: float
    n: int
    personas: int
    top: int

    def auc_in_words(self) -> str:
        """How well the persona words predict, as a sentence."""
        score = self.auc
        known = "better than" if score["p"] <= 1 - stats.LEVEL else "no better than"
        return (
            f"{self.n} answers to {self.personas} personas, {len(self.table)} words: "
            f"AUC {score['mean']:.3f} ({score['ci_low']:.3f} to {score['ci_high']:.3f}) on "
            f"held-out personas; with personas shuffled {score['chance_mean']:.3f} "
            f"({score['chance_low']:.3f} to {score['chance_high']:.3f}), p = {score['p']:.3f}: "
            f"{known} chance."
        )


def shuffles(table: pd.DataFrame, n: int, within: Sequence[str] = (), seed: int = 0) -> np.ndarray:
    """(n, personas) the text that each persona (in order of appearance) has instead of its own.

    A persona keeps its answers, so their number and likeness stay. within: columns; texts are
    shuffled among personas whose answers mostly agree in them, so what stays is what such a block
    of the design tells by itself.
    """
    personas, texts = pd.factorize(table.persona)
    block = np.zeros(len(texts), int)
    if within:
        blocks = table.groupby(list(within), observed=True).ngroup()
        block = pd.crosstab(personas, blocks.to_numpy()).to_numpy().argmax(axis=1)
    rng, shuffled = np.random.default_rng(seed), np.tile(np.arange(len(texts)), (n, 1))
    for k in np.unique(block):
        members = np.flatnonzero(block == k)
        for row in shuffled:
            row[members] = rng.permutation(members)
    return shuffled


def words(
    table: pd.DataFrame,
    facts: Mapping[str, Sequence[str]] | None = None,
    top: int = TOP,
    least: int = LEAST,
    draws: int = 300,
    permutations: int = 200,
    within: Sequence[str] = (),
    seed: int = 0,
) -> Words:
    """Persona words by what they do to the mode, see `Words`.

    facts: what personas of a made world may state, as `groups.facts_by_word` takes it; groups
    follow these facts, and the cause is known. None, on real text: groups by `text_group`.  within:
    see `shuffles`. verdict: beyond luck (|coefficient| above `chance`), perhaps (only the interval
    leaves zero out), no effect shown. ValueError where there is too little to fit.
    """
    if reason := too_few(table, least):
        raise ValueError(f"{reason}; evaluate more questions")
    labels, (personas, texts) = table.personalized.to_numpy(), pd.factorize(table.persona)
    has, names = presence(texts, least)  # (personas, words)
    features = has[personas]  # (answers, words)
    c = choose(features, labels, personas, seed)
    chances, fold, _ = out_of_fold(features, labels, personas, c=c, seed=seed)
    aucs = auc(chances, labels, fold, draw_personas(personas, 1000, seed))
    coefficients = fit(features, labels, c).coef_[0]
    weights = draw_personas(personas, draws, seed)[1:]
    drawn = np.array([fit(features, labels, c, weight).coef_[0] for weight in weights])
    permuted, lucky, once = [], [], np.ones((1, len(table)))
    for text_of in shuffles(table, permutations, within, seed):
        others = has[text_of[personas]]
        permuted.append(fit(others, labels, c).coef_[0])
        chances, _, _ = out_of_fold(others, labels, personas, c=c, seed=seed)
        lucky.append(auc(chances, labels, fold, once)[0])

    order = np.argsort(-np.abs(coefficients), kind="stable")
    permuted, drawn, has = np.array(permuted)[:, order], drawn[:, order], has[:, order]
    top = min(top, len(names))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    word_table = pd.DataFrame(
        {
            "word": np.array(names)[order],
            "coefficient": coefficients[order],
            "ci_low": low,
            "ci_high": high,
            "count": np.asarray(features[:, order].sum(axis=0)).ravel().astype(int),
            "personas": np.asarray(has.sum(axis=0)).ravel().astype(int),
            "in_top": in_top(drawn, top).mean(axis=0),
        }
    )
    if facts is None:
        word_table.insert(1, "group", word_table.word.map(text_group))
    else:
        by_word = facts_by_word(facts)
        stated = [by_word.get(word) for word in word_table.word]
        word_table.insert(1, "group", [FACT_GROUPS.get(fact, "other") for fact in stated])
        word_table.insert(2, "cause", [fact in CAUSE_FACTS for fact in stated])
    chance = float(np.quantile(np.abs(permuted).max(axis=1), stats.LEVEL))
    word_table["verdict"] = np.select(
        [word_table.coefficient.abs() > chance, (word_table.ci_low > 0) | (word_table.ci_high < 0)],
        ["beyond luck", "perhaps"],
        "no effect shown",
    )
    score = _against_luck(stats.summary(pd.Series(aucs)), lucky)
    return Words(word_table, drawn, permuted, chance, score, c, len(table), len(texts), top)


def _against_luck(score: dict, lucky: Sequence[float]) -> dict:
    """An AUC with that of shuffled personas beside it."""
    low, high = np.quantile(lucky, [0.025, 0.975])
    reached = sum(value >= score["mean"] for value in lucky)
    return score | {
        "chance_mean": float(np.mean(lucky)),
        "chance_low": low,
        "chance_high": high,
        "p": (1 + reached) / (1 + len(lucky)),
    }


def in_top(coefficients: np.ndarray, top: int) -> np.ndarray:
    """(refits, words) bool: is it among the `top` largest |coefficients| of its refit?"""
    rank = np.argsort(np.argsort(-np.abs(coefficients), axis=1, kind="stable"), axis=1)
    return rank < top

"""Coefficients of persona words, with intervals and what luck alone gives [Fig. 5]."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.lexical.groups import (
    CAUSE,
    GROUPS,
    pocket_cause,
    pocket_group,
    text_group,
    tokens,
)
from pdlib.analysis.lexical.models import (
    FOLDS,
    LEAST,
    auc,
    choose,
    codes_of,
    fit,
    mean_of,
    no_split,
    out_of_fold,
    presence,
    times,
)

TOP = 30  # the paper's


def too_few(table: pd.DataFrame, least: int = LEAST) -> str | None:
    """Why nothing can be fitted to these answers, in words, or None: each mode must be chosen for 2
    x FOLDS personas, and words recur.
    """
    by_mode = {
        name: table[table.personalized == value].persona.nunique()
        for name, value in (("general", False), ("personalised", True))
    }
    if min(by_mode.values()) < 2 * FOLDS:
        return (
            f"{len(table)} free answers to {table.persona.nunique()} personas, {by_mode['general']} of whom were answered in the "
            f"general mode and {by_mode['personalised']} in the personalised one: at least {2 * FOLDS} of each are needed"
        )
    if not presence(table.persona.unique(), least)[1]:
        return f"no word stands in {least} or more of the {table.persona.nunique()} personas (and not in all of them)"
    return no_split(codes_of(table.persona)[0], table.personalized.to_numpy(bool)) or None


@dataclass(frozen=True)
class Words:
    """What `words` found.

    table: word, group, cause (pocket rule only), coefficient (log-odds of the personalised mode),
    ci_low, ci_high, count (answers whose asker has it), personas, in_top (share of refits that have
    it in the top), verdict; sorted by |coefficient|. drawn, permuted: (refits, words) coefficients
    with personas resampled, and with their texts shuffled, in the table's order. chance: 95 % of
    the shuffled fits have no larger |coefficient|.  auc: of held-out personas: mean, ci_low,
    ci_high, and under shuffling chance_mean, chance_low, chance_high; p.  c: the strength of all of
    them, chosen once on all answers.
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
        a = self.auc
        known = "better than" if a["p"] <= 1 - stats.LEVEL else "no better than"
        return (
            f"{self.n} answers to {self.personas} personas, {len(self.table)} words: AUC {a['mean']:.3f} ({a['ci_low']:.3f} to "
            f"{a['ci_high']:.3f}) on held-out personas; with personas shuffled {a['chance_mean']:.3f} ({a['chance_low']:.3f} to "
            f"{a['chance_high']:.3f}), p = {a['p']:.3f}: {known} chance."
        )


def shuffles(table: pd.DataFrame, n: int, within: Sequence[str] = (), seed: int = 0) -> np.ndarray:
    """(n, personas) the text that each persona (in order of appearance) has instead of its own.

    A persona keeps its answers, so their number and likeness stay. within: columns; texts are
    shuffled among personas whose answers mostly agree in them, so what stays is what such a block
    of the design tells by itself.
    """
    who, many = codes_of(table.persona)
    block = np.zeros(many, int)
    if within:
        blocks = table.groupby(list(within), observed=True).ngroup()
        block = pd.crosstab(who, blocks.to_numpy()).to_numpy().argmax(axis=1)
    rng, out = np.random.default_rng(seed), np.tile(np.arange(many), (n, 1))
    for own in (np.flatnonzero(block == k) for k in np.unique(block)):
        for row in out:
            row[own] = rng.permutation(own)
    return out


def words(
    table: pd.DataFrame,
    rule: str = "pocket",
    top: int = TOP,
    least: int = LEAST,
    draws: int = 300,
    permutations: int = 200,
    within: Sequence[str] = (),
    seed: int = 0,
) -> Words:
    """Persona words by what they do to the mode, see `Words`.

    rule: pocket (by the lexicon, with the known cause) | text (`text_group`).  within: see
    `shuffles`. verdict: beyond luck (|coefficient| above `chance`), perhaps (only the interval
    leaves zero out), no effect shown. ValueError where there is too little to fit.
    """
    if rule not in ("pocket", "text"):
        raise ValueError(f"unknown rule {rule!r}, expected pocket or text")
    if reason := too_few(table, least):
        raise ValueError(f"{reason}; evaluate more questions")
    labels, (who, texts) = table.personalized.to_numpy(), pd.factorize(table.persona)
    has, names = presence(texts, least)
    matrix = has[who]
    c = choose(matrix, labels, who, seed)
    chances, fold, _ = out_of_fold(matrix, labels, who, c=c, seed=seed)
    scored = stats.summary(pd.Series(auc(chances, labels, fold, times(who, 1000, seed))))
    coefficients, once = fit(matrix, labels, c).coef_[0], np.ones((1, len(who)))
    drawn = np.array(
        [fit(matrix, labels, c, weight).coef_[0] for weight in times(who, draws, seed)[1:]]
    )
    permuted, lucky = [], []
    for texts_of in shuffles(table, permutations, within, seed):
        other = has[texts_of[who]]
        permuted.append(fit(other, labels, c).coef_[0])
        lucky.append(auc(out_of_fold(other, labels, who, c=c, seed=seed)[0], labels, fold, once)[0])
    order = np.argsort(-np.abs(coefficients), kind="stable")
    permuted, drawn, has = np.array(permuted)[:, order], drawn[:, order], has[:, order]
    top = min(top, len(names))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    chance = float(np.quantile(np.abs(permuted).max(axis=1), stats.LEVEL))
    found = pd.DataFrame(
        {
            "word": np.array(names)[order],
            "coefficient": coefficients[order],
            "ci_low": low,
            "ci_high": high,
            "count": np.asarray(matrix[:, order].sum(axis=0)).ravel().astype(int),
            "personas": np.asarray(has.sum(axis=0)).ravel().astype(int),
            "in_top": _in_top(drawn, top).mean(axis=0),
        }
    )
    found.insert(1, "group", found.word.map(pocket_group if rule == "pocket" else text_group))
    if rule == "pocket":
        found.insert(2, "cause", found.word.map(pocket_cause))
    found["verdict"] = np.select(
        [found.coefficient.abs() > chance, (found.ci_low > 0) | (found.ci_high < 0)],
        ["beyond luck", "perhaps"],
        "no effect shown",
    )
    limits = dict(zip(("chance_low", "chance_high"), np.quantile(lucky, [0.025, 0.975])))
    scored |= (
        {"chance_mean": float(np.mean(lucky))}
        | limits
        | {"p": (1 + sum(x >= scored["mean"] for x in lucky)) / (1 + len(lucky))}
    )
    return Words(found, drawn, permuted, chance, scored, c, len(table), len(texts), top)


def _in_top(coefficients: np.ndarray, top: int) -> np.ndarray:
    """(refits, words) bool: is it among the `top` largest |coefficients| of its refit?"""
    rank = np.argsort(np.argsort(-np.abs(coefficients), axis=1, kind="stable"), axis=1)
    return rank < top


def shares(found: Words) -> pd.DataFrame:
    """The share of each group of words in the top [Fig. 5]; with the pocket rule also of CAUSE. One
    row a group.

    in_top: words; share, ci_low, ci_high: personas resampled (a refit is noisier, so the interval
    leans towards the baseline). vocabulary: the group's share of all words of the model.  chance,
    chance_low, chance_high: share with the texts of personas shuffled, mean and 95 % range.  p:
    two-sided, of this row alone.  verdict: more than | fewer than | as by chance, or that the model
    has no more words than the top.
    """
    is_in = {group: (found.table.group == group).to_numpy() for group in GROUPS}
    if "cause" in found.table:
        is_in[CAUSE] = found.table.cause.to_numpy(bool)
    rows = []
    for name, of in is_in.items():
        share, refits, chance = _share(found, of)
        tails = [
            (1 + (side > -1e-9).sum()) / (1 + len(chance))
            for side in (chance - share, share - chance)
        ]
        low, high = np.quantile(chance, [0.025, 0.975])
        p = min(1.0, 2 * min(tails))
        verdict = (
            "as by chance"
            if p > 1 - stats.LEVEL
            else "more than by chance"
            if share > chance.mean()
            else "fewer than by chance"
        )
        if found.top == len(found.table):
            verdict = "every word is in the top"
        rows.append(
            {"group": name, "in_top": round(share * found.top), "top": found.top, "share": share}
            | dict(zip(("ci_low", "ci_high"), np.quantile(refits, [0.025, 0.975])))
            | {"vocabulary": of.mean()}
            | {
                "chance": chance.mean(),
                "chance_low": low,
                "chance_high": high,
                "p": p,
                "verdict": verdict,
            }
        )
    return pd.DataFrame(rows)


def _share(found: Words, of: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Share of the words `of` (bool) in the top: as found, with personas resampled, with their
    texts shuffled.
    """
    resampled, shuffled = (
        _in_top(refits, found.top)[:, of].sum(axis=1) / found.top
        for refits in (found.drawn, found.permuted)
    )
    return float(of[: found.top].sum() / found.top), resampled, shuffled


def drawn_shares(found: Words) -> pd.DataFrame:
    """The share of each of GROUPS in the top, a column a group: row 0 as found, then one a refit to
    resampled personas.
    """
    by_group = {group: _share(found, (found.table.group == group).to_numpy()) for group in GROUPS}
    return pd.DataFrame(
        {group: np.append(share, refits) for group, (share, refits, _) in by_group.items()}
    )


def in_words(row: pd.Series) -> str:
    """A row of `shares` as a sentence."""
    return (
        f"{row.group}: {row.in_top} of the top {row.top} words, {row.share:.0%} ({row.ci_low:.0%} to {row.ci_high:.0%}); "
        f"with personas shuffled {row.chance:.0%} ({row.chance_low:.0%} to {row.chance_high:.0%}): {row.verdict}."
    )


def with_word(table: pd.DataFrame, word: str, draws: int = 500) -> pd.DataFrame:
    """Shares of personalised answers to personas with and without `word`, by kind and condition:
    nothing fitted.

    with, without, difference, ci_low, ci_high (personas resampled), n_with, n_without answers;
    ValueError for a word nobody has.
    """
    has = table.persona.map(lambda text: word.lower() in tokens(text)).to_numpy(bool)
    if not has.any():
        raise ValueError(
            f"no persona has the word {word!r}; words are single and whole, such as {tokens(table.persona.iloc[0])}"
        )
    drawn, labels, rows = (
        times(codes_of(table.persona)[0], draws),
        table.personalized.to_numpy(float),
        [],
    )
    for (kind, condition), own in table.groupby(["kind", "condition"]).indices.items():
        sides = [own[has[own]], own[~has[own]]]
        if not all(map(len, sides)):
            continue
        shares_of = [mean_of(labels[of], drawn[:, of]) for of in sides]
        found = stats.summary(pd.Series(shares_of[0] - shares_of[1]))
        rows.append(
            {
                "kind": kind,
                "condition": condition,
                "with": shares_of[0][0],
                "without": shares_of[1][0],
                "difference": found["mean"],
                "ci_low": found["ci_low"],
                "ci_high": found["ci_high"],
                "n_with": len(sides[0]),
                "n_without": len(sides[1]),
            }
        )
    return pd.DataFrame(rows)

"""Which method finds the true cause?

On the pocket world it is known: what the asker does for a living and what they study.

Queries on the table of `explain.explain`. A word's importance is the size of its score. Two things
to read it against: *chance*, the same scores dealt out anew among the words of each persona;
*shuffled*, the scores of the same places when the persona's words stand in another order, which
shows what is owed to the place and not to the word.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pdlib.analysis import stats
from pdlib.analysis.words.explain import METHODS, Explained
from pdlib.analysis.words.persona_words import OTHER
from pdlib.analysis.words.ranking import ASKER, Ranking, deal, persona_of

CAUSES = {
    "cause": ("occupation", "studies"),
    "occupation": ("occupation",),
    "studied word": ("studies",),
    # what the paper says of its Fig. 4
    "occupation or interest": ("occupation", "studies", "hobby"),
}
TOP = (1, 3)
POOLED = 30  # words of Fig. 5's list
AT_LEAST = 3  # how often one must occur, or a single lucky place would put it there


def _is_cause(words: pd.DataFrame, of: str) -> np.ndarray:
    if of not in CAUSES:
        raise ValueError(f"unknown cause {of!r}, expected one of {', '.join(CAUSES)}")
    if set(words.word_class) == {OTHER}:
        raise ValueError(
            "no word's class is known here, so nobody can say which one is the cause; "
            "of pocket personas it is known"
        )
    return words.word_class.isin(CAUSES[of]).to_numpy()


def _by_condition(words: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for condition, rows in words.groupby("condition", sort=False):
        yield condition, rows.reset_index(drop=True)
    if words.condition.nunique() > 1:
        yield "all", words.reset_index(drop=True)


def _importances(words: pd.DataFrame, method: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Size of the scores, and of those of the same places in the shuffled persona.

    None where nobody scored a shuffled one.
    """
    column = f"shuffled_{method}"
    is_scored = column in words and words[column].notna().all()
    return words[method].abs().to_numpy(), words[column].abs().to_numpy() if is_scored else None


def shares(
    words: pd.DataFrame,
    of: str = "cause",
    methods: Sequence[str] = tuple(METHODS),
    top: Sequence[int] = TOP,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of the cause's words among each persona's top words.

    By condition, method and size of the top.

    of: one of CAUSES.  mean, ci_low, ci_high: over items, within benchmarks.  chance, chance_low,
    chance_high: mean and 95 % range with scores dealt out anew within each persona; p: the share of
    such draws that reach the mean (one of 1 + draws at least). best: what a perfect method would
    get (a persona may have fewer such words than the top).  shuffled: the share when the scores are
    those of the same places in the shuffled persona (missing for a column that has none).  n:
    items.
    """
    rows = []
    for condition, subset in _by_condition(words):
        is_cause = _is_cause(subset, of)
        ranking = Ranking(subset, is_cause, seed)
        for k in top:
            rng = np.random.default_rng(seed)
            dealt = np.array([ranking.share(rng.random(len(subset)), k) for _ in range(draws)])
            best = ranking.share(is_cause.astype(float), k)
            for method in methods:
                scores, shuffled = _importances(subset, method)
                hits = ranking.askers.assign(hit=ranking.hits(scores, k))
                interval = stats.mean_interval(hits, "hit", draws=draws)
                rows.append(
                    {"condition": condition, "method": method, "top": k, "of": of}
                    | interval
                    | _against(interval["mean"], dealt)
                    | {
                        "best": best,
                        "shuffled": np.nan if shuffled is None else ranking.share(shuffled, k),
                    }
                )
    return pd.DataFrame(rows)


def _against(observed: float, dealt: np.ndarray) -> dict:
    low, high = np.quantile(dealt, [0.025, 0.975])
    return {
        "chance": dealt.mean(),
        "chance_low": low,
        "chance_high": high,
        "p": (1 + (dealt >= observed - 1e-12).sum()) / (1 + len(dealt)),
    }


def _pooled(codes: np.ndarray, scores: np.ndarray, times: np.ndarray, n: int) -> np.ndarray:
    """The n kinds of word with the highest mean score, among those that occur AT_LEAST times.

    times: how often a row counts.
    """
    count = np.bincount(codes, times)
    is_frequent = count >= AT_LEAST
    sums, lowest = np.bincount(codes, scores * times), np.full(len(count), -1.0)
    mean = np.divide(sums, count, out=lowest, where=is_frequent)
    return np.argsort(-mean, kind="stable")[: min(n, is_frequent.sum())]


def pooled_shares(
    words: pd.DataFrame,
    of: str = "cause",
    methods: Sequence[str] = tuple(METHODS),
    n: int = POOLED,
    draws: int = 400,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of the cause's words among the n words with the largest mean importance.

    Over all personas, by condition and method; columns as in `shares`.

    Words that occur less than AT_LEAST times are left out. Intervals: items drawn anew (not within
    benchmarks, since the list is one). n_words: how many the list has.
    """
    rows = []
    for condition, subset in _by_condition(words):
        codes, _ = pd.factorize(subset.word)
        is_cause = pd.Series(_is_cause(subset, of)).groupby(codes).mean().to_numpy() > 0.5
        persona = persona_of(subset)
        item, items = pd.factorize(subset.item_id)
        once, each = np.ones(len(subset)), np.full(len(items), 1 / len(items))
        best = is_cause[np.bincount(codes) >= AT_LEAST].sum()
        for method in methods:
            rng = np.random.default_rng(seed)
            scores, shuffled = _importances(subset, method)
            chosen = _pooled(codes, scores, once, n)
            if not len(chosen):
                raise ValueError(
                    f"no word occurs {AT_LEAST} times in {len(items)} items; explain more items"
                )
            drawn, dealt = np.empty(draws), np.empty(draws)
            for i in range(draws):
                times = rng.multinomial(len(items), each)[item]
                drawn[i] = is_cause[_pooled(codes, scores, times, n)].mean()
            for i in range(draws):
                again = deal(scores, persona, rng)
                dealt[i] = is_cause[_pooled(codes, again, once, n)].mean()
            by_place = np.nan
            if shuffled is not None:
                by_place = is_cause[_pooled(codes, shuffled, once, n)].mean()
            mean = is_cause[chosen].mean()
            rows.append(
                {
                    "condition": condition,
                    "method": method,
                    "top": f"{n} words",
                    "of": of,
                    "mean": mean,
                    "ci_low": np.quantile(drawn, 0.025),
                    "ci_high": np.quantile(drawn, 0.975),
                    "n": len(items),
                    **_against(mean, dealt),
                    "best": min(1.0, best / len(chosen)),
                    "shuffled": by_place,
                    "n_words": len(chosen),
                }
            )
    return pd.DataFrame(rows)


def head_shares(
    explained: Explained, of: str = "cause", condition: str = "aligned", seed: int = 0
) -> pd.DataFrame:
    """Layer x head: in what share of personas its most attended word is of the cause.

    Means as in `shares`.
    """
    is_asked = (explained.words.condition == condition).to_numpy()
    words = explained.words[is_asked].reset_index(drop=True)
    weights = explained.heads[is_asked]  # (N, L, H)
    ranking = Ranking(words, _is_cause(words, of), seed)
    _, n_layers, n_heads = weights.shape
    table = np.empty((n_layers, n_heads))
    for layer, head in np.ndindex(n_layers, n_heads):
        table[layer, head] = ranking.share(weights[:, layer, head], 1)
    return pd.DataFrame(table).rename_axis(index="layer", columns="head")


def agreement(
    words: pd.DataFrame, methods: Sequence[str] = tuple(METHODS), draws: int = 1000
) -> pd.DataFrame:
    """Spearman's rank correlation of two methods' importances within a persona.

    Mean over items with 95 % intervals, by condition. Of two different methods; and of a method
    with its own scores of the same places in the shuffled persona (two = "shuffled"): what it owes
    to the place. undefined: personas left out because one of the two gives every word the same
    score.
    """
    pairs = [(method, other, other) for method, other in combinations(methods, 2)]
    for name in methods:
        if words[f"shuffled_{name}"].notna().all():
            pairs.append((name, f"shuffled_{name}", "shuffled"))
    columns = list(dict.fromkeys(name for *pair, _ in pairs for name in pair))
    rows = []
    for condition, subset in _by_condition(words):
        askers = subset.drop_duplicates(ASKER)
        tables = [
            _spearman(persona[columns].abs().to_numpy())
            for _, persona in subset.groupby(ASKER, sort=False)
        ]
        for method, other, label in pairs:
            row, column = columns.index(method), columns.index(other)
            askers = askers.assign(rho=[table[row, column] for table in tables])
            known = askers.dropna(subset="rho")
            interval = {"mean": np.nan, "ci_low": np.nan, "ci_high": np.nan, "n": 0}
            if len(known):
                interval = stats.mean_interval(known, "rho", draws=draws)
            rows.append(
                {"condition": condition, "one": method, "two": label}
                | interval
                | {"undefined": len(askers) - len(known)}
            )
    return pd.DataFrame(rows)


def _spearman(scores: np.ndarray) -> np.ndarray:
    """(W, C) -> (C, C) rank correlations, missing where a column holds one value only.

    scipy's own would take one call per pair.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(rankdata(scores, axis=0), rowvar=False)


def verdict(table: pd.DataFrame) -> str:
    """Which methods find the cause, in a sentence.

    table: the rows of `shares` or `pooled_shares` of one condition and top. Those with p below
    0.05, corrected by Holm for the number of methods.
    """
    if len(table) != table.method.nunique():
        raise ValueError(
            f"found {len(table)} rows for {table.method.nunique()} methods; "
            "pass those of one condition and one top"
        )
    is_beyond = stats.holm(table.p) < 1 - stats.LEVEL
    better = [
        f"{METHODS.get(row.method, row.method)} ({row['mean']:.0%}, chance {row.chance:.0%})"
        for _, row in table[is_beyond].sort_values("mean", ascending=False).iterrows()
    ]
    others = [METHODS.get(name, name) for name in table.method[~is_beyond]]
    text = f"Find the cause more often than chance: {'; '.join(better) or 'none'}."
    return text + (f" Not shown to: {', '.join(others)}." if others else "")

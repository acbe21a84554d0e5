"""Which method finds the true cause? On the pocket world it is known: what the asker does for a
living and what they study.

Queries on the table of `explain.explain`. A word's importance is the size of its score. Two things
to read it against: *chance*, the same scores dealt out anew among the words of each persona;
*shuffled*, the scores of the same places when the persona's words stand in another order, which
shows what is owed to the place and not to the word.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pdlib.analysis import stats
from pdlib.analysis.words.explain import METHODS, Explained
from pdlib.analysis.words.persona_words import OTHER

CAUSES = {
    "cause": ("occupation", "studies"),
    "occupation": ("occupation",),
    "studied word": ("studies",),
    "occupation or interest": ("occupation", "studies", "hobby"),
}  # the last: what the paper says of its Fig. 4
TOP = (1, 3)
POOLED, AT_LEAST = (
    30,
    3,
)  # words of Fig. 5's list; how often one must occur, or a single lucky place would put it there
ASK = ["item_id", "condition"]


def _top(scores: np.ndarray, group: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) weights: 1 / k for each of the k highest scores of its group (all, where it has fewer);
    ties by lot.
    """
    order = np.lexsort((rng.random(len(scores)), -scores, group))
    first = np.r_[0, np.flatnonzero(np.diff(group[order])) + 1]
    rank = np.arange(len(scores)) - np.repeat(first, np.diff(np.r_[first, len(scores)]))
    sizes = np.bincount(group)
    weights = np.empty(len(scores))
    weights[order] = rank < k
    return weights / np.minimum(k, sizes)[group]


def _dealt(scores: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The scores dealt out anew among the words of each group."""
    dealt = np.empty(len(scores))
    dealt[np.lexsort((rng.random(len(scores)), group))] = scores[np.argsort(group, kind="stable")]
    return dealt


def _weights(words: pd.DataFrame) -> np.ndarray:
    """Of each persona's group, its weight in the mean over items within benchmarks, then over
    benchmarks.
    """
    asks = words.drop_duplicates(ASK)
    by_item, by_benchmark = (
        asks.groupby("item_id").item_id.transform("size"),
        asks.groupby("benchmark").item_id.transform("nunique"),
    )
    return (1 / by_item / by_benchmark / asks.benchmark.nunique()).to_numpy()


def _groups(words: pd.DataFrame) -> np.ndarray:
    return words.groupby(ASK, sort=False).ngroup().to_numpy()


def _is_cause(words: pd.DataFrame, of: str) -> np.ndarray:
    if of not in CAUSES:
        raise ValueError(f"unknown cause {of!r}, expected one of {', '.join(CAUSES)}")
    if set(words.word_class) == {OTHER}:
        raise ValueError(
            "no word's class is known here, so nobody can say which one is the cause; of pocket personas it is known"
        )
    return words.word_class.isin(CAUSES[of]).to_numpy()


def _by_condition(words: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield from (
        (name, part.reset_index(drop=True)) for name, part in words.groupby("condition", sort=False)
    )
    if words.condition.nunique() > 1:
        yield "all", words.reset_index(drop=True)


def _importances(part: pd.DataFrame, method: str) -> tuple[pd.Series, pd.Series]:
    """Size of the scores, and of those of the same places in the shuffled persona (missing where
    nobody scored it).
    """
    return part[method].abs(), part.get(f"shuffled_{method}", pd.Series(np.nan, part.index)).abs()


def shares(
    words: pd.DataFrame,
    of: str = "cause",
    methods: Sequence[str] = tuple(METHODS),
    top: Sequence[int] = TOP,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of the cause's words among each persona's top words, by condition, method and size
    of the top.

    of: one of CAUSES.  mean, ci_low, ci_high: over items, within benchmarks.  chance, chance_low,
    chance_high: mean and 95 % range with scores dealt out anew within each persona; p: the share of
    such draws that reach the mean (one of 1 + draws at least). best: what a perfect method would
    get (a persona may have fewer such words than the top).  shuffled: the share when the scores are
    those of the same places in the shuffled persona (missing for a column that has none).  n:
    items.
    """
    rows = []
    for condition, part in _by_condition(words):
        is_cause, group, weights = _is_cause(part, of), _groups(part), _weights(part)
        for k in top:
            hits = lambda scores: np.bincount(
                group, _top(scores, group, k, np.random.default_rng(seed)) * is_cause
            )  # noqa: E731
            rng = np.random.default_rng(seed)
            dealt = np.array([hits(rng.random(len(part))) @ weights for _ in range(draws)])
            best = hits(is_cause.astype(float)) @ weights
            for method in methods:
                scores, mixed = (values.to_numpy() for values in _importances(part, method))
                asks = part.drop_duplicates(ASK).assign(hit=hits(scores))
                found = stats.mean_interval(asks, "hit", draws=draws)
                rows.append(
                    {"condition": condition, "method": method, "top": k, "of": of}
                    | found
                    | _against(found["mean"], dealt)
                    | {
                        "best": best,
                        "shuffled": np.nan if np.isnan(mixed).any() else hits(mixed) @ weights,
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
    """The n kinds of word with the highest mean score, among those that occur AT_LEAST times;
    times: how often a row counts.
    """
    count = np.bincount(codes, times)
    mean = np.divide(
        np.bincount(codes, scores * times),
        count,
        out=np.full(len(count), -1.0),
        where=count >= AT_LEAST,
    )
    return np.argsort(-mean, kind="stable")[: min(n, (count >= AT_LEAST).sum())]


def pooled_shares(
    words: pd.DataFrame,
    of: str = "cause",
    methods: Sequence[str] = tuple(METHODS),
    n: int = POOLED,
    draws: int = 400,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of the cause's words among the n words with the largest mean importance over all
    personas, by condition and method; columns as in `shares`.

    Words that occur less than AT_LEAST times are left out. Intervals: items drawn anew (not within
    benchmarks, since the list is one). n_words: how many the list has.
    """
    rows = []
    for condition, part in _by_condition(words):
        codes, names = pd.factorize(part.word)
        cause = pd.Series(_is_cause(part, of)).groupby(codes).mean().to_numpy() > 0.5
        group, item = _groups(part), pd.factorize(part.item_id)[0]
        even = np.ones(len(part))
        for method in methods:
            rng = np.random.default_rng(seed)
            scores, mixed = (values.to_numpy() for values in _importances(part, method))
            share = lambda values, times=even: cause[_pooled(codes, values, times, n)].mean()  # noqa: E731
            drawn = [
                share(
                    scores,
                    rng.multinomial(item.max() + 1, np.full(item.max() + 1, 1 / (item.max() + 1)))[
                        item
                    ],
                )
                for _ in range(draws)
            ]
            dealt = np.array([share(_dealt(scores, group, rng)) for _ in range(draws)])
            chosen = _pooled(codes, scores, even, n)
            if not len(chosen):
                raise ValueError(
                    f"no word occurs {AT_LEAST} times in {item.max() + 1} items; explain more items"
                )
            found = {
                "mean": cause[chosen].mean(),
                "ci_low": np.quantile(drawn, 0.025),
                "ci_high": np.quantile(drawn, 0.975),
            }
            rows.append(
                {"condition": condition, "method": method, "top": f"{n} words", "of": of}
                | found
                | {"n": item.max() + 1}
                | _against(found["mean"], dealt)
                | {
                    "best": min(1.0, cause[np.bincount(codes) >= AT_LEAST].sum() / len(chosen)),
                    "shuffled": np.nan if np.isnan(mixed).any() else share(mixed),
                    "n_words": len(chosen),
                }
            )
    return pd.DataFrame(rows)


def head_shares(
    explained: Explained, of: str = "cause", condition: str = "aligned", seed: int = 0
) -> pd.DataFrame:
    """Layer x head: in what share of personas the head's most attended word is of the cause (means
    as in `shares`).
    """
    rows = (explained.words.condition == condition).to_numpy()
    part, heads = explained.words[rows].reset_index(drop=True), explained.heads[rows]
    is_cause, group, weights = _is_cause(part, of), _groups(part), _weights(part)
    table = [
        [
            np.bincount(
                group, _top(heads[:, layer, head], group, 1, np.random.default_rng(seed)) * is_cause
            )
            @ weights
            for head in range(heads.shape[2])
        ]
        for layer in range(heads.shape[1])
    ]
    return pd.DataFrame(table).rename_axis(index="layer", columns="head")


def agreement(
    words: pd.DataFrame, methods: Sequence[str] = tuple(METHODS), draws: int = 1000
) -> pd.DataFrame:
    """Spearman's rank correlation of two methods' importances within a persona, mean over items
    with 95 % intervals, by condition.

    Of two different methods; and of a method with its own scores of the same places in the shuffled
    persona (two = "shuffled"): what it owes to the place. undefined: personas left out because one
    of the two gives every word the same score.
    """
    pairs = [(one, two, two) for i, one in enumerate(methods) for two in methods[i + 1 :]]
    pairs += [
        (name, "shuffled", f"shuffled_{name}")
        for name in methods
        if words[f"shuffled_{name}"].notna().all()
    ]
    rows = []
    for condition, part in _by_condition(words):
        asks, columns = (
            part.drop_duplicates(ASK),
            [*methods, *(two for _, label, two in pairs if label == "shuffled")],
        )
        tables = [
            _spearman(own[columns].abs().to_numpy()) for _, own in part.groupby(ASK, sort=False)
        ]
        for one, label, two in pairs:
            found = asks.assign(
                rho=[table[columns.index(one), columns.index(two)] for table in tables]
            )
            known = found.dropna(subset="rho")
            interval = (
                stats.mean_interval(known, "rho", draws=draws)
                if len(known)
                else {"mean": np.nan, "ci_low": np.nan, "ci_high": np.nan, "n": 0}
            )
            rows.append(
                {"condition": condition, "one": one, "two": label}
                | interval
                | {"undefined": len(found) - len(known)}
            )
    return pd.DataFrame(rows)


def _spearman(scores: np.ndarray) -> np.ndarray:
    """(W, C) -> (C, C) rank correlations, missing where a column holds one value only; scipy's own
    would take a call a pair.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(rankdata(scores, axis=0), rowvar=False)


def verdict(table: pd.DataFrame) -> str:
    """In a sentence, of the rows of `shares` or `pooled_shares` of one condition and top: which
    methods find the cause.

    Those with p below 0.05, corrected by Holm for the number of methods.
    """
    if len(table) != table.method.nunique():
        raise ValueError(
            f"found {len(table)} rows for {table.method.nunique()} methods; pass those of one condition and one top"
        )
    beyond = table[stats.holm(table.p) < 1 - stats.LEVEL].sort_values("mean", ascending=False)
    missed = [METHODS.get(name, name) for name in table.method if name not in set(beyond.method)]
    best = "; ".join(
        f"{METHODS.get(row.method, row.method)} ({row['mean']:.0%}, chance {row.chance:.0%})"
        for _, row in beyond.iterrows()
    )
    return f"Find the cause more often than chance: {best or 'none'}." + (
        f" Not shown to: {', '.join(missed)}." if missed else ""
    )

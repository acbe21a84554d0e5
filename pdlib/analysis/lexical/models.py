"""How well do words predict the mode: of the asker, of the question, of both, and of how the two
meet?
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from pdlib.analysis import stats
from pdlib.analysis.lexical.groups import TOKEN, tokens

LEAST = 5  # personas (or questions) that have a word
FOLDS, INNER, CROSSES = 5, 3, 2**12
STRENGTHS = (0.004, 0.016, 0.06, 0.25, 1.0, 4.0)  # C of scikit-learn: smaller is a stronger penalty
MODELS = {  # name -> its features
    "persona words": ("persona",),
    "question words": ("question",),
    "both": ("persona", "question"),
    "both + shared words": ("persona", "question", "shared"),
    "both + shared + crosses": ("persona", "question", "shared", "crosses"),
}
APART = ("personas", "personas and questions")  # what no two sides of a split have in common
# of the answers; where more hang together by a shared persona or question, there is nothing to
# split
KNOT = 0.2

SCORES = [
    "model",
    "apart",
    "scope",
    "auc",
    "ci_low",
    "ci_high",
    "gain",
    "gain_ci_low",
    "gain_ci_high",
    "brier",
    "brier_ci_low",
    "brier_ci_high",
    "base",
    "c",
    "n",
    "personalized",
    "personas",
    "note",
]


def presence(texts: Sequence[str], least: int) -> tuple[csr_matrix, list[str]]:
    """(texts, words) of 0 and 1, for the words of at least `least` texts and not of all."""
    counter = CountVectorizer(binary=True, token_pattern=TOKEN)
    found = counter.fit_transform(texts)
    often = np.asarray(found.sum(axis=0)).ravel()
    keep = np.flatnonzero((often >= least) & (often < len(texts)))
    return found[:, keep].astype(float), list(counter.get_feature_names_out()[keep])


def design(table: pd.DataFrame, parts: Sequence[str], least: int = LEAST) -> csr_matrix:
    """(answers, features): persona (words), question (words), shared (is a content word in both;
    log(1 + how many)), crosses (CROSSES hashed pairs of content words). No label is used; where no
    word is frequent enough, one column of zeros.
    """
    blocks = []
    for side in ("persona", "question"):
        if side in parts:
            codes, texts = pd.factorize(table[side])
            blocks.append(presence(texts, least)[0][codes])
    content = {
        text: set(tokens(text)) - ENGLISH_STOP_WORDS
        for side in ("persona", "question")
        for text in table[side].unique()
    }
    pairs = [(content[who], content[what]) for who, what in zip(table.persona, table.question)]
    if "shared" in parts:
        shared = np.array([len(who & what) for who, what in pairs], float)
        blocks.append(csr_matrix(np.column_stack([shared > 0, np.log1p(shared)])))
    if "crosses" in parts:
        hasher = FeatureHasher(CROSSES, input_type="string")
        blocks.append(
            hasher.transform(
                [f"{one} {two}" for one in sorted(who) for two in sorted(what)]
                for who, what in pairs
            )
        )
    found = hstack(blocks).tocsr()
    return found if found.shape[1] else csr_matrix((len(table), 1))


def fit(
    matrix: csr_matrix, labels: np.ndarray, c: float, weight: np.ndarray | None = None
) -> LogisticRegression:
    """L2-penalised, c the inverse strength."""
    return LogisticRegression(C=c, max_iter=2000).fit(matrix, labels, weight)


def _split(groups: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The fold of each row; a group lies in one fold."""
    fold = np.empty(len(groups), int)
    for k, (_, test) in enumerate(
        GroupKFold(n, shuffle=True, random_state=seed).split(groups, groups=groups)
    ):
        fold[test] = k
    return fold


def choose(matrix: csr_matrix, labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> float:
    """The strength with the smallest log loss on held-out groups."""
    fold, losses = _split(groups, INNER, seed), dict.fromkeys(STRENGTHS, 0.0)
    for k in range(INNER):
        for c in STRENGTHS:
            fitted = fit(matrix[fold != k], labels[fold != k], c)
            signed = fitted.decision_function(matrix[fold == k]) * np.where(
                labels[fold == k], 1, -1
            )
            losses[c] += np.logaddexp(0, -signed).sum()
    return min(losses, key=losses.get)


def out_of_fold(
    matrix: csr_matrix,
    labels: np.ndarray,
    who: np.ndarray,
    groups: np.ndarray | None = None,
    c: float | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """(P(personalised) of each row by a model that has not seen its group, the row's fold, the
    strength of each fold).

    who: the persona of each row.  groups: what is kept together, the personas by default.  c:
    chosen within each fold's training rows by default. ValueError where `groups` leave a persona on
    both sides of a split: that would score memory.
    """
    groups = who if groups is None else groups
    fold = _split(groups, FOLDS, seed)
    if torn := int((pd.Series(fold).groupby(who).nunique() > 1).sum()):
        raise ValueError(
            f"{torn} personas lie on both sides of a split; split by personas, or by what holds whole personas"
        )
    chances, chosen = np.empty(len(labels)), []
    for k in range(FOLDS):
        train = fold != k
        chosen.append(choose(matrix[train], labels[train], groups[train], seed) if c is None else c)
        chances[~train] = fit(matrix[train], labels[train], chosen[-1]).predict_proba(
            matrix[~train]
        )[:, 1]
    return chances, fold, chosen


def times(who: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """(draws + 1, answers): how often each answer is drawn when its persona (codes from 0) is; row
    0 has each once.
    """
    n, rng = int(who.max()) + 1, np.random.default_rng(seed)
    return np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), draws)])[:, who]


def mean_of(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(D,) mean of (answers,) values under each row of weights (D, answers); missing where they are
    all 0.
    """
    total = weight.sum(axis=1)
    return np.divide(weight @ values, total, out=np.full(len(total), np.nan), where=total > 0)


def auc(
    chances: np.ndarray, labels: np.ndarray, fold: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """(D,) share of (personalised, general) pairs of one fold in which the personalised answer has
    the larger chance, a tie as half.

    weight: (D, answers). Pairs of two folds are not compared: they have two models, and pooled they
    fall below 0.5 by construction where nothing can be known. Missing where no fold has both modes.
    """
    wins, pairs = np.zeros((2, len(weight)))
    for k in np.unique(fold):
        rows = np.flatnonzero(fold == k)
        rows = rows[np.argsort(chances[rows].round(12), kind="stable")]
        starts = np.flatnonzero(np.diff(chances[rows].round(12), prepend=-1))
        one, two = (
            np.add.reduceat(weight[:, rows] * side, starts, axis=1)
            for side in (labels[rows], ~labels[rows])
        )
        wins += (one * (two.cumsum(axis=1) - two / 2)).sum(axis=1)
        pairs += one.sum(axis=1) * two.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(weight), np.nan), where=pairs > 0)


def together(table: pd.DataFrame, apart: str) -> np.ndarray:
    """The code of what lies on one side of a split, see APART: a persona, or all that hang together
    by a persona or a question.
    """
    who, n = codes_of(table.persona)
    if apart == APART[0]:
        return who
    what, m = codes_of(table.question)
    edges = csr_matrix((np.ones(len(who)), (who, n + what)), (n + m, n + m))
    return connected_components(edges, directed=False)[1][who]


def codes_of(texts: pd.Series) -> tuple[np.ndarray, int]:
    codes, unique = pd.factorize(texts)
    return codes, len(unique)


def no_split(groups: np.ndarray, labels: np.ndarray) -> str:
    """Why these groups (codes from 0) cannot be split, or nothing."""
    if (largest := np.bincount(groups).max() / len(groups)) > KNOT:
        return f"{largest:.0%} of the answers hang together by a shared persona or question: nothing to split"
    fewest = min(len(set(groups[labels == side])) for side in (True, False))
    return (
        f"a mode was chosen in {fewest} separate groups only, {2 * FOLDS} are needed"
        if fewest < 2 * FOLDS
        else ""
    )


def compare(
    table: pd.DataFrame, least: int = LEAST, draws: int = 1000, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores: a row a model, split and kind of questions; chances: of each answer, columns the
    MODELS, personas held out).

    apart: see APART; with questions held out, too, nothing scores by having met the same question
    with another asker. scope: all and, where there are several kinds, objective | personalized,
    scored by the same predictions. auc, ci_low, ci_high: see `auc`; personas resampled, the fitted
    models as they are, so an interval is somewhat narrow: on 150 personas of whom nothing can be
    known, 87 of 100 held 0.5 (the permutations of `words` are the test).  gain, gain_ci_low,
    gain_ci_high: AUC minus that of the question words, paired.
    brier, brier_ci_low, brier_ci_high; base: Brier score of the scope's share alone.  c: the middle
    strength chosen. n answers, personalized: their share, personas.  note: why scores are missing.
    ValueError where personas cannot be split.
    """
    labels, (who, _) = table.personalized.to_numpy(bool), codes_of(table.persona)
    drawn, rows, held_out = times(who, draws, seed), [], {}
    kinds = sorted(table.kind.unique()) if table.kind.nunique() > 1 else []
    scopes = {"all": np.ones(len(table), bool)} | {
        kind: (table.kind == kind).to_numpy() for kind in kinds
    }
    for apart in APART:
        groups = together(table, apart)
        note = no_split(groups, labels)
        if note and apart == APART[0]:
            raise ValueError(f"{note}; evaluate more questions")
        found = {
            name: out_of_fold(design(table, parts, least), labels, who, groups, seed=seed)
            for name, parts in MODELS.items()
            if not note
        }
        held_out = held_out or {name: chances for name, (chances, _, _) in found.items()}
        for scope, of in scopes.items():
            facts = {
                "n": int(of.sum()),
                "personalized": labels[of].mean(),
                "personas": len(set(who[of])),
                "base": labels[of].var(),
            }
            scored = {
                name: pd.Series(auc(chances[of], labels[of], fold[of], drawn[:, of]))
                for name, (chances, fold, _) in found.items()
            }
            for name in MODELS:
                row = {
                    "model": name,
                    "apart": apart,
                    "scope": scope,
                    "note": note if facts["base"] else "one mode only",
                } | facts
                if not note:
                    chances, _, chosen = found[name]
                    brier = pd.Series(mean_of((chances[of] - labels[of]) ** 2, drawn[:, of]))
                    row |= (
                        _named(scored[name], "auc")
                        | _named(scored[name] - scored["question words"], "gain")
                        | _named(brier, "brier")
                        | {"c": float(np.median(chosen))}
                    )
                rows.append(row)
    scores = pd.DataFrame(rows).rename(columns={"auc_ci_low": "ci_low", "auc_ci_high": "ci_high"})
    return scores.reindex(columns=SCORES), pd.DataFrame(held_out)


def _named(drawn: pd.Series, name: str) -> dict:
    return {
        name if key == "mean" else f"{name}_{key}": value
        for key, value in stats.summary(drawn).items()
    }


def reliability(
    table: pd.DataFrame, chances: Sequence[float], bins: int = 10, draws: int = 1000
) -> pd.DataFrame:
    """Predicted against observed shares of personalised answers in bins of about as many answers:
    predicted, observed, ci_low, ci_high (personas resampled), n answers, personas. Equal
    predictions lie in one bin, so there may be fewer.
    """
    where, (who, _) = (
        pd.qcut(pd.Series(chances), bins, labels=False, duplicates="drop").to_numpy(),
        codes_of(table.persona),
    )
    drawn, labels, rows = times(who, draws), table.personalized.to_numpy(float), []
    for k in np.unique(where):
        of = np.flatnonzero(where == k)
        found = stats.summary(pd.Series(mean_of(labels[of], drawn[:, of])))
        rows.append(
            {
                "predicted": float(np.mean(np.asarray(chances)[of])),
                "observed": found["mean"],
                "ci_low": found["ci_low"],
                "ci_high": found["ci_high"],
                "n": len(of),
                "personas": len(set(who[of])),
            }
        )
    return pd.DataFrame(rows)

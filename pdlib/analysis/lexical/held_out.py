"""Logistic regressions that are scored on personas which were not fitted on."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

FOLDS, INNER = 5, 3  # INNER: within the training rows, to choose the strength
STRENGTHS = (0.004, 0.016, 0.06, 0.25, 1.0, 4.0)  # C of scikit-learn: smaller is a stronger penalty
APART = ("personas", "personas and questions")  # what no two sides of a split have in common
# of the answers; where more hang together by a shared persona or question, there is nothing to
# split
KNOT = 0.2


def fit(
    features: csr_matrix, labels: np.ndarray, c: float, weight: np.ndarray | None = None
) -> LogisticRegression:
    """L2-penalised, c the inverse strength."""
    return LogisticRegression(C=c, max_iter=2000).fit(features, labels, weight)


def _split(groups: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The fold of each row; a group lies in one fold."""
    folds, fold = GroupKFold(n, shuffle=True, random_state=seed), np.empty(len(groups), int)
    for k, (_, test) in enumerate(folds.split(groups, groups=groups)):
        fold[test] = k
    return fold


def choose(features: csr_matrix, labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> float:
    """The strength with the smallest log loss on held-out groups."""
    fold, losses = _split(groups, INNER, seed), dict.fromkeys(STRENGTHS, 0.0)
    for k in range(INNER):
        is_train, is_test = fold != k, fold == k
        sign = np.where(labels[is_test], 1, -1)
        for c in STRENGTHS:
            model = fit(features[is_train], labels[is_train], c)
            signed = model.decision_function(features[is_test]) * sign
            losses[c] += np.logaddexp(0, -signed).sum()
    return min(losses, key=losses.get)


def out_of_fold(
    features: csr_matrix,
    labels: np.ndarray,
    personas: np.ndarray,
    groups: np.ndarray | None = None,
    c: float | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """(P(personalised) of each row, the row's fold, the strength of each fold).

    Each row is predicted by a model that has not seen its group.

    personas: of each row.  groups: what is kept together, the personas by default.  c: chosen
    within each fold's training rows by default. ValueError where `groups` leave a persona on both
    sides of a split: that would score memory.
    """
    groups = personas if groups is None else groups
    fold = _split(groups, FOLDS, seed)
    folds_of_persona = pd.Series(fold).groupby(personas).nunique()
    if torn := int((folds_of_persona > 1).sum()):
        raise ValueError(
            f"{torn} personas lie on both sides of a split; split by personas, "
            "or by what holds whole personas"
        )
    chances, strengths = np.empty(len(labels)), []
    for k in range(FOLDS):
        is_train, is_test = fold != k, fold == k
        train = features[is_train], labels[is_train]
        strengths.append(choose(*train, groups[is_train], seed) if c is None else c)
        model = fit(*train, strengths[-1])
        chances[is_test] = model.predict_proba(features[is_test])[:, 1]
    return chances, fold, strengths


def together(table: pd.DataFrame, apart: str) -> np.ndarray:
    """The code of what lies on one side of a split, for each answer.

    apart: one of APART. Either a persona, or all that hang together by a persona or a question.
    """
    personas, persona_texts = pd.factorize(table.persona)
    if apart == APART[0]:
        return personas
    questions, question_texts = pd.factorize(table.question)
    n, m = len(persona_texts), len(question_texts)
    edges = np.ones(len(table)), (personas, n + questions)
    graph = csr_matrix(edges, (n + m, n + m))
    return connected_components(graph, directed=False)[1][personas]


def no_split(groups: np.ndarray, labels: np.ndarray) -> str:
    """Why these groups (codes from 0) cannot be split, or nothing."""
    largest = np.bincount(groups).max() / len(groups)
    if largest > KNOT:
        return (
            f"{largest:.0%} of the answers hang together by a shared persona or question: "
            "nothing to split"
        )
    fewest = min(len(set(groups[labels == side])) for side in (True, False))
    if fewest < 2 * FOLDS:
        return f"a mode was chosen in {fewest} separate groups only, {2 * FOLDS} are needed"
    return ""

"""How well words predict the mode: of asker, of question, of both, and of how the two meet."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.lexical.features import LEAST, design
from pdlib.analysis.lexical.held_out import APART, no_split, out_of_fold, together
from pdlib.analysis.lexical.scores import auc, draw_personas, weighted_mean

MODELS = {  # name -> its features
    "persona words": ("persona",),
    "question words": ("question",),
    "both": ("persona", "question"),
    "both + shared words": ("persona", "question", "shared"),
    "both + shared + crosses": ("persona", "question", "shared", "crosses"),
}
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


def compare(
    table: pd.DataFrame, least: int = LEAST, draws: int = 1000, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores: one row per model, split and kind of questions; chances: of each answer).

    The columns of chances are the MODELS, with personas held out.

    apart: see APART; with questions held out, too, nothing scores by having met the same question
    with another asker. scope: all and, where there are several kinds, objective | personalized,
    scored by the same predictions. auc, ci_low, ci_high: see `scores.auc`; personas resampled, the
    fitted models as they are, so an interval is somewhat narrow: on 150 personas of whom nothing
    can be known, 87 of 100 held 0.5 (the permutations of `words` are the test).  gain, gain_ci_low,
    gain_ci_high: AUC minus that of the question words, paired.
    brier, brier_ci_low, brier_ci_high; base: Brier score of the scope's share alone.  c: the middle
    strength chosen. n answers, personalized: their share, personas.  note: why scores are missing.
    ValueError where personas cannot be split.
    """
    labels, personas = table.personalized.to_numpy(bool), pd.factorize(table.persona)[0]
    drawn = draw_personas(personas, draws, seed)
    rows, chances_of_model = [], {}
    for apart in APART:
        groups = together(table, apart)
        note = no_split(groups, labels)
        if note and apart == APART[0]:
            raise ValueError(f"{note}; evaluate more questions")
        predicted, models = {}, {} if note else MODELS
        for name, parts in models.items():
            features = design(table, parts, least)
            predicted[name] = out_of_fold(features, labels, personas, groups, seed=seed)
        if apart == APART[0]:
            chances_of_model = {name: chances for name, (chances, _, _) in predicted.items()}
        for scope, is_in in _scopes(table).items():
            facts = {
                "n": int(is_in.sum()),
                "personalized": labels[is_in].mean(),
                "personas": len(set(personas[is_in])),
                "base": labels[is_in].var(),
            }
            facts["note"] = note if facts["base"] else "one mode only"
            scored = _score(predicted, labels, drawn, is_in)
            for name in MODELS:
                row = {"model": name, "apart": apart, "scope": scope}
                rows.append(row | facts | scored.get(name, {}))
    scores = pd.DataFrame(rows).rename(columns={"auc_ci_low": "ci_low", "auc_ci_high": "ci_high"})
    return scores.reindex(columns=SCORES), pd.DataFrame(chances_of_model)


def _scopes(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """All answers and, where there are several kinds of questions, those to each kind."""
    scopes, kinds = {"all": np.ones(len(table), bool)}, sorted(table.kind.unique())
    if len(kinds) > 1:
        scopes |= {kind: (table.kind == kind).to_numpy() for kind in kinds}
    return scopes


def _score(
    predicted: Mapping[str, tuple], labels: np.ndarray, drawn: np.ndarray, is_in: np.ndarray
) -> dict[str, dict]:
    """Model -> AUC, gain, Brier score and strength on some answers; predicted: of `out_of_fold`."""
    labels, drawn = labels[is_in], drawn[:, is_in]
    aucs = {
        name: pd.Series(auc(chances[is_in], labels, fold[is_in], drawn))
        for name, (chances, fold, _) in predicted.items()
    }
    scored = {}
    for name, (chances, _, strengths) in predicted.items():
        brier = pd.Series(weighted_mean((chances[is_in] - labels) ** 2, drawn))
        scored[name] = (
            stats.prefixed("auc", stats.summary(aucs[name]))
            | stats.prefixed("gain", stats.summary(aucs[name] - aucs["question words"]))
            | stats.prefixed("brier", stats.summary(brier))
            | {"c": float(np.median(strengths))}
        )
    return scored


def reliability(
    table: pd.DataFrame, chances: Sequence[float], bins: int = 10, draws: int = 1000
) -> pd.DataFrame:
    """Predicted against observed shares of personalised answers, in bins of about as many answers.

    Columns predicted, observed, ci_low, ci_high (personas resampled), n answers, personas. Equal
    predictions lie in one bin, so there may be fewer.
    """
    chances, labels = np.asarray(chances), table.personalized.to_numpy(float)
    personas = pd.factorize(table.persona)[0]
    drawn = draw_personas(personas, draws)
    codes = pd.qcut(pd.Series(chances), bins, labels=False, duplicates="drop").to_numpy()
    rows = []
    for k in np.unique(codes):
        is_in = np.flatnonzero(codes == k)
        observed = stats.summary(pd.Series(weighted_mean(labels[is_in], drawn[:, is_in])))
        rows.append(
            {
                "predicted": float(np.mean(chances[is_in])),
                "observed": observed["mean"],
                "ci_low": observed["ci_low"],
                "ci_high": observed["ci_high"],
                "n": len(is_in),
                "personas": len(set(personas[is_in])),
            }
        )
    return pd.DataFrame(rows)

"""PersonaDual-Router: a small text classifier outside the model chooses the mode; the model is
forced into it.

The paper names no router. Ours reads persona and question (TF-IDF of words and word pairs) and is
fitted, by logistic regression, to the modes of the SFT set, so it has seen what the model has seen.
Without the persona it is the question-only classifier: what the question alone tells about the
mode, see `analysis.selection`. The router routes the SFT model: in the paper the routed answers lie
below both forced modes of the model after RL (Table 1 against Table 8), so that cannot be what it
routes there.
"""

from collections.abc import Sequence

import pandas as pd
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from pdlib import modes
from pdlib.schema import Example, Item, Mode, Persona


class Router:
    """P(personalised) of a question and its asker, from their words alone.

    reads_persona: False leaves the asker out, so that all askers of a question get the same P.
    ValueError where the examples teach one mode only.
    """

    def __init__(self, examples: Sequence[Example], reads_persona: bool = True):
        self.reads_persona = reads_persona
        self.persona, self.question = (
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) for _ in range(2)
        )
        asked = [(e.item, e.persona) for e in examples]
        self.persona.fit(["nobody", *(_persona(persona) for _, persona in asked)])
        self.question.fit([_question(item) for item, _ in asked])
        modes_taught = [e.mode is Mode.PERSONALIZED for e in examples]
        if len(set(modes_taught)) < 2:
            raise ValueError("the SFT set teaches one mode only; a router needs examples of both")
        self.classifier = LogisticRegression(C=10.0, max_iter=1000).fit(
            self._features(asked), modes_taught
        )

    def _features(self, asked: Sequence[tuple[Item, Persona | None]]) -> csr_matrix:
        question = self.question.transform([_question(item) for item, _ in asked])
        if not self.reads_persona:
            return question.tocsr()
        return hstack(
            [self.persona.transform([_persona(persona) for _, persona in asked]), question]
        ).tocsr()

    def chances(self, asked: Sequence[tuple[Item, Persona | None]]) -> list[float]:
        """P(personalised) of each (question, asker)."""
        return self.classifier.predict_proba(self._features(asked))[:, 1].tolist()


def _persona(persona: Persona | None) -> str:
    return modes.persona_text(persona.text) if persona else "nobody"


def _question(item: Item) -> str:
    return modes.user_message(item, None)


def route(records: pd.DataFrame, chances: pd.DataFrame, model_name: str) -> pd.DataFrame:
    """Records of the routed model: of each forced pair of `records` the one in the mode with the
    larger chance, as free answers.

    chances: one row a benchmark, item_id and condition with `p_personalized`. ValueError where a
    question has no chance.
    """
    forced = records[records.forced != "none"].drop(columns="p_personalized")
    found = forced.merge(
        chances, on=["benchmark", "item_id", "condition"], how="left", validate="many_to_one"
    )
    if found.p_personalized.isna().any():
        raise ValueError(
            f"{int(found.p_personalized.isna().sum())} records have no routed chance; route the questions that were asked"
        )
    chosen = found[(found.forced == "personalized") == (found.p_personalized > 0.5)]
    return chosen.assign(forced="none", model=model_name)

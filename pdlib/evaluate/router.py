"""PersonaDual-Router: a small text classifier outside the model chooses the mode.

The model is forced into it. The paper names no router. Ours reads persona and question (TF-IDF of
words and word pairs) and is fitted, by logistic regression, to the modes of the SFT set, so it has
seen what the model has seen. Without the persona it is the question-only classifier: what the
question alone tells about the mode, see `analysis.selection`. The router routes the SFT model: in
the paper the routed answers lie below both forced modes of the model after RL (Table 1 against
Table 8), so that cannot be what it routes there.
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
        questions = [(e.item, e.persona) for e in examples]
        self.persona.fit(["nobody", *(_persona_text(persona) for _, persona in questions)])
        self.question.fit([_question_text(item) for item, _ in questions])
        is_personalized = [e.mode == Mode.PERSONALIZED for e in examples]
        if len(set(is_personalized)) < 2:
            raise ValueError("the SFT set teaches one mode only; a router needs examples of both")
        classifier = LogisticRegression(C=10.0, max_iter=1000)
        self.classifier = classifier.fit(self._features(questions), is_personalized)

    def _features(self, questions: Sequence[tuple[Item, Persona | None]]) -> csr_matrix:
        of_question = self.question.transform([_question_text(item) for item, _ in questions])
        if not self.reads_persona:
            return of_question.tocsr()
        of_persona = self.persona.transform([_persona_text(persona) for _, persona in questions])
        return hstack([of_persona, of_question]).tocsr()

    def chances(self, questions: Sequence[tuple[Item, Persona | None]]) -> list[float]:
        """P(personalised) of each (question, asker)."""
        return self.classifier.predict_proba(self._features(questions))[:, 1].tolist()


def _persona_text(persona: Persona | None) -> str:
    return modes.persona_text(persona.text) if persona else "nobody"


def _question_text(item: Item) -> str:
    return modes.user_message(item, None)


def route(records: pd.DataFrame, chances: pd.DataFrame, model_name: str) -> pd.DataFrame:
    """Records of the routed model, as free answers.

    Of each forced pair of `records` it keeps the one in the mode with the larger chance. chances:
    one row per benchmark, item_id and condition with `p_personalized`. ValueError where a question
    has no chance.
    """
    key = ["benchmark", "item_id", "condition"]
    forced = records[records.forced != "none"].drop(columns="p_personalized")
    pairs = forced.merge(chances, on=key, how="left", validate="many_to_one")
    without = int(pairs.p_personalized.isna().sum())
    if without:
        raise ValueError(
            f"{without} records have no routed chance; route the questions that were asked"
        )
    routed = pairs[(pairs.forced == "personalized") == (pairs.p_personalized > 0.5)]
    return routed.assign(forced="none", model=model_name)

"""The words of asker and question as features: each alone, those they share, and their crosses."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from pdlib.analysis.lexical.groups import TOKEN, tokens

LEAST = 5  # personas (or questions) that have a word
CROSSES = 2**12  # columns that pairs of words are hashed to


def presence(texts: Sequence[str], least: int) -> tuple[csr_matrix, list[str]]:
    """(texts, words) of 0 and 1, for the words of at least `least` texts and not of all."""
    counter = CountVectorizer(binary=True, token_pattern=TOKEN)
    matrix = counter.fit_transform(texts)
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    columns = np.flatnonzero((counts >= least) & (counts < len(texts)))
    return matrix[:, columns].astype(float), list(counter.get_feature_names_out()[columns])


def design(table: pd.DataFrame, parts: Sequence[str], least: int = LEAST) -> csr_matrix:
    """(answers, features) of some parts: persona, question, shared, crosses.

    persona, question: their words. shared: is a content word in both; log(1 + how many). crosses:
    CROSSES hashed pairs of content words. No label is used; where no word is frequent enough, one
    column of zeros.
    """
    blocks = []
    for side in ("persona", "question"):
        if side in parts:
            codes, texts = pd.factorize(table[side])
            blocks.append(presence(texts, least)[0][codes])
    pairs = _content_words(table)
    if "shared" in parts:
        shared = np.array([len(persona & question) for persona, question in pairs], float)
        blocks.append(csr_matrix(np.column_stack([shared > 0, np.log1p(shared)])))
    if "crosses" in parts:
        hasher = FeatureHasher(CROSSES, input_type="string")
        crosses = (
            [f"{word} {other}" for word in sorted(persona) for other in sorted(question)]
            for persona, question in pairs
        )
        blocks.append(hasher.transform(crosses))
    features = hstack(blocks).tocsr()
    return features if features.shape[1] else csr_matrix((len(table), 1))


def _content_words(table: pd.DataFrame) -> list[tuple[set[str], set[str]]]:
    """The content words of each answer's persona and question."""
    texts = {*table.persona, *table.question}
    content = {text: set(tokens(text)) - ENGLISH_STOP_WORDS for text in texts}
    return [
        (content[persona], content[question])
        for persona, question in zip(table.persona, table.question, strict=True)
    ]

"""Does choosing a mode pay?

The learned choice of a two-mode model against other ways to choose, from its records.

A selector says, for each question and persona, in which mode to answer. Every selector but the
learned one is scored on the forced answers, so no model is needed; one that tosses coins gets the
exact expectation. The learned one is scored on its free answers, which draw the mode from
P(personalised) at the sampling temperature: at 0.6 its share of personalised answers is more
extreme than `p_personalized`, a softmax at temperature 1. A threshold of 0.5 on `p_personalized` is
the greedy choice at any temperature. Choices that are learnt from the records are learnt once: the
intervals are about items and training seeds, given these choices. Rules that read question and
asker, but ask no model, are what a learned choice has to beat, see `rules`. All tables are of one
run and model, with blocks by kind and persona as in the paper. Their mean weighs each block alike,
and within it each benchmark; `value`, `gain_split` and `chance` have the mean of the two objective
blocks, too.
"""

from pdlib.analysis.selection.answers import LEARNED, MEANS, OBJECTIVE, TOGETHER, chance, read
from pdlib.analysis.selection.comparison import leads, value
from pdlib.analysis.selection.gain import (
    ANSWERS,
    CHOICE,
    FREE_GAIN,
    ORDERS,
    TOGETHER_GAIN,
    gain_split,
)
from pdlib.analysis.selection.mistakes import (
    ERRORS,
    calibration,
    causes,
    errors,
    selection_errors,
    tradeoff,
)
from pdlib.analysis.selection.rules import (
    LEXICON,
    PERSONA_BLIND,
    QUESTION_ONLY,
    RULES,
    WORD_MATCH,
    left_out,
    rules,
)
from pdlib.analysis.selection.selectors import (
    BEST,
    BEST_TOLD,
    EITHER,
    GENERAL,
    ORACLE,
    PERSONALIZED,
    RANDOM,
    RANDOM_WITHIN,
    ROUTER,
    TOLD,
    routed,
    scored,
)
from pdlib.analysis.selection.shares import (
    BEST_BLIND,
    BEST_FIXED,
    BLIND,
    FIXED,
    GROUPS,
    ahead,
    by_share,
)

__all__ = [
    "ANSWERS",
    "BEST",
    "BEST_BLIND",
    "BEST_FIXED",
    "BEST_TOLD",
    "BLIND",
    "CHOICE",
    "EITHER",
    "ERRORS",
    "FIXED",
    "FREE_GAIN",
    "GENERAL",
    "GROUPS",
    "LEARNED",
    "LEXICON",
    "MEANS",
    "OBJECTIVE",
    "ORACLE",
    "ORDERS",
    "PERSONALIZED",
    "PERSONA_BLIND",
    "QUESTION_ONLY",
    "RANDOM",
    "RANDOM_WITHIN",
    "ROUTER",
    "RULES",
    "TOGETHER",
    "TOGETHER_GAIN",
    "TOLD",
    "WORD_MATCH",
    "ahead",
    "by_share",
    "calibration",
    "causes",
    "chance",
    "errors",
    "gain_split",
    "leads",
    "left_out",
    "read",
    "routed",
    "rules",
    "scored",
    "selection_errors",
    "tradeoff",
    "value",
]

"""Does choosing a mode pay? The learned choice of a two-mode model against other ways to choose, from its records.

A selector says, for each question and persona, in which mode to answer. Every selector but the learned one is scored on the forced
answers, so no model is needed; one that tosses coins gets the exact expectation. The learned one is scored on its free answers, which
draw the mode from P(personalised) at the sampling temperature: at 0.6 its share of personalised answers is more extreme than
`p_personalized`, a softmax at temperature 1. A threshold of 0.5 on `p_personalized` is the greedy choice at any temperature.
Choices that are learnt from the records are learnt once: the intervals are about items and training seeds, given these choices.
All tables are of one run and model, with blocks by kind and persona as in the paper and their mean (each block weighs alike, and within
it each benchmark).
"""

from pdlib.analysis.selection.answers import COLUMNS, LEARNED, TOGETHER
from pdlib.analysis.selection.mistakes import ERRORS, calibration, causes, errors, selection_errors, tradeoff
from pdlib.analysis.selection.selectors import (
    BEST, BEST_TOLD, EITHER, GENERAL, ORACLE, PERSONALIZED, RANDOM, RANDOM_WITHIN, ROUTER, SELECTORS, routed, value)

__all__ = ["BEST", "BEST_TOLD", "COLUMNS", "EITHER", "ERRORS", "GENERAL", "LEARNED", "ORACLE", "PERSONALIZED", "RANDOM", "RANDOM_WITHIN",
           "ROUTER", "SELECTORS", "TOGETHER", "calibration", "causes", "errors", "routed", "selection_errors", "tradeoff", "value"]

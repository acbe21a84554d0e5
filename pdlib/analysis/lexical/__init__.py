"""Which words drive the mode [5.3, Fig. 5]?

Logistic regressions predict the mode of free answers from the words of the asker and of the
question, always scored on personas that were not fitted on.

The paper prints thirty words of a regression on 2,500 records and says no more. What it leaves
open, and what we chose:
1. Only answers to a persona count; a record without one has no persona words. A word is two or more
   letters or digits, in lower case; what counts is whether it is there. Words of fewer than LEAST
   personas, and of all of them, are no features.
2. L2 penalty, its strength chosen by cross-validation on the training personas. So coefficients,
   their intervals among them, are shrunk.
3. The top are the largest |coefficients|, to either mode. The winner of many is too large: `chance`
   is how large luck alone makes it.
4. The unit is a persona: it lies on one side of every split, is resampled with all of its answers
   (sampling runs, training seeds, items), and the baseline shuffles who has which text. Records are
   never treated as independent.
5. What persona words cannot say is asked of the question, of both, and of their interaction: words
   they share, and hashed crosses (persona word x question word). Shared words see the same form
   only (no synonym, no "banker" in a question on loans); a cross knows no word, so it must have
   seen that very pair in training; neither sees order, negation or three words together.
6. Words that always come together share their effect, and no count tells them apart. What two
   askers of one question have in common is not in the intervals, nor what another training of the
   model would give.
"""

from pdlib.analysis.lexical.coefficients import Words, shuffles, too_few, words
from pdlib.analysis.lexical.groups import CAUSE, GROUPS, facts_by_word, text_group, tokens
from pdlib.analysis.lexical.held_out import APART
from pdlib.analysis.lexical.models import MODELS, compare, reliability
from pdlib.analysis.lexical.table import RECORDS, answers, answers_from_prompts, sample
from pdlib.analysis.lexical.top_words import drawn_shares, in_words, shares, with_word

__all__ = [
    "APART",
    "CAUSE",
    "GROUPS",
    "MODELS",
    "RECORDS",
    "Words",
    "answers",
    "answers_from_prompts",
    "compare",
    "drawn_shares",
    "facts_by_word",
    "in_words",
    "reliability",
    "sample",
    "shares",
    "shuffles",
    "text_group",
    "tokens",
    "too_few",
    "with_word",
    "words",
]

"""Dialogues: a test question asked again after other questions of the same person.

SFT rows that have such a history are made here, too.

The paper (5.4) tells little of how its two-turn dialogues were built. What it leaves open, and what
we assume:
1. Its orders are orders of modes. Table 3 has objective questions that shift "under the influence
   of a preceding objective turn", so the second turn may be of either kind, after either kind. And
   its ratios are not of all questions: 60.53 % of MATH500's 500, 68.63 % of 1,000 or 38.86 % of
   1,000 are no whole numbers. We read "general -> personalized" as: the first turn was answered in
   the general mode, and alone the second question is answered in the personalised one; the other
   order likewise. Records hold all four combinations.
2. Every test question is asked last, once after objective and once after personal questions. These
   are other test questions, those of the same asker first, then those of other benchmarks; all of
   one kind, which in longer dialogues tells more than a mixture.
3. The last question's asker (by default the one it fits) asks all turns. For the earlier questions
   nobody says what is right for this asker, so their answers are part of the prompt and are not
   graded.
4. Who one is stands in every turn, as in the authors' format: the last message is then the same as
   alone.
5. Earlier turns are answered freely by the model itself, tag included, sampled as everywhere else.
"""

from pdlib.evaluate.dialogues.asking import answer, run_dialogues
from pdlib.evaluate.dialogues.conditions import TAGS, condition, parse_condition, retag
from pdlib.evaluate.dialogues.histories import run_history_set, with_history
from pdlib.evaluate.dialogues.orders import Dialogue, rebuild

__all__ = [
    "Dialogue",
    "TAGS",
    "answer",
    "condition",
    "parse_condition",
    "rebuild",
    "retag",
    "run_dialogues",
    "run_history_set",
    "with_history",
]

"""What a reader looks at one by one: records, the steps of a training run, a threshold.

Tables come from here as they are; `transcript`, `replay` and `at_threshold` are what widgets show.
"""

from pdlib.workbook.browse.records import WHAT, pick, same_question, transcript, with_causes
from pdlib.workbook.browse.threshold import at_threshold, levels, threshold_table
from pdlib.workbook.browse.training_run import Run, by_question, replay, rollouts, run, runs

__all__ = [
    "Run",
    "WHAT",
    "at_threshold",
    "by_question",
    "levels",
    "pick",
    "replay",
    "rollouts",
    "run",
    "runs",
    "same_question",
    "threshold_table",
    "transcript",
    "with_causes",
]

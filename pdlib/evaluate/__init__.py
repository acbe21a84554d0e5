"""Evaluation: model x benchmark x persona condition x forced mode x seed -> records.

A record is one row per answer.
"""

from pdlib.evaluate.answers import answer, ask_all, judged, run_records, sampling
from pdlib.evaluate.options import (
    LIKELIHOOD,
    WORD_RULE,
    likeliest,
    run_likelihood,
    score_options,
)
from pdlib.evaluate.records import COLUMNS, as_stage, read_records, record, write

__all__ = [
    "COLUMNS",
    "LIKELIHOOD",
    "WORD_RULE",
    "answer",
    "as_stage",
    "ask_all",
    "judged",
    "likeliest",
    "read_records",
    "record",
    "run_likelihood",
    "run_records",
    "sampling",
    "score_options",
    "write",
]

"""Evaluation: model x benchmark x persona condition x forced mode x seed -> records, one row an
answer.
"""

from pdlib.evaluate.records import (
    COLUMNS,
    LIKELIHOOD,
    WORD_RULE,
    answer,
    as_stage,
    ask_all,
    judged,
    likeliest,
    read_records,
    record,
    run_likelihood,
    run_records,
    sampling,
    score_options,
    write,
)

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

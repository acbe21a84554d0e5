"""Train and evaluate the systems of the `catalogue`, all by the same code."""

from pdlib.paper.catalogue import SYSTEMS, TABLE_1, TABLE_2, TABLES
from pdlib.systems.choice import absent, arms, chosen, controls, everything, table
from pdlib.systems.evaluation import evaluated, evaluated_seed, in_dialogues, records
from pdlib.systems.training import (
    differs_by_seed,
    fit,
    folder,
    prepare,
    seeds,
    sft_set,
    task_label,
    tasks,
    train_one,
)

__all__ = [
    "SYSTEMS",
    "TABLES",
    "TABLE_1",
    "TABLE_2",
    "absent",
    "arms",
    "chosen",
    "controls",
    "differs_by_seed",
    "evaluated",
    "evaluated_seed",
    "everything",
    "fit",
    "folder",
    "in_dialogues",
    "prepare",
    "records",
    "seeds",
    "sft_set",
    "table",
    "task_label",
    "tasks",
    "train_one",
]

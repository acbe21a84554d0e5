"""The paper's numbers (`paper.yaml`), and its equations -> function -> notebook."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

EQUATIONS = {  # equation -> (dotted path of the function, notebook)
    "1": ("pdlib.generate.mode_probability", "05_dualgrpo_training"),
    "2": ("pdlib.generate.complete", "03_sft"),
    "3": ("pdlib.modes.prefix_ids", "03_sft"),
    "4": ("pdlib.rewards.score", "05_dualgrpo_training"),
    "5": ("pdlib.dualgrpo.DualGRPOTrainer", "05_dualgrpo_training"),
    "6": ("pdlib.advantages.dualgrpo", "05_dualgrpo_training"),
    "7": ("pdlib.advantages.dualgrpo", "05_dualgrpo_training"),
    "8": ("pdlib.advantages.dualgrpo", "05_dualgrpo_training"),
}


@dataclass(frozen=True)
class Number:
    """One printed number: `value` is a fraction; row and column are the table's own names."""

    id: str
    artefact: str
    row: str
    column: str
    value: float


@cache
def numbers() -> tuple[Number, ...]:
    """Every number of the paper's result tables, and those its text states for Fig. 3b and the dialogues."""
    tables = yaml.safe_load((Path(__file__).parent / "paper.yaml").read_text(encoding="utf-8"))
    return tuple(
        Number(f"{artefact}/{row}/{column}", artefact, row, column, value)
        for artefact, table in tables.items()
        for row, values in table["rows"].items()
        for column, value in zip(table["columns"], values, strict=True)
    )

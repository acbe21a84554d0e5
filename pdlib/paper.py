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
    "6": ("pdlib.advantages.dualgrpo", "04_dualgrpo_by_hand"),
    "7": ("pdlib.advantages.dualgrpo", "04_dualgrpo_by_hand"),
    "8": ("pdlib.advantages.dualgrpo", "04_dualgrpo_by_hand"),
}
FIGURE_1 = {"general models": ("DeepSeek-R1", "Qwen3-30B-A3B-Thinking"),
            "personalized models": ("ALIGNXPERT-ICA", "ALIGNXPERT-PBA")}


@dataclass(frozen=True)
class Number:
    """One number of the paper; row and column are the table's own names.

    value: a fraction as printed; a count of examples (int) in Table 5; a change of a fraction in Fig. 1.
    derived: True where the paper draws the number and it is computed here from a table it prints (Fig. 1).
    """

    id: str
    artefact: str
    row: str
    column: str
    value: float
    derived: bool = False


@cache
def _all() -> tuple[Number, ...]:
    artefacts = yaml.safe_load((Path(__file__).parent / "paper.yaml").read_text(encoding="utf-8"))
    printed = [
        Number(f"{artefact}/{row}/{column}", artefact, row, column, value)
        for artefact, blocks in artefacts.items()
        for block in blocks
        for row, values in block["rows"].items()
        for column, value in zip(block["columns"], values, strict=True) if value is not None
    ]
    return tuple(printed + _figure1(printed))


def _figure1(printed: list[Number]) -> list[Number]:
    """Fig. 1: Table 4 with persona minus without, averaged over the two general and the two personalised models."""
    table4 = {(n.row, n.column): n.value for n in printed if n.artefact == "table4"}
    benchmarks = dict.fromkeys(column.rsplit(" ", 1)[0] for _, column in table4)
    numbers = []
    for row, models in FIGURE_1.items():
        for benchmark in benchmarks:
            for condition in ("unaligned", "aligned"):
                changes = [table4[m, f"{benchmark} {condition}"] - table4[m, f"{benchmark} none"] for m in models]
                column, change = f"{benchmark} {condition} - none", round(sum(changes) / len(changes), 4)
                numbers.append(Number(f"figure1/{row}/{column}", "figure1", row, column, change, derived=True))
    return numbers


def numbers() -> list[Number]:
    """Every number of Tables 1-5, 8 and 9, those the text states for Fig. 3b and the dialogues, and Fig. 1 from Table 4."""
    return list(_all())

"""What a run found: the differences of which the report's first screen tells, as numbers.

`sentences` puts them into words, which follow from the interval: no finding knows what it will say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.cells import Cell, Cells, MissingRecordsError

RULES = ("persona-blind rule", "one-word match", "told whether it fits")
WITHOUT_RULES = ("best mode of the benchmark", "best mode of benchmark and persona")
HARD = ("conflicting", "long")  # counterfactual conditions


@dataclass(frozen=True)
class Finding:
    """A difference, its 95 % interval and its number of items. topic: of `sentences.TOPICS`."""

    topic: str
    mean: float
    ci_low: float
    ci_high: float
    n: int

    @property
    def verdict(self) -> str:
        """Of stats.VERDICTS: what the interval says of the difference."""
        return stats.VERDICTS[stats.side(self.ci_low, self.ci_high)]


def findings(cells: Cells, run: str, selection: pd.DataFrame | None = None) -> list[Finding]:
    """What `run` found of PersonaDual, at most eight; what was not asked is left out.

    Against CoT and SFT only (mean of the three averages of Table 1); with an unaligned and an
    aligned persona against none; the share of the personalised mode with an aligned persona against
    an unaligned one; and, where there is `selection` (a table of `selection.value`), the learned
    choice against rules.
    """
    if run not in cells.models:
        return []

    def averages(model: str, sign: int) -> list[tuple[float, Cell]]:
        weight = sign / len(stats.BLOCKS)
        return [(weight, cells.average(run, model, *block)) for block in stats.BLOCKS.values()]

    def objective(condition: str, value: str = "correct") -> Cell:
        return cells.average(run, "personadual", "objective", condition, value=value)

    differences = {
        "CoT": averages("personadual", 1) + averages("cot", -1),
        "SFT only": averages("personadual", 1) + averages("sft_only", -1),
        "unaligned": [(1, objective("unaligned")), (-1, objective("none"))],
        "aligned": [(1, objective("aligned")), (-1, objective("none"))],
        "personalised mode": [
            (1, objective("aligned", "personalized")),
            (-1, objective("unaligned", "personalized")),
        ],
    }
    shown = []
    for topic, terms in differences.items():
        try:
            total = cells.sum(terms)
        except MissingRecordsError:
            continue
        shown.append(Finding(topic, total.mean, *total.interval(), sum(total.items.values())))
    return shown + _choices(selection)


def _choices(selection: pd.DataFrame | None) -> list[Finding]:
    """The learned choice against each rule that the table holds, in the mean of its blocks."""
    if selection is None:
        return []
    rows = selection[selection.block == stats.MEAN].dropna(subset="difference")
    rows = rows.set_index("selector")
    rules = [name for name in RULES if name in rows.index]
    rules = rules or [name for name in WITHOUT_RULES if name in rows.index]
    return [  # a row's difference is the rule minus the learned choice
        Finding(
            row.Index,
            -row.difference,
            -row.difference_ci_high,
            -row.difference_ci_low,
            int(row.n),
        )
        for row in rows.loc[rules].itertuples()
    ]


def failures(counterfactual: pd.DataFrame | None, model: str = "personadual") -> list[Finding]:
    """What a persona that is conflicting or long does to answers to objective questions.

    Each is compared with no persona. counterfactual: a table of `counterfactual.differences`, if
    there is one.
    """
    if counterfactual is None:
        return []
    rows = counterfactual[
        (counterfactual.model == model)
        & (counterfactual.kind == "objective")
        & (counterfactual.against == "none")
        & (counterfactual.measure == "accuracy")
    ].set_index("condition")
    return [
        Finding(row.Index, row.mean, row.ci_low, row.ci_high, int(row.n))
        for row in rows.reindex(HARD).dropna(subset="mean").itertuples()
    ]


def training_seeds(cells: Cells, run: str, model: str) -> int | None:
    """How many training seeds the model's answers have; None without answers."""
    for kind in ("objective", "personalized"):
        for condition in ("none", "aligned"):
            try:
                return cells[cells.average(run, model, kind, condition)].seeds
            except MissingRecordsError:
                continue
    return None


def opposites(entries: Sequence[Mapping]) -> list[Mapping]:
    """The ledger's entries whose sign is not the paper's, the furthest from it first."""
    return sorted(
        (entry for entry in entries if entry["direction"] == "opposite"),
        key=lambda entry: -abs(entry["ours"] - entry["paper"]),
    )


def commonest_reason(entries: Sequence[Mapping]) -> tuple[str, int]:
    """Why most entries that were not attempted were not, and of how many it is the reason."""
    reasons = [entry["note"] for entry in entries if entry["status"] == "not attempted"]
    counts = pd.Series(reasons).value_counts()
    return counts.index[0], counts.iloc[0]

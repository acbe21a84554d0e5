"""Figure 3a and Table 2 as tables of cells."""

from collections.abc import Sequence

import pandas as pd

from pdlib import paper
from pdlib.analysis.cells.cell import MissingRecordsError
from pdlib.analysis.cells.cells import Cells
from pdlib.analysis.stats import BLOCKS
from pdlib.paper.catalogue import ABLATIONS, label

TITLES = {  # a block of `stats.BLOCKS` -> its title in figures
    block: f"{block.split()[0]}, {condition} persona" for block, (_, condition) in BLOCKS.items()
}


def mixing(
    cells: Cells, run: str, models: Sequence[str], ratios: Sequence[float] = paper.MIXING_RATIOS
) -> pd.DataFrame:
    """Fig. 3a: accuracy on test sets with a share of personalised questions.

    Columns condition, model, ratio, mean, ci_low, ci_high, n. The objective questions are asked
    under `condition`, the personalised ones under the asker's own persona.
    """
    rows = []
    for condition in ("unaligned", "aligned"):
        for model in models:
            objective = cells.average(run, model, "objective", condition)
            personalized = cells.average(run, model, "personalized", "aligned")
            for ratio in ratios:
                mixture = cells.sum([(1 - ratio, objective), (ratio, personalized)]).row()
                rows.append({"condition": condition, "model": model, "ratio": ratio} | mixture)
    return pd.DataFrame(rows)


def ablations(cells: Cells, run: str) -> pd.DataFrame:
    """Table 2: each system minus PersonaDual in the three averages.

    Columns measure, system, mean, ci_low, ci_high, wide_low, wide_high, n; the wide interval holds
    for all comparisons together. Systems without records are left out.
    """
    present = [model for model in ABLATIONS if model in cells.models.get(run, ())]
    if not present:
        raise MissingRecordsError(f"no records of models {', '.join(ABLATIONS)} in run {run}")
    rows = []
    for block, (kind, condition) in BLOCKS.items():
        reference = cells.average(run, "personadual", kind, condition)
        for model in present:
            ablated = cells.average(run, model, kind, condition)
            change = cells.sum([(1, ablated), (-1, reference)])
            low, high = change.interval(len(present) * len(BLOCKS))
            rows.append(
                {"measure": TITLES[block], "system": label(model)}
                | change.row()
                | {"wide_low": low, "wide_high": high}
            )
    return pd.DataFrame(rows)

"""The report's figures of the paper's tables and figures, drawn from records."""

import pandas as pd
from matplotlib.figure import Figure

from pdlib.analysis.cells import Cells, MissingRecordsError
from pdlib.plots import (
    ablations,
    accuracy,
    forced_modes,
    interference,
    mixing,
    mode_shares,
)

DRAW = {
    "table1": accuracy,
    "figure1": interference,
    "figure3a": mixing,
    "figure3b": mode_shares,
    "table2": ablations,
    "table8": forced_modes,
}
CAPTIONS = {
    "table1": "Table 1: accuracy of every system by family; the dashed line is PersonaDual without "
    "any persona",
    "figure1": "Fig. 1: change of accuracy against no persona",
    "figure3a": "Fig. 3a: accuracy on test sets with a share of personalised questions",
    "figure3b": "Fig. 3b: share of the personalised mode",
    "table2": "Table 2: stages and ablations against PersonaDual",
    "table8": "Table 8: free, forced into either mode, and right in either",
}


def figures(records: pd.DataFrame | Cells, run: str) -> tuple[dict[str, Figure], dict[str, str]]:
    """(name -> figure, name -> why it cannot be drawn) of Tables 1, 2, 8 and Fig. 1, 3a, 3b.

    All are of `run` but Fig. 1, which shows every run.
    """
    cells, drawn, undrawn = Cells.of(records), {}, {}
    for name, draw in DRAW.items():
        try:
            drawn[name] = draw(cells) if name == "figure1" else draw(cells, run=run)
        except MissingRecordsError as reason:
            undrawn[name] = str(reason)
    return drawn, undrawn

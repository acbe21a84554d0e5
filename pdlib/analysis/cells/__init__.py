"""Cells of the paper's tables from records: one table of item means and one set of bootstrap draws.

Every cell is drawn with the same resampled items and the same weights of training seeds
(`stats.seed_weights`), so that sums of cells (differences, mixtures) are paired. Models with the
same training seeds share their draws; a model with one seed (a prompted one) has none to resample.
"""

from pdlib.analysis.cells.cell import (
    BENCHMARKS,
    CONDITIONS,
    OBJECTIVE,
    PERSONALIZED,
    Cell,
    MissingRecordsError,
    NoModesError,
    Statistic,
    UnpairedError,
)
from pdlib.analysis.cells.cells import Cells
from pdlib.analysis.cells.tables import TITLES, ablations, mixing

__all__ = [
    "BENCHMARKS",
    "CONDITIONS",
    "OBJECTIVE",
    "PERSONALIZED",
    "TITLES",
    "Cell",
    "Cells",
    "Statistic",
    "MissingRecordsError",
    "NoModesError",
    "UnpairedError",
    "ablations",
    "mixing",
]

"""Predicted curves beside the measured points: where theory says that each arm ends, by the prior.

Theory has one free number, how far a push of 1 moves the logit in one step. It is read off one
cell, DualGRPO at the highest prior; every other point is then a prediction.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis.when import theory
from pdlib.analysis.when.arms import PRIOR, START

CALIBRATED_ON = "dualgrpo"
LEAST, POINTS = 1e-6, 25  # the smallest prior of a curve; points per curve


def _means(cells: pd.DataFrame, arm: str, level: float) -> pd.Series:
    """Means over seeds of a cell of experiment `prior`, fitting askers."""
    is_cell = (cells.experiment == PRIOR) & (cells.arm == arm) & (cells.level == level)
    rows = cells[is_cell & (cells.condition == "aligned")]
    return rows[["p", "general", "personalized"]].mean()


def rate(cells: pd.DataFrame, methods: dict[str, theory.Method], steps: int) -> float:
    """By how much a push of 1 moved the logit per step, in DualGRPO at the highest prior.

    cells: as `outcomes.of_cells` gives them. NaN or infinite where theory expects no push, since
    both modes are equally good.
    """
    level = cells.level[cells.experiment == PRIOR].max()
    start, end = (_means(cells, arm, level) for arm in (START, CALIBRATED_ON))
    push = theory.push(methods[CALIBRATED_ON], [start.p], start.general, start.personalized)
    moved = theory.logit(end.p) - theory.logit(start.p)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.divide(moved, steps * push.item()))


def predicted(
    cells: pd.DataFrame,
    methods: dict[str, theory.Method],
    steps: int,
    priors: Sequence[float] | None = None,
) -> pd.DataFrame:
    """P(personalised) of fitting askers after `steps`, one row per prior and arm.

    Columns: start (P before RL), arm, end. priors: LEAST to .5 by default, evenly by logarithm. The
    accuracies of both modes are those of the models at the highest prior.
    """
    level = cells.level[cells.experiment == PRIOR].max()
    start = _means(cells, START, level)
    moved = rate(cells, methods, steps)
    priors = np.geomspace(LEAST, 0.5, POINTS) if priors is None else priors
    curves = [
        pd.DataFrame(
            {
                "start": priors,
                "arm": name,
                "end": theory.chance_after(
                    method, priors, start.general, start.personalized, steps, moved
                ),
            }
        )
        for name, method in methods.items()
    ]
    return pd.concat(curves, ignore_index=True)

"""When does DualGRPO pay? What theory says of each way of RL, and what was measured."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib import advantages
from pdlib.analysis.when import predictions, theory
from pdlib.analysis.when.arms import ARMS, ARMS_OF, PRIOR, SHARE, START
from pdlib.plots.style import GREY, LINES

LOOK = {  # arm -> colour, dash, marker
    name: (LINES[k], dash, marker)
    for k, (name, dash, marker) in enumerate(
        zip(ARMS, ("-", "--", ":", "-.", (0, (1, 3))), "os^Dv", strict=True)
    )
}


def when_theory(
    methods: dict[str, theory.Method], general: float, personalized: float, marked: float
) -> Figure:
    """The push of each arm over P(personalised), and how often free rollouts see the mode at all.

    Left the expected push on the mode's logit, right the share of groups of eight free rollouts
    that hold a personalised one, at two temperatures.

    general: accuracy of fitting askers' answers in the general mode. personalized: in the
    personalised mode. marked: a P(personalised) to point at.
    """
    chances = np.geomspace(1e-5, 0.95, 120)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    for name, method in methods.items():
        colour, dash, marker = LOOK[name]
        pushes = theory.push(method, chances, general, personalized)
        left.plot(
            chances,
            pushes,
            color=colour,
            linestyle=dash,
            marker=marker,
            markevery=18,
            markersize=4,
            label=ARMS[name].label,
        )
    left.set(xlabel="P(personalised), before", ylabel="expected push on the mode's logit")
    left.legend(fontsize=8, frameon=False, loc=(0.02, 0.56))  # between the two forced lines
    for temperature, dash in ((1.0, "--"), (0.6, "-")):
        seen = 1 - advantages.absent_chance(advantages.at_temperature(chances, temperature), 8)
        right.plot(chances, seen, color="black", linestyle=dash, label=f"temperature {temperature}")
    right.set(
        xlabel="P(personalised), before",
        ylabel="groups of 8 free rollouts\nthat hold a personalised one",
    )
    right.legend(fontsize=8, frameon=False)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.axvline(marked, color=GREY, linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def when_outcomes(table: pd.DataFrame, cells: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Forced rollouts turn a mode from anywhere, free ones only one that they see.

    Small dots are seeds, curves and vertical lines are predicted.

    table: of `predictions.table`. cells: of `outcomes.of_cells`. curves: of `curves.predicted`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    _priors(left, table, cells, curves)
    _shares(right, table)
    seeds = int(table.seeds.max())
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
        title=f"{seeds} seeds on one backbone; lines are 95 % intervals by Student's t",
        title_fontsize=9,
    )
    return figure


def _priors(axis: Axes, table: pd.DataFrame, cells: pd.DataFrame, curves: pd.DataFrame) -> None:
    """P(personalised) of fitting askers after RL over what it was before; curves are predicted."""
    rows = cells[(cells.experiment == PRIOR) & (cells.condition == "aligned")]
    before = rows[rows.arm == START].set_index(["level", "seed"]).p
    measured = table[(table.experiment == PRIOR) & (table.measure == "P(personalised), aligned")]
    arms = [name for name in ARMS_OF[PRIOR] if name in set(rows.arm)]
    for k, name in enumerate(arms):
        colour, dash, marker = LOOK[name]
        curve = curves[curves.arm == name]
        axis.plot(curve.start, curve.end, color=colour, linestyle=dash, linewidth=1)
        of_arm = rows[rows.arm == name].set_index(["level", "seed"]).p
        axis.plot(before[of_arm.index], of_arm, ".", color=colour, markersize=4, alpha=0.6)
        points = measured[measured.arm == name]
        x = [before[level].mean() * 1.35 ** (k - 2) for level in points.level]
        _interval_points(axis, x, points, colour, marker, ARMS[name].label)
    for threshold in (predictions.LOW, predictions.HIGH):
        axis.axhline(threshold, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(
        xscale="log",
        ylim=(-0.03, 1.03),
        xlabel="P(personalised) of fitting askers before RL",
        ylabel="the same after RL",
        title="experiment 'prior': curves are theory",
    )
    axis.spines[["top", "right"]].set_visible(False)


def _shares(axis: Axes, table: pd.DataFrame) -> None:
    """The move of the logit that all questions share over the share of strangers."""
    rows = table[table.experiment == SHARE]
    turns = rows[rows.measure.str.startswith("share u*")]
    moves = rows[rows.measure.str.startswith("move")]
    for k, name in enumerate(ARMS_OF[SHARE]):
        colour, dash, marker = LOOK[name]
        points = moves[moves.arm == name].sort_values("level")
        x = points.level + 0.006 * (k - 1)
        axis.plot(x, points.measured, color=colour, linestyle=dash, linewidth=1)
        _interval_points(axis, x, points, colour, marker, ARMS[name].label)
        for row in turns[turns.arm == name].itertuples():
            expected = (row.predicted_low + row.predicted_high) / 2
            axis.axvline(expected, color=colour, linestyle=dash, linewidth=0.9)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(
        xlabel="share of strangers among objective questions",
        ylabel="move of the shared logit in RL",
        title="experiment 'share': vertical lines are predicted u*",
    )
    axis.spines[["top", "right"]].set_visible(False)


def _interval_points(
    axis: Axes, x: Sequence[float], rows: pd.DataFrame, colour: str, marker: str, label: str
) -> None:
    arms = [rows.measured - rows.ci_low, rows.ci_high - rows.measured]
    axis.errorbar(
        x,
        rows.measured,
        yerr=[arm.clip(lower=0).fillna(0) for arm in arms],
        color=colour,
        linestyle="",
        marker=marker,
        markersize=6,
        markeredgecolor="white",
        capsize=2,
        label=label,
    )

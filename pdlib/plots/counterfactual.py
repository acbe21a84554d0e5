"""Counterfactual personas: what another asker or another order of options changes.

Also what questions with held-out words, templates or professions cost.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.analysis.counterfactual import CONTRASTS, FIT, HELD_OUT
from pdlib.dataset.personas import COUNTERFACTUAL
from pdlib.plots.style import LINES, figure_legend, series_names

MARKERS = "os^vDPX<>*"
NAMES = {
    "none reordered": "none, options reordered",
    "unaligned reordered": "unaligned, options reordered",
    "aligned reordered": "aligned, options reordered",
}
NOTE = "filled: the interval for all comparisons together leaves zero out"


def _heights(rows: Sequence[str], k: int, n: int) -> np.ndarray:
    """The height of series k of n in each of the rows, from the top down."""
    return np.arange(len(rows))[::-1] + 0.7 * ((n - 1) / 2 - k) / n


def _dots(axis: Axes, table: pd.DataFrame, rows: list[str], series: list[str], hollow: bool = True):
    """Means with intervals in points: one row per entry of `rows`, one marker per series.

    table: with the columns `row` and `series`. hollow: a marker is open where no difference is
    shown for all comparisons together; otherwise all are filled.
    """
    for k, name in enumerate(series):
        means = table[table.series == name].set_index("row").reindex(rows)
        y = _heights(rows, k, len(series))
        colour, marker = LINES[k % len(LINES)], MARKERS[k % len(MARKERS)]
        axis.hlines(y, 100 * means.ci_low, 100 * means.ci_high, color=colour, linewidth=1.8)
        is_filled = means.verdict.isin(("higher", "lower")) if hollow else means["mean"].notna()
        for chosen, face in ((is_filled, colour), (~is_filled, "white")):
            axis.plot(
                100 * means["mean"][chosen],
                y[chosen],
                marker,
                color=colour,
                markerfacecolor=face,
                markersize=6,
                label=name if face == colour else None,
            )
    axis.set(yticks=range(len(rows)), yticklabels=rows[::-1], ylim=(-0.6, len(rows) - 0.4))
    for border in range(1, len(rows)):
        axis.axhline(border - 0.5, color="0.85", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axis: Axes, series: list[str], note: str):
    figure_legend(figure, axis, ncols=min(4, len(series)))
    figure.text(0.995, 0.005, note, ha="right", va="bottom", fontsize=7, color="0.3")


def counterfactuals(table: pd.DataFrame, measure: str = "accuracy") -> Figure:
    """What each condition changes in `measure`, in points, for each model.

    From `counterfactual.differences`, with 95 % intervals over items. Personas are held against
    none, a reordered question against itself in its own order.
    """
    against = {condition: others[0] for condition, others in CONTRASTS.items()}
    changes = table[(table.measure == measure) & (table.against == table.condition.map(against))]
    if changes.empty:
        raise ValueError(
            f"no rows with the measure {measure!r}, found {sorted(table.measure.unique())}; "
            "`differences` makes this table"
        )
    changes = changes.assign(series=series_names(changes), row=changes.condition.replace(NAMES))
    conditions = [name for name in COUNTERFACTUAL if name in set(changes.condition)]
    rows = [NAMES.get(name, name) for name in conditions]
    kinds, series = list(changes.kind.unique()), list(changes.series.unique())
    height = 1.5 + len(rows) * max(0.32, 0.14 * len(series))
    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(2 + 3.4 * len(kinds), height),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        _dots(axis, changes[changes.kind == kind], rows, series)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(f"{kind.replace('personalized', 'personalised')} questions")
    figure.supxlabel(
        f"{measure}, points against no persona (reordered: against its own order)\n",
        fontsize="medium",
    )
    _legend(figure, axes[0, 0], series, NOTE)
    return figure


def held_out(table: pd.DataFrame, kind: str = "objective") -> Figure:
    """Items with a held-out word, template or profession minus items without one, in points.

    From `counterfactual.memorisation`, for each model, with 95 % intervals.
    """
    gaps = table[(table.kind == kind) & table["mean"].notna()]
    if gaps.empty:
        raise ValueError(
            f"no rows of {kind} items in both groups; evaluate more items, "
            "`memorisation` says how many there are"
        )
    names = {FIT: "P(personalised),\naligned − unaligned"}
    gaps = gaps.assign(series=series_names(gaps), row=gaps.measure.replace(names))
    rows, series = list(gaps.row.unique()), list(gaps.series.unique())
    parts = [name for name in HELD_OUT if name in set(gaps.part)]
    height = 1.5 + len(rows) * max(0.4, 0.16 * len(series))
    figure, axes = plt.subplots(
        1,
        len(parts),
        figsize=(2 + 2.8 * len(parts), height),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, name in zip(axes[0], parts, strict=True):
        panel = gaps[gaps.part == name]
        _dots(axis, panel, rows, series)
        axis.axvline(0, color="black", linewidth=0.8)
        n = panel[["n_held_out", "n_seen"]].max()
        axis.set_title(f"{name}: {n.n_held_out} items held out, {n.n_seen} seen", fontsize=9)
    figure.supxlabel("points, held out minus seen\n", fontsize="medium")
    _legend(figure, axes[0, 0], series, NOTE)
    return figure


def order(table: pd.DataFrame) -> Figure:
    """Share of choices that are answered alike under both orders of their options.

    From `counterfactual.order_sensitivity`, with 95 % intervals; a tick marks how alike two runs of
    one order are.
    """
    shares = table.assign(
        series=series_names(table), row=table.condition.replace({"none": "no persona"}), verdict=""
    )
    kinds, rows = list(shares.kind.unique()), list(shares.row.unique())
    series = list(shares.series.unique())
    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(2 + 3 * len(kinds), 1.5 + len(rows) * max(0.4, 0.2 * len(series))),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        panel = shares[shares.kind == kind]
        for k, name in enumerate(series):
            alike = panel[panel.series == name].set_index("row").same_run_to_run.reindex(rows)
            y = _heights(rows, k, len(series))
            axis.plot(100 * alike, y, "|", color="black", markersize=11)
        _dots(axis, panel, rows, series, hollow=False)
        title = f"{kind.replace('personalized', 'personalised')} questions"
        axis.set(title=title, xlim=(None, 102))
    figure.supxlabel("same answer under both orders of the options (%)\n", fontsize="medium")
    _legend(figure, axes[0, 0], series, "tick: same answer in two runs of one order")
    return figure

"""Counterfactual personas: what another asker or another order of options changes, and what
held-out parts cost.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.analysis.counterfactual import CONDITIONS, CONTRASTS, FIT, HELD_OUT
from pdlib.paper.catalogue import label
from pdlib.plots.style import LINES

MARKERS = "os^vDPX<>*"
NAMES = {
    "none reordered": "none, options reordered",
    "unaligned reordered": "unaligned, options reordered",
    "aligned reordered": "aligned, options reordered",
}


def _series(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with `series`, the model's name and, where there are several runs, the run's."""
    several = table.run.nunique() > 1
    return table.assign(
        series=[label(model) + f", {run}" * several for run, model in zip(table.run, table.model)]
    )


def _dots(axis, table: pd.DataFrame, rows: list[str], series: list[str], hollow: bool = True):
    """Means with intervals in points: a row an entry of `rows` (column `row`), a marker a series;
    hollow where no difference is shown for all comparisons together (hollow=False: all filled).
    """
    for k, name in enumerate(series):
        part = table[table.series == name].set_index("row").reindex(rows)
        y = [
            len(rows) - 1 - i + 0.7 * ((len(series) - 1) / 2 - k) / len(series)
            for i in range(len(rows))
        ]
        colour, marker = LINES[k % len(LINES)], MARKERS[k % len(MARKERS)]
        axis.hlines(y, 100 * part.ci_low, 100 * part.ci_high, color=colour, linewidth=1.8)
        filled = part.verdict.isin(("higher", "lower")) if hollow else part["mean"].notna()
        for full, fill in ((True, colour), (False, "white")):
            chosen = (filled == full).to_numpy()
            axis.plot(
                100 * part["mean"].to_numpy()[chosen],
                [at for at, use in zip(y, chosen) if use],
                marker,
                color=colour,
                markerfacecolor=fill,
                markersize=6,
                label=name if full else None,
            )
    axis.set(yticks=range(len(rows)), yticklabels=rows[::-1], ylim=(-0.6, len(rows) - 0.4))
    for between in range(1, len(rows)):
        axis.axhline(between - 0.5, color="0.85", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axis, note: str):
    handles, names = axis.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=min(4, len(names)), frameon=False
    )
    figure.text(0.995, 0.005, note, ha="right", va="bottom", fontsize=7, color="0.3")


def counterfactuals(table: pd.DataFrame, measure: str = "accuracy") -> Figure:
    """What each condition changes in `measure`, in points, for each model: 95 % intervals over
    items, from `counterfactual.differences`. Personas are held against none, a reordered question
    against itself in its own order.
    """
    against = {condition: others[0] for condition, others in CONTRASTS.items()}
    part = _series(
        table[(table.measure == measure) & (table.against == table.condition.map(against))]
    )
    if part.empty:
        raise ValueError(
            f"no rows with the measure {measure!r}, found {sorted(table.measure.unique())}; `differences` makes this table"
        )
    part = part.assign(row=part.condition.replace(NAMES))
    kinds, rows = (
        list(part.kind.unique()),
        [NAMES.get(c, c) for c in CONDITIONS if c in set(part.condition)],
    )
    series = list(part.series.unique())
    height = 1.5 + len(rows) * max(0.32, 0.14 * len(series))
    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(2 + 3.4 * len(kinds), height),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, kind in zip(axes[0], kinds):
        _dots(axis, part[part.kind == kind], rows, series)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(f"{kind.replace('personalized', 'personalised')} questions")
    figure.supxlabel(
        f"{measure}, points against no persona (reordered: against its own order)\n",
        fontsize="medium",
    )
    _legend(figure, axes[0, 0], "filled: the interval for all comparisons together leaves zero out")
    return figure


def held_out(table: pd.DataFrame, kind: str = "objective") -> Figure:
    """Items with a held-out word, template or profession minus items without, in points, for each
    model, with 95 % intervals: from `counterfactual.memorisation`.
    """
    part = _series(table[(table.kind == kind) & table["mean"].notna()])
    if part.empty:
        raise ValueError(
            f"no rows of {kind} items in both groups; evaluate more items, `memorisation` says how many there are"
        )
    part = part.assign(row=part.measure.replace({FIT: "P(personalised),\naligned − unaligned"}))
    rows, series = list(part.row.unique()), list(part.series.unique())
    parts = [name for name in HELD_OUT if name in set(part.part)]
    height = 1.5 + len(rows) * max(0.4, 0.16 * len(series))
    figure, axes = plt.subplots(
        1,
        len(parts),
        figsize=(2 + 2.8 * len(parts), height),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, name in zip(axes[0], parts):
        own = part[part.part == name]
        _dots(axis, own, rows, series)
        axis.axvline(0, color="black", linewidth=0.8)
        n = own[["n_held_out", "n_seen"]].max()
        axis.set_title(f"{name}: {n.n_held_out} items held out, {n.n_seen} seen", fontsize=9)
    figure.supxlabel("points, held out minus seen\n", fontsize="medium")
    _legend(figure, axes[0, 0], "filled: the interval for all comparisons together leaves zero out")
    return figure


def order(table: pd.DataFrame) -> Figure:
    """Share of choices answered alike under both orders of their options, with 95 % intervals, from
    `counterfactual.order_sensitivity`; a tick marks how alike two runs of one order are.
    """
    part = _series(table).assign(
        row=table.condition.map(lambda name: "no persona" if name == "none" else name), verdict=""
    )
    kinds, rows, series = (
        list(part.kind.unique()),
        list(part.row.unique()),
        list(part.series.unique()),
    )
    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(2 + 3 * len(kinds), 1.5 + len(rows) * max(0.4, 0.2 * len(series))),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, kind in zip(axes[0], kinds):
        own = part[part.kind == kind]
        runs = own.assign(**dict.fromkeys(("mean", "ci_low", "ci_high"), own.same_run_to_run))
        for k, name in enumerate(series):
            at = [
                len(rows) - 1 - i + 0.7 * ((len(series) - 1) / 2 - k) / len(series)
                for i in range(len(rows))
            ]
            axis.plot(
                100 * runs[runs.series == name].set_index("row").reindex(rows)["mean"],
                at,
                "|",
                color="black",
                markersize=11,
            )
        _dots(axis, own, rows, series, hollow=False)
        axis.set(
            title=f"{kind.replace('personalized', 'personalised')} questions", xlim=(None, 102)
        )
    figure.supxlabel("same answer under both orders of the options (%)\n", fontsize="medium")
    _legend(figure, axes[0, 0], "tick: same answer in two runs of one order")
    return figure

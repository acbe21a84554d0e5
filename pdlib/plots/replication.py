"""Does it hold on other backbones? One dot per replicate, one interval over all of them."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.analysis import stats
from pdlib.analysis.replication import GAP, RIVALS
from pdlib.analysis.selection import OBJECTIVE
from pdlib.plots.style import BLUE, ORANGE

LOOK = {
    "field": (BLUE, "o", "fit must be understood"),
    "word": (ORANGE, "s", "a repeated word shows the fit"),
}


def replication(table: pd.DataFrame) -> Figure:
    """What PersonaDual gains on backbones, data sets and trainings from other seeds.

    From `replication.table` of each world, with the column `world`. Left: how much more often a
    fitting asker is answered in the personalised mode than a stranger, on questions without a cue.
    Middle and right: PersonaDual's accuracy minus that of others.
    """
    gaps = [(f"{name}: {GAP}", OBJECTIVE, name) for name in ("SFT only", "PersonaDual")]
    panels = {"personalised mode: aligned - unaligned,\nquestions without a cue": gaps}
    blocks = {OBJECTIVE: "objective questions", stats.MEAN: "mean of the three blocks"}
    for block, name in blocks.items():
        title = f"accuracy of PersonaDual minus ...\n{name}"
        rivals = ("CoT", "SFT only", *RIVALS)
        panels[title] = [(f"PersonaDual - {rival}", block, rival) for rival in rivals]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(13, 4), layout="constrained", width_ratios=(0.7, 1, 1)
    )
    worlds = [name for name in LOOK if name in set(table.world)]
    for axis, (title, rows) in zip(axes, panels.items(), strict=True):
        _panel(axis, table, rows, worlds)
        axis.set_title(title, fontsize=10)
    handles = []
    for name in worlds:
        colour, marker, what = LOOK[name]
        label = f"world '{name}': {what}"
        handles.append(plt.Line2D([], [], color=colour, marker=marker, label=label))
    label = "one backbone with its data and training"
    handles.append(plt.Line2D([], [], color="0.4", marker=".", linestyle="", label=label))
    count = int(table.replicates.max())
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        title=f"{count} replicates; lines are 95 % intervals over items and replicates",
        title_fontsize=9,
    )
    return figure


def _panel(
    axis: Axes, table: pd.DataFrame, rows: list[tuple[str, str, str]], worlds: list[str]
) -> None:
    """One row per (measure, block, label), one colour per world."""
    for height, (measure, block, _) in enumerate(rows[::-1]):
        for k, world in enumerate(worlds):
            is_row = (table.world == world) & (table.measure == measure) & (table.block == block)
            if not is_row.any():
                continue
            row, (colour, marker, _) = table[is_row].iloc[0], LOOK[world]
            y = height + 0.18 * (1 - 2 * k) * (len(worlds) > 1)
            replicates = [float(value) for value in str(row.per_replicate).split()]
            axis.plot(
                replicates,
                [y - 0.13] * len(replicates),
                ".",
                color=colour,
                markersize=7,
                markeredgecolor="white",
                markeredgewidth=0.5,
            )
            axis.hlines(y, row.ci_low, row.ci_high, color=colour, linewidth=1.6)
            axis.plot(row["mean"], y, marker, color=colour, markersize=6, markeredgecolor="white")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(
        yticks=range(len(rows)),
        yticklabels=[label for *_, label in rows[::-1]],
        ylim=(-0.6, len(rows) - 0.4),
    )
    axis.locator_params(axis="x", nbins=6)
    axis.grid(axis="x", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)

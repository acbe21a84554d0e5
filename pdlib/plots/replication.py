"""Does it hold on other backbones? Figures of the tables of analysis.replication: a dot per
replicate, an interval over all.
"""

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
    """From `replication.table` of each world, with the column `world`. Left: how much more often a
    fitting asker is answered in the personalised mode than a stranger, on questions without a cue.
    Middle and right: PersonaDual's accuracy minus that of others.
    """
    panels = [
        (
            [(f"{who}: {GAP}", OBJECTIVE, who) for who in ("SFT only", "PersonaDual")],
            "personalised mode: aligned - unaligned,\nquestions without a cue",
        )
    ]
    rivals = ("CoT", "SFT only", *RIVALS)
    panels += [
        (
            [(f"PersonaDual - {rival}", block, rival) for rival in rivals],
            f"accuracy of PersonaDual minus ...\n{title}",
        )
        for block, title in (
            (OBJECTIVE, "objective questions"),
            (stats.MEAN, "mean of the three blocks"),
        )
    ]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(13, 4), layout="constrained", width_ratios=(0.7, 1, 1)
    )
    for axis, (lines, title) in zip(axes, panels):
        _panel(axis, table, lines)
        axis.set_title(title, fontsize=10)
    worlds = [name for name in LOOK if name in set(table.world)]
    handles = [
        plt.Line2D(
            [],
            [],
            color=LOOK[name][0],
            marker=LOOK[name][1],
            label=f"world '{name}': {LOOK[name][2]}",
        )
        for name in worlds
    ]
    count = int(table.replicates.max())
    handles.append(
        plt.Line2D(
            [],
            [],
            color="0.4",
            marker=".",
            linestyle="",
            label="one backbone with its data and training",
        )
    )
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


def _panel(axis: Axes, table: pd.DataFrame, lines: list[tuple[str, str, str]]) -> None:
    """One row per (measure, block, label), one colour per world."""
    worlds = [name for name in LOOK if name in set(table.world)]
    for row, (measure, block, _) in enumerate(lines[::-1]):
        for at, name in enumerate(worlds):
            found = table[
                (table.world == name) & (table.measure == measure) & (table.block == block)
            ]
            if found.empty:
                continue
            one, (colour, marker, _) = found.iloc[0], LOOK[name]
            y = row + 0.18 * (1 - 2 * at) * (len(worlds) > 1)
            each = [float(value) for value in str(one.per_replicate).split()]
            axis.plot(
                each,
                [y - 0.13] * len(each),
                ".",
                color=colour,
                markersize=7,
                markeredgecolor="white",
                markeredgewidth=0.5,
            )
            axis.hlines(y, one.ci_low, one.ci_high, color=colour, linewidth=1.6)
            axis.plot(one["mean"], y, marker, color=colour, markersize=6, markeredgecolor="white")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(
        yticks=range(len(lines)),
        yticklabels=[label for *_, label in lines[::-1]],
        ylim=(-0.6, len(lines) - 0.4),
    )
    axis.locator_params(axis="x", nbins=6)
    axis.grid(axis="x", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)

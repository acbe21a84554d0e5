"""What all figures share: colours, legends, and marks with intervals.

Colour-blind readers tell the colours apart (Okabe-Ito). Hatches and markers print in grey.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.paper.catalogue import label

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00", "#000000", GREY, "#B8860B")
GUESSING = "guessing"  # the name of the accuracy of guessing in legends
CONDITION_STYLE = {"none": (GREY, ""), "unaligned": (ORANGE, "//"), "aligned": (BLUE, ".")}


def bars(axis: Axes, groups: Sequence[str], series: dict[str, list[dict]]):
    """Grouped bars with intervals.

    series: persona condition -> one {mean, ci_low, ci_high} per group.
    """
    width = 0.8 / len(series)
    for k, (condition, values) in enumerate(series.items()):
        colour, hatch = CONDITION_STYLE[condition]
        x = [i + (k - (len(series) - 1) / 2) * width for i in range(len(groups))]
        low = [value["mean"] - value["ci_low"] for value in values]
        high = [value["ci_high"] - value["mean"] for value in values]
        axis.bar(
            x,
            [value["mean"] for value in values],
            width,
            yerr=[low, high],
            capsize=3,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.6,
            label=condition,
        )
    axis.set_xticks(range(len(groups)), groups)
    axis.spines[["top", "right"]].set_visible(False)


def lines(axis: Axes, table: pd.DataFrame):
    """One line per column; lines are told apart by colour, dash and marker."""
    for k, name in enumerate(table.columns):
        turn = k + k // len(LINES)  # a colour comes back with another dash and marker
        axis.plot(
            table.index,
            table[name],
            color=LINES[k % len(LINES)],
            linestyle=("-", "--", ":")[turn % 3],
            marker="os^vDP*X<>"[turn % 10],
            markevery=max(1, len(table) // 6),
            markersize=4,
            label=name,
        )
    axis.spines[["top", "right"]].set_visible(False)


def percent_arms(rows: pd.DataFrame) -> list[pd.Series]:
    """Lengths of the two arms of each interval in points; 0 where there is no interval."""
    arms = [rows["mean"] - rows.ci_low, rows.ci_high - rows["mean"]]
    return [(100 * arm).clip(lower=0).fillna(0) for arm in arms]


def percent_line(
    axis: Axes,
    x: Sequence[float],
    rows: pd.DataFrame,
    look: tuple[str, str, str],
    name: str | None,
    filled: bool = True,
):
    """Means in per cent with their intervals, joined by a line.

    look: colour, dash and marker.
    """
    colour, dash, marker = look
    axis.errorbar(
        x,
        100 * rows["mean"],
        yerr=percent_arms(rows),
        color=colour,
        linestyle=dash,
        linewidth=1.4,
        capsize=2,
        marker=marker,
        markersize=5,
        markerfacecolor=colour if filled else "white",
        label=name,
    )


def interval_dot(
    axis: Axes, y, row, colour: str, marker: str, fill: str = "full", width: float = 1.5, **more
):
    """A mean with its interval; the interval does not show through an open marker.

    row: {mean, ci_low, ci_high}, or a table of them with one y per row. width: of the interval.
    """
    axis.hlines(y, row["ci_low"], row["ci_high"], color=colour, linewidth=width)
    axis.plot(row["mean"], y, marker, color="white", markersize=6)
    axis.plot(row["mean"], y, marker, color=colour, fillstyle=fill, markersize=6, **more)


def series_names(table: pd.DataFrame) -> list[str]:
    """Each row's model by its label, with the run where there are several runs."""
    if table.run.nunique() == 1:
        return [label(model) for model in table.model]
    return [f"{label(model)}, {run}" for run, model in zip(table.run, table.model, strict=True)]


def figure_legend(figure: Figure, axis: Axes, ncols: int, loc: str = "upper center", **more):
    """The legend of `axis` outside all axes; a name that occurs twice is shown once."""
    handles, names = axis.get_legend_handles_labels()
    by_name = dict(zip(names, handles, strict=True))
    figure.legend(
        by_name.values(), by_name, loc=f"outside {loc}", ncols=ncols, frameon=False, **more
    )


def persona_legend(figure: Figure, axis: Axes):
    """The persona conditions above the axes, where they cover no bar."""
    handles, conditions = axis.get_legend_handles_labels()
    names = ["no persona" if name == "none" else f"{name} persona" for name in conditions]
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)


def axis_legend(axis: Axes, ncols: int, **more):
    """The legend of `axis` above it, where it covers nothing."""
    looks = {"fontsize": 8, "bbox_to_anchor": (0.5, 1.0)} | more
    axis.legend(frameon=False, loc="lower center", ncols=ncols, **looks)


def save(figure: Figure, path: Path) -> Path:
    """Write `figure` as PNG; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path

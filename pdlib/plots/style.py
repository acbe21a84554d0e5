"""What every figure shares: colours that colour-blind readers tell apart (Okabe-Ito), hatches and
markers that print in grey.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00", "#000000", GREY, "#B8860B")
CONDITION_STYLE = {"none": (GREY, ""), "unaligned": (ORANGE, "//"), "aligned": (BLUE, ".")}


def bars(axis, groups: list[str], series: dict[str, list[dict]]):
    """Grouped bars with intervals; `series` maps a condition to one {mean, ci_low, ci_high} a
    group.
    """
    width = 0.8 / len(series)
    for k, (name, values) in enumerate(series.items()):
        colour, hatch = CONDITION_STYLE[name]
        x = [i + (k - (len(series) - 1) / 2) * width for i in range(len(groups))]
        mean = [v["mean"] for v in values]
        error = [
            [v["mean"] - v["ci_low"] for v in values],
            [v["ci_high"] - v["mean"] for v in values],
        ]
        axis.bar(
            x,
            mean,
            width,
            yerr=error,
            capsize=3,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.6,
            label=name,
        )
    axis.set_xticks(range(len(groups)), groups)
    axis.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, axis):
    """The persona conditions above the axes, where they cover no bar."""
    handles, names = axis.get_legend_handles_labels()
    figure.legend(
        handles,
        [f"{name} persona" if name != "none" else "no persona" for name in names],
        loc="outside upper center",
        ncols=len(names),
        frameon=False,
    )


def lines(axis, table: pd.DataFrame):
    """One line a column, told apart by colour, dash and marker."""
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


def save(figure: Figure, path: Path) -> Path:
    """Write `figure` as PNG; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path

"""Does selection pay? Ways to choose the mode, and shares of askers.

From the tables of `analysis.selection`.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdlib.analysis.selection import (
    BEST_BLIND,
    BEST_FIXED,
    BEST_TOLD,
    BLIND,
    EITHER,
    FIXED,
    GROUPS,
    LEARNED,
    ORACLE,
    RANDOM,
    RANDOM_WITHIN,
    TOLD,
)
from pdlib.plots.style import BLUE, GREEN, GUESSING, ORANGE, axis_legend, interval_dot

LEADS = {BEST_BLIND: (ORANGE, "-"), BEST_FIXED: ("black", "--")}
UNDRAWN = (RANDOM, RANDOM_WITHIN, BEST_TOLD, EITHER, *GROUPS)  # by share of askers
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
FILLS = {
    "differs from learned (all comparisons together)": "full",
    "perhaps (this comparison alone)": "left",
    "no difference shown": "none",
}


def selectors(table: pd.DataFrame) -> Figure:
    """Accuracy of each way to choose a mode, by block, from `selection.value`.

    A mark is filled where it differs from the learned choice, half filled where it perhaps does,
    open where no difference is shown. The band is the interval of the learned choice; the dotted
    line is the accuracy of guessing. Selectors that are missing are left out.
    """
    blocks = list(table.block.unique())
    names = list(table.dropna(subset="mean").selector.unique())[::-1]
    figure, axes = plt.subplots(
        1,
        len(blocks),
        figsize=(2.2 * len(blocks) + 1, 1.4 + 0.29 * len(names)),
        layout="constrained",
        sharey=True,
    )
    band = {"color": BLUE, "alpha": 0.15, "linewidth": 0}
    dotted = {"color": "black", "linewidth": 1, "linestyle": ":"}
    for axis, block in zip(axes, blocks, strict=True):
        rows = table[table.block == block].set_index("selector").loc[names]
        axis.axvspan(rows.ci_low[LEARNED], rows.ci_high[LEARNED], **band)
        for y, (name, row) in enumerate(rows.iterrows()):
            colour, marker = _selector_look(name)
            fill = _fill(row.verdict)
            interval_dot(axis, y, row, colour, marker, fill, markerfacecoloralt="white")
        if rows.chance.notna().any():
            axis.axvline(rows.chance.iloc[0], **dotted)
        axis.set(
            title=block.replace(" of the ", " of\nthe "),
            xlabel="accuracy",
            yticks=range(len(names)),
            yticklabels=names,
        )
        axis.margins(x=0.08)
        low, high = axis.get_xlim()
        axis.set_xlim(max(low, -0.03), min(high, 1.03))
        axis.grid(axis="y", color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    mark = {"marker": "o", "linestyle": "", "color": "black", "markerfacecoloralt": "white"}
    handles = [Line2D([], [], fillstyle=fill, label=name, **mark) for name, fill in FILLS.items()]
    handles.append(plt.Rectangle((0, 0), 1, 1, label="95 % interval of learned", **band))
    if table.chance.notna().any():
        handles.append(Line2D([], [], label=GUESSING, **dotted))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8
    )
    return figure


def _fill(verdict: str) -> str:
    if verdict in ("higher", "lower", ""):
        return "full"
    return "left" if "perhaps" in verdict else "none"


def _selector_look(name: str) -> tuple[str, str]:
    """(colour, marker)."""
    if name == LEARNED:
        return BLUE, "s"
    return (ORANGE, "D") if name in (ORACLE, EITHER) else ("black", "o")


def selection_shares(table: pd.DataFrame) -> Figure:
    """Objective accuracy against the share u of unaligned askers, from `selection.by_share`.

    Left each selector, named at its line: blue the learned choice, orange persona-blind rules,
    black rules that read the persona, dotted what no rule can have. Right the lead of the learned
    choice over the best rules, with 95 % intervals; names say which rule is best there.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 5.2), layout="constrained", width_ratios=(1.25, 1)
    )
    _selector_lines(left, table)
    for group, (colour, dash) in LEADS.items():
        _lead(right, table[table.selector == group], group, colour, dash)
    right.axhline(0, color="black", linewidth=0.8)
    left.set(ylabel="accuracy on objective questions, mean of benchmarks")
    right.set(ylabel="lead of the learned choice (points)")
    axis_legend(right, ncols=2, title="learned minus", title_fontsize=8)
    for axis in (left, right):
        axis.set(xlabel="share u of unaligned askers", xlim=(0, 1))
        axis.grid(color="0.92", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _selector_lines(axis: Axes, table: pd.DataFrame):
    """The accuracy of each selector, with its name at the right end of its line."""
    ends = {}
    for name, rows in table[~table.selector.isin(UNDRAWN)].groupby("selector", sort=False):
        colour, dash, width = _share_look(name)
        front = 3 if name == LEARNED else 2
        look = {"color": colour, "linestyle": dash, "linewidth": width, "zorder": front}
        axis.plot(rows.share, rows["mean"], **look)
        ends[name] = rows["mean"].iloc[-1]
    low, high = axis.get_ylim()
    for name, y in _apart(ends, 0.04 * (high - low)).items():
        colour, *_ = _share_look(name)
        axis.annotate(
            name,
            (1, ends[name]),
            (1.04, y),
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "relpos": (0, 0.5)},
            fontweight="bold" if name == LEARNED else "normal",
        )


def _lead(axis: Axes, rows: pd.DataFrame, group: str, colour: str, dash: str):
    """The lead over the best rule of one group, with the names of the rules that are best."""
    axis.plot(rows.share, 100 * rows.lead, color=colour, linestyle=dash, linewidth=2, label=group)
    low, high = 100 * rows.lead_ci_low, 100 * rows.lead_ci_high
    axis.fill_between(rows.share, low, high, color=colour, alpha=0.15, linewidth=0)
    for _, stretch in rows.groupby((rows.rule != rows.rule.shift()).cumsum()):
        if len(stretch) >= len(rows) / 12:  # shorter ones have no room for a name
            middle = stretch.iloc[len(stretch) // 2]
            axis.annotate(
                middle.rule,
                (middle.share, 100 * middle.lead),
                (0, 14 if group == BEST_BLIND else -16),
                textcoords="offset points",
                fontsize=8,
                ha="center",
                bbox={"facecolor": "white", "edgecolor": colour, "pad": 1.5},
            )


def _share_look(name: str) -> tuple[str, str, float]:
    """(colour, dash, width)."""
    if name == LEARNED:
        return BLUE, "-", 3.5
    if name in (ORACLE, TOLD):
        return GREEN, ":", 1.6
    if name in BLIND:
        return ORANGE, DASHES[BLIND.index(name)], 1.4
    return "black", DASHES[(*FIXED, name).index(name) % len(DASHES)], 1.2


def _apart(heights: dict[str, float], gap: float) -> dict[str, float]:
    """Heights for labels, in the same order and at least `gap` apart.

    They stay as near to `heights` as pushing neighbours up and down makes them.
    """
    order = sorted(heights, key=heights.get)
    placed = {name: heights[name] for name in order}
    for _ in range(200):
        moved = False
        for lower, upper in pairwise(order):
            short = gap - (placed[upper] - placed[lower])
            if short > 1e-9:
                placed[lower] -= short / 2
                placed[upper] += short / 2
                moved = True
        if not moved:
            break
    return placed

"""Wrong answers by cause, wrong choices, a threshold, and what P(personalised) is worth.

From the tables of `analysis.selection`.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.analysis import stats
from pdlib.analysis.selection import ERRORS, LEARNED, TOGETHER
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE, axis_legend

LOOK = {  # block -> colour, marker, dash
    "objective none": (GREY, "v", ":"),
    "objective unaligned": (ORANGE, "s", "-."),
    "objective aligned": (BLUE, "o", "-"),
    "personalised": (GREEN, "^", "--"),
    stats.MEAN: ("black", "D", "-"),
    TOGETHER: ("black", "D", "-"),
}
CAUSES = dict(
    zip(ERRORS, ((ORANGE, ""), ("white", ""), ("white", "///"), (GREY, "xx")), strict=True)
)
RIGHT_MODES = {"general": (BLUE, "o"), "personalised": (ORANGE, "s"), "all": ("black", "D")}


def selection_errors(causes: pd.DataFrame, known: pd.DataFrame) -> Figure:
    """Left wrong answers by cause, right wrong choices where the right mode is known.

    From `selection.errors` and `selection.selection_errors`, by kind of question and persona, with
    95 % intervals.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10.5, 3.9), layout="constrained", width_ratios=(1.1, 1)
    )
    _wrong_answers(left, causes)
    _wrong_choices(right, known)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _wrong_answers(axis: Axes, causes: pd.DataFrame):
    """One bar per block, stacked by cause."""
    blocks = list(causes.block.unique())[::-1]
    y, start = range(len(blocks)), pd.Series(0.0, blocks)
    for name, (colour, hatch) in CAUSES.items():
        rows = causes[causes.error == name].set_index("block").loc[blocks]
        if not rows.rate.any():
            continue
        look = {"color": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.6}
        axis.barh(y, 100 * rows.rate, left=start, height=0.6, label=name, **look)
        if name == ERRORS[0]:
            low, high = 100 * rows.rate_ci_low, 100 * rows.rate_ci_high
            axis.hlines(y, low, high, color="black", linewidth=2)
        start = 100 * rows.rate + start
    axis.set(
        xlabel="wrong answers, % of all (line: 95 % interval of wrong mode)",
        xlim=(0, 1.03 * start.max() or 1),
        yticks=y,
        yticklabels=blocks,
    )
    axis_legend(axis, ncols=2)


def _wrong_choices(axis: Axes, known: pd.DataFrame):
    """One row per block, one mark per right mode, and how many items there are."""
    blocks = list(known.block.unique())[::-1]
    for k, (mode, (colour, marker)) in enumerate(RIGHT_MODES.items()):
        rows = known[known.right_mode == mode].set_index("block").loc[blocks]
        heights = [y + 0.24 * (1 - k) for y in range(len(blocks))]
        axis.hlines(heights, 100 * rows.ci_low, 100 * rows.ci_high, color=colour, linewidth=1.5)
        axis.plot(100 * rows["mean"], heights, marker, color=colour, markersize=5, label=mode)
        for y, n in zip(heights, rows.n, strict=True):
            axis.text(107, y, f"n = {n}", va="center", fontsize=7)
    axis.set(
        xlabel="answers in the wrong mode, % (95 % intervals)",
        xlim=(-4, 105),
        yticks=range(len(blocks)),
        yticklabels=blocks,
    )
    axis_legend(axis, ncols=3, title="right mode, where known", title_fontsize=8)


def tradeoff(table: pd.DataFrame) -> Figure:
    """Left accuracy against a threshold on P(personalised), right what it costs and what it gains.

    From `selection.tradeoff`. Right, accuracy under aligned personas against accuracy under
    unaligned ones, along all thresholds, with the learned choice as a star.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
    swept = table[table.threshold.between(0, 1)]
    inner = swept[swept.threshold.between(0, 1, inclusive="neither")]
    for block, rows in inner.groupby("block", sort=False):
        colour, marker, dash = LOOK[block]
        look = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 4}
        left.plot(rows.threshold, rows["mean"], label=block, **look)
        left.fill_between(
            rows.threshold, rows.ci_low, rows.ci_high, color=colour, alpha=0.12, linewidth=0
        )
    left.set_xscale("logit")
    left.minorticks_off()
    left.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    left.set(
        xlabel="threshold: personalised where P is above", ylabel="accuracy, mean of benchmarks"
    )
    by_threshold = swept.pivot(index="threshold", columns="block", values="mean")
    x, y = by_threshold["objective unaligned"], by_threshold["objective aligned"]
    right.plot(x, y, color="black", marker=".", linewidth=1, label="threshold, 0 to 1")
    for level, name, marker in (
        (0.0, "always personalised", "s"),
        (1.0, "always general", "o"),
        (0.5, "threshold 0.5", "D"),
    ):
        if level in x.index:
            look = {"color": ORANGE, "markeredgecolor": "black", "markersize": 8}
            right.plot(x[level], y[level], marker, linestyle="", label=name, **look)
    learned = table[table.mark == LEARNED].set_index("block")
    across, up = learned.loc["objective unaligned"], learned.loc["objective aligned"]
    right.errorbar(
        across["mean"],
        up["mean"],
        xerr=[[across["mean"] - across.ci_low], [across.ci_high - across["mean"]]],
        yerr=[[up["mean"] - up.ci_low], [up.ci_high - up["mean"]]],
        fmt="*",
        color=BLUE,
        markersize=13,
        capsize=3,
        label=LEARNED,
    )
    right.set(xlabel="accuracy, objective unaligned", ylabel="accuracy, objective aligned")
    for axis in (left, right):
        axis_legend(axis, ncols=3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def calibration(table: pd.DataFrame) -> Figure:
    """What the personalised mode is worth on questions of similar P(personalised).

    From `selection.calibration`, by kind of question and persona; larger marks have more items.
    """
    blocks = [block for block in table.block.unique() if block != TOGETHER]
    figure, axes = plt.subplots(
        1,
        len(blocks),
        figsize=(2.6 * len(blocks), 2.9),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, block in zip(axes[0], blocks, strict=True):
        bins, (colour, marker, _) = table[table.block == block], LOOK[block]
        axis.vlines(bins.p, bins.ci_low, bins.ci_high, color=colour, linewidth=1.5)
        axis.scatter(
            bins.p,
            bins["mean"],
            15 + 0.25 * bins.n,
            color=colour,
            marker=marker,
            edgecolor="black",
            linewidth=0.6,
            zorder=3,
        )
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(title=block, xlabel="P(personalised), mean of bin", xlim=(-0.05, 1.05))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("accuracy, forced personalised\nminus forced general")
    return figure

"""What the widgets draw: typed rewards, one step of a training run, one threshold of the sweep."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdlib.analysis.selection import LEARNED
from pdlib.plots.mistakes import LOOK
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE, axis_legend, interval_dot

PUSHED = LinearSegmentedColormap.from_list("pushed", [ORANGE, "white", BLUE])
MODES = {"general": (BLUE, "o"), "personalized": (ORANGE, "s"), "none": (GREY, "v")}
CHANCES = {
    "P(personalised) aligned": (BLUE, "-"),
    "P(personalised) unaligned": (ORANGE, "--"),
    "P(personalised) personalized": (GREEN, ":"),
}


def advantages_by_hand(rewards: np.ndarray, table: pd.DataFrame) -> Figure:
    """Above the rewards that were typed, below what each estimator makes of them.

    From `by_hand.compare`: blue pushes up, orange pushes down, as strongly as in the largest of its
    row, since estimators differ in size.

    rewards: (2, n), missing where nothing was typed.
    """
    n, values = rewards.shape[1], table.to_numpy(float)
    largest = np.nan_to_num(np.abs(values)).max(1, keepdims=True)
    general, personalised = pd.DataFrame(rewards).mean(axis=1)
    typed = np.array([[*rewards.flatten(), general - personalised]])  # (1, 2n + 1)
    figure, (top, bottom) = plt.subplots(
        2,
        1,
        figsize=(3 + 0.8 * values.shape[1], 1.5 + 0.3 * len(table)),
        layout="constrained",
        height_ratios=[1, len(table)],
    )
    top.imshow(np.zeros_like(typed), cmap="Greys", vmin=-1, vmax=6, aspect="auto")
    shade = values / np.where(largest > 1e-9, largest, 1)
    bottom.imshow(shade, cmap=PUSHED, vmin=-1.4, vmax=1.4, aspect="auto")
    for axis, numbers, form in ((top, typed, "{:g}"), (bottom, values, "{:+.3g}")):
        for y, x in np.ndindex(numbers.shape):
            text = _shown(numbers[y, x], form)
            axis.text(x, y, text, ha="center", va="center", fontsize=8, color="black")
        for x, width in ((n, 1), (2 * n, 2)):
            axis.axvline(x - 0.5, color="black", linewidth=width)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    top.set(xticks=[], yticks=[0], yticklabels=["rewards"])
    bottom.set_yticks(range(len(table)), table.index)
    names = [f"{mode}\n{i + 1}" for mode in ("general", "personalised") for i in range(n)]
    bottom.set_xticks(range(2 * n + 1), [*names, "general −\npersonalised"], fontsize=8)
    return figure


def _shown(value: float, form: str) -> str:
    """A number in a cell: a dash where it is missing, no sign on a zero."""
    if np.isnan(value):
        return "–"
    return "0" if abs(value) < 1e-6 else form.format(round(value, 3))


def replay(
    log: pd.DataFrame, step: int, means: pd.DataFrame, question: int | None = None
) -> Figure:
    """A training run with one step marked: reward or loss, P(personalised), rewards by question.

    P(personalised) is that of validation questions. Each question's mean reward by mode
    (`browse.by_question`) is that of the marked step, sorted by the difference, with the chosen
    question marked. Panels without values are left out.
    """
    chances = [name for name in CHANCES if name in log]
    panels = ["curve"] + ["chance"] * bool(chances) + ["questions"] * bool(len(means))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1 + 3.4 * len(panels), 3.1), layout="constrained", squeeze=False
    )
    by_panel = dict(zip(panels, axes[0], strict=True))
    _curves(by_panel["curve"], log)
    for name in chances:
        colour, dash = CHANCES[name]
        label = name.removeprefix("P(personalised) ")
        by_panel["chance"].plot(log.step, log[name], color=colour, linestyle=dash, label=label)
    if chances:
        by_panel["chance"].set(xlabel="step", ylabel="P(personalised)", ylim=(-0.03, 1.03))
    for panel in ("curve", "chance"):
        if panel in by_panel:
            by_panel[panel].axvline(step, color="black", linewidth=1)
            axis_legend(by_panel[panel], ncols=2)
    if len(means):
        _questions(by_panel["questions"], means, question)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _curves(axis: Axes, log: pd.DataFrame):
    """The reward by mode where it was logged so, else the reward or the loss."""
    curve = "reward" if "reward" in log else "loss"
    modes = [mode for mode in ("general", "personalized") if f"reward/{mode}" in log]
    for mode in modes:
        smooth = log[f"reward/{mode}"].rolling(5, min_periods=1).mean()
        dash = "-" if mode == "general" else "--"
        label = f"{mode}, mean of 5"
        axis.plot(log.step, smooth, color=MODES[mode][0], linestyle=dash, label=label)
    if not modes:
        smooth = log[curve].rolling(5, min_periods=1).mean()
        axis.plot(log.step, smooth, color=BLUE, label="mean of 5")
    axis.set(xlabel="step", ylabel=curve)


def _questions(axis: Axes, means: pd.DataFrame, question: int | None):
    """One row per question, one mark per mode; both modes are joined by a line."""
    rows = range(len(means))
    if {"general", "personalized"} <= set(means):
        gap = (means.general - means.personalized).sort_values(kind="stable")
        means = means.loc[gap.index]
        axis.hlines(rows, means.general, means.personalized, color=GREY, linewidth=1)
    for mode in means:
        colour, marker = MODES[mode]
        label = "no tag" if mode == "none" else mode
        axis.plot(means[mode], rows, marker, color=colour, markersize=5, label=label)
    if question in means.index:
        y = means.index.get_loc(question)
        axis.axhspan(y - 0.45, y + 0.45, color="black", alpha=0.12, linewidth=0)
    axis.set(xlabel="mean reward at this step", ylabel="question", yticks=rows, xlim=(-0.05, 1.08))
    axis.set_yticklabels(means.index, fontsize=7)
    axis_legend(axis, ncols=3)


def at_threshold(curve: pd.DataFrame, threshold: float) -> Figure:
    """Left accuracy over the thresholds of `selection.tradeoff`, with one of them marked.

    Right the accuracy of each block at this threshold (filled) and by the learned choice (open),
    with 95 % intervals and the share of personalised answers in per cent.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 3.4), layout="constrained", width_ratios=(1.15, 1)
    )
    swept = curve[curve.threshold.notna()]
    levels = sorted(swept.threshold.unique())
    chosen = swept[swept.threshold == threshold].set_index("block")
    learned = curve[curve.mark == LEARNED].set_index("block")
    for block in chosen.index:
        colour, marker, dash = LOOK[block]
        means = swept[swept.block == block].set_index("threshold")["mean"].reindex(levels)
        look = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 3}
        left.plot(range(len(levels)), means, label=block, **look)
    left.axvline(levels.index(threshold), color="black", linewidth=1)
    left.set_xticks(range(len(levels)), [f"{level:g}" for level in levels], rotation=60, fontsize=7)
    left.set(xlabel="threshold: personalised where P is above", ylabel="accuracy")
    axis_legend(left, ncols=3, fontsize=7)

    blocks = list(chosen.index)[::-1]
    beside = {"transform": right.get_yaxis_transform(), "fontsize": 7}
    for k, block in enumerate(blocks):
        colour, marker, _ = LOOK[block]
        for y, row, fill in (
            (k + 0.13, chosen.loc[block], "full"),
            (k - 0.13, learned.loc[block], "none"),
        ):
            interval_dot(right, y, row, colour, marker, fill)
            right.text(1.01, y, f"{100 * row.share:.0f} %", va="center", **beside)
    right.set(xlabel=f"accuracy at {threshold:g}", yticks=range(len(blocks)), yticklabels=blocks)
    right.text(1.01, len(blocks) - 0.45, "personalised", **beside)
    handles = [
        Line2D([], [], marker="o", color="black", linestyle="", fillstyle=fill, label=label)
        for fill, label in (("full", "this threshold"), ("none", "learned"))
    ]
    axis_legend(right, ncols=2, handles=handles, bbox_to_anchor=(0.5, 1.02))
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure

"""What the widgets draw: estimators on typed rewards, a training run at one step, a threshold in
the sweep.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdlib.analysis.selection import LEARNED
from pdlib.plots.selection import LOOK
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE

PUSHED = LinearSegmentedColormap.from_list("pushed", [ORANGE, "white", BLUE])
MODES = {"general": (BLUE, "o"), "personalized": (ORANGE, "s"), "none": (GREY, "v")}
CHANCES = {
    "P(personalised) aligned": (BLUE, "-"),
    "P(personalised) unaligned": (ORANGE, "--"),
    "P(personalised) personalized": (GREEN, ":"),
}


def advantages_by_hand(rewards: np.ndarray, table: pd.DataFrame) -> Figure:
    """Above the rewards (2, n) that were typed; below what each estimator makes of them
    (`by_hand.compare`): blue up, orange down, as strong as in the largest of its row, since
    estimators differ in size.
    """
    n, values = rewards.shape[1], table.to_numpy(float)
    largest = np.nan_to_num(np.abs(values)).max(1, keepdims=True)
    means = [
        float(np.mean(row[np.isfinite(row)])) if np.isfinite(row).any() else np.nan
        for row in rewards
    ]
    typed = np.array([[*rewards.flatten(), means[0] - means[1]]])
    figure, (top, axis) = plt.subplots(
        2,
        1,
        figsize=(3 + 0.8 * values.shape[1], 1.5 + 0.3 * len(table)),
        layout="constrained",
        height_ratios=[1, len(table)],
    )
    top.imshow(np.zeros_like(typed), cmap="Greys", vmin=-1, vmax=6, aspect="auto")
    axis.imshow(
        values / np.where(largest > 1e-9, largest, 1),
        cmap=PUSHED,
        vmin=-1.4,
        vmax=1.4,
        aspect="auto",
    )
    for part, numbers, form in ((top, typed, "{:g}"), (axis, values, "{:+.3g}")):
        for y, x in np.ndindex(numbers.shape):
            value = numbers[y, x]
            text = (
                "–"
                if np.isnan(value)
                else "0"
                if abs(value) < 1e-6
                else form.format(round(value, 3))
            )
            part.text(x, y, text, ha="center", va="center", fontsize=8, color="black")
        for x, width in ((n, 1), (2 * n, 2)):
            part.axvline(x - 0.5, color="black", linewidth=width)
        part.spines[:].set_visible(False)
        part.tick_params(length=0)
    top.set(xticks=[], yticks=[0], yticklabels=["rewards"])
    axis.set_yticks(range(len(table)), table.index)
    names = [f"{mode}\n{i + 1}" for mode in ("general", "personalised") for i in range(n)]
    axis.set_xticks(range(2 * n + 1), [*names, "general −\npersonalised"], fontsize=8)
    return figure


def replay(
    log: pd.DataFrame, step: int, means: pd.DataFrame, question: int | None = None
) -> Figure:
    """A run with `step` marked: the reward (or loss), P(personalised) on validation questions, and
    at that step each question's mean reward by mode (`browse.by_question`, sorted by the
    difference; `question` is marked). Panels without values are left out.
    """
    chances = [name for name in CHANCES if name in log]
    panels = ["curve", *(["chance"] if chances else []), *(["questions"] if len(means) else [])]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1 + 3.4 * len(panels), 3.1), layout="constrained", squeeze=False
    )
    axis = dict(zip(panels, axes[0]))
    curve = "reward" if "reward" in log else "loss"
    by_mode = [name for name in ("general", "personalized") if f"reward/{name}" in log]
    for name in by_mode:
        axis["curve"].plot(
            log.step,
            log[f"reward/{name}"].rolling(5, min_periods=1).mean(),
            color=MODES[name][0],
            linestyle="-" if name == "general" else "--",
            label=f"{name}, mean of 5",
        )
    if not by_mode:
        axis["curve"].plot(
            log.step, log[curve].rolling(5, min_periods=1).mean(), color=BLUE, label="mean of 5"
        )
    axis["curve"].set(xlabel="step", ylabel=curve)
    for name in chances:
        colour, dash = CHANCES[name]
        axis["chance"].plot(
            log.step,
            log[name],
            color=colour,
            linestyle=dash,
            label=name.removeprefix("P(personalised) "),
        )
    if chances:
        axis["chance"].set(xlabel="step", ylabel="P(personalised)", ylim=(-0.03, 1.03))
    for name in ("curve", *(["chance"] if chances else [])):
        axis[name].axvline(step, color="black", linewidth=1)
        axis[name].legend(
            frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2
        )
    if len(means):
        _questions(axis["questions"], means, question)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
    return figure


def _questions(axis, means: pd.DataFrame, question: int | None):
    both = {"general", "personalized"} <= set(means)
    ordered = (
        means.loc[(means.general - means.personalized).sort_values(kind="stable").index]
        if both
        else means
    )
    if both:
        axis.hlines(
            range(len(ordered)), ordered.general, ordered.personalized, color=GREY, linewidth=1
        )
    for name in ordered:
        colour, marker = MODES[name]
        axis.plot(
            ordered[name],
            range(len(ordered)),
            marker,
            color=colour,
            markersize=5,
            label="no tag" if name == "none" else name,
        )
    if question in ordered.index:
        axis.axhspan(
            ordered.index.get_loc(question) - 0.45,
            ordered.index.get_loc(question) + 0.45,
            color="black",
            alpha=0.12,
            linewidth=0,
        )
    axis.set(
        xlabel="mean reward at this step",
        ylabel="question",
        yticks=range(len(ordered)),
        xlim=(-0.05, 1.08),
    )
    axis.set_yticklabels(ordered.index, fontsize=7)
    axis.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def at_threshold(curve: pd.DataFrame, threshold: float) -> Figure:
    """Left accuracy over the thresholds (`selection.tradeoff`) with this one marked; right each
    block here (filled) and by the learned choice (open), with 95 % intervals, and the share of
    personalised answers in %.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 3.4), layout="constrained", width_ratios=(1.15, 1)
    )
    swept, learned = curve[curve.threshold.notna()], curve[curve.mark == LEARNED].set_index("block")
    levels = sorted(swept.threshold.unique())
    here = swept[swept.threshold == threshold].set_index("block")
    blocks = list(here.index)[::-1]
    for block in blocks[::-1]:
        colour, marker, dash = LOOK[block]
        part = swept[swept.block == block].set_index("threshold")["mean"].reindex(levels)
        left.plot(
            range(len(levels)),
            part,
            color=colour,
            linestyle=dash,
            marker=marker,
            markersize=3,
            label=block,
        )
    left.axvline(levels.index(threshold), color="black", linewidth=1)
    left.set_xticks(range(len(levels)), [f"{level:g}" for level in levels], rotation=60, fontsize=7)
    left.set(xlabel="threshold: personalised where P is above", ylabel="accuracy")
    left.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    for y, block in enumerate(blocks):
        colour, marker, _ = LOOK[block]
        for at, row, fill in (
            (y + 0.13, here.loc[block], "full"),
            (y - 0.13, learned.loc[block], "none"),
        ):
            right.hlines(at, row.ci_low, row.ci_high, color=colour, linewidth=1.5)
            right.plot(row["mean"], at, marker, color="white", markersize=6)
            right.plot(row["mean"], at, marker, color=colour, fillstyle=fill, markersize=6)
            right.text(
                1.01,
                at,
                f"{100 * row.share:.0f} %",
                transform=right.get_yaxis_transform(),
                fontsize=7,
                va="center",
            )
    right.set(xlabel=f"accuracy at {threshold:g}", yticks=range(len(blocks)), yticklabels=blocks)
    right.text(
        1.01, len(blocks) - 0.45, "personalised", transform=right.get_yaxis_transform(), fontsize=7
    )
    handles = [
        Line2D([], [], marker="o", color="black", linestyle="", fillstyle=fill, label=label)
        for fill, label in (("full", "this threshold"), ("none", "learned"))
    ]
    right.legend(
        handles=handles,
        frameon=False,
        fontsize=8,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.02),
        ncols=2,
    )
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure

"""Does selection pay: ways to choose the mode, shares of askers, errors by cause, a threshold; from
the tables of analysis.selection.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdlib.analysis import stats
from pdlib.analysis.selection import (
    BEST_BLIND,
    BEST_FIXED,
    BEST_TOLD,
    BLIND,
    EITHER,
    ERRORS,
    FIXED,
    GROUPS,
    LEARNED,
    ORACLE,
    RANDOM,
    RANDOM_WITHIN,
    TOGETHER,
    TOLD,
)
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE

LOOK = {
    "objective none": (GREY, "v", ":"),
    "objective unaligned": (ORANGE, "s", "-."),
    "objective aligned": (BLUE, "o", "-"),
    "personalised": (GREEN, "^", "--"),
    stats.MEAN: ("black", "D", "-"),
    TOGETHER: ("black", "D", "-"),
}
CAUSES = dict(zip(ERRORS, ((ORANGE, ""), ("white", ""), ("white", "///"), (GREY, "xx"))))
LEADS = {BEST_BLIND: (ORANGE, "-"), BEST_FIXED: ("black", "--")}
RIGHT_MODES = {"general": (BLUE, "o"), "personalised": (ORANGE, "s"), "all": ("black", "D")}


def selectors(table: pd.DataFrame) -> Figure:
    """Accuracy of each way to choose, from `selection.value`: filled where it differs from the
    learned choice, half where it perhaps does, open where no difference is shown; dotted the
    accuracy of guessing; selectors that are missing are left out.
    """
    blocks, names = (
        list(table.block.unique()),
        list(table.dropna(subset="mean").selector.unique())[::-1],
    )
    figure, axes = plt.subplots(
        1,
        len(blocks),
        figsize=(2.2 * len(blocks) + 1, 1.4 + 0.29 * len(names)),
        layout="constrained",
        sharey=True,
    )
    for axis, block in zip(axes, blocks):
        part = table[table.block == block].set_index("selector").loc[names]
        axis.axvspan(
            part.ci_low[LEARNED], part.ci_high[LEARNED], color=BLUE, alpha=0.15, linewidth=0
        )
        for y, (name, row) in enumerate(part.iterrows()):
            colour, marker = _selector_look(name)
            fill = (
                "full"
                if row.verdict in ("higher", "lower", "")
                else "left"
                if "perhaps" in row.verdict
                else "none"
            )
            axis.hlines(y, row.ci_low, row.ci_high, color=colour, linewidth=1.5)
            axis.plot(
                row["mean"], y, marker, color="white", markersize=6
            )  # the interval does not show through
            axis.plot(
                row["mean"],
                y,
                marker,
                color=colour,
                fillstyle=fill,
                markerfacecoloralt="white",
                markersize=6,
            )
        if part.chance.notna().any():
            axis.axvline(part.chance.iloc[0], color="black", linewidth=1, linestyle=":")
        axis.set(
            title=block.replace(" of the ", " of\nthe "),
            xlabel="accuracy",
            yticks=range(len(names)),
            yticklabels=names,
        )
        axis.margins(x=0.08)
        axis.set_xlim(max(axis.get_xlim()[0], -0.03), min(axis.get_xlim()[1], 1.03))
        axis.grid(axis="y", color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    shown = {
        "differs from learned (all comparisons together)": "full",
        "perhaps (this comparison alone)": "left",
        "no difference shown": "none",
    }
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            color="black",
            fillstyle=fill,
            markerfacecoloralt="white",
            label=label,
        )
        for label, fill in shown.items()
    ]
    handles.append(
        plt.Rectangle(
            (0, 0), 1, 1, color=BLUE, alpha=0.15, linewidth=0, label="95 % interval of learned"
        )
    )
    if table.chance.notna().any():
        handles.append(Line2D([], [], color="black", linewidth=1, linestyle=":", label="guessing"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8
    )
    return figure


def selection_shares(table: pd.DataFrame) -> Figure:
    """Objective accuracy against the share u of unaligned askers, from `selection.by_share`. Left
    each selector, labelled at its line: blue the learned choice, orange persona-blind rules, black
    rules that read the persona, dotted what no rule can have. Right the lead of the learned choice
    over the best rules, with 95 % intervals; names say which rule is best there.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 5.2), layout="constrained", width_ratios=(1.25, 1)
    )
    left_out = (RANDOM, RANDOM_WITHIN, BEST_TOLD, EITHER, *GROUPS)
    lines = {
        name: part for name, part in table.groupby("selector", sort=False) if name not in left_out
    }
    for name, part in lines.items():
        colour, dash, width = _share_look(name)
        left.plot(
            part.share,
            part["mean"],
            color=colour,
            linestyle=dash,
            linewidth=width,
            zorder=3 if name == LEARNED else 2,
        )
    ends = {name: part["mean"].iloc[-1] for name, part in lines.items()}
    low, high = left.get_ylim()
    for name, at in _apart(ends, 0.04 * (high - low)).items():
        colour, *_ = _share_look(name)
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "relpos": (0, 0.5)}
        left.annotate(
            name,
            (1, ends[name]),
            (1.04, at),
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops=arrow,
            fontweight="bold" if name == LEARNED else "normal",
        )
    left.set(
        xlabel="share u of unaligned askers",
        ylabel="accuracy on objective questions, mean of benchmarks",
        xlim=(0, 1),
    )
    for group, (colour, dash) in LEADS.items():
        part = table[table.selector == group]
        right.plot(
            part.share, 100 * part.lead, color=colour, linestyle=dash, linewidth=2, label=group
        )
        right.fill_between(
            part.share,
            100 * part.lead_ci_low,
            100 * part.lead_ci_high,
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
        for _, stretch in part.groupby((part.rule != part.rule.shift()).cumsum()):
            if len(stretch) >= len(part) / 12:  # shorter ones have no room for a name
                middle = stretch.iloc[len(stretch) // 2]
                box = {"facecolor": "white", "edgecolor": colour, "pad": 1.5}
                right.annotate(
                    middle.rule,
                    (middle.share, 100 * middle.lead),
                    (0, 14 if group == BEST_BLIND else -16),
                    textcoords="offset points",
                    fontsize=8,
                    ha="center",
                    bbox=box,
                )
    right.axhline(0, color="black", linewidth=0.8)
    right.set(
        xlabel="share u of unaligned askers",
        ylabel="lead of the learned choice (points)",
        xlim=(0, 1),
    )
    right.legend(
        frameon=False,
        fontsize=8,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
        title="learned minus",
        title_fontsize=8,
    )
    for axis in (left, right):
        axis.grid(color="0.92", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _share_look(name: str) -> tuple[str, str, float]:
    """(colour, dash, width)"""
    if name == LEARNED:
        return BLUE, "-", 3.5
    if name in (ORACLE, TOLD):
        return GREEN, ":", 1.6
    dashes = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
    return (
        (ORANGE, dashes[BLIND.index(name)], 1.4)
        if name in BLIND
        else ("black", dashes[(*FIXED, name).index(name) % 5], 1.2)
    )


def _apart(heights: dict[str, float], gap: float) -> dict[str, float]:
    """Heights for labels, in the same order, at least `gap` apart, and as near to `heights` as
    pushing up and down makes them.
    """
    order = sorted(heights, key=heights.get)
    placed = {name: heights[name] for name in order}
    for _ in range(200):
        moved = False
        for one, two in zip(order, order[1:]):
            short = gap - (placed[two] - placed[one])
            if short > 1e-9:
                placed[one], placed[two], moved = (
                    placed[one] - short / 2,
                    placed[two] + short / 2,
                    True,
                )
        if not moved:
            break
    return placed


def _selector_look(name: str) -> tuple[str, str]:
    return (
        (BLUE, "s")
        if name == LEARNED
        else (ORANGE, "D")
        if name in (ORACLE, EITHER)
        else ("black", "o")
    )


def selection_errors(causes: pd.DataFrame, known: pd.DataFrame) -> Figure:
    """Left wrong answers by cause, from `selection.errors`; right wrong choices where the right
    mode is known, from `selection_errors`.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10.5, 3.9), layout="constrained", width_ratios=(1.1, 1)
    )
    blocks = list(causes.block.unique())[::-1]
    start = pd.Series(0.0, blocks)
    for name, (colour, hatch) in CAUSES.items():
        part = causes[causes.error == name].set_index("block").loc[blocks]
        if not part.rate.any():
            continue
        left.barh(
            range(len(blocks)),
            100 * part.rate,
            left=start,
            height=0.6,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.6,
            label=name,
        )
        if name == ERRORS[0]:
            left.hlines(
                range(len(blocks)),
                100 * part.rate_ci_low,
                100 * part.rate_ci_high,
                color="black",
                linewidth=2,
            )
        start = 100 * part.rate + start
    left.set(
        xlabel="wrong answers, % of all (line: 95 % interval of wrong mode)",
        xlim=(0, 1.03 * start.max() or 1),
        yticks=range(len(blocks)),
        yticklabels=blocks,
    )
    left.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    blocks = list(known.block.unique())[::-1]
    for k, (name, (colour, marker)) in enumerate(RIGHT_MODES.items()):
        part = known[known.right_mode == name].set_index("block").loc[blocks]
        places = [y + 0.24 * (1 - k) for y in range(len(blocks))]
        right.hlines(places, 100 * part.ci_low, 100 * part.ci_high, color=colour, linewidth=1.5)
        right.plot(100 * part["mean"], places, marker, color=colour, markersize=5, label=name)
        for y, n in zip(places, part.n):
            right.text(107, y, f"n = {n}", va="center", fontsize=7)
    right.set(
        xlabel="answers in the wrong mode, % (95 % intervals)",
        xlim=(-4, 105),
        yticks=range(len(blocks)),
        yticklabels=blocks,
    )
    right.legend(
        frameon=False,
        fontsize=8,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=3,
        title="right mode, where known",
        title_fontsize=8,
    )
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def tradeoff(table: pd.DataFrame) -> Figure:
    """A threshold on P(personalised) swept, from `selection.tradeoff`: accuracy against it; what it
    costs against what it gains.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
    swept, learned = (
        table[table.threshold.between(0, 1)],
        table[table.mark == LEARNED].set_index("block"),
    )
    for block, part in swept[swept.threshold.between(0, 1, inclusive="neither")].groupby(
        "block", sort=False
    ):
        colour, marker, dash = LOOK[block]
        left.plot(
            part.threshold,
            part["mean"],
            color=colour,
            marker=marker,
            linestyle=dash,
            markersize=4,
            label=block,
        )
        left.fill_between(
            part.threshold, part.ci_low, part.ci_high, color=colour, alpha=0.12, linewidth=0
        )
    left.set_xscale("logit")
    left.minorticks_off()
    left.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    left.set(
        xlabel="threshold: personalised where P is above", ylabel="accuracy, mean of benchmarks"
    )
    left.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    x, y = (
        swept[swept.block == block].set_index("threshold")["mean"]
        for block in ("objective unaligned", "objective aligned")
    )
    right.plot(x, y, color="black", marker=".", linewidth=1, label="threshold, 0 to 1")
    for level, name, marker in (
        (0.0, "always personalised", "s"),
        (1.0, "always general", "o"),
        (0.5, "threshold 0.5", "D"),
    ):
        if level in x.index:
            right.plot(
                x[level],
                y[level],
                marker,
                color=ORANGE,
                markeredgecolor="black",
                markersize=8,
                linestyle="",
                label=name,
            )
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
    right.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def calibration(table: pd.DataFrame) -> Figure:
    """What the personalised mode is worth on questions of like P(personalised), from
    `selection.calibration`; larger marks: more items.
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
    for axis, block in zip(axes[0], blocks):
        part, (colour, marker, _) = table[table.block == block], LOOK[block]
        axis.vlines(part.p, part.ci_low, part.ci_high, color=colour, linewidth=1.5)
        axis.scatter(
            part.p,
            part["mean"],
            15 + 0.25 * part.n,
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

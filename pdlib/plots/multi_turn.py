"""Dialogues: how often the mode shifts, as they grow, and with the first turn's tag changed."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from pdlib.analysis.multi_turn import NAMES, ORDERS
from pdlib.plots.style import LINES, figure_legend, percent_arms, percent_line, series_names

TITLES = {benchmark: title for title, benchmark in NAMES.items()}
KINDS = {"objective": "objective", "personalized": "personal"}
TAGS = {"general": "[General]", "none": "removed", "personalized": "[Personalized]"}
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "--")
LOOKS = (  # colour, dash, marker: any one tells them apart
    (LINES[0], "-", "o"),
    (LINES[1], "--", "s"),
    (LINES[2], ":", "^"),
)


def deviations(table: pd.DataFrame) -> Figure:
    """Table 3: share of mode shifts by benchmark and model, from `multi_turn.deviations`.

    Bars have 95 % intervals. The short line is what two answers alone differ by, the cross is the
    paper's share.
    """
    table = table.assign(series=series_names(table))
    names, series = list(dict.fromkeys(table.benchmark)), list(dict.fromkeys(table.series))
    places = np.arange(len(names))
    figure, axis = plt.subplots(figsize=(2 + 1.15 * len(names), 3.8), layout="constrained")
    width = 0.8 / (len(series) + 1)
    for k, name in enumerate(series):
        rows = table[table.series == name].set_index("benchmark").reindex(names)
        x = places + (k - len(series) / 2) * width
        axis.bar(
            x,
            100 * rows["mean"],
            width,
            yerr=percent_arms(rows),
            capsize=2,
            color=to_rgba(LINES[k % len(LINES)], 0.5),
            hatch=HATCHES[k % len(HATCHES)],
            edgecolor="black",
            linewidth=0.6,
            error_kw={"linewidth": 1},
            label=name,
        )
        luck, ends = 100 * rows.luck, (x - width / 2, x + width / 2)
        label = "two runs alone" if k == 0 else None
        axis.hlines(luck, *ends, color="white", linewidth=5, zorder=3)  # seen on a dark bar
        axis.hlines(luck, *ends, color="black", linewidth=2.5, zorder=3, label=label)
        for at in x[rows["mean"].isna()]:
            axis.annotate("none", (at, 1), ha="center", rotation=90, fontsize=7)
    paper = table.drop_duplicates("benchmark").set_index("benchmark").reindex(names).paper
    axis.plot(
        places + len(series) / 2 * width,
        100 * paper,
        "X",
        color="black",
        markerfacecolor="white",
        markersize=8,
        label="paper",
    )
    axis.set(ylabel="mode deviation ratio (%)", ylim=(0, 105))
    counts = table.groupby("benchmark").n.max()
    labels = [f"{TITLES.get(name, name)}\n{counts[name]} items" for name in names]
    axis.set_xticks(places, labels, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    shown = len(axis.get_legend_handles_labels()[1])
    figure_legend(figure, axis, ncols=min(5, shown))
    return figure


def dialogue_turns(table: pd.DataFrame) -> Figure:
    """How alignment and P(personalised) go on as dialogues grow, one line per model.

    From `multi_turn.by_turns`: rates of the two orders in which the mode would have to switch
    (thin: two runs alone), and the change of P against the question alone.
    """
    table = table.assign(series=series_names(table))
    series, turns = list(dict.fromkeys(table.series)), sorted(table.turns.unique())
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
    _rates(axes[:2], table, series, turns)
    for k, name in enumerate(series):
        for first, is_filled in (("objective", True), ("personalized", False)):
            rows = table[(table.series == name) & (table.earlier == first)].drop_duplicates("turns")
            rows = rows.set_index("turns").reindex(turns)
            rows = rows.assign(mean=rows["shift"], ci_low=rows.shift_low, ci_high=rows.shift_high)
            x = _beside(turns, k, len(series))
            percent_line(axes[2], x, rows, LOOKS[k % 3], f"{name}, {first} first", is_filled)
    axes[2].axhline(0, color="black", linewidth=0.8)
    axes[2].set(
        title="P(personalised), filled: after objective,\nhollow: after personal questions",
        ylabel="points against alone",
    )
    for axis in axes:
        axis.set(xticks=turns, xlabel="turns")
        axis.title.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
    figure_legend(figure, axes[0], ncols=len(series) + 1)
    return figure


def _rates(axes: list[Axes], table: pd.DataFrame, series: list[str], turns: list[int]):
    """One panel per order of questions: how often the mode is that of the question alone."""
    earlier = {"general": "objective", "personalized": "personalized"}  # mode -> kind of question
    for axis, (came, mode) in zip(axes, ORDERS.values(), strict=True):
        first = earlier[came]
        panel = table[(table.earlier == first) & (table.alone == mode)]
        for k, name in enumerate(series):
            rows = panel[panel.series == name].set_index("turns").reindex(turns)
            look = LOOKS[k % 3]
            percent_line(axis, _beside(turns, k, len(series)), rows, look, name)
            axis.axhline(
                100 * rows.ceiling.iloc[0],
                color=look[0],
                linestyle=look[1],
                linewidth=0.8,
                label="two runs alone (thin)" if k == len(series) - 1 else None,
            )
        title = f"after {KINDS[first]} questions,\nalone: {mode} mode"
        axis.set(title=title, ylabel="same mode as alone (%)", ylim=(0, 103))


def _beside(x: list[int], k: int, n: int) -> np.ndarray:
    """The places of line k of n, so that intervals stand beside each other."""
    return np.array(x) + 0.08 * (k - (n - 1) / 2)


def dialogue_tags(table: pd.DataFrame) -> Figure:
    """P(personalised) in the second turn by the tag that the first answer is shown with.

    From `multi_turn.tags`: one row of panels per model, one panel per kind of second question, one
    line per content of the first turn; the grey band is the same question alone.
    """
    if table.empty:
        figure, axis = plt.subplots(figsize=(6, 1), layout="constrained")
        text = "no question was asked after both kinds of first turn, with every tag"
        axis.text(0.5, 0.5, text, ha="center", va="center")
        axis.axis("off")
        return figure
    table = table.assign(series=series_names(table))
    series, kinds = list(dict.fromkeys(table.series)), list(dict.fromkeys(table.kind))
    figure, grid = plt.subplots(
        len(series),
        len(kinds),
        figsize=(1 + 3.4 * len(kinds), 1 + 2.3 * len(series)),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for axes, name in zip(grid, series, strict=True):
        for axis, kind in zip(axes, kinds, strict=True):
            panel = table[(table.series == name) & (table.kind == kind)]
            if panel.empty:
                axis.set_title(f"{name}: too few {kind} questions", fontsize=9)
            else:
                n = _by_tag(axis, panel)
                title = f"{name}: {KINDS[kind]} second question, {n} items"
                axis.set_title(title, fontsize=9)
        axes[0].set_ylabel("P(personalised) (%)")
    figure.supxlabel("tag that the first answer is shown with", fontsize="medium")
    figure_legend(figure, grid[0, 0], ncols=3)
    return figure


def _by_tag(axis: Axes, panel: pd.DataFrame) -> int:
    """One panel of `dialogue_tags`; returns how many items were asked alone."""
    (alone,) = panel[panel.content == "alone"].itertuples()
    axis.axhspan(100 * alone.ci_low, 100 * alone.ci_high, color="0.85")
    axis.axhline(100 * alone.mean, color="0.4", linewidth=1, label="asked alone")
    for k, (content, word) in enumerate(KINDS.items()):
        rows = panel[panel.content == content].set_index("tag").reindex(list(TAGS))
        article = "an" if content == "objective" else "a"
        x = _beside(range(len(TAGS)), k, len(KINDS))
        percent_line(axis, x, rows, LOOKS[k], f"after {article} {word} question")
    axis.set(xlim=(-0.4, 2.4), ylim=(-3, 103))
    axis.set_xticks(range(len(TAGS)), list(TAGS.values()))
    axis.spines[["top", "right"]].set_visible(False)
    return alone.n

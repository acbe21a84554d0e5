"""What each method says of a persona's words, and which of them finds the known cause."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pdlib.analysis.words.causes import CAUSES
from pdlib.analysis.words.explain import METHODS, Explained
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE, bars, figure_legend, persona_legend

BARS = dict(zip(METHODS, ((GREY, ""), (BLUE, "//"), (GREEN, ".."), (ORANGE, "xx")), strict=True))
NOTE = "bold: occupation and studied word"
TICK = "tick: the same place in the shuffled persona"


def embolden_causes(labels: Sequence, word_classes: Sequence[str]) -> None:
    """Words that are the known cause get bold labels."""
    for label, word_class in zip(labels, word_classes, strict=True):
        label.set_fontweight("bold" if word_class in CAUSES["cause"] else "normal")


def draw_scores(axes: Sequence[Axes], words: pd.DataFrame) -> None:
    """One panel per method, one bar per word; a tick is the same place in the shuffled persona."""
    y = np.arange(len(words))[::-1]
    for axis, (method, title) in zip(axes, METHODS.items(), strict=True):
        is_attention = method == "attention"
        colour, hatch = BARS[method]
        scale = 100 if is_attention else 1
        axis.barh(
            y, scale * words[method], color=colour, hatch=hatch, edgecolor="black", linewidth=0.5
        )
        tick = {"color": "black", "markersize": 9, "markeredgewidth": 1.8}
        axis.plot(scale * words[f"shuffled_{method}"], y, "|", **tick)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(title, fontsize=9)
        unit = "% of the position's attention" if is_attention else "log-odds"
        axis.set_xlabel(unit, fontsize=8)
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(y, words.word)
    embolden_causes(axes[0].get_yticklabels(), words.word_class)


def methods(explained: Explained, item_id: str, condition: str) -> Figure:
    """The scores of one asker's words by each method, side by side.

    To the right of zero a word speaks for the personalised mode.
    """
    words, _ = explained.of_asker(item_id, condition)
    figure, axes = plt.subplots(
        1, len(METHODS), figsize=(10, 1.3 + 0.24 * len(words)), layout="constrained", sharey=True
    )
    draw_scores(axes, words)
    p = words.p_personalized.iloc[0]
    title = f"{condition} persona, P(personalised) {p:.2f};  {TICK};  {NOTE}"
    figure.suptitle(title, fontsize=8, ha="left", x=0.01)
    return figure


def causes(table: pd.DataFrame, condition: str = "aligned") -> Figure:
    """Which method finds the cause: the share of the cause's words among the top words.

    From `causes.shares` and `causes.pooled_shares`, one panel per size of the top. The band is 95 %
    of what scores dealt out at random reach; the diamond is the same places in the shuffled
    persona; dots are the best that a method could reach.
    """
    shares = table[table.condition == condition]
    if shares.empty:
        raise ValueError(
            f"no rows of {condition!r}, found {sorted(table.condition.unique())}; "
            "`causes.shares` makes this table"
        )
    tops, names = list(shares.top.unique()), list(shares.method.unique())
    figure, axes = plt.subplots(
        1,
        len(tops),
        figsize=(1.2 + 3.1 * len(tops), 3.8),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    labels = [METHODS[name].replace(": ", ":\n").replace(" × ", "\n× ") for name in names]
    for axis, top in zip(axes[0], tops, strict=True):
        rows = shares[shares.top == top].set_index("method").loc[names]
        for x, (name, row) in enumerate(rows.iterrows()):
            _share(axis, x, row, *BARS[name])
        axis.set_xticks(range(len(names)), labels, fontsize=8)
        axis.set_title("the top word" if top == 1 else f"among the top {top}", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    cause = shares.of.iloc[0]
    what = "occupation or studied word" if cause == "cause" else cause
    axes[0, 0].set(ylim=(0, 108), ylabel=f"{what} (%)")
    figure_legend(figure, axes[0, 0], ncols=3, fontsize=8)
    return figure


def _share(axis: Axes, x: int, row: pd.Series, colour: str, hatch: str):
    """One bar with its interval, and what it is to be held against."""
    low, high = max(0, row["mean"] - row.ci_low), max(0, row.ci_high - row["mean"])
    axis.bar(
        x,
        100 * row["mean"],
        0.66,
        yerr=[[100 * low], [100 * high]],
        capsize=3,
        color=colour,
        hatch=hatch,
        edgecolor="black",
        linewidth=0.6,
    )
    wide = [x - 0.45, x + 0.45]
    axis.fill_between(
        wide,
        100 * row.chance_low,
        100 * row.chance_high,
        color="black",
        alpha=0.3,
        linewidth=0,
        zorder=3,
        label="chance, 95 %",
    )
    diamond = {"color": "white", "markeredgecolor": "black", "markersize": 6, "zorder": 4}
    axis.plot(x, 100 * row.shuffled, "D", label="shuffled persona", **diamond)
    best = 2 * [100 * row.best]
    axis.plot(wide, best, ":", color="black", linewidth=1.2, label="best possible")


def swaps(effects: pd.DataFrame) -> Figure:
    """How far P(personalised) moves when a whole fact is exchanged for a stranger's.

    From `explain.swap_effects`, by fact and persona condition, with 95 % intervals.
    """
    facts = list(effects.fact.unique())
    series = {
        condition: rows.set_index("fact").loc[facts].to_dict("records")
        for condition, rows in effects.groupby("condition", sort=False)
    }
    figure, axis = plt.subplots(figsize=(5.5, 3), layout="constrained")
    bars(axis, facts, series)
    axis.set_ylabel("mean change of P(personalised)")
    persona_legend(figure, axis)
    return figure

"""Dialogues: how often the mode shifts by benchmark, as dialogues grow, and with the first turn's
tag taken away or swapped.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from pdlib.analysis.multi_turn import NAMES, ORDERS
from pdlib.paper.catalogue import label
from pdlib.plots.style import LINES

TITLES = {benchmark: title for title, benchmark in NAMES.items()}
KINDS = {"objective": "objective", "personalized": "personal"}
LOOKS = (
    (LINES[0], "-", "o"),
    (LINES[1], "--", "s"),
    (LINES[2], ":", "^"),
)  # colour, dash, marker: any one tells them apart


def _series(table: pd.DataFrame) -> pd.Series:
    several = table.run.nunique() > 1
    return pd.Series(
        [label(model) + f", {run}" * several for run, model in zip(table.run, table.model)],
        table.index,
    )


def _error(part: pd.DataFrame) -> list[pd.Series]:
    """Lengths of the interval's two arms in points; none where there is no interval."""
    return [
        (100 * (part["mean"] - part.ci_low)).clip(lower=0).fillna(0),
        (100 * (part.ci_high - part["mean"])).clip(lower=0).fillna(0),
    ]


def deviations(table: pd.DataFrame) -> Figure:
    """Table 3: share of mode shifts by benchmark and model with 95 % intervals, from
    `multi_turn.deviations`; the short line is what two answers alone differ by, the cross is the
    paper's.
    """
    table = table.assign(series=_series(table))
    names, series = list(dict.fromkeys(table.benchmark)), list(dict.fromkeys(table.series))
    figure, axis = plt.subplots(figsize=(2 + 1.15 * len(names), 3.8), layout="constrained")
    width = 0.8 / (len(series) + 1)
    for k, (name, hatch) in enumerate(zip(series, ("", "//", "..", "xx", "\\\\", "++", "--"))):
        part = table[table.series == name].set_index("benchmark").reindex(names)
        x = [i + (k - len(series) / 2) * width for i in range(len(names))]
        axis.bar(
            x,
            100 * part["mean"],
            width,
            yerr=_error(part),
            capsize=2,
            color=to_rgba(LINES[k % len(LINES)], 0.5),
            hatch=hatch,
            edgecolor="black",
            linewidth=0.6,
            error_kw={"linewidth": 1},
            label=name,
        )
        for colour, thick in (
            ("white", 5),
            ("black", 2.5),
        ):  # a light rim, to be seen on a dark bar
            axis.hlines(
                100 * part.luck,
                [at - width / 2 for at in x],
                [at + width / 2 for at in x],
                color=colour,
                linewidth=thick,
                zorder=3,
                label="two runs alone" if k == 0 and colour == "black" else None,
            )
        for at in [at for at, share in zip(x, part["mean"]) if pd.isna(share)]:
            axis.annotate("none", (at, 1), ha="center", rotation=90, fontsize=7)
    paper = table.drop_duplicates("benchmark").set_index("benchmark").reindex(names).paper
    axis.plot(
        [i + len(series) / 2 * width for i in range(len(names))],
        100 * paper,
        "X",
        color="black",
        markerfacecolor="white",
        markersize=8,
        label="paper",
    )
    axis.set(ylabel="mode deviation ratio (%)", ylim=(0, 105))
    counts = table.groupby("benchmark").n.max()
    axis.set_xticks(
        range(len(names)),
        [f"{TITLES.get(name, name)}\n{counts[name]} items" for name in names],
        fontsize=8,
    )
    axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(5, len(labels)), frameon=False
    )
    return figure


def dialogue_turns(table: pd.DataFrame) -> Figure:
    """How alignment and P(personalised) go on as dialogues grow, one line a model, from
    `multi_turn.by_turns`: rates of the two orders in which the mode would have to switch (thin: two
    runs alone), and the change of P against the question alone.
    """
    table = table.assign(series=_series(table))
    series, turns = list(dict.fromkeys(table.series)), sorted(table.turns.unique())
    kinds = {"general": "objective", "personalized": "personalized"}
    panels = [
        (kinds[came], mode, f"after {KINDS[kinds[came]]} questions,\nalone: {mode} mode")
        for came, mode in ORDERS.values()
    ]
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
    for axis, (first, mode, title) in zip(axes, panels):
        for k, name in enumerate(series):
            part = (
                table[(table.series == name) & (table.earlier == first) & (table.alone == mode)]
                .set_index("turns")
                .reindex(turns)
            )
            _line(axis, part, k, len(series), name)
            axis.axhline(
                100 * part.ceiling.iloc[0],
                color=LOOKS[k % 3][0],
                linestyle=LOOKS[k % 3][1],
                linewidth=0.8,
                label="two runs alone (thin)" if k == len(series) - 1 else None,
            )
        axis.set(title=title, ylabel="same mode as alone (%)", ylim=(0, 103))
    for k, name in enumerate(series):
        for first, filled in (("objective", True), ("personalized", False)):
            part = table[(table.series == name) & (table.earlier == first)].drop_duplicates("turns")
            part = part.set_index("turns").reindex(turns)
            part = part.assign(mean=part["shift"], ci_low=part.shift_low, ci_high=part.shift_high)
            _line(axes[2], part, k, len(series), f"{name}, {first} first", filled)
    axes[2].axhline(0, color="black", linewidth=0.8)
    axes[2].set(
        title="P(personalised), filled: after objective,\nhollow: after personal questions",
        ylabel="points against alone",
    )
    for axis in axes:
        axis.set(xticks=turns, xlabel="turns")
        axis.title.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _line(axis, part: pd.DataFrame, k: int, many: int, name: str, filled: bool = True):
    colour, dash, marker = LOOKS[k % len(LOOKS)]
    x = [turn + 0.08 * (k - (many - 1) / 2) for turn in part.index]
    axis.errorbar(
        x,
        100 * part["mean"],
        yerr=_error(part),
        color=colour,
        linestyle=dash,
        linewidth=1.4,
        capsize=2,
        marker=marker,
        markersize=5,
        markerfacecolor=colour if filled else "white",
        label=name,
    )


def dialogue_tags(table: pd.DataFrame) -> Figure:
    """P(personalised) in the second turn by the tag the first answer is shown with, a line a
    content, from `multi_turn.tags`; one row of panels a model, one panel a kind of second question;
    the grey band is the same question alone.
    """
    if table.empty:
        figure, axis = plt.subplots(figsize=(6, 1), layout="constrained")
        axis.text(
            0.5,
            0.5,
            "no question was asked after both kinds of first turn, with every tag",
            ha="center",
            va="center",
        )
        axis.axis("off")
        return figure
    table = table.assign(series=_series(table))
    series, kinds, shown = (
        list(dict.fromkeys(table.series)),
        list(dict.fromkeys(table.kind)),
        ["general", "none", "personalized"],
    )
    figure, axes = plt.subplots(
        len(series),
        len(kinds),
        figsize=(1 + 3.4 * len(kinds), 1 + 2.3 * len(series)),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for row, name in zip(axes, series):
        for axis, kind in zip(row, kinds):
            part = table[(table.series == name) & (table.kind == kind)]
            if part.empty:
                axis.set_title(f"{name}: too few {kind} questions", fontsize=9)
                continue
            (alone,) = part[part.content == "alone"].itertuples()
            axis.axhspan(100 * alone.ci_low, 100 * alone.ci_high, color="0.85")
            axis.axhline(100 * alone.mean, color="0.4", linewidth=1, label="asked alone")
            for k, content in enumerate(KINDS):
                line = part[part.content == content].set_index("tag").reindex(shown)
                line.index = range(len(shown))
                _line(
                    axis,
                    line,
                    k,
                    len(KINDS),
                    f"after {'an' if content == 'objective' else 'a'} {KINDS[content]} question",
                )
            axis.set(xlim=(-0.4, 2.4), ylim=(-3, 103))
            axis.set_xticks(range(3), ["[General]", "removed", "[Personalized]"])
            axis.set_title(f"{name}: {KINDS[kind]} second question, {alone.n} items", fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel("P(personalised) (%)")
    figure.supxlabel("tag that the first answer is shown with", fontsize="medium")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure

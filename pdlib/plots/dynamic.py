"""Dynamic profiles: how RLPA's policies read an asker, and what PersonaDual makes of it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.paper.catalogue import label
from pdlib.plots.style import GREY, LINES, figure_legend, percent_line
from pdlib.rlpa.protection import GIVEN, MODELS, NONE
from pdlib.rlpa.scores import BEST, POLICIES, VALUES

LOOKS = (  # colour, dash, marker: any one tells them apart
    (LINES[5], ":", "^"),
    (LINES[1], "--", "s"),
    (LINES[0], "-", "o"),
)


def _finish(figure: Figure, axes: list[Axes]) -> Figure:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    names = axes[0].get_legend_handles_labels()[1]
    figure_legend(figure, axes[0], ncols=len(names))
    return figure


def profile_turns(table: pd.DataFrame, best: pd.DataFrame) -> Figure:
    """How well each policy knows its asker after each turn, with 95 % intervals.

    From `rlpa.scores.by_turn`: one row of panels per value, one column per kind of dialogue, one
    line per policy. The grey line is the best possible reader, from
    `rlpa.pocket_judge.best_scores`; the upright one is where change or contradiction begins.
    """
    values, kinds = list(dict.fromkeys(table.value)), list(dict.fromkeys(table.condition))
    last = int(table.turn.max())
    figure, grid = plt.subplots(
        len(values),
        len(kinds),
        figsize=(1 + 3.2 * len(kinds), 0.8 + 2.6 * len(values)),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey="row",
    )
    for axes, value in zip(grid, values, strict=True):
        for axis, kind in zip(axes, kinds, strict=True):
            panel = table[(table.value == value) & (table.condition == kind)]
            reader = best[best.condition == kind]
            axis.plot(
                reader.turn, 100 * reader[value], color=GREY, linewidth=3, alpha=0.6, label=BEST
            )
            for k, (model, name) in enumerate(POLICIES.items()):
                rows = panel[panel.model == model]
                percent_line(axis, rows.turn + 0.06 * (k - 1), rows, LOOKS[k], name)
            if kind != "steady":
                axis.axvline(last // 2 + 0.5, color="black", linewidth=0.8, linestyle=(0, (1, 2)))
            axis.set(xticks=range(1, last + 1), ylim=(-3, 103))
            if value == values[0]:
                axis.set_title(f"{kind}, {panel.n.max()} users", fontsize=9)
        axes[0].set_ylabel(VALUES[value].replace(", ", ",\n") + " (%)", fontsize=8)
    figure.supxlabel("turn", fontsize="medium")
    return _finish(figure, list(grid.flat))


def inferred_profiles(table: pd.DataFrame) -> Figure:
    """What PersonaDual answers by who is thought to ask, one line per system.

    Accuracy on objective and on personal questions, and P(personalised) on objective ones, from
    `rlpa.protection.by_turn`. Nobody asks, the profile inferred after each turn (its mean F1
    below), or the asker as given.
    """
    inferred = sorted(name for name in table.condition.unique() if name not in (NONE, GIVEN))
    askers = [NONE, *inferred, GIVEN]
    f1 = table.groupby("condition").f1.mean()
    names = [name.replace(" persona", "\npersona") for name in askers]
    names[1:-1] = [f"{name.removeprefix('inferred, ')}\nF1 {f1[name]:.2f}" for name in inferred]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    panels = (
        ("objective", "correct", "objective questions,\naccuracy (%)"),
        ("personalized", "correct", "personal questions,\naccuracy (%)"),
        ("objective", "p_personalized", "objective questions,\nP(personalised) (%)"),
    )
    for axis, (kind, value, title) in zip(axes, panels, strict=True):
        panel = table[(table.kind == kind) & (table.value == value)]
        for k, model in enumerate(MODELS):
            rows = panel[panel.model == model].set_index("condition").reindex(askers)
            if rows["mean"].notna().any():
                x = np.arange(len(askers)) + 0.06 * (k - 1)
                percent_line(axis, x, rows, LOOKS[k % len(LOOKS)], label(model))
        axis.axvspan(0.5, len(askers) - 1.5, color="0.95", zorder=0)
        axis.set_xticks(range(len(askers)), names, fontsize=8)
        axis.set_title(title, fontsize=9)
    return _finish(figure, list(axes))


def profile_f1(table: pd.DataFrame) -> Figure:
    """Accuracy and P(personalised) of objective questions against how well the asker is known.

    Known: the F1 of the profile that the questions were asked with, from `rlpa.protection.by_f1`.
    Each point is a bin, at its mean F1, with the number of answers.
    """
    objective = table[table.kind == "objective"]
    titles = {"correct": "accuracy (%)", "p_personalized": "P(personalised) (%)"}
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    for axis, (value, title) in zip(axes, titles.items(), strict=True):
        for k, model in enumerate(MODELS):
            rows = objective[(objective.model == model) & (objective.value == value)]
            rows = rows.sort_values("f1")
            if len(rows):
                x = rows.f1 + 0.008 * (k - 1)
                percent_line(axis, x, rows, LOOKS[k % len(LOOKS)], label(model))
        axis.set(xlabel="F1 of the inferred profile with the asker's own", xlim=(-0.06, 1.06))
        axis.set_title(f"objective questions, {title}", fontsize=9)
    bins = objective[(objective.model == MODELS[-1]) & (objective.value == "correct")]
    for row in bins.itertuples():
        position = {"xy": (row.f1, 0.01), "xycoords": ("data", "axes fraction")}
        axes[0].annotate(f"{row.n}", ha="center", fontsize=7, **position)
    return _finish(figure, list(axes))

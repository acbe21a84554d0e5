"""Dynamic profiles: quality by turn of RLPA's policies, and what PersonaDual makes of inferred
profiles.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.paper.catalogue import label
from pdlib.plots.style import GREY, LINES
from pdlib.rlpa.meeting import GIVEN, MODELS, NONE
from pdlib.rlpa.scores import BEST, POLICIES, VALUES

LOOKS = (
    (LINES[5], ":", "^"),
    (LINES[1], "--", "s"),
    (LINES[0], "-", "o"),
)  # colour, dash, marker: any one tells them apart


def _line(axis, x, part: pd.DataFrame, k: int, name: str | None):
    """Means with their intervals, percent, at `x`."""
    colour, dash, marker = LOOKS[k % len(LOOKS)]
    error = [
        (100 * (part["mean"] - part.ci_low)).clip(lower=0),
        (100 * (part.ci_high - part["mean"])).clip(lower=0),
    ]
    axis.errorbar(
        [at + 0.06 * (k - 1) for at in x],
        100 * part["mean"],
        yerr=error,
        color=colour,
        linestyle=dash,
        marker=marker,
        markersize=5,
        linewidth=1.4,
        capsize=2,
        label=name,
    )


def _finish(figure: Figure, axes) -> Figure:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def profile_turns(table: pd.DataFrame, best: pd.DataFrame) -> Figure:
    """One row of panels a value, one column a kind of dialogue, one line a policy with 95 %
    intervals, from `dynamic.scores.by_turn`; the grey line is the best possible reader
    (`dynamic.scores.best`), the upright one where change or contradiction begins.
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
    for row, value in zip(grid, values):
        for axis, kind in zip(row, kinds):
            part = table[(table.value == value) & (table.condition == kind)]
            line = best[best.condition == kind]
            axis.plot(line.turn, 100 * line[value], color=GREY, linewidth=3, alpha=0.6, label=BEST)
            for k, (model, name) in enumerate(POLICIES.items()):
                own = part[part.model == model]
                _line(axis, own.turn, own, k, name)
            if kind != "steady":
                axis.axvline(last // 2 + 0.5, color="black", linewidth=0.8, linestyle=(0, (1, 2)))
            axis.set(xticks=range(1, last + 1), ylim=(-3, 103))
            if value == values[0]:
                axis.set_title(f"{kind}, {part.n.max()} users", fontsize=9)
        row[0].set_ylabel(VALUES[value].replace(", ", ",\n") + " (%)", fontsize=8)
    figure.supxlabel("turn", fontsize="medium")
    return _finish(figure, list(grid.flat))


def meeting(table: pd.DataFrame) -> Figure:
    """Accuracy of objective and of personal questions, and P(personalised) of objective ones, by
    who is thought to ask: nobody, the profile inferred after each turn (its mean F1 below), the
    asker as given; one line a system, from `dynamic.meeting.by_turn`.
    """
    inferred = sorted(c for c in table.condition.unique() if c not in (NONE, GIVEN))
    order = [NONE, *inferred, GIVEN]
    f1 = table.groupby("condition").f1.mean()
    names = [
        c if c in (NONE, GIVEN) else f"{c.removeprefix('inferred, ')}\nF1 {f1[c]:.2f}"
        for c in order
    ]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    panels = (
        ("objective", "correct", "objective questions,\naccuracy (%)"),
        ("personalized", "correct", "personal questions,\naccuracy (%)"),
        ("objective", "p_personalized", "objective questions,\nP(personalised) (%)"),
    )
    for axis, (kind, value, title) in zip(axes, panels):
        part = table[(table.kind == kind) & (table.value == value)]
        for k, model in enumerate(MODELS):
            own = part[part.model == model].set_index("condition").reindex(order)
            if own["mean"].notna().any():
                _line(axis, range(len(order)), own, k, label(model))
        axis.axvspan(0.5, len(order) - 1.5, color="0.95", zorder=0)
        axis.set_xticks(
            range(len(order)), [name.replace(" persona", "\npersona") for name in names], fontsize=8
        )
        axis.set_title(title, fontsize=9)
    return _finish(figure, list(axes))


def meeting_f1(table: pd.DataFrame) -> Figure:
    """Accuracy and P(personalised) of objective questions against the F1 of the profile they were
    asked with, from `dynamic.meeting.by_f1`; each point a bin, at its mean F1, with the number of
    answers.
    """
    part = table[table.kind == "objective"]
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    for axis, value, title in zip(
        axes, ("correct", "p_personalized"), ("accuracy (%)", "P(personalised) (%)")
    ):
        for k, model in enumerate(MODELS):
            own = part[(part.model == model) & (part.value == value)].sort_values("f1")
            if len(own):
                _line(axis, own.f1 - 0.06 * (k - 1) + 0.008 * (k - 1), own, k, label(model))
        axis.set(xlabel="F1 of the inferred profile with the asker's own", xlim=(-0.06, 1.06))
        axis.set_title(f"objective questions, {title}", fontsize=9)
    counts = part[(part.model == MODELS[-1]) & (part.value == "correct")]
    for row in counts.itertuples():
        axes[0].annotate(
            f"{row.n}", (row.f1, 0.01), xycoords=("data", "axes fraction"), ha="center", fontsize=7
        )
    return _finish(figure, list(axes))

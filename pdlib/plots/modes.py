"""The two modes: how often each is chosen, and how accurate each is when it is forced."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.analysis.cells import (
    CONDITIONS,
    OBJECTIVE,
    Cell,
    Cells,
    MissingRecordsError,
    NoModesError,
)
from pdlib.paper.catalogue import label
from pdlib.plots.style import (
    BLUE,
    CONDITION_STYLE,
    GREEN,
    GREY,
    GUESSING,
    ORANGE,
    bars,
    figure_legend,
    persona_legend,
)
from pdlib.plots.systems import KINDS, heights, name_systems, system_dot

MARKERS = {"none": "o", "unaligned": "^", "aligned": "s"}
FORCED = {  # how the mode was chosen, in the records -> in the figure
    "none": "free",
    "general": "forced\ngeneral",
    "personalized": "forced\npersonalised",
    "either": "either mode\nright",
}


def mode_shares(records: pd.DataFrame | Cells, run: str | None = None) -> Figure:
    """Fig. 3b: how many free answers of the dual-mode systems are in the personalised mode.

    Shares by persona condition with 95 % intervals, for objective and for personalised questions.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    rows, _ = heights(cells, run, ["dual-mode"])
    shares, silent = {}, set()
    for kind, benchmarks in KINDS.items():
        held = cells.held(run, benchmarks)
        for model in rows:
            for condition in _conditions(kind):
                try:
                    cell = Cell(run, model, held, condition, value="personalized")
                    shares[kind, model, condition] = cells[cell].row()
                except NoModesError:
                    silent.add(model)
    if len(silent) == len(rows):
        raise MissingRecordsError(f"the answers of {', '.join(rows)} in run {run} name no mode")

    figure, axes = plt.subplots(
        1, 2, figsize=(8.6, 1.5 + 0.5 * len(rows)), layout="constrained", sharey=True
    )
    for axis, kind in zip(axes, KINDS, strict=True):
        conditions = _conditions(kind)
        for model, y in rows.items():
            if model in silent:
                text = "answers name no mode"
                axis.text(0.5, y, text, ha="center", va="center", fontsize=8, style="italic")
                continue
            for k, condition in enumerate(conditions):
                system_dot(
                    axis,
                    shares[kind, model, condition],
                    y + (len(conditions) - 1) * 0.11 - 0.22 * k,
                    CONDITION_STYLE[condition][0],
                    MARKERS[condition],
                    label="no persona" if condition == "none" else f"{condition} persona",
                )
        axis.set(title=kind, xlabel="share of the personalised mode", xlim=(-0.03, 1.03))
        name_systems(axis, rows)
    figure_legend(figure, axes[0], ncols=3)
    return figure


def _conditions(kind: str) -> tuple[str, ...]:
    """The persona conditions under which a kind of question is asked."""
    return CONDITIONS if KINDS[kind] == OBJECTIVE else ("aligned",)


def forced_modes(
    records: pd.DataFrame | Cells,
    model: str = "personadual",
    run: str | None = None,
    chance: pd.Series | None = None,
) -> Figure:
    """Table 8: accuracy of one model when it is free and when it is forced into each mode.

    The last group of bars counts an answer that is right in at least one of the two modes. Bars are
    persona conditions; a dotted line marks guessing.

    chance: of `stats.chance_table`, for the line of guessing.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    accuracies = {}
    for kind, benchmarks in KINDS.items():
        held = cells.held(run, benchmarks)
        for condition in CONDITIONS:
            by_mode = [Cell(run, model, held, condition, forced) for forced in FORCED]
            accuracies[kind, condition] = [cells[cell].row() for cell in by_mode]

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    for axis, (kind, benchmarks) in zip(axes, KINDS.items(), strict=True):
        series = {condition: accuracies[kind, condition] for condition in CONDITIONS}
        bars(axis, list(FORCED.values()), series)
        if chance is not None:
            level = chance["objective" if benchmarks == OBJECTIVE else "personalized", "aligned"]
            axis.axhline(level, color="black", linestyle=":", linewidth=1)
            axis.text(3.62, level, f" {GUESSING}", fontsize=7, va="center", clip_on=False)
        axis.set(title=f"{label(model)}, {kind}", ylim=(0, 1.02))
    axes[0].set_ylabel("accuracy, mean of benchmarks")
    persona_legend(figure, axes[0])
    return figure


def choices_by_kind(tables: dict[str, pd.DataFrame], mode: str) -> Figure:
    """How often a mode is chosen, by kind of question: one group of bars per training.

    Left how often each forced mode is right before any RL, which says where the mode pays.

    tables: the name of a training -> a table of `arithmetic.look`; the first is before RL.
    """
    before = next(iter(tables.values()))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10.5, 3.4), layout="constrained", width_ratios=(1, 2)
    )
    accuracies = before.pivot(index="kind", columns="mode", values="right")
    accuracies.plot.bar(ax=left, color=[BLUE, ORANGE], edgecolor="black", rot=0)
    chosen = pd.DataFrame(
        {name: t[t["mode"] == mode].set_index("kind").chance for name, t in tables.items()}
    )
    chosen.T.plot.bar(ax=right, color=[GREY, GREEN], edgecolor="black", rot=0)
    left.set(xlabel="", ylabel="right when forced, before RL", ylim=(0, 1.18))
    right.set(xlabel="", ylabel=f"P({mode})", ylim=(0, 1.18))
    for axis in (left, right):
        for container, hatch in zip(axis.containers, ("", "//"), strict=False):
            for bar in container:
                bar.set_hatch(hatch)
        axis.legend(frameon=False, ncols=2, fontsize=8, loc="upper center")
        axis.spines[["top", "right"]].set_visible(False)
    return figure

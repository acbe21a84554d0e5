"""Accuracy and mode shares by system, family and persona condition: drawn from records, or from the
cells made of them.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.analysis import cells as tables
from pdlib.analysis.cells import (
    BLOCKS,
    CONDITIONS,
    FAMILIES,
    FAMILY,
    NAMES,
    OBJECTIVE,
    PERSONALIZED,
    Cell,
    Cells,
    Missing,
)
from pdlib.plots.style import BLUE, CONDITION_STYLE, GREEN, ORANGE, bars, legend
from pdlib.plots.training import differences

FAMILY_STYLE = {
    "general purpose": (BLUE, "o"),
    "personalisation-oriented": (ORANGE, "^"),
    "dual-mode": (GREEN, "s"),
}
MARKERS = {"none": "o", "unaligned": "^", "aligned": "s"}
GUESSING = "guessing"
KINDS = {"objective questions": OBJECTIVE, "personalised questions": PERSONALIZED}


def _rows(
    cells: Cells, run: str, families: Sequence[str] = tuple(FAMILIES)
) -> tuple[dict[str, float], list[float]]:
    """(model -> height, heights of the lines between families), from the top down; models that
    `run` lacks take no room.
    """
    heights, borders, y = {}, [], 0.0
    for family in families:
        present = [model for model in FAMILIES[family] if model in cells.models[run]]
        if present and heights:
            borders.append(y)
            y -= 0.4
        for model in present:
            y -= 1
            heights[model] = y + 0.3
    if not heights:
        raise Missing(
            f"run {run} holds none of the systems of {', '.join(families)}, found {', '.join(cells.models[run])}"
        )
    return heights, borders


def _dot(axis, found: dict, y: float, colour: str, marker: str, **more):
    axis.hlines(y, found["ci_low"], found["ci_high"], color=colour, linewidth=1.8)
    axis.plot(
        found["mean"],
        y,
        marker,
        color=colour,
        markeredgecolor="black",
        markeredgewidth=0.6,
        markersize=6,
        **more,
    )


def _systems_axis(axis, heights: dict[str, float], borders: list[float]):
    axis.set_yticks(list(heights.values()), [NAMES[model] for model in heights])
    axis.set_ylim(min(heights.values()) - 0.7, max(heights.values()) + 0.7)
    for border in borders:
        axis.axhline(border - 0.4, color="black", linewidth=0.5, linestyle=":")
    for label, model in zip(axis.get_yticklabels(), heights):
        label.set_fontweight("bold" if model == "personadual" else "normal")
    axis.grid(axis="x", linewidth=0.4, alpha=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def accuracy(
    records: pd.DataFrame | Cells, run: str | None = None, chance: pd.Series | None = None
) -> Figure:
    """Table 1: the three averages of every system by family, with 95 % intervals; dashed
    PersonaDual asked without persona.

    run: needed where the records hold several.  chance: of `stats.chance_table`; dotted in each
    block.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    heights, borders = _rows(cells, run)
    figure, axes = plt.subplots(
        1, 3, figsize=(10, 1.6 + 0.27 * len(heights)), layout="constrained", sharey=True
    )
    for axis, (title, (benchmarks, condition)) in zip(axes, BLOCKS.items()):
        benchmarks = cells.held(run, benchmarks)
        if condition != "none" and "personadual" in heights and title.startswith("objective"):
            bound = cells[Cell(run, "personadual", benchmarks, "none")].row()
            axis.axvspan(bound["ci_low"], bound["ci_high"], color="black", alpha=0.08, linewidth=0)
            axis.axvline(
                bound["mean"],
                color="black",
                linestyle="--",
                linewidth=1,
                label="PersonaDual, no persona",
            )
        if chance is not None:
            kind = "objective" if benchmarks[0] in OBJECTIVE else "personalized"
            axis.axvline(
                chance[kind, condition], color="black", linestyle=":", linewidth=1, label=GUESSING
            )
        for model, y in heights.items():
            colour, marker = FAMILY_STYLE[FAMILY[model]]
            _dot(
                axis,
                cells[Cell(run, model, benchmarks, condition)].row(),
                y,
                colour,
                marker,
                label=FAMILY[model],
            )
        axis.set(
            title=title.replace(", ", ",\n"),
            xlabel=f"accuracy, mean of {len(benchmarks)} benchmark{'s' * (len(benchmarks) > 1)}",
        )
        _systems_axis(axis, heights, borders)
    handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1]))
    order = [name for name in (*FAMILIES, "PersonaDual, no persona", GUESSING) if name in handles]
    figure.legend(
        [handles[name] for name in order],
        order,
        loc="outside lower center",
        ncols=len(order),
        frameon=False,
    )
    return figure


def interference(
    records: pd.DataFrame | Cells, benchmarks: Sequence[str] = OBJECTIVE + PERSONALIZED
) -> Figure:
    """Fig. 1: change of accuracy against no persona, in points, of each run's backbone and
    AlignXpert; 95 % paired intervals.

    The paper's Fig. 1 has two benchmarks of each kind; here all of `benchmarks` that were asked are
    averaged. A kind of which nothing was asked has no panel.
    """
    cells = Cells.of(records)
    groups = [
        (run, "backbone", run)
        for run in sorted(cells.models, reverse=True)
        if "backbone" in cells.models[run]
    ]
    experts = [
        (run, model, NAMES[model])
        for run in sorted(cells.models, reverse=True)
        for model in ("alignxpert_ica", "alignxpert_pba")
        if model in cells.models[run]
    ]
    if len({run for run, *_ in experts}) > 1:
        experts = [(run, model, f"{name}\n{run}") for run, model, name in experts]
    if not groups + experts:
        raise Missing(
            f"no records of backbone, alignxpert_ica or alignxpert_pba in any of the runs {', '.join(cells.models)}"
        )
    there = {kind: of_kind for kind, of_kind in KINDS.items() if cells.benchmarks & set(of_kind)}
    figure, axes = plt.subplots(
        1,
        len(there),
        figsize=(max(4, 1.3 * len(groups + experts)) * len(there), 3.4),
        layout="constrained",
        squeeze=False,
    )
    axes = axes[0]
    for axis, (kind, of_kind) in zip(axes, there.items()):
        wanted, series = [name for name in of_kind if name in benchmarks], {}
        for condition in ("unaligned", "aligned"):
            series[condition] = []
            for run, model, _ in groups + experts:
                with_persona, without = (
                    Cell(run, model, cells.held(run, wanted), which)
                    for which in (condition, "none")
                )
                series[condition].append(cells.sum([(100, with_persona), (-100, without)]).row())
        bars(axis, [name for *_, name in groups + experts], series)
        if groups and experts:
            axis.axvline(len(groups) - 0.5, color="black", linewidth=0.6, linestyle=":")
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(title=kind, ylabel="accuracy against no persona (points)")
        axis.tick_params(axis="x", labelsize=8)
    legend(figure, axes[0])
    return figure


def mixing(records: pd.DataFrame | Cells, run: str | None = None) -> Figure:
    """Fig. 3a: accuracy against the share of personalised questions, one line a system of Table 1,
    bands 95 % intervals.

    Left the objective questions are asked under unaligned personas, right under aligned ones.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    left_out = ("no_dual_advantage", "no_dual_advantage_no_prefix_sampling")
    models = [model for model in _rows(cells, run)[0] if model not in left_out]
    table = tables.mixing(cells, run, models)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    for axis, condition in zip(axes, ("unaligned", "aligned")):
        for model in models:
            part = table[(table.model == model) & (table.condition == condition)]
            ours, place = model == "personadual", list(NAMES).index(model)
            colour = "black" if ours else FAMILY_STYLE[FAMILY[model]][0]
            axis.fill_between(
                part.ratio,
                part.ci_low,
                part.ci_high,
                color=colour,
                alpha=0.2 if ours else 0.07,
                linewidth=0,
            )
            axis.plot(
                part.ratio,
                part["mean"],
                color=colour,
                linestyle="-" if ours else ("-", "--", ":", "-.")[place % 4],
                linewidth=2.4 if ours else 1.3,
                marker="osD^v<>PXd*ph"[place],
                markersize=10 if ours else 5,
                markevery=(place % 2, 2),
                label=NAMES[model],
            )
        axis.set(
            title=f"{condition} persona on objective questions",
            xlabel="share of personalised questions",
            xlim=(-0.02, 1.02),
        )
        axis.grid(linewidth=0.4, alpha=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy on the mixed test set")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside right center", frameon=False, fontsize=8, handlelength=3.5
    )
    return figure


def mode_shares(records: pd.DataFrame | Cells, run: str | None = None) -> Figure:
    """Fig. 3b: share of free answers of the dual-mode systems in the personalised mode, with 95 %
    intervals.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    heights, _ = _rows(cells, run, ["dual-mode"])
    figure, axes = plt.subplots(
        1, 2, figsize=(8.6, 1.5 + 0.5 * len(heights)), layout="constrained", sharey=True
    )
    silent = []
    for axis, (kind, benchmarks) in zip(axes, KINDS.items()):
        conditions = CONDITIONS if benchmarks == OBJECTIVE else ("aligned",)
        for model, y in heights.items():
            for k, condition in enumerate(conditions):
                try:
                    found = cells[
                        Cell(
                            run, model, cells.held(run, benchmarks), condition, value="personalized"
                        )
                    ].row()
                except Missing as reason:
                    if "name no mode" not in str(reason):
                        raise
                    silent.append(model)
                    continue
                _dot(
                    axis,
                    found,
                    y + (len(conditions) - 1) * 0.11 - 0.22 * k,
                    CONDITION_STYLE[condition][0],
                    MARKERS[condition],
                    label=f"{condition} persona" if condition != "none" else "no persona",
                )
        for model in dict.fromkeys(silent):
            axis.text(
                0.5,
                heights[model],
                "answers name no mode",
                ha="center",
                va="center",
                fontsize=8,
                style="italic",
            )
        axis.set(title=kind, xlabel="share of the personalised mode", xlim=(-0.03, 1.03))
        _systems_axis(axis, heights, [])
    if len(set(silent)) == len(heights):
        plt.close(figure)
        raise Missing(f"the answers of {', '.join(heights)} in run {run} name no mode")
    handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1]))
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


def ablations(records: pd.DataFrame | Cells, run: str | None = None) -> Figure:
    """Table 2: SFT alone and the ablations minus PersonaDual, paired, in points."""
    cells = Cells.of(records)
    table = tables.ablations(cells, cells.one_run(run))
    figure = differences(table, "PersonaDual")
    for axis in figure.axes:
        axis.set_ylim(-0.6, table.system.nunique() - 0.4)
    return figure


def forced_modes(
    records: pd.DataFrame | Cells,
    model: str = "personadual",
    run: str | None = None,
    chance: pd.Series | None = None,
) -> Figure:
    """Table 8: the same model free, forced into each mode, and right in at least one of the two, by
    persona condition.

    chance: of `stats.chance_table`; dotted in each half.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    names = {
        "none": "free",
        "general": "forced\ngeneral",
        "personalized": "forced\npersonalised",
        "either": "either mode\nright",
    }
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    for axis, (kind, benchmarks) in zip(axes, KINDS.items()):
        try:
            series = {
                c: [
                    cells[Cell(run, model, cells.held(run, benchmarks), c, forced)].row()
                    for forced in names
                ]
                for c in CONDITIONS
            }
        except Missing:
            plt.close(figure)
            raise
        bars(axis, list(names.values()), series)
        if chance is not None:
            level = chance["objective" if benchmarks == OBJECTIVE else "personalized", "aligned"]
            axis.axhline(level, color="black", linestyle=":", linewidth=1)
            axis.text(3.62, level, f" {GUESSING}", fontsize=7, va="center", clip_on=False)
        axis.set(title=f"{NAMES[model]}, {kind}", ylim=(0, 1.02))
    axes[0].set_ylabel("accuracy, mean of benchmarks")
    legend(figure, axes[0])
    return figure

"""Accuracy by system, family and persona condition, from records or from the cells made of them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.analysis import cells as tables
from pdlib.analysis import stats
from pdlib.analysis.cells import OBJECTIVE, PERSONALIZED, Cell, Cells, MissingRecordsError
from pdlib.paper.catalogue import FAMILIES, FIGURE_ORDER, SYSTEMS, label
from pdlib.plots.style import GUESSING, bars, figure_legend, persona_legend
from pdlib.plots.systems import FAMILY_STYLE, KINDS, heights, name_systems, system_dot
from pdlib.plots.training import differences

WITHOUT = "PersonaDual, no persona"


def accuracy(
    records: pd.DataFrame | Cells, run: str | None = None, chance: pd.Series | None = None
) -> Figure:
    """Table 1: the three averages of every system, by family, with 95 % intervals.

    The dashed line with its band is PersonaDual asked without a persona; a dotted line in each
    block marks guessing.

    run: needed where the records hold several. chance: of `stats.chance_table`, for the dotted
    line.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    rows, borders = heights(cells, run)
    figure, axes = plt.subplots(
        1, 3, figsize=(10, 1.6 + 0.27 * len(rows)), layout="constrained", sharey=True
    )
    for axis, (block, (kind, condition)) in zip(axes, stats.BLOCKS.items(), strict=True):
        if "personadual" in rows and kind == "objective":
            bound = cells[cells.average(run, "personadual", kind, "none")].row()
            axis.axvspan(bound["ci_low"], bound["ci_high"], color="black", alpha=0.08, linewidth=0)
            axis.axvline(bound["mean"], color="black", linestyle="--", linewidth=1, label=WITHOUT)
        if chance is not None:
            level = chance[kind, condition]
            axis.axvline(level, color="black", linestyle=":", linewidth=1, label=GUESSING)
        for model, y in rows.items():
            row = cells[cells.average(run, model, kind, condition)].row()
            family = SYSTEMS[model].family
            system_dot(axis, row, y, *FAMILY_STYLE[family], label=family)
        n = len(cells.held(run, tables.BENCHMARKS[kind]))
        axis.set(
            title=tables.TITLES[block].replace(", ", ",\n"),
            xlabel=f"accuracy, mean of {n} benchmark{'s' if n > 1 else ''}",
        )
        name_systems(axis, rows, borders)
    handles, names = axes[0].get_legend_handles_labels()
    by_name = dict(zip(names, handles, strict=True))
    shown = [name for name in (*FAMILIES, WITHOUT, GUESSING) if name in by_name]
    figure.legend(
        [by_name[name] for name in shown],
        shown,
        loc="outside lower center",
        ncols=len(shown),
        frameon=False,
    )
    return figure


def interference(
    records: pd.DataFrame | Cells, benchmarks: Sequence[str] = OBJECTIVE + PERSONALIZED
) -> Figure:
    """Fig. 1: how a persona changes the accuracy of each run's backbone and of AlignXpert.

    Changes against no persona, in points, with paired 95 % intervals, for objective and for
    personalised questions.

    The paper's Fig. 1 has two benchmarks of each kind; here all of `benchmarks` that were asked are
    averaged. A kind of which nothing was asked has no panel.
    """
    cells = Cells.of(records)
    runs = sorted(cells.models, reverse=True)
    backbones = [(run, "backbone", run) for run in runs if "backbone" in cells.models[run]]
    experts = [
        (run, model, label(model))
        for run in runs
        for model in ("alignxpert_ica", "alignxpert_pba")
        if model in cells.models[run]
    ]
    if len({run for run, *_ in experts}) > 1:
        experts = [(run, model, f"{name}\n{run}") for run, model, name in experts]
    systems = backbones + experts
    if not systems:
        raise MissingRecordsError(
            "no records of backbone, alignxpert_ica or alignxpert_pba in any of the runs "
            f"{', '.join(cells.models)}"
        )
    kinds = {kind: of_kind for kind, of_kind in KINDS.items() if cells.benchmarks & set(of_kind)}
    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(max(4, 1.3 * len(systems)) * len(kinds), 3.4),
        layout="constrained",
        squeeze=False,
    )
    for axis, (kind, of_kind) in zip(axes[0], kinds.items(), strict=True):
        wanted = [name for name in of_kind if name in benchmarks]
        series = {
            condition: [_change(cells, run, model, wanted, condition) for run, model, _ in systems]
            for condition in ("unaligned", "aligned")
        }
        bars(axis, [name for *_, name in systems], series)
        if backbones and experts:
            axis.axvline(len(backbones) - 0.5, color="black", linewidth=0.6, linestyle=":")
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(title=kind, ylabel="accuracy against no persona (points)")
        axis.tick_params(axis="x", labelsize=8)
    persona_legend(figure, axes[0, 0])
    return figure


def _change(cells: Cells, run: str, model: str, benchmarks: Sequence[str], condition: str) -> dict:
    """Accuracy under `condition` minus that without a persona, in points, with its interval."""
    held = cells.held(run, benchmarks)
    sides = [(100, Cell(run, model, held, condition)), (-100, Cell(run, model, held, "none"))]
    return cells.sum(sides).row()


def mixing(records: pd.DataFrame | Cells, run: str | None = None) -> Figure:
    """Fig. 3a: accuracy against the share of personalised questions, one line per system.

    Bands are 95 % intervals. Left the objective questions are asked under unaligned personas, right
    under aligned ones.
    """
    cells = Cells.of(records)
    run = cells.one_run(run)
    ablated = ("no_dual_advantage", "no_dual_advantage_no_prefix_sampling")
    models = [model for model in heights(cells, run)[0] if model not in ablated]
    table = tables.mixing(cells, run, models)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    for axis, condition in zip(axes, ("unaligned", "aligned"), strict=True):
        for model in models:
            rows = table[(table.model == model) & (table.condition == condition)]
            is_ours, k = model == "personadual", FIGURE_ORDER.index(model)
            colour = "black" if is_ours else FAMILY_STYLE[SYSTEMS[model].family][0]
            axis.fill_between(
                rows.ratio,
                rows.ci_low,
                rows.ci_high,
                color=colour,
                alpha=0.2 if is_ours else 0.07,
                linewidth=0,
            )
            axis.plot(
                rows.ratio,
                rows["mean"],
                color=colour,
                linestyle="-" if is_ours else ("-", "--", ":", "-.")[k % 4],
                linewidth=2.4 if is_ours else 1.3,
                marker="osD^v<>PXd*ph"[k],
                markersize=10 if is_ours else 5,
                markevery=(k % 2, 2),
                label=label(model),
            )
        axis.set(
            title=f"{condition} persona on objective questions",
            xlabel="share of personalised questions",
            xlim=(-0.02, 1.02),
        )
        axis.grid(linewidth=0.4, alpha=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy on the mixed test set")
    figure_legend(figure, axes[0], ncols=1, loc="right center", fontsize=8, handlelength=3.5)
    return figure


def ablations(records: pd.DataFrame | Cells, run: str | None = None) -> Figure:
    """Table 2: SFT alone and the ablations minus PersonaDual, paired, in points."""
    cells = Cells.of(records)
    table = tables.ablations(cells, cells.one_run(run))
    figure = differences(table, "PersonaDual")
    for axis in figure.axes:
        axis.set_ylim(-0.6, table.system.nunique() - 0.4)
    return figure

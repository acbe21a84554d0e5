"""What the words tell of the mode: the strongest persona words (Fig. 5), the AUC of each model,
predicted against observed shares.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdlib.analysis.lexical import APART, GROUPS, MODELS, Words
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE

GROUP_LOOK = dict(
    zip(GROUPS, ((BLUE, ""), (ORANGE, "///"), (GREEN, "xx"), ("#CC79A7", "..."), ("white", "")))
)
APART_LOOK = dict(zip(APART, (("o", BLUE, "full"), ("s", "black", "none"))))


def lexical_words(found: Words) -> Figure:
    """The top words by |coefficient|, those to the personalised mode above, with 95 % intervals
    over personas [Fig. 5], from `lexical.words`; beyond the dotted lines no word lies by luck (95
    %). On the pocket world bold words are of the known cause.
    """
    part = found.table.head(found.top).sort_values("coefficient", ignore_index=True)
    figure, axis = plt.subplots(figsize=(7, 1.6 + 0.2 * len(part)), layout="constrained")
    for group, (colour, hatch) in GROUP_LOOK.items():
        of = part[part.group == group]
        axis.barh(
            of.index,
            of.coefficient,
            height=0.75,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.6,
        )
    axis.hlines(
        part.index, part.ci_low, part.ci_high, color="white", linewidth=3.2
    )  # or hatches would hide the interval
    axis.hlines(part.index, part.ci_low, part.ci_high, color="black", linewidth=1.6)
    axis.axvline(0, color="black", linewidth=0.8)
    for side in (-1, 1):
        axis.axvline(side * found.chance, color="black", linewidth=1, linestyle=":")
    axis.set(
        yticks=part.index,
        yticklabels=part.word,
        ylim=(-0.7, len(part) - 0.3),
        xlabel="← general      coefficient (log-odds)      personalised →",
    )
    axis.tick_params(axis="y", labelsize=8)
    if "cause" in part:
        for label, cause in zip(axis.get_yticklabels(), part.cause):
            label.set_fontweight("bold" if cause else "normal")
    axis.spines[["top", "right"]].set_visible(False)
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="black", linewidth=0.6, label=group)
        for group, (colour, hatch) in GROUP_LOOK.items()
        if group in set(part.group)
    ]
    handles.append(
        Line2D(
            [],
            [],
            color="black",
            linestyle=":",
            label="largest by luck" + "; bold: known cause" * ("cause" in part),
        )
    )
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=(len(handles) + 1) // 2,
        frameon=False,
        fontsize=8,
    )
    return figure


def lexical_models(scores: pd.DataFrame) -> Figure:
    """AUC of each model on held-out personas (and questions), with 95 % intervals over personas,
    from `lexical.compare`.
    """
    scored = scores[scores.auc.notna()]
    if scored.empty:
        raise ValueError("no model has an AUC; the note in the table says why")
    scopes, names = list(scored.scope.unique()), list(MODELS)[::-1]
    figure, axes = plt.subplots(
        1,
        len(scopes),
        figsize=(2 + 2.6 * len(scopes), 2.9),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, scope in zip(axes[0], scopes):
        for k, (apart, (marker, colour, fill)) in enumerate(APART_LOOK.items()):
            part = (
                scored[(scored.scope == scope) & (scored.apart == apart)]
                .set_index("model")
                .reindex(names)
            )
            y = [i + 0.13 * (1 - 2 * k) for i in range(len(names))]
            axis.hlines(y, part.ci_low, part.ci_high, color=colour, linewidth=1.6)
            axis.plot(
                part.auc, y, marker, color="white", markersize=6
            )  # the interval does not show through
            axis.plot(part.auc, y, marker, color=colour, fillstyle=fill, markersize=6)
        facts = scored[scored.scope == scope].iloc[0]
        axis.axvline(0.5, color="black", linewidth=0.8, linestyle=":")  # knows nothing
        axis.set_xlim(min(0.47, scored.ci_low.min() - 0.02), 1.01)
        axis.set(
            xlabel="AUC", yticks=range(len(names)), yticklabels=names, ylim=(-0.5, len(names) - 0.5)
        )
        axis.set_title(
            f"{scope}: {facts.n} answers,\n{100 * facts.personalized:.0f} % personalised",
            fontsize=9,
        )
        axis.grid(axis="y", color="0.92", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], marker=marker, color=colour, fillstyle=fill, label=f"held out: {apart}")
        for apart, (marker, colour, fill) in APART_LOOK.items()
        if apart in set(scored.apart)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8
    )
    return figure


def lexical_reliability(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Observed against predicted shares of personalised answers on held-out personas, a panel a
    model, with 95 % intervals over personas; model -> table of `lexical.reliability`.
    """
    figure, axes = plt.subplots(
        1,
        len(tables),
        figsize=(0.6 + 2.9 * len(tables), 3.1),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for k, (axis, (name, table)) in enumerate(zip(axes[0], tables.items())):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        axis.vlines(table.predicted, table.ci_low, table.ci_high, color=BLUE, linewidth=1.6)
        axis.plot(table.predicted, table.observed, "o", color=BLUE, markersize=5)
        axis.set(xlabel="predicted", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axis.set_title(f"{name}\n{table.n.sum()} answers in {len(table)} bins", fontsize=9)
        axis.set_ylabel("observed share personalised" if not k else "")
        axis.spines[["top", "right"]].set_visible(False)
    return figure

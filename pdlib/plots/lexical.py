"""What the words tell of the mode.

The strongest persona words (Fig. 5), how well each model predicts the mode, and predicted against
observed shares.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdlib.analysis.lexical import APART, GROUPS, MODELS, Words
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE, interval_dot

GROUP_LOOK = dict(
    zip(
        GROUPS,
        ((BLUE, ""), (ORANGE, "///"), (GREEN, "xx"), ("#CC79A7", "..."), ("white", "")),
        strict=True,
    )
)
APART_LOOK = dict(zip(APART, (("o", BLUE, "full"), ("s", "black", "none")), strict=True))


def lexical_words(words: Words) -> Figure:
    """The words with the largest |coefficient|, those to the personalised mode above [Fig. 5].

    From `lexical.words`, with 95 % intervals over personas; no word lies beyond the dotted lines by
    luck (95 %). On the pocket world bold words are of the known cause.
    """
    top = words.table.head(words.top).sort_values("coefficient", ignore_index=True)
    figure, axis = plt.subplots(figsize=(7, 1.6 + 0.2 * len(top)), layout="constrained")
    handles = []
    for group, (colour, hatch) in GROUP_LOOK.items():
        look = {"hatch": hatch, "edgecolor": "black", "linewidth": 0.6}
        rows = top[top.group == group]
        axis.barh(rows.index, rows.coefficient, height=0.75, color=colour, **look)
        if len(rows):
            handles.append(Patch(facecolor=colour, label=group, **look))
    for colour, width in (("white", 3.2), ("black", 1.6)):  # hatches would hide a bare interval
        axis.hlines(top.index, top.ci_low, top.ci_high, color=colour, linewidth=width)
    axis.axvline(0, color="black", linewidth=0.8)
    for side in (-1, 1):
        axis.axvline(side * words.chance, color="black", linewidth=1, linestyle=":")
    axis.set(
        yticks=top.index,
        yticklabels=top.word,
        ylim=(-0.7, len(top) - 0.3),
        xlabel="← general      coefficient (log-odds)      personalised →",
    )
    axis.tick_params(axis="y", labelsize=8)
    note = "largest by luck"
    if "cause" in top:
        note += "; bold: known cause"
        for label, is_cause in zip(axis.get_yticklabels(), top.cause, strict=True):
            label.set_fontweight("bold" if is_cause else "normal")
    axis.spines[["top", "right"]].set_visible(False)
    handles.append(Line2D([], [], color="black", linestyle=":", label=note))
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=(len(handles) + 1) // 2,
        frameon=False,
        fontsize=8,
    )
    return figure


def lexical_models(scores: pd.DataFrame) -> Figure:
    """AUC of each model on held-out personas, and on held-out personas and questions.

    From `lexical.compare`, with 95 % intervals over personas; the dotted line knows nothing.
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
    for axis, scope in zip(axes[0], scopes, strict=True):
        panel = scored[scored.scope == scope]
        for k, (apart, (marker, colour, fill)) in enumerate(APART_LOOK.items()):
            rows = panel[panel.apart == apart].set_index("model").reindex(names)
            y = [i + 0.13 * (1 - 2 * k) for i in range(len(names))]
            interval_dot(axis, y, rows.assign(mean=rows.auc), colour, marker, fill, width=1.6)
        facts = panel.iloc[0]
        axis.axvline(0.5, color="black", linewidth=0.8, linestyle=":")  # knows nothing
        axis.set(
            xlabel="AUC",
            xlim=(min(0.47, scored.ci_low.min() - 0.02), 1.01),
            yticks=range(len(names)),
            yticklabels=names,
            ylim=(-0.5, len(names) - 0.5),
        )
        share = 100 * facts.personalized
        axis.set_title(f"{scope}: {facts.n} answers,\n{share:.0f} % personalised", fontsize=9)
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
    """Observed against predicted shares of personalised answers on held-out personas.

    One panel per model, with 95 % intervals over personas; the dashed line is a perfect prediction.

    tables: model -> table of `lexical.reliability`.
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
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        axis.vlines(table.predicted, table.ci_low, table.ci_high, color=BLUE, linewidth=1.6)
        axis.plot(table.predicted, table.observed, "o", color=BLUE, markersize=5)
        axis.set(xlabel="predicted", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axis.set_title(f"{name}\n{table.n.sum()} answers in {len(table)} bins", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("observed share personalised")
    return figure

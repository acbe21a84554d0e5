"""Does the choice carry over: how well systems and rules tell rows whose memories must be used from
others.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdlib.plots.style import BLUE, GREY

TITLES = {
    "cross_domain": "against memories of\nanother domain",
    "sycophancy": "against memories that\ninvite flattery",
    "all": "against both",
    "general": "our own requests,\ntopics held out",
}


def carry_over(table: pd.DataFrame) -> Figure:
    """Area under the ROC curve of each system and rule, from `carry_over.table`, a panel per
    category: full over all pairs of rows, open among pairs whose queries are equally long; bars are
    95 % intervals, the dotted line is chance. Blue systems, grey rules.
    """
    panels = list(
        table[["benchmark", "category"]].drop_duplicates().itertuples(index=False, name=None)
    )
    names = list(dict.fromkeys(table.system))[::-1]
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(2.3 * len(panels) + 2.6, 1.8 + 0.42 * len(names)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, (benchmark, category) in zip(axes[0], panels):
        part = table[(table.benchmark == benchmark) & (table.category == category)]
        for row in part.itertuples():
            y, colour = names.index(row.system), GREY if row.is_rule else BLUE
            for shift, (mean, low, high), face in (
                (0.15, (row.auc, row.ci_low, row.ci_high), colour),
                (-0.15, (row.auc_same_length, row.same_length_low, row.same_length_high), "white"),
            ):
                axis.hlines(y + shift, low, high, color=colour, linewidth=1.5)
                axis.plot(
                    mean,
                    y + shift,
                    "s" if row.is_rule else "o",
                    color=colour,
                    markerfacecolor=face,
                    markersize=6,
                )
        axis.axvline(0.5, color="black", linewidth=1, linestyle=":")
        axis.set(
            title=TITLES.get(category, category),
            xlabel="AUC",
            xlim=(0, 1),
            yticks=range(len(names)),
            yticklabels=names,
        )
        axis.grid(axis="y", color="0.92", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], marker="o", color=BLUE, label="system, all pairs"),
        Line2D(
            [], [], marker="o", color=BLUE, markerfacecolor="white", label="queries of one length"
        ),
        Line2D([], [], marker="s", color=GREY, label="rule"),
        Line2D([], [], color="black", linewidth=1, linestyle=":", label="chance"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9
    )
    return figure

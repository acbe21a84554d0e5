"""Does the choice carry over to rows whose memories must be used, against other rows?"""

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
    """How well systems and rules tell rows whose memories must be used: areas under the ROC curve.

    From `carry_over.table`, one panel per category. A full mark counts all pairs of rows, an open
    one pairs whose queries are equally long; bars are 95 % intervals and the dotted line is chance.
    Systems are blue, rules are grey.
    """
    panels = table[["benchmark", "category"]].drop_duplicates().to_numpy().tolist()
    names = list(dict.fromkeys(table.system))[::-1]
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(2.3 * len(panels) + 2.6, 1.8 + 0.42 * len(names)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, (benchmark, category) in zip(axes[0], panels, strict=True):
        panel = table[(table.benchmark == benchmark) & (table.category == category)]
        for row in panel.itertuples():
            y, colour = names.index(row.system), GREY if row.is_rule else BLUE
            marker = "s" if row.is_rule else "o"
            every = row.auc, row.ci_low, row.ci_high
            same_length = row.auc_same_length, row.same_length_low, row.same_length_high
            for height, (auc, low, high), face in (
                (y + 0.15, every, colour),
                (y - 0.15, same_length, "white"),
            ):
                axis.hlines(height, low, high, color=colour, linewidth=1.5)
                axis.plot(auc, height, marker, color=colour, markerfacecolor=face, markersize=6)
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
    system = {"marker": "o", "color": BLUE}
    handles = [
        Line2D([], [], label="system, all pairs", **system),
        Line2D([], [], label="queries of one length", markerfacecolor="white", **system),
        Line2D([], [], marker="s", color=GREY, label="rule"),
        Line2D([], [], color="black", linewidth=1, linestyle=":", label="chance"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9
    )
    return figure

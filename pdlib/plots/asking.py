"""Asking back: what is answered and how often rightly, and what the policies score."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.analysis.asking_back import tables
from pdlib.analysis.selection import LEXICON, PERSONA_BLIND
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE

LOOKS = {  # policy -> colour, dash, marker
    tables.TRAINED: (BLUE, "-", "o"),
    tables.BEFORE: ("#D55E00", (0, (3, 1, 1, 1, 1, 1)), "P"),
    tables.THRESHOLD: (ORANGE, "--", "s"),
    PERSONA_BLIND: ("#CC79A7", (0, (5, 1, 1, 1)), "v"),
    LEXICON: (GREEN, ":", "^"),
    tables.ALWAYS: ("black", "-.", "D"),
    tables.ASKS: (GREY, (0, (1, 2)), "x"),
}
QUESTIONS = "all usual askers"


def asking_back(table: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Does it ask where it cannot know, and does that pay?

    Left, the share of wrong answers among those given, where only the least doubtful questions are
    answered: a lower curve is better. Large marks are what each model does by itself. Right, the
    mean score by what asking back counts.

    table: of `asking_back.table`. curves: of `asking_back.risks`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), layout="constrained")
    shown = table[table.questions == QUESTIONS]
    _risks(left, shown, curves)
    _scores(right, shown)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _risks(axis: Axes, table: pd.DataFrame, curves: pd.DataFrame) -> None:
    for name, label in (
        (tables.THRESHOLD, "answers sorted by agreement"),
        (tables.BEFORE, "before RL, sorted by P(clarify)"),
    ):
        rows, (colour, dash, _) = curves[curves.policy == name], LOOKS[name]
        axis.plot(rows.coverage, rows.risk, color=colour, linestyle=dash, label=label)
    trained = curves[curves.policy == tables.TRAINED]
    values = sorted(value for value in trained.value.unique() if value > 0)
    for k, value in enumerate(values):
        colour = plt.colormaps["Blues"](0.35 + 0.65 * (k + 1) / len(values))
        rows = trained[trained.value == value]
        axis.plot(rows.coverage, rows.risk, color=colour, label=f"trained, asking counts {value:g}")
        point = _means(table, tables.TRAINED, value)
        axis.plot(
            point["coverage"],
            1 - point["accuracy"],
            marker="osDvP"[k % 5],
            color=colour,
            markersize=9,
            markeredgecolor="black",
        )
    for name in (PERSONA_BLIND, LEXICON, tables.ALWAYS):
        point, (colour, _, marker) = _means(table, name, 0.0), LOOKS[name]
        axis.plot(
            point["coverage"],
            1 - point["accuracy"],
            marker,
            color=colour,
            markersize=9,
            markeredgecolor="white",
            label=name,
        )
    axis.set(xlabel="share of questions that are answered", ylabel="wrong among answered")
    axis.legend(fontsize=8, frameon=False)


def _means(table: pd.DataFrame, policy: str, value: float) -> pd.Series:
    rows = table[(table.policy == policy) & (table.value == value)]
    return rows.set_index("measure")["mean"]


def _scores(axis: Axes, table: pd.DataFrame) -> None:
    scores = table[table.measure == "score"]
    for k, (name, (colour, dash, marker)) in enumerate(LOOKS.items()):
        rows = scores[scores.policy == name].sort_values("value")
        arms = [(rows["mean"] - rows.ci_low), (rows.ci_high - rows["mean"])]
        axis.errorbar(
            rows.value + 0.006 * (k - 3),
            rows["mean"],
            yerr=[arm.clip(lower=0).fillna(0) for arm in arms],
            color=colour,
            linestyle=dash,
            marker=marker,
            capsize=2,
            label=name,
        )
    axis.set(xlabel="what asking back counts", ylabel="mean score per question")
    axis.legend(fontsize=8, frameon=False)

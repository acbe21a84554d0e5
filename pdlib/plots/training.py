"""Training curves, estimators by hand, the laboratory, advantages token by token."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE, figure_legend, lines


def training(log: pd.DataFrame, curve: str = "loss") -> Figure:
    """Left the curve of `curve`, right P(personalised) on validation questions where it was logged.

    P(personalised) is shown by kind of question and persona. Of more than two modes the chance of
    each but the first is shown, with a dash of its own.
    """
    chances = [column for column in log if column.startswith("P(")]
    logged_modes = list(dict.fromkeys(name.split(" ")[0] for name in chances))
    kinds = list(dict.fromkeys(name.split(" ", 1)[1] for name in chances))
    figure, axes = plt.subplots(
        1,
        2 if chances else 1,
        figsize=(8 if chances else 5, 3),
        layout="constrained",
        squeeze=False,
    )
    left, right = axes[0, 0], axes[0, -1]
    left.plot(log.step, log[curve], color=GREY, linewidth=0.8)
    smooth = log[curve].rolling(8, min_periods=1).mean()
    left.plot(log.step, smooth, color=BLUE, label="mean of 8")
    left.set(xlabel="step", ylabel=curve)
    left.legend(frameon=False)
    for name in chances:
        mode, kind = name.split(" ", 1)
        right.plot(
            log.step,
            log[name],
            color=(BLUE, GREEN, ORANGE)[kinds.index(kind) % 3],
            marker="os^"[kinds.index(kind) % 3],
            linestyle=("-", "--", ":")[logged_modes.index(mode) % 3],
            markevery=max(1, len(log) // 8),
            label=kind if len(logged_modes) == 1 else name,
        )
    if chances:
        is_one = len(logged_modes) == 1
        label = logged_modes[0] if is_one else "chance of the mode"
        right.set(xlabel="step", ylabel=label, ylim=(-0.02, 1.02))
        right.legend(frameon=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def pushes(panels: dict[str, pd.DataFrame]) -> Figure:
    """Expected update of the mode logit against P(general).

    One panel per entry of the dict, one line per column of its table.
    """
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(max(5, 3.6 * len(panels)), 3.8),
        layout="constrained",
        squeeze=False,
    )
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        lines(axis, table)
        axis.axhline(0, color="black", linewidth=0.8)
        low, high = axis.get_ylim()
        axis.set(title=title, xlabel="P(general)", xlim=(0, 1))
        axis.set_ylim(min(low, -0.02), max(high, 0.02))
        axis.legend(
            frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3
        )
    axes[0, 0].set_ylabel("expected push of the logit\ntowards the general mode")
    return figure


def paths(table: pd.DataFrame) -> Figure:
    """P(general) over gradient steps, one line per column."""
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    lines(axis, table)
    axis.set(xlabel="gradient step", ylabel="P(general)", ylim=(-0.02, 1.02))
    axis.legend(frameon=False, fontsize=8)
    return figure


def laboratory(curves: pd.DataFrame) -> Figure:
    """Reward, P(personalised) and entropy of the choice over steps, for each estimator.

    P(personalised) on fitting and on unfitting personas; all curves are means over seeds.
    """
    panels = {
        "reward": "reward",
        "P: objective aligned": "P(personalised), aligned",
        "P: objective unaligned": "P(personalised), unaligned",
        "entropy": "entropy of the choice (nats)",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 3.8), layout="constrained")
    for axis, (column, title) in zip(axes, panels.items(), strict=True):
        table = curves.pivot_table(index="step", columns="system", values=column, sort=False)
        lines(axis, table.rolling(5, min_periods=1).mean())
        axis.set(title=title, xlabel="step")
    ncols = min(6, curves.system.nunique())
    figure_legend(figure, axes[0], ncols, loc="lower center", fontsize=8)
    return figure


def differences(table: pd.DataFrame, against: str) -> Figure:
    """Each system minus `against`, in points.

    Thick lines are 95 % intervals, thin lines the intervals that hold for all comparisons.
    """
    measures, systems = list(table.measure.unique()), list(table.system.unique())[::-1]
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(11, 1.2 + 0.3 * len(systems)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    y = range(len(systems))
    for axis, measure in zip(axes[0], measures, strict=True):
        columns = ["mean", "ci_low", "ci_high", "wide_low", "wide_high"]
        points = 100 * table[table.measure == measure].set_index("system").loc[systems, columns]
        axis.hlines(y, points.wide_low, points.wide_high, color=GREY, linewidth=1)
        axis.hlines(y, points.ci_low, points.ci_high, color=BLUE, linewidth=3)
        axis.plot(points["mean"], y, "o", color="black", markersize=4)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(title=measure, xlabel=f"points against {against}", yticks=y, yticklabels=systems)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def token_advantages(tokens: list[list[str]], values: list[list[float]]) -> Figure:
    """Each rollout's tokens in a row, with the advantage that each token gets.

    Blue tokens are pushed up, orange ones down.
    """
    width = max(map(len, tokens))
    largest = max(abs(value) for row in values for value in row) or 1.0
    figure, axis = plt.subplots(figsize=(1.25 * width, 0.75 * len(tokens)), layout="constrained")
    centred = {"ha": "center", "va": "center", "fontsize": 7}
    for y, (row, advantages) in enumerate(zip(tokens, values, strict=True)):
        for x, (token, value) in enumerate(zip(row, advantages, strict=True)):
            face = (BLUE if value > 0 else ORANGE, 0.85 * abs(value) / largest)
            axis.add_patch(plt.Rectangle((x, -y), 0.96, 0.9, facecolor=face, edgecolor=GREY))
            axis.text(x + 0.48, -y + 0.6, token, **centred)
            axis.text(x + 0.48, -y + 0.22, f"{value:+.2f}", **centred)
    axis.set(xlim=(-0.05, width), ylim=(-len(tokens) + 0.95, 1))
    axis.axis("off")
    return figure

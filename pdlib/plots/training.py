"""Training curves, estimators by hand, the laboratory, advantages token by token."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE, lines


def training(log: pd.DataFrame, curve: str = "loss") -> Figure:
    """Left the curve of `curve`; right P(personalised) on validation questions by kind and persona,
    where logged.
    """
    chances = [c for c in log.columns if c.startswith("P(personalised)")]
    figure, axes = plt.subplots(
        1,
        2 if chances else 1,
        figsize=(8 if chances else 5, 3),
        layout="constrained",
        squeeze=False,
    )
    axes[0, 0].plot(log.step, log[curve], color=GREY, linewidth=0.8)
    axes[0, 0].plot(
        log.step, log[curve].rolling(8, min_periods=1).mean(), color=BLUE, label="mean of 8"
    )
    axes[0, 0].set(xlabel="step", ylabel=curve)
    axes[0, 0].legend(frameon=False)
    for name, colour, marker in zip(chances, (BLUE, GREEN, ORANGE), "os^"):
        axes[0, 1].plot(
            log.step,
            log[name],
            color=colour,
            marker=marker,
            markevery=max(1, len(log) // 8),
            label=name.removeprefix("P(personalised) "),
        )
        axes[0, 1].set(xlabel="step", ylabel="P(personalised)", ylim=(-0.02, 1.02))
        axes[0, 1].legend(frameon=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def pushes(panels: dict[str, pd.DataFrame]) -> Figure:
    """Expected update of the mode logit against P(general); one panel an entry, one line a column
    of its table.
    """
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(max(5, 3.6 * len(panels)), 3.8),
        layout="constrained",
        squeeze=False,
    )
    for axis, (title, table) in zip(axes[0], panels.items()):
        lines(axis, table)
        axis.axhline(0, color="black", linewidth=0.8)
        low, high = axis.get_ylim()
        axis.set(
            title=title, xlabel="P(general)", xlim=(0, 1), ylim=(min(low, -0.02), max(high, 0.02))
        )
        axis.legend(
            frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3
        )
    axes[0, 0].set_ylabel("expected push of the logit\ntowards the general mode")
    return figure


def paths(table: pd.DataFrame) -> Figure:
    """P(general) over gradient steps, one line a column."""
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    lines(axis, table)
    axis.set(xlabel="gradient step", ylabel="P(general)", ylim=(-0.02, 1.02))
    axis.legend(frameon=False, fontsize=8)
    return figure


def laboratory(curves: pd.DataFrame) -> Figure:
    """Reward, P(personalised) on fitting and unfitting personas, and entropy of the choice over
    steps; mean over seeds.
    """
    panels = {
        "reward": "reward",
        "P: objective aligned": "P(personalised), aligned",
        "P: objective unaligned": "P(personalised), unaligned",
        "entropy": "entropy of the choice (nats)",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 3.8), layout="constrained")
    for axis, (column, title) in zip(axes, panels.items()):
        table = curves.pivot_table(index="step", columns="system", values=column, sort=False)
        lines(axis, table.rolling(5, min_periods=1).mean())
        axis.set(title=title, xlabel="step")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(6, len(names)),
        frameon=False,
        fontsize=8,
    )
    return figure


def differences(table: pd.DataFrame, against: str) -> Figure:
    """Each system minus `against`, in points: thick the 95 % interval, thin the one that holds for
    all comparisons.
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
    for axis, measure in zip(axes[0], measures):
        columns = ["mean", "ci_low", "ci_high", "wide_low", "wide_high"]
        part = 100 * table[table.measure == measure].set_index("system").loc[systems, columns]
        axis.hlines(range(len(systems)), part.wide_low, part.wide_high, color=GREY, linewidth=1)
        axis.hlines(range(len(systems)), part.ci_low, part.ci_high, color=BLUE, linewidth=3)
        axis.plot(part["mean"], range(len(systems)), "o", color="black", markersize=4)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(
            title=measure,
            xlabel=f"points against {against}",
            yticks=range(len(systems)),
            yticklabels=systems,
        )
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def token_advantages(tokens: list[list[str]], values: list[list[float]]) -> Figure:
    """Each rollout's tokens in a row, with the advantage that each one gets: blue pushed up, orange
    pushed down.
    """
    width, largest = max(map(len, tokens)), max(abs(v) for row in values for v in row) or 1.0
    figure, axis = plt.subplots(figsize=(1.25 * width, 0.75 * len(tokens)), layout="constrained")
    for y, (row, advantages) in enumerate(zip(tokens, values, strict=True)):
        for x, (token, value) in enumerate(zip(row, advantages, strict=True)):
            colour = BLUE if value > 0 else ORANGE
            axis.add_patch(
                plt.Rectangle(
                    (x, -y),
                    0.96,
                    0.9,
                    facecolor=(colour, 0.85 * abs(value) / largest),
                    edgecolor=GREY,
                )
            )
            axis.text(x + 0.48, -y + 0.6, token, ha="center", va="center", fontsize=7)
            axis.text(x + 0.48, -y + 0.22, f"{value:+.2f}", ha="center", va="center", fontsize=7)
    axis.set(xlim=(-0.05, width), ylim=(-len(tokens) + 0.95, 1))
    axis.axis("off")
    return figure

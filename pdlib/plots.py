"""One function a figure: table in, figure out. Colour-blind safe (Okabe-Ito), readable in grey by hatch or marker."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib import stats

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00", "#000000", GREY, "#B8860B")
CONDITION_STYLE = {"none": (GREY, ""), "unaligned": (ORANGE, "//"), "aligned": (BLUE, ".")}
LABELS = {"backbone": "backbone", "sft_only": "SFT only", "personadual": "PersonaDual"}


def _bars(axis, groups: list[str], series: dict[str, list[dict]]):
    """Grouped bars with intervals; `series` maps a condition to one {mean, ci_low, ci_high} a group."""
    width = 0.8 / len(series)
    for k, (name, values) in enumerate(series.items()):
        colour, hatch = CONDITION_STYLE[name]
        x = [i + (k - (len(series) - 1) / 2) * width for i in range(len(groups))]
        mean = [v["mean"] for v in values]
        error = [[v["mean"] - v["ci_low"] for v in values], [v["ci_high"] - v["mean"] for v in values]]
        axis.bar(x, mean, width, yerr=error, capsize=3, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6, label=name)
    axis.set_xticks(range(len(groups)), groups)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axis):
    """The persona conditions above the axes, where they cover no bar."""
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, [f"{name} persona" if name != "none" else "no persona" for name in names],
                  loc="outside upper center", ncols=len(names), frameon=False)


def interference(records: pd.DataFrame) -> Figure:
    """Fig. 1: change of accuracy against no persona, in points, for each backbone; 95 % intervals over items."""
    runs = sorted(records.run.unique(), reverse=True)
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axis, kind in zip(axes, ("objective", "personalized")):
        part = records[records.kind == kind]
        series = {}
        for condition in ("unaligned", "aligned"):
            pairs = [stats.difference(part[(part.run == r) & (part.condition == condition)],
                                      part[(part.run == r) & (part.condition == "none")]) for r in runs]
            series[condition] = [{k: 100 * v for k, v in pair.items()} for pair in pairs]
        _bars(axis, runs, series)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_title(f"{kind} questions")
        axis.set_ylabel("accuracy against no persona (points)")
    _legend(figure, axes[0])
    return figure


def accuracy(records: pd.DataFrame) -> Figure:
    """Accuracy of each model under each persona condition, free mode, with 95 % intervals over items (Table 1, Avg.)."""
    free = records[records.forced == "none"]
    models = [m for m in LABELS if m in set(free.model)]
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    for axis, kind in zip(axes, ("objective", "personalized")):
        series = {c: [stats.mean_interval(free[(free.kind == kind) & (free.condition == c) & (free.model == m)])
                      for m in models] for c in CONDITION_STYLE}
        _bars(axis, [LABELS[m] for m in models], series)
        axis.set_title(f"{kind} questions")
    axes[0].set_ylabel("accuracy, mean of benchmarks")
    _legend(figure, axes[1])
    return figure


def mode_shares(records: pd.DataFrame) -> Figure:
    """Fig. 3b: share of free answers in the personalised mode, with 95 % intervals over items."""
    free = records[(records.forced == "none") & records.p_personalized.notna()]
    free = free.assign(personalized=(free["mode"] == "personalized").astype(float))
    models = [m for m in LABELS if m in set(free.model)]
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    for axis, kind in zip(axes, ("objective", "personalized")):
        conditions = [c for c in CONDITION_STYLE if kind == "objective" or c == "aligned"]
        series = {c: [stats.mean_interval(free[(free.kind == kind) & (free.condition == c) & (free.model == m)], "personalized")
                      for m in models] for c in conditions}
        _bars(axis, [LABELS[m] for m in models], series)
        axis.set_title(f"{kind} questions")
        axis.set_ylim(0, 1.02)
    axes[0].set_ylabel("share of personalised mode")
    _legend(figure, axes[0])
    return figure


def forced_modes(records: pd.DataFrame, model: str = "personadual") -> Figure:
    """Table 8: the same model free, forced general and forced personalised, on objective questions."""
    part = records[(records.model == model) & (records.kind == "objective")]
    names = {"none": "free", "general": "forced general", "personalized": "forced personalised"}
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    series = {c: [stats.mean_interval(part[(part.condition == c) & (part.forced == f)]) for f in names] for c in CONDITION_STYLE}
    _bars(axis, list(names.values()), series)
    axis.set_ylabel("accuracy, mean of benchmarks")
    axis.set_title(f"{LABELS[model]}, objective questions")
    _legend(figure, axis)
    return figure


def training(log: pd.DataFrame, curve: str = "loss") -> Figure:
    """Left the curve of `curve`; right P(personalised) on validation questions by kind and persona, where logged."""
    chances = [c for c in log.columns if c.startswith("P(personalised)")]
    figure, axes = plt.subplots(1, 2 if chances else 1, figsize=(8 if chances else 5, 3), layout="constrained", squeeze=False)
    axes[0, 0].plot(log.step, log[curve], color=GREY, linewidth=0.8)
    axes[0, 0].plot(log.step, log[curve].rolling(8, min_periods=1).mean(), color=BLUE, label="mean of 8")
    axes[0, 0].set(xlabel="step", ylabel=curve)
    axes[0, 0].legend(frameon=False)
    for name, colour, marker in zip(chances, (BLUE, GREEN, ORANGE), "os^"):
        axes[0, 1].plot(log.step, log[name], color=colour, marker=marker, markevery=max(1, len(log) // 8),
                        label=name.removeprefix("P(personalised) "))
        axes[0, 1].set(xlabel="step", ylabel="P(personalised)", ylim=(-0.02, 1.02))
        axes[0, 1].legend(frameon=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _lines(axis, table: pd.DataFrame):
    """One line a column, told apart by colour, dash and marker."""
    for k, name in enumerate(table.columns):
        turn = k + k // len(LINES)  # a colour comes back with another dash and marker
        axis.plot(table.index, table[name], color=LINES[k % len(LINES)], linestyle=("-", "--", ":")[turn % 3],
                  marker="os^vDP*X<>"[turn % 10], markevery=max(1, len(table) // 6), markersize=4, label=name)
    axis.spines[["top", "right"]].set_visible(False)


def pushes(panels: dict[str, pd.DataFrame]) -> Figure:
    """Expected update of the mode logit against P(general); one panel an entry, one line a column of its table."""
    figure, axes = plt.subplots(1, len(panels), figsize=(max(5, 3.6 * len(panels)), 3.8), layout="constrained", squeeze=False)
    for axis, (title, table) in zip(axes[0], panels.items()):
        _lines(axis, table)
        axis.axhline(0, color="black", linewidth=0.8)
        low, high = axis.get_ylim()
        axis.set(title=title, xlabel="P(general)", xlim=(0, 1), ylim=(min(low, -0.02), max(high, 0.02)))
        axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
    axes[0, 0].set_ylabel("expected push of the logit\ntowards the general mode")
    return figure


def paths(table: pd.DataFrame) -> Figure:
    """P(general) over gradient steps, one line a column."""
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    _lines(axis, table)
    axis.set(xlabel="gradient step", ylabel="P(general)", ylim=(-0.02, 1.02))
    axis.legend(frameon=False, fontsize=8)
    return figure


def laboratory(curves: pd.DataFrame) -> Figure:
    """Reward, P(personalised) on fitting and unfitting personas, and entropy of the choice over steps; mean over seeds."""
    panels = {"reward": "reward", "P: objective aligned": "P(personalised), aligned",
              "P: objective unaligned": "P(personalised), unaligned", "entropy": "entropy of the choice (nats)"}
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 3.8), layout="constrained")
    for axis, (column, title) in zip(axes, panels.items()):
        table = curves.pivot_table(index="step", columns="system", values=column, sort=False)
        _lines(axis, table.rolling(5, min_periods=1).mean())
        axis.set(title=title, xlabel="step")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)), frameon=False, fontsize=8)
    return figure


def differences(table: pd.DataFrame, against: str) -> Figure:
    """Each system minus `against`, in points: thick the 95 % interval, thin the one that holds for all comparisons."""
    measures, systems = list(table.measure.unique()), list(table.system.unique())[::-1]
    figure, axes = plt.subplots(1, len(measures), figsize=(11, 1.2 + 0.3 * len(systems)), layout="constrained", sharey=True, squeeze=False)
    for axis, measure in zip(axes[0], measures):
        part = 100 * table[table.measure == measure].set_index("system").loc[systems, ["mean", "ci_low", "ci_high", "wide_low", "wide_high"]]
        axis.hlines(range(len(systems)), part.wide_low, part.wide_high, color=GREY, linewidth=1)
        axis.hlines(range(len(systems)), part.ci_low, part.ci_high, color=BLUE, linewidth=3)
        axis.plot(part["mean"], range(len(systems)), "o", color="black", markersize=4)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(title=measure, xlabel=f"points against {against}", yticks=range(len(systems)), yticklabels=systems)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def token_advantages(tokens: list[list[str]], values: list[list[float]]) -> Figure:
    """Each rollout's tokens in a row, with the advantage that each one gets: blue pushed up, orange pushed down."""
    width, largest = max(map(len, tokens)), max(abs(v) for row in values for v in row) or 1.0
    figure, axis = plt.subplots(figsize=(1.25 * width, 0.75 * len(tokens)), layout="constrained")
    for y, (row, advantages) in enumerate(zip(tokens, values, strict=True)):
        for x, (token, value) in enumerate(zip(row, advantages, strict=True)):
            colour = BLUE if value > 0 else ORANGE
            axis.add_patch(plt.Rectangle((x, -y), 0.96, 0.9, facecolor=(colour, 0.85 * abs(value) / largest), edgecolor=GREY))
            axis.text(x + 0.48, -y + 0.6, token, ha="center", va="center", fontsize=7)
            axis.text(x + 0.48, -y + 0.22, f"{value:+.2f}", ha="center", va="center", fontsize=7)
    axis.set(xlim=(-0.05, width), ylim=(-len(tokens) + 0.95, 1))
    axis.axis("off")
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write `figure` as PNG; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path

"""Axes with one row per system of Table 1, grouped by family."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from pdlib.analysis.cells import OBJECTIVE, PERSONALIZED, Cells, MissingRecordsError
from pdlib.paper import catalogue
from pdlib.paper.catalogue import FAMILIES
from pdlib.plots.style import BLUE, GREEN, ORANGE

FAMILY_STYLE = {
    "general purpose": (BLUE, "o"),
    "personalisation-oriented": (ORANGE, "^"),
    "dual-mode": (GREEN, "s"),
}
KINDS = {"objective questions": OBJECTIVE, "personalised questions": PERSONALIZED}


def heights(
    cells: Cells, run: str, families: Sequence[str] = tuple(FAMILIES)
) -> tuple[dict[str, float], list[float]]:
    """(model -> its height, heights of the lines between families), from the top down.

    Models that `run` lacks take no room. MissingRecordsError where it has none of them.
    """
    rows, borders, y = {}, [], 0.0
    for family in families:
        present = [model for model in FAMILIES[family] if model in cells.models[run]]
        if present and rows:
            borders.append(y)
            y -= 0.4
        for model in present:
            y -= 1
            rows[model] = y + 0.3
    if not rows:
        raise MissingRecordsError(
            f"run {run} holds none of the systems of {', '.join(families)}, "
            f"found {', '.join(cells.models[run])}"
        )
    return rows, borders


def system_dot(axis: Axes, row: dict, y: float, colour: str, marker: str, **more):
    """A mean with its interval, in the row of its system."""
    axis.hlines(y, row["ci_low"], row["ci_high"], color=colour, linewidth=1.8)
    axis.plot(
        row["mean"],
        y,
        marker,
        color=colour,
        markeredgecolor="black",
        markeredgewidth=0.6,
        markersize=6,
        **more,
    )


def name_systems(axis: Axes, rows: dict[str, float], borders: Sequence[float] = ()):
    """The names beside their rows, and lines between families."""
    axis.set_yticks(list(rows.values()), [catalogue.label(model) for model in rows])
    axis.set_ylim(min(rows.values()) - 0.7, max(rows.values()) + 0.7)
    for border in borders:
        axis.axhline(border - 0.4, color="black", linewidth=0.5, linestyle=":")
    # inner axes of a shared row have no labels
    for label, model in zip(axis.get_yticklabels(), rows, strict=False):
        label.set_fontweight("bold" if model == "personadual" else "normal")
    axis.grid(axis="x", linewidth=0.4, alpha=0.6)
    axis.spines[["top", "right"]].set_visible(False)

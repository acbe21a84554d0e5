"""What drives the mode: heat maps of attention as in Fig. 4, and the methods beside it.

The figures of the methods are in `word_scores`; they are handed on here.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from pdlib.analysis.words.attention import POSITIONS
from pdlib.analysis.words.explain import METHODS, Explained
from pdlib.plots.word_scores import NOTE, causes, draw_scores, embolden_causes, methods, swaps
from pdlib.schema import Mode

__all__ = ["causes", "heads", "heat_map", "layers", "methods", "one_asker", "swaps"]

MAP = "Blues"  # from light to dark, in grey too; darker is more, as in Fig. 4
ROWS = {
    "general": Mode.GENERAL.tag,
    "personalized": Mode.PERSONALIZED.tag,
    "decision": "before the choice",
}


def _by_position(maps: np.ndarray) -> np.ndarray:
    """(P, L, H, W) -> (len(ROWS), W): the mean over layers and heads, in the order of ROWS."""
    return maps.mean((1, 2))[[POSITIONS.index(name) for name in ROWS]]


def _heat(
    axis: Axes,
    table: np.ndarray,
    rows: Sequence[str],
    words: pd.DataFrame,
    high: float,
    numbers: bool = True,
) -> AxesImage:
    """Rows x words in per cent."""
    image = axis.imshow(100 * table, cmap=MAP, vmin=0, vmax=100 * high, aspect="auto")
    axis.set_xticks(range(len(words)), words.word, rotation=35, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(rows)), rows)
    embolden_causes(axis.get_xticklabels(), words.word_class)
    if numbers:
        _write(axis, table, dark=0.6 * high, form="{:.1f}", size=7)
    return image


def _write(axis: Axes, table: np.ndarray, dark: float, form: str, size: int):
    """Each value in per cent in its cell, in white where the cell is darker than `dark`."""
    for row, column in np.ndindex(*table.shape):
        value = table[row, column]
        axis.text(
            column,
            row,
            form.format(100 * value),
            ha="center",
            va="center",
            fontsize=size,
            color="white" if value > dark else "black",
        )


def heat_map(explained: Explained, item_id: str) -> Figure:
    """Fig. 4: where one question's forced prefixes look, one panel per asker.

    Attention in % of a position's whole onto each word of the persona, from the prefix of either
    mode and from before the choice, mean over layers and heads.
    """
    conditions = [condition for name, condition in explained.maps if name == item_id]
    askers = [explained.of_asker(item_id, condition) for condition in conditions or [""]]
    tables = [_by_position(maps) for _, maps in askers]
    high = max(table.max() for table in tables)
    width = 2.5 + 0.62 * max(len(words) for words, _ in askers)
    figure, axes = plt.subplots(
        len(askers), 1, figsize=(width, 2.3 * len(askers)), layout="constrained", squeeze=False
    )
    for axis, condition, (words, _), table in zip(
        axes[:, 0], conditions, askers, tables, strict=True
    ):
        image = _heat(axis, table, list(ROWS.values()), words, high)
        p = words.p_personalized.iloc[0]
        title = f"{condition} persona, P(personalised) {p:.2f}"
        axis.set_title(title, fontsize=10, loc="left")
    figure.colorbar(image, ax=axes, label="attention (%)", shrink=0.8)
    figure.supxlabel(NOTE, fontsize=7, color="0.3", ha="left", x=0.01)
    return figure


def layers(
    explained: Explained,
    item_id: str,
    condition: str,
    position: str = "decision",
    by_head: bool = False,
) -> Figure:
    """Attention of one asker's prompt from `position` onto each word, by layer or by head.

    One row per layer is the mean over its heads.
    """
    if position not in POSITIONS:
        raise ValueError(f"unknown position {position!r}, expected one of {', '.join(POSITIONS)}")
    words, maps = explained.of_asker(item_id, condition)
    table = maps[POSITIONS.index(position)]  # (L, H, W)
    n_layers, n_heads, n_words = table.shape
    if by_head:
        table = table.reshape(-1, n_words)  # (L H, W)
        names = [f"layer {i + 1}, head {j + 1}" for i in range(n_layers) for j in range(n_heads)]
    else:
        table = table.mean(1)  # (L, W)
        names = [f"layer {i + 1}" for i in range(n_layers)]
    figure, axis = plt.subplots(
        figsize=(2.5 + 0.62 * n_words, 1.3 + 0.27 * len(names)), layout="constrained"
    )
    image = _heat(axis, table, names, words, table.max(), numbers=len(names) <= 16)
    axis.set_title(f"{condition} persona, from {ROWS[position]}", fontsize=10, loc="left")
    figure.colorbar(image, ax=axis, label="attention (%)", shrink=0.8)
    return figure


def one_asker(explained: Explained) -> Figure:
    """Above the attention onto the words of one asker, below the scores of each method.

    In the scores, to the right of zero a word speaks for the personalised mode. The asker is the
    first one that was explained.
    """
    words, maps = explained.of_asker(*next(iter(explained.maps)))
    table = _by_position(maps)
    figure = plt.figure(figsize=(10, 4.2 + 0.24 * len(words)), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[2.6, 1.4 + 0.24 * len(words)])
    axis = upper.subplots()
    image = _heat(axis, table, list(ROWS.values()), words, table.max())
    upper.colorbar(image, ax=axis, label="attention (%)")
    p = words.p_personalized.iloc[0]
    axis.set_title(f"P(personalised) {p:.2f}", fontsize=10, loc="left")
    draw_scores(lower.subplots(1, len(METHODS), sharey=True), words)
    return figure


def heads(table: pd.DataFrame, chance: float) -> Figure:
    """In what share of personas each head's most attended word is of the cause.

    From `causes.head_shares`, layer by head; chance is in the title.
    """
    n_layers, n_heads = table.shape
    figure, axis = plt.subplots(
        figsize=(2 + 0.55 * n_heads, 1.2 + 0.4 * n_layers), layout="constrained"
    )
    image = axis.imshow(100 * table.to_numpy(), cmap=MAP, vmin=0, vmax=100, aspect="auto")
    axis.set(xlabel="head", ylabel="layer", title=f"finds the cause (%), chance {chance:.0%}")
    if table.size <= 200:
        _write(axis, table.to_numpy(), dark=0.6, form="{:.0f}", size=8)
        axis.set_xticks(range(n_heads), range(1, n_heads + 1))
        axis.set_yticks(range(n_layers), range(1, n_layers + 1))
    figure.colorbar(image, ax=axis)
    return figure

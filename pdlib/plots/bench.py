"""Figures of `make bench`, and what sharing a prefix means as a picture."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from pdlib.plots.style import BLUE, GREY, ORANGE


def bench(rows: pd.DataFrame) -> Figure:
    """How many times faster than stock TRL each part runs, from rows of `bench.times`.

    Dots are measurements with the range of their turns; a tick is the ratio of the work.
    """
    shown = rows[rows.best.notna()].reset_index(drop=True)
    y = np.arange(len(shown))[::-1]
    figure, axis = plt.subplots(figsize=(7.5, 0.9 + 0.3 * len(shown)), layout="constrained")
    axis.plot(
        shown.best,
        y,
        "|",
        color=ORANGE,
        markersize=14,
        markeredgewidth=2,
        label="ratio of the work (counted FLOPs)",
    )
    error = [shown.ratio - shown.ratio_low, shown.ratio_high - shown.ratio]
    axis.errorbar(shown.ratio, y, xerr=error, fmt="o", color=BLUE, capsize=3, label="measured")
    axis.axvline(1, color=GREY, linewidth=0.8, linestyle="--")
    names = [
        f"{row.part}: {row.model}, {row.prompts} × {row.prompt} + {row.rollouts} × {row.completion}"
        for row in shown.itertuples()
    ]
    axis.set_yticks(y, names)
    axis.set(xlabel="times faster than stock TRL", xlim=(0, None))
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def shared_prefix(prompt: int = 6, completion: int = 4, rows: int = 4) -> Figure:
    """Which token sees which: written out row by row, and with one prompt for all rows.

    There are `rows` completions, half of them in each mode.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")
    for axis, is_shared in zip(axes, (False, True), strict=True):
        seen = _seen(prompt, completion, rows, is_shared)
        axis.imshow(
            seen,
            cmap=ListedColormap(["white", GREY, BLUE, ORANGE]),
            vmin=0,
            vmax=3,
            interpolation="nearest",
        )
        title = "shared" if is_shared else "written out"
        axis.set(title=f"{title}: {len(seen)} tokens, {int((seen > 0).sum())} pairs")
        axis.set(xlabel="is seen", ylabel="sees", xticks=[], yticks=[])
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (GREY, BLUE, ORANGE)]
    figure.legend(
        handles,
        ["the prompt", "own tokens, general mode", "own tokens, personalised mode"],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return figure


def _seen(prompt: int, completion: int, rows: int, is_shared: bool) -> np.ndarray:
    """(T, T): 0 where a token does not see another one, else what that one is.

    1: of the prompt; 2: of a completion in the general mode; 3: in the personalised mode.
    """
    lengths = [prompt, *[completion] * rows] if is_shared else [0, *[prompt + completion] * rows]
    owner = np.repeat(np.arange(rows + 1), lengths)  # (T,) row of each token; 0: the shared prompt
    index = np.arange(len(owner))
    is_prompt = owner == 0 if is_shared else index % (prompt + completion) < prompt
    kind = np.where(is_prompt, 1, np.where(owner > rows // 2, 3, 2))
    visible = (owner[:, None] == owner) | (owner == 0)  # (T, T)
    return np.where(visible & (index[:, None] >= index), kind, 0)

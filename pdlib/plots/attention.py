"""What drives the mode: heat maps of attention as in Fig. 4, the methods beside it, and which of
them finds the known cause.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pdlib.analysis.words.attention import POSITIONS
from pdlib.analysis.words.causes import CAUSES
from pdlib.analysis.words.explain import METHODS, Explained, explain, typed
from pdlib.plots.style import BLUE, GREEN, GREY, ORANGE, bars, legend
from pdlib.schema import Mode, Persona

MAP = "Blues"  # from light to dark, in grey too; darker is more, as in Fig. 4
ROWS = {
    "general": Mode.GENERAL.tag,
    "personalized": Mode.PERSONALIZED.tag,
    "decision": "before the choice",
}
BARS = dict(zip(METHODS, ((GREY, ""), (BLUE, "//"), (GREEN, ".."), (ORANGE, "xx"))))
NOTE, TICK = "bold: occupation and studied word", "tick: the same place in the shuffled persona"


def _ask(explained: Explained, item_id: str, condition: str) -> tuple[pd.DataFrame, np.ndarray]:
    """(rows of one persona's words, attention (P, L, H, W) onto them)."""
    if (item_id, condition) not in explained.maps:
        raise ValueError(
            f"item {item_id!r} was not explained under {condition!r}; there are {len(explained.maps)} askers, the first: "
            f"{next(iter(explained.maps), None)}"
        )
    words = explained.words
    return words[(words.item_id == item_id) & (words.condition == condition)], explained.maps[
        item_id, condition
    ]


def _tick_words(labels, classes: pd.Series) -> None:
    for label, name in zip(labels, classes):
        label.set_fontweight("bold" if name in CAUSES["cause"] else "normal")


def _heat(
    axis, table: np.ndarray, rows: list[str], words: pd.DataFrame, high: float, numbers: bool = True
):
    """Rows x words in per cent."""
    image = axis.imshow(100 * table, cmap=MAP, vmin=0, vmax=100 * high, aspect="auto")
    axis.set_xticks(range(len(words)), words.word, rotation=35, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(rows)), rows)
    _tick_words(axis.get_xticklabels(), words.word_class)
    for row, column in np.ndindex(*table.shape) if numbers else ():
        dark = table[row, column] > 0.6 * high
        axis.text(
            column,
            row,
            f"{100 * table[row, column]:.1f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    return image


def heat_map(explained: Explained, item_id: str) -> Figure:
    """Fig. 4: one question, each of its askers a panel; attention (% of a position's whole) from
    either forced mode's prefix and from before the choice, mean over layers and heads.
    """
    asks = [condition for name, condition in explained.maps if name == item_id]
    found = [_ask(explained, item_id, condition) for condition in asks or [""]]
    tables = [maps.mean((1, 2))[[POSITIONS.index(name) for name in ROWS]] for _, maps in found]
    high = max(table.max() for table in tables)
    figure, axes = plt.subplots(
        len(asks),
        1,
        figsize=(2.5 + 0.62 * max(len(words) for words, _ in found), 2.3 * len(asks)),
        layout="constrained",
        squeeze=False,
    )
    for axis, condition, (words, _), table in zip(axes[:, 0], asks, found, tables):
        image = _heat(axis, table, list(ROWS.values()), words, high)
        axis.set_title(
            f"{condition} persona, P(personalised) {words.p_personalized.iloc[0]:.2f}",
            fontsize=10,
            loc="left",
        )
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
    """Attention of one asker's prompt from `position` onto each word, a row a layer (mean over its
    heads) or a row a head.
    """
    if position not in POSITIONS:
        raise ValueError(f"unknown position {position!r}, expected one of {', '.join(POSITIONS)}")
    words, maps = _ask(explained, item_id, condition)
    table = maps[POSITIONS.index(position)]  # (L, H, W)
    names = [
        f"layer {layer + 1}" + f", head {head + 1}" * by_head
        for layer in range(table.shape[0])
        for head in range(table.shape[1] if by_head else 1)
    ]
    table = table.reshape(-1, table.shape[2]) if by_head else table.mean(1)
    figure, axis = plt.subplots(
        figsize=(2.5 + 0.62 * len(words), 1.3 + 0.27 * len(names)), layout="constrained"
    )
    image = _heat(axis, table, names, words, table.max(), numbers=len(names) <= 16)
    axis.set_title(f"{condition} persona, from {ROWS[position]}", fontsize=10, loc="left")
    figure.colorbar(image, ax=axis, label="attention (%)", shrink=0.8)
    return figure


def _method_bars(axes, words: pd.DataFrame) -> None:
    """A panel a method, a bar a word; a tick where the same place stands when the persona is
    shuffled.
    """
    y = np.arange(len(words))[::-1]
    for axis, (name, title) in zip(axes, METHODS.items()):
        colour, hatch = BARS[name]
        scale = 100 if name == "attention" else 1
        axis.barh(
            y, scale * words[name], color=colour, hatch=hatch, edgecolor="black", linewidth=0.5
        )
        axis.plot(
            scale * words[f"shuffled_{name}"],
            y,
            "|",
            color="black",
            markersize=9,
            markeredgewidth=1.8,
        )
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(
            "% of the position's attention" if name == "attention" else "log-odds", fontsize=8
        )
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(y, words.word)
    _tick_words(axes[0].get_yticklabels(), words.word_class)


def methods(explained: Explained, item_id: str, condition: str) -> Figure:
    """The scores of one asker's words side by side; to the right of zero a word speaks for the
    personalised mode.
    """
    words, _ = _ask(explained, item_id, condition)
    figure, axes = plt.subplots(
        1, len(METHODS), figsize=(10, 1.3 + 0.24 * len(words)), layout="constrained", sharey=True
    )
    _method_bars(axes, words)
    title = (
        f"{condition} persona, P(personalised) {words.p_personalized.iloc[0]:.2f};  {TICK};  {NOTE}"
    )
    figure.suptitle(title, fontsize=8, ha="left", x=0.01)
    return figure


def by_hand(model, tokenizer, persona: str, question: str, pool=(), seed: int = 0) -> Figure:
    """For a persona and a question as typed: heat map and all scores. ValueError, in words, where
    one of them is missing.
    """
    if not persona.strip():
        raise ValueError("no persona: type who asks, such as: a chemist who studies bond")
    item = typed(question)
    found = explain(
        model,
        tokenizer,
        [("typed", item, Persona(persona.strip()))],
        pool=pool,
        shuffles=4,
        seed=seed,
    )
    words, maps = _ask(found, item.id, "typed")
    figure = plt.figure(figsize=(10, 4.2 + 0.24 * len(words)), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[2.6, 1.4 + 0.24 * len(words)])
    axis, table = upper.subplots(), maps.mean((1, 2))[[POSITIONS.index(name) for name in ROWS]]
    upper.colorbar(
        _heat(axis, table, list(ROWS.values()), words, table.max()), ax=axis, label="attention (%)"
    )
    axis.set_title(f"P(personalised) {words.p_personalized.iloc[0]:.2f}", fontsize=10, loc="left")
    _method_bars(lower.subplots(1, len(METHODS), sharey=True), words)
    return figure


def causes(table: pd.DataFrame, condition: str = "aligned") -> Figure:
    """Which method finds the cause: its words' share among the top words, from `causes.shares` and
    `pooled_shares`; a panel a size of the top. Band: 95 % of what scores dealt out at random reach;
    diamond: the same places in the shuffled persona; dots: at best.
    """
    part = table[table.condition == condition]
    if part.empty:
        raise ValueError(
            f"no rows of {condition!r}, found {sorted(table.condition.unique())}; `causes.shares` makes this table"
        )
    tops, names = list(part.top.unique()), list(part.method.unique())
    figure, axes = plt.subplots(
        1,
        len(tops),
        figsize=(1.2 + 3.1 * len(tops), 3.8),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, top in zip(axes[0], tops):
        rows = part[part.top == top].set_index("method").loc[names]
        for x, (name, row) in enumerate(rows.iterrows()):
            colour, hatch = BARS[name]
            wide = [x - 0.45, x + 0.45]
            axis.bar(
                x,
                100 * row["mean"],
                0.66,
                color=colour,
                hatch=hatch,
                edgecolor="black",
                linewidth=0.6,
                capsize=3,
                yerr=[
                    [100 * max(0, row["mean"] - row.ci_low)],
                    [100 * max(0, row.ci_high - row["mean"])],
                ],
            )
            axis.fill_between(
                wide,
                100 * row.chance_low,
                100 * row.chance_high,
                color="black",
                alpha=0.3,
                linewidth=0,
                zorder=3,
                label="chance, 95 %" if not x else None,
            )
            axis.plot(
                x,
                100 * row.shuffled,
                "D",
                color="white",
                markeredgecolor="black",
                markersize=6,
                zorder=4,
                label="shuffled persona" if not x else None,
            )
            axis.plot(
                wide,
                [100 * row.best] * 2,
                ":",
                color="black",
                linewidth=1.2,
                label="best possible" if not x else None,
            )
        axis.set_xticks(
            range(len(names)),
            [METHODS[name].replace(": ", ":\n").replace(" × ", "\n× ") for name in names],
            fontsize=8,
        )
        axis.set_title(f"among the top {top}" if top != 1 else "the top word", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(
        ylim=(0, 108),
        ylabel=f"{'occupation or studied word' if part.of.iloc[0] == 'cause' else part.of.iloc[0]} (%)",
    )
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    return figure


def heads(table: pd.DataFrame, chance: float) -> Figure:
    """In what share of personas each head's most attended word is of the cause, from
    `causes.head_shares`; chance in the title.
    """
    figure, axis = plt.subplots(
        figsize=(2 + 0.55 * table.shape[1], 1.2 + 0.4 * table.shape[0]), layout="constrained"
    )
    image = axis.imshow(100 * table.to_numpy(), cmap=MAP, vmin=0, vmax=100, aspect="auto")
    for row, column in np.ndindex(*table.shape) if table.size <= 200 else ():
        value = table.iat[row, column]
        axis.text(
            column,
            row,
            f"{100 * value:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value > 0.6 else "black",
        )
    axis.set(xlabel="head", ylabel="layer", title=f"finds the cause (%), chance {chance:.0%}")
    if table.size <= 200:
        axis.set_xticks(range(table.shape[1]), range(1, table.shape[1] + 1))
        axis.set_yticks(range(table.shape[0]), range(1, table.shape[0] + 1))
    figure.colorbar(image, ax=axis)
    return figure


def swaps(effects: pd.DataFrame) -> Figure:
    """How far P(personalised) moves when a whole fact is exchanged for a stranger's, from
    `explain.swap_effects`.
    """
    facts = list(effects.fact.unique())
    series = {
        condition: [dict(part.set_index("fact").loc[fact]) for fact in facts]
        for condition, part in effects.groupby("condition", sort=False)
    }
    figure, axis = plt.subplots(figsize=(5.5, 3), layout="constrained")
    bars(axis, facts, series)
    axis.set_ylabel("mean change of P(personalised)")
    legend(figure, axis)
    return figure

"""The idea of the paper in one figure."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.plots.style import BLUE, GREY, ORANGE

ROLLOUTS = {"general": (1.0, 0.1), "personalised": (0.1, 0.1)}  # rewards, as in notebook 04
COLOUR = {"general": BLUE, "personalised": ORANGE}


def _box(
    axis: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    colour: str = GREY,
    size: float = 8.5,
    bold: bool = False,
):
    axis.add_patch(
        plt.Rectangle(
            (x, y), width, height, facecolor=(colour, 0.16), edgecolor=colour, linewidth=1.2
        )
    )
    axis.text(
        x + width / 2,
        y + height / 2,
        text,
        ha="center",
        va="center",
        fontsize=size,
        weight="bold" if bold else "normal",
    )


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = "black"):
    axis.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 1.2,
            "shrinkA": 1,
            "shrinkB": 1,
        },
    )


def _choice(axis: Axes):
    """Above: two questions of one asker, one model, two modes, and which of them is right."""
    _box(axis, 0, 31, 21, 15, "I am a coach\nwho studies pitch.", size=9)
    _box(axis, 26, 33, 14, 11, "one model", size=9.5, bold=True)
    _arrow(axis, (21, 38.5), (26, 38.5))
    rows = {
        "general": (41, "[General_mode]", "as if nobody in\nparticular asked"),
        "personalised": (27, "[Personalized_mode]", "as this person\nwould mean it"),
    }
    for name, (y, tag, how) in rows.items():
        _arrow(axis, (40, 38.5), (46, y + 4.5), COLOUR[name])
        _box(axis, 46, y, 22, 9, f"{tag}\n{how}", COLOUR[name])
    axis.text(
        33,
        29,
        "its first token is the mode:\nP(personalised)",
        fontsize=8,
        ha="center",
        style="italic",
    )
    questions = {
        "what is pitch?": (
            77,
            "the persona\nsettles it",
            ("sales talk", False),
            ("playing field", True),
        ),
        "near the piano,\nwhat is pitch?": (
            92,
            "the persona\nmisleads",
            ("height of a note", True),
            ("playing field", False),
        ),
    }
    for question, (x, what, *answers) in questions.items():
        axis.text(x, 54.5, question, ha="center", va="center", fontsize=8.5, weight="bold")
        axis.text(x, 23, what, ha="center", va="center", fontsize=8, style="italic")
        for (name, (y, *_)), (answer, right) in zip(rows.items(), answers):
            axis.text(
                x,
                y + 4.5,
                f"{answer}\n{'right' if right else 'wrong'}",
                ha="center",
                va="center",
                fontsize=8.5,
                weight="bold" if right else "normal",
                color="black" if right else "0.45",
            )
    axis.text(0, 54.5, "Answering", va="center", fontsize=11, weight="bold")


def _training(axis: Axes):
    """Below: SFT teaches both modes, DualGRPO when to use which, on the rewards of ROLLOUTS."""
    _box(
        axis,
        0,
        2,
        21,
        15,
        "1  SFT: trajectories of\nboth modes, each with\nits tag first",
        size=8.5,
    )
    _arrow(axis, (21, 9.5), (26, 9.5))
    _box(
        axis,
        26,
        2,
        20,
        15,
        "2  DualGRPO: rollouts\nforced into each mode,\nevery one rewarded",
        size=8.5,
    )
    _arrow(axis, (46, 9.5), (50, 9.5))
    means = {name: sum(rewards) / len(rewards) for name, rewards in ROLLOUTS.items()}
    other = dict(zip(means, reversed(means.values())))
    for name, y in (("general", 12), ("personalised", 2)):
        for k, reward in enumerate(ROLLOUTS[name]):
            _box(axis, 51 + 9 * k, y, 8, 5, f"{reward:.1f}", COLOUR[name])
            axis.text(
                55 + 9 * k,
                y - 1.8,
                f"A = {reward - other[name]:+.2f}".replace("+0.00", "0"),
                ha="center",
                va="center",
                fontsize=7.5,
            )
    axis.text(
        71,
        9.5,
        "A = (reward − own mode's mean)\n  + (own mode's mean − other mode's)\n\n"
        "which answer was good, and which mode",
        fontsize=8.5,
        ha="left",
        va="center",
    )
    axis.text(59.5, 18.7, "rewards", ha="center", fontsize=8, style="italic")
    axis.text(0, 20, "Learning", va="center", fontsize=11, weight="bold")


def idea() -> Figure:
    """One asker, two questions, two modes; and how a model learns when to use which. Blue: general,
    orange: personalised.
    """
    figure, axis = plt.subplots(figsize=(9.6, 5.4), layout="constrained")
    axis.set(xlim=(-1, 101), ylim=(-2, 58))
    axis.axis("off")
    _choice(axis)
    _training(axis)
    return figure

"""The idea of the paper in one figure."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdlib.plots.style import BLUE, GREY, ORANGE

ROLLOUTS = {"general": (1.0, 0.1), "personalised": (0.1, 0.1)}  # rewards, as in notebook 04
COLOUR = {"general": BLUE, "personalised": ORANGE}
MODES = {  # mode -> its height, its tag, how it answers
    "general": (41, "[General_mode]", "as if nobody in\nparticular asked"),
    "personalised": (27, "[Personalized_mode]", "as this person\nwould mean it"),
}
QUESTIONS = {  # question -> its place, what the persona does, each mode's answer: is it right?
    "what is pitch?": (
        77,
        "the persona\nsettles it",
        {"general": ("sales talk", False), "personalised": ("playing field", True)},
    ),
    "near the piano,\nwhat is pitch?": (
        92,
        "the persona\nmisleads",
        {"general": ("height of a note", True), "personalised": ("playing field", False)},
    ),
}
CENTRED = {"ha": "center", "va": "center"}


def _box(
    axis: Axes,
    corner: tuple[float, float],
    width: float,
    height: float,
    text: str,
    colour: str = GREY,
    size: float = 8.5,
    weight: str = "normal",
):
    (x, y), face = corner, (colour, 0.16)
    axis.add_patch(
        plt.Rectangle(corner, width, height, facecolor=face, edgecolor=colour, linewidth=1.2)
    )
    axis.text(x + width / 2, y + height / 2, text, fontsize=size, weight=weight, **CENTRED)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = "black"):
    look = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 1, "shrinkB": 1}
    axis.annotate("", end, start, arrowprops=look)


def _choice(axis: Axes):
    """Above: two questions of one asker, one model, two modes, and which of them is right."""
    axis.text(0, 54.5, "Answering", va="center", fontsize=11, weight="bold")
    _box(axis, (0, 31), 21, 15, "I am a coach\nwho studies pitch.", size=9)
    _box(axis, (26, 33), 14, 11, "one model", size=9.5, weight="bold")
    _arrow(axis, (21, 38.5), (26, 38.5))
    for mode, (y, tag, how) in MODES.items():
        _arrow(axis, (40, 38.5), (46, y + 4.5), COLOUR[mode])
        _box(axis, (46, y), 22, 9, f"{tag}\n{how}", COLOUR[mode])
    first_token = "its first token is the mode:\nP(personalised)"
    axis.text(33, 29, first_token, fontsize=8, ha="center", style="italic")
    for question, (x, what, answers) in QUESTIONS.items():
        axis.text(x, 54.5, question, fontsize=8.5, weight="bold", **CENTRED)
        axis.text(x, 23, what, fontsize=8, style="italic", **CENTRED)
        for mode, (answer, is_right) in answers.items():
            axis.text(
                x,
                MODES[mode][0] + 4.5,
                f"{answer}\n{'right' if is_right else 'wrong'}",
                fontsize=8.5,
                weight="bold" if is_right else "normal",
                color="black" if is_right else "0.45",
                **CENTRED,
            )


def _training(axis: Axes):
    """Below: SFT teaches both modes, DualGRPO when to use which, on the rewards of ROLLOUTS."""
    axis.text(0, 20, "Learning", va="center", fontsize=11, weight="bold")
    sft = "1  SFT: trajectories of\nboth modes, each with\nits tag first"
    dualgrpo = "2  DualGRPO: rollouts\nforced into each mode,\nevery one rewarded"
    _box(axis, (0, 2), 21, 15, sft)
    _arrow(axis, (21, 9.5), (26, 9.5))
    _box(axis, (26, 2), 20, 15, dualgrpo)
    _arrow(axis, (46, 9.5), (50, 9.5))
    axis.text(59.5, 18.7, "rewards", ha="center", fontsize=8, style="italic")
    means = {mode: sum(rewards) / len(rewards) for mode, rewards in ROLLOUTS.items()}
    other_mean = {"general": means["personalised"], "personalised": means["general"]}
    for mode, y in (("general", 12), ("personalised", 2)):
        for k, reward in enumerate(ROLLOUTS[mode]):
            _box(axis, (51 + 9 * k, y), 8, 5, f"{reward:.1f}", COLOUR[mode])
            advantage = f"A = {reward - other_mean[mode]:+.2f}".replace("+0.00", "0")
            axis.text(55 + 9 * k, y - 1.8, advantage, fontsize=7.5, **CENTRED)
    formula = (
        "A = (reward − own mode's mean)\n  + (own mode's mean − other mode's)\n\n"
        "which answer was good, and which mode"
    )
    axis.text(71, 9.5, formula, fontsize=8.5, ha="left", va="center")


def idea() -> Figure:
    """One asker, two questions, two modes; and how a model learns when to use which.

    Blue is the general mode, orange the personalised one.
    """
    figure, axis = plt.subplots(figsize=(9.6, 5.4), layout="constrained")
    axis.set(xlim=(-1, 101), ylim=(-2, 58))
    axis.axis("off")
    _choice(axis)
    _training(axis)
    return figure

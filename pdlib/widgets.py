"""Widgets over pure functions. Each comes with a static twin, so that an executed or printed copy loses nothing."""

import functools
import os
from collections.abc import Callable

from IPython.display import Markdown, display
from ipywidgets import interactive
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pdlib.workbook import STATIC


def _show(result) -> None:
    display(result)
    if isinstance(result, Figure):
        plt.close(result)  # or the inline backend would show it a second time


def explore(function: Callable, twin: list[dict], **controls) -> None:
    """Controls over `function`, which returns something that can be displayed; below them its results at the settings in `twin`.

    controls: as for `ipywidgets.interactive`; a list is a menu, (low, high, step) a slider, a string a text field. They
    start at the function's defaults; a parameter that is not named gets the control of its default's type. A ValueError
    of the function is shown in words in place of its result.
    """
    @functools.wraps(function)
    def live(**settings):
        try:
            _show(function(**settings))
        except ValueError as problem:
            print(problem)

    if not os.environ.get(STATIC):
        box = interactive(live, **controls)
        for control in box.children[:-1]:
            control.style.description_width = "initial"  # the whole name, not its beginning
        display(box)
    for settings in twin:
        display(Markdown(", ".join(f"{name} `{value}`" for name, value in settings.items())))
        _show(function(**settings))

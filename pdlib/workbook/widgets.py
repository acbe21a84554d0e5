"""Widgets over pure functions.

Each comes with a static twin, so that an executed or printed copy loses nothing.
"""

import functools
import os
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from IPython.display import Markdown, display
from ipywidgets import (
    HTML,
    BoundedIntText,
    Combobox,
    Dropdown,
    SelectionSlider,
    Text,
    VBox,
    interactive,
)
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pdlib.workbook.runner import STATIC

WORKING = "working …"  # what a busy widget says
EVERY = 1.0  # seconds after which it also says for how long
# what a function refuses in words; anything else is a defect and shows its traceback
REFUSALS = (ValueError, FileNotFoundError)


def _show(result) -> None:
    """Display a result; a tuple or list one thing after another."""
    for thing in result if isinstance(result, tuple | list) else (result,):
        if thing is not None:
            display(thing)
        if isinstance(thing, Figure):
            plt.close(thing)  # or the inline backend would show it a second time


class _SignOfLife:
    """Says in `status` that something is going on and, if it takes longer, for how many seconds."""

    def __init__(self, status: HTML):
        self.status, self.over = status, threading.Event()

    def __enter__(self):
        self.started, self.status.value = time.monotonic(), WORKING
        self.clock = threading.Thread(target=self._count, daemon=True)
        self.clock.start()
        return self

    def _count(self):
        while not self.over.wait(EVERY):
            seconds = time.monotonic() - self.started
            self.status.value = (
                f"{WORKING} {seconds:.0f} s (the stop button of the notebook ends it)"
            )

    def __exit__(self, kind, problem, trace):
        self.over.set()
        self.clock.join()  # or a late second would overwrite what follows
        self.status.value = "failed" if kind else f"done in {time.monotonic() - self.started:.1f} s"


def panel(function: Callable, button: str = "", **controls) -> VBox:
    """The controls over `function`, a status line, and the place of its results.

    Nothing is displayed yet.

    Without `button` the function runs at once and whenever a control changes (a text: on Enter, or
    when it is left); with one, when the button that reads so is pressed: for what takes seconds.
    While it runs nothing else does, so the status line counts them.
    """
    status = HTML()

    @functools.wraps(function)
    def live(**settings):
        with _SignOfLife(status):
            try:
                _show(function(**settings))
            except REFUSALS as problem:
                print(textwrap.fill(str(problem), 100))
            except KeyboardInterrupt:
                print("stopped; change a control to go on")

    box = interactive(live, {"manual": bool(button), "manual_name": button}, **controls)
    for control in box.children[:-1]:
        control.style.description_width = "initial"  # the whole name, not its beginning
        if isinstance(control, Text | Dropdown) and len(str(control.value)) > 20:
            control.layout.width = "95%"
        if isinstance(control, Text):
            control.continuous_update = False
    box.children = (*box.children[:-1], status, box.children[-1])
    return box


def typed(examples: Sequence[str], free: bool = True) -> Combobox | Dropdown:
    """A control for a text, at first examples[0].

    It is a field that proposes the other examples (empty it to see them all); not `free`: a menu.
    """
    if free:
        return Combobox(value=examples[0], options=tuple(examples), ensure_option=False)
    options = [(example or "(nobody)", example) for example in examples]
    return Dropdown(value=examples[0], options=options)


def counter() -> BoundedIntText:
    """A number from 1 on, with arrows."""
    return BoundedIntText(value=1, min=1, max=10**9)


def steps(values: Sequence[float], value: float) -> SelectionSlider:
    """A slider over `values` and nothing between them."""
    return SelectionSlider(options=[(f"{step:g}", step) for step in values], value=value)


def explore(function: Callable, twin: Sequence[dict], button: str = "", **controls) -> None:
    """A `panel` over `function`, and below it the results at the settings in `twin`.

    The function returns something that can be displayed, or several such things. controls: as for
    `ipywidgets.interactive`; a list is a menu, (low, high, step) a slider, a string a text field, a
    widget itself. They start at the function's defaults; a parameter that is not named gets the
    control of its default's type. A ValueError or FileNotFoundError of the function is shown in
    words in place of its result; in a twin it stops the notebook.
    """
    live, busy = not os.environ.get(STATIC), nullcontext()
    if live:
        display(panel(function, button, **controls))
    if live and button:  # then the twin, too, takes seconds
        busy = _SignOfLife(HTML())
        display(busy.status)
    with busy:
        for settings in twin:
            words = (
                f"no {name}" if value == "" else f"{name} `{value}`"
                for name, value in settings.items()
            )
            display(Markdown(", ".join(words)))
            _show(function(**settings))

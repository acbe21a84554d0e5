"""Notebook display helpers: live source of a function, prompts, checks."""

import inspect
from collections.abc import Callable

from IPython.display import Code, Markdown, display


def source(thing: Callable) -> Code:
    """The live source of a pdlib function, so that a notebook never holds a second copy of it."""
    return Code(inspect.getsource(thing), language="python")


def prompt(text: str, title: str = "") -> None:
    """Show a prompt or completion as the model sees it."""
    display(Markdown(f"{f'**{title}**' if title else ''}\n\n```text\n{text}\n```"))


def check(claim: str, holds: bool) -> None:
    """Print the claim when it holds; stop the notebook with it when it does not."""
    if not holds:
        raise AssertionError(f"check failed: {claim}")
    print(f"check: {claim}")

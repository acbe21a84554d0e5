"""What the first notebook shows.

Is everything here, how does the trained model answer, which function is which equation, how long
does each notebook take? `store_answers` and `store_minutes` add to outputs/reference what that
notebook needs where nothing was trained yet.
"""

import importlib
import inspect
import re

import pandas as pd
from pandas.io.formats.style import Styler

from pdlib import paper
from pdlib.workbook.durations import machines, measured, minutes, store_minutes
from pdlib.workbook.environment import environment
from pdlib.workbook.trained_model import asker, side_by_side, store_answers, trained

__all__ = [
    "asker",
    "environment",
    "equations",
    "machines",
    "measured",
    "minutes",
    "shown",
    "side_by_side",
    "store_answers",
    "store_minutes",
    "trained",
]


def shown(table: pd.DataFrame) -> Styler:
    """A table of texts as it reads best: to the left, without row numbers."""
    left = [{"selector": "th, td", "props": "text-align: left; vertical-align: top"}]
    return table.style.hide().set_table_styles(left)


def equations() -> pd.DataFrame:
    """The paper's equations, each with its function, what that does, and its notebook."""
    rows = []
    for number, (path, notebook) in paper.EQUATIONS.items():
        module, _, name = path.rpartition(".")
        summary = inspect.getdoc(getattr(importlib.import_module(module), name))
        summary = " ".join(summary.partition("\n\n")[0].split())
        summary = re.sub(r" ?\[Eq\. [^]]*\]", "", summary).strip()
        rows.append(
            {
                "equation": number,
                "function": path.removeprefix("pdlib."),
                "what it does": summary.partition(". ")[0].removesuffix("."),
                "notebook": notebook,
            }
        )
    return pd.DataFrame(rows)

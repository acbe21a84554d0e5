"""The book: a static site from the executed notebooks, the guides and the results (`make book`).

Sphinx with MyST-NB and its book theme (what Jupyter Book 1 is made of): plain Python at fixed pins,
no network. Jupyter Book 2 needs Node and fetches its theme when it builds.
"""

from pdlib.tools.book.check import faults
from pdlib.tools.book.site import build

__all__ = ["build", "faults"]

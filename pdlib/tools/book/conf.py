"""Sphinx's settings for the book.

The book loads nothing from another host: fonts, search and formulas come with it.
"""

import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

project = "The PersonaDual workbook"
extensions = ["myst_nb"]
show_warning_types = True

nb_execution_mode = "off"  # what is shown was run by papermill
nb_merge_streams = True
nb_output_stderr = "remove"  # libraries' notes about the machine; the executed notebook keeps them
# executed copies show a widget's static twin; its scripts would come from another host
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["book.css"]
html_favicon = "static/icon.svg"
html_show_copyright = False
html_context = {
    "default_mode": "auto"
}  # light or dark as the reader's system, until it is switched
html_math_renderer = "mathml"
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "use_fullscreen_button": False,
    "footer_content_items": [],
    "navbar_persistent": [],
}


def mathml(node, block: bool) -> str:
    r"""MathML of a formula node.

    Browsers draw it by themselves, screen readers read it, and it needs neither scripts nor fonts.
    docutils reads the number in `\frac12` as twelve, TeX as one and two.
    """
    formula = re.sub(r"\\([dt]?frac)(\d)(\d)", r"\\\1{\2}{\3}", node.astext())
    try:
        return tex2mathml(formula, as_block=block)
    except MathError as problem:
        raise ExtensionError(
            f"{node.source}:{node.line}: {problem} in the formula {node.astext()!r}"
        ) from problem


def visit_math(translator, node):
    """Write a formula within a line."""
    translator.body.append(mathml(node, block=False))
    raise SkipNode


def visit_math_block(translator, node):
    """Write a formula that stands alone."""
    translator.body.append(f"<div class='formula'>{mathml(node, block=True)}</div>")
    raise SkipNode


def setup(app):
    """Tell Sphinx who writes formulas."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))

"""HTML as text: the one way in which the workbook and the report build tables and lists."""

import html
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """A value as text of a page: what HTML would read as a tag or an attribute's end is escaped."""
    return html.escape(str(value))


def element(name: str, content: str = "", **attributes: object) -> str:
    """An element around `content`, which is HTML already; attributes are escaped here.

    An attribute that is None is left out; `class_` stands for `class`.

    >>> element("td", text("a < b"), title="it's", colspan=2, id=None)
    "<td title='it&#x27;s' colspan='2'>a &lt; b</td>"
    """
    given = [(key, value) for key, value in attributes.items() if value is not None]
    listed = "".join(f" {key.rstrip('_')}='{text(value)}'" for key, value in given)
    return f"<{name}{listed}>{content}</{name}>"


def row(cells: Iterable[str], **attributes: object) -> str:
    """A row of a table; the cells are elements."""
    return element("tr", "".join(cells), **attributes)


def table(head: Sequence[str], body: Iterable[str], caption: str = "", **attributes: object) -> str:
    """A table of rows, perhaps with rows as its head; the caption is plain text."""
    content = element("caption", text(caption)) if caption else ""
    content += element("thead", "".join(head)) if head else ""
    return element("table", content + element("tbody", "".join(body)), **attributes)


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences, which are plain text; empty without any."""
    lines = "".join(element("li", text(sentence)) for sentence in sentences)
    return element("ul", lines) if lines else ""

"""report.html, one self-contained page.

On the first screen is what a run found; claims, figures, tables and ledger are folded below.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pdlib.report.drawings import CAPTIONS
from pdlib.report.formats import interval, number
from pdlib.report.status import DIRECTIONS, STATUS, STATUSES, overview
from pdlib.report.tables import TABLES, table_html
from pdlib.workbook import markup

TEMPLATE = Path(__file__).with_name("template.html")
FIRST_FIGURE = "table1"  # on the first screen
POCKET = (
    "This is the pocket world: small questions, and tiny models trained from nothing. It shows "
    "whether the mechanism works, not the paper's level. "
)
NO_FINDINGS = "<p>These records hold no answers of PersonaDual to compare.</p>"


@dataclass(frozen=True)
class FirstScreen:
    """The sentences of the first screen, and the run of the first backbone.

    findings, failures: of `screen` by `sentences.sentence`; open_questions, coverage: of
    `sentences`.
    """

    run: str
    findings: Sequence[str]
    failures: Sequence[str]
    open_questions: Sequence[str]
    coverage: str


def page(
    first: FirstScreen,
    entries: Sequence[dict],
    claims: pd.DataFrame,
    pictures: Sequence[tuple[Path, str]],
    undrawn: Mapping[str, str],
) -> str:
    """The page's text; pictures: (PNG path, caption); undrawn: figure -> why it cannot be drawn."""
    is_pocket = first.run.startswith("pocket")
    tables = (
        markup.element("div", table_html(entries, name), class_="wide", tabindex=0)
        for name in TABLES
    )
    contents = {
        "world": POCKET if is_pocket else f"The first backbone is {markup.text(first.run)}. ",
        "covers": markup.text(first.coverage),
        "found": markup.bullets(first.findings) or NO_FINDINGS,
        "fails": markup.bullets([*first.failures, *first.open_questions]),
        "first": _figures(pair for pair in pictures if pair[0].stem == FIRST_FIGURE),
        "overview": _overview(entries),
        "claims": _claims(claims),
        "figures": _figures(pair for pair in pictures if pair[0].stem != FIRST_FIGURE)
        + _undrawn(undrawn),
        "tables": "".join(tables),
        "ledger": _ledger(entries),
        "numbers": str(len(entries)),
        "artefacts": _options(dict.fromkeys(entry["artefact"] for entry in entries)),
        "statuses": _options(STATUSES),
        "directions": _options(DIRECTIONS),
        "comparisons": _options(STATUS),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, content in contents.items():
        text = text.replace("{{" + name + "}}", content)
    return text


def _figures(pictures: Iterable[tuple[Path, str]]) -> str:
    figures = []
    for path, caption in pictures:
        source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        image = f"<img alt='{html.escape(caption)}' src='{source}'>"
        caption = markup.element("figcaption", markup.text(caption))
        figures.append(markup.element("figure", image + caption))
    return "".join(figures)


def _undrawn(undrawn: Mapping[str, str]) -> str:
    """The figures that are not drawn, with the reason."""
    lines = (f"Not drawn: {CAPTIONS[name]}. {reason}." for name, reason in undrawn.items())
    return "".join(markup.element("p", markup.text(line), class_="left") for line in lines)


def _options(names: Iterable[str]) -> str:
    return "".join(markup.element("option", markup.text(name)) for name in names)


def _overview(entries: Sequence[dict]) -> str:
    counts = overview(entries)
    rows = [[name, *(count or "" for count in row)] for name, *row in counts.itertuples()]
    return _table(["artefact", *counts.columns], rows, "overview")


def _claims(claims: pd.DataFrame) -> str:
    head = ["claim", "ours", "95 % interval", "items", "seeds", "paper", "direction"]
    rows = [
        [
            row.claim,
            number(row.ours),
            interval(row.ci_low, row.ci_high),
            row.n,
            row.seeds,
            "" if pd.isna(row.paper) else number(row.paper),
            "" if pd.isna(row.direction) else row.direction,
        ]
        for row in claims.itertuples()
    ]
    return _table(head, rows, "claims")


def _ledger(entries: Sequence[dict]) -> str:
    """A row per entry, with the sentence that states its number as a tip."""
    rows = [
        {
            "artefact": entry["artefact"],
            "row": entry["row"],
            "column": entry["column"],
            "paper": number(entry["paper"]),
            "ours": number(entry["ours"]),
            "95 % interval": interval(entry["ci_low"], entry["ci_high"]),
            "items": number(entry["n"]),
            "seeds": entry["seeds"] or "",
            "margin": "" if entry["margin"] is None else number(entry["margin"]),
            "comparison": entry["comparison"] or "",
            "direction": entry["direction"] or "",
            "status": entry["status"],
            "note": entry["note"],
        }
        for entry in entries
    ]
    tips = [entry["quotation"] or None for entry in entries]
    return _table(list(rows[0]), [list(row.values()) for row in rows], "ledger", tips)


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence],
    identity: str,
    tips: Sequence[str | None] | None = None,
) -> str:
    """A table of texts; tips: one per row, shown where a reader points at it."""
    body = [
        markup.row((markup.element("td", markup.text(cell)) for cell in cells), title=tip)
        for cells, tip in zip(rows, tips or [None] * len(rows), strict=True)
    ]
    columns = (markup.element("th", markup.text(name), scope="col") for name in head)
    return markup.table([markup.row(columns)], body, id=identity)

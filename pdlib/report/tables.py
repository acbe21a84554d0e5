"""The paper's tables rebuilt from ledger entries: rows systems, columns benchmarks, each cell ours
with its interval beside the paper's.
"""

import html
from collections.abc import Sequence

import pandas as pd

TABLES = {
    "table1": "Table 1: all systems",
    "table2": "Table 2: stages and ablations",
    "table4": "Table 4: with and without persona",
    "table8": "Table 8: forced modes and the either-mode upper bound",
    "table9": "Table 9: the second backbone",
}


def number(value: float | None) -> str:
    """Three decimals, counts as they are, a dash for what is missing."""
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _split(column: str) -> tuple[str, str]:
    """("PubMedQA", "unaligned") of a column; ("Avg.", ...) of the personalised block keeps its
    name.
    """
    name, condition = column.rsplit(" ", 1)
    return name, condition


def _grid(entries: Sequence[dict], artefact: str) -> tuple[dict, list[tuple[str, str]]]:
    """((row, (benchmark, condition)) -> entry, columns in the paper's order); ValueError for an
    artefact that is no such table.
    """
    cells = {(e["row"], _split(e["column"])): e for e in entries if e["artefact"] == artefact}
    if artefact not in TABLES or not cells:
        raise ValueError(
            f"no table {artefact!r} among the entries, expected one of {', '.join(TABLES)}"
        )
    names = list(dict.fromkeys(name for _, (name, _) in cells))
    held = {column for _, column in cells}
    return cells, [
        (name, condition)
        for name in names
        for condition in ("none", "unaligned", "aligned")
        if (name, condition) in held
    ]


def table(entries: Sequence[dict], artefact: str) -> pd.DataFrame:
    """`artefact` (a key of TABLES) in the paper's layout; cells read "ours [low, high] | paper",
    empty where it prints nothing.
    """
    cells, columns = _grid(entries, artefact)
    rows = list(dict.fromkeys(row for row, _ in cells))

    def text(e):
        ours = number(e["ours"]) + (
            f" [{number(e['ci_low'])}, {number(e['ci_high'])}]" if e["ours"] is not None else ""
        )
        return f"{ours} | {number(e['paper'])}"

    body = [
        [text(cells[row, column]) if (row, column) in cells else "" for column in columns]
        for row in rows
    ]
    return pd.DataFrame(body, index=rows, columns=pd.MultiIndex.from_tuples(columns))


def table_html(entries: Sequence[dict], artefact: str) -> str:
    """The same as HTML; a row asked without persona only (the upper bound) spans the columns of its
    benchmark.
    """
    cells, columns = _grid(entries, artefact)
    rows = list(dict.fromkeys(row for row, _ in cells))
    bare = [
        row for row in rows if all(condition == "none" for r, (_, condition) in cells if r == row)
    ]
    if bare and any(condition != "none" for _, condition in columns) and len(bare) < len(rows):
        columns = [column for column in columns if column[1] != "none"]
    else:
        bare = []
    names = list(dict.fromkeys(name for name, _ in columns))
    spans = {name: sum(n == name for n, _ in columns) for name in names}
    head = (
        "<tr><td></td>"
        + "".join(f"<th scope='colgroup' colspan='{spans[n]}'>{html.escape(n)}</th>" for n in names)
        + "</tr><tr><td></td>"
        + "".join(f"<th scope='col'>{condition}</th>" for _, condition in columns)
        + "</tr>"
    )
    body = ""
    for row in rows:
        body += f"<tr><th scope='row'>{html.escape(row)}</th>"
        if row in bare:
            body += "".join(_cell(cells.get((row, (name, "none"))), spans[name]) for name in names)
        else:
            body += "".join(_cell(cells.get((row, column)), 1) for column in columns)
        body += "</tr>"
    return f"<table class='paper'><caption>{html.escape(TABLES[artefact])}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def _cell(entry: dict | None, span: int) -> str:
    if entry is None:
        return f"<td colspan='{span}'></td>"
    interval = (
        ""
        if entry["ours"] is None
        else f"<small>{number(entry['ci_low'])}–{number(entry['ci_high'])}</small>"
    )
    tip = html.escape(f"{entry['status']}: {entry['note']}", quote=True)
    return f"<td colspan='{span}' title='{tip}'><b>{number(entry['ours'])}</b>{interval}<i>{number(entry['paper'])}</i></td>"

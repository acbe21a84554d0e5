"""The paper's tables rebuilt from ledger entries.

Rows are systems, columns benchmarks; each cell shows ours with its interval beside the paper's.
"""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pdlib.report.formats import number
from pdlib.workbook import markup

TABLES = {
    "table1": "Table 1: all systems",
    "table2": "Table 2: stages and ablations",
    "table4": "Table 4: with and without persona",
    "table8": "Table 8: forced modes and the either-mode upper bound",
    "table9": "Table 9: the second backbone",
}
CONDITIONS = ("none", "unaligned", "aligned")  # in the order of columns


def _layout(entries: Sequence[dict], artefact: str) -> pd.DataFrame:
    """The entries of a table in the paper's layout: a row per system, (benchmark, condition) above.

    None where the paper prints nothing; ValueError for an artefact that is no such table.
    """
    cells = {}
    for entry in entries:
        if entry["artefact"] == artefact:
            benchmark, condition = entry["column"].rsplit(" ", 1)
            cells[entry["row"], (benchmark, condition)] = entry
    if artefact not in TABLES or not cells:
        raise ValueError(
            f"no table {artefact!r} among the entries, expected one of {', '.join(TABLES)}"
        )
    rows = list(dict.fromkeys(row for row, _ in cells))
    printed = list(dict.fromkeys(column for _, column in cells))
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in printed))
    columns = sorted(
        printed, key=lambda column: (benchmarks.index(column[0]), CONDITIONS.index(column[1]))
    )
    body = [[cells.get((row, column)) for column in columns] for row in rows]
    return pd.DataFrame(body, index=rows, columns=pd.MultiIndex.from_tuples(columns), dtype=object)


def table(entries: Sequence[dict], artefact: str) -> pd.DataFrame:
    """`artefact` (a key of TABLES) in the paper's layout.

    Cells read "ours [low, high] | paper", and are empty where the paper prints nothing.
    """
    return _layout(entries, artefact).map(_cell_text)


def _cell_text(entry: dict | None) -> str:
    if entry is None:
        return ""
    ours = number(entry["ours"])
    if entry["ours"] is not None:
        ours += f" [{number(entry['ci_low'])}, {number(entry['ci_high'])}]"
    return f"{ours} | {number(entry['paper'])}"


def table_html(entries: Sequence[dict], artefact: str) -> str:
    """The same as HTML.

    A row asked without persona only (the upper bound) spans the columns of its benchmark.
    """
    layout = _layout(entries, artefact)
    without = layout.columns.get_level_values(1) == "none"
    is_bound = layout.loc[:, ~without].isna().all(axis=1)
    has_bound = is_bound.any() and not is_bound.all()
    if has_bound:  # the columns are those of the other rows
        bounds, layout = layout.xs("none", axis=1, level=1), layout.loc[:, ~without]
    spans = Counter(layout.columns.get_level_values(0))
    body = []
    for row, cells in layout.iterrows():
        if has_bound and is_bound[row]:
            bound = bounds.loc[row]
            shown = [_cell(bound.get(name), span) for name, span in spans.items()]
        else:
            shown = [_cell(entry) for entry in cells]
        body.append(markup.row([markup.element("th", markup.text(row), scope="row"), *shown]))
    corner = markup.element("td")
    benchmarks = (
        markup.element("th", markup.text(name), scope="colgroup", colspan=span)
        for name, span in spans.items()
    )
    conditions = (markup.element("th", condition, scope="col") for _, condition in layout.columns)
    head = [markup.row([corner, *benchmarks]), markup.row([corner, *conditions])]
    return markup.table(head, body, caption=TABLES[artefact], class_="paper")


def _cell(entry: dict | None, span: int = 1) -> str:
    """Ours, its interval and the paper's number, with the status and its note as a tip."""
    if entry is None:
        return markup.element("td", colspan=span)
    content = markup.element("b", number(entry["ours"]))
    if entry["ours"] is not None:
        limits = f"{number(entry['ci_low'])}–{number(entry['ci_high'])}"
        content += markup.element("small", limits)
    content += markup.element("i", number(entry["paper"]))
    tip = f"{entry['status']}: {entry['note']}"
    return markup.element("td", content, colspan=span, title=tip)

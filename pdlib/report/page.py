"""report.html: what a run found on the first screen; claims, figures, tables and ledger folded
below. One self-contained page.
"""

import base64
import html
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib.analysis.cells import Cells, Missing
from pdlib.plots import save
from pdlib.plots.accuracy import (
    ablations,
    accuracy,
    forced_modes,
    interference,
    mixing,
    mode_shares,
)
from pdlib.report import screen
from pdlib.report.claims import headline
from pdlib.report.entries import ledger
from pdlib.report.status import DIRECTIONS, STATUS, STATUSES
from pdlib.report.tables import TABLES, number, table, table_html
from pdlib.run import stages

TEMPLATE = Path(__file__).with_name("template.html")
LEDGER_HEAD = [
    "artefact",
    "row",
    "column",
    "paper",
    "ours",
    "95 % interval",
    "items",
    "seeds",
    "margin",
    "comparison",
    "direction",
    "status",
    "note",
]
FIRST_FIGURE = "table1"  # on the first screen
POCKET = (
    "This is the pocket world: small questions, and tiny models trained from nothing. It shows whether the mechanism works, not the "
    "paper's level. "
)
CAPTIONS = {
    "table1": "Table 1: accuracy of every system by family; the dashed line is PersonaDual without any persona",
    "figure1": "Fig. 1: change of accuracy against no persona",
    "figure3a": "Fig. 3a: accuracy on test sets with a share of personalised questions",
    "figure3b": "Fig. 3b: share of the personalised mode",
    "table2": "Table 2: stages and ablations against PersonaDual",
    "table8": "Table 8: free, forced into either mode, and right in either",
}


DRAW = {
    "table1": accuracy,
    "figure1": interference,
    "figure3a": mixing,
    "figure3b": mode_shares,
    "table2": ablations,
    "table8": forced_modes,
}


def figures(records: pd.DataFrame | Cells, run: str) -> tuple[dict[str, Figure], dict[str, str]]:
    """(name -> figure, name -> why it cannot be drawn): Tables 1, 2, 8 and Fig. 1, 3a, 3b of `run`,
    Fig. 1 of every run.
    """
    cells, done, left = Cells.of(records), {}, {}
    for name, draw in DRAW.items():
        try:
            done[name] = draw(cells) if name == "figure1" else draw(cells, run=run)
        except Missing as reason:
            left[name] = str(reason)
    return done, left


def write_html(
    folder: Path,
    records: pd.DataFrame | Cells,
    first_run: str,
    extra: Sequence[tuple[Path, str]] = (),
    second_run: str | None = None,
    entries: Sequence[dict] | None = None,
    selection: pd.DataFrame | None = None,
    counterfactual: pd.DataFrame | None = None,
    **arguments,
) -> Path:
    """Write ledger.json, headline.csv, tables/*.csv, figures/*.png and report.html to `folder`;
    returns the page.

    extra: (PNG path, caption) of figures that records do not hold (training curves); one of a
    figure drawn here gives only its caption. entries: the ledger's, where it is at hand; selection,
    counterfactual: tables of `selection.value` and `counterfactual.differences`, for the first
    screen; the other arguments are those of `ledger`, see `evidence`. Raises ValueError as `ledger`
    does, and when an extra figure is missing.
    """
    captions = CAPTIONS | {path.stem: text for path, text in extra if path.stem in CAPTIONS}
    extra = [(path, text) for path, text in extra if path.stem not in CAPTIONS]
    if missing := [path.name for path, _ in extra if not path.is_file()]:
        raise ValueError(
            f"figures {missing} are missing; run the notebooks that draw them, or `make reproduce`"
        )
    cells = Cells.of(records)
    entries = ledger(cells, first_run, second_run, **arguments) if entries is None else entries
    claims = headline(cells, first_run, second_run, entries)
    stages.write_json(folder / "ledger.json", entries)
    claims.round(3).to_csv(folder / "headline.csv", index=False)
    (folder / "tables").mkdir(exist_ok=True)
    for name in TABLES:
        table(entries, name).to_csv(folder / "tables" / f"{name}.csv")
    done, left = figures(cells, first_run)
    pictures = []
    for name, figure in done.items():
        pictures.append((save(figure, folder / "figures" / f"{name}.png"), captions[name]))
        plt.close(figure)
    target, temporary = folder / "report.html", folder / f".report.{os.getpid()}.html"
    said = Said(
        screen.findings(cells, first_run, selection),
        screen.failures(counterfactual),
        screen.open_questions(entries, left),
        screen.coverage(cells, first_run),
        first_run,
    )
    temporary.write_text(page(said, entries, claims, [*pictures, *extra], left), encoding="utf-8")
    os.replace(temporary, target)
    return target


@dataclass(frozen=True)
class Said:
    """The sentences of the first screen. found: of `screen.findings`; fails: of `screen.failures`;
    undecided: of `screen.open_questions`; covers: of `screen.coverage`; run: the first.
    """

    found: Sequence[screen.Finding]
    fails: Sequence[screen.Finding]
    undecided: Sequence[str]
    covers: str
    run: str


def page(
    said: Said,
    entries: Sequence[dict],
    claims: pd.DataFrame,
    pictures: Sequence[tuple[Path, str]],
    left: dict[str, str],
) -> str:
    """The page's text; left: figures that could not be drawn, with the reason."""
    lines = [
        [
            e["artefact"],
            e["row"],
            e["column"],
            number(e["paper"]),
            number(e["ours"]),
            _interval(e["ci_low"], e["ci_high"]),
            number(e["n"]),
            e["seeds"] or "",
            "" if e["margin"] is None else number(e["margin"]),
            e["comparison"] or "",
            e["direction"] or "",
            e["status"],
            e["note"],
        ]
        for e in entries
    ]
    tips = [e["quotation"] for e in entries]
    shown = [
        [
            row.claim,
            number(row.ours),
            _interval(row.ci_low, row.ci_high),
            row.n,
            row.seeds,
            "" if pd.isna(row.paper) else number(row.paper),
            row.direction if isinstance(row.direction, str) else "",
        ]
        for row in claims.itertuples()
    ]
    first = [path for path, _ in pictures if path.stem == FIRST_FIGURE]
    embedded = "".join(_figure(path, text) for path, text in pictures if path not in first)
    embedded += "".join(
        f"<p class='left'>Not drawn: {html.escape(CAPTIONS[name])}. {html.escape(reason)}.</p>"
        for name, reason in left.items()
    )
    places = {
        "world": POCKET
        if said.run.startswith("pocket")
        else f"The first backbone is {html.escape(said.run)}. ",
        "covers": html.escape(said.covers),
        "found": _list([f.text for f in said.found])
        or "<p>These records hold no answers of PersonaDual to compare.</p>",
        "fails": _list([*(f.text for f in said.fails), *said.undecided]),
        "first": "".join(_figure(path, text) for path, text in pictures if path in first),
        "overview": _overview(entries),
        "claims": _table(
            shown,
            ["claim", "ours", "95 % interval", "items", "seeds", "paper", "direction"],
            "claims",
        ),
        "figures": embedded,
        "tables": "".join(
            f"<div class='wide' tabindex='0'>{table_html(entries, name)}</div>" for name in TABLES
        ),
        "ledger": _table(lines, LEDGER_HEAD, "ledger", tips),
        "numbers": str(len(entries)),
        "artefacts": _options(dict.fromkeys(e["artefact"] for e in entries)),
        "statuses": _options(STATUSES),
        "directions": _options(DIRECTIONS),
        "comparisons": _options(STATUS),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for place, content in places.items():
        text = text.replace("{{" + place + "}}", content)
    return text


def _figure(path: Path, text: str) -> str:
    picture = base64.b64encode(path.read_bytes()).decode()
    return (
        f"<figure><img alt='{html.escape(text, quote=True)}' src='data:image/png;base64,{picture}'>"
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
    )


def _list(sentences: Sequence[str]) -> str:
    return (
        "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"
        if sentences
        else ""
    )


def _options(names: Iterable[str]) -> str:
    return "".join(f"<option>{html.escape(name)}</option>" for name in names)


def _overview(entries: Sequence[dict]) -> str:
    """Counts of entries by artefact: statuses, comparisons and directions."""
    groups = {"status": STATUSES, "comparison": STATUS, "direction": DIRECTIONS}
    counts: dict[str, Counter] = {}
    for e in entries:
        for name in (e["artefact"], "all"):
            counts.setdefault(name, Counter()).update(
                ["numbers", *((group, e[group]) for group in groups)]
            )
    last = counts.pop("all")
    columns = ["numbers", *((group, value) for group, values in groups.items() for value in values)]
    rows = [
        [name, *(found[c] or "" for c in columns)]
        for name, found in [*counts.items(), ("all", last)]
    ]
    return _table(
        rows,
        ["artefact", *(c if isinstance(c, str) else f"{c[0]}: {c[1]}" for c in columns)],
        "overview",
    )


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{low:.3f} to {high:.3f}"


def _table(
    rows: list[list], header: list[str], identity: str, tips: Sequence[str | None] | None = None
) -> str:
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in header)
    body = ""
    for k, row in enumerate(rows):
        tip = f" title='{html.escape(tips[k], quote=True)}'" if tips and tips[k] else ""
        body += (
            f"<tr{tip}>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        )
    return f"<table id='{identity}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

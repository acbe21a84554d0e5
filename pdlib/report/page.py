"""report.html: claims, figures, tables and ledger on one self-contained page, from records alone."""

import base64
import html
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdlib import stages
from pdlib.analysis.cells import Cells, Missing
from pdlib.plots import save
from pdlib.plots.accuracy import ablations, accuracy, forced_modes, interference, mixing, mode_shares
from pdlib.report.claims import headline
from pdlib.report.entries import ledger
from pdlib.report.tables import TABLES, number, table, table_html

TEMPLATE = Path(__file__).parents[1] / "report_template.html"
LEDGER_HEAD = ["artefact", "row", "column", "paper", "ours", "95 % interval", "items", "seeds", "direction", "status", "note"]
CAPTIONS = {
    "table1": "Table 1: accuracy of every system by family; the dashed line is PersonaDual without any persona",
    "figure1": "Fig. 1: change of accuracy against no persona",
    "figure3a": "Fig. 3a: accuracy on test sets with a share of personalised questions",
    "figure3b": "Fig. 3b: share of the personalised mode",
    "table2": "Table 2: stages and ablations against PersonaDual",
    "table8": "Table 8: free, forced into either mode, and right in either",
}


DRAW = {"table1": accuracy, "figure1": interference, "figure3a": mixing, "figure3b": mode_shares, "table2": ablations,
        "table8": forced_modes}


def figures(records: pd.DataFrame | Cells, run: str) -> tuple[dict[str, Figure], dict[str, str]]:
    """(name -> figure, name -> why it cannot be drawn): Tables 1, 2, 8 and Fig. 1, 3a, 3b of `run`, Fig. 1 of every run."""
    cells, done, left = Cells.of(records), {}, {}
    for name, draw in DRAW.items():
        try:
            done[name] = draw(cells) if name == "figure1" else draw(cells, run=run)
        except Missing as reason:
            left[name] = str(reason)
    return done, left


def write_html(folder: Path, records: pd.DataFrame | Cells, first_run: str, extra: Sequence[tuple[Path, str]] = (),
               second_run: str | None = None, entries: Sequence[dict] | None = None, **arguments) -> Path:
    """Write ledger.json, headline.csv, tables/*.csv, figures/*.png and report.html to `folder`; returns the page.

    extra: (PNG path, caption) of figures that records do not hold (training curves); one of a figure drawn here gives only its
    caption. entries: the ledger's, where it is at hand; the other arguments are those of `ledger`, see `evidence`. Raises ValueError as
    `ledger` does, and when an extra figure is missing.
    """
    captions = CAPTIONS | {path.stem: text for path, text in extra if path.stem in CAPTIONS}
    extra = [(path, text) for path, text in extra if path.stem not in CAPTIONS]
    if missing := [path.name for path, _ in extra if not path.is_file()]:
        raise ValueError(f"figures {missing} are missing; run the notebooks that draw them, or `make reproduce`")
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
    temporary.write_text(page(entries, claims, [*pictures, *extra], left), encoding="utf-8")
    os.replace(temporary, target)
    return target


def page(entries: Sequence[dict], claims: pd.DataFrame, pictures: Sequence[tuple[Path, str]], left: dict[str, str]) -> str:
    """The page's text; left: figures that could not be drawn, with the reason."""
    lines = [[e["artefact"], e["row"], e["column"], number(e["paper"]), number(e["ours"]), _interval(e["ci_low"], e["ci_high"]),
              number(e["n"]), e["seeds"] or "", e["direction"] or "", e["status"], e["note"]] for e in entries]
    tips = [e["quotation"] for e in entries]
    shown = [[row.claim, number(row.ours), _interval(row.ci_low, row.ci_high), row.n, "" if pd.isna(row.paper) else number(row.paper),
              row.direction if isinstance(row.direction, str) else ""] for row in claims.itertuples()]
    embedded = "".join(
        f"<figure><img alt='{html.escape(text, quote=True)}' src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
        f"<figcaption>{html.escape(text)}</figcaption></figure>" for path, text in pictures)
    embedded += "".join(f"<p class='left'>Not drawn: {html.escape(CAPTIONS[name])}. {html.escape(reason)}.</p>"
                        for name, reason in left.items())
    places = {
        "overview": _overview(entries),
        "claims": _table(shown, ["claim", "ours", "95 % interval", "items", "paper", "direction"], "claims"),
        "figures": embedded,
        "tables": "".join(f"<div class='wide' tabindex='0'>{table_html(entries, name)}</div>" for name in TABLES),
        "ledger": _table(lines, LEDGER_HEAD, "ledger", tips),
        "artefacts": "".join(f"<option>{html.escape(name)}</option>" for name in dict.fromkeys(e["artefact"] for e in entries)),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for place, content in places.items():
        text = text.replace("{{" + place + "}}", content)
    return text


def _overview(entries: Sequence[dict]) -> str:
    """Counts of entries by artefact: statuses and directions."""
    columns = ["numbers", "reproduced", "differs", "scaled-down", "not attempted", "same", "opposite", "undecided"]
    counts: dict[str, Counter] = {}
    for e in entries:
        for name in (e["artefact"], "all"):
            counts.setdefault(name, Counter()).update(["numbers", e["status"], *([e["direction"]] if e["direction"] else [])])
    last = counts.pop("all")
    rows = [[name, *(found[c] or "" for c in columns)] for name, found in [*counts.items(), ("all", last)]]
    return _table(rows, ["artefact", *columns], "overview")


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{low:.3f} to {high:.3f}"


def _table(rows: list[list], header: list[str], identity: str, tips: Sequence[str | None] | None = None) -> str:
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in header)
    body = ""
    for k, row in enumerate(rows):
        tip = f" title='{html.escape(tips[k], quote=True)}'" if tips and tips[k] else ""
        body += f"<tr{tip}>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
    return f"<table id='{identity}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

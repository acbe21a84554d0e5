"""The files of a report: ledger, headline, tables and figures, and the page that shows them."""

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from pdlib.analysis.cells import Cells
from pdlib.plots import save
from pdlib.report import screen, sentences
from pdlib.report.claims import headline
from pdlib.report.drawings import CAPTIONS, figures
from pdlib.report.entries import ledger
from pdlib.report.page import FirstScreen, page
from pdlib.report.tables import TABLES, table
from pdlib.run import stages


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
    """Write the report to `folder` and return its page, report.html.

    Beside the page: ledger.json, headline.csv, tables/*.csv, figures/*.png.

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
    claims = write_numbers(folder, cells, entries, first_run, second_run)
    (folder / "tables").mkdir(exist_ok=True)
    for name in TABLES:
        table(entries, name).to_csv(folder / "tables" / f"{name}.csv")
    drawn, undrawn = figures(cells, first_run)
    pictures = []
    for name, figure in drawn.items():
        pictures.append((save(figure, folder / "figures" / f"{name}.png"), captions[name]))
        plt.close(figure)
    first_screen = FirstScreen(
        first_run,
        [sentences.sentence(finding) for finding in screen.findings(cells, first_run, selection)],
        [sentences.sentence(finding) for finding in screen.failures(counterfactual)],
        sentences.open_questions(entries, undrawn),
        sentences.coverage(cells, first_run),
    )
    target, temporary = folder / "report.html", folder / f".report.{os.getpid()}.html"
    text = page(first_screen, entries, claims, [*pictures, *extra], undrawn)
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, target)
    return target


def write_numbers(
    folder: Path, cells: Cells, entries: Sequence[dict], first_run: str, second_run: str | None
) -> pd.DataFrame:
    """Write ledger.json and headline.csv, and return the headline."""
    claims = headline(cells, first_run, second_run, entries)
    stages.write_json(folder / "ledger.json", entries)
    claims.round(3).to_csv(folder / "headline.csv", index=False)
    return claims

"""The ledger (each number of the paper beside ours), tables, figures and report.html.

All of it is made from records alone. Modules of two kinds:

- numbers: `evidence` (what a run left), `counterparts` (which records answer which number),
  `measurements` (our values), `status` (what they may claim), `entries` (the ledger), `claims`,
  `screen` (what the first screen tells), `sizes` (claims at three sizes), `reference` (the
  committed copy).
- words: `formats`, `notes` (of the ledger), `sentences` (of the first screen), `tables`,
  `drawings`, `page` and `files` (the report), `sizes_markdown`, `citations` and `results`
  (RESULTS.md).
"""

from pdlib.report.claims import headline
from pdlib.report.drawings import figures
from pdlib.report.entries import ledger
from pdlib.report.evidence import evidence
from pdlib.report.files import write_html
from pdlib.report.reference import (
    ledger_differences,
    read_reference,
    rewrite_reference,
    write_reference,
)
from pdlib.report.screen import failures, findings
from pdlib.report.sentences import coverage, open_questions, sentence
from pdlib.report.status import comparisons, directions, statuses
from pdlib.report.tables import TABLES, table

__all__ = [
    "TABLES",
    "comparisons",
    "coverage",
    "directions",
    "evidence",
    "failures",
    "figures",
    "findings",
    "headline",
    "ledger",
    "ledger_differences",
    "open_questions",
    "read_reference",
    "rewrite_reference",
    "sentence",
    "statuses",
    "table",
    "write_html",
    "write_reference",
]

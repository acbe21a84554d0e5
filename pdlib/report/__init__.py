"""The ledger (each number of the paper beside ours), tables, figures and report.html, from records
alone.
"""

from pdlib.report.claims import headline
from pdlib.report.entries import ledger
from pdlib.report.evidence import evidence
from pdlib.report.page import figures, write_html
from pdlib.report.reference import compare, read_reference, rewrite_reference, write_reference
from pdlib.report.screen import coverage, failures, findings, open_questions
from pdlib.report.status import comparisons, directions, statuses
from pdlib.report.tables import TABLES, table

__all__ = [
    "TABLES",
    "compare",
    "comparisons",
    "coverage",
    "directions",
    "evidence",
    "failures",
    "figures",
    "findings",
    "headline",
    "ledger",
    "open_questions",
    "read_reference",
    "rewrite_reference",
    "statuses",
    "table",
    "write_html",
    "write_reference",
]

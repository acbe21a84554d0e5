"""The ledger (each number of the paper beside ours), tables, figures and report.html, from records alone."""

from pdlib.report.claims import headline
from pdlib.report.entries import ledger
from pdlib.report.evidence import evidence
from pdlib.report.page import figures, write_html
from pdlib.report.reference import compare, read_reference, write_reference
from pdlib.report.tables import TABLES, table

__all__ = ["TABLES", "compare", "evidence", "figures", "headline", "ledger", "read_reference", "table", "write_html", "write_reference"]

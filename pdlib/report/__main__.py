"""`make reference`: refresh outputs/reference from a finished run: the minutes of any profile, all
else of the profiles pocket and pretrained, the latter in a folder of its own; then the table of
three sizes, there, in README and in RESULTS.md.

--again: compute its ledger.json, headline.csv and form.csv anew from the records that it holds,
without a run.
"""

import argparse

from pdlib import config
from pdlib.report import sizes
from pdlib.report.reference import refresh, rewrite_reference
from pdlib.run.committed import PLACES
from pdlib.workbook import start

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--profile", default="pocket")
parser.add_argument(
    "--again", action="store_true", help="the numbers only, from the committed records"
)
arguments = parser.parse_args()
if arguments.again and arguments.profile not in PLACES:
    parser.error(
        f"--again: of {arguments.profile} no run is committed, expected one of {', '.join(PLACES)}"
    )
if arguments.again:
    rewrite_reference(PLACES[arguments.profile])
    print(
        f"written: ledger.json, headline.csv and form.csv in {PLACES[arguments.profile]}; then: python -m pdlib.report.results"
    )
else:
    cfg = config.load(arguments.profile)
    if cfg.profile in PLACES:
        written = refresh(cfg, PLACES[cfg.profile])
        print(f"written: {written.parent} ({written.stat().st_size // 1024} KiB of records)")
    if cfg.profile == "pocket":
        print(start.store_answers(cfg))
    print(start.store_minutes(cfg))
print(f"written: {sizes.write().name}")

"""`make reference`: refresh outputs/reference from a finished run: the minutes of any profile, all else of the pocket run.

--again: compute its ledger.json and headline.csv anew from the records that it holds, without a run.
"""

import argparse

from pdlib import config, stages, start
from pdlib.report.reference import refresh, rewrite_reference

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--profile", default="pocket")
parser.add_argument("--again", action="store_true", help="ledger.json and headline.csv only, from the committed records")
arguments = parser.parse_args()
if arguments.again:
    rewrite_reference(stages.REFERENCE)
    print(f"written: ledger.json and headline.csv in {stages.REFERENCE}; then: python -m pdlib.report.results")
else:
    cfg = config.load(arguments.profile)
    if cfg.profile == "pocket":
        written = refresh(cfg, stages.REFERENCE)
        print(f"written: {written.parent} ({written.stat().st_size // 1024} KiB of records)", start.store_answers(cfg), sep="\n")
    print(start.store_minutes(cfg))

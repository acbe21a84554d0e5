"""`make reference`: refresh outputs/reference from a finished run: the minutes of any profile, all else of the pocket run."""

import argparse

from pdlib import config, start
from pdlib.report.reference import refresh

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--profile", default="pocket")
cfg = config.load(parser.parse_args().profile)
if cfg.profile == "pocket":
    written = refresh(cfg, start.REFERENCE)
    print(f"written: {written.parent} ({written.stat().st_size // 1024} KiB of records)", start.store_answers(cfg), sep="\n")
print(start.store_minutes(cfg))

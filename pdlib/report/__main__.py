"""`make reference`: refresh outputs/reference from a finished run."""

import argparse

from pdlib import config, start
from pdlib.report.reference import refresh

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--profile", default="pocket")
cfg = config.load(parser.parse_args().profile)
written = refresh(cfg, start.REFERENCE)
print(f"written: {written.parent} ({written.stat().st_size // 1024} KiB of records)", *start.store(cfg), sep="\n")

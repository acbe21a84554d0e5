"""`make reference`: refresh outputs/reference from a finished run."""

import argparse

from pdlib import config, stages
from pdlib.report.reference import refresh

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--profile", default="pocket")
written = refresh(config.load(parser.parse_args().profile), stages.ROOT / "outputs" / "reference")
print(f"written: {written.parent} ({written.stat().st_size // 1024} KiB of records)")

"""`make book`: build outputs/<profile>/book from the profile's executed notebooks."""

import argparse
import sys

from pdlib import config
from pdlib.tools.book.site import build

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--profile", default="pocket")
try:
    page = build(config.load(parser.parse_args().profile))
except ValueError as problem:
    sys.exit(f"error: {problem}")
print(f"open {page}")

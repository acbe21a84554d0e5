"""`make book`: build outputs/<profile>/book from the profile's executed notebooks."""

import sys

from pdlib import config
from pdlib.tools.book.site import build

arguments = config.command_line(__doc__).parse_args()
try:
    page = build(config.from_arguments(arguments))
except ValueError as problem:
    sys.exit(f"error: {problem}")
print(f"open {page}")

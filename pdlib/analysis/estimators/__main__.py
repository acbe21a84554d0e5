"""`python -m pdlib.analysis.estimators NAME SEED SETTINGS` does one run of the laboratory."""

import json

from pdlib import config
from pdlib.analysis.estimators import laboratory

parser = config.command_line(__doc__)
parser.add_argument("name", help="its name in the records")
parser.add_argument("seed", type=int, help="the training seed")
parser.add_argument("settings", type=json.loads, help="of DualGRPOConfig, as JSON")
arguments = parser.parse_args()
laboratory.run_one(
    config.from_arguments(arguments), arguments.name, arguments.seed, arguments.settings
)

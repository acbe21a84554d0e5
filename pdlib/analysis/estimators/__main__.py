"""`python -m pdlib.analysis.estimators NAME SEED` does one run of the advantage laboratory."""

from pdlib import config
from pdlib.analysis.estimators import laboratory

parser = config.command_line(__doc__)
parser.add_argument("name", help="one of laboratory.SYSTEMS")
parser.add_argument("seed", type=int, help="the training seed")
arguments = parser.parse_args()
laboratory.run_one(config.from_arguments(arguments), arguments.name, arguments.seed)

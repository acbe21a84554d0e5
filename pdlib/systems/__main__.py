"""`python -m pdlib.systems NAME [SEED]` does one of the `tasks` in a process of its own."""

from pdlib import config, systems

parser = config.command_line(__doc__)
parser.add_argument("name", help="a system, a backbone, or null_backbone")
parser.add_argument("seed", type=int, nargs="?", help="the training seed of a system")
arguments = parser.parse_args()
systems.train_one(config.from_arguments(arguments), arguments.name, arguments.seed)

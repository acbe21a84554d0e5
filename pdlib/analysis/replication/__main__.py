"""One replicate, in a process of its own."""

from pdlib import config
from pdlib.analysis import replication


def main(arguments: list[str] | None = None) -> None:
    """Train and evaluate the replicate that the arguments name."""
    parser = config.command_line(__doc__)
    parser.add_argument("world", help="the setting `fit` of the replicate's world")
    parser.add_argument("seed", type=int)
    parsed = parser.parse_args(arguments)
    replication.replicate(config.from_arguments(parsed), parsed.world, parsed.seed)


if __name__ == "__main__":
    main()

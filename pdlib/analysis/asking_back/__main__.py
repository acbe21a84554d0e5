"""One task of `asking_back.experiments`, in a process of its own."""

from pdlib import config
from pdlib.analysis.asking_back import experiments


def main(arguments: list[str] | None = None) -> None:
    """Train and ask the model that the arguments name: a seed's SFT, or one value of asking."""
    parser = config.command_line(__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("value", type=float, nargs="?")
    parsed = parser.parse_args(arguments)
    experiments.measure(config.from_arguments(parsed), parsed.seed, parsed.value)


if __name__ == "__main__":
    main()

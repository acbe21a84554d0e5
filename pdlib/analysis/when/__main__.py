"""One task of `when.experiments`, in a process of its own."""

from pdlib import config
from pdlib.analysis.when import arms, experiments


def main(arguments: list[str] | None = None) -> None:
    """Train what the arguments name: what a seed has in common, or the arms of a level."""
    parser = config.command_line(__doc__)
    parser.add_argument("experiment", choices=("common", *arms.ARMS_OF))
    parser.add_argument("level", type=float)
    parser.add_argument("seed", type=int)
    parsed = parser.parse_args(arguments)
    cfg = config.from_arguments(parsed)
    if parsed.experiment == "common":
        experiments.train_common(cfg, parsed.seed)
    else:
        level = arms.Level(parsed.experiment, parsed.level, parsed.seed)
        experiments.train_level(cfg, level)


if __name__ == "__main__":
    main()

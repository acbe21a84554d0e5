"""`python -m pdlib.train --task task.json` trains what a notebook asked for.

`accelerate launch` starts it in several processes, see `launched.train`.
"""

import argparse
import json
from pathlib import Path

from accelerate import PartialState

from pdlib import config
from pdlib.run import stages
from pdlib.train.dpo import train_dpo
from pdlib.train.rl import train_rl
from pdlib.train.sft import train_sft

TASKS = {"sft": train_sft, "dpo": train_dpo, "rl": train_rl}
PATHS = ("start", "data", "rl_set")  # arguments that are folders


def main(arguments: list[str] | None = None) -> None:
    """Train one task in this process; the main process writes its facts beside the task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--task",
        type=Path,
        required=True,
        help="task.json of a stage folder: what to train, from what",
    )
    path = parser.parse_args(arguments).task
    if not path.is_file():
        parser.error(
            f"no task at {path}; a notebook writes it when the setting `accelerate` names a launch "
            "configuration"
        )
    task = json.loads(path.read_text(encoding="utf-8"))
    cfg = config.load(task["profile"], **task["overrides"])
    given = {k: Path(v) if k in PATHS else v for k, v in task["arguments"].items()}
    facts = TASKS[task["task"]](cfg, path.parent, **given)
    if PartialState().is_main_process:
        stages.write_json(path.parent / "facts.json", facts)
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()

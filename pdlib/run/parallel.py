"""What is done side by side, training and notebooks: a process and a CPU core each, for models so
small that a second core gains little.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from pdlib import config
from pdlib.run import launch, stages

MEMORY = 2 * 2**30  # a pocket system takes 1.2 GiB


@dataclass(frozen=True)
class Task:
    """label: its name in the display and of its log.  module, arguments: `python -m module
    --profile ... arguments` does it in a process of its own; do() does it here.  after: the label
    of what has to be done before, if that is a task, too.
    """

    label: str
    module: str
    arguments: tuple[str, ...]
    do: Callable[[], object]
    after: str | None = None

    def is_done(self) -> bool:
        """Is its stage there, and those before it, of these settings?"""
        try:
            with stages.looking():
                self.do()
        except stages.NotThere:
            return False
        return True


def run(cfg: config.Config, tasks: Sequence[Task]) -> int:
    """Do what is not done yet of `tasks`, as many at once as `cfg.workers` says; 0: one a CPU core,
    if there are MEMORY bytes for each.

    Where nothing can be done beside another thing, nothing is done here: it is done where it is
    asked for. Returns how many were done.
    """
    workers = cfg.workers or min(os.cpu_count() or 1, psutil.virtual_memory().available // MEMORY)
    missing = [task for task in tasks if not task.is_done()] if workers > 1 else []
    labels, waited_for = {task.label for task in missing}, {task.after for task in missing}
    if len(labels - waited_for) < 2:
        return 0
    given = ["--profile", cfg.profile, "--overrides", json.dumps(cfg.overrides())]
    launch.side_by_side(
        {task.label: [task.module, *given, *task.arguments] for task in missing},
        workers=workers,
        logs=cfg.run_folder() / "logs",
        after={task.label: task.after for task in missing if task.after in labels},
    )
    return len(missing)

"""Tasks side by side, training and notebooks: one process and one CPU core each.

Our models are so small that a second core gains little.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from IPython import get_ipython
from IPython.display import display

from pdlib import config
from pdlib.run import processes, stages, warm
from pdlib.run.processes import GRACE, SHOW_EVERY

MEMORY = 2 * 2**30  # a pocket system takes 1.2 GiB
LOG_EVERY = 300.0  # seconds between lines on what runs, where nobody watches


@dataclass(frozen=True)
class Task:
    """A piece of work, here or in a process of its own.

    label: its name in the display and of its log.  do: does it here.  module, arguments: `python -m
    module --profile ... arguments` does it in a process of its own.  after: the label of what has
    to be done before, if that is a task, too.
    """

    label: str
    module: str
    arguments: tuple[str, ...]
    do: Callable[[], object]
    after: str | None = None

    def is_done(self) -> bool:
        """Whether its stage, and those before it, have their results with these settings."""
        try:
            with stages.without_building():
                self.do()
        except stages.NotBuiltError:
            return False
        return True


def run(cfg: config.Config, tasks: Sequence[Task]) -> int:
    """Do the unfinished ones of `tasks` side by side; returns how many were done.

    At most `cfg.workers` run at once; 0 means one per CPU core, if there are MEMORY bytes for each.
    Where no two tasks can run at once, nothing is done here: each is done where its result is asked
    for.
    """
    workers = cfg.workers or min(os.cpu_count() or 1, psutil.virtual_memory().available // MEMORY)
    missing = [task for task in tasks if not task.is_done()] if workers > 1 else []
    labels, waited_for = {task.label for task in missing}, {task.after for task in missing}
    if len(labels - waited_for) < 2:
        return 0
    settings = ["--profile", cfg.profile, "--overrides", json.dumps(cfg.overrides())]
    side_by_side(
        {task.label: [task.module, *settings, *task.arguments] for task in missing},
        workers=workers,
        logs=cfg.run_folder() / "logs",
        after={task.label: task.after for task in missing if task.after in labels},
        preloaded=warm.LIBRARY if warm.is_possible() else None,
    )
    return len(missing)


def side_by_side(
    tasks: dict[str, list[str]],
    *,
    workers: int,
    logs: Path,
    after: dict[str, str] | None = None,
    show_every: float = SHOW_EVERY,
    grace: float = GRACE,
    preloaded: Sequence[str] | None = None,
) -> None:
    """Run `python -m <arguments>` for each task, at most `workers` at once, and wait for all.

    Each process has one thread; a GPU is shared. after: the task that must be done before. Heads of
    the longest dependency chains start first, else the order is the one given. A task's output goes
    to logs/<task>.log; the last line of each running task is shown every `show_every` seconds, in a
    notebook in one display. Where the output is kept in a file, it gets one line per finished task,
    and the running ones every LOG_EVERY seconds. When a task fails, or on an interrupt or SIGTERM,
    all others are ended; RuntimeError then, with the failed task's last lines. preloaded: modules
    that are imported once for all of them, see `warm`; None: every process imports its own.
    """
    logs.mkdir(parents=True, exist_ok=True)
    after = after or {}
    waiting = sorted(tasks, key=lambda name: -_chain_length(name, after))  # stable
    running: dict[str, subprocess.Popen | warm.Fork] = {}
    done, began, shown, show = [], {}, time.monotonic(), _display()
    is_log = show is _say and not sys.stdout.isatty()
    every = max(show_every, LOG_EVERY) if is_log else show_every

    def log(name: str) -> Path:
        return logs / f"{name}.log"

    with processes.termination_raises(), _starter(preloaded) as start:
        try:
            while waiting or running:
                ready = [name for name in waiting if after.get(name) in (None, *done)]
                for name in ready[: workers - len(running)]:
                    waiting.remove(name)
                    running[name] = start(tasks[name], log(name))
                    began[name] = time.monotonic()
                time.sleep(min(0.2, show_every))
                for name in [name for name in running if running[name].poll() is not None]:
                    if code := running.pop(name).returncode:
                        cause = processes.last_lines(_lines(log(name)))
                        raise RuntimeError(
                            f"{name} ended with code {code}; the log is {log(name)}; "
                            f"its last lines:\n{cause}"
                        )
                    done.append(name)
                    if is_log:
                        minutes = (time.monotonic() - began[name]) / 60
                        _say(f"{name}: {minutes:.1f} minutes; {len(done)} of {len(tasks)} done")
                if time.monotonic() - shown >= every or not (waiting or running):
                    lines = [f"{name} | {_last_line(log(name))}" for name in running]
                    lines += [
                        f"done: {', '.join(done) or 'none'}; "
                        f"waiting: {', '.join(waiting) or 'none'}"
                    ]
                    show("\n".join(lines))
                    shown = time.monotonic()
        finally:
            for process in running.values():
                processes.end(process, grace)


@contextmanager
def _starter(
    preloaded: Sequence[str] | None,
) -> Iterator[Callable[[list[str], Path], subprocess.Popen | warm.Fork]]:
    """What starts `python -m arguments` on one thread, with its output in a file."""
    environment = processes.environment() | {"OMP_NUM_THREADS": "1"}
    if preloaded is None:
        yield partial(_start, environment=environment)
        return
    with warm.Server(environment, preloaded) as server:
        yield server.start


def _start(arguments: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen:
    with log.open("w", encoding="utf-8") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _display() -> Callable[[str], None]:
    """In a notebook a text that is replaced, elsewhere printed."""
    if get_ipython() is None:
        return _say
    handle = display({"text/plain": "starting"}, raw=True, display_id=True)
    return lambda text: handle.update({"text/plain": text}, raw=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _chain_length(name: str, after: dict[str, str]) -> int:
    """How many tasks wait one after another, the first of them for `name`."""
    lengths = [
        1 + _chain_length(later, after) for later, earlier in after.items() if earlier == name
    ]
    return max(lengths, default=0)


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def _last_line(log: Path) -> str:
    lines = [line for line in _lines(log) if line.strip()]
    return lines[-1] if lines else "starting"

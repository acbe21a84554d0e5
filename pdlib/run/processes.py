"""What all started processes share: their environment, their end, and the cause of a failure."""

import os
import signal
import subprocess
import threading
from contextlib import contextmanager

import psutil

from pdlib import config

SHOW_EVERY = 10.0  # seconds between lines shown; the log file has them all
GRACE = 60.0  # seconds to end before processes are killed (a launcher gives its own 30)


def environment() -> dict[str, str]:
    """The variables of a process that imports this library from wherever it is started."""
    path = os.pathsep.join([str(config.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def end(process: subprocess.Popen, grace: float) -> None:
    """Ask a process and all that it started to end; kill what still runs after `grace` seconds.

    process: or a `warm.Fork`.
    """
    try:
        started = psutil.Process(process.pid)
        family = started.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    process.terminate()  # a launcher then ends its processes, which have sessions of their own
    if process.poll() is None:
        family.append(started)
    _, survivors = psutil.wait_procs(family, timeout=grace)
    for survivor in survivors:
        try:
            survivor.kill()
        except psutil.NoSuchProcess:
            continue  # ended by itself meanwhile
    process.wait()


@contextmanager
def termination_raises():
    """Within it SIGTERM raises SystemExit (main thread only).

    So a killed kernel still ends what it started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number, _):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_lines(lines: list[str], n: int = 30) -> str:
    """The last `n` lines before accelerate's own report, which says only that a process failed."""
    cause = []
    for line in lines:
        if "failed (exitcode" in line or "ChildFailedError" in line:
            break
        cause.append(line)
    return "\n".join(([line for line in cause if line.strip()] or lines)[-n:])

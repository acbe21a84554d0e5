"""Processes that start at once: forks of one that has imported the library, which takes seconds.

`python -m pdlib.run.warm MODULES` is that one. It imports the modules, reads requests from its
input, one JSON object per line, and answers each with one:

- {"start": [module, arguments ...], "log": file} starts `python -m module arguments`; the answer is
  its process id.
- {"poll": id}; the answer is its exit code, null while it runs.

It ends with its input; what it has started goes on.
"""

import importlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

EVERY = 0.05  # seconds between looks at a process that is waited for
LIBRARY = ("pdlib.systems",)  # with torch, transformers and TRL, whatever a task then needs
DRIVER = Path("/proc/driver/nvidia")  # a GPU that one process has looked at is lost to its forks


def is_possible() -> bool:
    """Whether processes can be forked here: on Linux, without a GPU."""
    return sys.platform == "linux" and not DRIVER.exists()


class Server:
    """Starts processes as forks of one that has imported `modules`; a context.

    environment: the variables of all of them.
    """

    def __init__(self, environment: dict[str, str], modules: Sequence[str]):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pdlib.run.warm", *modules],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(BrokenPipeError):  # it has ended before, with a request unread
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def start(self, arguments: list[str], log: Path) -> "Fork":
        """Run `python -m <arguments>`, whose output goes to `log`, a new file."""
        log.write_text("", encoding="utf-8")
        return Fork(self, self.ask({"start": arguments, "log": str(log)}))

    def ask(self, request: dict) -> int | None:
        """The answer to a request; RuntimeError where the server has ended."""
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise RuntimeError(
                f"the process that starts all others ended with code {self.process.wait()}; what "
                "it said stands above, and what was done is kept"
            )
        return json.loads(reply)


class Fork:
    """A started process; the part of subprocess.Popen that `parallel.side_by_side` needs."""

    def __init__(self, server: Server, pid: int):
        self.server, self.pid, self.returncode = server, pid, None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self.server.ask({"poll": self.pid})
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        while self.poll() is None:
            time.sleep(EVERY)
        return self.returncode


def _serve() -> list[str] | None:
    """Answer requests to the end of the input; in a fork, return what it has to run."""
    codes: dict[int, int] = {}  # of those that have ended

    def reap(*_):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:  # there is none
                return
            if not pid:
                return
            codes[pid] = os.waitstatus_to_exitcode(status)

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            reply = codes.get(request["poll"])
        else:
            reply = os.fork()
            if not reply:
                _take_over(request["log"])
                return request["start"]
        print(json.dumps(reply), flush=True)
    return None


def _take_over(log: str) -> None:
    """Make this fork a process of its own: a session, no input, its output in `log`."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    output = os.open(log, os.O_WRONLY)
    for source, targets in ((os.open(os.devnull, os.O_RDONLY), (0,)), (output, (1, 2))):
        for target in targets:
            os.dup2(source, target)
        os.close(source)
    random.seed()  # or all forks would draw the same
    np.random.seed()


def main() -> None:
    """Be the server; a fork comes back from serving and runs its module as a program."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    if arguments := _serve():
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""Processes of a notebook cell: one stage in several (`accelerate launch`, its log live), or
several tasks side by side.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml
from IPython import get_ipython
from IPython.display import display

from pdlib import config

CONFIGS = config.PROFILES / "launch"
SHOW_EVERY = 10.0  # seconds between lines shown; the log file has them all
GRACE = (
    60.0  # seconds for the launcher to end its processes (it gives them 30) before they are killed
)
KEPT = 400  # last lines kept for a failure's message


def names() -> list[str]:
    """The launch configurations there are (accelerate's own files)."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def config_file(name: str | Path) -> Path:
    """The file of a launch configuration, by its name or as a path to one's own; ValueError when
    there is none.
    """
    path = CONFIGS / f"{name}.yaml" if str(name) in names() else Path(name).expanduser()
    if not path.is_file():
        raise ValueError(
            f"no launch configuration {str(name)!r}; expected one of {', '.join(names())}, or the path of one's own "
            "accelerate config file"
        )
    return path


def _on_cpu(path: Path) -> bool:
    return yaml.safe_load(path.read_text(encoding="utf-8")).get("distributed_type") == "MULTI_CPU"


def command(
    arguments: list[str],
    *,
    accelerate_config: str | None,
    processes: int,
    module: str = "pdlib.train",
    port: int = 0,
    python: str = sys.executable,
) -> list[str]:
    """The `accelerate launch` command for one machine. accelerate_config None: no file, plain
    processes; port 0: a free one.
    """
    if processes < 1:
        raise ValueError(f"processes is {processes}; it must be at least 1")
    head = [python, "-m", "accelerate.commands.launch"]
    if accelerate_config is None:
        head += ["--multi_gpu"] if processes > 1 else []
        head += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    else:
        path = config_file(accelerate_config)
        # The flag means "through torchrun"; without it accelerate starts one process for MULTI_CPU.
        # The devices stay CPUs.
        head += [
            "--config_file",
            str(path),
            *(["--multi_gpu"] if _on_cpu(path) and processes > 1 else []),
        ]
    return [
        *head,
        "--num_processes",
        str(processes),
        "--main_process_port",
        str(port),
        "--module",
        module,
        *arguments,
    ]


def command_for_machines(
    arguments: list[str],
    *,
    accelerate_config: str,
    machines: int,
    processes_each: int,
    main_ip: str,
    port: int = 29500,
    module: str = "pdlib.train",
) -> list[str]:
    """The shell command for each machine, in order of rank; all must see the repository and the
    output folder under one path.

    >>> lines = command_for_machines(["--task", "t.json"], accelerate_config="zero3", machines=2, processes_each=8, main_ip="10.0.0.1")
    >>> lines[1].split(" --num_processes ")[1]
    '16 --num_machines 2 --machine_rank 1 --main_process_ip 10.0.0.1 --main_process_port 29500
    --module pdlib.train --task t.json'
    """
    if machines < 2:
        raise ValueError(
            f"machines is {machines}; for one machine use launch.run or launch.command"
        )
    path = config_file(accelerate_config)
    shown = path.relative_to(config.ROOT) if path.is_relative_to(config.ROOT) else path
    through_torchrun = ["--multi_gpu"] if _on_cpu(path) else []  # as in `command`
    return [
        shlex.join(
            [
                "accelerate",
                "launch",
                "--config_file",
                str(shown),
                *through_torchrun,
                "--num_processes",
                str(machines * processes_each),
                "--num_machines",
                str(machines),
                "--machine_rank",
                str(rank),
                "--main_process_ip",
                main_ip,
                "--main_process_port",
                str(port),
                "--module",
                module,
                *arguments,
            ]
        )
        for rank in range(machines)
    ]


def vllm_command(
    model: str | Path,
    *,
    max_length: int,
    data_parallel: int = 1,
    tensor_parallel: int = 1,
    port: int = 8000,
) -> list[str]:
    """The command of TRL's vLLM server (`rl_vllm: server`), for GPUs that do not train; max_length:
    prompt + completion tokens.
    """
    return [
        "trl",
        "vllm-serve",
        "--model",
        str(model),
        "--max_model_len",
        str(max_length),
        "--data_parallel_size",
        str(data_parallel),
        "--tensor_parallel_size",
        str(tensor_parallel),
        "--port",
        str(port),
    ]


def side_by_side(
    tasks: dict[str, list[str]],
    *,
    workers: int,
    logs: Path,
    after: dict[str, str] | None = None,
    show_every: float = SHOW_EVERY,
    grace: float = GRACE,
) -> None:
    """Run `python -m <arguments>` for each task, at most `workers` at once, each with one thread (a
    GPU is shared), and wait for all.

    after: the task that must be done before. Those that most others wait for, one after another,
    come first, else the order given. A task's output goes to logs/<task>.log; the last line of each
    that runs is shown every `show_every` seconds, in a notebook in one display. When one fails, or
    on an interrupt or SIGTERM, all others are ended; RuntimeError then, with the failed task's last
    lines.
    """
    logs.mkdir(parents=True, exist_ok=True)
    after = after or {}
    waiting = sorted(tasks, key=lambda name: -_followers(name, after))  # stable
    running, done, shown, show = {}, [], 0.0, _display()
    environment = _with_path() | {"OMP_NUM_THREADS": "1"}
    with _termination_raises():
        try:
            while waiting or running:
                while len(running) < workers and (
                    ready := [n for n in waiting if after.get(n) in (None, *done)]
                ):
                    waiting.remove(name := ready[0])
                    with (logs / f"{name}.log").open("w", encoding="utf-8") as file:
                        running[name] = subprocess.Popen(
                            [sys.executable, "-m", *tasks[name]],
                            env=environment,
                            stdin=subprocess.DEVNULL,
                            stdout=file,
                            stderr=subprocess.STDOUT,
                            start_new_session=True,
                        )
                time.sleep(min(0.2, show_every))
                for name in [
                    name for name, process in running.items() if process.poll() is not None
                ]:
                    lines = (
                        (logs / f"{name}.log")
                        .read_text(encoding="utf-8", errors="replace")
                        .splitlines()
                    )
                    if code := running.pop(name).returncode:
                        raise RuntimeError(
                            f"{name} ended with code {code}; the log is {logs / name}.log; its last lines:\n{_cause(lines)}"
                        )
                    done.append(name)
                if time.monotonic() - shown >= show_every or not (waiting or running):
                    lines = [f"{name} | {_last_line(logs / f'{name}.log')}" for name in running]
                    show(
                        "\n".join(
                            [
                                *lines,
                                f"done: {', '.join(done) or 'none'}; waiting: {', '.join(waiting) or 'none'}",
                            ]
                        )
                    )
                    shown = time.monotonic()
        finally:
            for process in running.values():
                _end(process, grace)


def _display() -> Callable[[str], None]:
    """In a notebook a text that is replaced, elsewhere printed."""
    if get_ipython() is None:
        return lambda text: print(text, flush=True)
    handle = display({"text/plain": "starting"}, raw=True, display_id=True)
    return lambda text: handle.update({"text/plain": text}, raw=True)


def _followers(name: str, after: dict[str, str]) -> int:
    """How many tasks one after another wait for this one."""
    return max(
        (1 + _followers(later, after) for later, earlier in after.items() if earlier == name),
        default=0,
    )


def _last_line(log: Path) -> str:
    lines = [
        line
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    return lines[-1] if lines else "starting"


def _with_path() -> dict[str, str]:
    path = os.pathsep.join([str(config.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _environment(accelerate_config: str | None) -> dict[str, str]:
    hidden = accelerate_config is None or _on_cpu(config_file(accelerate_config))
    return _with_path() | ({"CUDA_VISIBLE_DEVICES": ""} if hidden else {})


def _end(process: subprocess.Popen, grace: float) -> None:
    """End the launcher and everything it started: asked first, killed after `grace` seconds."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    process.terminate()  # the launcher then ends its processes, which have sessions of their own
    _, left = psutil.wait_procs(
        [*started, psutil.Process(process.pid)] if process.poll() is None else started,
        timeout=grace,
    )
    for survivor in left:
        try:
            survivor.kill()
        except psutil.NoSuchProcess:
            continue  # ended by itself meanwhile
    process.wait()


@contextmanager
def _termination_raises():
    """Within it SIGTERM raises SystemExit, so that a killed kernel still ends what it started (main
    thread only).
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


def _cause(lines: list[str], shown: int = 30) -> str:
    """The last lines before the launcher's own report, which says only that a process failed."""
    report = next(
        (
            i
            for i, line in enumerate(lines)
            if "failed (exitcode" in line or "ChildFailedError" in line
        ),
        len(lines),
    )
    own = [line for line in lines[:report] if line.strip()] or lines
    return "\n".join(own[-shown:])


def run(
    arguments: list[str],
    *,
    accelerate_config: str | None,
    processes: int,
    log: Path,
    module: str = "pdlib.train",
    machines: int = 1,
    main_ip: str = "",
    show_every: float = SHOW_EVERY,
    grace: float = GRACE,
) -> None:
    """Run `module` with `arguments` in several processes and wait; RuntimeError with the log's last
    lines when it fails.

    Every line goes to `log` (appended), one every `show_every` seconds is printed. An interrupt or
    SIGTERM ends all processes. machines: with several, this one is the first, at `main_ip`; the
    commands for the others are printed, and all wait for each other.
    """
    start = command(
        arguments, accelerate_config=accelerate_config, processes=processes, module=module
    )
    if machines > 1:
        if not main_ip or processes % machines:
            raise ValueError(
                f"{machines} machines: found main_ip {main_ip!r} and {processes} processes; expected this machine's address "
                "in main_ip, and a number of processes (over all machines) that the machines share evenly"
            )
        first, *others = command_for_machines(
            arguments,
            accelerate_config=accelerate_config,
            machines=machines,
            main_ip=main_ip,
            processes_each=processes // machines,
            module=module,
        )
        print(
            "start on the other machines, in a checkout and an output folder under the same path:",
            *others,
            sep="\n",
            flush=True,
        )
        start = [sys.executable, "-m", "accelerate.commands.launch", *shlex.split(first)[2:]]
    log.parent.mkdir(parents=True, exist_ok=True)
    last, shown, line = deque(maxlen=KEPT), time.monotonic(), ""
    with _termination_raises(), log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            start,
            env=_environment(accelerate_config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                last.append(line.rstrip("\n"))
                if line.strip() and time.monotonic() - shown >= show_every:
                    print(line.rstrip(), flush=True)
                    shown, line = time.monotonic(), ""
            process.wait()
        finally:
            _end(process, grace)
            process.stdout.close()
    if line.strip():
        print(line.rstrip(), flush=True)
    if process.returncode != 0:
        raise RuntimeError(
            f"{processes} processes of {module} ended with code {process.returncode}; the log is {log}; its last lines:\n"
            f"{_cause(list(last))}"
        )

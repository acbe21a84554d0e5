"""One stage in several processes: `accelerate launch` from a notebook cell, its log shown live."""

import shlex
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import yaml

from pdlib import config
from pdlib.run import processes as started
from pdlib.run.processes import GRACE, SHOW_EVERY

CONFIGS = config.PROFILES / "launch"
LAUNCHER = ["-m", "accelerate.commands.launch"]
N_LAST = 400  # last lines of the log that a failure's message is taken from


def config_names() -> list[str]:
    """The launch configurations of this library (accelerate's own files)."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def config_file(name: str | Path) -> Path:
    """The file of a launch configuration, by its name or as a path to one's own.

    ValueError when there is none.
    """
    known = config_names()
    path = CONFIGS / f"{name}.yaml" if str(name) in known else Path(name).expanduser()
    if not path.is_file():
        raise ValueError(
            f"no launch configuration {str(name)!r}; expected one of {', '.join(known)}, "
            "or the path of one's own accelerate config file"
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
    """The `accelerate launch` command for one machine.

    accelerate_config None: plain processes without a file of settings; port 0: a free one.
    """
    if processes < 1:
        raise ValueError(f"processes is {processes}; it must be at least 1")
    several = processes > 1
    if accelerate_config is None:
        options = ["--multi_gpu"] if several else []
        options += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    else:
        path = config_file(accelerate_config)
        # The flag means "through torchrun"; without it accelerate starts one process for MULTI_CPU.
        # The devices stay CPUs.
        through_torchrun = ["--multi_gpu"] if several and _on_cpu(path) else []
        options = ["--config_file", str(path), *through_torchrun]
    options += ["--num_processes", str(processes), "--main_process_port", str(port)]
    return [python, *LAUNCHER, *options, "--module", module, *arguments]


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
    """The shell command for each machine, in order of rank.

    All machines must see the repository and the output folder under one path.

    >>> lines = command_for_machines(
    ...     ["--task", "t.json"],
    ...     accelerate_config="zero3",
    ...     machines=2,
    ...     processes_each=8,
    ...     main_ip="10.0.0.1",
    ... )
    >>> lines[1].split(" --num_processes ")[1].split(" --main")[0]
    '16 --num_machines 2 --machine_rank 1'
    >>> lines[1].split(" --main")[1:]
    ['_process_ip 10.0.0.1', '_process_port 29500 --module pdlib.train --task t.json']
    """
    if machines < 2:
        raise ValueError(
            f"machines is {machines}; for one machine use launch.run or launch.command"
        )
    path = config_file(accelerate_config)
    shown = path.relative_to(config.ROOT) if path.is_relative_to(config.ROOT) else path
    options = ["--config_file", str(shown)]
    options += ["--multi_gpu"] if _on_cpu(path) else []  # as in `command`
    options += ["--num_processes", str(machines * processes_each)]
    options += ["--num_machines", str(machines)]
    address = ["--main_process_ip", main_ip, "--main_process_port", str(port)]
    end = [*address, "--module", module, *arguments]
    return [
        shlex.join(["accelerate", "launch", *options, "--machine_rank", str(rank), *end])
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
    """The command of TRL's vLLM server (`rl_vllm: server`), for GPUs that do not train.

    max_length: prompt + completion tokens.
    """
    options = {
        "--model": model,
        "--max_model_len": max_length,
        "--data_parallel_size": data_parallel,
        "--tensor_parallel_size": tensor_parallel,
        "--port": port,
    }
    return ["trl", "vllm-serve", *(str(word) for pair in options.items() for word in pair)]


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
    """Run `module` with `arguments` in several processes and wait for their end.

    Every line goes to `log` (appended), one every `show_every` seconds is printed. An interrupt or
    SIGTERM ends all processes. machines: with several, this one is the first, at `main_ip`; the
    commands for the other machines are printed, and all wait for each other. RuntimeError with the
    log's last lines when a process fails.
    """
    words = command(
        arguments, accelerate_config=accelerate_config, processes=processes, module=module
    )
    if machines > 1:
        if not main_ip or processes % machines:
            raise ValueError(
                f"{machines} machines: found main_ip {main_ip!r} and {processes} processes; "
                "expected this machine's address in main_ip, and a number of processes "
                "(over all machines) that the machines share evenly"
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
        words = [sys.executable, *LAUNCHER, *shlex.split(first)[2:]]
    without_gpu = accelerate_config is None or _on_cpu(config_file(accelerate_config))
    environment = started.environment() | ({"CUDA_VISIBLE_DEVICES": ""} if without_gpu else {})
    log.parent.mkdir(parents=True, exist_ok=True)
    last, shown, line = deque(maxlen=N_LAST), time.monotonic(), ""
    with started.termination_raises(), log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            words,
            env=environment,
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
            started.end(process, grace)
            process.stdout.close()
    if line.strip():
        print(line.rstrip(), flush=True)
    if process.returncode != 0:
        raise RuntimeError(
            f"{processes} processes of {module} ended with code {process.returncode}; "
            f"the log is {log}; its last lines:\n{started.last_lines(list(last))}"
        )

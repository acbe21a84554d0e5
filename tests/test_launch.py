"""Several processes: the commands, accelerate's configurations, and a real run on two CPU
processes.
"""

import builtins
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType

from pdlib import config
from pdlib.run import launch, parallel, processes, warm

ROOT = Path(__file__).resolve().parents[1]


# --- configurations ---


@pytest.mark.parametrize(
    "name, kind, processes, precision",
    [
        ("zero3", DistributedType.DEEPSPEED, 8, "bf16"),
        ("multi_gpu", DistributedType.MULTI_GPU, 8, "bf16"),
        ("cpu2", DistributedType.MULTI_CPU, 2, "no"),
        ("zero3_cpu2", DistributedType.DEEPSPEED, 2, "no"),
    ],
)
def test_configurations_are_accelerates_own(name, kind, processes, precision):
    found = load_config_from_file(str(launch.config_file(name)))
    assert (
        found.distributed_type,
        found.num_processes,
        found.mixed_precision,
        found.num_machines,
    ) == (kind, processes, precision, 1)
    assert found.use_cpu == name.endswith("cpu2")


@pytest.mark.parametrize("name", ["zero3", "zero3_cpu2"])
def test_zero3_is_stage_3_and_saves_whole_weights(name):
    settings = load_config_from_file(str(launch.config_file(name))).deepspeed_config
    assert (
        settings["zero_stage"] == 3
        and settings["zero3_init_flag"] is True
        and settings["zero3_save_16bit_model"] is True
    )


def test_every_configuration_is_tested_and_none_is_a_profile():
    assert launch.config_names() == ["cpu2", "multi_gpu", "zero3", "zero3_cpu2"]
    assert not set(launch.config_names()) & set(config.names())


def test_an_unknown_configuration_is_refused_and_an_own_file_taken(tmp_path):
    with pytest.raises(
        ValueError,
        match="no launch configuration 'zero2'; expected one of cpu2, multi_gpu, zero3, zero3_",
    ):
        launch.config_file("zero2")
    own = tmp_path / "own.yaml"
    own.write_text(launch.config_file("multi_gpu").read_text())
    assert str(own) in launch.command(["--task", "t"], accelerate_config=str(own), processes=2)


# --- commands ---


def parsed(command: list[str]):
    """What accelerate itself makes of the words after `accelerate launch`."""
    return launch_command_parser().parse_args(command)


def test_command_of_one_machine():
    command = launch.command(
        ["--task", "a folder/task.json"], accelerate_config="zero3", processes=8, python="python"
    )
    assert command[:3] == ["python", "-m", "accelerate.commands.launch"]
    found = parsed(command[3:])
    assert (found.config_file, found.num_processes, found.main_process_port) == (
        str(launch.config_file("zero3")),
        8,
        0,
    )
    assert (
        found.module
        and found.training_script == "pdlib.train"
        and found.training_script_args == ["--task", "a folder/task.json"]
    )
    assert not found.multi_gpu, "zero3.yaml decides"


@pytest.mark.parametrize(
    "config, processes, several",
    [("cpu2", 2, True), ("cpu2", 1, False), (None, 2, True), (None, 1, False)],
)
def test_cpu_processes_go_through_torchrun(config, processes, several):
    assert (
        parsed(launch.command([], accelerate_config=config, processes=processes)[3:]).multi_gpu
        is several
    )


def test_commands_for_several_machines_differ_in_rank_only():
    lines = launch.command_for_machines(
        ["--task", "a folder/task.json"],
        accelerate_config="zero3",
        machines=3,
        processes_each=8,
        main_ip="10.0.0.7",
    )
    found = [parsed(shlex.split(line)[2:]) for line in lines]
    assert [one.machine_rank for one in found] == [0, 1, 2]
    shared = {
        (one.num_processes, one.num_machines, one.main_process_ip, one.main_process_port)
        for one in found
    }
    assert shared == {(24, 3, "10.0.0.7", 29500)}
    assert {re.sub(r"--machine_rank \d", "", line) for line in lines} == {
        re.sub(r"--machine_rank \d", "", lines[0])
    }
    assert (
        found[2].training_script_args == ["--task", "a folder/task.json"]
        and found[2].config_file == "pdlib/profiles/launch/zero3.yaml"
    )
    with pytest.raises(ValueError, match="machines is 1"):
        launch.command_for_machines(
            [], accelerate_config="zero3", machines=1, processes_each=8, main_ip="10.0.0.7"
        )


def test_vllm_command_has_the_options_of_trls_server():
    source = (Path(find_spec("trl").origin).parent / "scripts" / "vllm_serve.py").read_text()
    command = launch.vllm_command("outputs/paper/sft", max_length=3072, data_parallel=4)
    assert command[:4] == ["trl", "vllm-serve", "--model", "outputs/paper/sft"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options["--max_model_len"] == "3072" and options["--data_parallel_size"] == "4"
    assert [
        name for name in options if not re.search(rf"^    {name[2:]}: ", source, re.MULTILINE)
    ] == []


# --- real runs ---

MODULE = """
import json, os, sys, time
from pathlib import Path
import torch
from accelerate import PartialState

state, out = PartialState(cpu=True), Path(sys.argv[1])
total = torch.tensor([state.process_index + 1.0])
torch.distributed.all_reduce(total)
facts = {"rank": state.process_index, "processes": state.num_processes}
facts |= {"sum": total.item(), "cuda": torch.cuda.is_available()}
out.joinpath(f"{state.process_index}.json").write_text(json.dumps(facts))
os.write(1, f"line of {state.process_index}\\n".encode())
if sys.argv[2] == "fail" and state.process_index == 1:
    raise ValueError("the reward is a word")
if sys.argv[2] == "wait":
    out.joinpath(f"{state.process_index}.pid").write_text(str(os.getpid()))
    time.sleep(300)
state.destroy_process_group()  # a process that ends without it may be aborted by gloo's threads
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A small module that processes run; where it lies is on their path."""
    (tmp_path / "small_stage.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return "small_stage"


def test_two_processes_work_together_and_their_log_is_kept(module, tmp_path, capsys):
    log = tmp_path / "stage" / "launch.log"
    launch.run(
        [str(tmp_path), "end"],
        accelerate_config="cpu2",
        processes=2,
        log=log,
        module=module,
        show_every=0,
    )
    facts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [(one["rank"], one["processes"], one["sum"]) for one in facts] == [
        (0, 2, 3.0),
        (1, 2, 3.0),
    ]
    assert not facts[0]["cuda"], "a CPU run must not take a GPU that is there"
    shown = capsys.readouterr().out
    assert all(
        f"line of {rank}\n" in log.read_text() and f"line of {rank}\n" in shown for rank in (0, 1)
    )


def test_a_failure_names_its_cause_and_the_log(module, tmp_path, capsys):
    log = tmp_path / "launch.log"
    with pytest.raises(RuntimeError) as failed:
        launch.run(
            [str(tmp_path), "fail"],
            accelerate_config="cpu2",
            processes=2,
            log=log,
            module=module,
            show_every=1000,
        )
    text = str(failed.value)
    assert (
        "ValueError: the reward is a word" in text
        and str(log) in text
        and "ChildFailedError" not in text
    )
    assert "ValueError: the reward is a word" in log.read_text()
    assert len(capsys.readouterr().out.splitlines()) <= 1, (
        "the notebook gets a line now and then, the log all of them"
    )


CALLER = """
import signal, sys
from pathlib import Path
from pdlib.run import launch
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background process
log = Path(sys.argv[1], "launch.log")
settings = {"accelerate_config": "cpu2", "processes": 2, "module": "small_stage"}
launch.run([sys.argv[1], "wait"], log=log, **settings)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"]
)
def test_no_process_outlives_a_stopped_notebook(module, tmp_path, number):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(tmp_path)], env=environment, stderr=subprocess.PIPE
    )
    pids = [tmp_path / f"{rank}.pid" for rank in (0, 1)]
    deadline = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in pids):
        assert time.monotonic() < deadline and caller.poll() is None
        time.sleep(0.1)
    started = psutil.Process(caller.pid).children(recursive=True)
    assert {int(path.read_text()) for path in pids} <= {process.pid for process in started}
    caller.send_signal(number)
    caller.communicate(timeout=60)
    assert caller.returncode != 0
    _, left = psutil.wait_procs(started, timeout=5)
    assert left == []


def test_the_first_of_several_machines_waits_for_the_others_and_says_how_to_start_them(
    tmp_path, capsys, monkeypatch
):
    """Both 'machines' are this one: the command that is printed is started as it stands, and the
    two find each other.
    """
    with pytest.raises(ValueError, match="main_ip.*machines share evenly"):
        launch.run(
            ["x"],
            accelerate_config="cpu2",
            processes=3,
            machines=2,
            main_ip="127.0.0.1",
            log=tmp_path / "log",
        )
    (tmp_path / "joined.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom accelerate import PartialState\n"
        "state = PartialState(cpu=True)\n"
        "Path(sys.argv[1], f'{state.process_index} of {state.num_processes}').touch()\n"
        "state.wait_for_everyone()\nstate.destroy_process_group()\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    others = []

    def start_others(*lines, **_):
        others.extend(
            subprocess.Popen(line, shell=True, cwd=ROOT)
            for line in lines
            if "--machine_rank 1" in str(line)
        )

    monkeypatch.setattr(builtins, "print", start_others)
    launch.run(
        [str(tmp_path)],
        accelerate_config="cpu2",
        processes=2,
        machines=2,
        main_ip="127.0.0.1",
        log=tmp_path / "log",
        module="joined",
    )
    assert [other.wait(60) for other in others] == [0]
    assert sorted(path.name for path in tmp_path.glob("* of *")) == ["0 of 2", "1 of 2"]


# --- tasks side by side ---

TASK = """
import os, sys, time
from pathlib import Path

name, other, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
print(name, "works with", os.environ["OMP_NUM_THREADS"], "thread", flush=True)
(out / f"{name}.pid").write_text(str(os.getpid()))
if name == "bad":
    raise ValueError("no such backbone")
until = time.time() + (20 if other != "nobody" else 0)
while not (out / f"{other}.pid").exists() and time.time() < until:
    time.sleep(0.02)
(out / f"{name}.met").write_text(str((out / f"{other}.pid").exists()))
if other == "bad":
    time.sleep(300)
"""


@pytest.fixture
def task(tmp_path, monkeypatch):
    (tmp_path / "small_task.py").write_text(TASK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda name, other: ["small_task", name, other, str(tmp_path)]


EACH_ITS_OWN, ONCE_FOR_ALL = None, ("json",)  # what imports: every process, or one before all
STARTED = pytest.mark.parametrize("preloaded", [EACH_ITS_OWN, ONCE_FOR_ALL], ids=["cold", "warm"])


@STARTED
def test_tasks_run_side_by_side_on_one_thread_each(task, tmp_path, capsys, preloaded):
    """Two wait for each other, which only ends well if both run at once; the third comes when one
    has ended.
    """
    tasks = {"a": task("a", "b"), "b": task("b", "a"), "c": task("c", "nobody")}
    parallel.side_by_side(
        tasks, workers=2, logs=tmp_path / "logs", show_every=0.1, preloaded=preloaded
    )
    assert [(tmp_path / f"{name}.met").read_text() for name in "abc"] == ["True", "True", "False"]
    assert (tmp_path / "logs" / "a.log").read_text() == "a works with 1 thread\n"
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("done: ") and lines[-1].endswith("waiting: none")
    assert [re.sub(r"^\w: [\d.]+", "", line) for line in lines[:-1]] == [
        f" minutes; {k} of 3 done" for k in (1, 2, 3)
    ]


def test_what_most_wait_for_comes_first_and_nothing_before_what_it_needs(task, tmp_path):
    """One worker: "a" and "b" are asked for first, but "c" and then "d" wait for "e"."""
    tasks = {name: task(name, "nobody") for name in "abcde"}
    parallel.side_by_side(tasks, workers=1, logs=tmp_path / "logs", after={"d": "c", "c": "e"})
    assert sorted("abcde", key=lambda name: (tmp_path / f"{name}.pid").stat().st_mtime) == list(
        "ecabd"
    )


def test_no_more_tasks_run_than_there_are_workers(task, tmp_path):
    parallel.side_by_side(
        {"a": task("a", "nobody"), "b": task("b", "nobody")}, workers=1, logs=tmp_path / "logs"
    )
    assert (tmp_path / "a.met").stat().st_mtime <= (tmp_path / "b.pid").stat().st_mtime


@STARTED
def test_a_task_that_fails_is_named_and_the_others_are_ended(task, tmp_path, preloaded):
    with pytest.raises(RuntimeError) as failed:
        parallel.side_by_side(
            {"long": task("long", "bad"), "bad": task("bad", "nobody")},
            workers=2,
            logs=tmp_path / "logs",
            grace=5,
            preloaded=preloaded,
        )
    assert "bad ended with code 1" in str(failed.value) and "ValueError: no such backbone" in str(
        failed.value
    )
    assert not psutil.pid_exists(int((tmp_path / "long.pid").read_text()))


PROGRAM = """
import os, random, sys, numpy
print(sys.argv[1:], __name__, sys.stdin.read() == "", random.random(), numpy.random.rand())
print("to the log, too", file=sys.stderr)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
sys.exit(int(sys.argv[2]))
"""


def test_a_fork_is_a_program_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with warm.Server(processes.environment(), ["json", "random"]) as server:
        logs = [tmp_path / name for name in ("one", "two", "killed")]
        codes = ("0", "3", "0")
        forks = [
            server.start(["program", log.name, code], log)
            for log, code in zip(logs, codes, strict=True)
        ]
        assert [fork.wait() for fork in forks] == [0, 3, -9]
        assert [fork.poll() for fork in forks] == [0, 3, -9]
        assert len({os.getpid(), server.process.pid, *(fork.pid for fork in forks)}) == 5
    assert server.process.returncode == 0
    first, second = (log.read_text().splitlines() for log in logs[:2])
    assert first[0].startswith("['one', '0'] __main__ True") and first[1] == "to the log, too"
    assert first[0].split()[-2:] != second[0].split()[-2:]  # they do not draw the same numbers


def test_a_server_that_cannot_start_is_told(tmp_path, capfd):
    with (
        warm.Server(processes.environment(), ["no_such_module"]) as server,
        pytest.raises(RuntimeError, match="ended with code 1"),
    ):
        server.start(["program"], tmp_path / "log")
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_there_is_no_fork_beside_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(warm, "DRIVER", tmp_path)
    assert not warm.is_possible()

"""A training in this process, or in several of them under `accelerate launch`."""

import gc
import json
from collections.abc import Callable
from pathlib import Path

import torch

from pdlib import config
from pdlib.run import launch, stages


def train(
    task: str, function: Callable[..., dict], cfg: config.Config, folder: Path, **arguments
) -> dict:
    """The facts of `function(cfg, folder, **arguments)`, called here or in several processes.

    Where the setting `accelerate` names a launch configuration, `cfg.processes` processes call what
    `pdlib.train.__main__` knows by the name `task`, which is the same function.
    """
    if cfg.accelerate == "none":
        facts = function(cfg, folder, **arguments)
        _give_back_memory()
        return facts
    _give_back_memory()  # the launched processes have this GPU, too
    stages.write_json(
        folder / "task.json",
        {
            "task": task,
            "profile": cfg.profile,
            "overrides": cfg.overrides(),
            "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()},
        },
    )
    launch.run(
        ["--task", str(folder / "task.json")],
        accelerate_config=cfg.accelerate,
        processes=cfg.processes,
        log=folder / "launch.log",
        machines=cfg.machines,
        main_ip=cfg.main_ip,
    )
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def _give_back_memory() -> None:
    """Free what earlier trainings of this process left: a trainer's parts refer to each other.

    A dozen trainings share a notebook's kernel, and each holds a policy and a reference.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

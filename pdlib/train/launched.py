"""A training in this process, or in several of them under `accelerate launch`."""

import json
from collections.abc import Callable
from pathlib import Path

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
        return function(cfg, folder, **arguments)
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

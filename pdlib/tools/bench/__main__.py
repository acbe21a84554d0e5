"""`make bench`: measure, write bench.json and bench.png, print the table."""

import argparse
import platform
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from pdlib.plots import save
from pdlib.plots.bench import bench
from pdlib.run import stages
from pdlib.shared_prefix.cost import Shape
from pdlib.tools.bench import memory, times
from pdlib.tools.bench.sides import LLAMA, device

POCKET = Shape("pocket", 16, 46, 27, 8)  # the mean lengths of the pocket profile's RL
PRETRAINED = Shape(LLAMA, 8, 91, 35, 8)  # the mean lengths of the RL of the profile pretrained
GRID = [
    Shape("17M", 1, prompt, 128, rollouts) for prompt in (128, 512, 1024) for rollouts in (4, 8, 16)
]
MIDDLE = Shape("17M", 1, 512, 128, 8)  # the shape of GRID that is measured in all its parts
ON_GPU = [Shape("Qwen3-0.6B", 4, prompt, 256, 8) for prompt in (128, 512, 1024)]
EVALUATION = {"questions": 500, "completion": 27}


def measure(only_model: str | None, repeats: int) -> list[dict]:
    """All rows of the benchmark, each printed when it is measured.

    only_model: measure the DualGRPO step of this model and nothing else.
    """
    rows, on_gpu = [], device() == "cuda"

    def add(*measured: dict):
        rows.extend(measured)
        for row in measured:
            rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}
            print(rounded, flush=True)

    for shape in ON_GPU if on_gpu else [POCKET, PRETRAINED]:
        if only_model in (None, shape.model):
            add(*times.compare(shape, repeats=repeats))
    if only_model:
        return rows
    for shape in [] if on_gpu else GRID:
        parts = tuple(times.PARTS) if shape == MIDDLE else ("training pass",)
        add(*times.compare(shape, parts, repeats))
    add(times.evaluation(**EVALUATION, repeats=repeats))
    add(memory.compare(ON_GPU[1] if on_gpu else MIDDLE))
    return rows


def machine() -> dict:
    """What the times were measured on."""
    hardware = stages.hardware()
    packages = ("torch", "transformers", "trl", "peft", "accelerate")
    return {
        "device": hardware["gpus"][0] if hardware["gpus"] else hardware["cpu"],
        "cores": hardware["cores"],
        "threads": torch.get_num_threads(),
        "dtype": "bfloat16" if device() == "cuda" else "float32",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def main() -> None:
    """Measure, write and print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=stages.ROOT / "outputs" / "bench")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--steps-of", choices=["pocket", LLAMA], help="only the DualGRPO step of this model"
    )
    arguments = parser.parse_args()
    started = time.time()
    rows = measure(arguments.steps_of, arguments.repeats)
    minutes = round((time.time() - started) / 60, 1)
    results = {"machine": machine(), "minutes": minutes, "rows": rows}
    stages.write_json(arguments.out / "bench.json", results)
    path = save(bench(pd.DataFrame(rows)), arguments.out / "bench.png")
    print(f"done in {minutes} minutes: {path}")


if __name__ == "__main__":
    main()

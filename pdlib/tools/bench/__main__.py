"""`make bench`: measure, write bench.json and bench.png, print the table."""

import argparse
import time
from pathlib import Path

import pandas as pd

from pdlib.plots import save
from pdlib.plots.bench import bench
from pdlib.run import stages
from pdlib.shared_prefix.cost import Shape
from pdlib.tools.bench import measure

POCKET = Shape("pocket", 16, 46, 27, 8)  # the mean lengths of the pocket profile's RL
GRID = [
    Shape("17M", 1, prompt, 128, rollouts) for prompt in (128, 512, 1024) for rollouts in (4, 8, 16)
]
MIDDLE = Shape("17M", 1, 512, 128, 8)
PRETRAINED = Shape(
    measure.LLAMA, 8, 91, 35, 8
)  # the mean lengths of the RL of the profile pretrained
ON_GPU = [Shape("Qwen3-0.6B", 4, prompt, 256, 8) for prompt in (128, 512, 1024)]
EVALUATION = {"questions": 500, "completion": 27}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=stages.ROOT / "outputs" / "bench")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--steps-of", choices=["pocket", measure.LLAMA], help="only the DualGRPO step of this model"
    )
    parser.add_argument(
        "--peak",
        nargs=6,
        metavar=("SIDE", "MODEL", "PROMPTS", "PROMPT", "COMPLETION", "ROLLOUTS"),
        help="for `memory`",
    )
    asked = parser.parse_args()
    if asked.peak:
        side, model, *numbers = asked.peak
        print(measure.peak(side, Shape(model, *map(int, numbers))))
        return
    started, rows = time.time(), []
    on_gpu = measure.device() == "cuda"

    def add(found):
        rows.extend(found)
        for row in found:
            print(
                {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True
            )

    for shape in ON_GPU if on_gpu else [POCKET, PRETRAINED]:
        if asked.steps_of in (None, shape.model):
            add(measure.compare(shape, repeats=asked.repeats))
    if asked.steps_of is None:
        for shape in [] if on_gpu else GRID:
            add(
                measure.compare(
                    shape,
                    tuple(measure.PARTS) if shape == MIDDLE else ("training pass",),
                    repeats=asked.repeats,
                )
            )
        add(measure.evaluation(**EVALUATION, repeats=asked.repeats))
        add([measure.memory(ON_GPU[1] if on_gpu else MIDDLE)])
    asked.out.mkdir(parents=True, exist_ok=True)
    minutes = round((time.time() - started) / 60, 1)
    stages.write_json(
        asked.out / "bench.json", {"machine": measure.machine(), "minutes": minutes, "rows": rows}
    )
    path = save(bench(pd.DataFrame(rows)), asked.out / "bench.png")
    print(f"done in {minutes} minutes: {path}")


if __name__ == "__main__":
    main()

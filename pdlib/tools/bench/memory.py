"""Peak memory of a training pass of stock TRL and of ours."""

import multiprocessing
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from pdlib.shared_prefix.cost import Shape
from pdlib.tools.bench import sides
from pdlib.tools.bench.times import training_pass


def peak(side: str, shape: Shape) -> int:
    """The most bytes that a training pass needs above the loaded models, gradients included.

    Memory that a pass has touched once stays with the process: measure once per process.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = sides.write_model(shape.model, Path(work) / "model")
        trainer = sides.make_trainer(side, folder, shape, Path(work))
        run = training_pass(trainer, shape)
        if sides.device() == "cpu":
            return _resident_above(run)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before


def _resident_above(run: Callable) -> int:
    """How far this process's resident memory rises while `run` runs, sampled every 2 ms."""
    process, is_over = psutil.Process(), threading.Event()
    before = highest = process.memory_info().rss

    def watch():
        nonlocal highest
        while not is_over.wait(0.002):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    run()
    is_over.set()
    watcher.join()
    return highest - before


def compare(shape: Shape) -> dict:
    """The row of peak memory: stock_mib, ours_mib and ratio, which is ours over stock.

    Each side is measured in a process of its own.
    """
    # a forked process cannot use a GPU at which its parent has looked
    context = multiprocessing.get_context("forkserver" if sides.device() == "cpu" else "spawn")
    context.set_forkserver_preload([__name__])
    with context.Pool(1, maxtasksperchild=1) as pool:
        stock, ours = (pool.apply(peak, (side, shape)) / 2**20 for side in ("stock", "ours"))
    return {
        "part": "peak memory",
        **vars(shape),
        "stock_mib": stock,
        "ours_mib": ours,
        "ratio": ours / stock,
    }

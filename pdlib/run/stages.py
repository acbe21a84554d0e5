"""A stage runs once, survives being killed, and runs again only when its settings or inputs change.

Every stage has a folder. `outputs/<profile>/<stage>/manifest.json` is written last. Its key covers
the stage's settings, its version and the keys of its inputs, so a changed setting reruns exactly
what lies downstream. The manifest also notes where, when and by which code the stage was made
(`provenance`); that changes no key. `begun.json` holds the key of unfinished work: with the same
key the work goes on where it stopped, with another key it begins afresh.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from pdlib.config import ROOT

MANIFEST, BEGUN = "manifest.json", "begun.json"
REFERENCE = ROOT / "outputs" / "reference"  # the small committed copy of a run
PACKAGES = (  # whose versions a manifest notes
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "bitsandbytes",
    "tokenizers",
    "numpy",
    "math-verify",
)


def write_json(path: Path, value) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_manifest(folder: Path) -> dict:
    """The manifest of a finished stage; ValueError when it has not finished."""
    if not (folder / MANIFEST).is_file():
        raise ValueError(
            f"stage {folder.name!r} has not finished: {folder / MANIFEST} is missing; "
            "run `make reproduce` or the notebook that makes it"
        )
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def _key(name: str, version: int, settings: dict, inputs: Sequence[Path]) -> str:
    parts = {
        "stage": name,
        "version": version,
        "settings": settings,
        "inputs": [read_manifest(p)["key"] for p in inputs],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | versions


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def revision() -> dict:
    """The commit of this library's checkout, and whether its files are as committed.

    {"revision", "clean"}; where there is no such commit {"revision": None, "reason"}.
    """
    try:
        if _git("rev-parse", "--show-prefix"):
            return {
                "revision": None,
                "reason": "the library lies inside another project's checkout",
            }
        return {"revision": _git("rev-parse", "HEAD"), "clean": _git("status", "--porcelain") == ""}
    except FileNotFoundError:
        return {"revision": None, "reason": "git is not installed"}
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return {"revision": None, "reason": "git finds no commit of a checkout here"}


def hardware() -> dict:
    """Processor, its cores, memory in GiB, and GPUs by name with CUDA's version.

    Neither the machine's nor the user's name is among them.
    """
    info = Path("/proc/cpuinfo")  # where there is one, platform.processor() is empty
    lines = info.read_text().splitlines() if info.is_file() else []
    processors = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    torch = sys.modules.get("torch")  # a stage that never loaded it used no GPU
    has_gpu = torch is not None and torch.cuda.is_available()
    n_gpus = torch.cuda.device_count() if has_gpu else 0
    return {
        "cpu": processors[0] if processors else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(n_gpus)],
        "cuda": torch.version.cuda if has_gpu else None,
    }


@cache
def say_once(line: str) -> None:
    """Print a line only the first time in this process.

    Every system that starts from one stage would repeat the same line.
    """
    print(line, flush=True)


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class NotBuiltError(Exception):
    """A stage has no result yet, or the result is that of other settings or inputs."""


_may_build = True


@contextmanager
def without_building() -> Iterator[None]:
    """Within it `once` builds nothing: where it would, it raises NotBuiltError."""
    global _may_build
    _may_build = False
    try:
        yield
    finally:
        _may_build = True


@contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold the lock file `path`; where another process holds it, print `message` and wait."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(message, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def once(
    folder: Path,
    build: Callable[[Path], dict | None],
    *,
    settings: dict,
    inputs: Sequence[Path] = (),
    products: Sequence[Path] = (),
    version: int = 1,
) -> Path:
    """Run `build(folder)` unless `folder` already holds its result; return `folder`.

    `build` may find its own unfinished work in the folder (checkpoints); what it returns goes into
    the manifest. A second process that wants the same stage waits until the first has finished,
    then uses its result. products: files that the stage writes elsewhere; it runs again when one
    of them is gone.
    """
    key = _key(folder.name, version, settings, inputs)

    def is_done() -> bool:
        return (
            (folder / MANIFEST).is_file()
            and read_manifest(folder)["key"] == key
            and all(p.exists() for p in products)
        )

    if not _may_build:
        if is_done():
            return folder
        raise NotBuiltError(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock")
    with locked(lock, f"stage {folder.name}: another run is working on it, waiting for that one"):
        if is_done():
            say_once(f"stage {folder.name}: up to date")
            return folder
        _clear_unless_begun(folder, key)
        folder.mkdir(exist_ok=True)
        write_json(folder / BEGUN, {"key": key})
        code, began, started = revision(), now(), time.time()  # the code when the work began
        facts = build(folder)
        manifest = {
            "stage": folder.name,
            "key": key,
            "version": version,
            "settings": settings,
            "inputs": {path.name: read_manifest(path)["key"] for path in inputs},
            "versions": _versions(),
            "seconds": round(time.time() - started, 1),
            "provenance": {"code": code, "hardware": hardware(), "began": began, "ended": now()},
            "facts": facts or {},
        }
        write_json(folder / MANIFEST, manifest)
        (folder / BEGUN).unlink()
        return folder


def _clear_unless_begun(folder: Path, key: str) -> None:
    """Remove the folder's content unless it is unfinished work of the same key."""
    begun = json.loads((folder / BEGUN).read_text()) if (folder / BEGUN).is_file() else {}
    if folder.exists() and begun.get("key") != key:
        # The manifest goes first: a kill in between leaves nothing that looks finished.
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
    elif begun:
        print(f"stage {folder.name}: going on with unfinished work", flush=True)

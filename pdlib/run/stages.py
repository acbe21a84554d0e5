"""A stage's folder: runs once, survives being killed, and runs again only when what it depends on
has changed.

`outputs/<profile>/<stage>/manifest.json` is written last. Its key covers the stage's settings, its
version and the keys of its inputs, so a changed setting reruns exactly what lies downstream; where,
when and by which code it was made (`provenance`) is noted, but changes no key. `begun.json` holds
the key of unfinished work: with the same key the work goes on where it stopped, with another it is
begun afresh.
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
REFERENCE = (
    ROOT / "outputs" / "reference"
)  # the small committed copy of a run, see `report.reference`


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
            f"stage {folder.name!r} has not finished: {folder / MANIFEST} is missing; run `make reproduce` "
            "or the notebook that makes it"
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
    packages = (
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
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def revision() -> dict:
    """{"revision", "clean"} of this library's checkout: the commit, and whether its files are as
    committed; else a null and a reason.
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
    """Processor, its cores, memory in GiB, GPUs by name with CUDA's version; neither the machine's
    nor the user's name.
    """
    info = Path("/proc/cpuinfo")  # where there is one, platform.processor() is empty
    lines = info.read_text().splitlines() if info.is_file() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    torch = sys.modules.get("torch")  # a stage that never loaded it used no GPU
    cuda = torch is not None and torch.cuda.is_available()
    return {
        "cpu": found[0] if found else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else [],
        "cuda": torch.version.cuda if cuda else None,
    }


@cache
def say_once(line: str) -> None:
    """Print a line the first time in this process: what would be repeated for every system that
    starts from one stage.
    """
    print(line, flush=True)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class NotThere(Exception):
    """A stage whose result is not there, or is that of other settings or inputs."""


_looking = False


@contextmanager
def looking() -> Iterator[None]:
    """Within it `once` builds nothing: where it would, it raises NotThere."""
    global _looking
    _looking = True
    try:
        yield
    finally:
        _looking = False


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

    products: files the stage writes elsewhere; it runs again when one of them is gone.

    build may find its own unfinished work in the folder (checkpoints); what it returns goes into
    the manifest. A second process that wants the same stage waits until the first has finished,
    then uses its result.
    """
    key = _key(folder.name, version, settings, inputs)

    def is_done() -> bool:
        return (
            (folder / MANIFEST).is_file()
            and read_manifest(folder)["key"] == key
            and all(p.exists() for p in products)
        )

    if _looking:
        if is_done():
            return folder
        raise NotThere(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(
            f"stage {folder.name}: another run is working on it, waiting for that one", flush=True
        )
        lock.acquire()
    try:
        if is_done():
            say_once(f"stage {folder.name}: up to date")
            return folder
        begun = json.loads((folder / BEGUN).read_text()) if (folder / BEGUN).is_file() else None
        if folder.exists() and (begun or {}).get("key") != key:
            (folder / MANIFEST).unlink(
                missing_ok=True
            )  # first, so that a kill in between leaves nothing that looks finished
            shutil.rmtree(folder)
        elif begun:
            print(f"stage {folder.name}: going on with unfinished work", flush=True)
        folder.mkdir(exist_ok=True)
        write_json(folder / BEGUN, {"key": key})
        code, began, started = (
            revision(),
            now(),
            time.time(),
        )  # the code as it was when the work began
        facts = build(folder)
        write_json(
            folder / MANIFEST,
            {
                "stage": folder.name,
                "key": key,
                "version": version,
                "settings": settings,
                "inputs": {path.name: read_manifest(path)["key"] for path in inputs},
                "versions": _versions(),
                "seconds": round(time.time() - started, 1),
                "provenance": {
                    "code": code,
                    "hardware": hardware(),
                    "began": began,
                    "ended": now(),
                },
                "facts": facts or {},
            },
        )
        (folder / BEGUN).unlink()
        return folder
    finally:
        lock.release()

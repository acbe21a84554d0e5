"""A stage's folder: runs once, survives being killed, and runs again only when what it depends on has changed.

`outputs/<profile>/<stage>/manifest.json` is written last. Its key covers the stage's settings, its version and the keys
of its inputs, so a changed setting reruns exactly what lies downstream. `begun.json` holds the key of unfinished work:
with the same key the work goes on where it stopped, with another it is begun afresh.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

MANIFEST, BEGUN = "manifest.json", "begun.json"


def write_json(path: Path, value) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_manifest(folder: Path) -> dict:
    """The manifest of a finished stage; ValueError when it has not finished."""
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"stage {folder.name!r} has not finished: {folder / MANIFEST} is missing; run `make reproduce` "
                         "or the notebook that makes it")
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def _key(name: str, version: int, settings: dict, inputs: Sequence[Path]) -> str:
    parts = {"stage": name, "version": version, "settings": settings, "inputs": [read_manifest(p)["key"] for p in inputs]}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "math-verify")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def once(folder: Path, build: Callable[[Path], dict | None], *, settings: dict, inputs: Sequence[Path] = (),
         products: Sequence[Path] = (), version: int = 1) -> Path:
    """Run `build(folder)` unless `folder` already holds its result; return `folder`.

    products: files the stage writes elsewhere; it runs again when one of them is gone.

    build may find its own unfinished work in the folder (checkpoints); what it returns goes into the manifest. A second
    process that wants the same stage waits until the first has finished, then uses its result.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    key = _key(folder.name, version, settings, inputs)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"stage {folder.name}: another run is working on it, waiting for that one", flush=True)
        lock.acquire()
    try:
        if (folder / MANIFEST).is_file() and read_manifest(folder)["key"] == key and all(p.exists() for p in products):
            print(f"stage {folder.name}: up to date", flush=True)
            return folder
        begun = json.loads((folder / BEGUN).read_text()) if (folder / BEGUN).is_file() else None
        if folder.exists() and (begun or {}).get("key") != key:
            (folder / MANIFEST).unlink(missing_ok=True)  # first, so that a kill in between leaves nothing that looks finished
            shutil.rmtree(folder)
        elif begun:
            print(f"stage {folder.name}: going on with unfinished work", flush=True)
        folder.mkdir(exist_ok=True)
        write_json(folder / BEGUN, {"key": key})
        started = time.time()
        facts = build(folder)
        write_json(folder / MANIFEST, {
            "stage": folder.name, "key": key, "version": version, "settings": settings,
            "inputs": {path.name: read_manifest(path)["key"] for path in inputs},
            "versions": _versions(), "seconds": round(time.time() - started, 1), "facts": facts or {},
        })
        (folder / BEGUN).unlink()
        return folder
    finally:
        lock.release()

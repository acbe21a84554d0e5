"""Is everything here that a run of a profile needs?"""

import importlib.metadata
import os
import shutil
import tomllib
from pathlib import Path

import pandas as pd
import psutil
import torch

from pdlib import config, models
from pdlib.run import stages
from pdlib.workbook.trained_model import trained

GIB = 2**30
# of memory; measured peaks: 3.1 of `pocket` with two workers, 7.9 of `pretrained`
MEMORY_GIB = {"smoke": 3, "pocket": 4, "pretrained": 8}
# by calculation: what `pretrained` leaves is 1.8, three checkpoints for a moment 4.8
DISK_GIB = {"smoke": 1, "pocket": 1, "pretrained": 7}


def environment(cfg: config.Config) -> pd.DataFrame:
    """What a run of this profile needs, one row each: what, found, ok, what to do.

    ok is yes or no, or empty where nothing is right or wrong. Nothing is changed, and nothing is
    fetched.
    """
    rows = [
        _packages(),
        _device(needs_gpu=cfg.profile in ("gpu", "paper")),
        _memory(MEMORY_GIB.get(cfg.profile)),
        *_disk(cfg.folder(), DISK_GIB.get(cfg.profile)),
        _model(cfg),
    ]
    if cfg.expert != "pocket":
        rows.append(_key())
    return pd.DataFrame(rows)


def _row(what: str, found: str, is_ok: bool | None, advice: str) -> dict[str, str]:
    """is_ok: None where nothing is right or wrong; the advice is for what is not ok."""
    ok = {True: "yes", False: "no", None: ""}[is_ok]
    return {"what": what, "found": found, "ok": ok, "what to do": advice if ok == "no" else ""}


def _packages() -> dict[str, str]:
    project = tomllib.loads((stages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = project["project"]["dependencies"]
    off = _off_pins(pins)
    pinned = f"{len(pins) - len(off)} of {len(pins)} as pinned"
    return _row("packages", pinned, not off, f"make setup: {', '.join(off)}")


def _off_pins(pins: list[str]) -> list[str]:
    """The pins that the installed versions do not keep, in words.

    A local build such as 2.13.0+cpu keeps them.
    """
    off = []
    for pin in pins:
        name, _, pinned = pin.partition("==")
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            off.append(f"{name} is missing")
            continue
        if installed.partition("+")[0] != pinned:
            off.append(f"{name} {installed} instead of {pinned}")
    return off


def _device(needs_gpu: bool) -> dict[str, str]:
    is_ok = torch.cuda.is_available() if needs_gpu else None
    return _row("device", models.describe_device(), is_ok, "this profile needs a CUDA GPU")


def _memory(needed: int | None) -> dict[str, str]:
    memory = psutil.virtual_memory().total / GIB
    is_ok = memory >= needed if needed else None
    return _row("memory", f"{memory:.0f} GiB", is_ok, f"this profile takes up to {needed} GiB")


def _disk(folder: Path, needed: int | None) -> list[dict[str, str]]:
    """Room for the results, and whether they can be written."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / GIB
    is_ok = free >= needed if needed else None
    is_writable = os.access(existing, os.W_OK)
    state = "can be written" if is_writable else "cannot be written"
    return [
        _row("free disk", f"{free:.0f} GiB", is_ok, f"a run takes up to {needed} GiB"),
        _row("results folder", state, is_writable, "choose another output_dir"),
    ]


def _model(cfg: config.Config) -> dict[str, str]:
    """A model that is not trained yet is no error, but what to do is said."""
    if trained(cfg):
        return _row("trained model", "there", None, "")
    advice = "make reproduce, or notebooks 01 to 05"
    return _row("trained model", "not yet", None, "") | {"what to do": advice}


def _key() -> dict[str, str]:
    """A missing key is no error, but what it is for is said."""
    if os.environ.get("OPENAI_API_KEY"):
        return _row("OPENAI_API_KEY", "set", None, "")
    advice = "02 needs it where the expert's endpoint does"
    return _row("OPENAI_API_KEY", "not set", None, "") | {"what to do": advice}

"""What the first notebook shows: is everything here, which function is which equation, how long
does each notebook take.

`store_answers` and `store_minutes` add to outputs/reference what that notebook needs where nothing
was trained yet.
"""

import importlib
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import tomllib
from datetime import datetime
from functools import cache
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import torch
from IPython.display import HTML
from pandas.io.formats.style import Styler

from pdlib import config, models, paper, systems
from pdlib.analysis import playground
from pdlib.run import stages
from pdlib.workbook import pages, runner

MINUTES = (
    "minutes.json"  # {profile: {"machine": stages.hardware(), "minutes": {notebook: minutes}}}
)
TRAINING, TOGETHER = "training, side by side", "all together"  # lines of the minutes
GIB = 2**30
PROFILES = ("smoke", "pocket", "pretrained", "gpu", "paper")  # from the quickest
NEEDED_GIB = {
    "smoke": 3,
    "pocket": 4,
    "pretrained": 8,
}  # of memory; measured peaks: 3.1 of `pocket` with two workers, 7.9 of `pretrained`
DISK_GIB = {
    "smoke": 1,
    "pocket": 1,
    "pretrained": 7,
}  # by calculation: what `pretrained` leaves is 1.8, three checkpoints for a moment 4.8


def environment(cfg: config.Config) -> pd.DataFrame:
    """What a run of this profile needs, one row each: what, found, ok (yes | no, or empty: no
    matter of right and wrong), what to do.

    Nothing is changed, and nothing is fetched.
    """
    pins = tomllib.loads((stages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "dependencies"
    ]
    off, real, place = _off_pins(pins), cfg.profile in ("gpu", "paper"), _existing(cfg.folder())
    memory, disk = psutil.virtual_memory().total / GIB, shutil.disk_usage(place).free / GIB
    needed, room = NEEDED_GIB.get(cfg.profile), DISK_GIB.get(cfg.profile)
    rows = [
        (
            "packages",
            f"{len(pins) - len(off)} of {len(pins)} as pinned",
            not off,
            f"make setup: {', '.join(off)}",
        ),
        (
            "device",
            models.describe_device(),
            torch.cuda.is_available() if real else None,
            "this profile needs a CUDA GPU",
        ),
        (
            "memory",
            f"{memory:.0f} GiB",
            memory >= needed if needed else None,
            f"this profile takes up to {needed} GiB",
        ),
        (
            "free disk",
            f"{disk:.0f} GiB",
            disk >= room if room else None,
            f"a run takes up to {room} GiB",
        ),
        (
            "results folder",
            "can be written" if os.access(place, os.W_OK) else "cannot be written",
            os.access(place, os.W_OK),
            "choose another output_dir",
        ),
        (
            "trained model",
            *(
                ("there", None, "")
                if trained(cfg)
                else ("not yet", None, "make reproduce, or notebooks 01 to 05")
            ),
        ),
    ]
    if cfg.expert != "pocket":
        key = bool(os.environ.get("OPENAI_API_KEY"))
        rows.append(
            (
                "OPENAI_API_KEY",
                "set" if key else "not set",
                None,
                "" if key else "02 needs it where the expert's endpoint does",
            )
        )
    told = ("trained model", "OPENAI_API_KEY")  # what to do is said whether or not it is an error
    return pd.DataFrame(
        [
            {
                "what": what,
                "found": found,
                "ok": {True: "yes", False: "no", None: ""}[ok],
                "what to do": todo if ok is False or what in told else "",
            }
            for what, found, ok, todo in rows
        ]
    )


def _off_pins(pins: list[str]) -> list[str]:
    """The pins that the installed versions do not keep, in words; a local build such as 2.13.0+cpu
    keeps them.
    """
    off = []
    for pin in pins:
        name, _, wanted = pin.partition("==")
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            off.append(f"{name} is missing")
            continue
        if found.partition("+")[0] != wanted:
            off.append(f"{name} {found} instead of {wanted}")
    return off


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def shown(table: pd.DataFrame) -> Styler:
    """A table of texts as it reads best: to the left, without row numbers."""
    left = [{"selector": "th, td", "props": "text-align: left; vertical-align: top"}]
    return table.style.hide().set_table_styles(left)


def trained(cfg: config.Config, system: str = "personadual") -> bool:
    """Whether the system has been trained, with the first training seed."""
    return (systems.folder(cfg, system) / stages.MANIFEST).is_file()


def asker(
    cfg: config.Config, system: str = "personadual", reference: Path = stages.REFERENCE
) -> tuple[playground.Ask, str]:
    """(whom to ask, where the answers come from): the trained model, read when it is first asked,
    else the stored answers.

    FileNotFoundError, in words, where there is neither.
    """
    if not trained(cfg, system):
        return playground.teller(
            playground.stored(reference / playground.STORED)
        ), "no trained model yet: answers stored from a pocket run"
    folder = systems.folder(cfg, system)
    opened = cache(lambda: playground.asker(*models.load(folder)))
    return lambda persona, question: opened()(
        persona, question
    ), f"answers of {folder.name}, trained here"


def side_by_side(cfg: config.Config, ask: playground.Ask, persona: str, question: str) -> HTML:
    """`playground.compare` as a page; words that a model of the pocket world has never read are
    named.
    """
    strange = playground.strange(persona, question) if cfg.data_dir == "pocket" else ()
    return pages.playground(*playground.compare(ask, persona, question), strange)


def equations() -> pd.DataFrame:
    """The paper's equations: what the function says of itself, its name, and the notebook that has
    it.
    """
    rows = []
    for number, (name, notebook) in paper.EQUATIONS.items():
        place, _, function = name.rpartition(".")
        said = inspect.getdoc(getattr(importlib.import_module(place), function)).partition("\n\n")[
            0
        ]
        said = re.sub(r" ?\[Eq\. [^]]*\] ?", " ", " ".join(said.split())).strip()
        rows.append(
            {
                "equation": number,
                "function": name.removeprefix("pdlib."),
                "what it does": said.partition(". ")[0],
                "notebook": notebook,
            }
        )
    return pd.DataFrame(rows)


def measured(cfg: config.Config) -> tuple[dict[str, float], list[str]]:
    """(notebook -> minutes of its executed copy, the answers of exercises left out; notebooks whose
    time does not count).

    Where the workbook did things side by side, TRAINING and TOGETHER have the time of all systems'
    training and of the whole. A notebook's does not count where a stage that it makes had been
    finished before that, or before it began: then it found its work done.
    """
    path = cfg.run_folder() / runner.TIMES
    times = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    found, warm = ({TRAINING: times["training"], TOGETHER: times["minutes"]} if times else {}), []
    for name in runner.NOTEBOOKS:
        copy = cfg.run_folder() / "notebooks" / f"{name}.ipynb"
        if not copy.is_file():
            continue
        notebook = nbformat.read(copy, as_version=4)
        noted = notebook.metadata.papermill
        answers = [
            cell.metadata.papermill.duration or 0
            for cell in notebook.cells
            if "answer" in cell.metadata.get("tags", [])
        ]
        began = datetime.fromisoformat(times["began"] if times else noted.start_time)
        ended = [
            datetime.fromisoformat(stages.read_manifest(path.parent)["provenance"]["ended"])
            for path in runner.products(name, cfg)
            if path.is_file()
        ]
        if any(end < began for end in ended):
            warm.append(name)
        else:
            found[name] = round((noted.duration - sum(answers)) / 60, 2)
    return found, warm


def minutes(cfg: config.Config, reference: Path = stages.REFERENCE) -> pd.DataFrame:
    """Minutes a notebook takes, one row each, a column a profile: this run's own where it has them,
    else the stored ones; missing where nobody measured. The line TOGETHER where every notebook of
    the setting `notebooks` has one.
    """
    stored = (
        json.loads((reference / MINUTES).read_text(encoding="utf-8"))
        if (reference / MINUTES).is_file()
        else {}
    )
    table = pd.DataFrame(
        {
            profile: pd.Series(stored.get(profile, {}).get("minutes", {}), dtype=float)
            for profile in PROFILES
        },
        index=[TRAINING, *runner.NOTEBOOKS, TOGETHER],
        dtype=float,
    )
    configs, (own, _) = {profile: config.load(profile) for profile in PROFILES}, measured(cfg)
    if own:
        table[f"{cfg.profile}, here"] = pd.Series(own)
        configs[f"{cfg.profile}, here"] = cfg
    for column, of in configs.items():
        if table[column].isna()[TOGETHER] and table.loc[runner.chosen(of), column].notna().all():
            table.loc[TOGETHER, column] = table[column].sum()
    return table.rename_axis("notebook")


def machines(reference: Path = stages.REFERENCE) -> str:
    """On what the stored minutes were measured, a line a profile."""
    stored = (
        json.loads((reference / MINUTES).read_text(encoding="utf-8"))
        if (reference / MINUTES).is_file()
        else {}
    )
    return (
        "\n".join(
            f"{profile}: {', '.join([one['machine']['cpu'], str(one['machine']['cores']) + ' cores', *one['machine']['gpus']])}"
            for profile, one in stored.items()
        )
        or "no stored times: `make reference` writes them after a whole run"
    )


def store_answers(cfg: config.Config, target: Path = stages.REFERENCE) -> str:
    """Write playground.json to `target`; returns in words whether it was."""
    if not trained(cfg):
        return f"{playground.STORED} left as it was: personadual is not trained"
    playground.write(asker(cfg)[0], target / playground.STORED)
    return f"{playground.STORED} written"


def store_minutes(cfg: config.Config, target: Path = stages.REFERENCE) -> str:
    """Write this profile's part of minutes.json to `target`; returns in words whether it was."""
    found, warm = measured(cfg)
    missing = [name for name in runner.chosen(cfg) if name not in found and name not in warm]
    if warm or missing:
        reasons = {"found stages already finished": warm, "not executed": missing}
        why = [f"{', '.join(names)} {what}" for what, names in reasons.items() if names]
        return f"{MINUTES} left as it was: {'; '.join(why)} (run the workbook once in a fresh output_dir)"
    path = target / MINUTES
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    stages.write_json(
        path, before | {cfg.profile: {"machine": stages.hardware(), "minutes": found}}
    )
    return f"{MINUTES} written: {cfg.profile}, {found.get(TOGETHER, sum(found.values())):.1f} minutes together"

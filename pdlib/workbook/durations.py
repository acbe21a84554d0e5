"""How long notebooks take: measured in a run, and stored in outputs/reference/minutes.json."""

import json
from datetime import datetime
from pathlib import Path

import nbformat
import pandas as pd

from pdlib import config
from pdlib.run import stages
from pdlib.workbook import runner

# {profile: {"machine": stages.hardware(), "minutes": {notebook: minutes}}}
MINUTES = "minutes.json"
TRAINING, TOGETHER = "training, side by side", "all together"  # lines of the minutes
PROFILES = ("smoke", "pocket", "pretrained", "gpu", "paper")  # from the quickest


def measured(cfg: config.Config) -> tuple[dict[str, float], list[str]]:
    """(notebook -> minutes of its executed copy, notebooks whose time does not count).

    Answers of exercises are left out. Where the workbook did things side by side, TRAINING and
    TOGETHER have the time of all systems' training and of the whole. A notebook's time does not
    count where a stage that it makes had been finished before that, or before the notebook began:
    then it found its work done.
    """
    by_notebook, warm, began = {}, [], None
    path = cfg.run_folder() / runner.TIMES
    if path.is_file():
        times = json.loads(path.read_text(encoding="utf-8"))
        by_notebook = {TRAINING: times["training"], TOGETHER: times["minutes"]}
        began = datetime.fromisoformat(times["began"])
    for name in runner.NOTEBOOKS:
        executed = cfg.run_folder() / "notebooks" / f"{name}.ipynb"
        if not executed.is_file():
            continue
        notebook = nbformat.read(executed, as_version=4)
        start = began or datetime.fromisoformat(notebook.metadata.papermill.start_time)
        finished = [path.parent for path in runner.products(name, cfg) if path.is_file()]
        if any(_ended(stage) < start for stage in finished):
            warm.append(name)
        else:
            by_notebook[name] = round(_seconds(notebook) / 60, 2)
    return by_notebook, warm


def _ended(stage: Path) -> datetime:
    """When the stage of this folder was finished."""
    return datetime.fromisoformat(stages.read_manifest(stage)["provenance"]["ended"])


def _seconds(notebook: nbformat.NotebookNode) -> float:
    """How long an executed notebook took, without the answers of its exercises."""
    answers = [
        cell.metadata.papermill.duration or 0
        for cell in notebook.cells
        if "answer" in cell.metadata.get("tags", [])
    ]
    return notebook.metadata.papermill.duration - sum(answers)


def _stored(reference: Path) -> dict[str, dict]:
    """What MINUTES holds; empty where it was never written."""
    path = reference / MINUTES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def minutes(cfg: config.Config, reference: Path = stages.REFERENCE) -> pd.DataFrame:
    """Minutes a notebook takes, one row each, one column per profile; missing where not measured.

    A column of its own has what this run measured; the others are stored ones. The line TOGETHER
    is filled where every notebook of the setting `notebooks` has been measured.
    """
    stored = _stored(reference)
    configs = {profile: config.load(profile) for profile in PROFILES}
    columns = {profile: stored.get(profile, {}).get("minutes", {}) for profile in PROFILES}
    here, _ = measured(cfg)
    if here:
        configs[f"{cfg.profile}, here"] = cfg
        columns[f"{cfg.profile}, here"] = here
    index = pd.Index([TRAINING, *runner.NOTEBOOKS, TOGETHER], name="notebook")
    table = pd.DataFrame(
        {name: pd.Series(column, dtype=float) for name, column in columns.items()}, index=index
    )
    for name, column_config in configs.items():
        is_complete = table.loc[runner.chosen(column_config), name].notna().all()
        if pd.isna(table.loc[TOGETHER, name]) and is_complete:
            table.loc[TOGETHER, name] = table[name].sum()
    return table


def machines(reference: Path = stages.REFERENCE) -> str:
    """On what the stored minutes were measured, one line per profile."""
    lines = []
    for profile, entry in _stored(reference).items():
        machine = entry["machine"]
        parts = [machine["cpu"], f"{machine['cores']} cores", *machine["gpus"]]
        lines.append(f"{profile}: {', '.join(parts)}")
    return "\n".join(lines) or "no stored times: `make reference` writes them after a whole run"


def store_minutes(cfg: config.Config, target: Path = stages.REFERENCE) -> str:
    """Write this profile's part of minutes.json to `target`; returns in words whether it was."""
    here, warm = measured(cfg)
    missing = [name for name in runner.chosen(cfg) if name not in here and name not in warm]
    if warm or missing:
        reasons = {"found stages already finished": warm, "not executed": missing}
        listed = [f"{', '.join(names)} {reason}" for reason, names in reasons.items() if names]
        return (
            f"{MINUTES} left as it was: {'; '.join(listed)} "
            "(run the workbook once in a fresh output_dir)"
        )
    entry = {"machine": stages.hardware(), "minutes": here}
    stages.write_json(target / MINUTES, _stored(target) | {cfg.profile: entry})
    together = here.get(TOGETHER, sum(here.values()))
    return f"{MINUTES} written: {cfg.profile}, {together:.1f} minutes together"

"""The dataset card of PersonaDualData, beside its parquet files.

It holds counts, hashes, licences, filters and examples.
"""

import hashlib
from pathlib import Path

import pandas as pd

from pdlib import config
from pdlib.dataset import gain

LICENCES = {  # training source -> what its hub card says; the texts keep their own licences
    "ultramedical": "MIT (hub card of TsinghuaC3I/UltraMedical)",
    "flan": "templates Apache-2.0; the tasks have their own licences (Muennighoff/flan states "
    "none)",
    "alignx": "see the hub card of JinaLeejnl/AlignX",
    "objective": "Apache-2.0 (pocket world, part of this project)",
    "preference": "Apache-2.0 (pocket world, part of this project)",
}
PEOPLE = {"pocket": "Apache-2.0 (pocket world)"}  # personas; elsewhere those of PersonaHub
PERSONAHUB = (
    "CC BY-NC-SA 4.0 (proj-persona/PersonaHub): a set that holds its personas may not be used "
    "commercially"
)
COUNTED = ("data", "otherwise than composed", "left out", "rejected by the expert's checks")


def write(folder: Path, cfg: config.Config, facts: dict) -> Path:
    """README.md in `folder`, over its parquet files.

    `datasets.load_dataset(folder)` reads the set by it.

    facts: what the stage counted (rows, filters, departures), as in its manifest.
    """
    frames = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    sections = [
        _head(list(frames)),
        "# PersonaDualData",
        "Questions asked by a persona, with two-mode trajectories (SFT) or without (RL), after "
        f"PersonaDual, App. B.1. Profile `{cfg.profile}`, seed {cfg.seed}, trajectories by "
        f"`{cfg.expert}`, gain judged by `{cfg.gain_judge}`, rule `{cfg.gain_rule}` with margin "
        f"{cfg.gain_margin}.",
    ]
    for name, frame in frames.items():
        digest = hashlib.sha256((folder / f"{name}.parquet").read_bytes()).hexdigest()
        modes = frame["mode"].fillna("-")
        counts = frame.groupby(["source", "condition", modes]).size().rename("rows").reset_index()
        sections += [f"## {name}: {len(frame)} rows", f"sha256 `{digest}`", _table(counts)]
    if "judged" in frames:
        sections += ["## The two gain rules", _table(rules(frames["judged"], cfg.gain_margin))]
    for title in COUNTED:
        if facts.get(title):
            table = pd.DataFrame(facts[title].items(), columns=["what", "found"])
            sections += [f"## {title[0].upper()}{title[1:]}", _table(table)]
    sections += ["## Licences", _licences(frames, cfg.data_dir), "## Examples"]
    for mode, row in _examples(frames):
        sections.append(f"**{mode}**\n\n```text\n{row.prompt}\n\n{row.completion or ''}\n```")
    path = folder / "README.md"
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def _head(names: list[str]) -> str:
    """The metadata by which `datasets` finds the parquet files."""
    lines = ["---", "configs:"]
    for name in names:
        lines += [
            f"- config_name: {name}",
            "  data_files:",
            "  - split: train",
            f"    path: {name}.parquet",
        ]
    return "\n".join([*lines, "---"])


def _table(frame: pd.DataFrame) -> str:
    lines = [frame.columns, ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _licences(frames: dict[str, pd.DataFrame], data_dir: str) -> str:
    names = sorted({source for frame in frames.values() for source in frame.source})
    lines = [f"- {name}: {LICENCES.get(name, 'unknown')}" for name in names]
    return "\n".join([*lines, f"- personas: {PEOPLE.get(data_dir, PERSONAHUB)}"])


def rules(judged: pd.DataFrame, margin: float) -> pd.DataFrame:
    """How the two gain rules differ: judged rows by condition and by the mode each rule picks."""
    by_gain, by_accuracy = (
        pd.Series(
            [
                gain.select_mode(row.gain, row.chance, rule, margin).name
                for row in judged.itertuples()
            ],
            name=rule,
            index=judged.index,
        )
        for rule in ("gain", "persona_correct")
    )
    counts = pd.crosstab([judged.condition, by_gain], by_accuracy)
    return counts.add_prefix("persona_correct: ").rename_axis(columns=None).reset_index()


def _examples(frames: dict[str, pd.DataFrame]) -> list[tuple[str, pd.Series]]:
    """The first row of each mode of the SFT set, or of the RL set."""
    frame = frames.get("sft", next(iter(frames.values())))
    by_mode = frame.groupby(frame["mode"].fillna("RL question"))
    return [(mode, rows.iloc[0]) for mode, rows in by_mode]

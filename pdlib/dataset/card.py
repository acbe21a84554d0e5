"""The dataset card of PersonaDualData: counts, hashes, licences, filters and examples, beside the
parquet files.
"""

import hashlib
from pathlib import Path

import pandas as pd

from pdlib import config
from pdlib.dataset import construct

LICENCES = {  # training source -> what its hub card says; the texts keep their own licences
    "ultramedical": "MIT (hub card of TsinghuaC3I/UltraMedical)",
    "flan": "templates Apache-2.0; the tasks have their own licences (Muennighoff/flan states none)",
    "alignx": "see the hub card of JinaLeejnl/AlignX",
    "objective": "Apache-2.0 (pocket world, part of this project)",
    "preference": "Apache-2.0 (pocket world, part of this project)",
}
PEOPLE = {"pocket": "Apache-2.0 (pocket world)"}  # personas; elsewhere those of PersonaHub
PERSONAHUB = "CC BY-NC-SA 4.0 (proj-persona/PersonaHub): a set that holds its personas may not be used commercially"


def _table(frame: pd.DataFrame) -> str:
    lines = [frame.columns, ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write(folder: Path, cfg: config.Config, facts: dict) -> Path:
    """README.md in `folder`, over its parquet files; `datasets.load_dataset(folder)` reads the set
    by it.

    facts: what the stage counted (rows, filters, departures), as in its manifest.
    """
    frames = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    head = ["---", "configs:"]
    for name in frames:
        head += [
            f"- config_name: {name}",
            "  data_files:",
            f"  - split: train\n    path: {name}.parquet",
        ]
    parts = [
        "\n".join([*head, "---"]),
        "# PersonaDualData",
        (
            "Questions asked by a persona, with two-mode trajectories (SFT) or without (RL), after PersonaDual, App. B.1. "
            f"Profile `{cfg.profile}`, seed {cfg.seed}, trajectories by `{cfg.expert}`, gain judged by `{cfg.gain_judge}`, "
            f"rule `{cfg.gain_rule}` with margin {cfg.gain_margin}."
        ),
    ]
    for name, frame in frames.items():
        digest = hashlib.sha256((folder / f"{name}.parquet").read_bytes()).hexdigest()
        counts = (
            frame.groupby(["source", "condition", frame["mode"].fillna("-")])
            .size()
            .rename("rows")
            .reset_index()
        )
        parts += [f"## {name}: {len(frame)} rows", f"sha256 `{digest}`", _table(counts)]
    if "judged" in frames:
        parts += ["## The two gain rules", _table(rules(frames["judged"], cfg.gain_margin))]
    for title in ("data", "otherwise than composed", "left out", "rejected by the expert's checks"):
        if facts.get(title):
            parts += [
                f"## {title[0].upper()}{title[1:]}",
                _table(pd.DataFrame(facts[title].items(), columns=["what", "found"])),
            ]
    names = sorted({source for frame in frames.values() for source in frame.source})
    people = PEOPLE.get(cfg.data_dir, PERSONAHUB)
    parts += [
        "## Licences",
        "\n".join(
            [
                *(f"- {name}: {LICENCES.get(name, 'unknown')}" for name in names),
                f"- personas: {people}",
            ]
        ),
        "## Examples",
        *(
            f"**{mode}**\n\n```text\n{row.prompt}\n\n{row.completion or ''}\n```"
            for mode, row in _examples(frames)
        ),
    ]
    path = folder / "README.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def rules(judged: pd.DataFrame, margin: float) -> pd.DataFrame:
    """How the two gain rules differ: judged rows by condition and by the mode that each rule picks."""
    picked = {
        rule: [
            construct.select_mode(gain, chance, rule, margin).value
            for gain, chance in zip(judged.gain, judged.chance)
        ]
        for rule in ("gain", "persona_correct")
    }
    gain, correct = (
        pd.Series(modes, name=rule, index=judged.index) for rule, modes in picked.items()
    )
    counts = pd.crosstab([judged.condition, gain], correct)
    return counts.add_prefix("persona_correct: ").rename_axis(columns=None).reset_index()


def _examples(frames: dict[str, pd.DataFrame]):
    """The first row of each mode of the SFT set, or of the RL set."""
    frame = frames.get("sft", next(iter(frames.values())))
    return [
        (mode, rows.iloc[0]) for mode, rows in frame.groupby(frame["mode"].fillna("RL question"))
    ]

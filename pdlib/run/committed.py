"""The committed runs under outputs/reference, and on what processor they were made."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pdlib.run import stages

FOLDERS = {  # profile -> folder of its committed run
    "pocket": stages.REFERENCE,
    "pretrained": stages.REFERENCE / "pretrained",
}
# {"processor", "revision", "date"} of PersonaDual's training in the run that was copied, and its
# {"world", "seeds"}
RUN = "run.json"


def other_processor(folder: Path, here: str | None = None) -> str:
    """What differs between numbers of a run on this machine and those of `folder`, in words.

    Empty where they should be the same. here: the processor's name, by default this machine's.
    """
    if not (folder / RUN).is_file():
        return ""
    processor = json.loads((folder / RUN).read_text(encoding="utf-8"))["processor"]
    here = here or stages.hardware()["cpu"]
    if here == processor:
        return ""
    return (
        f"the results in {folder.name} were made on another processor ({processor}; this is "
        f"{here}): rounding differs, training amplifies it, and a run comes out as if its seed "
        "were another one"
    )


def origin(trained: Iterable[Path]) -> dict[str, str]:
    """{processor, revision} of the trainings in these stage folders; several are joined."""
    found = [stages.read_manifest(folder)["provenance"] for folder in trained]
    processors = dict.fromkeys(one["hardware"]["cpu"] for one in found)
    revisions = dict.fromkeys((one["code"]["revision"] or "unknown")[:12] for one in found)
    return {"processor": ", ".join(processors), "revision": ", ".join(revisions)}


def largest(folder: Path, table: str, *beside: str) -> list[Path]:
    """The table of that name with most rows in `folder`/<steps>-steps/<seeds>-seeds, or none.

    It has to be of two seeds at least (its column seeds). beside: files that lie beside it, and
    come after it in the result.
    """
    found = {path: pd.read_csv(path) for path in folder.glob(f"*-steps/*-seeds/{table}")}
    sizes = {path: len(rows) for path, rows in found.items() if rows.seeds.max() > 1}
    if not sizes:
        return []
    chosen = max(sizes, key=sizes.get)
    return [chosen, *(chosen.with_name(name) for name in beside)]

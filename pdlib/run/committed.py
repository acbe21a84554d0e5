"""The committed runs under outputs/reference: where they are, and on what processor they were made."""

import json
from pathlib import Path

from pdlib.run import stages

PLACES = {
    "pocket": stages.REFERENCE,
    "pretrained": stages.REFERENCE / "pretrained",
}  # profile -> folder of its committed run
# {"processor", "revision", "date"} of PersonaDual's training in the run that was copied, and its
# {"world", "seeds"}
RUN = "run.json"


def other_processor(folder: Path, here: str | None = None) -> str:
    """What to expect of the numbers of a run on this machine beside those of `folder`, in words;
    empty where they should be the same.

    here: the processor's name, by default this machine's.
    """
    if not (folder / RUN).is_file():
        return ""
    there = json.loads((folder / RUN).read_text(encoding="utf-8"))["processor"]
    here = here or stages.hardware()["cpu"]
    if here == there:
        return ""
    return (
        f"the results in {folder.name} were made on another processor ({there}; this is {here}): rounding differs, training "
        "amplifies it, and a run comes out as if its seed were another one"
    )

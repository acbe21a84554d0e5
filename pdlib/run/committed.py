"""The committed runs under outputs/reference, and on what processor they were made."""

import json
from pathlib import Path

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

"""The journal of an endpoint: one JSON line per answer, so that nothing is asked twice."""

import json
import os
from pathlib import Path
from typing import BinaryIO

NAME = "journal.jsonl"


def read(folder: Path, repair: bool = False) -> dict[str, dict]:
    """Key -> {text, finish, prompt_tokens, completion_tokens, seconds}.

    repair: cut off a last line that a killed run left half written (under the lock only: it may
    be being written). ValueError for any other line that is not JSON.
    """
    path = folder / NAME
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if repair and len(whole) < len(content):
        print(
            f"{path}: the last line was half written, as by a killed run; dropped, its request "
            "will be asked again",
            flush=True,
        )
        os.truncate(path, len(whole))
    rows = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
            rows[row.pop("key")] = row
        except (ValueError, KeyError, AttributeError) as broken:
            raise ValueError(
                f"{path}, line {number}: not a journal line ({broken}); delete that line and run "
                "again"
            ) from broken
    return rows


def append(file: BinaryIO, key: str, row: dict) -> None:
    """Write one answer to the open journal, and have it on the disk."""
    file.write(json.dumps({"key": key} | row).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())

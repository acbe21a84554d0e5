"""Rows of the real data sets in the hub's columns, from files in a folder or from the hub.

`data_dir` is the word "hub", or a folder. A folder holds `<stem>.jsonl` or `<stem>.parquet` of each
data set (PersonaFeedback: a folder `personafeedback` laid out as on the hub). A data set without a
file there that its `revisions.json` names (name -> commit) is read from the hub at that commit.
"""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import pyarrow.parquet as parquet

from pdlib.questions import hub
from pdlib.questions.hub import HUB

FEEDBACK_PARTS = [  # (track, level) of PersonaFeedback, in the hub's spelling
    (track, level) for track in ("general", "spedific") for level in ("easy", "medium", "hard")
]
Row = tuple[str, dict]  # its location, in words for error messages; its columns


def read(name: str, data_dir: Path | str) -> Iterator[Row]:
    """The rows of data set `name`, each with its location in words.

    PersonaFeedback's rows also get `track`, `level` and, under `persona`, the persona of their
    user. ValueError says what is wrong with a file or a row.
    """
    table = _locate(name, data_dir)
    if isinstance(table, datasets.Dataset):
        return _rows_of(name, table, range(len(table)))
    if name == "personafeedback":
        return read_personafeedback(table)
    return read_file(table, HUB[name].columns)


def sample(
    name: str, data_dir: Path | str, at_most: int, seed: int = 0
) -> tuple[list[Row] | Iterator[Row], int]:
    """(a uniform sample of at most `at_most` rows by `seed`, the number of all rows).

    The sampled rows keep their order.
    """
    rng, table = random.Random(f"{name}|{seed}"), _locate(name, data_dir)
    if isinstance(table, datasets.Dataset):
        indices = sorted(rng.sample(range(len(table)), min(at_most, len(table))))
        return _rows_of(name, table, indices), len(table)
    reservoir: list[tuple[int, Row]] = []  # each row stays with the same chance, in one pass
    total = 0
    for total, row in enumerate(read(name, data_dir), 1):
        if len(reservoir) < at_most:
            reservoir.append((total, row))
        elif (slot := rng.randrange(total)) < at_most:
            reservoir[slot] = (total, row)
    reservoir.sort(key=lambda numbered: numbered[0])
    return [row for _, row in reservoir], total


def read_file(path: Path | str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a JSONL or parquet file.

    ValueError names file and line of anything that is not an object with `columns`.
    """
    path, count = Path(path), 0
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; put the data set's rows there as JSONL with the columns "
            f"{tuple(columns)}"
        )
    for location, row in _parquet(path) if path.suffix == ".parquet" else _jsonl(path):
        if not isinstance(row, dict):
            raise ValueError(f"{location}: found a {type(row).__name__}, expected an object")
        _check_columns(location, row, columns)
        count += 1
        yield location, row
    if not count:
        raise ValueError(f"{path} has no rows; expected one JSON object a line")


def _check_columns(location: str, row: dict, columns: Sequence[str]):
    missing = [column for column in columns if column not in row]
    if missing:
        raise ValueError(
            f"{location}: no column {missing}, found {sorted(row)}; expected the hub's columns"
        )


def _jsonl(path: Path) -> Iterator[tuple[str, object]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            location = f"{path}, line {number}"
            try:
                if line.strip():
                    decoded = line.decode("utf-8")
                    row = json.loads(decoded)
                    if "\\u" in decoded:
                        json.dumps(row, ensure_ascii=False).encode("utf-8")
                    yield location, row
            except UnicodeDecodeError as broken:
                raise ValueError(
                    f"{location}: not UTF-8 ({broken.reason}); save the file as UTF-8"
                ) from broken
            except UnicodeEncodeError as broken:
                raise ValueError(
                    f"{location}: holds half of a surrogate pair, which is no character; mend that "
                    "text"
                ) from broken
            except (ValueError, RecursionError) as broken:
                raise ValueError(
                    f"{location}: not JSON ({broken}); expected one object a line"
                ) from broken


def _parquet(path: Path) -> Iterator[Row]:
    try:
        table = parquet.ParquetFile(path)
    except OSError as broken:  # ArrowInvalid is a ValueError and says the same
        raise ValueError(f"{path}: not a parquet file ({broken})") from broken
    number = 0
    for batch in table.iter_batches(1000):
        for row in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", row


def read_personafeedback(folder: Path) -> Iterator[Row]:
    """The rows under data/{general,spedific}/{easy,medium,hard}.jsonl of `folder`.

    A user_id is a line number, from 1, of the personas' file.
    """
    people_file = folder / hub.FEEDBACK_PERSONAS
    personas = {int(line.rpartition(" ")[2]): row for line, row in read_file(people_file, ())}
    columns = HUB["personafeedback"].columns
    for track, level in FEEDBACK_PARTS:
        for location, row in read_file(folder / "data" / track / f"{level}.jsonl", columns):
            user = int(row["user_id"]) if re.fullmatch(r"\d+", str(row["user_id"])) else None
            if user not in personas:
                raise ValueError(
                    f"{location}: user_id {row['user_id']!r} is no line of {people_file}, which "
                    f"has {len(personas)}"
                )
            yield location, row | {"track": track, "level": level, "persona": personas[user]}


def _locate(name: str, data_dir: Path | str) -> Path | datasets.Dataset:
    """The file or folder of data set `name`, or its table from the hub."""
    if name not in HUB:
        raise ValueError(f"unknown data set {name!r}, expected one of {list(HUB)}")
    if str(data_dir) == "hub":
        return hub.fetch(name)
    path = Path(data_dir) / HUB[name].stem
    layout = f"{path}.jsonl"
    if name == "personafeedback":
        layout = f"{path}/data/general/easy.jsonl ..."
        if path.is_dir():
            return path
    else:
        for file in (Path(f"{path}.jsonl"), Path(f"{path}.parquet")):
            if file.is_file():
                return file
    if name in hub.pins(Path(data_dir)):
        return hub.fetch(name, Path(data_dir))
    raise ValueError(
        f"{layout} does not exist; put the rows of {HUB[name].hub} there as JSONL with the columns "
        f'{HUB[name].columns}, or give data_dir="hub"'
    )


def is_available(name: str, data_dir: Path | str) -> bool:
    """Whether `data_dir` has rows of data set `name`; the hub is taken to have them all."""
    if str(data_dir) == "hub" or name in hub.pins(Path(data_dir)):
        return True
    path = Path(data_dir) / HUB[name].stem
    return any(Path(f"{path}{ending}").exists() for ending in (".jsonl", ".parquet", ""))


def origin(name: str, data_dir: Path | str) -> str:
    """Where the rows of `name` come from, for provenance.

    That is "hub id@commit", or a file's name and sha256.
    """
    path = _locate(name, data_dir)
    if str(data_dir) == "hub":
        return f"{HUB[name].hub}@{hub.revision(name)}"
    if not isinstance(path, Path) or not path.is_relative_to(Path(data_dir)):
        return f"{HUB[name].hub}@{hub.revision(name, data_dir)}"
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl"))
    digests = [hashlib.sha256(file.read_bytes()) for file in files]
    sha256 = digests[0]
    if len(digests) > 1:
        sha256 = hashlib.sha256(b"".join(digest.digest() for digest in digests))
    return f"{path.name} sha256 {sha256.hexdigest()}"


def _rows_of(name: str, table: datasets.Dataset, indices: Sequence[int]) -> Iterator[Row]:
    for index in indices:
        location, row = f"{HUB[name].hub}, row {index + 1}", table[index]
        _check_columns(location, row, HUB[name].columns)
        yield location, row


def text(location: str, row: dict, column: str, may_be_empty: bool = False) -> str:
    """The text in `column`, without blanks at its ends.

    ValueError when it is not text, or is empty and may not be.
    """
    value = row[column]
    if not isinstance(value, str) or not (value.strip() or may_be_empty):
        raise ValueError(f"{location}: '{column}' must be text, found {value!r}")
    return value.strip()


def digest(*texts: str) -> str:
    """An id for a row without one: twelve hexadecimal digits of its content."""
    return hashlib.sha256("|".join(texts).encode()).hexdigest()[:12]

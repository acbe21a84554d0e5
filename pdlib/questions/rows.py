"""Rows of the real data sets in the hub's columns: from JSONL or parquet files in a folder, or from
the hub at one revision.

`data_dir` is the word "hub", or a folder. A folder holds `<stem>.jsonl` or `<stem>.parquet` of each
data set (PersonaFeedback: a folder `personafeedback` laid out as on the hub). A data set without a
file there that its `revisions.json` names (name -> commit) is read from the hub at that commit.

Pinned revisions: PubMedQA, TriviaQA, MMLU-Pro, SuperGPQA and MATH-500 are at the commits that
public evaluation code pins; FLAN is at one that public training code read. For the others no
published commit is known: `revision` asks the hub for the current one.
"""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import datasets
import pyarrow.parquet as parquet
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

REFUSALS = (
    OSError,
    ValueError,
    RuntimeError,
    HfHubHTTPError,
)  # offline, gated, no such repository, configuration or revision
PARTS = [
    (track, level) for track in ("general", "spedific") for level in ("easy", "medium", "hard")
]  # PersonaFeedback, hub's spelling
PERSONAS = "persona/all_personas.jsonl"
Row = tuple[str, dict]  # where it stands, in words for error messages; its columns


@dataclass(frozen=True)
class HubSet:
    """A data set: hub id, configuration, split, commit (None: not pinned), columns that are read,
    name of its file in a folder.
    """

    hub: str
    config: str | None
    split: str
    revision: str | None
    columns: tuple[str, ...]
    stem: str


HUB = {
    "pubmedqa": HubSet(
        "qiaojin/PubMedQA",
        "pqa_labeled",
        "train",
        "9001f2853fb87cab8d220904e0de81ac6973b318",
        ("pubid", "question", "context", "final_decision"),
        "pubmedqa",
    ),
    "triviaqa": HubSet(
        "mandarjoshi/trivia_qa",
        "rc.nocontext",
        "validation",
        "0f7faf33a3908546c6fd5b73a660e0f8ff173c2f",
        ("question", "answer"),
        "triviaqa",
    ),
    "mmlu_pro": HubSet(
        "TIGER-Lab/MMLU-Pro",
        None,
        "test",
        "b189ec765aa7ed75c8acfea42df31fdae71f97be",
        ("question_id", "question", "options", "answer", "answer_index"),
        "mmlu-pro",
    ),
    "supergpqa": HubSet(
        "m-a-p/SuperGPQA",
        None,
        "train",
        "4430d4458112c7d4497fdcf94d7cc223313d6acf",
        ("question", "options", "answer", "answer_letter"),
        "supergpqa",
    ),
    "math500": HubSet(
        "HuggingFaceH4/MATH-500",
        None,
        "test",
        "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        ("problem", "answer", "unique_id"),
        "math500",
    ),
    "personafeedback": HubSet(
        "PersonalAILab/PersonaFeedback",
        None,
        "test",
        None,
        ("user_id", "question", "chosen", "reject"),
        "personafeedback",
    ),
    "fspo_roleplay": HubSet(
        "sher222/persona-iterative-responses",
        None,
        "test",
        None,
        ("x", "yw", "yl", "score_persona"),
        "fspo_roleplay",
    ),
    "ultramedical": HubSet(
        "TsinghuaC3I/UltraMedical",
        None,
        "train",
        None,
        ("id", "conversations", "answer"),
        "ultramedical",
    ),
    "flan": HubSet(
        "Muennighoff/flan",
        None,
        "train",
        "049702ca5ffc5b3c62bf226aac67ba1493e8d548",
        ("inputs", "targets", "task"),
        "flan",
    ),
    "alignx": HubSet(
        "JinaLeejnl/AlignX",
        None,
        "train",
        None,
        ("prompt", "chosen", "rejected", "Pair-wise Comparative Feedback"),
        "alignx",
    ),
    "personahub": HubSet(
        "proj-persona/PersonaHub", "persona", "train", None, ("persona",), "personahub"
    ),
}


def read(name: str, data_dir: Path | str) -> Iterator[Row]:
    """The rows of data set `name`, each with its place in words; ValueError says what is wrong with
    a file or a row.

    PersonaFeedback's rows also get `track`, `level` and, under `persona`, the persona of their
    user.
    """
    found = _find(name, data_dir)
    if isinstance(found, datasets.Dataset):
        return _rows_of(name, found, range(len(found)))
    return (
        read_personafeedback(found)
        if name == "personafeedback"
        else read_file(found, HUB[name].columns)
    )


def sample(
    name: str, data_dir: Path | str, at_most: int, seed: int = 0
) -> tuple[list[Row] | Iterator[Row], int]:
    """(a uniform sample of at most `at_most` rows by `seed`, in the order they stand in; number of
    all rows).
    """
    rng, found = random.Random(f"{name}|{seed}"), _find(name, data_dir)
    if isinstance(found, datasets.Dataset):
        picked = sorted(rng.sample(range(len(found)), min(at_most, len(found))))
        return _rows_of(name, found, picked), len(found)
    kept: list[tuple[int, Row]] = []
    total = 0
    for total, row in enumerate(
        read(name, data_dir), 1
    ):  # a reservoir: each row is kept with the same chance, in one pass
        place = len(kept) if len(kept) < at_most else rng.randrange(total)
        kept[place : place + 1] = [(total, row)] if place < at_most else kept[place : place + 1]
    return [row for _, row in sorted(kept, key=lambda entry: entry[0])], total


def read_file(path: Path | str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a JSONL or parquet file; ValueError names file and line of anything that is not
    an object with `columns`.
    """
    path, count = Path(path), 0
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; put the data set's rows there as JSONL with the columns {tuple(columns)}"
        )
    for place, row in _parquet(path) if path.suffix == ".parquet" else _jsonl(path):
        if not isinstance(row, dict):
            raise ValueError(f"{place}: found a {type(row).__name__}, expected an object")
        _check_columns(place, row, columns)
        count += 1
        yield place, row
    if not count:
        raise ValueError(f"{path} has no rows; expected one JSON object a line")


def _check_columns(place: str, row: dict, columns: Sequence[str]):
    missing = [column for column in columns if column not in row]
    if missing:
        raise ValueError(
            f"{place}: no column {missing}, found {sorted(row)}; expected the hub's columns"
        )


def _jsonl(path: Path) -> Iterator[tuple[str, object]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            place = f"{path}, line {number}"
            try:
                if line.strip():
                    text = line.decode("utf-8")
                    row = json.loads(text)
                    if "\\u" in text:
                        json.dumps(row, ensure_ascii=False).encode("utf-8")
                    yield place, row
            except UnicodeDecodeError as broken:
                raise ValueError(
                    f"{place}: not UTF-8 ({broken.reason}); save the file as UTF-8"
                ) from broken
            except UnicodeEncodeError as broken:
                raise ValueError(
                    f"{place}: holds half of a surrogate pair, which is no character; mend that text"
                ) from broken
            except (ValueError, RecursionError) as broken:
                raise ValueError(
                    f"{place}: not JSON ({broken}); expected one object a line"
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
    """The rows under data/{general,spedific}/{easy,medium,hard}.jsonl; a user_id is a line number,
    from 1, of the personas' file.
    """
    personas = {
        int(place.rpartition(" ")[2]): row for place, row in read_file(folder / PERSONAS, ())
    }
    for track, level in PARTS:
        for place, row in read_file(
            folder / "data" / track / f"{level}.jsonl", HUB["personafeedback"].columns
        ):
            user = int(row["user_id"]) if re.fullmatch(r"\d+", str(row["user_id"])) else None
            if user not in personas:
                raise ValueError(
                    f"{place}: user_id {row['user_id']!r} is no line of {folder / PERSONAS}, which has {len(personas)}"
                )
            yield place, row | {"track": track, "level": level, "persona": personas[user]}


def _find(name: str, data_dir: Path | str) -> Path | datasets.Dataset:
    """The file or folder of data set `name`, or its table from the hub."""
    if name not in HUB:
        raise ValueError(f"unknown data set {name!r}, expected one of {list(HUB)}")
    if str(data_dir) == "hub":
        return _from_hub(name, None)
    folder, stem = Path(data_dir), HUB[name].stem
    for path in (folder / f"{stem}.jsonl", folder / f"{stem}.parquet"):
        if path.is_file() and name != "personafeedback":
            return path
    if name == "personafeedback" and (folder / stem).is_dir():
        return folder / stem
    if name in _pins(folder):
        return _from_hub(name, folder)
    layout = (
        f"{folder / stem}/data/general/easy.jsonl ..."
        if name == "personafeedback"
        else f"{folder / stem}.jsonl"
    )
    raise ValueError(
        f"{layout} does not exist; put the rows of {HUB[name].hub} there as JSONL with the columns {HUB[name].columns}, "
        'or give data_dir="hub"'
    )


def is_there(name: str, data_dir: Path | str) -> bool:
    """Whether `data_dir` has rows of data set `name`; the hub is taken to have them all."""
    folder, stem = Path(data_dir), HUB[name].stem
    return (
        str(data_dir) == "hub"
        or name in _pins(folder)
        or any((folder / f"{stem}{end}").exists() for end in (".jsonl", ".parquet", ""))
    )


def origin(name: str, data_dir: Path | str) -> str:
    """Where the rows of `name` come from, for provenance: "hub id@commit", or a file's name and
    sha256.
    """
    path = _find(name, data_dir)
    if (
        str(data_dir) == "hub"
        or not isinstance(path, Path)
        or not path.is_relative_to(Path(data_dir))
    ):
        return f"{HUB[name].hub}@{revision(name, None if str(data_dir) == 'hub' else data_dir)}"
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl"))
    digests = [hashlib.sha256(file.read_bytes()) for file in files]
    digest = (
        digests[0]
        if len(files) == 1
        else hashlib.sha256(b"".join(part.digest() for part in digests))
    )
    return f"{path.name} sha256 {digest.hexdigest()}"


def _pins(folder: Path | None) -> dict[str, str]:
    path = folder / "revisions.json" if folder else None
    if path is None or not path.is_file():
        return {}
    pins = json.loads(path.read_text(encoding="utf-8"))
    wrong = [
        f"{name}: {commit}"
        for name, commit in pins.items()
        if name not in HUB or not re.fullmatch("[0-9a-f]{40}", str(commit))
    ]
    if wrong:
        raise ValueError(
            f"{path}: found {wrong}; expected {{name: commit}} with names of {list(HUB)} and commits of 40 hexadecimal digits"
        )
    return pins


def revision(name: str, folder: Path | str | None = None) -> str:
    """The commit at which `name` is read: that of `revisions.json` in `folder`, else the pinned
    one, else the hub's current one.
    """
    return _pins(Path(folder) if folder else None).get(name) or HUB[name].revision or _current(name)


@cache
def _current(name: str) -> str:
    try:
        return HfApi().dataset_info(HUB[name].hub).sha
    except REFUSALS as refused:
        raise _refusal(name, refused) from refused


def _from_hub(name: str, folder: Path | None) -> Path | datasets.Dataset:
    entry, commit = HUB[name], revision(name, folder)
    try:
        if name == "personafeedback":
            patterns = ["data/*/*.jsonl", PERSONAS]
            return Path(
                snapshot_download(
                    entry.hub, repo_type="dataset", revision=commit, allow_patterns=patterns
                )
            )
        return datasets.load_dataset(entry.hub, entry.config, split=entry.split, revision=commit)
    except REFUSALS as refused:
        raise _refusal(name, refused) from refused


def _refusal(name: str, refused: Exception) -> ValueError:
    entry = HUB[name]
    file = (
        f"the folder {entry.stem}/ (laid out as on the hub)"
        if name == "personafeedback"
        else f"{entry.stem}.jsonl"
    )
    said = (str(refused).splitlines() or [type(refused).__name__])[0]
    return ValueError(
        f"{name}: the hub did not give {entry.hub} ({said}); "
        f"put {file}, with the columns {entry.columns}, into a folder and give that folder as data_dir"
    )


def _rows_of(name: str, table: datasets.Dataset, picked: Sequence[int]) -> Iterator[Row]:
    for index in picked:
        place, row = f"{HUB[name].hub}, row {index + 1}", table[index]
        _check_columns(place, row, HUB[name].columns)
        yield place, row


def text(place: str, row: dict, column: str, may_be_empty: bool = False) -> str:
    """The text in `column`, without blanks at its ends; ValueError when it is not text, or is empty
    and may not be.
    """
    value = row[column]
    if not isinstance(value, str) or not (value.strip() or may_be_empty):
        raise ValueError(f"{place}: '{column}' must be text, found {value!r}")
    return value.strip()


def digest(*parts: str) -> str:
    """An id for a row without one: twelve hexadecimal digits of its content."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def shuffled(identity: str, better: str, worse: str) -> tuple[str, str]:
    """The two texts in an order that depends on the item's id alone, so that the position tells
    nothing.
    """
    swap = int(hashlib.sha256(f"position|{identity}".encode()).hexdigest(), 16) % 2
    return (worse, better) if swap else (better, worse)

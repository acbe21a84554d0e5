"""Records, one row per answer: what a row says, how records are written once, and read."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pandas as pd

from pdlib import benchmarks, generate, modes
from pdlib.run import stages
from pdlib.schema import PAPER_MODES, Item, ModeSet

COLUMNS = [
    "run",
    "model",
    "train_seed",
    "benchmark",
    "kind",
    "item_id",
    "condition",
    "forced",
    "seed",
    "turn",
    "mode",
    "p_personalized",
    "prompt",
    "completion",
    "answer",
    "gold",
    "correct",
    "parse_error",
    "n_prompt_tokens",
    "n_completion_tokens",
]


def record(
    item: Item,
    prompt: str,
    chances: Sequence[float] | None,
    completion: generate.Completion,
    mode_set: ModeSet | None = PAPER_MODES,
) -> dict:
    """What a record says of one completion, whoever asked for it and when.

    chances: of each mode, for this prompt; None where nobody looked. Those of all modes but the
    first are kept, in p_<mode>; the first has the rest. mode_set: None for a model without modes,
    of which no tag is expected.
    """
    if mode_set is None:
        parsed = modes.parse(completion.text, require_mode=False)
    else:
        parsed = modes.parse(completion.text, mode_set=mode_set)
    kept = {"p_personalized": None}
    if mode_set is not None and chances is not None:
        kept |= dict(zip(chance_columns(mode_set), map(float, chances[1:]), strict=True))
    error = parsed.error
    if error and completion.truncated:
        error = f"truncated; {error}"
    return {
        "benchmark": item.benchmark,
        "kind": item.kind,
        "item_id": item.id,
        "mode": parsed.mode.name if parsed.mode else "none",
        "prompt": prompt,
        "completion": completion.text,
        "answer": parsed.answer,
        "gold": item.gold,
        "correct": parsed.error is None and benchmarks.grade(item, parsed.answer)[0],
        "parse_error": error,
        "n_prompt_tokens": completion.n_prompt_tokens,
        "n_completion_tokens": completion.n_tokens,
    } | kept


def chance_columns(mode_set: ModeSet) -> list[str]:
    """The columns that hold the chances of all modes but the first.

    >>> chance_columns(PAPER_MODES)
    ['p_personalized']
    """
    return [f"p_{name}" for name in mode_set.names[1:]]


def in_order(records: pd.DataFrame) -> pd.DataFrame:
    """The columns of records: COLUMNS, then the chances of modes that the paper does not have."""
    others = [name for name in records if name.startswith("p_") and name not in COLUMNS]
    return records[[*COLUMNS, *others]]


def as_stage(
    folder: Path,
    name: str,
    ask: Callable[[], tuple[pd.DataFrame, dict]],
    *,
    settings: dict,
    inputs: Sequence[Path],
) -> Path:
    """Records as a stage: what `ask` answers goes to `folder`/records/<name>.parquet, once.

    ask() returns records and facts for the manifest.
    """
    target = folder / "records" / f"{name}.parquet"

    def build(_: Path) -> dict:
        records, facts = ask()
        write(records, target)
        errors = int(records.parse_error.notna().sum())
        return {"records": len(records), "parse_errors": errors} | facts

    stage = folder / "evaluation" / name
    stages.once(stage, build, settings=settings, inputs=inputs, products=[target])
    return target


def write(records: pd.DataFrame, target: Path) -> None:
    """Write records so that a reader sees all of them or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    in_order(records).to_parquet(temporary, index=False)
    os.replace(temporary, target)


def read_records(
    source: Path | str | Sequence[Path], seeds: Collection[int] | None = None
) -> pd.DataFrame:
    """All records of a folder or of some files.

    ValueError when there are none or a column of the contract is missing. seeds: only those of
    these training seeds. A folder may hold more: an earlier run with SEEDS=3, or the replicates of
    some systems, beside which the other systems' single seed would be compared with a mean over
    other backbones.
    """
    files = sorted(Path(source).glob("*.parquet")) if isinstance(source, (str, Path)) else source
    if not files:
        raise ValueError(f"no records in {source}; run `make reproduce` first")
    records = pd.concat([_read(file) for file in files], ignore_index=True)
    if seeds is None:
        return records
    of_seeds = records[records.train_seed.isin(seeds)]
    if of_seeds.empty:
        present = sorted(set(records.train_seed.tolist()))
        raise ValueError(
            f"no records of the training seeds {sorted(seeds)} in {source}, found {present}; "
            "run `make reproduce` with them, or set seed and train_seeds to those"
        )
    return of_seeds.reset_index(drop=True)


def _read(file: Path) -> pd.DataFrame:
    records = pd.read_parquet(file)
    missing = sorted(set(COLUMNS) - set(records.columns))
    if missing:
        raise ValueError(f"{file} lacks the columns {missing}; delete it and evaluate again")
    return records

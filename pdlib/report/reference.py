"""outputs/reference: the small committed copy of a run, from which its ledger can be computed
again.

`python -m pdlib.report [--profile pocket]` writes it anew, from the profile's records and figures
(`make reference`); `python -m pdlib.report --again` computes its ledger and headline again, from
its own records.
"""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import config, evaluate, systems
from pdlib.analysis.cells import Cells
from pdlib.report.claims import headline
from pdlib.report.entries import ledger
from pdlib.report.evidence import evidence
from pdlib.run import stages
from pdlib.run.committed import RUN

LIKELIHOOD, FORM = "likelihood.parquet", "form.csv"
RECORDS, DIALOGUES, ANSWERS, PROFILES = (
    "records.parquet",
    "dialogues.parquet",
    "answers.parquet",
    "profiles.parquet",
)
TEXTS = (
    "prompt",
    "completion",
    "answer",
    "gold",
)  # what makes records large; no number of the ledger needs them
TABLES = (
    "selection.csv",
    "selection_ahead.csv",
    "gain_split.csv",
    "replication.csv",
    "arms.csv",
    "counterfactual.csv",
    "held_out.csv",
    "attention_causes.csv",
    "lexical_models.csv",
    "lexical_shares.csv",
    "deviations.csv",
    "dynamic_profiles.csv",
    "meeting.csv",
    "persistbench.csv",
    "persistbench_judged.csv",
    "interference.csv",
    "by_benchmark.csv",
)
CATEGORIES = (
    "run",
    "model",
    "benchmark",
    "kind",
    "item_id",
    "condition",
    "forced",
    "mode",
    "parse_error",
)


def compact(records: pd.DataFrame) -> pd.DataFrame:
    """Records without texts and token counts: categories for what repeats, small integers,
    P(personalised) as float32.
    """
    small = records.drop(
        columns=[*TEXTS, "n_prompt_tokens", "n_completion_tokens"], errors="ignore"
    )
    order = [
        "run",
        "model",
        "train_seed",
        "condition",
        "benchmark",
        "item_id",
        "turn",
        "forced",
        "seed",
    ]  # equal values beside each other
    small = small.sort_values(order, ignore_index=True)
    return small.astype(
        {name: "category" for name in CATEGORIES}
        | {"p_personalized": "float32", "correct": "bool"}
        | {name: "int8" for name in ("train_seed", "seed", "turn")}
    )


def write_reference(
    folder: Path,
    records: pd.DataFrame,
    first_run: str,
    second_run: str | None = None,
    paper_training: bool = False,
    dialogues: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
    profiles: pd.DataFrame | None = None,
) -> Path:
    """Write ledger.json, headline.csv and records.parquet (compact, with the ledger's arguments in
    it) to `folder`; dialogues and answers, where there are any, to dialogues.parquet (compact) and
    answers.parquet (without the questions), profiles to profiles.parquet.

    Raises ValueError as `ledger` does.
    """
    arguments = {"first_run": first_run, "second_run": second_run, "paper_training": paper_training}
    _write_numbers(
        folder,
        records,
        arguments | {"dialogues": dialogues, "answers": answers, "profiles": profiles},
    )
    if dialogues is not None:
        compact(dialogues).to_parquet(
            folder / DIALOGUES, index=False, compression="zstd", compression_level=19
        )
    if answers is not None:
        answers.drop(columns="question").to_parquet(
            folder / ANSWERS, index=False, compression="zstd", compression_level=19
        )
    if profiles is not None:
        profiles.to_parquet(
            folder / PROFILES, index=False, compression="zstd", compression_level=19
        )
    small = compact(records)
    small.attrs = {"ledger": arguments}
    small.to_parquet(folder / RECORDS, index=False, compression="zstd", compression_level=19)
    return folder / RECORDS


def _write_numbers(folder: Path, records: pd.DataFrame, arguments: dict) -> None:
    cells = Cells(records)
    entries = ledger(cells, **arguments)
    stages.write_json(folder / "ledger.json", entries)
    claims = headline(cells, arguments["first_run"], arguments["second_run"], entries)
    claims.round(3).to_csv(folder / "headline.csv", index=False)
    form(records).round(4).to_csv(folder / FORM, index=False)


def form(records: pd.DataFrame) -> pd.DataFrame:
    """Of each run and model: `completions`, the share of them that parse, and of those whose mode
    was forced the share that wrote it.
    """

    def of_model(part: pd.DataFrame) -> pd.Series:
        forced = part[part.forced != "none"]
        return pd.Series(
            {
                "completions": len(part),
                "parse": part.parse_error.isna().mean(),
                "obey": (forced["mode"].astype(str) == forced.forced.astype(str)).mean()
                if len(forced)
                else float("nan"),
            }
        )

    answers = records.astype({"run": str, "model": str}).groupby(["run", "model"])[
        ["forced", "mode", "parse_error"]
    ]
    return answers.apply(of_model).reset_index()


def rewrite_reference(folder: Path) -> None:
    """Write ledger.json and headline.csv of a reference anew from the records that it holds, after
    the rules of either have changed.

    Raises ValueError when `folder` holds no records.
    """
    _write_numbers(folder, *read_reference(folder))


def read_reference(folder: Path) -> tuple[pd.DataFrame, dict]:
    """(compact records, the other arguments of their ledger); ValueError when `folder` holds none."""
    path = folder / RECORDS
    if not path.is_file():
        raise ValueError(
            f"no {RECORDS} in {folder}; write them with report.write_reference after `make reproduce`"
        )
    records = pd.read_parquet(path)
    more = {
        "dialogues": folder / DIALOGUES,
        "answers": folder / ANSWERS,
        "profiles": folder / PROFILES,
    }
    return records, records.attrs["ledger"] | {
        name: pd.read_parquet(file) for name, file in more.items() if file.is_file()
    }


def compare(
    committed: Sequence[dict], again: Sequence[dict], tolerance: float = 1.0e-9
) -> list[str]:
    """Where two ledgers differ, one line each: entries only one has, and fields; numbers within
    `tolerance` are equal.
    """
    one, two = ({e["id"]: e for e in entries} for entries in (committed, again))
    found = [
        f"{name}: only in the {side} ledger"
        for side, mine, other in (("committed", one, two), ("recomputed", two, one))
        for name in mine
        if name not in other
    ]
    for name in one:
        for field in sorted(set(one[name]) | set(two.get(name, one[name]))):
            left, right = one[name].get(field), two.get(name, one[name]).get(field)
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            close = numbers and math.isclose(left, right, rel_tol=0, abs_tol=tolerance)
            if left != right and not close:
                found.append(f"{name}, {field}: {left!r} committed, {right!r} from the records")
    return found


def refresh(cfg: config.Config, target: Path) -> Path:
    """Copy a finished run's ledger, compact records, tables and figures to `target`; returns the
    records' file.

    Of TABLES, those that the run wrote: where there is too little to fit, it writes none. Raises
    ValueError when there are no records, and FileNotFoundError when the report was not written yet.
    """
    records, arguments = evidence(cfg)
    shutil.copytree(cfg.folder() / "tables", target / "tables", dirs_exist_ok=True)
    for table in [*TABLES, *(path.name for path in cfg.run_folder().glob("replication_*.parquet"))]:
        if (cfg.run_folder() / table).is_file():
            shutil.copy(cfg.run_folder() / table, target)
    if files := sorted((cfg.folder() / "likelihood" / "records").glob("*.parquet")):
        compact(evaluate.read_records(files)).to_parquet(
            target / LIKELIHOOD, index=False, compression="zstd", compression_level=19
        )
    made = stages.read_manifest(systems.folder(cfg, "personadual"))["provenance"]
    stages.write_json(
        target / RUN,
        {
            "processor": made["hardware"]["cpu"],
            "revision": made["code"]["revision"],
            "date": made["ended"][:10],
            "world": cfg.fit,
            "seeds": cfg.train_seeds,
        },
    )
    figures = [
        *(cfg.run_folder() / "figures").glob("*.png"),
        *(cfg.folder() / "figures").glob("*.png"),
    ]  # the report's come last
    for figure in figures:
        if not figure.name.startswith(
            "laboratory"
        ):  # `make lab-estimators` asks more of it than a run
            shutil.copy(figure, target)
    return write_reference(target, records, **arguments)

"""outputs/reference: the small committed copy of a run, which its ledger can be computed from.

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
from pdlib.analysis import asking_back, when
from pdlib.analysis.cells import Cells
from pdlib.report.entries import ledger
from pdlib.report.evidence import evidence
from pdlib.report.files import write_numbers
from pdlib.run import stages
from pdlib.run.committed import RUN

RECORDS, LIKELIHOOD, FORM = "records.parquet", "likelihood.parquet", "form.csv"
TABLES_OF_LEDGER = {  # arguments of the ledger that are tables -> their files
    "dialogues": "dialogues.parquet",
    "answers": "answers.parquet",
    "profiles": "profiles.parquet",
}
# what makes records large; no number of the ledger needs them
TEXTS = ("prompt", "completion", "answer", "gold", "n_prompt_tokens", "n_completion_tokens")
TABLES = (  # that notebooks leave in the run's folder
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


ORDER = [  # of rows: equal values beside each other
    "run",
    "model",
    "train_seed",
    "condition",
    "benchmark",
    "item_id",
    "turn",
    "forced",
    "seed",
]


def compact(records: pd.DataFrame) -> pd.DataFrame:
    """Records without texts and token counts, in small types.

    Those are categories for what repeats, small integers, P(personalised) as float32.
    """
    types = dict.fromkeys(CATEGORIES, "category")
    types |= {"p_personalized": "float32", "correct": "bool"}
    types |= dict.fromkeys(("train_seed", "seed", "turn"), "int8")
    small = records.drop(columns=list(TEXTS), errors="ignore")
    return small.sort_values(ORDER, ignore_index=True).astype(types)


def write_reference(
    folder: Path,
    records: pd.DataFrame,
    first_run: str,
    second_run: str | None = None,
    paper_training: bool = False,
    dialogues: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
    profiles: pd.DataFrame | None = None,
    facts: dict[str, list[str]] | None = None,
) -> Path:
    """Write what a ledger is computed from, and the ledger, to `folder`; returns the records' file.

    records.parquet is compact and holds the ledger's arguments; dialogues and answers, where there
    are any, go to dialogues.parquet (compact) and answers.parquet (without the questions), profiles
    to profiles.parquet. Beside them: ledger.json, headline.csv and form.csv. Raises ValueError as
    `ledger` does.
    """
    arguments = {
        "first_run": first_run,
        "second_run": second_run,
        "paper_training": paper_training,
        "facts": facts,
    }
    tables = {"dialogues": dialogues, "answers": answers, "profiles": profiles}
    _write_results(folder, records, arguments | tables)
    small = compact(records)
    small.attrs = {"ledger": arguments}
    _write_parquet(small, folder / RECORDS)
    if dialogues is not None:
        _write_parquet(compact(dialogues), folder / TABLES_OF_LEDGER["dialogues"])
    if answers is not None:
        _write_parquet(answers.drop(columns="question"), folder / TABLES_OF_LEDGER["answers"])
    if profiles is not None:
        _write_parquet(profiles, folder / TABLES_OF_LEDGER["profiles"])
    return folder / RECORDS


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False, compression="zstd", compression_level=19)


def _write_results(folder: Path, records: pd.DataFrame, arguments: dict) -> None:
    cells = Cells(records)
    entries = ledger(cells, **arguments)
    write_numbers(folder, cells, entries, arguments["first_run"], arguments["second_run"])
    form(records).round(4).to_csv(folder / FORM, index=False)


def form(records: pd.DataFrame) -> pd.DataFrame:
    """How answers are formed, a row per run and model.

    `completions`: how many there are; `parse`: the share of them that parse; `obey`: of those whose
    mode was forced the share that wrote it, NaN without any.
    """
    names = records[["run", "model", "mode", "forced"]].astype(str)
    is_forced = names.forced != "none"
    is_obeyed = (names["mode"] == names.forced).astype(float)
    answers = names.assign(
        parse=records.parse_error.isna().astype(float), obey=is_obeyed.where(is_forced)
    )
    groups = answers.groupby(["run", "model"])
    shares = groups[["parse", "obey"]].mean()
    shares.insert(0, "completions", groups.size().astype(float))
    return shares.reset_index()


def rewrite_reference(folder: Path) -> None:
    """Write ledger.json, headline.csv and form.csv anew from the records that `folder` holds.

    This is for when the rules of one of them have changed. Raises ValueError when `folder` holds no
    records.
    """
    _write_results(folder, *read_reference(folder))


def read_reference(folder: Path) -> tuple[pd.DataFrame, dict]:
    """(compact records, the other arguments of their ledger); ValueError without records."""
    path = folder / RECORDS
    if not path.is_file():
        raise ValueError(
            f"no {RECORDS} in {folder}; write them with report.write_reference after "
            "`make reproduce`"
        )
    records = pd.read_parquet(path)
    files = {name: folder / file for name, file in TABLES_OF_LEDGER.items()}
    tables = {name: pd.read_parquet(file) for name, file in files.items() if file.is_file()}
    return records, records.attrs["ledger"] | tables


def ledger_differences(
    committed: Sequence[dict], again: Sequence[dict], tolerance: float = 1.0e-9
) -> list[str]:
    """Where two ledgers differ, one line each: entries only one has, and fields.

    Numbers within `tolerance` are equal.
    """
    first, second = ({entry["id"]: entry for entry in entries} for entries in (committed, again))
    lines = [f"{name}: only in the committed ledger" for name in first if name not in second]
    lines += [f"{name}: only in the recomputed ledger" for name in second if name not in first]
    for name in first:
        if name not in second:
            continue
        for field in sorted(first[name].keys() | second[name].keys()):
            before, after = first[name].get(field), second[name].get(field)
            if not _is_equal(before, after, tolerance):
                lines.append(f"{name}, {field}: {before!r} committed, {after!r} from the records")
    return lines


def _is_equal(left: object, right: object, tolerance: float) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=0, abs_tol=tolerance)
    return left == right


def refresh(cfg: config.Config, target: Path) -> Path:
    """Copy a finished run's results to `target`; returns the file of the records.

    Copied are ledger, compact records, tables and figures; of TABLES, those that the run wrote:
    where there is too little to fit, it writes none. Raises ValueError when there are no records,
    and FileNotFoundError when the report was not written yet.
    """
    records, arguments = evidence(cfg)
    shutil.copytree(cfg.folder() / "tables", target / "tables", dirs_exist_ok=True)
    replications = (path.name for path in cfg.run_folder().glob("replication_*.parquet"))
    for name in [*TABLES, *replications]:
        if (cfg.run_folder() / name).is_file():
            shutil.copy(cfg.run_folder() / name, target)
    for path in (*when.written(cfg), *asking_back.written(cfg)):
        shutil.copy(path, target)
    if files := sorted((cfg.folder() / "likelihood" / "records").glob("*.parquet")):
        _write_parquet(compact(evaluate.read_records(files)), target / LIKELIHOOD)
    training = stages.read_manifest(systems.folder(cfg, "personadual"))["provenance"]
    stages.write_json(
        target / RUN,
        {
            "processor": training["hardware"]["cpu"],
            "revision": training["code"]["revision"],
            "date": training["ended"][:10],
            "world": cfg.fit,
            "seeds": cfg.train_seeds,
        },
    )
    folders = (cfg.run_folder() / "figures", cfg.folder() / "figures")  # the report's come last
    for figure in (path for folder in folders for path in folder.glob("*.png")):
        # `make lab-estimators` draws the laboratory from more than a run has
        if not figure.name.startswith("laboratory"):
            shutil.copy(figure, target)
    return write_reference(target, records, **arguments)

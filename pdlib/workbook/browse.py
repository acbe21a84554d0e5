"""What a reader looks at one by one: records (what was said, and what went wrong), the steps of a
training run, a threshold.

Tables come from here as they are; `transcript`, `replay` and `at_threshold` are what widgets show.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from pdlib import modes, plots
from pdlib.analysis.selection import ERRORS, LEARNED, causes
from pdlib.run import health, progress
from pdlib.workbook import pages

ASKED = ["run", "model", "train_seed", "turn", "benchmark", "item_id"]  # one model and item
QUESTION = [*ASKED, "condition"]
RIGHT, FORCED, UNKNOWN = "right", "wrong, forced", "wrong, never forced"
WHAT = ("everything", RIGHT, "wrong", *ERRORS, "not parsed")
ALL = "all"
COMPLETIONS = (
    "completions",
    "checkpoints/completions",
)  # of a finished run, of one that is going on


# --- records ---


def with_causes(records: pd.DataFrame) -> pd.DataFrame:
    """The records with a column `cause`: RIGHT, or what went wrong with a free answer as
    `selection.errors` has it (ERRORS).

    A wrong answer that was itself forced into a mode is FORCED; UNKNOWN, where the question was not
    asked in both forced modes.
    """
    forced = (
        records[records.forced != "none"]
        .groupby([*QUESTION, "forced"], observed=True)
        .correct.mean()
        .unstack("forced")
    )
    mostly = forced.reindex(columns=["general", "personalized"]) > 0.5  # of the sampling runs
    known = forced.reindex(columns=["general", "personalized"]).notna().all(axis=1)
    index = pd.MultiIndex.from_frame(records[QUESTION])
    general, personalized, both = (
        part.reindex(index).fillna(False).to_numpy(bool)
        for part in (mostly["general"], mostly["personalized"], known)
    )
    chosen = records["mode"].map({"personalized": 1.0, "general": 0.0}).to_numpy(float)
    return records.assign(
        cause=np.select(
            [records.correct.to_numpy(bool), (records.forced != "none").to_numpy(), ~both],
            [RIGHT, FORCED, UNKNOWN],
            causes(chosen, general, personalized),
        )
    )


def pick(
    records: pd.DataFrame,
    model: str,
    benchmark: str = ALL,
    condition: str = ALL,
    what: str = WHAT[0],
    forced: str = "none",
) -> pd.DataFrame:
    """The answers of `model` that pass the filters (of `with_causes`); ValueError, in words, where
    none does.

    what: one of WHAT.  forced: none (free answers) | general | personalized.
    """
    found = records[(records.model == model) & (records.forced == forced)]
    if found.empty:
        there = sorted(records[records.model == model].forced.unique())
        raise ValueError(
            f"no answers of model {model}, forced: {forced}; there are "
            + (
                f"those forced: {', '.join(there)}"
                if there
                else f"answers of {', '.join(records.model.unique())}"
            )
        )
    for name, wanted in (("benchmark", benchmark), ("condition", condition)):
        if wanted != ALL:
            there, found = sorted(found[name].unique()), found[found[name] == wanted]
            if found.empty:
                raise ValueError(
                    f"no such answers with {name} {wanted}; there are those with {', '.join(there)}"
                )
    if what not in WHAT:
        raise ValueError(f"unknown filter {what!r}, expected one of {', '.join(WHAT)}")
    keep = {
        "everything": found.cause.notna(),
        "wrong": found.cause != RIGHT,
        "not parsed": found.parse_error.notna(),
    }
    picked = found[keep.get(what, found.cause == what)]
    if picked.empty:
        raise ValueError(
            f"none of these {len(found)} answers is of the kind: {what}; there are "
            f"{', '.join(f'{n} {cause}' for cause, n in found.cause.value_counts().items())}"
        )
    return picked


def same_question(records: pd.DataFrame, record: pd.Series) -> pd.DataFrame:
    """What the record's model said to its item under every condition and forced mode: one row each,
    over the sampling runs.

    Columns: condition, forced, P (mean P(personalised)), right and personalised (shares), answers
    (all of them, the commonest first).
    """
    rows = records[np.logical_and.reduce([records[name] == record[name] for name in ASKED])]
    grouped = rows.groupby(["condition", "forced"], sort=False, observed=True)
    found = pd.DataFrame(
        {
            "P": grouped.p_personalized.mean(),
            "right": grouped.correct.mean(),
            "personalised": grouped["mode"].agg(lambda said: (said == "personalized").mean()),
        }
    )
    if "answer" in rows:  # the small stored copy has none
        counts = grouped.answer.agg(lambda said: said.fillna("(none)").value_counts().to_dict())
        found["answers"] = [", ".join(f"{n} × {text}" for text, n in one.items()) for one in counts]
    order = {condition: place for place, condition in enumerate(rows.condition.unique())}
    return found.reset_index().sort_values(
        "condition", key=lambda column: column.map(order), kind="stable"
    )


def transcript(records: pd.DataFrame, number: int = 1, **filters) -> HTML:
    """The `number`-th answer of `pick`, counted from 1 and round again after the last: what was
    asked and said, and what was said to the same question otherwise. records: of `with_causes`.
    """
    found = pick(records, **filters)
    place = (number - 1) % len(found)
    record = found.iloc[place]
    return pages.record(record, place + 1, len(found), same_question(records, record))


# --- a training run ---


@dataclass(frozen=True)
class Run:
    """log: one row a logged step.  kept: step -> file of that step's completions; empty for stages
    that sample none.
    """

    name: str
    log: pd.DataFrame
    kept: dict[int, Path]


def run(folder: Path) -> Run:
    """The training run in a stage's folder, finished or going on; FileNotFoundError, in words,
    where nothing was logged.
    """
    if not (folder / "log.jsonl").is_file():
        raise FileNotFoundError(
            f"no training log in {folder.parent.name}/{folder.name}: that run has not begun; run the notebook that "
            "trains it, or `make reproduce`"
        )
    log = progress.read_log(folder)
    if log.empty:
        raise ValueError(
            f"the training log of {folder.name} is still empty: look again after the first step"
        )
    places = [folder / name for name in COMPLETIONS if (folder / name).is_dir()]
    kept = (
        {
            int(path.stem.split("_")[-1]): path
            for path in sorted(places[0].glob("completions_*.parquet"))
        }
        if places
        else {}
    )
    return Run(folder.name, log.drop_duplicates("step", keep="last"), kept)


def runs(folder: Path) -> dict[str, Path]:
    """The runs that sampled completions (RL) within the folder of a backbone's run, by name;
    ValueError where there are none.
    """
    found = {
        path.parent.relative_to(folder).as_posix(): path.parent
        for path in sorted(folder.rglob("log.jsonl"))
        if any((path.parent / name).is_dir() for name in COMPLETIONS)
    }
    if not found:
        raise ValueError(
            f"no run with completions in {folder.parent.name}/{folder.name}: run notebook 05, or `make reproduce`"
        )
    return found


def rollouts(one: Run, step: int) -> pd.DataFrame:
    """The completions of a step: question (a number from 1, by prompt), prompt, mode, answer, text,
    reward, advantage.

    Empty where none were kept. reward: the sum, where there are several reward functions;
    advantage: of the response, not of the prefix.
    """
    columns = ["question", "prompt", "mode", "answer", "text", "reward", "advantage"]
    if step not in one.kept:
        return pd.DataFrame(columns=columns)
    rows = pd.read_parquet(one.kept[step])
    rewards = [name for name in rows if name not in ("step", "prompt", "completion", "advantage")]
    last = lambda said: said if isinstance(said, str) else said[-1]["content"]  # noqa: E731  (a text, or a chat's last message)
    prompts, texts = rows.prompt.map(last), rows.completion.map(last)
    parsed = [modes.parse(text, require_mode=False) for text in texts]
    return pd.DataFrame(
        {
            "question": pd.factorize(prompts)[0] + 1,
            "prompt": prompts,
            "mode": [p.mode.value if p.mode else "none" for p in parsed],
            "answer": [p.answer for p in parsed],
            "text": texts,
            "reward": rows[rewards].sum(axis=1, min_count=1),
            "advantage": rows.advantage,
        }
    )[columns]


def by_question(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean reward of each question's rollouts by mode (columns: the modes written), index question;
    from `rollouts`.
    """
    return rows.pivot_table(index="question", columns="mode", values="reward", sort=False)


def replay(one: Run, step: int, question: int = 1) -> tuple[Figure, HTML]:
    """The run at a step (the last logged one up to it): the curves with the step marked, rewards by
    question and mode, and the rollouts of one question (counted round again after the last).
    """
    logged = one.log[one.log.step <= step]
    row = (logged if len(logged) else one.log).iloc[-1 if len(logged) else 0]
    at = int(row.step)
    rows = rollouts(one, at)
    chosen = (question - 1) % rows.question.max() + 1 if len(rows) else None
    facts = health.summary(
        {name: value for name, value in row.items() if isinstance(value, (int, float))}
    )
    page = pages.step(
        one.name,
        at,
        facts,
        health.warnings(row.to_dict()),
        rows[rows.question == chosen],
        chosen,
        rows.question.nunique(),
    )
    return plots.replay(one.log, at, by_question(rows), chosen), page


# --- a threshold ---


def levels(curve: pd.DataFrame) -> list[float]:
    """The thresholds that were swept, rising."""
    return sorted(curve.threshold.dropna().unique())


def threshold_table(curve: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Block by block, from `selection.tradeoff`: accuracy and share of personalised answers at the
    threshold, its 95 % interval, and both of the learned choice; ValueError for a threshold that
    was not swept.
    """
    swept = curve[curve.threshold == threshold].set_index("block")
    if swept.empty:
        raise ValueError(
            f"threshold {threshold:g} was not swept, expected one of {', '.join(f'{level:g}' for level in levels(curve))}"
        )
    learned = curve[curve.mark == LEARNED].set_index("block")
    return pd.DataFrame(
        {
            "accuracy": swept["mean"],
            "ci_low": swept.ci_low,
            "ci_high": swept.ci_high,
            "personalised": swept.share,
            "learned": learned["mean"],
            "learned personalised": learned.share,
        }
    )


def at_threshold(curve: pd.DataFrame, threshold: float) -> tuple[Figure, pd.DataFrame]:
    """A figure of the sweep with the threshold marked, beside the learned choice, and its
    `threshold_table`.
    """
    table = threshold_table(curve, threshold)
    return plots.at_threshold(curve, threshold), table.round(3)

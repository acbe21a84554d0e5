"""A training run, step by step: its log, and the completions of a step."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from pdlib import modes, plots
from pdlib.run import health, progress
from pdlib.workbook import pages

# folders of a finished run, and of one that is going on
COMPLETIONS = ("completions", "checkpoints/completions")
COLUMNS = ["question", "prompt", "mode", "answer", "text", "reward", "advantage"]


@dataclass(frozen=True)
class Run:
    """A training run.

    log: one row per logged step. completions: step -> file of that step's completions; empty for
    stages that sample none.
    """

    name: str
    log: pd.DataFrame
    completions: dict[int, Path]


def run(folder: Path) -> Run:
    """The training run in a stage's folder, finished or going on.

    FileNotFoundError or ValueError, in words, where nothing was logged.
    """
    if not (folder / "log.jsonl").is_file():
        raise FileNotFoundError(
            f"no training log in {folder.parent.name}/{folder.name}: that run has not begun; "
            "run the notebook that trains it, or `make reproduce`"
        )
    log = progress.read_log(folder)
    if log.empty:
        raise ValueError(
            f"the training log of {folder.name} is still empty: look again after the first step"
        )
    folders = [folder / name for name in COMPLETIONS if (folder / name).is_dir()]
    files = sorted(folders[0].glob("completions_*.parquet")) if folders else []
    completions = {int(path.stem.split("_")[-1]): path for path in files}
    return Run(folder.name, log.drop_duplicates("step", keep="last"), completions)


def runs(folder: Path) -> dict[str, Path]:
    """The runs that sampled completions (RL) within the folder of a backbone's run, by name.

    ValueError where there are none.
    """
    logged = [path.parent for path in sorted(folder.rglob("log.jsonl"))]
    sampled = {
        stage.relative_to(folder).as_posix(): stage
        for stage in logged
        if any((stage / name).is_dir() for name in COMPLETIONS)
    }
    if not sampled:
        raise ValueError(
            f"no run with completions in {folder.parent.name}/{folder.name}: "
            "run notebook 05, or `make reproduce`"
        )
    return sampled


def rollouts(run: Run, step: int) -> pd.DataFrame:
    """The completions of a step, one row each; empty where none were kept.

    Columns: question (a number from 1, by prompt), prompt, mode, answer, text, reward (the sum,
    where there are several reward functions), advantage (of the response, not of the prefix).
    """
    if step not in run.completions:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.read_parquet(run.completions[step])
    rewards = [name for name in rows if name not in ("step", "prompt", "completion", "advantage")]
    prompts, texts = rows.prompt.map(_last_message), rows.completion.map(_last_message)
    parsed = [modes.parse(text, require_mode=False) for text in texts]
    return pd.DataFrame(
        {
            "question": pd.factorize(prompts)[0] + 1,
            "prompt": prompts,
            "mode": [result.mode.name if result.mode else "none" for result in parsed],
            "answer": [result.answer for result in parsed],
            "text": texts,
            "reward": rows[rewards].sum(axis=1, min_count=1),
            "advantage": rows.advantage,
        }
    )


def _last_message(value: str | list[dict]) -> str:
    """The text itself, or the last message of a chat."""
    return value if isinstance(value, str) else value[-1]["content"]


def by_question(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean reward of each question's rollouts by mode, from `rollouts`.

    Index: question; columns: the modes written.
    """
    return rows.pivot_table(index="question", columns="mode", values="reward", sort=False)


def replay(run: Run, step: int, question: int = 1) -> tuple[Figure, HTML]:
    """The run at a step, the last logged one up to it.

    The figure has the curves with the step marked, and rewards by question and mode; the page has
    the rollouts of one question, counted round again after the last.
    """
    is_past = run.log.step <= step
    row = run.log[is_past].iloc[-1] if is_past.any() else run.log.iloc[0]
    step = int(row.step)
    rows = rollouts(run, step)
    chosen = (question - 1) % rows.question.max() + 1 if len(rows) else None
    logged = {name: value for name, value in row.items() if isinstance(value, int | float)}
    page = pages.step(
        f"{run.name}, step {step}",
        health.summary(logged),
        health.warnings(row.to_dict()),
        rows[rows.question == chosen],
        f"question {chosen} of {rows.question.nunique()}",
    )
    return plots.replay(run.log, step, by_question(rows), chosen), page

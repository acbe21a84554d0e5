"""What a cell came to: its choice, its skills, and what its rollouts saw of the two modes."""

from pathlib import Path

import pandas as pd

from pdlib import advantages
from pdlib.analysis.when import theory
from pdlib.schema import PAPER_MODES, Mode

CELL = ["experiment", "level", "arm", "seed"]
ITEM = ["condition", "benchmark", "item_id"]
FIRST = 10  # steps of a run that count as its beginning


def by_item(records: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, condition and question, from the records of `experiments.run`.

    Columns: CELL, ITEM, p (P(personalised) at temperature 1), general and personalized (was the
    answer forced into that mode right?).
    """
    asked_once = records.drop(columns="seed").rename(columns={"train_seed": "seed"})
    wide = asked_once.pivot(
        index=[*CELL, *ITEM, "p_personalized"], columns="forced", values="correct"
    )
    table = wide.reset_index().rename(columns={"p_personalized": "p"})
    return table[[*CELL, *ITEM, "p", *(mode.name for mode in PAPER_MODES)]].rename_axis(
        columns=None
    )


def of_cells(items: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """One row per cell and condition, of the rows of `by_item`.

    Columns: CELL, condition, p (mean P(personalised)), p_sampled (the same among rollouts at
    `temperature`), logit (mean of the logits of p), general and personalized (accuracy of forced
    answers), accuracy (of free answers at that temperature, exactly expected from the forced ones
    and p_sampled), absent (the chance that 8 free rollouts hold no personalised one, its mean).
    """
    sampled = advantages.at_temperature(items.p, temperature)
    rows = items.assign(
        p_sampled=sampled,
        logit=theory.logit(items.p),
        accuracy=sampled * items.personalized + (1 - sampled) * items.general,
        absent=advantages.absent_chance(sampled, 8),
    )
    measures = ["p", "p_sampled", "logit", "general", "personalized", "accuracy", "absent"]
    return rows.groupby([*CELL, "condition"], sort=False)[measures].mean().reset_index()


def seen(model: Path, questions: Path) -> pd.DataFrame:
    """What the rollouts of an RL run saw of the personalised mode, on objective questions.

    model: the run's stage folder, whose completions were kept. questions: that of its RL set. One
    row per step and condition, with the columns step, condition, rollouts, personalized (of them),
    groups, absent (groups without a personalised rollout).
    """
    examples = pd.read_parquet(questions / "rl.parquet")
    examples = examples[examples.kind == "objective"].drop_duplicates("prompt")
    condition = examples.set_index("prompt").condition
    files = sorted((model / "completions").glob("completions_*.parquet"))
    rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    prompts = rows.prompt.map(_last_message)
    texts = rows.completion.map(_last_message)
    rollouts = pd.DataFrame(
        {
            "step": rows.step,
            "condition": prompts.map(condition),
            "prompt": prompts,
            "personalized": texts.str.lstrip().str.startswith(Mode.PERSONALIZED.tag),
        }
    )
    groups = rollouts.groupby(["step", "condition", "prompt"]).personalized.agg(["size", "sum"])
    groups["absent"] = groups["sum"] == 0
    table = groups.groupby(["step", "condition"]).agg(
        rollouts=("size", "sum"),
        personalized=("sum", "sum"),
        groups=("size", "size"),
        absent=("absent", "sum"),
    )
    return table.reset_index()


def _last_message(messages: list[dict]) -> str:
    return messages[-1]["content"]

"""What a cell came to: its choice, its skills, and what its rollouts saw of the two modes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import advantages, modes
from pdlib.analysis.when import theory
from pdlib.schema import Mode

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
    return table[[*CELL, *ITEM, "p", *(mode.value for mode in Mode)]].rename_axis(columns=None)


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


def seen(model: Path, questions: Path, steps: Sequence[int] | None = None) -> dict[str, float]:
    """What the rollouts of an RL run saw of the personalised mode, on objective questions.

    model: the run's stage folder, whose completions were kept. questions: that of its RL set.
    steps: only these. Of fitting askers (aligned) and strangers (unaligned): rollouts, personalised
    ones among them, groups, and groups without a personalised one.
    """
    examples = pd.read_parquet(questions / "rl.parquet")
    examples = examples[examples.kind == "objective"].drop_duplicates("prompt")
    condition = examples.set_index("prompt").condition
    counts: dict[str, float] = {}
    for file in sorted((model / "completions").glob("completions_*.parquet")):
        rows = pd.read_parquet(file)
        if steps is not None and not rows.step.isin(steps).any():
            continue
        prompts = rows.prompt.map(lambda messages: messages[-1]["content"])
        tags = rows.completion.map(lambda messages: messages[-1]["content"])
        is_personalized = tags.map(
            lambda text: modes.parse(text, require_mode=False).mode is Mode.PERSONALIZED
        )
        table = pd.DataFrame(
            {
                "condition": prompts.map(condition),
                "prompt": prompts,
                "personalized": is_personalized,
            }
        )
        for name, of_condition in table.groupby("condition"):
            groups = of_condition.groupby("prompt").personalized
            for measure, value in {
                "rollouts": len(of_condition),
                "personalized": of_condition.personalized.sum(),
                "groups": groups.ngroups,
                "absent": (groups.sum() == 0).sum(),
            }.items():
                key = f"{measure}/{name}"
                counts[key] = counts.get(key, 0) + int(value)
    return counts

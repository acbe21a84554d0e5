"""The numbers of Table 3 and the two alignment rates, as the ledger wants them."""

import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.cells import MissingRecordsError, Statistic
from pdlib.analysis.multi_turn.alignment import NAMES, ORDERS
from pdlib.analysis.multi_turn.answers import split
from pdlib.analysis.multi_turn.rates import cases, resampled


def ledger_number(
    records: pd.DataFrame | None,
    run: str,
    artefact: str,
    column: str,
    model: str = "personadual",
    draws: int = 1000,
) -> tuple[Statistic, str]:
    """(our statistic for a number of the paper, a remark); artefact: table3 | multi_turn.

    Raises MissingRecordsError with the reason where there are no dialogues of the model in `run`,
    or nothing was so answered.
    """
    is_table_3 = artefact == "table3"
    absent = f"no two-turn dialogues of model {model} in run {run}"
    if records is None:
        raise MissingRecordsError(absent)
    answers = records[(records.run == run) & (records.model == model)]
    if answers.empty:
        raise MissingRecordsError(absent)
    if is_table_3:
        answers = answers[answers.benchmark == NAMES[column]]
        if answers.empty:
            raise MissingRecordsError(f"{absent} on {NAMES[column]}")
    came, mode = ORDERS["general first" if is_table_3 else column]
    items = cases(split(answers), ("before", came), mode, 2, "sampled")
    drawn = resampled(items, draws)
    if not drawn.cases[0]:
        raise MissingRecordsError(
            f"no question is answered in {mode} mode alone and after a turn in {came} mode"
        )
    rate = drawn.aligned / drawn.cases
    value = 1 - rate if is_table_3 else rate
    counted = items[items.cases > 0].groupby("benchmark", sort=False)
    statistic = Statistic(
        round(float(value[0]), 12),
        value[1:].dropna().to_numpy(),
        {name: stats.count(of_benchmark) for name, of_benchmark in counted},
        int(answers.train_seed.nunique()),
        int(answers[answers.turn == 1].seed.nunique()),
    )
    return statistic, _remark(drawn, is_table_3)


def _remark(drawn: pd.DataFrame, is_table_3: bool) -> str:
    """How often two runs alone agree, or, beside a ratio of deviations, differ."""
    verb = "differ" if is_table_3 else "agree"
    if "again" not in drawn:
        return f"two runs alone {verb} in an unknown share: one run"
    agree = drawn.again[0] / drawn.cases[0]
    return f"two runs alone {verb} in {abs(is_table_3 - agree):.1%} of these cases"

"""RLPA's headline figures beside the pocket world's: the twin of each, or why it has none.

The twin of the Alignment Level AL(k) is the share of replies in turn k that are right for the whole
hidden profile: the paper's judge (GPT-4o) sees the whole persona, too. AVG. is its mean over turns.
"""

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.cells import MissingRecordsError, Statistic
from pdlib.rlpa.dialogue import BENCHMARK
from pdlib.rlpa.scores import improvement

ARTEFACTS = ("rlpa_table1", "rlpa_table2", "rlpa_figure4")
COLUMNS = [  # of scores: what this needs
    "run",
    "model",
    "train_seed",
    "benchmark",
    "item_id",
    "condition",
    "turn",
    "seed",
    "right_whole",
]
ROWS = {"Base": "prompted", "SFT": "rlpa_sft", "RLPA": "rlpa"}  # row -> policy in the records
JUDGED = "replies right for the whole hidden profile, by rule; the paper's GPT-4o judges free talk"
NO_DPO = "RLPA's DPO baseline needs preference pairs of the ALOE data, which are not here"
NO_TWIN = {
    "rlpa_table1/GPT-4o": "a commercial model; neither it nor the paper's judge is here",
    "rlpa_table1/DPO": NO_DPO,
    "rlpa_table2": "policies with one of the two rewards are not trained: three more trainings",
    "rlpa_figure4/DPO": NO_DPO,
    "rlpa_figure4/long-term profile": (
        "70 turns with ten slots; the pocket user has told its four slots after six turns"
    ),
}
EXTENDED = (
    "users of another format (PersonaChat) and the GPT-4o judge are not here; the pocket world has "
    "one format"
)


def number(
    scored: pd.DataFrame | None, run: str, artefact: str, row: str, column: str, draws: int = 1000
) -> tuple[Statistic, str]:
    """(our twin of a number of RLPA, a remark); MissingRecordsError with the reason.

    scored: the COLUMNS of `pocket_judge.score`.
    """
    for prefix, reason in NO_TWIN.items():
        if f"{artefact}/{row}/".startswith(prefix + "/"):
            raise MissingRecordsError(reason)
    if column.startswith("Extended"):
        raise MissingRecordsError(EXTENDED)
    policy, kind = ROWS[row], "change" if artefact == "rlpa_figure4" else "steady"
    if scored is not None:
        scored = scored[(scored.run == run) & (scored.model == policy)]
    if scored is None or scored.empty:
        raise MissingRecordsError(
            f"no dialogues of policy {policy} in run {run}; notebook 12 makes them"
        )
    dialogues = scored[scored.condition == kind]
    table = dialogues.pivot_table(
        index=["benchmark", "item_id", "train_seed"], columns="turn", values="right_whole"
    )
    drawn = stats.resample(table, draws)  # (draws + 1, turns)
    n_turns = table.shape[1]
    if artefact == "rlpa_figure4":
        change = n_turns // 2 + 1
        turn = change if column == "turn of the change" else n_turns
        values = drawn[turn].to_numpy()
        remark = (
            f"turn {turn} of {n_turns}, the change begins at {change}; the paper's is at 6 of 10"
        )
    elif column.endswith("AVG."):
        values, remark = drawn.mean(axis=1).to_numpy(), f"mean over {n_turns} turns"
    else:
        which = column.endswith("N-R2")  # of (N-IR, N-R2)
        values = np.array([improvement(levels)[which] for levels in drawn.to_numpy()])
        remark = (
            f"over {n_turns} turns, the paper has ten: a slope a turn is larger where there are "
            "fewer"
        )
    twin = Statistic(
        round(float(values[0]), 12),
        values[1:],
        {BENCHMARK: stats.count(table)},
        int(dialogues.train_seed.nunique()),
        1,
    )
    return twin, f"{remark}; {JUDGED}"

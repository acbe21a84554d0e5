"""RLPA's headline figures beside the pocket world's: what twin each has, or why it has none.

The twin of the Alignment Level AL(k) is the share of replies in turn k that are right for the whole
hidden profile: the paper's judge (GPT-4o) sees the whole persona, too. AVG. is its mean over turns.
"""

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.cells import Found, Missing
from pdlib.rlpa.scores import improvement
from pdlib.rlpa.talk import BENCHMARK

ARTEFACTS = ("rlpa_table1", "rlpa_table2", "rlpa_figure4")
KEPT = [
    "run",
    "model",
    "train_seed",
    "benchmark",
    "item_id",
    "condition",
    "turn",
    "seed",
    "right_whole",
]  # of scores: what this needs
ROWS = {"Base": "prompted", "SFT": "rlpa_sft", "RLPA": "rlpa"}  # row -> policy in the records
JUDGED = "replies right for the whole hidden profile, by rule; the paper's GPT-4o judges free talk"
NO_TWIN = {
    "rlpa_table1/GPT-4o": "a commercial model; neither it nor the paper's judge is here",
    "rlpa_table1/DPO": "RLPA's DPO baseline needs preference pairs of the ALOE data, which are not here",
    "rlpa_table2": "policies with one of the two rewards are not trained: three more trainings",
    "rlpa_figure4/DPO": "RLPA's DPO baseline needs preference pairs of the ALOE data, which are not here",
    "rlpa_figure4/long-term profile": "70 turns with ten slots; the pocket user has told its four slots after six turns",
}
EXTENDED = "users of another format (PersonaChat) and the GPT-4o judge are not here; the pocket world has one format"


def number(
    scored: pd.DataFrame | None, run: str, artefact: str, row: str, column: str, draws: int = 1000
) -> tuple[Found, str]:
    """(our twin of a number of RLPA, a remark); Missing with the reason. scored: columns KEPT, see
    `scores.scores`.
    """
    for prefix, reason in NO_TWIN.items():
        if f"{artefact}/{row}/".startswith(prefix + "/"):
            raise Missing(reason)
    if column.startswith("Extended"):
        raise Missing(EXTENDED)
    own = None if scored is None else scored[(scored.run == run) & (scored.model == ROWS[row])]
    if own is None or own.empty:
        raise Missing(f"no dialogues of policy {ROWS[row]} in run {run}; notebook 12 makes them")
    own = own[own.condition == ("change" if artefact == "rlpa_figure4" else "steady")]
    table = own.pivot_table(
        index=["benchmark", "item_id", "train_seed"], columns="turn", values="right_whole"
    )
    drawn = stats.resample(table, draws)
    turns = table.shape[1]
    if artefact == "rlpa_figure4":
        at = turns // 2 + 1 if column == "turn of the change" else turns
        values, remark = (
            drawn[at].to_numpy(),
            f"turn {at} of {turns}, the change begins at {turns // 2 + 1}; the paper's is at 6 of 10",
        )
    elif column.endswith("AVG."):
        values, remark = drawn.mean(axis=1).to_numpy(), f"mean over {turns} turns"
    else:
        values = np.array(
            [improvement(levels)[column.endswith("N-R2")] for levels in drawn.to_numpy()]
        )
        remark = (
            f"over {turns} turns, the paper has ten: a slope a turn is larger where there are fewer"
        )
    found = Found(
        round(float(values[0]), 12),
        values[1:],
        {BENCHMARK: stats.count(table)},
        int(own.train_seed.nunique()),
        1,
    )
    return found, f"{remark}; {JUDGED}"

"""Scored dialogues -> slot F1 and reply accuracy by turn; no model is loaded.

Intervals cover users and training seeds. Scores come from `pocket_judge.score`, or from the judge
behind an endpoint (`score_by_judge`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.rlpa import rewards
from pdlib.rlpa.rewards import Judge
from pdlib.rlpa.user import Turn, User

POLICIES = {  # in records -> in figures
    "prompted": "prompted backbone",
    "rlpa_sft": "SFT only",
    "rlpa": "RLPA (SFT, then RL)",
}
VALUES = {
    "f1": "slot F1, revealed profile",
    "f1_whole": "slot F1, whole profile",
    "right": "reply right for what was revealed",
    "right_whole": "reply right for the whole profile",
    "follows": "reply right for the inferred profile",
}
BEST = "best possible reader"  # believes every hint and no whim, and replies to that


def score_by_judge(records: pd.DataFrame, users: Sequence[User], judge: Judge) -> pd.DataFrame:
    """The records of users behind an endpoint with f1 and right, as the judge finds them.

    The user's own profile is the gold.
    """
    profiles = {user.id: user.profile for user in users}
    turns = [
        Turn(text, profiles[user_id], profiles[user_id])
        for text, user_id in zip(records.prompt, records.item_id, strict=True)
    ]
    verdicts = judge.rewards(turns, [rewards.read(text) for text in records.completion])
    return records.assign(
        f1=[reward.profile for reward in verdicts], right=[reward.response for reward in verdicts]
    )


def _table(scored: pd.DataFrame, value: str) -> pd.DataFrame:
    """Index benchmark, user, training seed; columns (model, turn).

    A model with one seed stands beside every seed of the others.
    """
    paired = stats.across_seeds(scored)
    table = paired.pivot_table(
        index=["benchmark", "item_id", "train_seed"], columns=["model", "turn"], values=value
    )
    turns = sorted(paired.turn.unique())
    columns = [(model, turn) for model in POLICIES for turn in turns]
    return table.reindex(columns=[column for column in columns if column in table.columns])


def by_turn(
    scored: pd.DataFrame, values: Sequence[str] = ("f1", "right"), draws: int = 1000
) -> pd.DataFrame:
    """Each value by condition, model and turn, with 95 % intervals over users and training seeds.

    Columns: condition, model, turn, value, mean, ci_low, ci_high, n (users), seeds.
    """
    rows = []
    for condition, dialogues in scored.groupby("condition", sort=False):
        seeds = dialogues.groupby("model").train_seed.nunique()
        for value in values:
            table = _table(dialogues, value)
            drawn = stats.resample(table, draws)
            for model, turn in table.columns:
                key = {"condition": condition, "model": model, "turn": turn, "value": value}
                size = {"n": stats.count(table), "seeds": int(seeds[model])}
                rows.append(key | stats.summary(drawn[model, turn]) | size)
    return pd.DataFrame(rows)


def gains(
    scored: pd.DataFrame,
    values: Sequence[str] = ("f1", "right"),
    against: Sequence[str] = ("rlpa_sft", "prompted"),
    draws: int = 2000,
    last: int | None = None,
) -> pd.DataFrame:
    """RLPA minus another policy, paired by user and seed, averaged over turns (the `last` ones).

    Columns: condition, against, value, mean, ci_low, ci_high, wide_low, wide_high, verdict, n. The
    wide interval holds for all rows together.
    """
    rows, n_rows = [], scored.condition.nunique() * len(values) * len(against)
    for condition, dialogues in scored.groupby("condition", sort=False):
        turns = sorted(dialogues.turn.unique())
        turns = turns[-last:] if last else turns
        for value in values:
            table = _table(dialogues, value)
            drawn = stats.resample(table, draws)
            models = table.columns.get_level_values(0)
            for other in [name for name in against if name in models]:
                gain = drawn["rlpa"][turns].mean(axis=1) - drawn[other][turns].mean(axis=1)
                summary = stats.summary(gain, n_rows)
                key = {"condition": condition, "against": other, "value": value}
                end = {"verdict": stats.verdict(summary), "n": stats.count(table)}
                rows.append(key | summary | end)
    return pd.DataFrame(rows)


def improvement(levels: Sequence[float]) -> tuple[float, float]:
    """(N-IR, N-R2) of alignment levels by turn [RLPA App. C.3].

    Slope and R squared of the line through levels scaled to [0, 1].

    >>> levels = [62.16, 68.92, 70.27, 74.32, 72.97, 74.32, 75.68, 78.38, 77.03, 79.73]
    >>> [round(x, 3) for x in improvement(levels)]  # RLPA, Table 4
    [0.09, 0.855]
    """
    levels = np.asarray(levels, float)
    spread = levels.max() - levels.min()
    if not spread:
        return 0.0, 0.0
    scaled, turns = (levels - levels.min()) / spread, np.arange(1, len(levels) + 1)
    slope, start = np.polyfit(turns, scaled, 1)
    unexplained = ((scaled - slope * turns - start) ** 2).sum()
    total = ((scaled - scaled.mean()) ** 2).sum()
    return float(slope), float(1 - unexplained / total)

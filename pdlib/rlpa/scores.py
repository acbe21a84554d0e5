"""Records of dialogues -> slot F1 and reply accuracy by turn, with intervals over users and
training seeds; no model is loaded.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.rlpa import data, profile, rewards
from pdlib.rlpa.rewards import Judge
from pdlib.rlpa.user import Turn, User

POLICIES = {
    "prompted": "prompted backbone",
    "rlpa_sft": "SFT only",
    "rlpa": "RLPA (SFT, then RL)",
}  # in records -> in figures
VALUES = {
    "f1": "slot F1, revealed profile",
    "f1_whole": "slot F1, whole profile",
    "right": "reply right for what was revealed",
    "right_whole": "reply right for the whole profile",
    "follows": "reply right for the inferred profile",
}
BEST = "best possible reader"  # believes every hint and no whim, and replies to that


def judged(records: pd.DataFrame, users: Sequence[User], judge: Judge) -> pd.DataFrame:
    """The records of users behind an endpoint with f1 and right, as the judge finds them: the
    user's own profile is the gold.
    """
    own = {user.id: user.persona.facts["slots"] for user in users}
    said = [rewards.read(text) for text in records.completion]
    turns = [
        Turn(text, (), "", "", own[name], own[name])
        for text, name in zip(records.prompt, records.item_id, strict=True)
    ]
    found = judge.rewards(turns, said)
    return records.assign(f1=[one.profile for one in found], right=[one.response for one in found])


def scores(records: pd.DataFrame, users: Sequence[User]) -> pd.DataFrame:
    """The records with VALUES and `written`, the lines of the inferred profile; a malformed
    completion scores 0 in all.

    users: those who were talked to, whose hidden profiles no record holds; ValueError where one is
    missing.
    """
    by_id = {user.id: user for user in users}
    if missing := set(records.item_id) - set(by_id):
        raise ValueError(
            f"{len(missing)} users of the records are not among the {len(by_id)} given, the first: {min(missing)!r}; "
            "they follow from seed and dynamic_ settings: load the config that the records were made with"
        )
    rows = []
    for row in records.itertuples():
        turn, said = by_id[row.item_id].turns[row.turn - 1], rewards.read(row.completion)
        if said.error:
            rows.append(dict.fromkeys(VALUES, 0.0) | {"written": 0})
            continue
        rows.append(_values(said.written, said.reply, turn) | {"written": said.written.lines})
    return records.reset_index(drop=True).join(pd.DataFrame(rows).astype(float))


def _values(written: profile.Written, reply: str | None, turn: Turn) -> dict:
    """VALUES of one answer."""
    return {
        "f1": profile.agreement(written, turn.revealed).f1,
        "f1_whole": profile.agreement(written, turn.whole).f1,
        "right": rewards.fits(reply, turn, turn.revealed),
        "right_whole": rewards.fits(reply, turn, turn.whole),
        "follows": rewards.fits(reply, turn, written.slots),
    }


def best(users: Sequence[User], n_turns: int) -> pd.DataFrame:
    """VALUES of the best possible reader, one row a kind and turn: the mean over users of the kind;
    empty where users have no script.
    """
    if not all(user.turns for user in users):
        return pd.DataFrame(columns=["condition", "turn", *VALUES])
    rows = []
    for user in users:
        for at, known in enumerate(data.read_best(user, n_turns)):
            turn, own = user.turns[at], profile.Written(known, len(known))
            reply = rewards.reply_to(turn.about, turn.word, known)[0]
            rows.append({"condition": user.kind, "turn": at + 1} | _values(own, reply, turn))
    return (
        pd.DataFrame(rows)
        .astype({name: float for name in VALUES})
        .groupby(["condition", "turn"], as_index=False)
        .mean()
    )


def _table(scored: pd.DataFrame, value: str) -> pd.DataFrame:
    """Index benchmark, user, training seed; columns (model, turn). A model with one seed stands
    beside every seed of the others.
    """
    found = stats.across_seeds(scored)
    table = found.pivot_table(
        index=["benchmark", "item_id", "train_seed"], columns=["model", "turn"], values=value
    )
    return table.reindex(
        columns=[
            (m, t) for m in POLICIES for t in sorted(found.turn.unique()) if (m, t) in table.columns
        ]
    )


def by_turn(
    scored: pd.DataFrame, values: Sequence[str] = ("f1", "right"), draws: int = 1000
) -> pd.DataFrame:
    """condition, model, turn, value, mean, ci_low, ci_high, n users, seeds: 95 % intervals over
    users and training seeds.
    """
    out = []
    for condition, part in scored.groupby("condition", sort=False):
        for value in values:
            table = _table(part, value)
            drawn = stats.resample(table, draws)
            out += [
                {"condition": condition, "model": model, "turn": turn, "value": value}
                | stats.summary(drawn[model, turn])
                | {
                    "n": stats.count(table),
                    "seeds": int(part[part.model == model].train_seed.nunique()),
                }
                for model, turn in table.columns
            ]
    return pd.DataFrame(out)


def gains(
    scored: pd.DataFrame,
    values: Sequence[str] = ("f1", "right"),
    against: Sequence[str] = ("rlpa_sft", "prompted"),
    draws: int = 2000,
    last: int | None = None,
) -> pd.DataFrame:
    """RLPA minus another policy, paired by user and seed, averaged over turns (the `last` ones):
    condition, against, value, mean, ci_low, ci_high, wide_low, wide_high, verdict, n; the wide
    interval holds for all rows together.
    """
    out, many = [], scored.condition.nunique() * len(values) * len(against)
    for condition, part in scored.groupby("condition", sort=False):
        for value in values:
            table = _table(part, value)
            turns = sorted(part.turn.unique())[-(last or 10**6) :]
            drawn = stats.resample(table, draws)
            for other in [name for name in against if name in table.columns.get_level_values(0)]:
                found = stats.summary(
                    drawn["rlpa"][turns].mean(axis=1) - drawn[other][turns].mean(axis=1), many
                )
                out.append(
                    {"condition": condition, "against": other, "value": value}
                    | found
                    | {"verdict": stats.verdict(found), "n": stats.count(table)}
                )
    return pd.DataFrame(out)


def improvement(levels: Sequence[float]) -> tuple[float, float]:
    """(N-IR, N-R2) of alignment levels by turn [RLPA App. C.3]: slope and R squared of the line
    through levels scaled to [0, 1].

    >>> [round(x, 3) for x in improvement([62.16, 68.92, 70.27, 74.32, 72.97, 74.32, 75.68, 78.38, 77.03, 79.73])]  # its Table 4, RLPA
    [0.09, 0.855]
    """
    levels = np.asarray(levels, float)
    spread = levels.max() - levels.min()
    if not spread:
        return 0.0, 0.0
    scaled, turns = (levels - levels.min()) / spread, np.arange(1, len(levels) + 1)
    slope, start = np.polyfit(turns, scaled, 1)
    return float(slope), float(
        1 - ((scaled - slope * turns - start) ** 2).sum() / ((scaled - scaled.mean()) ** 2).sum()
    )

"""Objective questions at any share u of unaligned askers: which selector is ahead depends on who
asks, so no single u decides.

Accuracy at u is (1 - u) times that of the aligned block plus u times that of the unaligned one: a
straight line for each selector.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import LEARNED, prefixed, read
from pdlib.analysis.selection.rules import LEXICON, PERSONA_BLIND, QUESTION_ONLY, WORD_MATCH
from pdlib.analysis.selection.selectors import BEST, GENERAL, PERSONALIZED, scored

BLIND = (
    GENERAL,
    PERSONALIZED,
    PERSONA_BLIND,
    QUESTION_ONLY,
    BEST,
)  # whoever asks, they choose alike
FIXED = (*BLIND, WORD_MATCH, LEXICON)  # no model chooses
BEST_BLIND, BEST_FIXED = "best persona-blind rule", "best rule"
GROUPS = {BEST_BLIND: BLIND, BEST_FIXED: FIXED}
SHARES = tuple(np.linspace(0, 1, 51).round(2))


def by_share(
    records: pd.DataFrame,
    model: str = "personadual",
    choices: pd.DataFrame | None = None,
    shares: Sequence[float] = SHARES,
    draws: int = 2000,
) -> pd.DataFrame:
    """Objective accuracy at each share u of unaligned askers: one row per selector and u; 0 and 1
    are always there.

    Selectors as in `value`, and two that hold the best of several at each u: BEST_BLIND (of BLIND)
    and BEST_FIXED (of FIXED). Which one is best is read off the same answers, in the rules' favour;
    `rule` names it.

    share: u.  mean, ci_low, ci_high: accuracy.  lead: learned minus selector, paired, with its
    interval for one u. ValueError for a share outside 0 to 1, and as in `value`.
    """
    if outside := [share for share in shares if not 0 <= share <= 1]:
        raise ValueError(
            f"found shares of unaligned askers {outside}, expected numbers between 0 and 1"
        )
    answers = read(records, model)
    values, _ = scored(answers, choices)
    drawn, rows = answers.resample(values, draws), []
    for u in sorted({0.0, 1.0, *map(float, shares)}):
        at = {
            name: (1 - u) * drawn[name, "objective aligned"]
            + u * drawn[name, "objective unaligned"]
            for name in values
        }
        best = {
            group: max((name for name in names if name in at), key=lambda name: at[name].iloc[0])
            for group, names in GROUPS.items()
        }
        for name, rule in {**dict.fromkeys(values, ""), **best}.items():
            line = at[rule or name]
            rows.append(
                {"share": u, "selector": name, "rule": rule}
                | stats.summary(line)
                | prefixed("lead", stats.summary(at[LEARNED] - line))
            )
    return pd.DataFrame(rows)


def ahead(table: pd.DataFrame) -> pd.DataFrame:
    """Where the learned choice is ahead, from `by_share`: one row per group of rules (GROUPS).

    low, high: the shares u between which it is ahead of every rule of the group, exact, as the
    leads are straight lines.  sure_low, sure_high: the lowest and the highest of the table's shares
    at which each lead's interval is above zero.  Missing where there is none. rules: how many the
    group has here.
    """
    rows = []
    for group, names in GROUPS.items():
        part = table[table.selector.isin(names)]
        ends = part[part.share.isin([0, 1])].pivot(index="selector", columns="share", values="lead")
        low, high = 0.0, 1.0
        for first, last in ends[[0.0, 1.0]].to_numpy():
            if first <= 0 and last <= 0:
                low, high = 1.0, 0.0
            elif first <= 0:
                low = max(low, first / (first - last))
            elif last <= 0:
                high = min(high, first / (first - last))
        sure = part.groupby("share").lead_ci_low.min()
        sure = sure[sure > 0].index
        there = {"low": low, "high": high} if low < high else {"low": np.nan, "high": np.nan}
        certain = (
            {"sure_low": sure.min(), "sure_high": sure.max()}
            if len(sure)
            else {"sure_low": np.nan, "sure_high": np.nan}
        )
        rows.append(
            {"ahead of": group.replace("best", "every"), "rules": len(ends)} | there | certain
        )
    return pd.DataFrame(rows)

"""Objective questions at any share u of unaligned askers.

Which selector is ahead depends on who asks, so no single u decides. Accuracy at u is (1 - u) times
that of the aligned block plus u times that of the unaligned one: a straight line for each selector.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import LEARNED, read
from pdlib.analysis.selection.rules import LEXICON, PERSONA_BLIND, QUESTION_ONLY, WORD_MATCH
from pdlib.analysis.selection.selectors import BEST, GENERAL, PERSONALIZED, scored

# whoever asks, they choose alike
BLIND = (GENERAL, PERSONALIZED, PERSONA_BLIND, QUESTION_ONLY, BEST)
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
    """Objective accuracy at each share u of unaligned askers, one row per selector and u.

    0 and 1 are always among the shares. Selectors as in `value`, and two that hold the best of
    several at each u: BEST_BLIND (of BLIND) and BEST_FIXED (of FIXED). Which one is best is read
    off the same answers, in the rules' favour; `rule` names it.

    share: u.  mean, ci_low, ci_high: accuracy.  lead: learned minus selector, paired, with its
    interval for one u. ValueError for a share outside 0 to 1, and as in `value`.
    """
    if outside := [share for share in shares if not 0 <= share <= 1]:
        raise ValueError(
            f"found shares of unaligned askers {outside}, expected numbers between 0 and 1"
        )
    answers = read(records, model)
    accuracies, _ = scored(answers, choices)
    drawn, rows = answers.resample(accuracies, draws), []
    for u in sorted({0.0, 1.0, *map(float, shares)}):
        lines = {}
        for name in accuracies:
            aligned, unaligned = (
                drawn[name, "objective aligned"],
                drawn[name, "objective unaligned"],
            )
            lines[name] = (1 - u) * aligned + u * unaligned
        means = {name: line.iloc[0] for name, line in lines.items()}
        rule_of = dict.fromkeys(lines, "")
        for group, rules in GROUPS.items():
            rule_of[group] = max((name for name in rules if name in means), key=means.get)
        for name, rule in rule_of.items():
            line = lines[rule or name]
            rows.append(
                {"share": u, "selector": name, "rule": rule}
                | stats.summary(line)
                | stats.prefixed("lead", stats.summary(lines[LEARNED] - line))
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
        leads = table[table.selector.isin(names)]
        ends = leads[leads.share.isin([0, 1])].pivot(
            index="selector", columns="share", values="lead"
        )
        low, high = 0.0, 1.0
        for first, last in ends[[0.0, 1.0]].to_numpy():
            if first <= 0 and last <= 0:
                low, high = 1.0, 0.0
            elif first <= 0:
                low = max(low, first / (first - last))
            elif last <= 0:
                high = min(high, first / (first - last))
        if low >= high:
            low = high = np.nan
        lowest = leads.groupby("share").lead_ci_low.min()
        sure = lowest[lowest > 0].index  # min and max are missing where it is empty
        rows.append(
            {
                "ahead of": group.replace("best", "every"),
                "rules": len(ends),
                "low": low,
                "high": high,
                "sure_low": sure.min(),
                "sure_high": sure.max(),
            }
        )
    return pd.DataFrame(rows)

"""Mode-alignment rates: cases per item, and what they add up to."""

import numpy as np
import pandas as pd

from pdlib.analysis import stats

CHOICES = ("sampled", "likelier")


def cases(
    rows: pd.DataFrame, earlier: tuple[str, str], alone: str, turn: int, choice: str
) -> pd.DataFrame:
    """Cases of each item of one model (index `stats.ITEM`), as a share of pairs of runs.

    cases: how often it was answered in the mode `alone` alone and followed `earlier` (column,
    value) in the dialogue. aligned, no_mode: of these, how often the dialogue's answer was in that
    mode, in none. again: how often another answer alone was (missing with a single run).
    """
    if choice not in CHOICES:
        raise ValueError(f"choice is {choice!r}, expected sampled or likelier")
    is_sampled = choice == "sampled"
    likelier = rows.p_personalized.gt(0.5).map({True: "personalized", False: "general"})
    rows = rows.assign(is_alone=(rows["mode"] if is_sampled else likelier) == alone)
    runs = rows[rows.turn == 1].groupby(stats.ITEM).is_alone.agg(["sum", "count"])
    share = runs["sum"] / runs["count"]
    pairs = (runs["count"] * (runs["count"] - 1)).replace(0, np.nan)
    again = runs["sum"] * (runs["sum"] - 1) / pairs if is_sampled else share

    later = rows[(rows.turn == turn) & (rows.tags == "kept")]
    is_case = later[earlier[0]] == earlier[1]
    is_silent = later["mode"] == "none" if is_sampled else False
    later = later.assign(
        cases=is_case, aligned=is_case & later.is_alone, no_mode=is_case & is_silent
    )
    means = later.groupby(stats.ITEM)[["cases", "aligned", "no_mode"]].mean()
    means = means.reindex(runs.index).fillna(0)  # what was too long to ask is no case
    return means.mul(share, axis=0).assign(again=again * means.cases)


def resampled(items: pd.DataFrame, draws: int) -> pd.DataFrame:
    """`stats.resample` of a table of `cases`, without `again` where it is missing."""
    has_again = items.again.notna().all()
    return stats.resample(items if has_again else items.drop(columns="again"), draws)


def rates(items: pd.DataFrame, draws: int, comparisons: int) -> dict:
    """What a table of `cases` adds up to.

    {mean, ci_low, ci_high, ceiling, gap, gap_low, gap_high, verdict, no_mode, n}, as described in
    `alignment`.
    """
    drawn = resampled(items, draws)
    rate = drawn.aligned / drawn.cases
    row = stats.summary(rate)
    row |= {"ceiling": np.nan, "gap": np.nan, "gap_low": np.nan, "gap_high": np.nan, "verdict": ""}
    if "again" in drawn:
        ceiling = drawn.again / drawn.cases
        gap = stats.summary(rate - ceiling, comparisons)
        row |= {
            "ceiling": float(ceiling[0]),
            "gap": gap["mean"],
            "gap_low": gap["ci_low"],
            "gap_high": gap["ci_high"],
            "verdict": stats.verdict(gap) if drawn.cases[0] else "",
        }
    no_mode = float(drawn.no_mode[0] / drawn.cases[0]) if drawn.cases[0] else np.nan
    return row | {"no_mode": no_mode, "n": stats.count(items[items.cases > 0])}

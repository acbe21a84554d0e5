"""Groups among the top words [Fig. 5], and the answers to personas with one word."""

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.lexical.coefficients import Words, in_top
from pdlib.analysis.lexical.groups import CAUSE, GROUPS, tokens
from pdlib.analysis.lexical.scores import draw_personas, weighted_mean


def shares(words: Words) -> pd.DataFrame:
    """The share of each group of words in the top [Fig. 5], one row per group.

    With known facts there is also a row of CAUSE.

    in_top: words; share, ci_low, ci_high: personas resampled (a refit is noisier, so the interval
    leans towards the baseline). vocabulary: the group's share of all words of the model.  chance,
    chance_low, chance_high: share with the texts of personas shuffled, mean and 95 % range.  p:
    two-sided, of this row alone.  verdict: more than | fewer than | as by chance, or that the model
    has no more words than the top.
    """
    members = {group: (words.table.group == group).to_numpy() for group in GROUPS}
    if "cause" in words.table:
        members[CAUSE] = words.table.cause.to_numpy(bool)
    rows = []
    for group, is_member in members.items():
        share, refits, chance = _share(words, is_member)
        tails = [
            (1 + (excess > -1e-9).sum()) / (1 + len(chance))
            for excess in (chance - share, share - chance)
        ]
        p = min(1.0, 2 * min(tails))
        ci_low, ci_high = np.quantile(refits, [0.025, 0.975])
        chance_low, chance_high = np.quantile(chance, [0.025, 0.975])
        rows.append(
            {
                "group": group,
                "in_top": round(share * words.top),
                "top": words.top,
                "share": share,
                "ci_low": ci_low,
                "ci_high": ci_high,
                "vocabulary": is_member.mean(),
                "chance": chance.mean(),
                "chance_low": chance_low,
                "chance_high": chance_high,
                "p": p,
                "verdict": _verdict(words, p, share > chance.mean()),
            }
        )
    return pd.DataFrame(rows)


def _verdict(words: Words, p: float, is_more: bool) -> str:
    if words.top == len(words.table):
        return "every word is in the top"
    if p > 1 - stats.LEVEL:
        return "as by chance"
    return "more than by chance" if is_more else "fewer than by chance"


def _share(words: Words, is_member: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Share of some words in the top: as fitted, with personas resampled, with texts shuffled."""
    resampled, shuffled = (
        in_top(refits, words.top)[:, is_member].sum(axis=1) / words.top
        for refits in (words.drawn, words.permuted)
    )
    return float(is_member[: words.top].sum() / words.top), resampled, shuffled


def drawn_shares(words: Words) -> pd.DataFrame:
    """The share of each of GROUPS in the top, one column per group.

    Row 0 is as fitted, then there is one row per refit to resampled personas.
    """
    columns = {}
    for group in GROUPS:
        share, refits, _ = _share(words, (words.table.group == group).to_numpy())
        columns[group] = np.append(share, refits)
    return pd.DataFrame(columns)


def in_words(row: pd.Series) -> str:
    """A row of `shares` as a sentence."""
    return (
        f"{row.group}: {row.in_top} of the top {row.top} words, "
        f"{row.share:.0%} ({row.ci_low:.0%} to {row.ci_high:.0%}); with personas shuffled "
        f"{row.chance:.0%} ({row.chance_low:.0%} to {row.chance_high:.0%}): {row.verdict}."
    )


def with_word(table: pd.DataFrame, word: str, draws: int = 500) -> pd.DataFrame:
    """Shares of personalised answers to personas with and without `word`; nothing is fitted.

    By kind and condition: with, without, difference, ci_low, ci_high (personas resampled), n_with,
    n_without answers; ValueError for a word nobody has.
    """
    has = table.persona.map(lambda text: word.lower() in tokens(text)).to_numpy(bool)
    if not has.any():
        raise ValueError(
            f"no persona has the word {word!r}; words are single and whole, such as "
            f"{tokens(table.persona.iloc[0])}"
        )
    drawn = draw_personas(pd.factorize(table.persona)[0], draws)
    labels, rows = table.personalized.to_numpy(float), []
    for (kind, condition), answers in table.groupby(["kind", "condition"]).indices.items():
        sides = answers[has[answers]], answers[~has[answers]]
        if not all(map(len, sides)):
            continue
        shares_with, shares_without = (
            weighted_mean(labels[side], drawn[:, side]) for side in sides
        )
        difference = stats.summary(pd.Series(shares_with - shares_without))
        rows.append(
            {
                "kind": kind,
                "condition": condition,
                "with": shares_with[0],
                "without": shares_without[0],
                "difference": difference["mean"],
                "ci_low": difference["ci_low"],
                "ci_high": difference["ci_high"],
                "n_with": len(sides[0]),
                "n_without": len(sides[1]),
            }
        )
    return pd.DataFrame(rows)

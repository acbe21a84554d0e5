"""The value of selection: accuracy and regret of each way to choose a mode."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import LEARNED, MEANS, chance, read, with_means
from pdlib.analysis.selection.selectors import ORACLE, scored
from pdlib.schema import Item

VALUE = [
    "selector",
    "block",
    "mean",
    "ci_low",
    "ci_high",
    "n",
    "share",
    "chance",
    "difference",
    "difference_ci_low",
    "difference_ci_high",
    "difference_wide_low",
    "difference_wide_high",
    "verdict",
    "regret",
    "regret_ci_low",
    "regret_ci_high",
]
OPPOSITE = {"higher": "lower", "lower": "higher"}


def value(
    records: pd.DataFrame,
    model: str = "personadual",
    choices: pd.DataFrame | None = None,
    draws: int = 10_000,
    items: Sequence[Item] | None = None,
) -> pd.DataFrame:
    """Accuracy of each way to choose: is learned selection worth it, and what is left to gain?

    One row per selector and block.

    Always one mode.  Random: at the learned selector's overall share of personalised answers, or at
    that of the block (then only the choice of items is lost).  Best per benchmark (over both
    personas), or per benchmark and persona (whoever chooses knows the condition): chosen on one
    half of the items, scored on the other, both ways.  Rules and router: what `choices` hold, see
    `rules` and `routed`; a rule that is not there has no row.  Learned: free answers.  Told whether
    it fits: personalised on personal questions and for aligned askers, general for all others.
    Best per item: the mode that was right more often in the other sampling runs, scored on the
    left-out one (ties: the mode that was better on the benchmark under that persona in those runs),
    so it cannot profit from luck; from few runs it is what can be shown, not what could be had.
    Missing with one run.  Either mode right: upper bound of Table 8; two tries at each answer, so
    luck is counted as if it were skill.

    choices: benchmark, item_id, condition, personalized (True | False); perhaps rule (the
    selector's name, otherwise ROUTER), and train_seed (missing: the same for all).  items: those of
    the records, for the accuracy of guessing.

    mean, ci_low, ci_high: accuracy.  share: of personalised choices.  chance: accuracy of guessing,
    missing without `items`. difference: selector minus learned, paired, with intervals (ci for one,
    wide for all of the table) and verdict of the selector against the learned one, see
    `stats.verdict`.  regret: best per item minus selector.  n: items. ValueError where `choices`
    lack a question, choose twice, or name a selector that is computed here.
    """
    answers = read(records, model)
    accuracies, shares = scored(answers, choices)
    drawn = with_means(answers.resample(accuracies, draws))
    share = with_means(answers.resample(shares, 0)).iloc[0]
    guessing = pd.Series(dtype=float)
    if items is not None:
        guessing = chance(records[(records.model == model) & (records.turn == 1)], items)
    counts, rows, blocks = answers.counts(), [], [*answers.blocks, *MEANS]
    comparisons = (len(accuracies) - 1) * len(blocks)
    names = [*accuracies, *({ORACLE} - set(accuracies))]  # with one sampling run it is missing
    for name in names:
        for block in blocks:
            row = {
                "selector": name,
                "block": block,
                "n": int(counts[block]),
                "chance": guessing.get(block, np.nan),
            }
            if name in accuracies:
                accuracy, learned = drawn[name, block], drawn[LEARNED, block]
                difference = stats.summary(accuracy - learned, comparisons)
                row |= stats.summary(accuracy) | stats.prefixed("difference", difference)
                row["share"] = share.get((name, block), np.nan)
                row["verdict"] = "" if name == LEARNED else stats.verdict(difference)
                if ORACLE in accuracies:
                    regret = stats.summary(drawn[ORACLE, block] - accuracy)
                    row |= stats.prefixed("regret", regret)
            rows.append(row)
    return pd.DataFrame(rows, columns=VALUE)


def leads(table: pd.DataFrame, selectors: Sequence[str]) -> pd.DataFrame:
    """From `value`: the learned choice minus each of `selectors`, in their order.

    Those that the table lacks are left out. mean, ci_low, ci_high: positive where the learned
    choice is better.  verdict: of the learned choice.  chance, n: as in `value`.
    """
    rank = {name: k for k, name in enumerate(selectors)}
    rows = table[table.selector.isin(selectors) & table.difference.notna()]
    rows = rows.sort_values("selector", key=lambda names: names.map(rank), kind="stable")
    turned = [[OPPOSITE.get(word, word) for word in text.split()] for text in rows.verdict]
    columns = {
        "learned minus": rows.selector,
        "block": rows.block,
        "mean": -rows.difference,
        "ci_low": -rows.difference_ci_high,
        "ci_high": -rows.difference_ci_low,
        "verdict": [" ".join(words) for words in turned],
        "chance": rows.chance,
        "n": rows.n,
    }
    return pd.DataFrame(columns).reset_index(drop=True)

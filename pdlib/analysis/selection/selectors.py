"""The value of selection: accuracy and regret of each way to choose a mode."""

import zlib

import numpy as np
import pandas as pd

from pdlib import stats
from pdlib.analysis.selection.answers import COLUMNS, LEARNED, Answers, prefixed, read, with_mean

GENERAL, PERSONALIZED = "always general", "always personalised"
RANDOM, RANDOM_WITHIN = "random, overall share", "random, share of the block"
BEST, BEST_TOLD = "best mode of the benchmark", "best mode of benchmark and persona"
ROUTER, ORACLE, EITHER = "router", "per-item oracle", "either mode right"
SELECTORS = (GENERAL, PERSONALIZED, RANDOM, RANDOM_WITHIN, BEST, BEST_TOLD, ROUTER, LEARNED, ORACLE, EITHER)
VALUE = ["selector", "block", "mean", "ci_low", "ci_high", "n", "share", "difference", "difference_ci_low", "difference_ci_high",
         "difference_wide_low", "difference_wide_high", "verdict", "regret", "regret_ci_low", "regret_ci_high"]


def value(records: pd.DataFrame, model: str = "personadual", choices: pd.DataFrame | None = None, draws: int = 10_000) -> pd.DataFrame:
    """Accuracy of each way to choose, one row a selector and block: is learned selection worth it, and what is left to gain?

    Rows: always one mode. Random at the learned selector's overall share of personalised answers, or at that of the block (then only
    the choice of items is lost). Best mode of the benchmark (over both personas) or of benchmark and persona (told whether the persona
    fits): chosen on one half of the items, scored on the other, both ways. Router, where `choices` are given: benchmark, item_id,
    condition, perhaps train_seed, personalized (True | False). Learned: free answers. Per-item oracle: the mode that was right more
    often in the other sampling runs, scored on the left-out one (ties: the mode that was better on the benchmark under that persona in
    those runs), so it cannot profit from luck; from few runs it is what can be shown, not what could be had. Missing with one run.
    Either mode right: upper bound of Table 8; two tries at each answer, so luck is counted as if it were skill.

    mean, ci_low, ci_high: accuracy.  share: of personalised choices.  difference: selector minus learned, paired, with intervals
    (ci for one, wide for all of the table) and verdict of the selector against the learned one, see `stats.verdict`.  regret: oracle
    minus selector.  n: items.  ValueError where `choices` lack a question.
    """
    answers = read(records, model)
    chosen = _choices(answers)
    if choices is not None:
        chosen[ROUTER] = _routed(answers, choices)
    values = {name: (w * answers.personalized + (1 - w) * answers.general).mean(1) for name, w in chosen.items()}
    values |= {LEARNED: answers.free.mean(1), EITHER: np.maximum(answers.general, answers.personalized).mean(1)}
    shares = {name: np.broadcast_to(w, answers.free.shape).mean(1) for name, w in chosen.items()} | {LEARNED: (answers.chosen == 1).mean(1)}
    order = [name for name in SELECTORS if name in values]
    drawn = with_mean(answers.resample(values, draws))
    share = with_mean(answers.resample(shares, 0)).iloc[0]
    n, rows, blocks = answers.counts(), [], [*answers.blocks, stats.MEAN]
    many = (len(order) - 1) * len(blocks)
    for name in [*order, *([ORACLE] if ORACLE not in order else [])]:
        for block in blocks:
            row = {"selector": name, "block": block}
            if name not in order:  # one sampling run
                rows.append(row | {"n": int(n[block])})
                continue
            against = stats.summary(drawn[name, block] - drawn[LEARNED, block], many)
            row |= stats.summary(drawn[name, block]) | {"n": int(n[block]), "share": share.get((name, block), np.nan)}
            row |= prefixed("difference", against) | {"verdict": "" if name == LEARNED else stats.verdict(against)}
            if ORACLE in order:
                row |= prefixed("regret", stats.summary(drawn[ORACLE, block] - drawn[name, block]))
            rows.append(row)
    return pd.DataFrame(rows, columns=VALUE)


def _choices(answers: Answers) -> dict[str, np.ndarray]:
    """Chance of choosing the personalised mode, (Q, 1) or (Q, R), by selector."""
    share = pd.Series((answers.chosen == 1).mean(1), answers.index)
    within = share.groupby(["block", "benchmark", "train_seed"]).mean().groupby(["block", "train_seed"]).mean()
    overall = within[list(stats.BLOCKS)].groupby("train_seed").mean()
    nothing = np.zeros((len(share), 1))
    chosen = {GENERAL: nothing, PERSONALIZED: nothing + 1,
              RANDOM: overall.loc[answers.by("train_seed")[0]].to_numpy()[:, None],
              RANDOM_WITHIN: within.loc[list(zip(*answers.by("block", "train_seed")))].to_numpy()[:, None],
              BEST: _best(answers, ["benchmark"]), BEST_TOLD: _best(answers, ["block", "benchmark"])}
    return chosen | ({ORACLE: _oracle(answers)} if answers.free.shape[1] > 1 else {})


def _best(answers: Answers, by: list[str]) -> np.ndarray:
    """(Q, 1): the mode that is better on the other half of the items, for each group of `by` and training seed; a coin where neither is."""
    gain = pd.Series((answers.personalized - answers.general).mean(1), answers.index)
    if "block" not in by:
        gain = gain.where(answers.by("block")[0].isin(stats.BLOCKS))  # chosen for what the mean counts
    items = pd.Series({item: zlib.crc32(item[1].encode()) for item in sorted(set(zip(*answers.by("benchmark", "item_id"))))})
    half = items.groupby(level=0).rank(method="first").loc[list(zip(*answers.by("benchmark", "item_id")))].to_numpy() % 2
    keys = answers.by(*by, "train_seed")
    other = gain.groupby([*keys, half]).mean().reindex(pd.MultiIndex.from_arrays([*keys, 1 - half]))
    return _prefer(other.to_numpy())[:, None]


def _oracle(answers: Answers) -> np.ndarray:
    """(Q, R): for each run, the mode that the other runs speak for."""
    gain = answers.personalized - answers.general
    others = (gain.sum(1, keepdims=True) - gain) / (gain.shape[1] - 1)  # without the run that is scored
    benchmark = pd.DataFrame(others, answers.index).groupby(["block", "benchmark", "train_seed"]).transform("mean").to_numpy()
    return _prefer(np.where(others == 0, benchmark, others))


def _prefer(gain: np.ndarray) -> np.ndarray:
    """1 where personalised is better, 0 where general is, 0.5 where neither is (to the last bits of a mean) or nothing is known."""
    return (np.sign(np.nan_to_num(gain).round(12)) + 1) / 2


def _routed(answers: Answers, choices: pd.DataFrame) -> np.ndarray:
    conditions = [COLUMNS[block][1] for block in answers.by("block")[0]]
    asked = answers.index.to_frame(index=False).assign(condition=conditions)
    keys = [name for name in ("benchmark", "item_id", "condition", "train_seed") if name in choices]
    if missing := {"benchmark", "item_id", "condition", "personalized"} - set(choices):
        raise ValueError(f"the router's choices lack the columns {sorted(missing)}, found {sorted(choices)}")
    if choices.personalized.dtype != bool:
        raise ValueError(f"the router's choices must be True or False, found {choices.personalized.dtype}; is its chance above 0.5?")
    if choices.duplicated(keys).any():
        raise ValueError(f"the router chooses {int(choices.duplicated(keys).sum())} times for a question it has chosen for before")
    found = asked.merge(choices[[*keys, "personalized"]], on=keys, how="left").personalized
    if found.isna().any():
        raise ValueError(f"the router has no choice for {int(found.isna().sum())} of {len(found)} questions; route those that were asked")
    return found.to_numpy(float)[:, None]


def routed(records: pd.DataFrame) -> pd.DataFrame | None:
    """The `choices` of PersonaDual-Router, from its records: benchmark, item_id, condition, personalized; None where it has none."""
    found = records[(records.model == "personadual_router") & (records.forced == "none")]
    choices = found.assign(personalized=found.p_personalized > 0.5)[["benchmark", "item_id", "condition", "personalized"]].drop_duplicates()
    return None if choices.empty else choices

"""Does choosing a mode pay? The learned choice of a two-mode model against other ways to choose, from its records.

A selector says, for each question and persona, in which mode to answer. Every selector but the learned one is scored on the forced
answers, so no model is needed; one that tosses coins gets the exact expectation. The learned one is scored on its free answers, which
draw the mode from P(personalised) at the sampling temperature: at 0.6 its share of personalised answers is more extreme than
`p_personalized`, a softmax at temperature 1. A threshold of 0.5 on `p_personalized` is the greedy choice at any temperature.
Choices that are learnt from the records are learnt once: the intervals are about items and training seeds, given these choices.
All tables are of one run and model, with blocks by kind and persona as in the paper and their mean (each block weighs alike, and within
it each benchmark).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta

from pdlib import stats

COLUMNS = {"objective none": ("objective", "none")} | stats.BLOCKS  # the first is no part of the mean
QUESTION = ["block", *stats.ITEM]
TOGETHER = "the blocks together"  # ratios: sums over the blocks, not the mean of their ratios
GENERAL, PERSONALIZED = "always general", "always personalised"
RANDOM, RANDOM_WITHIN = "random, overall share", "random, share of the block"
BEST, BEST_TOLD = "best mode of the benchmark", "best mode of benchmark and persona"
ROUTER, LEARNED, ORACLE, EITHER = "router", "learned", "per-item oracle", "either mode right"
SELECTORS = (GENERAL, PERSONALIZED, RANDOM, RANDOM_WITHIN, BEST, BEST_TOLD, ROUTER, LEARNED, ORACLE, EITHER)
ERRORS = ("wrong mode", "in-mode: neither mode is right", "in-mode: own mode is mostly right", "no mode")
VALUE = ["selector", "block", "mean", "ci_low", "ci_high", "n", "share", "difference", "difference_ci_low", "difference_ci_high",
         "difference_wide_low", "difference_wide_high", "verdict", "regret", "regret_ci_low", "regret_ci_high"]
THRESHOLDS = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99, 0.997, 0.999, 1)
BINS = (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1)
FEW = 5  # items; fewer are too few to resample


@dataclass(frozen=True)
class _Answers:
    """Q questions (an item under a persona, for a training seed: index QUESTION) x R sampling runs, in [0, 1]."""

    index: pd.MultiIndex
    general: np.ndarray  # (Q, R) right when forced into the general mode?
    personalized: np.ndarray  # (Q, R)
    free: np.ndarray  # (Q, R)
    chosen: np.ndarray  # (Q, R) 1 where the free answer is personalised, 0 where general, missing where it named no mode
    chance: np.ndarray  # (Q,) P(personalised)

    def by(self, *names: str) -> list[pd.Index]:
        """What to group a (Q,) array by."""
        return [self.index.get_level_values(name) for name in names]

    def resample(self, values: dict, draws: int) -> pd.DataFrame:
        """`stats.resample` of (Q,) arrays; columns (name, block)."""
        items = pd.DataFrame(values, self.index).rename_axis(columns="name").unstack("block")
        return stats.resample(items, draws)

    def counts(self, which: np.ndarray | None = None) -> pd.Series:
        """Items of each block, and of all of them; with `which` (Q,), those of which it holds for some persona or training seed."""
        named = self.index if which is None else self.index[which]
        named = named.to_frame(index=False)[["block", "benchmark", "item_id"]].drop_duplicates()
        three = named[named.block.isin(stats.BLOCKS)].drop_duplicates(["benchmark", "item_id"])
        blocks = named.groupby("block").size().reindex(self.blocks, fill_value=0)
        return pd.concat([blocks, pd.Series({stats.MEAN: len(three), TOGETHER: len(three)})])

    @property
    def blocks(self) -> list[str]:
        return [name for name in COLUMNS if name in self.index.unique("block")]


def _answers(records: pd.DataFrame, model: str) -> _Answers:
    """ValueError where runs are mixed, or the questions were not all asked free and in both modes by the same sampling runs."""
    kept = records[(records.model == model) & (records.turn == 1)]
    if kept.run.nunique() != 1:
        raise ValueError(f"found answers of model {model} in runs {sorted(kept.run.unique())}; there are models "
                         f"{sorted(records.model.unique())}; pass the records of one run that holds the model")
    names = {where: block for block, where in COLUMNS.items()}
    kept = kept.assign(block=[names.get(where) for where in zip(kept.kind, kept.condition)])
    kept = kept[kept.block.notna()]
    key = [*QUESTION, "forced", "seed"]
    if kept.duplicated(key).any():
        raise ValueError(f"{int(kept.duplicated(key).sum())} answers of {model} are there twice (same {', '.join(key)}); "
                         "pass the records of one evaluation")
    wide = kept.assign(correct=kept.correct.astype(float)).set_index(key)[["correct", "mode", "p_personalized"]].unstack(["forced", "seed"])
    asked, runs = ("general", "personalized", "none"), sorted(kept.seed.unique())
    if missing := set(asked) - set(kept.forced) | set(stats.BLOCKS) - set(kept.block):
        raise ValueError(f"model {model} lacks answers: {', '.join(sorted(missing))}; evaluate it free and in both forced modes, under "
                         "the paper's persona conditions")
    right = wide["correct"].reindex(columns=pd.MultiIndex.from_product([asked, runs]))  # every mode with the same runs, in one order
    if right.isna().any(axis=None):
        raise ValueError(f"{int(right.isna().any(axis=1).sum())} of {len(right)} questions of {model} lack an answer of a forced mode or "
                         "sampling run; evaluate all modes on the same questions with the same runs")
    said, chance = wide["mode"]["none"][runs].to_numpy(), wide["p_personalized"]["none"].to_numpy(float).mean(1)
    if np.isnan(chance).any():
        raise ValueError(f"{int(np.isnan(chance).sum())} of {len(chance)} questions of {model} have no p_personalized; pass a model "
                         "with two modes")
    return _Answers(wide.index, *(right[name].to_numpy() for name in asked),
                    np.select([said == "personalized", said == "general"], [1.0, 0.0], np.nan), chance)


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
    answers = _answers(records, model)
    chosen = _choices(answers)
    if choices is not None:
        chosen[ROUTER] = _routed(answers, choices)
    values = {name: (w * answers.personalized + (1 - w) * answers.general).mean(1) for name, w in chosen.items()}
    values |= {LEARNED: answers.free.mean(1), EITHER: np.maximum(answers.general, answers.personalized).mean(1)}
    shares = {name: np.broadcast_to(w, answers.free.shape).mean(1) for name, w in chosen.items()} | {LEARNED: (answers.chosen == 1).mean(1)}
    order = [name for name in SELECTORS if name in values]
    drawn = _with_mean(answers.resample(values, draws))
    share = _with_mean(answers.resample(shares, 0)).iloc[0]
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
            row |= _named("difference", against) | {"verdict": "" if name == LEARNED else stats.verdict(against)}
            if ORACLE in order:
                row |= _named("regret", stats.summary(drawn[ORACLE, block] - drawn[name, block]))
            rows.append(row)
    return pd.DataFrame(rows, columns=VALUE)


def _named(name: str, found: dict) -> dict:
    return {name if key == "mean" else f"{name}_{key}": value for key, value in found.items()}


def _with_mean(drawn: pd.DataFrame) -> pd.DataFrame:
    """Adds the mean of the paper's three blocks to columns (name, block)."""
    means = {(name, stats.MEAN): drawn[name][list(stats.BLOCKS)].mean(axis=1) for name in drawn.columns.unique(0)}
    return pd.concat([drawn, pd.DataFrame(means)], axis=1)


def _choices(answers: _Answers) -> dict[str, np.ndarray]:
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


def _best(answers: _Answers, by: list[str]) -> np.ndarray:
    """(Q, 1): the mode that is better on the other half of the items, for each group of `by` and training seed; a coin where neither is."""
    gain = pd.Series((answers.personalized - answers.general).mean(1), answers.index)
    if "block" not in by:
        gain = gain.where(answers.by("block")[0].isin(stats.BLOCKS))  # chosen for what the mean counts
    items = pd.Series({item: zlib.crc32(item[1].encode()) for item in sorted(set(zip(*answers.by("benchmark", "item_id"))))})
    half = items.groupby(level=0).rank(method="first").loc[list(zip(*answers.by("benchmark", "item_id")))].to_numpy() % 2
    keys = answers.by(*by, "train_seed")
    other = gain.groupby([*keys, half]).mean().reindex(pd.MultiIndex.from_arrays([*keys, 1 - half]))
    return _prefer(other.to_numpy())[:, None]


def _oracle(answers: _Answers) -> np.ndarray:
    """(Q, R): for each run, the mode that the other runs speak for."""
    gain = answers.personalized - answers.general
    others = (gain.sum(1, keepdims=True) - gain) / (gain.shape[1] - 1)  # without the run that is scored
    benchmark = pd.DataFrame(others, answers.index).groupby(["block", "benchmark", "train_seed"]).transform("mean").to_numpy()
    return _prefer(np.where(others == 0, benchmark, others))


def _prefer(gain: np.ndarray) -> np.ndarray:
    """1 where personalised is better, 0 where general is, 0.5 where neither is (to the last bits of a mean) or nothing is known."""
    return (np.sign(np.nan_to_num(gain).round(12)) + 1) / 2


def _routed(answers: _Answers, choices: pd.DataFrame) -> np.ndarray:
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


def errors(records: pd.DataFrame, model: str = "personadual", draws: int = 2000) -> pd.DataFrame:
    """Wrong free answers by what went wrong, one row a block and kind of ERRORS: rate (of all answers) and share (of the wrong ones).

    A forced mode is right on a question when more than half of its sampling runs are. A wrong free answer is of the wrong mode when
    the other mode is right and its own is not; in-mode when neither is right (the other would not have helped), or when its own is
    (bad luck of this run); or it names no mode. The rates of a block add up to one minus its accuracy. A majority of few runs is
    itself partly luck, on both sides alike; the regret of `value` is free of it. n: items.
    """
    answers = _answers(records, model)
    general, personalized = ((forced.mean(1) > 0.5)[:, None] for forced in (answers.general, answers.personalized))
    own, other = (np.where(answers.chosen == 1, *pair) for pair in ((personalized, general), (general, personalized)))
    wrong, named = answers.free == 0, ~np.isnan(answers.chosen)
    parts = dict(zip(ERRORS, (wrong & named & other & ~own, wrong & named & ~other & ~own, wrong & named & own, wrong & ~named)))
    drawn = _with_mean(answers.resample({name: part.mean(1) for name, part in parts.items()} | {"all": wrong.mean(1)}, draws))
    n = answers.counts()
    return pd.DataFrame([
        {"block": block, "error": name} | _named("rate", stats.summary(drawn[name, block]))
        | _named("share", stats.summary(drawn[name, block] / drawn["all", block])) | {"n": int(n[block])}
        for block in [*answers.blocks, stats.MEAN] for name in ERRORS])


def selection_errors(records: pd.DataFrame, model: str = "personadual", draws: int = 2000) -> pd.DataFrame:
    """How often the learned choice is wrong where the right mode is known: one row a block and right mode (general | personalised | all).

    Known: one forced mode is right in all sampling runs, the other wrong in all. An answer without a mode is a wrong choice.
    mean, ci_low, ci_high: share of free answers that are not in the right mode (benchmarks weigh by how much they know); where all
    known items are alike, so that resampling shows no spread, the exact binomial interval.  n: items whose right mode is known for
    some training seed, of n_all.  Missing where there are none.
    """
    answers = _answers(records, model)
    general, personalized = answers.general.mean(1), answers.personalized.mean(1)
    known = {"general": (general == 1) & (personalized == 0), "personalised": (personalized == 1) & (general == 0)}
    wrong = {"general": (answers.chosen != 0).mean(1), "personalised": (answers.chosen != 1).mean(1)}
    known["all"], wrong["all"] = known["general"] | known["personalised"], np.where(known["general"], *wrong.values())
    drawn = _ratios(answers, {name: ({"": wrong[name]}, known[name]) for name in known}, draws)
    every, rows = answers.counts(), []
    counts = {name: answers.counts(which) for name, which in known.items()}
    for block in [*answers.blocks, TOGETHER]:
        for name in known:
            n = int(counts[name][block])
            rows.append({"block": block, "right_mode": name} | _or_exact(stats.summary(drawn[name, "", block]), n)
                        | {"n": n, "n_all": int(every[block])})
    return pd.DataFrame(rows)


def _or_exact(found: dict, n: int) -> dict:
    """With the Clopper-Pearson interval of `n` items where the bootstrap shows no spread."""
    if not n or found["ci_low"] < found["ci_high"]:
        return found
    tail, hits = (1 - stats.LEVEL) / 2, found["mean"] * n
    return found | {"ci_low": float(beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0,
                    "ci_high": float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0}


def _ratios(answers: _Answers, parts: dict, draws: int) -> pd.DataFrame:
    """Means over some questions only: parts name -> ({quantity: (Q,)}, which (Q,)); columns (name, quantity, block or TOGETHER)."""
    values = {(name, what): value * which for name, (quantities, which) in parts.items() for what, value in quantities.items()}
    values |= {(name, "which"): which.astype(float) for name, (_, which) in parts.items()}
    codes = {code: key for code, key in enumerate(values)}
    drawn = answers.resample({code: values[key] for code, key in codes.items()}, draws)
    drawn = {(*codes[code], block): drawn[code, block] for code, block in drawn.columns}
    drawn |= {(*key, TOGETHER): sum(drawn[(*key, block)] for block in stats.BLOCKS) for key in values}
    found = {(name, what, block): value / drawn[name, "which", block] for (name, what, block), value in drawn.items() if what != "which"}
    return pd.DataFrame({key: value.where(np.isfinite(value)) for key, value in found.items()})


def tradeoff(records: pd.DataFrame, model: str = "personadual", thresholds: Sequence[float] = THRESHOLDS,
             draws: int = 1000) -> pd.DataFrame:
    """Personalised where P(personalised) > threshold, from forced answers: one row a threshold and block, and the learned selector.

    mark: "0.5" (the greedy choice), "learned" (free answers at the sampling temperature, threshold missing), or nothing; 0.5 is
    always there.  mean, ci_low, ci_high: accuracy.  share: of personalised choices.  n: items.
    """
    answers = _answers(records, model)
    levels = sorted({*map(float, thresholds), 0.5})
    above = {level: answers.chance > level for level in levels}
    values = {level: np.where(w[:, None], answers.personalized, answers.general).mean(1) for level, w in above.items()}
    shares = {level: w.astype(float) for level, w in above.items()} | {LEARNED: (answers.chosen == 1).mean(1)}
    drawn = _with_mean(answers.resample(values | {LEARNED: answers.free.mean(1)}, draws))
    share = _with_mean(answers.resample(shares, 0)).iloc[0]
    n = answers.counts()
    return pd.DataFrame([
        {"threshold": np.nan if level == LEARNED else level, "mark": {0.5: "0.5", LEARNED: LEARNED}.get(level, ""), "block": block}
        | stats.summary(drawn[level, block]) | {"share": share[level, block], "n": int(n[block])}
        for level in [*levels, LEARNED] for block in [*answers.blocks, stats.MEAN]])


def calibration(records: pd.DataFrame, model: str = "personadual", bins: Sequence[float] = BINS, draws: int = 1000) -> pd.DataFrame:
    """Does P(personalised) rise with what the mode is worth? One row a block and bin of P (low, high], the first with its low end.

    p: mean P (temperature 1).  share: of free answers that are personalised (at the sampling temperature).  mean, ci_low, ci_high:
    benefit, forced personalised minus forced general accuracy; no interval for fewer than FEW items.  n: items.  Bins without
    questions are left out.
    """
    if list(bins) != sorted(set(bins)) or bins[0] > 0 or bins[-1] < 1:
        raise ValueError(f"bins are {list(bins)}, expected rising edges that cover 0 to 1")
    answers = _answers(records, model)
    benefit = answers.personalized.mean(1) - answers.general.mean(1)
    place = np.digitize(answers.chance, bins, right=True).clip(1, len(bins) - 1)
    quantities = {"p": answers.chance, "share": (answers.chosen == 1).mean(1), "benefit": benefit}
    parts = {k: (quantities, place == k) for k in sorted(set(place))}
    drawn, rows = _ratios(answers, parts, draws), []
    counts = {k: answers.counts(which) for k, (_, which) in parts.items()}
    for block in [*answers.blocks, TOGETHER]:
        for k in parts:
            if n := int(counts[k][block]):
                p, share = (float(drawn[k, what, block].iloc[0]) for what in ("p", "share"))
                found = stats.summary(drawn[k, "benefit", block]) | ({"ci_low": np.nan, "ci_high": np.nan} if n < FEW else {})
                rows.append({"block": block, "low": bins[k - 1], "high": bins[k], "p": p, "share": share} | found | {"n": n})
    return pd.DataFrame(rows)

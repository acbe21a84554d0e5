"""Ways to choose a mode, and how accurate the forced answers are when they choose."""

import zlib

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import LEARNED, Answers
from pdlib.analysis.selection.rules import LEXICON, PERSONA_BLIND, QUESTION_ONLY, RULES, WORD_MATCH

GENERAL, PERSONALIZED = "always general", "always personalised"
RANDOM, RANDOM_WITHIN = "random, overall share", "random, share of the block"
BEST, BEST_TOLD = "best per benchmark", "best per benchmark and persona"
ROUTER, TOLD, ORACLE = "router", "told whether it fits", "best per item"
EITHER = "either mode right"
SELECTORS = (
    GENERAL,
    PERSONALIZED,
    RANDOM,
    RANDOM_WITHIN,
    PERSONA_BLIND,
    QUESTION_ONLY,
    BEST,
    WORD_MATCH,
    LEXICON,
    ROUTER,
    LEARNED,
    TOLD,
    BEST_TOLD,
    ORACLE,
    EITHER,
)
COMPUTED = {*SELECTORS} - {*RULES, ROUTER}  # here, from the answers alone


def scored(
    answers: Answers, choices: pd.DataFrame | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(accuracy, share of personalised choices) of each selector, (Q,) by name.

    In the order of SELECTORS, others after them. choices: as in `value`.
    """
    chosen = _choices(answers)
    if choices is not None:
        chosen |= _handed_in(answers, choices)
    accuracies, shares = {}, {}
    for name, chance in chosen.items():
        right = chance * answers.personalized + (1 - chance) * answers.general  # (Q, R)
        accuracies[name] = right.mean(1)
        shares[name] = np.broadcast_to(chance, right.shape).mean(1)
    accuracies[LEARNED], shares[LEARNED] = answers.free.mean(1), (answers.chosen == 1).mean(1)
    accuracies[EITHER] = np.maximum(answers.general, answers.personalized).mean(1)
    known = [name for name in SELECTORS if name in accuracies]
    others = [name for name in accuracies if name not in SELECTORS]
    return {name: accuracies[name] for name in known + others}, shares


def _choices(answers: Answers) -> dict[str, np.ndarray]:
    """Chance of choosing the personalised mode, (Q, 1) or (Q, R), by selector."""
    share = pd.Series((answers.chosen == 1).mean(1), answers.index)
    by_benchmark = share.groupby(["block", "benchmark", "train_seed"]).mean()
    within = by_benchmark.groupby(["block", "train_seed"]).mean()
    overall = within[list(stats.BLOCKS)].groupby("train_seed").mean()
    blocks, seeds = answers.by("block", "train_seed")
    always = np.ones((len(share), 1))
    is_aligned = [stats.AVERAGES[block][1] == "aligned" for block in blocks]
    chosen = {
        GENERAL: 0 * always,
        PERSONALIZED: always,
        RANDOM: overall.loc[seeds].to_numpy()[:, None],
        RANDOM_WITHIN: within.loc[list(zip(blocks, seeds, strict=True))].to_numpy()[:, None],
        BEST: _best(answers, ["benchmark"]),
        BEST_TOLD: _best(answers, ["block", "benchmark"]),
        TOLD: np.array(is_aligned, float)[:, None],
    }
    n_runs = answers.free.shape[1]
    return chosen | ({ORACLE: _oracle(answers)} if n_runs > 1 else {})


def _best(answers: Answers, by: list[str]) -> np.ndarray:
    """(Q, 1): the mode that is better on the other half of the items; a coin where neither is.

    For each group of `by` and training seed.
    """
    gain = pd.Series((answers.personalized - answers.general).mean(1), answers.index)
    if "block" not in by:
        is_counted = answers.by("block")[0].isin(stats.BLOCKS)
        gain = gain.where(is_counted)  # chosen for what the mean counts
    half, groups = _halves(answers), answers.by(*by, "train_seed")
    means = gain.groupby([*groups, half]).mean()
    other_half = pd.MultiIndex.from_arrays([*groups, 1 - half])
    return _prefer(means.reindex(other_half).to_numpy())[:, None]


def _halves(answers: Answers) -> np.ndarray:
    """(Q,) which half of its benchmark's items a question's item lies in, by the item's id."""
    items = list(zip(*answers.by("benchmark", "item_id"), strict=True))
    codes = pd.Series({item: zlib.crc32(item[1].encode()) for item in sorted(set(items))})
    rank = codes.groupby(level=0).rank(method="first")
    return rank.loc[items].to_numpy() % 2


def _oracle(answers: Answers) -> np.ndarray:
    """(Q, R): for each run, the mode that the other runs speak for.

    Where they speak for neither, the mode that is better on the benchmark in the other runs.
    """
    gain = answers.personalized - answers.general
    n_runs = gain.shape[1]
    others = (gain.sum(1, keepdims=True) - gain) / (n_runs - 1)  # without the run that is scored
    groups = pd.DataFrame(others, answers.index).groupby(["block", "benchmark", "train_seed"])
    return _prefer(np.where(others == 0, groups.transform("mean").to_numpy(), others))


def _prefer(gain: np.ndarray) -> np.ndarray:
    """1 where personalised is better, 0 where general is.

    0.5 where neither is (to the last bits of a mean) or nothing is known.
    """
    return (np.sign(np.nan_to_num(gain).round(12)) + 1) / 2


def _handed_in(answers: Answers, choices: pd.DataFrame) -> dict[str, np.ndarray]:
    """(Q, 1) of each rule that `choices` hold: 1 where it chooses the personalised mode, else 0."""
    if missing := {"benchmark", "item_id", "condition", "personalized"} - set(choices):
        raise ValueError(
            f"the choices lack the columns {sorted(missing)}, found {sorted(choices)}; "
            "see `rules` and `routed`"
        )
    if choices.personalized.dtype != bool:
        raise ValueError(
            f"the choices must be True or False, found {choices.personalized.dtype}; "
            "is a chance above 0.5?"
        )
    named = choices if "rule" in choices else choices.assign(rule=ROUTER)
    if computed := COMPUTED & set(named.rule):
        raise ValueError(
            f"the choices are called {sorted(computed)}, which `value` computes itself; "
            "give them a name of their own"
        )
    by_rule = named.groupby("rule", sort=False, observed=True)
    return {rule: _of_rule(answers, rule, rows) for rule, rows in by_rule}


def _of_rule(answers: Answers, rule: str, choices: pd.DataFrame) -> np.ndarray:
    """(Q, 1) of one rule."""
    conditions = [stats.AVERAGES[block][1] for block in answers.by("block")[0]]
    questions = answers.index.to_frame(index=False).assign(condition=conditions)
    keys = ["benchmark", "item_id", "condition"]
    if "train_seed" in choices and choices.train_seed.notna().any():
        keys.append("train_seed")
    if twice := int(choices.duplicated(keys).sum()):
        raise ValueError(
            f"the {rule} chooses {twice} times for a question it has chosen for before"
        )
    chosen = choices[[*keys, "personalized"]].astype({name: questions[name].dtype for name in keys})
    personalized = questions.merge(chosen, on=keys, how="left").personalized
    if personalized.isna().any():
        raise ValueError(
            f"the {rule} has no choice for {int(personalized.isna().sum())} of "
            f"{len(personalized)} questions; choose for those that were asked, and for every "
            "training seed"
        )
    return personalized.to_numpy(float)[:, None]


def routed(records: pd.DataFrame) -> pd.DataFrame | None:
    """The `choices` of PersonaDual-Router, from its records; None where it has none.

    One row per training seed, question and condition.
    """
    rows = records[(records.model == "personadual_router") & (records.forced == "none")]
    choices = rows.assign(personalized=rows.p_personalized > 0.5, rule=ROUTER)
    columns = ["benchmark", "item_id", "condition", "rule", "train_seed", "personalized"]
    return None if choices.empty else choices[columns].drop_duplicates()

"""The value of selection: accuracy and regret of each way to choose a mode."""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.selection.answers import (
    COLUMNS,
    LEARNED,
    MEANS,
    Answers,
    chance,
    prefixed,
    read,
    with_means,
)
from pdlib.analysis.selection.rules import LEXICON, PERSONA_BLIND, QUESTION_ONLY, WORD_MATCH
from pdlib.schema import Item

GENERAL, PERSONALIZED = "always general", "always personalised"
RANDOM, RANDOM_WITHIN = "random, overall share", "random, share of the block"
BEST, BEST_TOLD = "best per benchmark", "best per benchmark and persona"
ROUTER, TOLD, ORACLE, EITHER = (
    "router",
    "told whether it fits",
    "best per item",
    "either mode right",
)
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


def value(
    records: pd.DataFrame,
    model: str = "personadual",
    choices: pd.DataFrame | None = None,
    draws: int = 10_000,
    items: Sequence[Item] | None = None,
) -> pd.DataFrame:
    """Accuracy of each way to choose, one row per selector and block: is learned selection worth
    it, and what is left to gain?

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
    values, shares = scored(answers, choices)
    drawn = with_means(answers.resample(values, draws))
    share = with_means(answers.resample(shares, 0)).iloc[0]
    guessed = (
        {}
        if items is None
        else chance(records[(records.model == model) & (records.turn == 1)], items)
    )
    n, rows, blocks = answers.counts(), [], [*answers.blocks, *MEANS]
    many = (len(values) - 1) * len(blocks)
    for name in [*values, *([ORACLE] if ORACLE not in values else [])]:
        for block in blocks:
            row = {
                "selector": name,
                "block": block,
                "n": int(n[block]),
                "chance": guessed.get(block, np.nan),
            }
            if name not in values:  # one sampling run
                rows.append(row)
                continue
            against = stats.summary(drawn[name, block] - drawn[LEARNED, block], many)
            row |= stats.summary(drawn[name, block]) | {"share": share.get((name, block), np.nan)}
            row |= prefixed("difference", against) | {
                "verdict": "" if name == LEARNED else stats.verdict(against)
            }
            if ORACLE in values:
                row |= prefixed("regret", stats.summary(drawn[ORACLE, block] - drawn[name, block]))
            rows.append(row)
    return pd.DataFrame(rows, columns=VALUE)


def leads(table: pd.DataFrame, selectors: Sequence[str]) -> pd.DataFrame:
    """From `value`: the learned choice minus each of `selectors`, in their order; those that the
    table lacks are left out.

    mean, ci_low, ci_high: positive where the learned choice is better.  verdict: of the learned
    choice.  chance, n: as in `value`.
    """
    opposite = {"higher": "lower", "lower": "higher"}
    found = table[table.selector.isin(selectors) & table.difference.notna()]
    found = found.sort_values(
        "selector",
        key=lambda names: names.map({name: k for k, name in enumerate(selectors)}),
        kind="stable",
    )
    verdict = [
        " ".join(opposite.get(word, word) for word in said.split()) for said in found.verdict
    ]
    return pd.DataFrame(
        {
            "learned minus": found.selector,
            "block": found.block,
            "mean": -found.difference,
            "ci_low": -found.difference_ci_high,
            "ci_high": -found.difference_ci_low,
            "verdict": verdict,
            "chance": found.chance,
            "n": found.n,
        }
    ).reset_index(drop=True)


def scored(answers: Answers, choices: pd.DataFrame | None) -> tuple[dict, dict]:
    """(accuracy, share of personalised choices) of each selector, (Q,) by name, in the order of
    SELECTORS, others after them.
    """
    chosen = _choices(answers) | ({} if choices is None else _routed(answers, choices))
    values = {
        name: (w * answers.personalized + (1 - w) * answers.general).mean(1)
        for name, w in chosen.items()
    }
    values |= {
        LEARNED: answers.free.mean(1),
        EITHER: np.maximum(answers.general, answers.personalized).mean(1),
    }
    shares = {
        name: np.broadcast_to(w, answers.free.shape).mean(1) for name, w in chosen.items()
    } | {LEARNED: (answers.chosen == 1).mean(1)}
    order = [
        *(name for name in SELECTORS if name in values),
        *(name for name in values if name not in SELECTORS),
    ]
    return {name: values[name] for name in order}, shares


def _choices(answers: Answers) -> dict[str, np.ndarray]:
    """Chance of choosing the personalised mode, (Q, 1) or (Q, R), by selector."""
    share = pd.Series((answers.chosen == 1).mean(1), answers.index)
    within = (
        share.groupby(["block", "benchmark", "train_seed"])
        .mean()
        .groupby(["block", "train_seed"])
        .mean()
    )
    overall = within[list(stats.BLOCKS)].groupby("train_seed").mean()
    nothing = np.zeros((len(share), 1))
    chosen = {
        GENERAL: nothing,
        PERSONALIZED: nothing + 1,
        RANDOM: overall.loc[answers.by("train_seed")[0]].to_numpy()[:, None],
        RANDOM_WITHIN: within.loc[list(zip(*answers.by("block", "train_seed")))].to_numpy()[
            :, None
        ],
        BEST: _best(answers, ["benchmark"]),
        BEST_TOLD: _best(answers, ["block", "benchmark"]),
        TOLD: np.array(
            [[float(COLUMNS[block][1] == "aligned")] for block in answers.by("block")[0]]
        ),
    }
    return chosen | ({ORACLE: _oracle(answers)} if answers.free.shape[1] > 1 else {})


def _best(answers: Answers, by: list[str]) -> np.ndarray:
    """(Q, 1): the mode that is better on the other half of the items, for each group of `by` and
    training seed; a coin where neither is.
    """
    gain = pd.Series((answers.personalized - answers.general).mean(1), answers.index)
    if "block" not in by:
        gain = gain.where(
            answers.by("block")[0].isin(stats.BLOCKS)
        )  # chosen for what the mean counts
    items = pd.Series(
        {
            item: zlib.crc32(item[1].encode())
            for item in sorted(set(zip(*answers.by("benchmark", "item_id"))))
        }
    )
    half = (
        items.groupby(level=0)
        .rank(method="first")
        .loc[list(zip(*answers.by("benchmark", "item_id")))]
        .to_numpy()
        % 2
    )
    keys = answers.by(*by, "train_seed")
    other = gain.groupby([*keys, half]).mean().reindex(pd.MultiIndex.from_arrays([*keys, 1 - half]))
    return _prefer(other.to_numpy())[:, None]


def _oracle(answers: Answers) -> np.ndarray:
    """(Q, R): for each run, the mode that the other runs speak for."""
    gain = answers.personalized - answers.general
    others = (gain.sum(1, keepdims=True) - gain) / (
        gain.shape[1] - 1
    )  # without the run that is scored
    benchmark = (
        pd.DataFrame(others, answers.index)
        .groupby(["block", "benchmark", "train_seed"])
        .transform("mean")
        .to_numpy()
    )
    return _prefer(np.where(others == 0, benchmark, others))


def _prefer(gain: np.ndarray) -> np.ndarray:
    """1 where personalised is better, 0 where general is, 0.5 where neither is (to the last bits of
    a mean) or nothing is known.
    """
    return (np.sign(np.nan_to_num(gain).round(12)) + 1) / 2


def _routed(answers: Answers, choices: pd.DataFrame) -> dict[str, np.ndarray]:
    """(Q, 1) of each rule that `choices` hold: 1 where it chooses the personalised mode, 0 where
    the general one.
    """
    if missing := {"benchmark", "item_id", "condition", "personalized"} - set(choices):
        raise ValueError(
            f"the choices lack the columns {sorted(missing)}, found {sorted(choices)}; see `rules` and `routed`"
        )
    if choices.personalized.dtype != bool:
        raise ValueError(
            f"the choices must be True or False, found {choices.personalized.dtype}; is a chance above 0.5?"
        )
    named = choices if "rule" in choices else choices.assign(rule=ROUTER)
    if computed := {
        GENERAL,
        PERSONALIZED,
        RANDOM,
        RANDOM_WITHIN,
        BEST,
        BEST_TOLD,
        TOLD,
        LEARNED,
        ORACLE,
        EITHER,
    } & set(named.rule):
        raise ValueError(
            f"the choices are called {sorted(computed)}, which `value` computes itself; give them a name of their own"
        )
    return {
        rule: _of_rule(answers, rule, rows)
        for rule, rows in named.groupby("rule", sort=False, observed=True)
    }


def _of_rule(answers: Answers, rule: str, choices: pd.DataFrame) -> np.ndarray:
    conditions = [COLUMNS[block][1] for block in answers.by("block")[0]]
    questions = answers.index.to_frame(index=False).assign(condition=conditions)
    by_seed = "train_seed" in choices and bool(choices.train_seed.notna().any())
    keys = ["benchmark", "item_id", "condition", *["train_seed"] * by_seed]
    if choices.duplicated(keys).any():
        raise ValueError(
            f"the {rule} chooses {int(choices.duplicated(keys).sum())} times for a question it has chosen for before"
        )
    chosen = choices[[*keys, "personalized"]].astype({name: questions[name].dtype for name in keys})
    found = questions.merge(chosen, on=keys, how="left").personalized
    if found.isna().any():
        raise ValueError(
            f"the {rule} has no choice for {int(found.isna().sum())} of {len(found)} questions; choose for those that were "
            "asked, and for every training seed"
        )
    return found.to_numpy(float)[:, None]


def routed(records: pd.DataFrame) -> pd.DataFrame | None:
    """The `choices` of PersonaDual-Router, from its records, one row per training seed, question
    and condition; None where it has none.
    """
    found = records[(records.model == "personadual_router") & (records.forced == "none")]
    choices = found.assign(personalized=found.p_personalized > 0.5, rule=ROUTER)
    choices = choices[
        ["benchmark", "item_id", "condition", "rule", "train_seed", "personalized"]
    ].drop_duplicates()
    return None if choices.empty else choices

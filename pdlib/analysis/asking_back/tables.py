"""The table of asking back: every policy, measure and group of questions, with intervals."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from pdlib.analysis.asking_back import experiments, measures, policies
from pdlib.analysis.asking_back.policies import Policy
from pdlib.analysis.selection import LEXICON, PERSONA_BLIND

DRAWS = 1000
COVERAGES = {"accuracy at 80 % coverage": 0.8, "accuracy at 50 % coverage": 0.5}
GROUPS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {  # of questions
    "all usual askers": lambda rows: rows.condition != experiments.CONFLICTING,
    "usual, settled": lambda rows: (rows.condition != experiments.CONFLICTING) & rows.settled,
    "usual, unsettled": lambda rows: (rows.condition != experiments.CONFLICTING) & ~rows.settled,
    "conflicting, with a cue": lambda rows: (rows.condition == experiments.CONFLICTING) & rows.cue,
    "conflicting, no cue": lambda rows: (rows.condition == experiments.CONFLICTING) & ~rows.cue,
}
TRAINED, BEFORE, THRESHOLD, ALWAYS, ASKS = (
    "trained to ask",
    "before RL",
    "threshold on agreement",
    "always answers",
    "always asks",
)
AGAINST = (
    BEFORE,
    THRESHOLD,
    ALWAYS,
    PERSONA_BLIND,
    LEXICON,
)  # what the trained model is compared with


def table(items: pd.DataFrame, temperature: float, draws: int = DRAWS) -> pd.DataFrame:
    """One row per group of questions, value of asking, policy and measure.

    Columns: questions (one of GROUPS), value, policy, measure, mean, ci_low, ci_high, seeds. The
    measures are coverage, accuracy (among answered), score, those of COVERAGES, and of score and of
    the last "... minus" those of AGAINST. A measure that does not exist, as the accuracy of who
    never answers, has no row. Intervals are over items and seeds, see `measures.estimate`.
    """
    rows = []
    for name, is_in in GROUPS.items():
        group = items[is_in(items)]
        seeds = sorted(group.seed.unique())
        weights = measures.question_weights(_of(group, seeds[0], 0.0), draws)
        for value in sorted(group.value.dropna().unique()):
            by_seed = [policies_of(group, seed, value, temperature) for seed in seeds]
            drawn = {
                (policy, measure): np.stack([how(of_seed[policy], weights) for of_seed in by_seed])
                for policy in by_seed[0]
                for measure, how in _measures(value)
            }
            drawn |= dict(_differences(drawn))
            rows += [
                {"questions": name, "value": value, "policy": policy, "measure": measure}
                | measures.estimate(of_draws)
                | {"seeds": len(seeds)}
                for (policy, measure), of_draws in drawn.items()
            ]
    return pd.DataFrame(rows).dropna(subset="mean", ignore_index=True)


def _of(items: pd.DataFrame, seed: int, value: float) -> pd.DataFrame:
    """The rows of one model, in an order that is the same for all; value NaN: before RL."""
    is_value = items.value.isna() if math.isnan(value) else items.value == value
    return items[is_value & (items.seed == seed)].sort_values(policies.ITEM)


def policies_of(
    items: pd.DataFrame, seed: int, value: float, temperature: float
) -> dict[str, Policy]:
    """Every policy for the questions of `items`, of one seed, where asking counts `value`."""
    model, never = _of(items, seed, value), _of(items, seed, 0.0)
    trained = policies.of_model(model, temperature)
    asks = np.ones(len(model))
    return {
        TRAINED: trained,
        BEFORE: policies.of_model(_of(items, seed, math.nan), temperature),
        THRESHOLD: policies.threshold(never, value),
        ALWAYS: policies.always(never, temperature),
        PERSONA_BLIND: policies.persona_blind_rule(never, temperature),
        LEXICON: policies.lexicon_rule(never, temperature),
        ASKS: Policy(asks, trained.right, asks, trained.offers),
    }


def _measures(value: float) -> list[tuple[str, Callable[[Policy, np.ndarray], np.ndarray]]]:
    return [
        ("coverage", measures.coverage),
        ("accuracy", measures.accuracy),
        ("score", partial(measures.score, value=value)),
        *((name, partial(measures.accuracy_at, share=share)) for name, share in COVERAGES.items()),
    ]


def _differences(drawn: dict) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    for measure in ("score", *COVERAGES):
        for other in AGAINST:
            difference = drawn[TRAINED, measure] - drawn[other, measure]
            yield (TRAINED, f"{measure} minus {other}"), difference

"""When does a way of training move the choice of mode? Expected pushes, computed exactly.

Every prompt of one kind is a two-armed bandit (`estimators.bandit`): general answers are right with
one chance, personalised ones with another, and the model's choice is a logit. What is computed is
the expected gradient on that logit, and what follows from it: in how many groups free rollouts say
nothing, how many steps turn a choice, and at which mix of questions a logit that all share stands
still. Nothing here knows Adam, the KL term or what the questions have in common; notebook
`05c_when_it_pays` sets it beside trained models.

Departures from `bandit`: p is P(personalised) at temperature 1, a positive push is towards the
personalised mode, and the policy that is trained is the one that samples, softmax(logits / T), so
that its slope carries a factor 1 / T.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import special

from pdlib import advantages
from pdlib.analysis.estimators import bandit
from pdlib.rewards import ACCURACY_WEIGHT

EDGE = 1e-12  # a chance is kept this far from 0 and 1, where it has no logit
GRID = 400  # logits at which `steps_to_flip` looks at the push


@dataclass(frozen=True)
class Method:
    """How rollouts are drawn and what they are worth.

    estimator: of `pdlib.advantages`. sampling, correction: as in `bandit.push`. temperature: of the
    rollouts. n: rollouts per mode, so 2n per prompt. options: the estimator's, as prefix_weight.
    """

    estimator: str = "dualgrpo"
    sampling: str = "forced"
    correction: str = "none"
    temperature: float = 1.0
    n: int = 4
    options: dict = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Questions:
    """Prompts that are alike: P(personalised), and how often an answer of each mode is right."""

    p: float
    general: float
    personalized: float


def logit(p: Sequence[float]) -> np.ndarray:
    """The logits of chances, which are kept EDGE away from 0 and 1."""
    return special.logit(np.clip(p, EDGE, 1 - EDGE))


def push(method: Method, p: Sequence[float], general: float, personalized: float) -> np.ndarray:
    """(P,) expected push on the mode's logit at each P(personalised), per prompt and step.

    Rewards are Bernoulli: a right answer gets what `pdlib.rewards` gives it, a wrong one 0; the
    reward of the form is the same for both. Every outcome of the 2n rollouts is enumerated.

    >>> method = Method(options={"prefix_weight": 2.0})
    >>> push(method, [0.5], 0.4, 0.9).round(3)  # weight * 0.9 * difference / 2
    array([0.45])
    """
    general_chance = 1 - advantages.at_temperature(p, method.temperature)
    pushes = bandit.push(
        np.clip(general_chance, EDGE, 1 - EDGE),
        [general, personalized],
        method.estimator,
        method.n,
        sampling=method.sampling,
        correction=method.correction,
        noisy=True,
        right=ACCURACY_WEIGHT,
        **method.options,
    )
    return -pushes.numpy() / method.temperature


def push_on(method: Method, questions: Questions) -> float:
    """The `push` of these questions, at their own P(personalised)."""
    return push(method, [questions.p], questions.general, questions.personalized).item()


def mixed_push(method: Method, aligned: Questions, unaligned: Questions, share: float) -> float:
    """The expected push on a logit that all questions share, at this share of unaligned ones."""
    return (1 - share) * push_on(method, aligned) + share * push_on(method, unaligned)


def break_even(method: Method, aligned: Questions, unaligned: Questions) -> float:
    """The share u* of unaligned questions at which `mixed_push` changes its sign.

    NaN where both kinds push the same way.
    """
    return advantages.break_even_share(push_on(method, aligned), push_on(method, unaligned))


def silent(method: Method, p: float) -> float:
    """The chance that a prompt's rollouts hold one mode only; 0 where both are forced."""
    if method.sampling == "forced":
        return 0.0
    sampled = advantages.all_at_temperature([1 - p, p], method.temperature)
    return float(advantages.silent_chance(sampled, 2 * method.n))


def steps_to_flip(method: Method, questions: Questions, rate: float) -> float:
    """Steps of gradient ascent until P(personalised) reaches one half.

    rate: by how much a push of 1 moves the logit in one step. 0 where it is there already, infinity
    where the push vanishes or points the other way before. It is the integral of 1 / (rate push)
    over the logit.
    """
    if questions.p >= 0.5:
        return 0.0
    logits = np.linspace(logit(questions.p), 0.0, GRID)
    pushes = push(method, special.expit(logits), questions.general, questions.personalized)
    if (pushes <= 0).any():
        return math.inf
    return float(np.trapezoid(1 / (rate * pushes), logits))


def chance_after(
    method: Method,
    p: Sequence[float],
    general: float,
    personalized: float,
    steps: int,
    rate: float,
) -> np.ndarray:
    """(P,) P(personalised) after so many steps of gradient ascent on each choice alone.

    p: (P,) what it is before. rate: as in `steps_to_flip`. ValueError for fewer than 0 steps.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}, expected 0 or more")
    logits = logit(p)
    for _ in range(steps):
        logits += rate * push(method, special.expit(logits), general, personalized)
    return special.expit(logits)


def compare(
    methods: dict[str, Method],
    aligned: Questions,
    unaligned: Questions,
    share: float,
    rate: float = 1.0,
) -> pd.DataFrame:
    """What theory says of each method, one row each.

    Columns: sampled (P(personalised) of fitting askers among rollouts), silent (the chance that
    their group holds one mode only), push (on their logit), steps (until their choice turns, at
    `rate`), shared push (on a logit that both kinds share, at this share of unaligned ones), u*
    (the share at which it turns).
    """
    rows = []
    for name, method in methods.items():
        rows.append(
            {
                "method": name,
                "sampled": float(advantages.at_temperature(aligned.p, method.temperature)),
                "silent": silent(method, aligned.p),
                "push": push_on(method, aligned),
                "steps": steps_to_flip(method, aligned, rate),
                "shared push": mixed_push(method, aligned, unaligned, share),
                "u*": break_even(method, aligned, unaligned),
            }
        )
    return pd.DataFrame(rows).set_index("method")

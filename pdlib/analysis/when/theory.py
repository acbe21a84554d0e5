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

from pdlib import advantages
from pdlib.analysis.estimators import bandit

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

    @property
    def gain(self) -> float:
        """What the personalised mode gains, in accuracy."""
        return self.personalized - self.general


def push(
    method: Method, p: Sequence[float], general: float, personalized: float, right: float = 1.0
) -> np.ndarray:
    """(P,) expected push on the mode's logit at each P(personalised), per prompt and step.

    Rewards are Bernoulli: a right answer gets `right`, a wrong one 0. Every outcome of the 2n
    rollouts is enumerated.

    >>> method = Method(options={"prefix_weight": 2.0})
    >>> push(method, [0.5], 0.4, 0.9).round(3)  # weight * difference / 2
    array([0.5])
    """
    sampled = [advantages.at_temperature(chance, method.temperature) for chance in p]
    pushes = bandit.push(
        [min(max(1 - chance, EDGE), 1 - EDGE) for chance in sampled],
        [general, personalized],
        method.estimator,
        method.n,
        sampling=method.sampling,
        correction=method.correction,
        noisy=True,
        right=right,
        **method.options,
    )
    return -pushes.numpy() / method.temperature


def push_on(method: Method, questions: Questions, right: float = 1.0) -> float:
    """The `push` of these questions, at their own P(personalised)."""
    return push(method, [questions.p], questions.general, questions.personalized, right).item()


def mixed_push(
    method: Method, aligned: Questions, unaligned: Questions, share: float, right: float = 1.0
) -> float:
    """The expected push on a logit that all questions share, at this share of unaligned ones."""
    of_aligned, of_unaligned = (push_on(method, kind, right) for kind in (aligned, unaligned))
    return (1 - share) * of_aligned + share * of_unaligned


def break_even(method: Method, aligned: Questions, unaligned: Questions) -> float:
    """The share u* of unaligned questions at which `mixed_push` changes its sign.

    NaN where both kinds push the same way.
    """
    return advantages.break_even_share(push_on(method, aligned), push_on(method, unaligned))


def silent(method: Method, p: float) -> float:
    """The chance that a prompt's rollouts hold one mode only; 0 where both are forced."""
    if method.sampling == "forced":
        return 0.0
    return advantages.silent_chance(advantages.at_temperature(p, method.temperature), 2 * method.n)


def expected_count(p: float, temperature: float, prompts: int, rollouts: int) -> float:
    """How many personalised rollouts so many free groups hold while the choice stays as it is."""
    return prompts * rollouts * advantages.at_temperature(p, temperature)


def steps_to_flip(
    method: Method,
    p: float,
    general: float,
    personalized: float,
    rate: float,
    right: float = 1.0,
) -> float:
    """Steps of gradient ascent until P(personalised) reaches one half.

    rate: by how much a push of 1 moves the logit in one step. 0 where it is there already, infinity
    where the push vanishes or points the other way before. It is the integral of 1 / (rate push)
    over the logit.
    """
    if p >= 0.5:
        return 0.0
    start = math.log(max(p, EDGE) / (1 - max(p, EDGE)))
    logits = np.linspace(start, 0.0, GRID)
    pushes = push(method, (1 / (1 + np.exp(-logits))).tolist(), general, personalized, right)
    if (pushes <= 0).any():
        return math.inf
    return float(np.trapezoid(1 / (rate * pushes), logits))


def chance_after(
    method: Method,
    p: float,
    general: float,
    personalized: float,
    steps: int,
    rate: float,
    right: float = 1.0,
) -> float:
    """P(personalised) after so many steps of gradient ascent on this choice alone.

    rate: as in `steps_to_flip`. ValueError for fewer than 0 steps.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}, expected 0 or more")
    p = min(max(p, EDGE), 1 - EDGE)
    logit = math.log(p / (1 - p))
    for _ in range(steps):
        p = 1 / (1 + math.exp(-logit))
        logit += rate * push(method, [p], general, personalized, right).item()
    return 1 / (1 + math.exp(-logit))


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
        gains = aligned.general, aligned.personalized
        rows.append(
            {
                "method": name,
                "sampled": advantages.at_temperature(aligned.p, method.temperature),
                "silent": silent(method, aligned.p),
                "push": push_on(method, aligned),
                "steps": steps_to_flip(method, aligned.p, *gains, rate),
                "shared push": mixed_push(method, aligned, unaligned, share),
                "u*": break_even(method, aligned, unaligned),
            }
        )
    return pd.DataFrame(rows).set_index("method")

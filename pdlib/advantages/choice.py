"""What the rollouts of one prompt can say about the choice between modes: plain formulas.

p is the chance of one mode, of two or more; chances (..., M) are those of all. Both are a softmax
at temperature 1, as `generate.mode_chances` gives it. The trainer logs these numbers while it
trains, and `analysis.when` predicts from them.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax


def all_at_temperature(chances: ArrayLike, temperature: float) -> np.ndarray:
    """(..., M): the chances of all modes among rollouts that are sampled at `temperature`.

    ValueError unless all chances lie in [0, 1] and the temperature is positive.

    >>> print(all_at_temperature([0.95, 0.05], 0.6).round(4))
    [0.9927 0.0073]
    """
    chances = np.asarray(chances, float)
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError(f"chances are {chances}, expected a probability each, between 0 and 1")
    if temperature <= 0:
        raise ValueError(f"the temperature is {temperature}, expected a positive one")
    with np.errstate(divide="ignore"):  # a mode without a chance keeps none
        return softmax(np.log(chances) / temperature, axis=-1)


def at_temperature(p: ArrayLike, temperature: float) -> np.ndarray:
    """`all_at_temperature` of one of two modes: sigmoid(logit(p) / T).

    p: its chance, or an array of them.

    >>> print(at_temperature(0.05, 0.6).round(4))
    0.0073
    """
    p = np.asarray(p, float)
    return all_at_temperature(np.stack([1 - p, p], axis=-1), temperature)[..., 1]


def absent_chance(p: ArrayLike, rollouts: int) -> ArrayLike:
    """The chance that a mode, of probability p, is that of none of `rollouts` free rollouts.

    >>> round(absent_chance(0.1, 8), 2)
    0.43
    """
    return (1 - p) ** rollouts


def silent_chance(chances: ArrayLike, rollouts: int) -> ArrayLike:
    """The chance that all of `rollouts` free rollouts are of one mode, whichever.

    Such a group is silent about the choice: nothing in it compares the modes. chances: (..., M).

    >>> print(silent_chance([0.5, 0.5], 2))
    0.5
    """
    return (np.asarray(chances, float) ** rollouts).sum(-1)


def break_even_share(aligned: float, unaligned: float) -> float:
    """The share u* of unaligned questions at which the two pushes cancel: (1 - u) a + u b = 0.

    aligned, unaligned: the expected push of either kind of question on a logit that both share,
    positive towards the personalised mode. NaN where both have the same sign, or one is 0: then no
    share in between turns the sum.

    >>> round(break_even_share(0.3, -0.1), 2)
    0.75
    """
    if not aligned * unaligned < 0:
        return math.nan
    return aligned / (aligned - unaligned)

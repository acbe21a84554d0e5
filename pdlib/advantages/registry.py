"""Estimators by their names: what they are given, and what reaches them.

Rewards have shape (B, M, n): B prompts, M modes (general first), n rollouts per mode. A NaN is an
unscorable rollout, or a place without one where a mode has fewer than n: it carries no signal.
Every estimator returns two tensors of that shape: the advantage of the response tokens and of the
(mode) prefix tokens.
"""

import functools
import inspect
from collections.abc import Callable

import torch

Pair = tuple[torch.Tensor, torch.Tensor]
MODES, ROLLOUTS = 1, 2  # axes of rewards
GROUP = (MODES, ROLLOUTS)
ESTIMATORS: dict[str, Callable[..., Pair]] = {}
COMPARES_MODES: set[str] = set()  # estimators that make no sense with one mode


def _check(rewards: torch.Tensor, name: str, least_modes: int) -> None:
    shape = tuple(rewards.shape)
    if len(shape) != 3 or 0 in shape[1:]:
        raise ValueError(f"rewards of shape {shape}, expected (B, M, n) with n at least 1")
    if shape[MODES] < least_modes:
        raise ValueError(
            f"{name} compares modes: rewards of shape {shape} have {shape[MODES]}, "
            "expected M of 2 or more"
        )
    if shape[MODES] * shape[ROLLOUTS] < 2:
        raise ValueError(
            f"rewards of shape {shape} hold one rollout a prompt, expected at least 2 to compare"
        )
    if rewards.isinf().any():
        raise ValueError("rewards hold an infinite value; NaN is the mark of an unscorable rollout")


def estimator(least_modes: int = 1):
    """Register a function by its name, and let only rewards that it can use reach it.

    It works in double precision on the CPU, where equal rewards have no spread; results come back
    in the type and on the device of `rewards`.
    """

    def register(function: Callable[..., Pair]) -> Callable[..., Pair]:
        name = function.__name__

        @functools.wraps(function)
        def checked(rewards, **options) -> Pair:
            rewards = torch.as_tensor(rewards)
            rewards = rewards if rewards.is_floating_point() else rewards.float()
            _check(rewards, name, least_modes)
            response, prefix = function(rewards.to("cpu", torch.float64), **options)
            return response.to(rewards), prefix.to(rewards)

        ESTIMATORS[name] = checked
        if least_modes > 1:
            COMPARES_MODES.add(name)
        return checked

    return register


def options(estimator: str) -> dict:
    """The options of the named estimator with their defaults; ValueError for an unknown one."""
    if estimator not in ESTIMATORS:
        raise ValueError(
            f"unknown estimator {estimator!r}, expected one of {', '.join(ESTIMATORS)}"
        )
    parameters = inspect.signature(ESTIMATORS[estimator]).parameters
    return {name: p.default for name, p in parameters.items() if name != "rewards"}


def check_options(estimator: str, given: dict) -> None:
    """ValueError when `given` holds an option that the named estimator does not have."""
    known = options(estimator)
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(
            f"{estimator} has no option {', '.join(unknown)}; its options: {', '.join(known)}"
        )


def compute(rewards: torch.Tensor, estimator: str = "dualgrpo", **given) -> Pair:
    """(response advantage, prefix advantage), each (B, M, n), by the named estimator.

    given: its options. Raises ValueError for an unknown estimator or option and for rewards of
    another shape; `rewards` is left alone.
    """
    check_options(estimator, given)
    return ESTIMATORS[estimator](rewards, **given)

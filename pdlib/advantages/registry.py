"""Estimators by their names, or as functions of your own: what they are given, what they return.

Rewards have shape (B, M, n): B prompts, M modes in their order, n rollouts per mode. A NaN is an
unscorable rollout, or a place without one where a mode has fewer than n: it carries no signal. With
free rollouts there is one mode more, of completions without a tag. Every estimator returns two
tensors of that shape: the advantage of the response tokens and of the (mode) prefix tokens. Its
further parameters are its options; one called `progress` is given the share of steps that are done.
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


def _checked(function: Callable[..., Pair], least_modes: int = 1) -> Callable[..., Pair]:
    """The function, such that only rewards that it can use reach it, and sound results come back.

    It works in double precision on the CPU, where equal rewards have no spread; results come back
    in the type and on the device of `rewards`.
    """
    name = name_of(function)

    @functools.wraps(function)
    def checked(rewards, **options) -> Pair:
        rewards = torch.as_tensor(rewards)
        rewards = rewards if rewards.is_floating_point() else rewards.float()
        _check(rewards, name, least_modes)
        pair = function(rewards.to("cpu", torch.float64), **options)
        _check_pair(pair, rewards.shape, name)
        return tuple(advantage.to(rewards) for advantage in pair)

    return checked


def _check_pair(pair, shape: torch.Size, name: str) -> None:
    """ValueError for anything but two finite tensors of that shape."""
    several = pair if isinstance(pair, tuple | list) else [pair]
    found = [tuple(a.shape) if torch.is_tensor(a) else type(a).__name__ for a in several]
    if found != [tuple(shape)] * 2:
        raise ValueError(
            f"estimator {name} returned {found}, expected two tensors of the rewards' shape "
            f"{tuple(shape)}: the advantages of response and of prefix tokens"
        )
    if not all(advantage.isfinite().all() for advantage in pair):
        raise ValueError(
            f"estimator {name} returned advantages that are NaN or infinite; a rollout that says "
            "nothing (its reward is NaN, or nothing compares with it) has the advantage 0"
        )


def estimator(least_modes: int = 1):
    """Register a function by its name, as an estimator that needs so many modes."""

    def register(function: Callable[..., Pair]) -> Callable[..., Pair]:
        checked = _checked(function, least_modes)
        ESTIMATORS[function.__name__] = checked
        if least_modes > 1:
            COMPARES_MODES.add(function.__name__)
        return checked

    return register


def resolve(estimator: str | Callable[..., Pair]) -> Callable[..., Pair]:
    """The estimator of that name, or a function of one's own with the same checks around it.

    ValueError for an unknown name, and for what is neither a name nor a function.
    """
    if callable(estimator):
        return estimator if estimator in ESTIMATORS.values() else _checked(estimator)
    if estimator not in ESTIMATORS:
        raise ValueError(
            f"unknown estimator {estimator!r}, expected a function or one of "
            f"{', '.join(ESTIMATORS)}"
        )
    return ESTIMATORS[estimator]


def name_of(estimator: str | Callable[..., Pair]) -> str:
    """What logs and model cards call it: its name; a `functools.partial` has its function's."""
    if isinstance(estimator, str):
        return estimator
    function = getattr(estimator, "func", estimator)
    return getattr(function, "__name__", type(function).__name__)


def options(estimator: str | Callable[..., Pair]) -> dict:
    """The options of an estimator with their defaults; ValueError as `resolve` raises it."""
    _, *parameters = inspect.signature(resolve(estimator)).parameters.values()
    return {p.name: p.default for p in parameters}


def check_options(estimator: str | Callable[..., Pair], given: dict) -> None:
    """ValueError when `given` holds an option that the estimator does not have."""
    known = options(estimator)
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(
            f"{name_of(estimator)} has no option {', '.join(unknown)}; its options: "
            f"{', '.join(known) or 'none'}"
        )


def compute(
    rewards: torch.Tensor, estimator: str | Callable[..., Pair] = "dualgrpo", **given
) -> Pair:
    """(response advantage, prefix advantage), each (B, M, n), by an estimator.

    estimator: its name, or a function. given: its options. Raises ValueError for an unknown
    estimator or option and for rewards of another shape; `rewards` is left alone.
    """
    check_options(estimator, given)
    return resolve(estimator)(rewards, **given)

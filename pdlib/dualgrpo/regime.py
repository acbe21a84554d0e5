"""In which regime a training is: what free rollouts would see of both modes, and where it leads.

One generation holds few prompts, so its numbers are gathered over the last WINDOW generations. The
names that `Regime.summary` returns begin with "recent/"; `run.health` puts them into words. After a
resume the window fills anew.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pdlib import advantages
from pdlib.dualgrpo.metrics import entropy

WINDOW = 20  # generations
ENOUGH = 16  # rollouts of each mode, before the gain of a kind of question is told
FITTING, STRANGERS = "objective aligned", "objective unaligned"  # kinds that u* weighs


@dataclass(frozen=True)
class Rollout:
    """A rollout of a prompt: its kind of question, its mode (None: no tag), its reward."""

    kind: str
    mode: str | None
    reward: float


@dataclass(frozen=True)
class Prompt:
    """A prompt: its kind of question, and P(personalised) at temperature 1."""

    kind: str
    p: float


class Regime:
    """What the last generations say about the choice.

    temperature, rollouts: those of a group of this training. is_forced: are the prefixes forced?
    """

    def __init__(self, temperature: float, rollouts: int, is_forced: bool):
        self.temperature, self.rollouts, self.is_forced = temperature, rollouts, is_forced
        self.generations: deque[tuple[list[Prompt], list[Rollout]]] = deque(maxlen=WINDOW)

    def add(self, prompts: Sequence[Prompt], rollouts: Sequence[Rollout]) -> None:
        """Take one generation into the window, and the oldest out of a full one."""
        self.generations.append((list(prompts), list(rollouts)))

    def summary(self) -> dict[str, float]:
        """The window in numbers, by name.

        forced: 1 with forced prefixes, else 0. Per kind of question: p and p_sampled, the mean
        P(personalised) at temperature 1 and at that of the rollouts; absent_if_free and
        silent_if_free, the share of groups in which free rollouts would hold no personalised one,
        or one mode only; entropy, that of the choice in nats; gain, the mean reward of personalised
        minus general rollouts.
        unaligned_share: strangers among objective questions; break_even/forced and
        break_even/free: the share of strangers at which the push on a logit that all objective
        questions share changes its sign, with forced prefixes (where it follows the gain) and
        without (the gain times p_sampled (1 - p_sampled)). What cannot be told is left out.
        """
        prompts = [prompt for group, _ in self.generations for prompt in group]
        by_kind: dict[str, list[float]] = {}
        for prompt in prompts:
            by_kind.setdefault(prompt.kind, []).append(prompt.p)
        values = {"forced": float(self.is_forced)}
        for kind, chances in by_kind.items():
            for name, value in self._of_chances(chances).items():
                values[f"{name}/{kind}"] = value
        values |= {f"gain/{kind}": gain for kind in by_kind if (gain := self._gain(kind))}
        counts = [len(by_kind.get(kind, [])) for kind in (FITTING, STRANGERS)]
        if all(counts):
            values["unaligned_share"] = counts[1] / sum(counts)
            values |= self._break_even(by_kind, values)
        return {f"recent/{name}": value for name, value in values.items()}

    def _of_chances(self, chances: Sequence[float]) -> dict[str, float]:
        sampled = advantages.at_temperature(chances, self.temperature)
        values = {
            "p": chances,
            "p_sampled": sampled,
            "absent_if_free": advantages.absent_chance(sampled, self.rollouts),
            "silent_if_free": advantages.silent_chance(sampled, self.rollouts),
            "entropy": entropy(chances),
        }
        return {name: float(np.mean(value)) for name, value in values.items()}

    def _gain(self, kind: str) -> float | None:
        """Mean reward of personalised minus general rollouts; None where there are too few."""
        rewards: dict[str, list[float]] = {"general": [], "personalized": []}
        for _, group in self.generations:
            for rollout in group:
                if rollout.kind == kind and rollout.mode and not math.isnan(rollout.reward):
                    rewards[rollout.mode].append(rollout.reward)
        if min(map(len, rewards.values())) < ENOUGH:
            return None
        return float(np.mean(rewards["personalized"]) - np.mean(rewards["general"]))

    def _break_even(self, by_kind: dict[str, list[float]], values: dict) -> dict[str, float]:
        gains = [values.get(f"gain/{kind}") for kind in (FITTING, STRANGERS)]
        if None in gains:
            return {}
        slopes = []
        for kind in (FITTING, STRANGERS):
            sampled = advantages.at_temperature(by_kind[kind], self.temperature)
            slopes.append(float(np.mean(sampled * (1 - sampled))))
        shares = {
            "forced": advantages.break_even_share(*gains),
            "free": advantages.break_even_share(gains[0] * slopes[0], gains[1] * slopes[1]),
        }
        return {f"break_even/{name}": s for name, s in shares.items() if not math.isnan(s)}

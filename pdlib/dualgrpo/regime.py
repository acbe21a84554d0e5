"""In which regime a training is: what free rollouts would see of the modes, and where it leads.

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
from pdlib.schema import PAPER_MODES, ModeSet

WINDOW = 20  # generations
ENOUGH = 16  # rollouts of a mode, before its mean reward on a kind of question is told
FITTING, STRANGERS = "objective aligned", "objective unaligned"  # kinds that u* weighs


@dataclass(frozen=True)
class Rollout:
    """A rollout of a prompt: its kind of question, its mode (None: no tag), its reward."""

    kind: str
    mode: str | None
    reward: float


@dataclass(frozen=True)
class Prompt:
    """A prompt: its kind of question, and the chances of all modes at temperature 1."""

    kind: str
    chances: tuple[float, ...]


class Regime:
    """What the last generations say about the choice.

    temperature, rollouts: those of a group of this training. is_forced: are the prefixes forced?
    """

    def __init__(
        self,
        temperature: float,
        rollouts: int,
        is_forced: bool,
        mode_set: ModeSet = PAPER_MODES,
    ):
        self.temperature, self.rollouts, self.is_forced = temperature, rollouts, is_forced
        self.mode_set = mode_set
        self.generations: deque[tuple[list[Prompt], list[Rollout]]] = deque(maxlen=WINDOW)

    def add(self, prompts: Sequence[Prompt], rollouts: Sequence[Rollout]) -> None:
        """Take one generation into the window, and the oldest out of a full one."""
        self.generations.append((list(prompts), list(rollouts)))

    def summary(self) -> dict[str, float]:
        """The window in numbers, by name.

        forced: 1 with forced prefixes, else 0. Per kind of question: silent_if_free, the share of
        groups in which free rollouts would be of one mode only; entropy, that of the choice in
        nats. Per mode but the first, and kind of question: p_<mode> and p_sampled_<mode>, its mean
        chance at temperature 1 and at that of the rollouts; absent_if_free_<mode>, the share of
        groups in which no free rollout would be of it; gain_<mode>, its mean reward minus the mean
        of the other modes'.

        Of the paper's two modes also unaligned_share: strangers among objective questions;
        break_even/forced and break_even/free: the share of strangers at which the push on a logit
        that all objective questions share changes its sign, with forced prefixes (where it follows
        the gain) and without (the gain times p_sampled (1 - p_sampled)). What cannot be told is
        left out.
        """
        prompts = [prompt for group, _ in self.generations for prompt in group]
        by_kind: dict[str, list[tuple[float, ...]]] = {}
        for prompt in prompts:
            by_kind.setdefault(prompt.kind, []).append(prompt.chances)
        values = {"forced": float(self.is_forced)}
        for kind, chances in by_kind.items():
            of_kind = self._of_chances(np.array(chances)) | self._gains(kind)
            values |= {f"{name}/{kind}": value for name, value in of_kind.items()}
        counts = [len(by_kind.get(kind, [])) for kind in (FITTING, STRANGERS)]
        if all(counts) and self.mode_set == PAPER_MODES:
            values["unaligned_share"] = counts[1] / sum(counts)
            values |= self._break_even(by_kind, values)
        return {f"recent/{name}": value for name, value in values.items()}

    def _of_chances(self, chances: np.ndarray) -> dict[str, float]:
        """chances: (N, M)."""
        sampled = advantages.all_at_temperature(chances, self.temperature)
        values = {
            "silent_if_free": advantages.silent_chance(sampled, self.rollouts),
            "entropy": entropy(chances),
        }
        for index, name in enumerate(self.mode_set.names[1:], start=1):
            absent = advantages.absent_chance(sampled[:, index], self.rollouts)
            values[f"p_{name}"] = chances[:, index]
            values[f"p_sampled_{name}"] = sampled[:, index]
            values[f"absent_if_free_{name}"] = absent
        return {name: float(np.mean(value)) for name, value in values.items()}

    def _gains(self, kind: str) -> dict[str, float]:
        """Each mode's mean reward minus that of the others; nothing where rollouts are too few."""
        rewards: dict[str, list[float]] = {name: [] for name in self.mode_set.names}
        for _, group in self.generations:
            for rollout in group:
                if rollout.kind == kind and rollout.mode and not math.isnan(rollout.reward):
                    rewards[rollout.mode].append(rollout.reward)
        if min(map(len, rewards.values())) < ENOUGH:
            return {}
        means = {name: float(np.mean(values)) for name, values in rewards.items()}
        return {
            f"gain_{name}": means[name] - np.mean([means[o] for o in means if o != name]).item()
            for name in self.mode_set.names[1:]
        }

    def _break_even(self, by_kind: dict[str, list], values: dict) -> dict[str, float]:
        gains = [values.get(f"gain_personalized/{kind}") for kind in (FITTING, STRANGERS)]
        if None in gains:
            return {}
        slopes = []
        for kind in (FITTING, STRANGERS):
            sampled = advantages.all_at_temperature(by_kind[kind], self.temperature)
            slopes.append(float(np.mean(sampled.prod(-1))))  # p (1 - p)
        shares = {
            "forced": advantages.break_even_share(*gains),
            "free": advantages.break_even_share(gains[0] * slopes[0], gains[1] * slopes[1]),
        }
        return {f"break_even/{name}": s for name, s in shares.items() if not math.isnan(s)}

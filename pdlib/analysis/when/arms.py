"""The cells of both experiments: an arm (a way of RL) at a level, with a seed.

Experiment `prior` sets P(personalised) of fitting askers before RL (see `when.prior`), experiment
`share` sets how many of RL's objective questions are asked by strangers. A seed is an SFT set, a
two-stage SFT and an RL run with its questions; all seeds share one backbone, and their intervals
say nothing about another one.
"""

from dataclasses import dataclass, field, replace

from pdlib import config
from pdlib.analysis.when.theory import Method

PRIOR, SHARE = "prior", "share"
ASKERS = ("aligned", "unaligned")  # who asks: it fits, a stranger
FULL_PRIOR = 1.0  # of experiment `share`: every label as the SFT set has it
# of experiment `prior`: far below every u*, so that what all questions share is pushed towards the
# personalised mode in every arm, and only what the rollouts see is at stake. With 0.5, paper B.1's
# share, one trial at prior 0 came near u*: the gain of fitting askers fell from .42 to .24 in it.
FEW_STRANGERS = 0.25


@dataclass(frozen=True)
class Arm:
    """A way of RL. trainer: fields of DualGRPOConfig. settings: of the config that differ."""

    label: str
    trainer: dict = field(default_factory=dict, hash=False)
    settings: dict = field(default_factory=dict, hash=False)

    def method(self, cfg: config.Config) -> Method:
        """What theory says it is, with the rollouts, temperature and prefix weight of `cfg`."""
        settings = replace(cfg, **self.settings)
        is_forced = self.trainer.get("forced_prefixes", True)
        return Method(
            estimator=self.trainer.get("estimator", "dualgrpo"),
            sampling="forced" if is_forced else "natural",
            correction=self.trainer.get("importance_correction", "none"),
            temperature=settings.rl_temperature,
            n=settings.rl_rollouts // 2,
            options={"prefix_weight": settings.rl_prefix_weight},
        )


FREE = {"estimator": "dr_grpo", "forced_prefixes": False}
ARMS = {
    "dualgrpo": Arm("DualGRPO"),
    "forced": Arm("forced GRPO", {"estimator": "dr_grpo"}),
    "free": Arm("free GRPO", FREE),
    "corrected": Arm("DualGRPO, corrected", {"importance_correction": "uniform"}),
    "free_warm": Arm("free GRPO at T = 1", FREE, {"rl_temperature": 1.0}),
}
ARMS_OF = {PRIOR: tuple(ARMS), SHARE: ("dualgrpo", "corrected", "free")}
START = "start"  # the model that all arms of a level and seed start from


@dataclass(frozen=True)
class Level:
    """A level of an experiment with one seed: what its arms have in common."""

    experiment: str
    value: float
    seed: int

    @property
    def name(self) -> str:
        """Its name in labels and folders."""
        return f"{self.experiment}-{self.value:g}-{self.seed}"

    @property
    def prior(self) -> float:
        """The prior of the model that its arms start from."""
        return self.value if self.experiment == PRIOR else FULL_PRIOR

    @property
    def unaligned_share(self) -> float:
        """The share of strangers among RL's objective questions."""
        return self.value if self.experiment == SHARE else FEW_STRANGERS


def taking_part(cfg: config.Config, experiment: str) -> list[str]:
    """The arms of an experiment that the setting `when_arms` asks for; ["all"]: every one.

    ValueError for one that is not in ARMS.
    """
    wanted = config.listed(cfg, "when_arms", ARMS)
    return [name for name in ARMS_OF[experiment] if name in wanted]


def levels(cfg: config.Config) -> list[Level]:
    """All levels of both experiments, with every seed."""
    wanted = [(PRIOR, cfg.when_priors), (SHARE, cfg.when_shares)]
    return [
        Level(experiment, value, seed)
        for seed in range(cfg.seed, cfg.seed + cfg.when_seeds)
        for experiment, values in wanted
        for value in values
    ]

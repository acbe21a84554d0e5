"""The settings of DualGRPO on top of TRL's, and what cannot go together."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from trl import GRPOConfig

from pdlib import advantages
from pdlib.modes import TEMPLATE_SETTINGS
from pdlib.schema import PAPER_MODES, ModeSet

CHOICES = {"prefix_style": ("text", "token"), "importance_correction": ("none", "uniform")}


def _setting(default, help_text: str):
    """A dataclass field with the help text that TRL's command line shows."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"help": help_text})
    return field(default=default, metadata={"help": help_text})


@dataclass
class DualGRPOConfig(GRPOConfig):
    """TRL's GRPOConfig plus the settings of DualGRPO; `num_generations` is n times the modes.

    The ablations of Table 2 are `estimator="grpo"`, and additionally `forced_prefixes=False`. An
    estimator of your own is a function with the contract of `advantages.registry`.
    """

    modes: dict | None = _setting(
        None, "the modes in order, as {name: tag}; None: the paper's general and personalised one"
    )
    estimator: str | Callable = _setting(
        "dualgrpo", "advantage estimator: a name of pdlib.advantages, or a function like them"
    )
    estimator_options: dict | None = _setting(None, "the estimator's options; None: its defaults")
    prefix_weight: float | None = _setting(
        None,
        "factor on the advantage of prefix tokens (Table 6: 2); None: the estimator's own default",
    )
    prefix_style: str = _setting(
        "text",
        "'text': the tag in ordinary tokens; 'token': one added "
        "token a mode (models.add_mode_tokens)",
    )
    importance_correction: str = _setting(
        "none",
        "'none', as in the paper; 'uniform': the forced "
        "prefix has the old log-probability log(1/M)",
    )
    forced_prefixes: bool = _setting(True, "equally many rollouts in each mode (Eq. 5)")
    chat_template_kwargs: dict | None = _setting(
        TEMPLATE_SETTINGS, "as in SFT and evaluation (modes.render_prompt)"
    )
    use_bias_correction_kl: bool = _setting(
        False,
        "TRL's KL gradient for tokens sampled by the policy, which forced prefixes are not",
    )
    loss_type: str = _setting("grpo", "TRL's loss aggregation; mean over each completion first")

    def __post_init__(self):
        super().__post_init__()
        if self.modes is None:
            self.modes = PAPER_MODES.tags
        self._check_prefixes()
        self._check_estimator()
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
        if self.importance_correction == "uniform" and not self.forced_prefixes:
            raise ValueError(
                "importance_correction='uniform' corrects for forced prefixes and needs "
                "forced_prefixes=True"
            )
        self._check_checkpoints()

    def _check_prefixes(self) -> None:
        count, n_modes = self.num_generations, len(self.mode_set)
        if self.forced_prefixes and (count < n_modes or count % n_modes):
            raise ValueError(
                f"num_generations is {count}: forced prefixes need equally many rollouts a prompt "
                f"in each of the {n_modes} modes (Eq. 5); use {n_modes}, {2 * n_modes}, "
                f"{3 * n_modes}, ..."
            )

    def _check_estimator(self) -> None:
        advantages.check_options(self.estimator, self.options())
        name = advantages.name_of(self.estimator)
        if name in advantages.COMPARES_MODES and not self.forced_prefixes:
            raise ValueError(
                f"estimator {name!r} compares the modes and needs forced_prefixes=True; use 'grpo'"
            )

    def _check_checkpoints(self) -> None:
        """A checkpoint within the training batches of one generation cannot be continued."""
        cycle = self.steps_per_generation * self.num_iterations  # training batches per generation
        accumulation = self.gradient_accumulation_steps
        if self.save_strategy == "steps" and (self.save_steps * accumulation) % cycle:
            raise ValueError(
                f"save_steps {self.save_steps} would save between the iterations of one "
                "generation, which a resumed run cannot continue; "
                f"use a multiple of {math.ceil(cycle / accumulation)}"
            )

    @property
    def mode_set(self) -> ModeSet:
        """The modes; ValueError where they cannot be told apart."""
        return ModeSet.of(self.modes)

    def to_dict(self) -> dict:
        """The settings as plain values; an estimator of one's own is its name."""
        return super().to_dict() | {"estimator": advantages.name_of(self.estimator)}

    def __getstate__(self) -> dict:
        """What Transformers keeps beside a model: functions stay with the program."""
        return self.__dict__ | {"estimator": advantages.name_of(self.estimator)}

    def options(self) -> dict:
        """What the estimator is called with."""
        weight = {} if self.prefix_weight is None else {"prefix_weight": self.prefix_weight}
        return (self.estimator_options or {}) | weight

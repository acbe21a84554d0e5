"""The settings of DualGRPO on top of TRL's, and what cannot go together."""

import math
from dataclasses import dataclass, field

from trl import GRPOConfig

from pdlib import advantages, modes

CHOICES = {"prefix_style": ("text", "token"), "importance_correction": ("none", "uniform")}


def _setting(default, help_text: str):
    """A dataclass field with the help text that TRL's command line shows."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"help": help_text})
    return field(default=default, metadata={"help": help_text})


@dataclass
class DualGRPOConfig(GRPOConfig):
    """TRL's GRPOConfig plus the settings of DualGRPO; `num_generations` is 2n.

    The ablations of Table 2 are `estimator="grpo"`, and additionally `forced_prefixes=False`.
    """

    estimator: str = _setting("dualgrpo", "advantage estimator, see pdlib.advantages")
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
    forced_prefixes: bool = _setting(True, "half of the rollouts in each mode (Eq. 5)")
    chat_template_kwargs: dict | None = _setting(
        modes.TEMPLATE_SETTINGS, "as in SFT and evaluation (modes.render_prompt)"
    )
    use_bias_correction_kl: bool = _setting(
        False,
        "TRL's KL gradient for tokens sampled by the policy, which forced prefixes are not",
    )
    loss_type: str = _setting("grpo", "TRL's loss aggregation; mean over each completion first")

    def __post_init__(self):
        super().__post_init__()
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
        count = self.num_generations
        if self.forced_prefixes and (count < 2 or count % 2):
            raise ValueError(
                f"num_generations is {count}: forced prefixes need an even number of rollouts "
                "a prompt, n in each mode (Eq. 5); use 2, 4, 6, 8, ..."
            )

    def _check_estimator(self) -> None:
        advantages.check_options(self.estimator, self.options())
        if self.estimator in advantages.COMPARES_MODES and not self.forced_prefixes:
            raise ValueError(
                f"estimator {self.estimator!r} compares the modes and needs forced_prefixes=True; "
                "use 'grpo'"
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

    def options(self) -> dict:
        """What the estimator is called with."""
        weight = {} if self.prefix_weight is None else {"prefix_weight": self.prefix_weight}
        return (self.estimator_options or {}) | weight

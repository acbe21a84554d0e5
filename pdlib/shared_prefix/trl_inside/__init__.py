"""The only package that touches the inside of TRL and Transformers.

`grpo` makes the steps of a generation public methods, `switches` are two settings that neither
library has, and `names` lists all that both lean on, with what breaks without it.
"""

from pdlib.shared_prefix.trl_inside.grpo import (
    OpenGRPOTrainer,
    Rollouts,
    Scores,
    logps_of,
    rollouts_of,
)
from pdlib.shared_prefix.trl_inside.switches import attend_by, attention_of, scoring_labels_only

__all__ = [
    "OpenGRPOTrainer",
    "Rollouts",
    "Scores",
    "attend_by",
    "attention_of",
    "logps_of",
    "rollouts_of",
    "scoring_labels_only",
]

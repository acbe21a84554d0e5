"""DualGRPO [Eq. 5-8] on TRL's GRPOTrainer.

It adds forced prefixes, inter- and intra-mode advantages and the prefix weight.

Departures from the paper, and what it leaves open:
1. The loss is stock TRL GRPO (clipped ratio, k3 KL); the paper does not say how it aggregates, ours
   averages over a completion's tokens first (`loss_type="grpo"`), as the original GRPO does.
2. The forced prefix gets no importance correction, as in the paper;
   `importance_correction="uniform"` adds it.
3. `max_completion_length` counts the tokens after the forced prefix, so that both modes get the
   same room.
4. The KL term is the plain k3 loss of GRPO and of the authors' code. TRL's default
   (`use_bias_correction_kl`) is right for tokens that the policy sampled; forced prefixes are not:
   on a mode that the policy has abandoned it pushes back too weakly, and a choice drifts 15 nats
   away where k3 stops it at 3 (prefix weight 2, KL 0.04, reward difference 0.3).
"""

from pdlib.dualgrpo.config import DualGRPOConfig
from pdlib.dualgrpo.trainer import DualGRPOTrainer

__all__ = ["DualGRPOConfig", "DualGRPOTrainer"]

"""DualGRPO [Eq. 5-8] on TRL's GRPOTrainer: forced prefixes, inter- and intra-mode advantages, prefix weight.

Departures from the paper, and what it leaves open:
1. The loss is stock TRL GRPO (clipped ratio, k3 KL); the paper does not say how it aggregates, ours averages over a
   completion's tokens first (`loss_type="grpo"`), as the original GRPO does.
2. The forced prefix gets no importance correction, as in the published code.
TRL is pinned exactly: this file leans on `_generate_single_turn`, `_calculate_rewards`,
`_generate_and_score_completions`, and on `_compute_loss` taking advantages of shape (B, T).
"""

from dataclasses import dataclass, field

import torch
from trl import GRPOConfig, GRPOTrainer

from pdlib import advantages, modes
from pdlib.schema import Mode

ORDER = (Mode.GENERAL, Mode.PERSONALIZED)  # axis M of reward tensors


@dataclass
class DualGRPOConfig(GRPOConfig):
    """TRL's GRPOConfig plus the four settings of DualGRPO; `num_generations` is 2n.

    The ablations of Table 2 are `estimator="grpo"` and additionally `forced_prefixes=False`.
    """

    estimator: str = field(default="dualgrpo", metadata={"help": "advantage estimator, see pdlib.advantages"})
    prefix_weight: float = field(default=2.0, metadata={"help": "factor on the advantage of prefix tokens (Table 6)"})
    forced_prefixes: bool = field(default=True, metadata={"help": "half of the rollouts in each mode (Eq. 5)"})
    loss_type: str = field(default="grpo", metadata={"help": "TRL's loss aggregation; mean over each completion first"})

    def __post_init__(self):
        super().__post_init__()
        if self.forced_prefixes and (self.num_generations < 2 or self.num_generations % 2):
            raise ValueError(f"num_generations is {self.num_generations}: forced prefixes need an even number of rollouts "
                             "a prompt, n in each mode (Eq. 5); use 2, 4, 6, 8, ...")
        if self.estimator not in advantages.ESTIMATORS:
            raise ValueError(f"unknown estimator {self.estimator!r}, expected one of {list(advantages.ESTIMATORS)}")
        if self.estimator == "dualgrpo" and not self.forced_prefixes:
            raise ValueError("estimator 'dualgrpo' compares the two modes and needs forced_prefixes=True; use 'grpo'")
        if self.use_vllm:
            raise ValueError("use_vllm=True: forced prefixes through vLLM come with the scale profiles; set it to False")


class DualGRPOTrainer(GRPOTrainer):
    """GRPOTrainer whose training rollouts are forced into both modes. Evaluation is never forced.

    TRL hands over `num_generations` consecutive copies of each prompt; the first half is forced into the general
    mode, the second half into the personalised one, in new lists (no copy of a prompt shares another's prefix).
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.prefix_ids = modes.prefix_ids(self.processing_class)
        self._rewards = None
        self._prefix_lengths: list[int] = []

    def _rollout_modes(self, count: int) -> list[Mode | None]:
        """The mode forced on each of this process's `count` rollouts (None: free), by its place in its prompt's group."""
        if not (self.model.training and self.args.forced_prefixes):
            return [None] * count
        first, group = self.accelerator.process_index * count, self.num_generations
        return [ORDER[(first + i) % group // (group // 2)] for i in range(count)]

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        prefixes = [self.prefix_ids[mode] if mode else [] for mode in self._rollout_modes(len(prompt_ids))]
        forced = [prompt + prefix for prompt, prefix in zip(prompt_ids, prefixes, strict=True)]
        completion_ids, _ = super()._generate_single_turn(forced, images, multimodal_fields, num_generations, has_tool_images)
        self._prefix_lengths = [len(prefix) for prefix in prefixes]
        return [prefix + ids for prefix, ids in zip(prefixes, completion_ids, strict=True)], None

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        per_function = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)  # (B*M*n, functions)
        total = (per_function * self.reward_weights.to(per_function.device)).nansum(1)
        self._rewards = total.masked_fill(per_function.isnan().all(1), torch.nan)
        return per_function

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return output
        mask = output["completion_mask"]  # (B*M*n of this process, T)
        start = self.accelerator.process_index * len(mask)
        shape = (-1, 2, self.num_generations // 2) if self.args.forced_prefixes else (-1, 1, self.num_generations)
        options = {"prefix_weight": self.args.prefix_weight}
        pair = advantages.compute(self._rewards.view(shape), self.args.estimator, **options)
        response, prefix = (part.reshape(-1)[start:start + len(mask)].unsqueeze(1) for part in pair)  # (B*M*n, 1)
        # A free rollout's mode tag is as long as the prefix it chose; an untagged one has none.
        lengths = self._prefix_lengths if self.args.forced_prefixes else self._free_prefix_lengths(output["completion_ids"])
        is_prefix = torch.arange(mask.shape[1], device=mask.device) < torch.tensor(lengths, device=mask.device).unsqueeze(1)
        output["advantages"] = torch.where(is_prefix, prefix, response)  # (B*M*n, T)
        self._log_modes()
        return output

    def _free_prefix_lengths(self, completion_ids: torch.Tensor) -> list[int]:
        rows = completion_ids.tolist()
        return [next((len(ids) for ids in self.prefix_ids.values() if row[:len(ids)] == ids), 0) for row in rows]

    def _log_modes(self):
        if self.args.forced_prefixes:
            by_mode = self._rewards.view(-1, 2, self.num_generations // 2).nanmean((0, 2))
            for mode, value in zip(ORDER, by_mode.tolist()):
                self._metrics["train"][f"reward/{mode.value}"].append(value)

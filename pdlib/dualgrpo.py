"""DualGRPO [Eq. 5-8] on TRL's GRPOTrainer: forced prefixes, inter- and intra-mode advantages,
prefix weight.

Departures from the paper, and what it leaves open:
1. The loss is stock TRL GRPO (clipped ratio, k3 KL); the paper does not say how it aggregates, ours
   averages over a completion's tokens first (`loss_type="grpo"`), as the original GRPO does.
2. The forced prefix gets no importance correction, as in the paper;
   `importance_correction="uniform"` adds it.
3. `max_completion_length` counts the tokens after the forced prefix, so that both modes get the
   same room.
4. The KL term is the plain k3 loss of GRPO and of the authors' code. TRL's default
   (`use_bias_correction_kl`) is right for tokens that the policy sampled; forced prefixes are not:
   on one that the policy has left, the brake would grow like the log-ratio instead of the ratio,
   and a choice would run 15 nats away where k3 stops it at 3 (prefix weight 2, KL 0.04, reward
   difference 0.3).
TRL is pinned exactly: this file leans on `_calculate_rewards`, `_log_metric`,
`_generate_and_score_completions`, `_get_per_token_logps_and_entropies`, and on `_compute_loss`
taking advantages (B, T).
"""

import math
from dataclasses import dataclass, field

import torch
from trl import GRPOConfig

from pdlib import advantages, generate, modes
from pdlib.schema import Mode
from pdlib.shared_prefix.grpo import SharedPrefixGRPOTrainer

ORDER = (Mode.GENERAL, Mode.PERSONALIZED)  # axis M of reward tensors


@dataclass
class DualGRPOConfig(GRPOConfig):
    """TRL's GRPOConfig plus the settings of DualGRPO; `num_generations` is 2n.

    The ablations of Table 2 are `estimator="grpo"`, and additionally `forced_prefixes=False`.
    """

    estimator: str = field(
        default="dualgrpo", metadata={"help": "advantage estimator, see pdlib.advantages"}
    )
    estimator_options: dict | None = field(
        default=None, metadata={"help": "the estimator's options; None: its defaults"}
    )
    prefix_weight: float | None = field(
        default=None,
        metadata={
            "help": "factor on the advantage of prefix tokens "
            "(Table 6: 2); None: the estimator's own default"
        },
    )
    prefix_style: str = field(
        default="text",
        metadata={
            "help": "'text': the tag in ordinary tokens; 'token': one added "
            "token a mode (models.add_mode_tokens)"
        },
    )
    importance_correction: str = field(
        default="none",
        metadata={
            "help": "'none', as in the paper; 'uniform': the forced "
            "prefix has the old log-probability log(1/M)"
        },
    )
    forced_prefixes: bool = field(
        default=True, metadata={"help": "half of the rollouts in each mode (Eq. 5)"}
    )
    chat_template_kwargs: dict | None = field(
        default_factory=lambda: dict(modes.TEMPLATE_SETTINGS),
        metadata={"help": "as in SFT and evaluation (modes.render_prompt)"},
    )
    use_bias_correction_kl: bool = field(
        default=False,
        metadata={
            "help": "TRL's KL gradient for tokens sampled by the policy, which "
            "forced prefixes are not"
        },
    )
    loss_type: str = field(
        default="grpo", metadata={"help": "TRL's loss aggregation; mean over each completion first"}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.forced_prefixes and (self.num_generations < 2 or self.num_generations % 2):
            raise ValueError(
                f"num_generations is {self.num_generations}: forced prefixes need an even number of rollouts "
                "a prompt, n in each mode (Eq. 5); use 2, 4, 6, 8, ..."
            )
        advantages.check_options(self.estimator, self.options())
        if self.estimator in advantages.COMPARES_MODES and not self.forced_prefixes:
            raise ValueError(
                f"estimator {self.estimator!r} compares the modes and needs forced_prefixes=True; use 'grpo'"
            )
        for name, allowed in {
            "prefix_style": ("text", "token"),
            "importance_correction": ("none", "uniform"),
        }.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}"
                )
        if self.importance_correction == "uniform" and not self.forced_prefixes:
            raise ValueError(
                "importance_correction='uniform' corrects for forced prefixes and needs forced_prefixes=True"
            )
        cycle = (
            self.steps_per_generation * self.num_iterations
        )  # training batches from one generation
        if (
            self.save_strategy == "steps"
            and (self.save_steps * self.gradient_accumulation_steps) % cycle
        ):
            raise ValueError(
                f"save_steps {self.save_steps} would save between the iterations of one generation, which a "
                f"resumed run cannot continue; use a multiple of {math.ceil(cycle / self.gradient_accumulation_steps)}"
            )

    def options(self) -> dict:
        """What the estimator is called with."""
        weight = {} if self.prefix_weight is None else {"prefix_weight": self.prefix_weight}
        return (self.estimator_options or {}) | weight


class DualGRPOTrainer(SharedPrefixGRPOTrainer):
    """GRPO whose training rollouts are forced into both modes. Evaluation is never forced.

    TRL hands over `num_generations` consecutive copies of each prompt; the first half is forced
    into the general mode, the second half into the personalised one, in new lists (no copy of a
    prompt shares another's prefix). Data set columns `kind` and `condition`, where there are any,
    split the logged P(personalised).
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.args.forced_prefixes and (self.tools or self.rollout_func):
            raise ValueError(
                "forced prefixes are written by the trainer's own generation; found tools or a rollout_func"
            )
        self.prefix_ids = modes.prefix_ids(self._tokenizer)
        style = "token" if all(len(ids) == 1 for ids in self.prefix_ids.values()) else "text"
        if style != self.args.prefix_style:
            raise ValueError(
                f"prefix_style is {self.args.prefix_style!r}, but this tokenizer writes the mode tags as {style}; "
                f"set prefix_style={style!r}, or change the tokenizer before SFT (models.add_mode_tokens)"
            )
        self._rewards = self._written = (
            None  # (B*M*n,) over all processes: reward; place in ORDER, or len(ORDER) without a tag
        )

    def _rollout_modes(self, count: int) -> list[Mode | None]:
        """The mode forced on each of this process's `count` rollouts (None: free), by its place in
        its prompt's group.
        """
        if not (self.model.training and self.args.forced_prefixes):
            return [None] * count
        first, group = self.accelerator.process_index * count, self.num_generations
        return [ORDER[(first + i) % group // (group // 2)] for i in range(count)]

    def _forced_prefixes(self, count: int) -> list[list[int]]:
        return [self.prefix_ids[mode] if mode else [] for mode in self._rollout_modes(count)]

    def _mode_of(self, completion: list[int]) -> Mode | None:
        """The mode whose prefix the completion begins with, forced or chosen; None when it has no
        tag.
        """
        return next(
            (mode for mode, ids in self.prefix_ids.items() if completion[: len(ids)] == ids), None
        )

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        per_function = super()._calculate_rewards(
            inputs, prompts, completions, completion_ids_list
        )  # (B*M*n, functions)
        total = (per_function * self.reward_weights.to(per_function.device)).nansum(1)
        self._rewards = total.masked_fill(per_function.isnan().all(1), torch.nan)
        written = [
            ORDER.index(mode) if (mode := self._mode_of(ids)) else len(ORDER)
            for ids in completion_ids_list
        ]
        self._written = self.accelerator.gather(
            torch.tensor(written, device=self._rewards.device)
        )  # (B*M*n,)
        self._log_rollouts(completion_ids_list, written)
        self._log_choice(inputs)
        return per_function

    def _own(self, gathered: torch.Tensor, count: int) -> torch.Tensor:
        """This process's `count` rows of a tensor gathered from all processes."""
        start = self.accelerator.process_index * count
        return gathered[start : start + count]

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return output
        mask = output["completion_mask"]  # (B*M*n of this process, T)
        options = self.args.options()
        if "progress" in advantages.options(self.args.estimator):
            options = {
                "progress": min(1.0, self.state.global_step / self.state.max_steps)
            } | options
        rewards, place = self._by_mode()
        response, prefix = (
            part.flatten()[place]
            for part in advantages.compute(rewards, self.args.estimator, **options)
        )
        lengths = torch.tensor(
            [*(len(self.prefix_ids[mode]) for mode in ORDER), 0], device=mask.device
        )[self._written]
        own = [self._own(part, len(mask)) for part in (response, prefix, lengths)]
        output["advantages"], is_prefix = advantages.per_token(*own, mask.shape[1])
        self._logs["advantages"].extend(
            response.tolist()
        )  # in place of the stock ones: the log keeps the newest
        if self.args.importance_correction == "uniform":
            # The decision was drawn from M equal chances, the rest of the prefix was certain.
            at = modes.decision_index(list(self.prefix_ids.values()))
            drawn = torch.where(
                torch.arange(mask.shape[1], device=mask.device) == at, -math.log(len(ORDER)), 0.0
            )
            output["old_per_token_logps"] = torch.where(is_prefix, drawn, self._old_logps(output))
        if (sampled := output.get("sampling_per_token_logps")) is not None:
            output["sampling_per_token_logps"] = torch.where(
                sampled.isnan(), self._old_logps(output), sampled
            )
        self._log_groups(rewards)
        return output

    def _by_mode(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards as estimators take them, and the place of each rollout in them (flat, by
        rollout).

        Forced: (B, M, n). Free: (B, M + 1, 2n), a rollout in the mode that it chose (the last: no
        tag), NaN elsewhere.
        """
        count, group = len(self._rewards), self.num_generations
        rollout = torch.arange(count, device=self._rewards.device)
        if self.args.forced_prefixes:
            return self._rewards.view(-1, len(ORDER), group // len(ORDER)), rollout
        place = (rollout // group * (len(ORDER) + 1) + self._written) * group + rollout % group
        table = self._rewards.new_full((count * (len(ORDER) + 1),), torch.nan).index_put(
            (place,), self._rewards
        )
        return table.view(-1, len(ORDER) + 1, group), place

    @torch.no_grad()
    def _old_logps(self, output: dict) -> torch.Tensor:
        """(B*M*n, T) log-probabilities at generation time; TRL leaves them out when the first
        update equals them.
        """
        if "old_per_token_logps" in output:
            return output["old_per_token_logps"]
        ids, mask = (
            torch.cat([output[f"prompt_{part}"], output[f"completion_{part}"]], 1)
            for part in ("ids", "mask")
        )
        return self._get_per_token_logps_and_entropies(
            self.model,
            ids,
            mask,
            output["completion_ids"].shape[1],
            batch_size=self.args.per_device_train_batch_size,
        )[0]

    def _log_rollouts(self, completions: list[list[int]], written: list[int]):
        """Reward, length and truncation by mode, over this process's rollouts (TRL averages over
        processes).
        """
        names = [*(mode.value for mode in ORDER), "untagged"]
        ended = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        rewards = self._own(self._rewards, len(completions)).tolist()
        for ids, place, reward in zip(completions, written, rewards, strict=True):
            name = names[place]
            if not math.isnan(reward):
                self._log_metric(f"reward/{name}", reward)
            self._log_metric(f"length/{name}", len(ids))
            self._log_metric(f"truncated/{name}", float(ids[-1] not in ended))
            self._log_metric("share/personalized", float(name == Mode.PERSONALIZED.value))

    def _log_choice(self, inputs: list[dict]):
        """P(personalised) from the logits and the entropy of the choice in nats, by task kind and
        persona condition.
        """
        seen = {tuple(ids): row for ids, row in zip(self._prompt_ids, inputs, strict=True)}
        chances = generate.prompt_mode_probability(
            self.model, self._tokenizer, [list(ids) for ids in seen]
        )
        for row, chance in zip(seen.values(), chances, strict=True):
            group = (
                " ".join(str(row[name]) for name in ("kind", "condition") if name in row) or "all"
            )
            self._log_metric(f"p_personalized/{group}", chance)
            entropy = -sum(p * math.log(p) for p in (chance, 1 - chance) if p > 0)
            self._log_metric(f"choice_entropy/{group}", entropy)

    def _log_groups(self, rewards: torch.Tensor):
        """Share of prompts (over all processes) whose rewards do not vary within any mode; whose
        modes' means are equal, as they are where free rollouts all chose one mode.
        """
        spread = lambda values: (
            values.nan_to_num(-torch.inf).amax(-1) - values.nan_to_num(torch.inf).amin(-1)
        )  # noqa: E731
        flat = {
            "within": (spread(rewards) < 1e-6).all(1),
            "between": spread(rewards.nanmean(2)) < 1e-6,
        }
        for name, value in flat.items():
            self._metrics["train"][f"zero_variance/{name}"].append(value.float().mean().item())

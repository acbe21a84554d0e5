"""The trainer: where rollouts get their mode, and tokens their advantage.

TRL is pinned exactly: `shared_prefix.trl_inside` lists the private names that this file leans on.
"""

import math

import torch
from accelerate.utils import gather_object

from pdlib import advantages, generate, modes
from pdlib.dualgrpo import metrics
from pdlib.dualgrpo.regime import Prompt, Regime, Rollout
from pdlib.schema import Mode
from pdlib.shared_prefix.grpo import SharedPrefixGRPOTrainer


class DualGRPOTrainer(SharedPrefixGRPOTrainer):
    """[Eq. 5] GRPO whose training rollouts are forced into all modes; evaluation is not forced.

    TRL hands over `num_generations` consecutive copies of each prompt; the first of them are forced
    into the first mode, as many into the second, and so on, in new lists (no copy of a prompt
    shares another's prefix). Data set columns `kind` and `condition`, where there are any, split
    the logged chances of the modes.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.args.forced_prefixes and (self.tools or self.rollout_func):
            raise ValueError(
                "forced prefixes are written by the trainer's own generation; found tools or a "
                "rollout_func"
            )
        self.mode_set = self.args.mode_set
        self.prefix_ids = modes.prefix_ids(self._tokenizer, self.mode_set)
        style = "token" if all(len(ids) == 1 for ids in self.prefix_ids.values()) else "text"
        if style != self.args.prefix_style:
            raise ValueError(
                f"prefix_style is {self.args.prefix_style!r}, but this tokenizer writes the mode "
                f"tags as {style}; set prefix_style={style!r}, or change the tokenizer before SFT "
                "(models.add_mode_tokens)"
            )
        # Of the newest generation: this process's token ids, and the rewards of all processes.
        self.generated_prompts: list[list[int]] = []
        self.generated_completions: list[list[int]] = []
        self.total_rewards: torch.Tensor | None = None  # (B*M*n,)
        self.regime = Regime(
            self.args.temperature,
            self.args.num_generations,
            self.args.forced_prefixes,
            self.mode_set,
        )

    # --- rollouts ---

    def _rollout_modes(self, count: int) -> list[Mode | None]:
        """The mode forced on each of this process's `count` rollouts (None: free).

        It follows from the rollout's index in its prompt's group.
        """
        if not (self.model.training and self.args.forced_prefixes):
            return [None] * count
        first, group = self.accelerator.process_index * count, self.num_generations
        n = group // len(self.mode_set)
        return [self.mode_set[(first + i) % group // n] for i in range(count)]

    def _forced_prefixes(self, count: int) -> list[list[int]]:
        return [self.prefix_ids[mode] if mode else [] for mode in self._rollout_modes(count)]

    def _written_mode(self, completion: list[int]) -> int:
        """The index of the mode whose prefix the completion begins with; M where it has none."""
        for index, mode in enumerate(self.mode_set):
            ids = self.prefix_ids[mode]
            if completion[: len(ids)] == ids:
                return index
        return len(self.mode_set)

    def _generate(self, prompts):
        outputs = super()._generate(prompts)
        self.generated_prompts, self.generated_completions = outputs[:2]
        return outputs

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        """TRL's rewards per function; their weighted sum is kept for the advantages."""
        per_function = super()._calculate_rewards(
            inputs, prompts, completions, completion_ids_list
        )  # (B*M*n, functions)
        total = (per_function * self.reward_weights.to(per_function.device)).nansum(1)
        self.total_rewards = total.masked_fill(per_function.isnan().all(1), torch.nan)
        return per_function

    def _generate_and_score_completions(self, inputs):
        """TRL's rollouts and rewards, with DualGRPO's advantages and the modes' health.

        The health is logged here, since TRL collects metrics of rewards inside `super()`. It needs
        one forward pass of its own, `_chances_of_generated_prompts`.
        """
        output = super()._generate_and_score_completions(inputs)
        written = [self._written_mode(ids) for ids in self.generated_completions]
        written_everywhere = self.accelerator.gather(
            torch.tensor(written, device=self.total_rewards.device)
        )  # (B*M*n,)
        self._log_health(inputs, written, self._chances_of_generated_prompts())
        if self.model.training:
            self._set_advantages(output, written_everywhere)
        return output

    # --- advantages ---

    def _set_advantages(self, output: dict, written: torch.Tensor) -> None:
        """Put DualGRPO's advantages in the place of TRL's: (B*M*n of this process, T).

        written: (B*M*n,) of all processes, each rollout's mode as `_written_mode` gives it.
        """
        count, width = output["completion_mask"].shape
        rewards, index = self._by_mode(written)
        options = self._estimator_options()
        response, prefix = advantages.compute(rewards, self.args.estimator, **options)
        response, prefix = response.flatten()[index], prefix.flatten()[index]  # (B*M*n,) each
        lengths = [*(len(self.prefix_ids[mode]) for mode in self.mode_set), 0]  # the last: no tag
        lengths = torch.tensor(lengths, device=written.device)[written]  # (B*M*n,)
        rows = [self._of_this_process(values, count) for values in (response, prefix, lengths)]
        output["advantages"], is_prefix = advantages.per_token(*rows, width)
        own = self._of_this_process(written, count)
        # In place of the stock ones: the log keeps the newest.
        self._logs["advantages"].extend(response.tolist())
        self._correct_ratios(output, is_prefix, own)
        for name, share in metrics.of_groups(rewards).items():
            self._metrics["train"][name].append(share)

    def _estimator_options(self) -> dict:
        """The configured options, with the share of steps done where the estimator asks for it."""
        known = advantages.options(self.args.estimator)
        if "progress" not in known:
            return self.args.options()
        progress = min(1.0, self.state.global_step / self.state.max_steps)
        return {"progress": progress} | self.args.options()

    def _by_mode(self, written: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards as estimators take them, and the flat index of each rollout in them.

        Forced: (B, M, n). Free: (B, M + 1, M n), a rollout in the mode that it chose (the last: no
        tag), NaN elsewhere.
        """
        rewards, group, n_modes = self.total_rewards, self.num_generations, len(self.mode_set)
        rollout = torch.arange(len(rewards), device=rewards.device)
        if self.args.forced_prefixes:
            return rewards.view(-1, n_modes, group // n_modes), rollout
        index = (rollout // group * (n_modes + 1) + written) * group + rollout % group
        table = rewards.new_full((len(rewards) * (n_modes + 1),), torch.nan)
        table = table.index_put((index,), rewards)
        return table.view(-1, n_modes + 1, group), index

    def _of_this_process(self, gathered: torch.Tensor, count: int) -> torch.Tensor:
        """This process's `count` rows of a tensor gathered from all processes."""
        start = self.accelerator.process_index * count
        return gathered[start : start + count]

    def _correct_ratios(self, output: dict, is_prefix: torch.Tensor, written: torch.Tensor) -> None:
        """Give forced prefix tokens (B*M*n, T) the old log-probabilities that they should have.

        written: (B*M*n,) the mode of each rollout of this process, as `_written_mode` gives it.
        """
        if self.args.importance_correction == "uniform":
            drawn = self._drawn_logps(is_prefix.shape[1]).to(is_prefix.device)  # (M + 1, T)
            output["old_per_token_logps"] = torch.where(
                is_prefix, drawn[written], self._old_logps(output)
            )
        if (sampled := output.get("sampling_per_token_logps")) is not None:
            output["sampling_per_token_logps"] = torch.where(
                sampled.isnan(), self._old_logps(output), sampled
            )

    def _drawn_logps(self, width: int) -> torch.Tensor:
        """(M + 1, width): each mode's prefix tokens, had a mode been drawn from M equal chances.

        A token at which prefixes part has the log of the share of modes that go on with it; the
        others were certain. The last row is that of completions without a tag.
        """
        drawn = torch.zeros(len(self.mode_set) + 1, width)
        for fork in modes.forks([self.prefix_ids[mode] for mode in self.mode_set]):
            n_modes = sum(map(len, fork.branches))
            for branch in fork.branches:
                drawn[list(branch), len(fork.before)] = math.log(len(branch) / n_modes)
        return drawn

    @torch.no_grad()
    def _old_logps(self, output: dict) -> torch.Tensor:
        """(B*M*n, T) log-probabilities at generation time.

        TRL leaves them out when the first update equals them.
        """
        if "old_per_token_logps" in output:
            return output["old_per_token_logps"]
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
        return self._get_per_token_logps_and_entropies(
            self.model,
            ids,
            mask,
            output["completion_ids"].shape[1],
            batch_size=self.args.per_device_train_batch_size,
        )[0]

    # --- the modes' health ---

    def _chances_of_generated_prompts(self) -> list[list[float]]:
        """The chances of all modes of each distinct prompt of this process.

        It takes one more forward pass where modes part at one token, else one per such token.
        """
        prompts = [list(ids) for ids in dict.fromkeys(map(tuple, self.generated_prompts))]
        return generate.mode_chances(self.model, self._tokenizer, prompts, self.mode_set).tolist()

    def _log_health(
        self, inputs: list[dict], written: list[int], chances: list[list[float]]
    ) -> None:
        """Log `metrics` of this generation: of its rollouts, and of the choice before them."""
        rewards = self._of_this_process(self.total_rewards, len(written)).tolist()
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        questions = dict(zip(map(tuple, self.generated_prompts), inputs, strict=True))
        self._log_means(
            metrics.of_rollouts(self.generated_completions, written, rewards, ends, self.mode_set)
            | metrics.of_choice(list(questions.values()), chances, self.mode_set)
        )
        if self.model.training:
            prompts = [
                Prompt(metrics.kind_of(row), tuple(of_modes))
                for row, of_modes in zip(questions.values(), chances, strict=True)
            ]
            rollouts = [
                Rollout(
                    metrics.kind_of(row), dict(enumerate(self.mode_set.names)).get(mode), reward
                )
                for row, mode, reward in zip(inputs, written, rewards, strict=True)
            ]
            self._log_regime(prompts, rollouts)

    def _log_regime(self, prompts: list[Prompt], rollouts: list[Rollout]) -> None:
        """Log what the last generations of all processes say, see `Regime.summary`."""
        self.regime.add(gather_object(prompts), gather_object(rollouts))
        for name, value in self.regime.summary().items():
            self._metrics["train"][name].append(value)

    def _log_means(self, values: dict[str, list[float]]) -> None:
        """Log the mean over all processes of the values of each name.

        This is what TRL's `_log_metric` does for reward functions; it is flushed inside `super()`,
        before the health is known. All processes gather in the same order, that of the names.
        """
        mode = "train" if self.model.training else "eval"
        for name in sorted(set(gather_object(list(values)))):
            local = values.get(name, [])
            sums = torch.tensor(
                [sum(local), len(local)], dtype=torch.float32, device=self.accelerator.device
            )
            total, count = self.accelerator.gather(sums).view(-1, 2).sum(dim=0).tolist()
            self._metrics[mode][name].append(total / count)

"""The trainer: where rollouts get their mode, and tokens their advantage."""

import math
from pathlib import Path

import torch
from accelerate.utils import gather_object

from pdlib import advantages, generate, modes
from pdlib.dualgrpo import card, metrics
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

    method = "DualGRPO"
    tags = ("trl", "grpo", "dualgrpo")
    paper = card.PAPER

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.args.forced_prefixes and (self.tools or self.rollout_func):
            raise ValueError(
                "forced prefixes are written by the trainer's own generation; found tools or a "
                "rollout_func"
            )
        self.mode_set = self.args.mode_set
        self.prefix_ids = modes.prefix_ids(self.tokenizer, self.mode_set)
        style = "token" if all(len(ids) == 1 for ids in self.prefix_ids.values()) else "text"
        if style != self.args.prefix_style:
            raise ValueError(
                f"prefix_style is {self.args.prefix_style!r}, but this tokenizer writes the mode "
                f"tags as {style}; set prefix_style={style!r}, or change the tokenizer before SFT "
                "(models.add_mode_tokens)"
            )
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

    def forced_prefixes(self, count: int) -> list[list[int]]:
        """The prefix of each rollout's mode; nothing where it is free."""
        return [self.prefix_ids[mode] if mode else [] for mode in self._rollout_modes(count)]

    def _written_mode(self, completion: list[int]) -> int:
        """The index of the mode whose prefix the completion begins with; M where it has none."""
        for index, mode in enumerate(self.mode_set):
            ids = self.prefix_ids[mode]
            if completion[: len(ids)] == ids:
                return index
        return len(self.mode_set)

    def finish(self, inputs: list[dict], output: dict) -> dict:
        """TRL's batch, with DualGRPO's advantages in it; the modes' health is logged.

        The health needs forward passes of its own, see `_chances_of_generated_prompts`.
        """
        written = [self._written_mode(ids) for ids in self.generated_completions]
        written_everywhere = self.accelerator.gather(
            torch.tensor(written, device=self.total_rewards.device)
        )  # (B*M*n,)
        self._log_health(inputs, written, self._chances_of_generated_prompts())
        if self.model.training:
            self._set_advantages(output, written_everywhere)
        return output

    def create_model_card(self, *args, **kwargs) -> None:
        """TRL's model card, with the modes and the settings of DualGRPO; also for `push_to_hub`."""
        super().create_model_card(*args, **kwargs)
        if self.is_world_process_zero():
            with open(Path(self.args.output_dir) / "README.md", "a", encoding="utf-8") as file:
                file.write(card.of_training(self.args))

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
        rows = [self.of_this_process(values, count) for values in (response, prefix, lengths)]
        output["advantages"], is_prefix = advantages.per_token(*rows, width)
        own = self.of_this_process(written, count)
        self.keep_advantages(response.tolist())
        self._correct_ratios(output, is_prefix, own)
        for name, share in metrics.of_groups(rewards).items():
            self.log_value(name, share)

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

    def _correct_ratios(self, output: dict, is_prefix: torch.Tensor, written: torch.Tensor) -> None:
        """Give forced prefix tokens (B*M*n, T) the old log-probabilities that they should have.

        written: (B*M*n,) the mode of each rollout of this process, as `_written_mode` gives it.
        """
        if self.args.importance_correction == "uniform":
            drawn = self._drawn_logps(is_prefix.shape[1]).to(is_prefix.device)  # (M + 1, T)
            output["old_per_token_logps"] = torch.where(
                is_prefix, drawn[written], self.old_logps(output)
            )
        if (sampled := output.get("sampling_per_token_logps")) is not None:
            output["sampling_per_token_logps"] = torch.where(
                sampled.isnan(), self.old_logps(output), sampled
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

    # --- the modes' health ---

    def _chances_of_generated_prompts(self) -> list[list[float]]:
        """The chances of all modes of each distinct prompt of this process.

        It takes one more forward pass where modes part at one token, else one per such token, of as
        many prompts as fit. Where weights are cut over processes, all prompts go at once: each
        process has to take as many passes as the others, whatever its prompts' lengths.
        """
        prompts = [list(ids) for ids in dict.fromkeys(map(tuple, self.generated_prompts))]
        tokens = math.inf if self.cuts_weights else generate.BATCH_TOKENS
        chances = generate.mode_chances(
            self.model, self.tokenizer, prompts, self.mode_set, batch_tokens=tokens
        )
        return chances.tolist()

    def _log_health(
        self, inputs: list[dict], written: list[int], chances: list[list[float]]
    ) -> None:
        """Log `metrics` of this generation: of its rollouts, and of the choice before them."""
        rewards = self.of_this_process(self.total_rewards, len(written)).tolist()
        ends = {*self.eos_token_ids, self.tokenizer.pad_token_id}
        questions = dict(zip(map(tuple, self.generated_prompts), inputs, strict=True))
        self.log_means(
            metrics.of_rollouts(self.generated_completions, written, rewards, ends, self.mode_set)
            | metrics.of_choice(list(questions.values()), chances, self.mode_set)
        )
        if self.model.training:
            prompts = [
                Prompt(metrics.kind_of(row), tuple(of_modes))
                for row, of_modes in zip(questions.values(), chances, strict=True)
            ]
            names = [*self.mode_set.names, None]  # the last: no tag
            rollouts = [
                Rollout(metrics.kind_of(row), names[mode], reward)
                for row, mode, reward in zip(inputs, written, rewards, strict=True)
            ]
            self._log_regime(prompts, rollouts)

    def _log_regime(self, prompts: list[Prompt], rollouts: list[Rollout]) -> None:
        """Log what the last generations of all processes say, see `Regime.summary`."""
        self.regime.add(gather_object(prompts), gather_object(rollouts))
        for name, value in self.regime.summary().items():
            self.log_value(name, value)

"""TRL's GRPOTrainer with each distinct prompt through the network once (pdlib.shared_prefix).

That is so in generation and in training: same numbers, less work. A prompt's rollouts stay together
when a generation is cut into micro-batches; TRL shuffles single rollouts. Where the trainer cannot
share, it says so once and goes TRL's way. It leans on TRL's fused head
(`model(..., shift_labels=..., fused_lm_head=True)`).
"""

import math

import torch
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_tensor_dict

from pdlib import models
from pdlib.shared_prefix import attention, decode, score
from pdlib.shared_prefix.trl_inside import OpenGRPOTrainer, Rollouts, Scores

# Settings of sampling that `decode.sample` does not know, with the values that mean nothing.
NO_EFFECT = {
    "top_p": (None, 1.0),
    "top_k": (None, 0, 1),  # 1 is greedy, which it knows
    "min_p": (None, 0.0),
    "repetition_penalty": (None, 1.0),
}


class SharedPrefixGRPOTrainer(OpenGRPOTrainer):
    """GRPOTrainer that computes once what a prompt's rollouts share.

    A subclass may force how a rollout begins.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        models.give_head_a_bias(self.model)

    def forced_prefixes(self, count: int) -> list[list[int]]:
        """The token ids with which each of this process's `count` rollouts must begin.

        An empty list stands for a rollout that is sampled from the start.
        """
        return [[]] * count

    def roll_out(self, prompts, copies, stock) -> Rollouts:
        """A forced prefix, then sampled tokens: by one prefill per prompt, or by TRL."""
        prefixes = self.forced_prefixes(len(prompts))
        # vLLM and continuous batching share prefixes in their own way.
        if not (self.use_vllm or self.use_transformers_continuous_batching):
            reason = self._why_not_shared()
            if reason is None:
                return self._shared_rollouts(prompts, prefixes), None
            attention.state("rollouts", reason)
        forced = [prompt + prefix for prompt, prefix in zip(prompts, prefixes, strict=True)]
        # vLLM is sent one prompt per group for all its copies; forced copies differ, so each goes
        # by itself.
        completions, logps = stock(forced, 1 if any(prefixes) else copies)
        if logps is not None:  # NaN: a forced token was not sampled; TRL gives it the ratio 1
            logps = [
                [math.nan] * len(prefix) + row for prefix, row in zip(prefixes, logps, strict=True)
            ]
        return [prefix + ids for prefix, ids in zip(prefixes, completions, strict=True)], logps

    def _why_not_shared(self) -> str | None:
        """Why the rollouts must come from TRL's own generation; None where they can be shared."""
        if self.reads_images or self.tools:
            return "images or tools take part"
        if self.cuts_weights:
            return "the weights are cut over processes, which must all take equally many steps"
        settings = [
            name for name, values in NO_EFFECT.items() if getattr(self.args, name) not in values
        ]
        settings += list(self.args.generation_kwargs or {})
        settings += ["cache_implementation"] if self.args.cache_implementation else []
        if settings:
            return f"{', '.join(settings)} asked for"
        return attention.obstacle(self.accelerator.unwrap_model(self.model))

    def _shared_rollouts(
        self, prompt_ids: list[list[int]], prefixes: list[list[int]]
    ) -> list[list[int]]:
        """A completion (forced prefix, then sampled tokens) of each prompt.

        Each distinct prompt is prefilled once.
        """
        group = {prompt: g for g, prompt in enumerate(dict.fromkeys(map(tuple, prompt_ids)))}
        width = self.max_completion_length
        unwrapped = unwrap_model_for_generation(
            self.model_wrapped,
            self.accelerator,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        )
        with unwrapped as model, torch.no_grad(), attention.switched_on(model):
            return decode.sample(
                model,
                decode.Prefill(model, list(group)),
                [group[tuple(ids)] for ids in prompt_ids],
                prefixes,
                draws=torch.rand(len(prompt_ids), width),
                temperature=0.0 if self.args.top_k == 1 else self.temperature,
                max_new_tokens=width,
                eos=self.eos_token_ids,
            )

    def arrange(self, batches: list[dict]) -> list[dict]:
        """The same rows in as many batches, a prompt's rollouts next to each other.

        Prompts come in the order of TRL's shuffled rows.
        """
        prompts = [tuple(row) for batch in batches for row in batch["prompt_ids"].tolist()]
        group = {prompt: g for g, prompt in enumerate(dict.fromkeys(prompts))}
        by_group = sorted(range(len(prompts)), key=lambda i: group[prompts[i]])
        order = torch.tensor(by_group, device=batches[0]["prompt_ids"].device)
        rows = {}
        for name, value in batches[0].items():
            is_per_row = torch.is_tensor(value) and value.dim()
            rows[name] = (
                torch.cat([batch[name] for batch in batches])[order] if is_per_row else value
            )
        return split_tensor_dict(rows, len(batches))

    def score(self, model, ids, mask, width, batch_size, stock, obstacle) -> Scores:
        """Log-probabilities and entropies (B, T) of completions, zero at padding.

        model: the policy or the reference.
        """
        plain_model = self.accelerator.unwrap_model(model)
        reason = obstacle or attention.obstacle(plain_model)
        if reason:
            attention.state("training passes", reason)
            return stock()
        score.prepare(plain_model)
        rows = batch_size or len(ids)
        batches = zip(ids.split(rows), mask.split(rows), strict=True)
        with self.accelerator.autocast():
            scored = [score.per_token(model, *batch, width) for batch in batches]
        logps, entropies = zip(*scored, strict=True)
        has_entropies = entropies[0] is not None
        return torch.cat(logps), torch.cat(entropies) if has_entropies else None, None

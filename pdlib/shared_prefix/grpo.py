"""TRL's GRPOTrainer with each distinct prompt through the network once, in generation and in
training (pdlib.shared_prefix).

Same numbers, less work. A prompt's rollouts stay together when a generation is cut into
micro-batches; TRL shuffles single rollouts. Where it cannot, it says so once and goes TRL's way.
TRL is pinned exactly: this file leans on `_generate_single_turn`, `_prepare_inputs`,
`_get_per_token_logps_and_entropies`, and on the fused head (`model(..., shift_labels=...,
fused_lm_head=True)`).
"""

import math

import torch
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_tensor_dict

from pdlib import models
from pdlib.shared_prefix import attention, decode, score


class SharedPrefixGRPOTrainer(GRPOTrainer):
    """GRPOTrainer that computes once what a prompt's rollouts share. A subclass may force how a
    rollout begins.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        models.give_head_a_bias(self.model)
        self._prompt_ids = []

    def _forced_prefixes(self, count: int) -> list[list[int]]:
        """The token ids with which each of this process's `count` rollouts must begin; empty:
        sampled from the start.
        """
        return [[]] * count

    def _generate_single_turn(
        self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False
    ):
        prefixes = self._forced_prefixes(len(prompt_ids))
        self._prompt_ids = prompt_ids
        if not (
            self.use_vllm or self.use_transformers_continuous_batching
        ):  # those share prefixes in their own way
            if (reason := self._why_not_shared()) is None:
                return self._shared_rollouts(prompt_ids, prefixes), None
            attention.state("rollouts", reason)
        forced = [prompt + prefix for prompt, prefix in zip(prompt_ids, prefixes, strict=True)]
        # vLLM is sent one prompt a group for all its copies; forced copies differ, so each goes by
        # itself.
        copies = 1 if any(prefixes) else num_generations
        completion_ids, logps = super()._generate_single_turn(
            forced, images, multimodal_fields, copies, has_tool_images
        )
        if logps is not None:  # NaN: a forced token was not sampled; TRL gives it the ratio 1
            logps = [
                [math.nan] * len(prefix) + row for prefix, row in zip(prefixes, logps, strict=True)
            ]
        return [prefix + ids for prefix, ids in zip(prefixes, completion_ids, strict=True)], logps

    def _why_not_shared(self) -> str | None:
        """Why the rollouts must come from TRL's own generation; None: from one prefill a prompt
        (pdlib.shared_prefix).
        """
        if self._is_vlm or self.tools:
            return "images or tools take part"
        if self._dist.is_zero3 or self._dist.is_fsdp:
            return "the weights are cut over processes, which must all take equally many steps"
        plain = {
            "top_p": (None, 1.0),
            "top_k": (None, 0, 1),
            "min_p": (None, 0.0),
            "repetition_penalty": (None, 1.0),
        }
        asked = [name for name, values in plain.items() if getattr(self.args, name) not in values]
        asked += list(self.args.generation_kwargs or {}) + (
            ["cache_implementation"] if self.args.cache_implementation else []
        )
        return (
            f"{', '.join(asked)} asked for"
            if asked
            else attention.obstacle(self.accelerator.unwrap_model(self.model))
        )

    def _shared_rollouts(
        self, prompt_ids: list[list[int]], prefixes: list[list[int]]
    ) -> list[list[int]]:
        """A completion (forced prefix, then sampled tokens) of each prompt; each distinct prompt is
        prefilled once.
        """
        distinct = {
            prompt: place for place, prompt in enumerate(dict.fromkeys(map(tuple, prompt_ids)))
        }
        width, temperature = (
            self.max_completion_length,
            0.0 if self.args.top_k == 1 else self.temperature,
        )
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gradient_checkpointing_kwargs=(self.args.gradient_checkpointing_kwargs),
            ) as model,
            torch.no_grad(),
            attention.switched_on(model),
        ):
            return decode.sample(
                model,
                decode.Prefill(model, list(distinct)),
                [distinct[tuple(ids)] for ids in prompt_ids],
                prefixes,
                draws=torch.rand(len(prompt_ids), width),
                temperature=temperature,
                max_new_tokens=width,
                eos=self.eos_token_ids,
            )

    def _prepare_inputs(self, generation_batch):
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before or self._is_vlm:
            return inputs
        self._buffered_inputs = self._groups_together(self._buffered_inputs)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    @staticmethod
    def _groups_together(batches: list[dict]) -> list[dict]:
        """The same rows in as many batches, a prompt's rollouts next to each other; prompts in the
        order of TRL's shuffled rows.
        """
        prompts = [tuple(row) for batch in batches for row in batch["prompt_ids"].tolist()]
        place = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        order = torch.tensor(
            sorted(range(len(prompts)), key=lambda i: place[prompts[i]]),
            device=batches[0]["prompt_ids"].device,
        )
        rows = {
            name: torch.cat([batch[name] for batch in batches])[order]
            if torch.is_tensor(value) and value.dim()
            else value
            for name, value in batches[0].items()
        }
        return split_tensor_dict(rows, len(batches))

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids,
        attention_mask,
        logits_to_keep,
        batch_size=None,
        compute_entropy=False,
        compute_aux_loss=False,
        **multimodal,
    ):
        """Log-probabilities (and entropies) (B, T) of completions, policy's or reference's, zero at
        padding.
        """
        plain = self.accelerator.unwrap_model(model)
        reason = (
            "images take part"
            if any(value is not None for value in multimodal.values())
            else attention.obstacle(plain)
        )
        if reason or compute_aux_loss:
            attention.state(
                "training passes",
                reason or "mixtures of experts balance their load over the whole batch",
            )
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **multimodal,
            )
        score.prepare(plain)
        with self.accelerator.autocast():
            parts = [
                score.per_token(model, ids, mask, logits_to_keep)
                for ids, mask in zip(
                    *(
                        part.split(batch_size or len(input_ids))
                        for part in (input_ids, attention_mask)
                    )
                )
            ]
        logps, entropies = ([part[i] for part in parts] for i in (0, 1))
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

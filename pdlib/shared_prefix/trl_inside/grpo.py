"""TRL's GRPO with the steps of a generation as public methods, which our trainers override.

TRL has hooks of its own, and none serves here: a `rollout_func` would have to write every rollout
itself, also with vLLM, and no hook changes an advantage, least of all per token.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from accelerate.utils import gather_object
from trl import GRPOTrainer

Rollouts = tuple[list[list[int]], list[list[float]] | None]  # token ids, their log-probabilities
Scores = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]


class OpenGRPOTrainer(GRPOTrainer):
    """GRPOTrainer whose steps within a generation are public methods, to be overridden.

    `roll_out` writes the rollouts, `finish` sees them with their rewards, `arrange` puts the
    training batches in order, `score` computes log-probabilities. Of the newest generation it keeps
    this process's token ids (`generated_prompts`, `generated_completions`) and the weighted rewards
    of all processes (`total_rewards`, NaN where no function could score). method, paper and tags
    are what a model card says.
    """

    method = GRPOTrainer._name
    paper: Mapping[str, str] = GRPOTrainer._paper  # title, id (of arXiv), citation (BibTeX)
    tags: Sequence[str] = GRPOTrainer._tag_names

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.generated_prompts: list[list[int]] = []
        self.generated_completions: list[list[int]] = []
        self.total_rewards: torch.Tensor | None = None  # (B*G,)

    # --- to be overridden ---

    def roll_out(
        self, prompts: list[list[int]], copies: int, stock: Callable[..., Rollouts]
    ) -> Rollouts:
        """The completions of these prompts, of which `copies` in a row are equal.

        stock(prompts, copies) is what TRL does. Log-probabilities are None where nobody computed
        them; NaN is a token that was not sampled.
        """
        return stock(prompts, copies)

    def finish(self, inputs: list[dict], output: dict) -> dict:
        """What training gets of a generation. inputs: rows of the data set; output: TRL's batch."""
        return output

    def arrange(self, batches: list[dict]) -> list[dict]:
        """The training batches of one generation, in the order in which they are trained on."""
        return batches

    def score(
        self,
        model,
        ids: torch.Tensor,
        mask: torch.Tensor,
        width: int,
        batch_size: int | None,
        stock: Callable[[], Scores],
        obstacle: str | None,
    ) -> Scores:
        """(log-probabilities, entropies, None) of the last `width` of `ids`, each (B, T).

        stock() is what TRL does; obstacle: why nothing else can do it, if so.
        """
        return stock()

    # --- to be used ---

    @property
    def tokenizer(self):
        """The tokenizer, also where a processor holds it."""
        return self._tokenizer

    @property
    def reads_images(self) -> bool:
        """Is the model one of images and text?"""
        return self._is_vlm

    @property
    def cuts_weights(self) -> bool:
        """Are the weights cut over processes, which must then all take equally many steps?"""
        return self._dist.is_zero3 or self._dist.is_fsdp

    def of_this_process(self, gathered: torch.Tensor, count: int) -> torch.Tensor:
        """This process's `count` rows of a tensor gathered from all processes."""
        start = self.accelerator.process_index * count
        return gathered[start : start + count]

    def log_value(self, name: str, value: float) -> None:
        """Add a value to those whose mean is logged; the same on all processes."""
        self._metrics["train" if self.model.training else "eval"][name].append(value)

    def log_means(self, values: dict[str, list[float]]) -> None:
        """Log the mean over all processes of the values of each name.

        This is what TRL does for reward functions; it is flushed before `finish`. All processes
        gather in the same order, that of the names.
        """
        for name in sorted(set(gather_object(list(values)))):
            local = values.get(name, [])
            sums = torch.tensor(
                [sum(local), len(local)], dtype=torch.float32, device=self.accelerator.device
            )
            total, count = self.accelerator.gather(sums).view(-1, 2).sum(dim=0).tolist()
            self.log_value(name, total / count)

    def keep_advantages(self, values: Sequence[float]) -> None:
        """Put advantages of all processes beside the kept completions: the log takes the newest."""
        self._logs["advantages"].extend(values)

    @torch.no_grad()
    def old_logps(self, output: dict) -> torch.Tensor:
        """(B*G, T) log-probabilities at generation time.

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

    # --- TRL's inside ---

    @property
    def _name(self) -> str:
        return self.method

    @property
    def _paper(self) -> Mapping[str, str]:
        return self.paper

    @property
    def _tag_names(self) -> list[str]:
        return list(self.tags)

    def _generate_single_turn(
        self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False
    ):
        def stock(prompts: list[list[int]], copies: int) -> Rollouts:
            return super(OpenGRPOTrainer, self)._generate_single_turn(
                prompts, images, multimodal_fields, copies, has_tool_images
            )

        return self.roll_out(prompt_ids, num_generations, stock)

    def _generate(self, prompts):
        outputs = super()._generate(prompts)
        self.generated_prompts, self.generated_completions = outputs[:2]
        return outputs

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        per_function = super()._calculate_rewards(
            inputs, prompts, completions, completion_ids_list
        )  # (B*G, functions)
        total = (per_function * self.reward_weights.to(per_function.device)).nansum(1)
        self.total_rewards = total.masked_fill(per_function.isnan().all(1), math.nan)
        return per_function

    def _generate_and_score_completions(self, inputs):
        return self.finish(inputs, super()._generate_and_score_completions(inputs))

    def _prepare_inputs(self, generation_batch):
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before or self.reads_images:
            return inputs
        self._buffered_inputs = self.arrange(self._buffered_inputs)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

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
        obstacle = None
        if any(value is not None for value in multimodal.values()):
            obstacle = "images take part"
        elif compute_aux_loss:
            obstacle = "mixtures of experts balance their load over the whole batch"

        def stock() -> Scores:
            return super(OpenGRPOTrainer, self)._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **multimodal,
            )

        logps, entropies, loss = self.score(
            model, input_ids, attention_mask, logits_to_keep, batch_size, stock, obstacle
        )
        return logps, entropies if compute_entropy else None, loss


def rollouts_of(trainer: GRPOTrainer, prompts: list[list[int]]) -> Rollouts:
    """One generation of any GRPO trainer, of copies of each prompt one after the other."""
    return trainer._generate_single_turn(prompts, None, {}, trainer.num_generations)


def logps_of(trainer: GRPOTrainer, ids: torch.Tensor, mask: torch.Tensor, width: int):
    """(B, width) log-probabilities by any GRPO trainer of the last tokens of `ids`, (B, P + T)."""
    return trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width)[0]

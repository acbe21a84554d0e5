"""What the trainer makes of given completions: a check on a DualGRPO step done by hand.

Notebook 05 does one step in plain PyTorch and compares advantages, loss and gradient with these.
"""

import tempfile
from dataclasses import dataclass

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)

from pdlib import train
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.schema import Example


@dataclass(frozen=True)
class Step:
    """advantages: (2n, T), zero behind a completion's end.  loss: of all completions.

    gradient: (parameters,) of the loss, all parameters behind one another.
    """

    advantages: torch.Tensor
    loss: float
    gradient: torch.Tensor


class _GivenCompletions(DualGRPOTrainer):
    """Takes completions instead of sampling them; keeps its batch and its loss."""

    def roll_out(self, *_):
        return self.given, None

    def compute_loss(self, model, inputs, *arguments, **options):
        self.batch = inputs
        self.loss = super().compute_loss(model, inputs, *arguments, **options)
        return self.loss


class _KeepGradient(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.gradient = gradient(model)


def gradient(model: torch.nn.Module) -> torch.Tensor:
    """The gradients of a model's parameters behind one another, (parameters,)."""
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).clone()


def trainer_step(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    example: Example,
    completions: list[list[int]],
    **settings,
) -> Step:
    """The step that `DualGRPOTrainer` makes on these completions of one question.

    completions: token ids with the mode's tag, the first half in the general mode. settings:
    fields of DualGRPOConfig. The policy is left as it was: the learning rate is 0.
    """
    keep = _KeepGradient()
    with tempfile.TemporaryDirectory() as folder:
        args = DualGRPOConfig(
            output_dir=folder,
            num_generations=len(completions),
            per_device_train_batch_size=len(completions),
            max_steps=1,
            learning_rate=0.0,
            max_grad_norm=0.0,  # the gradient as it is, not clipped
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            **settings,
        )
        trainer = _GivenCompletions(
            policy,
            [train.reward],
            args=args,
            train_dataset=train.rl_rows([example], tokenizer),
            processing_class=tokenizer,
            callbacks=[keep],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.given = completions
        trainer.ref_model.load_state_dict(reference.state_dict())
        trainer.train()
    mask = trainer.batch["completion_mask"]  # (2n, T)
    ids = trainer.batch["completion_ids"]
    shuffled = [row[row_mask.bool()].tolist() for row, row_mask in zip(ids, mask, strict=True)]
    order = [shuffled.index(completion) for completion in completions]
    advantages = (trainer.batch["advantages"] * mask)[order]
    return Step(advantages, trainer.loss.item(), keep.gradient)

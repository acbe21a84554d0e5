"""Supervised training over rows of token ids, by TRL's SFTTrainer."""

from collections.abc import Callable

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from pdlib import models
from pdlib.shared_prefix import attention
from pdlib.shared_prefix.packed import WIDTH_STEP
from pdlib.shared_prefix.trl_inside import attend_by, scoring_labels_only
from pdlib.train.rows import tokens_of
from pdlib.train.run import TrainingRun


def train_on_rows(
    run: TrainingRun,
    rows: list[dict],
    title: str,
    *,
    learning_rate: float,
    warmup: float,
    probe: Callable | None = None,
) -> dict:
    """Train on `rows`, once, in their order; returns the facts for the manifest.

    warmup: the share of steps in which the learning rate rises. probe: see `Progress`.
    """
    steps = max(1, len(rows) // run.batch)
    args = SFTConfig(
        **run.arguments(),
        max_steps=steps,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, int(steps * warmup)),
        logging_steps=max(1, min(10, steps // 10)),
        max_length=None,
        weight_decay=0.01,
        train_sampling_strategy="sequential",
        pad_to_multiple_of=WIDTH_STEP if run.bf16_on_cpu else None,
    )
    model, peft_config = run.load()
    if run.bf16_on_cpu and attention.obstacle(model) is None:
        # PyTorch's own attention goes backward slowly there, see `attention.by_products`.
        attend_by(model.config, attention.NAME)
    trainer = SFTTrainer(
        model,
        args,
        train_dataset=Dataset.from_list(rows),
        processing_class=run.tokenizer,
        peft_config=peft_config,
        callbacks=[
            run.progress(title, probe=probe, probe_every=100),
            *run.preflight(tokens=max(map(tokens_of, rows))),
        ],
    )
    models.give_head_a_bias(trainer.model)
    with scoring_labels_only():
        return run.finish(trainer)

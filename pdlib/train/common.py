"""What every training stage shares: trainer arguments, batches of similar length, checkpoints, the
probe, the saved result.
"""

import ctypes
import json
import random
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer import utils as trl_utils

from pdlib import config, generate, models, modes
from pdlib.dataset import construct
from pdlib.run import stages
from pdlib.run.progress import Progress
from pdlib.shared_prefix import attention
from pdlib.train import preflight

GIVE_BACK_EVERY = 60.0  # seconds

warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)


def tokenize(tokenizer, prompt: str, completion: str) -> dict[str, list[int]]:
    """input_ids and labels; the loss is on the completion and its end token only."""
    front = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    back = tokenizer(completion, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return {"input_ids": front + back, "labels": [-100] * len(front) + back}


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint in `folder`; an interrupted one is removed, and that is said."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    while found:
        newest = found.pop()
        try:
            json.loads((newest / "trainer_state.json").read_text())  # the trainer writes it last
            return str(newest)
        except (FileNotFoundError, json.JSONDecodeError):
            print(
                f"{newest.name} is incomplete (the run was interrupted while saving); going back to the one before",
                flush=True,
            )
            shutil.rmtree(newest)
    return None


def common(cfg: config.Config, folder: Path, stage: str, batch: int, width: int) -> dict:
    """Trainer arguments that every stage shares; `batch` sequences make an update, cut as
    config.accumulation says.

    width: the model's hidden size, see `models.use_bf16`.
    """
    return {
        "output_dir": str(folder / "checkpoints"),
        "seed": cfg.seed,
        "data_seed": cfg.seed,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "steps",
        "save_steps": cfg.checkpoint_every,
        "save_total_limit": 2,
        "adam_beta2": cfg.adam_beta2,
        "bf16": models.use_bf16(width, cfg.precision),
        "use_cpu": models.device().type == "cpu",
        "gradient_checkpointing": cfg.gradient_checkpointing,
        "dataloader_pin_memory": False,
        "logging_nan_inf_filter": False,
        "per_device_train_batch_size": getattr(cfg, f"{stage}_micro_batch", batch),
        "gradient_accumulation_steps": config.accumulation(cfg, stage)
        if stage != "backbone"
        else 1,
    }


def finish(trainer, tokenizer, base: Path, folder: Path) -> dict:
    """Train (from the last whole checkpoint, if any), save the model as the stage's result, drop
    the checkpoints.

    base: the folder of the model it started from; adapters are merged into that.
    """
    device, bf16 = models.describe_device(trainer.args.bf16), trainer.args.bf16
    stages.say_once(device)
    trainer.remove_callback(PrinterCallback)  # Progress shows and logs
    if bf16 and trainer.args.use_cpu:
        trainer.add_callback(GiveBackMemory)
    result = trainer.train(resume_from_checkpoint=last_checkpoint(folder / "checkpoints"))
    if not torch.isfinite(torch.tensor(result.training_loss)):
        raise RuntimeError(
            f"training diverged (loss {result.training_loss}); lower the stage's learning rate"
        )
    weights = trainer.accelerator.get_state_dict(
        trainer.model
    )  # ZeRO-3 gathers them from all processes
    if trainer.accelerator.is_main_process:
        models.save_merged(
            trainer.accelerator.unwrap_model(trainer.model),
            tokenizer,
            base,
            folder,
            state_dict=weights,
            bf16=bf16,
        )
        if (kept := folder / "checkpoints" / "completions").is_dir():
            shutil.rmtree(folder / "completions", ignore_errors=True)
            kept.rename(folder / "completions")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return {"steps": result.global_step, "loss": round(result.training_loss, 4), "device": device}


class GiveBackMemory(TrainerCallback):
    """Between steps, GIVE_BACK_EVERY seconds apart at least, give the freed memory of the C
    library's heap back to the system.

    Batches of many shapes leave gaps between what is in use, and the process grows: at first by a
    quarter of a gigabyte a DualGRPO step of a model of 135 M parameters. What is given back has to
    be asked for again. After every step of SFT this took 31 of 200 % of two cores as system time
    where once a minute it takes 13 (a sample of 20 seconds each); the steps were not seen to become
    faster. Elsewhere than in the GNU C library nothing happens.
    """

    def __init__(self):
        self.trim = (
            getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
        )
        self.last = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        if self.trim is not None and time.monotonic() - self.last >= GIVE_BACK_EVERY:
            self.trim(0)
            self.last = time.monotonic()


def tokens_of(row: dict) -> int:
    return len(row["input_ids"])


def by_length(
    rows: list, batch: int, rng: random.Random, length: Callable[[Any], int] = tokens_of
) -> list:
    """The rows in an order that makes batches of similar length, in random order: little is padded."""
    rows = rng.sample(rows, len(rows))
    span = 50 * batch  # sort within spans, so that a batch's make-up stays random
    rows = [
        row
        for start in range(0, len(rows), span)
        for row in sorted(rows[start : start + span], key=length)
    ]
    batches = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    last = [batches.pop()] if len(batches[-1]) < batch else []
    return [row for group in rng.sample(batches, len(batches)) + last for row in group]


def supervised(
    cfg,
    folder,
    base,
    load,
    tokenizer,
    rows,
    title,
    stage,
    *,
    batch,
    learning_rate,
    warmup,
    probe=None,
    width: int | None = None,
) -> dict:
    """SFT over `rows`, once, in their order. load() -> (model, LoRA config or None), called when
    the arguments exist: ZeRO-3 cuts the weights while they are read. width: the model's hidden
    size, where no model has been saved in `base` yet.
    """
    steps = max(1, len(rows) // batch)
    shared = common(cfg, folder, stage, batch, width or models.width_of(base))
    bf16_on_cpu = shared["bf16"] and shared["use_cpu"]
    args = SFTConfig(
        **shared,
        max_steps=steps,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, int(steps * warmup)),
        logging_steps=max(1, min(10, steps // 10)),
        max_length=None,
        weight_decay=0.01,
        train_sampling_strategy="sequential",
        pad_to_multiple_of=attention.WIDTH_STEP if bf16_on_cpu else None,  # see `attention.rounds`
    )
    model, peft_config = load()
    if bf16_on_cpu and attention.obstacle(model) is None:
        model.config._attn_implementation = (
            attention.NAME
        )  # PyTorch's own goes backward slowly there, see `attention.by_products`
    progress = Progress(folder / "log.jsonl", title, probe=probe, probe_every=100)
    checks = preflight_callback(tokenizer, tokens=max(len(row["input_ids"]) for row in rows))
    trainer = SFTTrainer(
        model,
        args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=[progress, *checks],
    )
    models.give_head_a_bias(trainer.model)
    with scoring_labels_only():
        return finish(trainer, tokenizer, base, folder)


@contextmanager
def scoring_labels_only() -> Iterator[None]:
    """On a CPU, let TRL's fused head score only the positions that have a label, as it does on a
    GPU.

    Left alone it scores the prompt's positions, too, and drops what it found there: two thirds of
    the work of a pocket SFT step's loss. The result is the same.
    """
    usual = trl_utils._use_triton
    trl_utils._use_triton = lambda device: device.type == "cpu" or usual(device)
    try:
        yield
    finally:
        trl_utils._use_triton = usual


def preflight_callback(tokenizer, **lengths) -> list[preflight.Preflight]:
    """On a GPU: try the longest batch before the first step, to fail early and clearly where memory
    is short.
    """
    return [preflight.Preflight(tokenizer, **lengths)] if models.device().type == "cuda" else []


def loader(cfg: config.Config, start: Path):
    """load() of `start` for the configured tuning -> (model, LoRA config or None)."""

    def load():
        model, _, peft_config = models.load_for_training(
            start, cfg.tuning, rank=cfg.lora_rank, alpha=cfg.lora_alpha, precision=cfg.precision
        )
        return model, peft_config

    return load


def probe_callback(cfg: config.Config, tokenizer: PreTrainedTokenizerBase, data: Path):
    """A probe of validation questions, never forced: mean P(personalised) by kind and condition,
    and one sample.

    None in a launched run: there the main process would look alone, and a model cut over processes
    answers only to all.
    """
    if cfg.accelerate != "none":
        return None
    examples = construct.from_frame(pd.read_parquet(data / "validation.parquet"))
    prompts = [modes.render_prompt(tokenizer, e.item, e.persona) for e in examples]
    groups = [
        f"P(personalised) {e.item.kind if e.item.kind == 'personalized' else e.condition}"
        for e in examples
    ]

    def probe(model: PreTrainedModel) -> tuple[dict[str, float], str]:
        training, python, numpy = model.training, random.getstate(), np.random.get_state()
        with torch.random.fork_rng():  # looking must not change the run
            model.eval()
            chances = generate.prompt_mode_probability(
                model, tokenizer, prompts, batch_tokens=cfg.eval_batch_tokens
            )
            sample = generate.complete(model, tokenizer, prompts[:1], max_new_tokens=64)[0].text
        model.train(training)
        random.setstate(python)
        np.random.set_state(numpy)
        shares = pd.Series(chances).groupby(groups).mean().to_dict()
        return shares, f"{prompts[0]}\n{sample}"

    return probe

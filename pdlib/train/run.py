"""One training in this process: what it starts from, its arguments, its result."""

import ctypes
import json
import math
import shutil
import sys
import time
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from peft import LoraConfig
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)

from pdlib import config, models
from pdlib.run import stages
from pdlib.run.progress import Progress
from pdlib.shared_prefix import attention
from pdlib.train.preflight import Preflight

GIVE_BACK_EVERY = 60.0  # seconds
KEPT = ("completions", "runs")  # folders among the checkpoints: rollouts, what TensorBoard reads
# Beginnings of the settings that every training stage depends on.
TRAINING = (
    "modes",
    "tuning",
    "precision",
    "lora_",
    "adam_",
    "gradient",
    "processes",
    "rl_prefix_style",
)

warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)


@dataclass(frozen=True)
class TrainingRun:
    """What one training of one model owns: settings, folder, start, tokenizer, precision, result.

    folder: the stage's, in which log, checkpoints and the trained model lie. start: the folder of
    the model that training starts from; adapters are merged into that. stage: "backbone", "sft" or
    "rl", of which the micro batch is taken. batch: sequences per update, cut as config.accumulation
    says. fresh: a new model and its tokenizer, where no folder holds them yet.
    """

    cfg: config.Config
    folder: Path
    start: Path
    stage: str
    batch: int
    fresh: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the model that is trained."""
        return self.fresh[1] if self.fresh else models.load_tokenizer(self.start)

    @cached_property
    def bf16(self) -> bool:
        """Whether training computes in bfloat16, see `models.use_bf16`."""
        fresh = self.fresh
        width = fresh[0].config.hidden_size if fresh else models.width_of(self.start)
        return models.use_bf16(width, self.cfg.precision)

    @property
    def bf16_on_cpu(self) -> bool:
        """Whether it does so on a CPU, see `attention.bf16_on_cpu`."""
        dtype = torch.bfloat16 if self.bf16 else torch.float32
        return attention.bf16_on_cpu(models.device(), dtype)

    def load(self) -> tuple[PreTrainedModel, LoraConfig | None]:
        """The model and its LoRA config (None with full tuning).

        To be called when the trainer's arguments exist: ZeRO-3 cuts the weights while they are
        read.
        """
        if self.fresh:
            return self.fresh[0], None
        cfg = self.cfg
        model, _, lora = models.load_for_training(
            self.start,
            cfg.tuning,
            rank=cfg.lora_rank,
            alpha=cfg.lora_alpha,
            precision=cfg.precision,
            mode_set=cfg.mode_set,
        )
        return model, lora

    def arguments(self) -> dict:
        """Trainer arguments that every stage shares."""
        cfg = self.cfg
        accumulation = 1 if self.stage == "backbone" else config.accumulation(cfg, self.stage)
        return {
            "output_dir": str(self.folder / "checkpoints"),
            "seed": cfg.seed,
            "data_seed": cfg.seed,
            "report_to": list(cfg.report_to),
            "disable_tqdm": True,
            "save_strategy": "steps",
            "save_steps": cfg.checkpoint_every,
            "save_total_limit": 2,
            "adam_beta2": cfg.adam_beta2,
            "bf16": self.bf16,
            "use_cpu": models.device().type == "cpu",
            "gradient_checkpointing": cfg.gradient_checkpointing,
            "dataloader_pin_memory": False,
            "logging_nan_inf_filter": False,
            "per_device_train_batch_size": getattr(cfg, f"{self.stage}_micro_batch", self.batch),
            "gradient_accumulation_steps": accumulation,
        }

    def progress(self, title: str, **options) -> Progress:
        """The callback that shows the training and writes the folder's log.jsonl."""
        log_file = self.folder / "log.jsonl"
        return Progress(log_file, title, mode_set=self.cfg.mode_set, **options)

    def preflight(self, **lengths) -> list[Preflight]:
        """On a GPU the callback that tries the longest batch before the first step, else none."""
        return [Preflight(self.tokenizer, **lengths)] if models.device().type == "cuda" else []

    def finish(self, trainer: Trainer) -> dict:
        """Train (from the last whole checkpoint, if any) and save the model as the stage's result.

        The checkpoints are dropped. Returns facts for the manifest: steps, loss, device.
        """
        device = models.describe_device(self.bf16)
        stages.say_once(device)
        trainer.remove_callback(PrinterCallback)  # Progress shows and logs
        trainer.add_callback(StopWhereNotFinite)
        models.train_in_32_bits(trainer.model)
        if self.bf16_on_cpu:
            trainer.add_callback(GiveBackMemory)
        checkpoints = self.folder / "checkpoints"
        result = trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
        if not math.isfinite(result.training_loss):  # between two logged steps
            raise RuntimeError(
                f"training diverged (loss {result.training_loss}); lower the stage's learning rate"
            )
        self._write_result(trainer)
        steps, loss = result.global_step, round(result.training_loss, 4)
        return {"steps": steps, "loss": loss, "device": device}

    def _write_result(self, trainer: Trainer) -> None:
        """Write the trained model, and keep what TRL and trackers wrote while it trained."""
        # ZeRO-3 gathers the weights from all processes; it asks its engine for them, no model.
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        if trainer.accelerator.is_main_process:
            models.save_merged(
                trainer.accelerator.unwrap_model(trainer.model),
                self.tokenizer,
                self.start,
                self.folder,
                state_dict=weights,
                bf16=self.bf16,
            )
            checkpoints = self.folder / "checkpoints"
            for name in KEPT:
                if (checkpoints / name).is_dir():
                    shutil.rmtree(self.folder / name, ignore_errors=True)
                    (checkpoints / name).rename(self.folder / name)
            shutil.rmtree(checkpoints, ignore_errors=True)
        trainer.accelerator.wait_for_everyone()


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint in `folder`; an interrupted one is removed, and that is said."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    while checkpoints:
        newest = checkpoints.pop()
        try:
            json.loads((newest / "trainer_state.json").read_text())  # the trainer writes it last
            return str(newest)
        except (FileNotFoundError, json.JSONDecodeError):
            print(
                f"{newest.name} is incomplete (the run was interrupted while saving); going back "
                "to the one before",
                flush=True,
            )
            shutil.rmtree(newest)
    return None


class StopWhereNotFinite(TrainerCallback):
    """Stop at the first loss or gradient that is infinite or no number.

    Later steps would only spread it.
    """

    def on_log(self, args, state, control, logs=None, **kwargs):
        """RuntimeError that names the step."""
        for name in ("loss", "grad_norm"):
            value = (logs or {}).get(name)
            if value is not None and not math.isfinite(value):
                raise RuntimeError(
                    f"training diverged: {name} is {value} at step {state.global_step}; lower the "
                    "stage's learning rate"
                )


class GiveBackMemory(TrainerCallback):
    """Between steps, give the freed memory of the C library's heap back to the system.

    At least GIVE_BACK_EVERY seconds lie between two times. Batches of many shapes leave gaps
    between what is in use, and the process grows: at first by a quarter of a gigabyte per DualGRPO
    step of a model of 135 M parameters. What is given back has to be asked for again. After every
    step of SFT this took 31 of 200 % of two cores as system time where once per minute it takes 13
    (a sample of 20 seconds each); the steps were not seen to become faster. Elsewhere than in the
    GNU C library nothing happens.
    """

    def __init__(self):
        library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self.trim = getattr(library, "malloc_trim", None)
        self.last = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        """Give memory back, if enough time has passed."""
        if self.trim is not None and time.monotonic() - self.last >= GIVE_BACK_EVERY:
            self.trim(0)
            self.last = time.monotonic()

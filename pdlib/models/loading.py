"""Load a model to answer or to be trained: whole, with LoRA, or with LoRA on a base in 4 bits.

Departure from PEFT's recipe for 4-bit training: what is not quantised (embeddings, norms) stays in
16 bits instead of being cast to 32, as TRL does it. Qwen3's norms compute in 32 bits anyway, and
the embeddings of a model of 8 B would take 2.5 GB more. Adapters are trained in 32 bits, which TRL
does not (`adapters.train_in_32_bits`).
"""

import os
from pathlib import Path

import torch
from peft import LoraConfig
from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations import is_deepspeed_zero3_enabled

from pdlib import config
from pdlib.models.adapters import lora
from pdlib.models.folders import load_tokenizer, load_weights, width_of
from pdlib.models.precision import device, use_bf16
from pdlib.schema import PAPER_MODES, ModeSet


def _dtype(folder: Path | str, precision: str) -> torch.dtype:
    return torch.bfloat16 if use_bf16(width_of(folder), precision) else torch.float32


def load(
    folder: Path | str, precision: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in evaluation mode, on the chosen device, and its tokenizer.

    folder: a saved or pointed-to model. precision: see `use_bf16`.
    """
    model = load_weights(folder, dtype=_dtype(folder, precision))
    return model.to(device()).eval(), load_tokenizer(folder)


def load_for_training(
    folder: Path | str,
    tuning: str,
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    precision: str = "auto",
    mode_set: ModeSet = PAPER_MODES,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, LoraConfig | None]:
    """The model, its tokenizer and the LoRA config for a TRL trainer, which places the model.

    full: 32-bit weights, since a step of 1e-6 is lost to rounding in 16 (under ZeRO-3 DeepSpeed
    keeps the 32-bit copy); there is no LoRA config. lora: a frozen base in 16 bits where `use_bf16`
    says so. qlora: a frozen base in 4 bits (nf4, double quantisation; Dettmers et al. 2023). In
    several processes the trainer's arguments must exist before, so that ZeRO-3 cuts the weights
    while they are read. mode_set: the modes whose tags LoRA trains, where they are tokens.
    """
    if tuning not in config.CHOICES["tuning"]:
        raise ValueError(
            f"tuning is {tuning!r}, expected one of {', '.join(config.CHOICES['tuning'])}"
        )
    options = {"dtype": _dtype(folder, precision)}
    if tuning == "full" and not is_deepspeed_zero3_enabled():
        options["dtype"] = torch.float32
    if tuning == "qlora":
        local_gpu = int(os.environ.get("LOCAL_RANK", 0))
        options["device_map"] = {"": local_gpu if torch.cuda.is_available() else "cpu"}
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=options["dtype"],
        )
    model, tokenizer = load_weights(folder, **options), load_tokenizer(folder)
    if tuning == "full":
        return model, tokenizer, None
    tied = model.config.tie_word_embeddings
    return model, tokenizer, lora(tokenizer, rank, alpha, dropout, tied, mode_set)

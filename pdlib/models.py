"""Load and save models; choose device and precision."""

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

logging.disable_progress_bar()  # a bar for every load would fill executed notebooks


def device() -> torch.device:
    """CUDA when there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_bf16() -> bool:
    """bfloat16 on GPUs that compute in it; float32 elsewhere."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def describe_device() -> str:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    return f"device {device()} ({name}), precision {'bfloat16' if use_bf16() else 'float32'}"


def check_folder(folder: Path | str) -> Path:
    """`folder` if it holds a whole saved model; otherwise a ValueError that says what is missing."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"no model at {folder}: the folder does not exist; run the stage that trains it first")
    missing = [n for n in ("config.json", "tokenizer.json", "tokenizer_config.json") if not (folder / n).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise ValueError(f"{folder} is not a saved model: {', '.join(missing)} missing; delete it and run its stage again")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as broken:
        raise ValueError(f"{folder}/config.json is not JSON ({broken}); delete the folder and run its stage again") from broken
    return folder


def load_tokenizer(name: Path | str) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(name)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load(folder: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """(model in evaluation mode, tokenizer) of a saved folder, on the chosen device and precision."""
    folder = check_folder(folder)
    dtype = torch.bfloat16 if use_bf16() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    return model.to(device()).eval(), load_tokenizer(folder)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Write model and tokenizer to `folder` (safetensors only)."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return check_folder(folder)

"""Load and save models; choose device and precision."""

import json
from pathlib import Path

import torch
from peft import LoraConfig
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from pdlib import modes
from pdlib.schema import Mode

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


def add_mode_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Give each mode's prefix one token of its own, before SFT (`prefix_style="token"`); return the new ids.

    A new token starts as the mean of the pieces that the prefix was written in, in both embeddings, so that the model
    meets it near what it already knows. Both are changed in place. LoRA leaves new tokens as they are unless its config
    names them, as that of `lora` does.
    """
    pieces = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in (m.tag + "\n" for m in Mode)}
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in pieces])
    new = {tokenizer.convert_tokens_to_ids(text): ids for text, ids in pieces.items() if len(ids) > 1}
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for embedding in {model.get_input_embeddings(), model.get_output_embeddings()}:
            for token, ids in new.items():
                embedding.weight[token] = embedding.weight[ids].mean(0)
    return list(new)


def give_head_a_bias(model: PreTrainedModel) -> None:
    """TRL reads `lm_head.bias`, which PEFT's wrapper of single trained tokens lacks where embeddings are tied: say None."""
    head = model.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None


def lora(tokenizer: PreTrainedTokenizerBase, rank: int = 16, alpha: int = 32, dropout: float = 0.0) -> LoraConfig:
    """LoRA on all linear layers; where the mode prefixes are tokens of their own, their embeddings are trained too."""
    prefixes = list(modes.prefix_ids(tokenizer).values())
    own = [ids[0] for ids in prefixes] if all(len(ids) == 1 for ids in prefixes) else None
    return LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM",
                      trainable_token_indices=own)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Write model and tokenizer to `folder` (safetensors only)."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return check_folder(folder)

"""Write a model to a folder as plain safetensors, with any adapter merged into it."""

import copy
from pathlib import Path

import torch
from peft import (
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pdlib.models.folders import check_folder, load_weights, source_name


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Write model and tokenizer to `folder` (safetensors only)."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return check_folder(folder)


def save_merged(
    trained: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    base_folder: Path | str,
    folder: Path,
    state_dict: dict | None = None,
    bf16: bool = False,
) -> Path:
    """Write a trained model to `folder`; LoRA, on whatever base, is merged into `base_folder`'s.

    base_folder: the model that training started from, in at least 16 bits, with mode tokens if it
    had any. A 4-bit base is replaced by it: merging into 4 bits would round the adapter away. The
    adapter itself is kept in `folder`/adapter. state_dict: the trained weights where they are cut
    over processes (accelerator.get_state_dict). bf16: a merged model is written in 16 bits.
    """
    if isinstance(trained, PeftModel):
        # Merged first: a base that cannot be read leaves nothing that looks like a model.
        merged = _merge(trained, base_folder, state_dict, torch.bfloat16 if bf16 else torch.float32)
        trained.peft_config["default"].base_model_name_or_path = source_name(base_folder)
        trained.save_pretrained(
            folder / "adapter", state_dict=state_dict, save_embedding_layers=False
        )
        merged.save_pretrained(folder)
    else:
        if state_dict and trained.config.tie_word_embeddings:
            # Gathered tensors share no memory, so the head would be written twice.
            tied = trained.all_tied_weights_keys
            state_dict = {name: value for name, value in state_dict.items() if name not in tied}
        trained.save_pretrained(folder, state_dict=state_dict)
    tokenizer.save_pretrained(folder)
    return check_folder(folder)


@torch.no_grad()
def _merge(
    trained: PeftModel, base_folder: Path | str, state_dict: dict | None, dtype: torch.dtype
) -> PreTrainedModel:
    """The plain, unquantised model of `base_folder` with the adapter of `trained`, in `dtype`.

    The adapter is merged in 32 bits.
    """
    adapter = get_peft_model_state_dict(trained, state_dict=state_dict, save_embedding_layers=False)
    base = load_weights(base_folder, dtype=torch.float32)
    trained_rows, base_rows = trained.config.vocab_size, base.config.vocab_size
    if trained_rows != base_rows:
        raise ValueError(
            f"the adapter was trained on {trained_rows} embedding rows, {base_folder} has "
            f"{base_rows}; give the folder of the model that training started from (with mode "
            "tokens: saved after models.add_mode_tokens)"
        )
    adapted = get_peft_model(base, copy.deepcopy(trained.peft_config["default"]))
    unknown = set_peft_model_state_dict(adapted, adapter).unexpected_keys
    if unknown:
        raise ValueError(
            f"the adapter does not fit {base_folder}: {len(unknown)} tensors have no place there, "
            f"as {unknown[0]}"
        )
    if dtype != torch.float32:
        print(
            f"merged into {dtype}: rounding takes {_rounded_away(adapted, dtype):.1%} of the "
            "adapter's change (a larger learning rate moves weights further; the exact adapter is "
            "kept in adapter/)",
            flush=True,
        )
    return adapted.merge_and_unload(safe_merge=True).to(dtype)


def _rounded_away(model: PeftModel, dtype: torch.dtype) -> float:
    """The share of the adapter's change that rounding the merged weights to `dtype` takes away.

    Both are squared norms.
    """
    lost = total = 0.0
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            change = layer.get_delta_weight("default")
            merged = layer.get_base_layer().weight + change
            total += change.square().sum().item()
            lost += (merged.to(dtype).float() - merged).square().sum().item()
    return lost / total if total else 0.0

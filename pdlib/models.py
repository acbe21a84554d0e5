"""Load and save models, whole or as a pointer to the hub; full, LoRA and 4-bit LoRA; choose device
and precision.

Departure from PEFT's recipe for 4-bit training: what is not quantised (embeddings, norms) stays in
16 bits instead of being cast to 32, as TRL does it: Qwen3's norms compute in 32 bits anyway, and an
8 B model's embeddings would take 2.5 GB more.
"""

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from tokenizers import AddedToken
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.utils import cached_file, logging
from transformers.utils.hub import extract_commit_hash

from pdlib import config, modes
from pdlib.schema import Mode

logging.disable_progress_bar()  # a bar for every load would fill executed notebooks
POINTER = "model.json"
TUNINGS = ("full", "lora", "qlora")
PRECISIONS = ("auto", "float32", "bfloat16")
# Ours. One core of an Intel Xeon with AMX takes a training step of 4 layers in bfloat16 1.5 x as
# fast at this hidden size, 2.3 x at 512, and no faster at 128, which is the pocket models'.
WIDE = 256


def device() -> torch.device:
    """CUDA when there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_bf16(width: int, precision: str = "auto") -> bool:
    """Whether to compute in bfloat16. precision: the setting of that name, one of PRECISIONS.

    "auto" is bfloat16 where it pays: on GPUs that compute in it, and on CPUs with instructions for
    it (AMX, AVX512-bf16) where the model's hidden size `width` is WIDE at least. It is float32
    elsewhere.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    able = torch.cpu.get_capabilities()
    return (
        device().type == "cpu"
        and width >= WIDE
        and bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    )


def width_of(folder: Path | str) -> int:
    """The hidden size of a saved or pointed-to model, from its config."""
    name, where = _source(check_folder(folder))
    with _reading(name):
        return AutoConfig.from_pretrained(name, **where).get_text_config().hidden_size


def _dtype(folder: Path | str, precision: str) -> torch.dtype:
    return torch.bfloat16 if use_bf16(width_of(folder), precision) else torch.float32


def describe_device(bf16: bool | None = None) -> str:
    """The device in words, with the precision where it is known."""
    name = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{torch.get_num_threads()} threads"
    )
    return f"device {device()} ({name})" + (
        "" if bf16 is None else f", precision {'bfloat16' if bf16 else 'float32'}"
    )


def _existing(folder: Path | str) -> Path:
    if not Path(folder).is_dir():
        raise ValueError(
            f"no model at {folder}: the folder does not exist; run the stage {Path(folder).name!r} that makes it first, "
            "or `make reproduce`, which runs all"
        )
    return Path(folder)


def check_folder(folder: Path | str) -> Path:
    """`folder` if it holds a whole saved model or a pointer to one; otherwise a ValueError that
    says what is missing.
    """
    folder = _existing(folder)
    if (folder / POINTER).is_file():
        name, _ = _source(folder)
        if config.is_local(name):
            check_folder(name)
        return folder
    missing = [
        n
        for n in ("config.json", "tokenizer.json", "tokenizer_config.json")
        if not (folder / n).is_file()
    ]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise ValueError(
            f"{folder} is not a saved model: {', '.join(missing)} missing; delete it and run its stage again"
        )
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as broken:
        raise ValueError(
            f"{folder}/config.json is not JSON ({broken}); delete the folder and run its stage again"
        ) from broken
    return folder


def _source(folder: Path | str) -> tuple[str, dict]:
    """(what from_pretrained reads, its keyword arguments): a pointer's target, else `folder`
    itself.
    """
    pointer = Path(folder) / POINTER
    if not pointer.is_file():
        return str(folder), {}
    target = json.loads(pointer.read_text(encoding="utf-8"))
    return target["name"], {"revision": target["revision"]} if target["revision"] else {}


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn a refusal (no network, no such model, a gate that is closed) into one ValueError that
    says what replaces the model.
    """
    try:
        yield
    except OSError as refused:
        raise ValueError(
            f'cannot read the model {name!r}: {str(refused).strip().splitlines()[0]} Expected a hub id (also "org/name@revision") '
            "that can be fetched or is in the cache, or a local folder. Either name a local folder in the setting `backbones`, as "
            f"in SET='backbones=[/path/to/model]'; or fill the cache where the hub can be reached: `hf download {name}` (a gated "
            "model needs `hf auth login` before; the cache lies in HF_HOME)"
        ) from refused


def point(folder: Path, name: str) -> dict:
    """Make `folder` a pointer to a hub id, "org/name@revision", or a local folder; nothing heavy is
    copied or loaded.

    Config and tokenizer are read, so that a model that cannot be had is refused now (ValueError)
    and not hours later. Returns {"model", "revision"}: the hub id or the local folder's own name;
    the resolved commit, None for a local folder.
    """
    if config.is_local(name):
        target, revision = str(check_folder(config.local_path(name))), None
        load_tokenizer(target)
    else:
        target, _, wanted = name.partition("@")
        with _reading(target):
            revision = extract_commit_hash(
                cached_file(target, "config.json", revision=wanted or None), None
            )
            AutoTokenizer.from_pretrained(target, revision=revision)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / POINTER).write_text(
        json.dumps({"name": target, "revision": revision}) + "\n", encoding="utf-8"
    )
    return {"model": config.run_name(target), "revision": revision}


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a saved or pointed-to model, padding on the left; ValueError where the
    folder does not exist.
    """
    name, where = _source(_existing(folder))
    with _reading(name):
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _load(folder: Path | str, **options) -> PreTrainedModel:
    name, where = _source(check_folder(folder))
    with _reading(name):
        return AutoModelForCausalLM.from_pretrained(name, use_safetensors=True, **where, **options)


def load(
    folder: Path | str, precision: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """(model in evaluation mode, tokenizer) of a saved or pointed-to model, on the chosen device;
    precision: see `use_bf16`.
    """
    model = _load(folder, dtype=_dtype(folder, precision))
    return model.to(device()).eval(), load_tokenizer(folder)


def load_for_training(
    folder: Path | str,
    tuning: str,
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    precision: str = "auto",
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, LoraConfig | None]:
    """(model, tokenizer, LoRA config) for a TRL trainer, which places the model; the config is None
    with tuning "full".

    full: 32-bit weights, since a step of 1e-6 is lost to rounding in 16 (under ZeRO-3 DeepSpeed
    keeps the 32-bit copy); lora: a frozen base in 16 bits where `use_bf16` says so; qlora: a frozen
    base in 4 bits (nf4, double quantisation; Dettmers et al. 2023). In several processes the
    trainer's arguments must exist before, so that ZeRO-3 cuts the weights while they are read.
    """
    if tuning not in TUNINGS:
        raise ValueError(f"tuning is {tuning!r}, expected one of {', '.join(TUNINGS)}")
    low = _dtype(folder, precision)
    if tuning == "full":
        options = {"dtype": low if is_deepspeed_zero3_enabled() else torch.float32}
    elif tuning == "lora":
        options = {"dtype": low}
    else:
        here = int(os.environ.get("LOCAL_RANK", 0)) if torch.cuda.is_available() else "cpu"
        options = {
            "dtype": low,
            "device_map": {"": here},
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=low,
            ),
        }
    model, tokenizer = _load(folder, **options), load_tokenizer(folder)
    tied = model.config.tie_word_embeddings
    return (
        model,
        tokenizer,
        None if tuning == "full" else lora(tokenizer, rank, alpha, dropout, tied),
    )


def add_mode_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Give each mode's prefix one token of its own, before SFT (`prefix_style="token"`); return the
    new ids.

    A new token starts as the mean of the pieces that the prefix was written in, in both embeddings,
    so that the model meets it near what it already knows. Both are changed in place. LoRA leaves
    new tokens as they are unless its config names them, as that of `lora` does.
    """
    pieces = {
        text: tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (m.tag + "\n" for m in Mode)
    }
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in pieces])
    new = {
        tokenizer.convert_tokens_to_ids(text): ids for text, ids in pieces.items() if len(ids) > 1
    }
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for embedding in {model.get_input_embeddings(), model.get_output_embeddings()}:
            for token, ids in new.items():
                embedding.weight[token] = embedding.weight[ids].mean(0)
    return list(new)


def give_head_a_bias(model: PreTrainedModel) -> None:
    """TRL reads `lm_head.bias`, which PEFT's wrapper of single trained tokens lacks where
    embeddings are tied: say None.
    """
    head = model.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None


def lora(
    tokenizer: PreTrainedTokenizerBase,
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    tied: bool = True,
) -> LoraConfig:
    """LoRA on all linear layers; where the mode prefixes are tokens of their own, their embeddings
    are trained too.

    tied: whether the output embeddings are the input ones; if not, both are trained, or the model
    could read its new tokens but hardly learn to write them.
    """
    prefixes = list(modes.prefix_ids(tokenizer).values())
    own = [ids[0] for ids in prefixes] if all(len(ids) == 1 for ids in prefixes) else None
    own = {"embed_tokens": own, "lm_head": own} if own and not tied else own
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        trainable_token_indices=own,
    )


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Write model and tokenizer to `folder` (safetensors only)."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return check_folder(folder)


def _rounded_away(model: PeftModel, dtype: torch.dtype) -> float:
    """The share of the adapter's change (squared norm) that is lost when the merged weights are
    rounded to `dtype`.
    """
    lost = total = 0.0
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            change = layer.get_delta_weight("default")
            merged = layer.get_base_layer().weight + change
            total += change.square().sum().item()
            lost += (merged.to(dtype).float() - merged).square().sum().item()
    return lost / total if total else 0.0


@torch.no_grad()
def _merge(
    trained: PeftModel, base_folder: Path | str, state_dict: dict | None, dtype: torch.dtype
) -> PreTrainedModel:
    """The plain model of `base_folder`, unquantised, with the adapter of `trained` merged into it
    in 32 bits, then in `dtype`.
    """
    adapter = get_peft_model_state_dict(trained, state_dict=state_dict, save_embedding_layers=False)
    base = _load(base_folder, dtype=torch.float32)
    rows, own = trained.config.vocab_size, base.config.vocab_size
    if rows != own:
        raise ValueError(
            f"the adapter was trained on {rows} embedding rows, {base_folder} has {own}; give the folder of the model "
            "that training started from (with mode tokens: saved after models.add_mode_tokens)"
        )
    fresh = get_peft_model(base, copy.deepcopy(trained.peft_config["default"]))
    unknown = set_peft_model_state_dict(fresh, adapter).unexpected_keys
    if unknown:
        raise ValueError(
            f"the adapter does not fit {base_folder}: {len(unknown)} tensors have no place there, as {unknown[0]}"
        )
    if dtype != torch.float32:
        print(
            f"merged into {dtype}: rounding takes {_rounded_away(fresh, dtype):.1%} of the adapter's change (a larger learning "
            "rate moves weights further; the exact adapter is kept in adapter/)",
            flush=True,
        )
    return fresh.merge_and_unload(safe_merge=True).to(dtype)


def save_merged(
    trained: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    base_folder: Path | str,
    folder: Path,
    state_dict: dict | None = None,
    bf16: bool = False,
) -> Path:
    """Write a trained model to `folder` as plain safetensors; LoRA, on whatever base, is merged
    into that of `base_folder`.

    base_folder: the model that training started from, in at least 16 bits, with mode tokens if it
    had any. A 4-bit base is replaced by it: merging into 4 bits would round the adapter away. The
    adapter itself is kept in `folder`/adapter. state_dict: the trained weights where they are cut
    over processes (accelerator.get_state_dict). bf16: a merged model is written in 16 bits.
    """
    if not isinstance(trained, PeftModel):
        if (
            state_dict and trained.config.tie_word_embeddings
        ):  # gathered tensors share no memory, so the head would be written twice
            state_dict = {
                name: value
                for name, value in state_dict.items()
                if name not in trained.all_tied_weights_keys
            }
        trained.save_pretrained(folder, state_dict=state_dict)
    else:
        # Merged first: a base that cannot be read leaves nothing that looks like a model.
        merged = _merge(trained, base_folder, state_dict, torch.bfloat16 if bf16 else torch.float32)
        trained.peft_config["default"].base_model_name_or_path = Path(_source(base_folder)[0]).name
        trained.save_pretrained(
            folder / "adapter", state_dict=state_dict, save_embedding_layers=False
        )
        merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return check_folder(folder)

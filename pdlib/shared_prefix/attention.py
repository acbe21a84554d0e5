"""The attention function that knows which prompt belongs to which row, and who can use it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch.nn.functional import dropout, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from pdlib.run import stages
from pdlib.shared_prefix.trl_inside import attend_by, attention_of

NAME, PLAIN = "shared_prefix", "sdpa"
ARCHITECTURES = ("llama", "qwen3")  # others may work, these are tested
# Devices on which a mask and fewer keys than query heads go together well in PyTorch's attention.
MASKED_GQA = ("cpu",)

# cuDNN's attention is PyTorch's default on Hopper cards. With a mask it gives NaN in the query's
# gradient at some lengths (pytorch#196678): an H200 gave 45,056 of them at 704 tokens, and none
# with this (outputs/reference/gpu_check.json). Whatever trains a model imports this module.
torch.backends.cuda.enable_cudnn_sdp(False)


def attend(module, query, key, value, attention_mask, shared_prefix=None, **options):
    """Plain scaled dot-product attention, unless the call carries a layout that attends itself.

    The layout is the keyword `shared_prefix`: a `packed.Packed` batch or `decode.Rows`.
    """
    scale, dropout_p = options["scaling"], options.get("dropout", 0.0)
    if shared_prefix is not None:
        layer = module.layer_idx
        return shared_prefix.attend(layer, query, key, value, scale, dropout_p), None
    if query.requires_grad and bf16_on_cpu(query.device, query.dtype):
        seen = {"is_causal": True} if attention_mask is None else {"attn_mask": attention_mask}
        out = by_products(query, key, value, scale=scale, dropout_p=dropout_p, **seen)
        return out.transpose(1, 2).contiguous(), None  # (R, T, H, D)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


AttentionInterface.register(NAME, attend)
# The mask is for calls without a layout; a layout's own mask is 4-D and passes as it is.
AttentionMaskInterface.register(NAME, sdpa_mask)


def base_model(model) -> PreTrainedModel:
    """The Transformers model, without PEFT's wrapper if it has one."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def obstacle(model) -> str | None:
    """Why this model cannot share prefixes; None when it can."""
    base = base_model(model)
    if not isinstance(base, PreTrainedModel):
        return f"{type(base).__name__} is no transformers model"
    config = base.config
    if config.model_type not in ARCHITECTURES:
        return f"the architecture {config.model_type!r} is not one of {', '.join(ARCHITECTURES)}"
    if (by := attention_of(config)) not in (NAME, PLAIN):
        return f"the model was loaded with attn_implementation={by!r}, not {PLAIN!r}"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "some layers attend within a sliding window only"
    if (rope := config.rope_parameters["rope_type"]) in ("dynamic", "longrope"):
        return f"rotary embeddings of type {rope!r} depend on how long the whole batch is"
    if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
        return "the adapter puts virtual tokens before the prompt"
    if len(set((getattr(base, "hf_device_map", None) or {}).values())) > 1:
        return "the model is spread over several devices"
    return None


def state(what: str, reason: str) -> None:
    """Say once per process that the plain path is used, and why."""
    stages.say_once(f"{what} without a shared prefix (slower, same results): {reason}")


@contextmanager
def switched_on(model) -> Iterator[None]:
    """Within it, `model` attends by `attend`; after it as before."""
    config = base_model(model).config
    before = attention_of(config)
    attend_by(config, NAME)
    try:
        yield
    finally:
        attend_by(config, before)


def bf16_on_cpu(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether what has this type on this device is computed with in bfloat16 on a CPU.

    It may be so by its own type or by autocast. Three things are done differently there: attention
    goes by `by_products` where it is trained, shapes are rounded up (see
    `computes_in_bf16_on_cpu`), and freed memory is given back (`pdlib.train.run`).
    """
    in_bf16 = dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    return device.type == "cpu" and in_bf16


def computes_in_bf16_on_cpu(model) -> bool:
    """`bf16_on_cpu` of a model: is it worth while to round the shapes of a packed batch up?

    There PyTorch's matrix products are compiled anew for each shape that comes up. Where every
    batch has a shape of its own, this took a tenth of a DualGRPO step of a model of 135 M
    parameters.
    """
    weight = next(model.parameters())  # a model wrapped for several processes has no dtype itself
    return bf16_on_cpu(weight.device, weight.dtype)


def dot_product(query, key, value, **options) -> torch.Tensor:
    """PyTorch's own attention, for fewer keys than query heads, too."""
    heads = query.shape[1] // key.shape[1]
    if "attn_mask" in options and query.device.type not in MASKED_GQA:
        key, value = repeat_kv(key, heads), repeat_kv(value, heads)
    return scaled_dot_product_attention(
        query, key, value, enable_gqa=query.shape[1] != key.shape[1], **options
    )


def by_products(
    query,
    key,
    value,
    *,
    scale: float,
    dropout_p: float,
    attn_mask: torch.Tensor | None = None,
    is_causal: bool = False,
) -> torch.Tensor:
    """The same as matrix products with a softmax between them, as in Transformers' "eager".

    On a CPU PyTorch's fused attention goes backward slowly in bfloat16: 16 sequences of 144 tokens
    with 9 heads of 64 dimensions took 44 ms forward and backward, these products 17 (Intel Xeon
    with AMX, 2 cores).
    """
    heads = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, heads), repeat_kv(value, heads)
    is_seen = attn_mask
    if is_causal:
        shape = (query.shape[2], key.shape[2])
        is_seen = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    scores = query @ key.transpose(2, 3) * scale  # (R, H, T, keys)
    scores = scores + torch.zeros_like(is_seen, dtype=scores.dtype).masked_fill_(
        ~is_seen, -torch.inf
    )
    weights = scores.softmax(3, dtype=torch.float32).to(scores.dtype)
    return dropout(weights, dropout_p) @ value  # (R, H, T, D)

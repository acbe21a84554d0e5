"""The memory that training needs, by calculation from a model's shape."""

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen3Config

GIB = 2**30


def _qwen3(hidden: int, inner: int, layers: int, heads: int, tied: bool = True) -> Qwen3Config:
    return Qwen3Config(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        tie_word_embeddings=tied,
    )


SHAPES = {  # hub id -> its published config.json, what memory depends on
    "Qwen/Qwen3-0.6B": _qwen3(1024, 3072, 28, 16),
    "Qwen/Qwen3-1.7B": _qwen3(2048, 6144, 28, 16),
    "Qwen/Qwen3-4B": _qwen3(2560, 9728, 36, 32),
    "Qwen/Qwen3-8B": _qwen3(4096, 12288, 36, 32, tied=False),
    "meta-llama/Llama-3.1-8B-Instruct": LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=128256,
        tie_word_embeddings=False,
    ),
}
# Bytes per token that one decoder layer keeps for its backward pass, by width of what it keeps:
# hidden, inner, query, key and value. Measured with saved_tensors_hooks on Qwen3 layers under
# bfloat16 autocast (SDPA, LoRA on all linear layers).
KEPT = {"full": (26, 8, 10.25, 10.25), "lora": (18, 8, 10.25, 8.25), "qlora": (12, 8, 8.25, 8.25)}
# TRL 1.16's fused LM head (trl/kernels/chunked_logprob.py, trl/trainer/utils.py).
TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
RESERVE = 0.10  # of a card: CUDA context (0.5 GiB or so) and what the allocator cannot use


def shape(model: str | PretrainedConfig) -> PretrainedConfig:
    """The config of a hub id in SHAPES, or `model` itself."""
    if not isinstance(model, str):
        return model
    if model not in SHAPES:
        raise ValueError(
            f"no shape of {model!r} is noted here, known are {', '.join(SHAPES)}; give its "
            "transformers config"
        )
    return SHAPES[model]


def parameters(config: PretrainedConfig, rank: int = 16) -> dict[str, int]:
    """Exact counts of parameters, from the meta device.

    all: of the model; linear: in linear layers without the LM head (what 4 bits hold); lora: of
    LoRA on all of these.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    return {
        "all": model.num_parameters(),
        "linear": sum(m.weight.numel() for m in linear),
        "lora": sum(rank * (m.in_features + m.out_features) for m in linear),
    }


def _model_bytes(
    count: dict[str, int], tuning: str, processes: int, zero3: bool, reference: bool
) -> dict[str, float]:
    """Bytes of weights, gradients, optimizer and reference."""
    every, linear = count["all"], count["linear"]
    if zero3:
        return {
            "weights": 2 * every / processes + 2 * min(every, 1e9),
            "gradients": 2 * every / processes,
            "optimizer": 12 * every / processes,
            "reference": 2 * every / processes * reference,
        }
    trained = every if tuning == "full" else count["lora"]
    weights = {
        "full": 6 * every,
        "lora": 2 * every + 4 * trained,
        "qlora": (0.5 + 1 / 64 + 4 / 16384) * linear + 2 * (every - linear) + 4 * trained,
    }
    buckets = 2 if processes > 1 else 1
    return {
        "weights": weights[tuning],
        "gradients": 4 * trained * buckets,
        "optimizer": 8 * trained,
        "reference": 4 * every * (reference and tuning == "full"),
    }


def estimate(
    model: str | PretrainedConfig,
    *,
    tuning: str,
    micro_batch: int,
    prompt: int,
    completion: int,
    rollouts: int = 0,
    reference: bool = False,
    gradient_checkpointing: bool = True,
    processes: int = 1,
    zero3: bool = False,
    rank: int = 16,
    token_prefix: bool = False,
) -> dict[str, float]:
    """GiB per GPU of each part, and "total".

    prompt, completion: tokens of the longest row; all of SFT's tokens count if prompt is 0.
    rollouts: completions that one process generates at once with transformers (TRL: micro batch x
    steps_per_generation, by default the accumulation steps); 0 for SFT, and for vLLM, which takes
    its own share of the card (vllm_gpu_memory_utilization) or other cards. reference: RL with a KL
    term. P parameters, L of them linear, T trained, V vocabulary, h hidden, B x S tokens.

    - weights: full 4 P, and 2 P that autocast keeps in bfloat16 meanwhile; lora 2 P + 4 T; qlora
      0.516 L + 2 (P - L) + 4 T bytes (nf4: half a byte, one byte of scale in 64, 4 bytes in 16,384;
      Dettmers et al. 2023, sections 2 and 3)
    - gradients 4 T (twice with DDP's buckets); optimizer: Adam, 8 T
    - zero3: 2 P weights, 2 P gradients, 12 P optimizer, shared by all processes (Rajbhandari et al.
      2020, section 3), and 2 bytes of the 1e9 parameters that DeepSpeed gathers at most
      (stage3_max_live_parameters)
    - reference: a second model in the policy's precision with full tuning; none with LoRA, whose
      adapter is switched off
    - activations: KEPT bytes per token and layer; with checkpointing each layer's input, and one
      layer at a time; half of a layer more for the gradients that flow in it. Padding counts.
    - logits: TRL's fused LM head makes no (B, S, V): one tile of 4,096 x 32,768 and its slice of
      weights, hidden gradients in 32 bits of the scored tokens, and a 32-bit gradient of the head
      where that is trained
    - prefix tokens: PEFT copies input and output embeddings to put trained rows in, and both get a
      gradient
    - generation: keys and values of all rollouts, and the widest layer's prefill
    Training and generation take turns, so total has the larger of the two; the context and
    fragmentation are RESERVE of the card.
    """
    if tuning not in KEPT:
        raise ValueError(f"tuning is {tuning!r}, expected one of {', '.join(KEPT)}")
    if zero3 and tuning != "full":
        raise ValueError(
            f"zero3 is estimated for full tuning; found {tuning!r}: use zero3=False (a whole model "
            "on each GPU)"
        )
    config = shape(model)
    hidden, inner, vocabulary = config.hidden_size, config.intermediate_size, config.vocab_size
    query = config.num_attention_heads * config.head_dim
    key = config.num_key_value_heads * config.head_dim
    layers, head = config.num_hidden_layers, vocabulary * hidden
    tokens, scored = micro_batch * (prompt + completion), micro_batch * completion

    parts = _model_bytes(parameters(config, rank), tuning, processes, zero3, reference)
    fixed = sum(parts.values())
    widths = (hidden, inner, query, key)
    layer = tokens * sum(a * b for a, b in zip(KEPT[tuning], widths, strict=True))
    if gradient_checkpointing:
        boundary = tokens * hidden * (4 if tuning == "full" and not zero3 else 2)
        parts["activations"] = layers * boundary + 1.5 * layer
    else:
        parts["activations"] = layers * layer + 0.5 * layer
    tile = 2 * min(scored, TILE_TOKENS) * TILE_VOCABULARY + 2 * TILE_VOCABULARY * hidden
    trained_head = 6 * head if tuning == "full" else 0
    parts["logits"] = tile + 6 * scored * hidden + trained_head
    has_rows = token_prefix and tuning != "full"
    parts["prefix tokens"] = 2 * 2 * head + 2 * 2 * head + 4 * head if has_rows else 0
    cached = rollouts * (prompt + completion) * 2 * layers * key * 2
    prefill = rollouts * prompt * 2 * (2 * inner + 3 * hidden)
    parts["generation"] = cached + prefill + rollouts * vocabulary * 6
    training = parts["activations"] + parts["logits"] + parts["prefix tokens"]
    parts["total"] = fixed + max(training, parts["generation"])
    return {name: value / GIB for name, value in parts.items()}


def largest_micro_batch(model: str | PretrainedConfig, card_gib: float, **settings) -> int:
    """The largest power of two up to 64 whose estimate fits a card of `card_gib` less RESERVE.

    It is 0 when not even 1 does.
    """
    for micro_batch in (64, 32, 16, 8, 4, 2, 1):
        total = estimate(model, micro_batch=micro_batch, **settings)["total"]
        if total <= card_gib * (1 - RESERVE):
            return micro_batch
    return 0

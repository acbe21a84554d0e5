"""Memory before training: an estimate from a model's shape, and a try of the longest batch before
the first step.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    TrainerCallback,
)
from transformers.integrations import is_deepspeed_zero3_enabled

GIB = 2**30
SHAPES = {  # hub id -> its published config.json, what memory depends on
    "Qwen/Qwen3-0.6B": Qwen3Config(
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        tie_word_embeddings=True,
    ),
    "Qwen/Qwen3-1.7B": Qwen3Config(
        hidden_size=2048,
        intermediate_size=6144,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        tie_word_embeddings=True,
    ),
    "Qwen/Qwen3-4B": Qwen3Config(
        hidden_size=2560,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        tie_word_embeddings=True,
    ),
    "Qwen/Qwen3-8B": Qwen3Config(
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        tie_word_embeddings=False,
    ),
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
# Bytes a token that one decoder layer keeps for its backward pass, by width of what it keeps:
# hidden, inner, query, key and value. Measured with saved_tensors_hooks on Qwen3 layers under
# bfloat16 autocast (SDPA, LoRA on all linear layers).
KEPT = {"full": (26, 8, 10.25, 10.25), "lora": (18, 8, 10.25, 8.25), "qlora": (12, 8, 8.25, 8.25)}
TILE_TOKENS, TILE_VOCABULARY = (
    4096,
    32768,
)  # TRL 1.16's fused LM head (trl/kernels/chunked_logprob.py, trl/trainer/utils.py)
RESERVE = 0.10  # of a card: CUDA context (0.5 GiB or so) and what the allocator cannot use


def shape(model: str | PretrainedConfig) -> PretrainedConfig:
    """The config of a hub id in SHAPES, or `model` itself."""
    if not isinstance(model, str):
        return model
    if model not in SHAPES:
        raise ValueError(
            f"no shape of {model!r} is noted here, known are {', '.join(SHAPES)}; give its transformers config"
        )
    return SHAPES[model]


def parameters(config: PretrainedConfig, rank: int = 16) -> dict[str, int]:
    """Exact counts on the meta device: all, in linear layers without the LM head (what 4 bits
    hold), of LoRA on all of them.
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
    """GiB a GPU by part, and "total". prompt, completion: tokens of the longest row; all of SFT's
    tokens count if prompt is 0.

    rollouts: completions that one process generates at once with transformers (TRL: micro batch x
    steps_per_generation, by default the accumulation steps); 0 for SFT, and for vLLM, which takes
    its own share of the card (vllm_gpu_memory_utilization) or other cards. reference: RL with a KL
    term. P parameters, L of them linear, T trained, V vocabulary, h hidden, B x S tokens.

    - weights: full 4 P, and 2 P that autocast keeps in bfloat16 meanwhile; lora 2 P + 4 T; qlora
      0.516 L + 2 (P - L) + 2 T bytes (nf4: half a byte, one byte of scale in 64, 4 bytes in 16,384;
      Dettmers et al. 2023, sections 2 and 3)
    - gradients 4 T (qlora 2 T, as TRL trains its adapters in bfloat16; twice with DDP's buckets);
      optimizer: Adam, twice that
    - zero3: 2 P weights, 2 P gradients, 12 P optimizer, shared by all processes (Rajbhandari et al.
      2020, section 3), and 2 bytes of the 1e9 parameters that DeepSpeed gathers at most
      (stage3_max_live_parameters)
    - reference: a second model in the policy's precision with full tuning; none with LoRA, whose
      adapter is switched off
    - activations: KEPT bytes a token and layer; with checkpointing each layer's input, and one
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
            f"zero3 is estimated for full tuning; found {tuning!r}: use zero3=False (a whole model on each GPU)"
        )
    config = shape(model)
    count = parameters(config, rank)
    every, linear, trained = (
        count["all"],
        count["linear"],
        count["all"] if tuning == "full" else count["lora"],
    )
    h, inner, layers, vocabulary = (
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
        config.vocab_size,
    )
    query, key = (
        config.num_attention_heads * config.head_dim,
        config.num_key_value_heads * config.head_dim,
    )
    tokens, scored = micro_batch * (prompt + completion), micro_batch * completion
    buckets = 2 if processes > 1 and not zero3 else 1

    if zero3:
        parts = {
            "weights": 2 * every / processes + 2 * min(every, 1e9),
            "gradients": 2 * every / processes,
            "optimizer": 12 * every / processes,
            "reference": 2 * every / processes * reference,
        }
    else:
        weights = {
            "full": 6 * every,
            "lora": 2 * every + 4 * trained,
            "qlora": (0.5 + 1 / 64 + 4 / 16384) * linear + 2 * (every - linear) + 2 * trained,
        }[tuning]
        wide = 2 if tuning == "qlora" else 4
        parts = {
            "weights": weights,
            "gradients": wide * trained * buckets,
            "optimizer": 2 * wide * trained,
            "reference": 4 * every * (reference and tuning == "full"),
        }
    layer = tokens * sum(a * b for a, b in zip(KEPT[tuning], (h, inner, query, key)))
    boundary = tokens * h * (4 if tuning == "full" and not zero3 else 2)
    parts["activations"] = (
        layers * (boundary if gradient_checkpointing else layer)
        + (1.5 if gradient_checkpointing else 0.5) * layer
    )
    head = vocabulary * h
    parts["logits"] = (
        2 * min(scored, TILE_TOKENS) * TILE_VOCABULARY + 2 * TILE_VOCABULARY * h + 6 * scored * h
    )
    parts["logits"] += 6 * head if tuning == "full" else 0
    parts["prefix tokens"] = (
        0 if tuning == "full" or not token_prefix else 2 * 2 * head + 2 * 2 * head + 4 * head
    )
    cached = rollouts * (prompt + completion) * 2 * layers * key * 2
    parts["generation"] = (
        cached + rollouts * prompt * 2 * (2 * inner + 3 * h) + rollouts * vocabulary * 6
    )
    turns = max(
        parts["activations"] + parts["logits"] + parts["prefix tokens"], parts["generation"]
    )
    fixed = sum(parts[name] for name in ("weights", "gradients", "optimizer", "reference"))
    return {name: value / GIB for name, value in (parts | {"total": fixed + turns}).items()}


def largest_micro_batch(model: str | PretrainedConfig, card_gib: float, **settings) -> int:
    """The largest power of two up to 64 whose estimate fits a card of `card_gib` less RESERVE; 0
    when not even 1 does.
    """
    fits = [
        n
        for n in (1, 2, 4, 8, 16, 32, 64)
        if estimate(model, micro_batch=n, **settings)["total"] <= card_gib * (1 - RESERVE)
    ]
    return max(fits, default=0)


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in text
        or "cublas_status_alloc_failed" in text
    )


def _advice(batch: int, checkpointing: bool, adapted: bool, quantized: bool) -> str:
    steps = []  # first what leaves the result as it is
    if batch > 1:
        steps.append(
            f"the micro batch (sft_micro_batch or rl_micro_batch, now {batch}; accumulation makes up for it)"
        )
    if not checkpointing:
        steps.append("gradient_checkpointing: true (a third slower)")
    if not quantized:
        steps.append("tuning: qlora" if adapted else "tuning: lora, then qlora")
    steps += [
        "the lengths (sft_max_length, rl_max_prompt, rl_max_completion: longer rows are left out and counted)",
        "a smaller backbone",
    ]
    return "; ".join(f"{i}. {step}" for i, step in enumerate(steps, 1))


@contextmanager
def _as_it_was(model: PreTrainedModel) -> Iterator[None]:
    """Random state, gradients and each module's mode are afterwards what they were."""
    gradients, training = (
        [(p, p.grad) for p in model.parameters()],
        [(m, m.training) for m in model.modules()],
    )
    try:
        with torch.random.fork_rng():
            for p, _ in gradients:
                p.grad = None
            yield
    finally:
        for p, gradient in gradients:
            p.grad = gradient
        for module, was in training:
            module.training = was
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _cache_bytes(model: PreTrainedModel, bf16: bool) -> int:
    """Bytes of keys and values a token, in the precision of generation."""
    config = model.config.get_text_config()
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * width * (2 if bf16 else 4)


def longest_first(
    model: PreTrainedModel,
    token: int,
    *,
    batch: int,
    tokens: int,
    completion: int | None = None,
    rollouts: int = 0,
    fused: bool = True,
    bf16: bool = False,
) -> dict[str, float]:
    """One forward and backward pass over the longest batch there can be, thrown away; RuntimeError
    when memory is short.

    token: any ordinary token id; tokens: of the longest row; completion: how many of them are
    scored (default all); rollouts: completions generated at once, whose keys and values (in 16 bits
    with bf16) must fit too; fused: through TRL's fused LM head, which its trainers put into the
    model. Returns {"peak_gib", "card_gib"} (nan without a GPU); the peak includes Adam's moments,
    not yet allocated.
    """
    on_gpu = model.device.type == "cuda"
    card = torch.cuda.get_device_properties(model.device).total_memory if on_gpu else float("nan")
    every, trained = list(model.parameters()), [p for p in model.parameters() if p.requires_grad]
    later = sum(2 * p.numel() * p.element_size() for p in trained)
    cached = rollouts * tokens * _cache_bytes(model, bf16)
    need, failed = float("nan"), None
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(model.device)
        held = torch.cuda.memory_allocated(model.device)
    with _as_it_was(model):
        try:
            model.train()
            ids = torch.full((batch, tokens), token, device=model.device)
            labels = ids.clone()
            labels[:, : tokens - (completion or tokens)] = -100
            inputs = {
                "input_ids": ids,
                "attention_mask": torch.ones_like(ids),
                "labels": labels,
                "use_cache": False,
            }
            model(**inputs, **({"fused_lm_head": True} if fused else {})).loss.backward()
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            failed = str(error).strip() or "out of memory"
        if on_gpu:
            need = max(torch.cuda.max_memory_allocated(model.device), held + cached) + later
    if failed or need > card:
        measured = f"{need / GIB:.1f} of the card's {card / GIB:.1f} GiB, with " if on_gpu else ""
        advice = _advice(
            batch,
            bool(getattr(model, "is_gradient_checkpointing", False)),
            len(trained) < len(every),
            bool(getattr(model, "is_loaded_in_4bit", False)),
        )
        raise RuntimeError(
            f"the longest batch ({batch} rows of {tokens} tokens) does not fit: {measured}{later / GIB:.1f} GiB of Adam's moments and "
            f"{cached / GIB:.1f} GiB of keys and values of {rollouts} rollouts ({failed.splitlines()[0] if failed else 'added up'}). "
            f"Lower, in this order: {advice}"
        )
    return {"peak_gib": need / GIB, "card_gib": card / GIB}


class Preflight(TrainerCallback):
    """For TRL's SFTTrainer and GRPOTrainer: tries the longest batch when training begins, and
    prints peak and card.

    Under ZeRO-3 a pass outside DeepSpeed's engine would disturb its gradients: there nothing is
    tried, and that is said.
    """

    def __init__(self, tokenizer, tokens: int, completion: int | None = None, rollouts: int = 0):
        self.token, self.tokens, self.completion, self.rollouts = (
            tokenizer.convert_tokens_to_ids("a"),
            tokens,
            completion,
            rollouts,
        )
        self.token = tokenizer.eos_token_id if self.token is None else self.token

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if is_deepspeed_zero3_enabled():
            print(
                "preflight: not tried under ZeRO-3; preflight.estimate(..., zero3=True) calculates it",
                flush=True,
            )
            return
        found = longest_first(
            model,
            self.token,
            batch=args.per_device_train_batch_size,
            tokens=self.tokens,
            completion=self.completion,
            rollouts=self.rollouts,
            bf16=args.bf16,
        )
        if state.is_world_process_zero and model.device.type == "cuda":
            print(
                f"preflight: the longest batch ({args.per_device_train_batch_size} x {self.tokens} tokens) takes "
                f"{found['peak_gib']:.1f} of {found['card_gib']:.1f} GiB",
                flush=True,
            )

"""The longest batch, tried before the first step: where memory is short, that fails early."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel, TrainerCallback
from transformers.integrations import is_deepspeed_zero3_enabled

from pdlib.train.preflight.memory import GIB


def _is_out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in text
        or "cublas_status_alloc_failed" in text
    )


def _advice(model: PreTrainedModel, batch: int) -> str:
    """What to lower, first what leaves the result as it is."""
    is_adapted = any(not p.requires_grad for p in model.parameters())
    steps = []
    if batch > 1:
        steps.append(
            f"the micro batch (sft_micro_batch or rl_micro_batch, now {batch}; accumulation makes "
            "up for it)"
        )
    if not getattr(model, "is_gradient_checkpointing", False):
        steps.append("gradient_checkpointing: true (a third slower)")
    if not getattr(model, "is_loaded_in_4bit", False):
        steps.append("tuning: qlora" if is_adapted else "tuning: lora, then qlora")
    steps += [
        "the lengths (sft_max_length, rl_max_prompt, rl_max_completion: longer rows are left out "
        "and counted)",
        "a smaller backbone",
    ]
    return "; ".join(f"{i}. {step}" for i, step in enumerate(steps, 1))


@contextmanager
def _as_it_was(model: PreTrainedModel) -> Iterator[None]:
    """Random state, gradients and each module's mode are afterwards what they were."""
    gradients = [(p, p.grad) for p in model.parameters()]
    training = [(module, module.training) for module in model.modules()]
    try:
        with torch.random.fork_rng():
            for p, _ in gradients:
                p.grad = None
            yield
    finally:
        for p, gradient in gradients:
            p.grad = gradient
        for module, was_training in training:
            module.training = was_training
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _cache_bytes(model: PreTrainedModel, bf16: bool) -> int:
    """Bytes of keys and values per token, in the precision of generation."""
    config = model.config.get_text_config()
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * width * (2 if bf16 else 4)


def _forward_and_backward(
    model: PreTrainedModel, token: int, batch: int, tokens: int, completion: int, fused: bool
) -> None:
    model.train()
    ids = torch.full((batch, tokens), token, device=model.device)
    labels = ids.clone()
    labels[:, : tokens - completion] = -100
    head = {"fused_lm_head": True} if fused else {}
    output = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        labels=labels,
        use_cache=False,
        **head,
    )
    output.loss.backward()


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
    """One forward and backward pass over the longest batch there can be, thrown away.

    token: any ordinary token id; tokens: of the longest row; completion: how many of them are
    scored (default all); rollouts: completions generated at once, whose keys and values (in 16 bits
    with bf16) must fit too; fused: through TRL's fused LM head, which its trainers put into the
    model. Returns {"peak_gib", "card_gib"} (nan without a GPU); the peak includes Adam's moments,
    not yet allocated. RuntimeError when memory is short.
    """
    on_gpu = model.device.type == "cuda"
    card = torch.cuda.get_device_properties(model.device).total_memory if on_gpu else float("nan")
    trained = [p for p in model.parameters() if p.requires_grad]
    moments = sum(2 * p.numel() * p.element_size() for p in trained)
    cached = rollouts * tokens * _cache_bytes(model, bf16)
    need, failure = float("nan"), None
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(model.device)
        before = torch.cuda.memory_allocated(model.device)
    with _as_it_was(model):
        try:
            _forward_and_backward(model, token, batch, tokens, completion or tokens, fused)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            failure = str(error).strip() or "out of memory"
        if on_gpu:
            need = max(torch.cuda.max_memory_allocated(model.device), before + cached) + moments
    if failure or need > card:
        measured = f"{need / GIB:.1f} of the card's {card / GIB:.1f} GiB, with " if on_gpu else ""
        reason = failure.splitlines()[0] if failure else "added up"
        raise RuntimeError(
            f"the longest batch ({batch} rows of {tokens} tokens) does not fit: {measured}"
            f"{moments / GIB:.1f} GiB of Adam's moments and {cached / GIB:.1f} GiB of keys and "
            f"values of {rollouts} rollouts ({reason}). "
            f"Lower, in this order: {_advice(model, batch)}"
        )
    return {"peak_gib": need / GIB, "card_gib": card / GIB}


class Preflight(TrainerCallback):
    """For TRL's SFTTrainer and GRPOTrainer: tries the longest batch when training begins.

    It prints peak and card. Under ZeRO-3 a pass outside DeepSpeed's engine would disturb its
    gradients: there nothing is tried, and that is said.
    """

    def __init__(self, tokenizer, tokens: int, completion: int | None = None, rollouts: int = 0):
        self.tokens, self.completion, self.rollouts = tokens, completion, rollouts
        token = tokenizer.convert_tokens_to_ids("a")
        self.token = tokenizer.eos_token_id if token is None else token

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Try the longest batch with the trainer's arguments."""
        if is_deepspeed_zero3_enabled():
            print(
                "preflight: not tried under ZeRO-3; preflight.estimate(..., zero3=True) calculates "
                "it",
                flush=True,
            )
            return
        batch = args.per_device_train_batch_size
        memory = longest_first(
            model,
            self.token,
            batch=batch,
            tokens=self.tokens,
            completion=self.completion,
            rollouts=self.rollouts,
            bf16=args.bf16,
        )
        if state.is_world_process_zero and model.device.type == "cuda":
            print(
                f"preflight: the longest batch ({batch} x {self.tokens} tokens) takes "
                f"{memory['peak_gib']:.1f} of {memory['card_gib']:.1f} GiB",
                flush=True,
            )

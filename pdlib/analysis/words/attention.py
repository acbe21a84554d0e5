"""Where the choice of mode looks: attention from where the mode is decided, and from either forced
prefix, onto a persona's words.

The paper's Fig. 4 is one example and says neither from which position, layer and head its weights
are, nor how tokens became words. What was chosen here:
1. Three positions: "decision", the last token before the one that tells the modes apart; "general"
   and "personalized", the last token of that mode's forced prefix, from where the answer is
   written.
2. A word's weight is the sum over its tokens; the mean over layers and heads unless a figure shows
   them one by one.
Attention says where a position looked, not what followed from it: `attribution` asks that.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import PreTrainedModel

from pdlib import modes
from pdlib.analysis.words.persona_words import Words
from pdlib.shared_prefix.attention import base_model

POSITIONS = ("decision", "general", "personalized")


@contextmanager
def attention_output(model) -> Iterator[None]:
    """Within it, `model` attends in the plain way that shows its weights; after it as before, also
    after an error.

    SDPA and flash attention never hold the weights, so they cannot give them out. ValueError for a
    model that cannot change.
    """
    base = base_model(model)
    if not isinstance(base, PreTrainedModel):
        raise ValueError(
            f"{type(base).__name__} is no transformers model, so its attention cannot be read; pass what models.load returns"
        )
    before = base.config._attn_implementation
    try:
        base.set_attn_implementation("eager")
        if (now := base.config._attn_implementation) != "eager":
            raise ValueError(
                f"{type(base).__name__} keeps the attention implementation {now!r}, which shows no weights; "
                "load it with attn_implementation='eager'"
            )
        yield
    finally:
        base.set_attn_implementation(before)


def batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Places of up to `size` sequences of similar length, longest first, so that little is padded
    and memory fails early.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    yield from (order[start : start + size] for start in range(0, len(order), size))


def pad(tokenizer, sequences: list[list[int]], device) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and position_ids (B, T), padded on the left."""
    inputs = tokenizer.pad(
        {"input_ids": sequences}, padding=True, padding_side="left", return_tensors="pt"
    ).to(device)
    return {
        "input_ids": inputs["input_ids"],
        "attention_mask": inputs["attention_mask"],
        "position_ids": (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0),
    }


@torch.no_grad()
def rows(
    model, tokenizer, prompts: Sequence[list[int]], batch_size: int = 32
) -> list[dict[str, np.ndarray]]:
    """Of each prompt (token ids, two or more): position -> weights (L, H, T) onto all T tokens up
    to it; they sum to 1 over T.

    The prompt is read by the model's own attention; only the few tokens after it attend in the
    plain way, since plain weights of a whole prompt of T tokens would take L x H x T x T numbers.
    """
    if short := [len(prompt) for prompt in prompts if len(prompt) < 2]:
        raise ValueError(
            f"found a prompt of {short[0]} tokens, expected at least 2; pass whole prompts"
        )
    prefixes = modes.prefix_ids(tokenizer)
    at = modes.decision_index(list(prefixes.values()))
    found: list[dict[str, np.ndarray]] = [{} for _ in prompts]
    for batch in batches([len(prompt) for prompt in prompts], batch_size):
        inputs = pad(tokenizer, [prompts[i][:-1] for i in batch], model.device)
        width = inputs["input_ids"].shape[1] + 1
        kept = model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
        for mode, prefix in prefixes.items():
            tail = torch.tensor([[prompts[i][-1], *prefix] for i in batch], device=model.device)
            mask = torch.cat([inputs["attention_mask"], torch.ones_like(tail)], 1)
            with attention_output(model):
                layers = model(
                    input_ids=tail,
                    attention_mask=mask,
                    position_ids=mask.cumsum(-1)[:, -tail.shape[1] :] - 1,
                    use_cache=True,
                    past_key_values=copy.deepcopy(kept),
                    output_attentions=True,
                ).attentions  # L of (B, H, 1 + prefix, keys)
            total = width + len(
                prefix
            )  # layers with a sliding window hold fewer keys: what they dropped has no weight
            weights = np.stack(
                [
                    np.pad(
                        layer.float().cpu().numpy(), [(0, 0)] * 3 + [(total - layer.shape[-1], 0)]
                    )
                    for layer in layers
                ]
            )
            for b, i in enumerate(batch):
                for name, row in {"decision": at, mode.value: len(prefix)}.items():
                    found[i][name] = weights[:, b, :, row, width - len(prompts[i]) : width + row]
    return found


def on_words(model, tokenizer, many: Sequence[Words], batch_size: int = 32) -> list[np.ndarray]:
    """Of each prompt, attention (P, L, H, W): from each of POSITIONS, by layer and head, onto each
    of its W words.
    """
    found = rows(model, tokenizer, [words.ids for words in many], batch_size)
    return [
        np.stack([words.sums(row[position]) for position in POSITIONS])
        for words, row in zip(many, found)
    ]

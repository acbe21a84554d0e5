"""Where the choice of mode looks: attention onto a persona's words.

From where the mode is decided, and from the forced prefix of either mode.

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
from pdlib.shared_prefix.batches import pack, pad
from pdlib.shared_prefix.trl_inside import attention_of

POSITIONS = ("decision", "general", "personalized")


@contextmanager
def attention_output(model) -> Iterator[None]:
    """Within it, `model` attends in the plain way that shows its weights.

    After it, and after an error, the model attends as before.

    SDPA and flash attention never hold the weights, so they cannot give them out. ValueError for a
    model that cannot change.
    """
    base = base_model(model)
    if not isinstance(base, PreTrainedModel):
        raise ValueError(
            f"{type(base).__name__} is no transformers model, so its attention cannot be read; "
            "pass what models.load returns"
        )
    before = attention_of(base.config)
    try:
        base.set_attn_implementation("eager")
        now = attention_of(base.config)
        if now != "eager":
            raise ValueError(
                f"{type(base).__name__} keeps the attention implementation {now!r}, which shows no "
                "weights; load it with attn_implementation='eager'"
            )
        yield
    finally:
        base.set_attn_implementation(before)


@torch.no_grad()
def rows(
    model, tokenizer, prompts: Sequence[list[int]], batch_size: int = 32
) -> list[dict[str, np.ndarray]]:
    """Of each prompt: position -> weights (L, H, T) onto all T tokens up to it.

    Weights sum to 1 over T. A prompt is two or more token ids.

    The prompt is read by the model's own attention; only the few tokens after it attend in the
    plain way, since plain weights of a whole prompt of T tokens would take L x H x T x T numbers.
    """
    if short := [len(prompt) for prompt in prompts if len(prompt) < 2]:
        raise ValueError(
            f"found a prompt of {short[0]} tokens, expected at least 2; pass whole prompts"
        )
    prefixes = modes.prefix_ids(tokenizer)
    before_choice, _ = modes.choice_tokens(tokenizer)
    weights: list[dict[str, np.ndarray]] = [{} for _ in prompts]
    for batch in pack([len(prompt) for prompt in prompts], rows=batch_size):
        sequences = [prompts[i][:-1] for i in batch]
        inputs = pad(tokenizer, sequences, model.device, positions=True)
        width = inputs["input_ids"].shape[1] + 1
        cache = model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
        for mode, prefix in prefixes.items():
            tail = torch.tensor([[prompts[i][-1], *prefix] for i in batch], device=model.device)
            mask = torch.cat([inputs["attention_mask"], torch.ones_like(tail)], 1)
            with attention_output(model):
                layers = model(
                    input_ids=tail,
                    attention_mask=mask,
                    position_ids=mask.cumsum(-1)[:, -tail.shape[1] :] - 1,
                    use_cache=True,
                    past_key_values=copy.deepcopy(cache),
                    output_attentions=True,
                ).attentions  # L of (B, H, 1 + prefix, keys)
            n_keys = width + len(prefix)
            attended = np.stack([_with_keys(layer, n_keys) for layer in layers])  # (L, B, H, ., .)
            for b, i in enumerate(batch):
                first = width - len(prompts[i])  # what stands before is padding
                for name, row in {"decision": len(before_choice), mode.name: len(prefix)}.items():
                    weights[i][name] = attended[:, b, :, row, first : width + row]
    return weights


def _with_keys(weights: torch.Tensor, n_keys: int) -> np.ndarray:
    """Weights of one layer (B, H, T, keys) onto `n_keys` keys, filled up with zeros on the left.

    Layers with a sliding window hold fewer keys: what they dropped has no weight.
    """
    missing = n_keys - weights.shape[-1]
    return np.pad(weights.float().cpu().numpy(), [(0, 0)] * 3 + [(missing, 0)])


def on_words(model, tokenizer, prompts: Sequence[Words], batch_size: int = 32) -> list[np.ndarray]:
    """Of each prompt, attention (P, L, H, W) onto each of its W words.

    From each of POSITIONS, by layer and head.
    """
    weights = rows(model, tokenizer, [words.ids for words in prompts], batch_size)
    return [
        np.stack([words.sums(by_position[position]) for position in POSITIONS])
        for words, by_position in zip(prompts, weights, strict=True)
    ]

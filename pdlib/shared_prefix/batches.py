"""Prompts in batches: their token ids, which of them go together, and the padded tensors."""

import math
from collections.abc import Sequence

import torch


def token_ids(tokenizer, prompts: Sequence[str | Sequence[int]]) -> list[list[int]]:
    """The token ids of each prompt; one that is given as token ids stays as it is."""
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    tokenized = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else ())
    return [next(tokenized) if isinstance(prompt, str) else list(prompt) for prompt in prompts]


def pack(
    lengths: Sequence[int],
    tokens: float = math.inf,
    rows: float = math.inf,
    *,
    padded: bool = True,
    ties: Sequence | None = None,
) -> list[list[int]]:
    """Indices in batches of at most `tokens` tokens and `rows` rows, but of one row at least.

    The longest come first, so that little is padded and memory fails early. padded: each row counts
    as many tokens as the longest of its batch. ties: what orders rows of equal length, by default
    their index; with the token ids themselves equal prompts come together.

    >>> pack([3, 9, 2, 3], tokens=12)
    [[1], [0, 3, 2]]
    """
    ties = range(len(lengths)) if ties is None else ties
    batches: list[list[int]] = []
    used = 0  # tokens of the last batch
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], ties[i])):
        width = lengths[batches[-1][0]] if batches and padded else lengths[index]
        if not batches or used + width > tokens or len(batches[-1]) >= rows:
            batches.append([])
            used, width = 0, lengths[index]
        batches[-1].append(index)
        used += width
    return batches


def pad(
    tokenizer, sequences: Sequence[list[int]], device, positions: bool = False
) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask (B, T), padded on the left; with `positions` position_ids, too.

    Positions count the real tokens. Without them a model counts from the left edge, padding too.
    """
    inputs = tokenizer.pad(
        {"input_ids": sequences}, padding=True, padding_side="left", return_tensors="pt"
    ).to(device)
    batch = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if positions:
        batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    return batch

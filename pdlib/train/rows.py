"""Rows of token ids: one example as a row, and rows in an order of similar length."""

import random
from collections.abc import Callable, Sequence
from typing import Any

UNLEARNED = -100  # the label of a token without loss, as PyTorch and TRL have it


def tokenize(tokenizer, prompt: str, completion: str) -> dict[str, list[int]]:
    """input_ids and labels; the loss is on the completion and its end token only."""
    front = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    back = tokenizer(completion, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return {"input_ids": front + back, "labels": [UNLEARNED] * len(front) + back}


def tokens_of(row: dict) -> int:
    """The number of tokens of a row."""
    return len(row["input_ids"])


def short_enough(rows: list, lengths: Sequence[int], limit: int, what: str, setting: str) -> list:
    """The rows of at most `limit` tokens; how many are left out, and by which setting, is said."""
    short = [row for row, length in zip(rows, lengths, strict=True) if length <= limit]
    if len(short) < len(rows):
        print(
            f"{len(rows) - len(short)} of {len(rows)} {what} are longer than {setting} {limit}: "
            "left out",
            flush=True,
        )
    return short


def cut(rows: list, size: int) -> list[list]:
    """Rows one after the other in batches of `size`; the last may be smaller."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def by_length(
    rows: list, batch: int, rng: random.Random, length: Callable[[Any], int] = tokens_of
) -> list:
    """The rows in an order that makes batches of similar length: little is padded.

    The batches come in random order, a last one that is not full at the end.
    """
    # Sorted within spans, so that a batch's make-up stays random.
    spans = cut(rng.sample(rows, len(rows)), 50 * batch)
    batches = cut([row for span in spans for row in sorted(span, key=length)], batch)
    last = [batches.pop()] if len(batches[-1]) < batch else []
    return [row for group in rng.sample(batches, len(batches)) + last for row in group]

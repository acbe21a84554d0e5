"""Batched generation with a free or a forced mode, and P(mode) from the logits."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from pdlib import modes
from pdlib.schema import Item, Mode, Persona


@dataclass(frozen=True)
class Completion:
    """`text` includes the forced prefix, if there was one; token counts include it too."""

    text: str
    n_prompt_tokens: int
    n_tokens: int
    truncated: bool


def _batches(prompts: list[list[int]], batch_size: int):
    """Index batches of similar prompt length, longest first, so that little is padded and memory fails early."""
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    return [order[start:start + batch_size] for start in range(0, len(order), batch_size)]


def _pad(tokenizer, sequences: list[list[int]], device) -> dict[str, torch.Tensor]:
    return tokenizer.pad({"input_ids": sequences}, padding=True, padding_side="left", return_tensors="pt").to(device)


def _prompt_ids(tokenizer, prompts: list[str] | list[list[int]]) -> list[list[int]]:
    as_text = bool(prompts) and isinstance(prompts[0], str)
    return tokenizer(prompts, add_special_tokens=False)["input_ids"] if as_text else list(prompts)


@torch.no_grad()
def complete(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str], *, forced: Mode | None = None,
             temperature: float = 0.6, max_new_tokens: int = 64, batch_size: int = 250, seed: int = 0) -> list[Completion]:
    """Sample one completion a prompt; `forced` puts that mode's prefix first [Eq. 5]; temperature 0 is greedy."""
    set_seed(seed)
    prefix = modes.prefix_ids(tokenizer)[forced] if forced else []
    ids = [prompt + prefix for prompt in _prompt_ids(tokenizer, prompts)]
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {"do_sample": False}
    out: dict[int, Completion] = {}
    for batch in _batches(ids, batch_size):
        inputs = _pad(tokenizer, [ids[i] for i in batch], model.device)
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id,
                                eos_token_id=tokenizer.eos_token_id, **sampling)
        for i, row in zip(batch, output[:, inputs["input_ids"].shape[1]:].tolist()):
            ended = tokenizer.eos_token_id in row
            row = row[:row.index(tokenizer.eos_token_id)] if ended else row
            text = tokenizer.decode(prefix + row, skip_special_tokens=True)
            out[i] = Completion(text, len(ids[i]) - len(prefix), len(prefix) + len(row) + ended, not ended)
    return [out[i] for i in range(len(ids))]


@torch.no_grad()
def prompt_mode_probability(model, tokenizer, prompts: list[str] | list[list[int]], batch_size: int = 250) -> list[float]:
    """P(personalised) [Eq. 1] for each prompt (text or token ids): softmax over the two modes at the first token that
    tells them apart."""
    prefixes = modes.prefix_ids(tokenizer)
    at = modes.decision_index(list(prefixes.values()))
    choice = [prefixes[mode][at] for mode in (Mode.GENERAL, Mode.PERSONALIZED)]
    ids = [prompt + prefixes[Mode.GENERAL][:at] for prompt in _prompt_ids(tokenizer, prompts)]
    out: dict[int, float] = {}
    for batch in _batches(ids, batch_size):
        inputs = _pad(tokenizer, [ids[i] for i in batch], model.device)
        logits = model(**inputs, logits_to_keep=1).logits[:, -1, choice].float()  # (B, M)
        out.update(zip(batch, logits.softmax(-1)[:, 1].tolist()))
    return [out[i] for i in range(len(ids))]


def mode_probability(model, tokenizer, items: list[Item], personas: list[Persona | None] | None = None) -> list[float]:
    """P(personalised) of each item from one forward pass, asked by `personas` (default: the item's aligned one)."""
    personas = [item.aligned for item in items] if personas is None else personas
    prompts = [modes.render_prompt(tokenizer, item, persona) for item, persona in zip(items, personas, strict=True)]
    return prompt_mode_probability(model, tokenizer, prompts)

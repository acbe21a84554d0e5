"""Batched generation with a free or a forced mode, and P(mode) from the logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from pdlib import modes
from pdlib.schema import Item, Mode, Persona
from pdlib.shared_prefix import attention, decode

BATCH_TOKENS = 16_384  # the default; keys and values of Qwen3-0.6B take 1.8 GiB then


@dataclass(frozen=True)
class Completion:
    """`text` includes the forced prefix, if there was one; token counts include it too."""

    text: str
    n_prompt_tokens: int
    n_tokens: int
    truncated: bool


def _batches(prompts: list[list[int]], tokens: int, more: int = 0) -> list[list[int]]:
    """Indices in batches of at most `tokens` tokens, padding and `more` tokens a prompt counted,
    but of one prompt at least.

    Longest first, so that little is padded and memory fails early; equal prompts together.
    """
    found: list[list[int]] = []
    for i in sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), prompts[i])):
        if not found or (len(found[-1]) + 1) * (len(prompts[found[-1][0]]) + more) > tokens:
            found.append([])
        found[-1].append(i)
    return found


def _pad(tokenizer, sequences: list[list[int]], device) -> dict[str, torch.Tensor]:
    return tokenizer.pad(
        {"input_ids": sequences}, padding=True, padding_side="left", return_tensors="pt"
    ).to(device)


def _prompt_ids(tokenizer, prompts: list[str] | list[list[int]]) -> list[list[int]]:
    as_text = bool(prompts) and isinstance(prompts[0], str)
    return tokenizer(prompts, add_special_tokens=False)["input_ids"] if as_text else list(prompts)


def _cannot_share(model) -> bool:
    if reason := attention.obstacle(model):
        attention.state("generation", reason)
    return reason is not None


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens of which each ends a completion: the tokenizer's end token, and those that the
    model's generation config declares (an end of turn beside an end of text). The same ones end a
    rollout in training, see TRL's `GRPOTrainer.eos_token_ids`.
    """
    declared = model.generation_config.eos_token_id
    declared = (
        [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    )
    return list(dict.fromkeys([tokenizer.eos_token_id, *declared]))


@torch.no_grad()
def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    *,
    forced: Sequence[Mode | None] = (None,),
    seeds: Sequence[int] = (0,),
    temperature: float = 0.6,
    max_new_tokens: int = 64,
    batch_tokens: int = BATCH_TOKENS,
) -> tuple[list[float], dict[tuple[Mode | None, int], list[Completion]]]:
    """P(personalised) [Eq. 1] of each prompt, and one completion a prompt for each forced mode
    (None: free) and seed.

    A prompt goes through the network once for all of them (pdlib.shared_prefix). batch_tokens: of
    prompts and completions at a time, but at least those of one prompt. A completion depends on its
    prompt's place, its mode and its seed only, not on what else is asked.
    """
    if _cannot_share(model):
        options = {
            "temperature": temperature,
            "max_new_tokens": max_new_tokens,
            "batch_tokens": batch_tokens,
        }
        return (
            prompt_mode_probability(model, tokenizer, prompts, batch_tokens),
            {
                (mode, seed): _plain(model, tokenizer, prompts, mode, seed=seed, **options)
                for mode in forced
                for seed in seeds
            },
        )
    ids, prefixes = _prompt_ids(tokenizer, prompts), modes.prefix_ids(tokenizer)
    at = modes.decision_index(list(prefixes.values()))
    choice = [prefixes[mode][at] for mode in (Mode.GENERAL, Mode.PERSONALIZED)]
    ends = end_tokens(model, tokenizer)
    draws = {
        seed: torch.rand(len(ids), max_new_tokens, generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    }
    chances, out = {}, {(mode, seed): {} for mode in forced for seed in seeds}
    for batch in _batches(ids, batch_tokens, more=len(out) * max_new_tokens):
        distinct = {
            prompt: place
            for place, prompt in enumerate(dict.fromkeys(tuple(ids[i]) for i in batch))
        }
        rows = [(i, mode, seed) for i in batch for mode, seed in out]
        with attention.switched_on(model):
            prefill = decode.Prefill(model, list(distinct), prefixes[Mode.GENERAL][:at])
            found = decode.sample(
                model,
                prefill,
                [distinct[tuple(ids[i])] for i, _, _ in rows],
                [prefixes.get(mode, []) for _, mode, _ in rows],
                draws=torch.stack([draws[seed][i] for i, _, seed in rows]),
                temperature=temperature,
                max_new_tokens=max_new_tokens,
                eos=ends,
            )
        likely = dict(zip(distinct, prefill.logits_after[:, choice].softmax(-1)[:, 1].tolist()))
        for (i, mode, seed), row in zip(rows, found):
            chances[i] = likely[tuple(ids[i])]
            out[mode, seed][i] = _completion(
                tokenizer, ends, len(ids[i]), prefixes.get(mode, []), row
            )
    order = range(len(ids))
    return [chances[i] for i in order], {
        key: [found[i] for i in order] for key, found in out.items()
    }


def _completion(
    tokenizer, ends: list[int], n_prompt_tokens: int, prefix: list[int], row: list[int]
) -> Completion:
    ended = row[-1] in ends and len(row) > len(prefix)
    text = tokenizer.decode(row[:-1] if ended else row, skip_special_tokens=True)
    return Completion(text, n_prompt_tokens, len(row), not ended)


def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    *,
    forced: Mode | None = None,
    temperature: float = 0.6,
    max_new_tokens: int = 64,
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
) -> list[Completion]:
    """Sample one completion a prompt; `forced` puts that mode's prefix first [Eq. 5]; temperature 0
    is greedy.
    """
    options = {
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "batch_tokens": batch_tokens,
    }
    if _cannot_share(model):
        return _plain(model, tokenizer, prompts, forced, seed=seed, **options)
    return answers(model, tokenizer, prompts, forced=(forced,), seeds=(seed,), **options)[1][
        forced, seed
    ]


@torch.no_grad()
def _plain(
    model,
    tokenizer,
    prompts: list[str],
    mode: Mode | None,
    *,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Completion]:
    """One mode and seed by transformers' own `generate`, for models that cannot share prefixes."""
    set_seed(seed)
    prefix = modes.prefix_ids(tokenizer)[mode] if mode else []
    ids = [prompt + prefix for prompt in _prompt_ids(tokenizer, prompts)]
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature > 0
        else {"do_sample": False}
    )
    ends, out = end_tokens(model, tokenizer), {}
    for batch in _batches(ids, batch_tokens, more=max_new_tokens):
        inputs = _pad(tokenizer, [ids[i] for i in batch], model.device)
        output = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=ends,
            **sampling,
        )
        for i, row in zip(batch, output[:, inputs["input_ids"].shape[1] :].tolist()):
            row = row[: next((at + 1 for at, token in enumerate(row) if token in ends), len(row))]
            out[i] = _completion(tokenizer, ends, len(ids[i]) - len(prefix), prefix, prefix + row)
    return [out[i] for i in range(len(ids))]


@torch.no_grad()
def prompt_mode_probability(
    model, tokenizer, prompts: list[str] | list[list[int]], batch_tokens: int = BATCH_TOKENS
) -> list[float]:
    """P(personalised) [Eq. 1] for each prompt (text or token ids): softmax over the two modes at
    the first token that tells them apart.
    """
    prefixes = modes.prefix_ids(tokenizer)
    at = modes.decision_index(list(prefixes.values()))
    choice = [prefixes[mode][at] for mode in (Mode.GENERAL, Mode.PERSONALIZED)]
    ids = [prompt + prefixes[Mode.GENERAL][:at] for prompt in _prompt_ids(tokenizer, prompts)]
    out: dict[int, float] = {}
    for batch in _batches(ids, batch_tokens):
        inputs = _pad(tokenizer, [ids[i] for i in batch], model.device)
        logits = model(**inputs, logits_to_keep=1).logits[:, -1, choice].float()  # (B, M)
        out.update(zip(batch, logits.softmax(-1)[:, 1].tolist()))
    return [out[i] for i in range(len(ids))]


def mode_probability(
    model, tokenizer, items: list[Item], personas: list[Persona | None] | None = None
) -> list[float]:
    """P(personalised) of each item from one forward pass, asked by `personas` (default: the item's
    aligned one).
    """
    personas = [item.aligned for item in items] if personas is None else personas
    prompts = [
        modes.render_prompt(tokenizer, item, persona)
        for item, persona in zip(items, personas, strict=True)
    ]
    return prompt_mode_probability(model, tokenizer, prompts)

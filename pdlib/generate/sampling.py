"""Batched generation with a free or a forced mode, and the chance of each mode from the logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from pdlib import modes
from pdlib.schema import PAPER_MODES, Item, Mode, ModeSet, Persona
from pdlib.shared_prefix import attention, decode
from pdlib.shared_prefix.batches import pack, pad, token_ids

BATCH_TOKENS = 16_384  # the default; keys and values of Qwen3-0.6B take 1.8 GiB then


@dataclass(frozen=True)
class Completion:
    """A sampled answer; `text` and `n_tokens` include the forced prefix, if there was one."""

    text: str
    n_prompt_tokens: int
    n_tokens: int
    truncated: bool


def _cannot_share(model) -> bool:
    if reason := attention.obstacle(model):
        attention.state("generation", reason)
    return reason is not None


def _pack(prompts: list[list[int]], batch_tokens: int, new_tokens: int = 0) -> list[list[int]]:
    """`pack` of prompts, each with room for `new_tokens` more; equal prompts come together."""
    lengths = [len(prompt) + new_tokens for prompt in prompts]
    return pack(lengths, batch_tokens, ties=prompts)


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens of which each ends a completion.

    These are the tokenizer's end token and those that the model's generation config declares (an
    end of turn beside an end of text). The same ones end a rollout in training, see TRL's
    `GRPOTrainer.eos_token_ids`.
    """
    declared = model.generation_config.eos_token_id
    if declared is None:
        declared = []
    elif isinstance(declared, int):
        declared = [declared]
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
    mode_set: ModeSet = PAPER_MODES,
) -> tuple[np.ndarray, dict[tuple[Mode | None, int], list[Completion]]]:
    """The chances of all modes, see `mode_chances`, and completions per forced mode and seed.

    A forced mode of None leaves the choice to the model. A prompt goes through the network once for
    all its completions (pdlib.shared_prefix), and once more where modes are chosen at several
    tokens. batch_tokens: of prompts and completions at a time, but at least those of one prompt. A
    completion depends on its prompt's index, its mode and its seed only, not on what else is asked.
    """
    if _cannot_share(model):
        options = {
            "temperature": temperature,
            "max_new_tokens": max_new_tokens,
            "batch_tokens": batch_tokens,
        }
        return mode_chances(model, tokenizer, prompts, mode_set, batch_tokens), {
            (mode, seed): complete_unshared(
                model, tokenizer, prompts, mode, seed=seed, mode_set=mode_set, **options
            )
            for mode in forced
            for seed in seeds
        }
    ids, prefixes = token_ids(tokenizer, prompts), modes.prefix_ids(tokenizer, mode_set)
    fork, *more_forks = modes.forks(list(prefixes.values()))
    ends = end_tokens(model, tokenizer)
    draws = {
        seed: torch.rand(len(ids), max_new_tokens, generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    }
    chances = np.ones((len(ids), len(mode_set)))
    completions = {(mode, seed): {} for mode in forced for seed in seeds}
    for batch in _pack(ids, batch_tokens, new_tokens=len(completions) * max_new_tokens):
        distinct = list(dict.fromkeys(tuple(ids[i]) for i in batch))
        group = {prompt: g for g, prompt in enumerate(distinct)}
        rows = [(i, mode, seed) for i in batch for mode, seed in completions]
        with attention.switched_on(model):
            prefill = decode.Prefill(model, distinct, fork.before)
            sampled = decode.sample(
                model,
                prefill,
                [group[tuple(ids[i])] for i, _, _ in rows],
                [prefixes.get(mode, []) for _, mode, _ in rows],
                draws=torch.stack([draws[seed][i] for i, _, seed in rows]),
                temperature=temperature,
                max_new_tokens=max_new_tokens,
                eos=ends,
            )
        of_modes = _of_branches(fork, prefill.logits_after, len(mode_set))  # (B, M)
        chances[batch] = of_modes[[group[tuple(ids[i])] for i in batch]]
        for (i, mode, seed), row in zip(rows, sampled, strict=True):
            prefix = prefixes.get(mode, [])
            completions[mode, seed][i] = _completion(tokenizer, ends, len(ids[i]), prefix, row)
    for later in more_forks:
        chances *= _fork_chances(model, tokenizer, ids, later, len(mode_set), batch_tokens)
    return chances, {
        key: [by_index[i] for i in range(len(ids))] for key, by_index in completions.items()
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
    seed: int = 0,
    **options,
) -> list[Completion]:
    """[Eq. 2] Sample one completion per prompt; `forced` puts that mode's prefix first [Eq. 5].

    options: temperature (0 is greedy), max_new_tokens, batch_tokens and mode_set, as in `answers`.
    """
    if _cannot_share(model):
        return complete_unshared(model, tokenizer, prompts, forced, seed=seed, **options)
    _, completions = answers(model, tokenizer, prompts, forced=(forced,), seeds=(seed,), **options)
    return completions[forced, seed]


@torch.no_grad()
def complete_unshared(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    forced: Mode | None = None,
    *,
    temperature: float = 0.6,
    max_new_tokens: int = 64,
    seed: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    mode_set: ModeSet = PAPER_MODES,
) -> list[Completion]:
    """`complete` by Transformers' own `generate`, for models that cannot share prefixes."""
    set_seed(seed)
    prefix = modes.prefix_ids(tokenizer, mode_set)[forced] if forced else []
    ids = [prompt + prefix for prompt in token_ids(tokenizer, prompts)]
    sampling = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    ends, completions = end_tokens(model, tokenizer), {}
    for batch in _pack(ids, batch_tokens, new_tokens=max_new_tokens):
        inputs = pad(tokenizer, [ids[i] for i in batch], model.device)
        output = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=ends,
            **sampling,
        )
        new_tokens = output[:, inputs["input_ids"].shape[1] :].tolist()
        for i, row in zip(batch, new_tokens, strict=True):
            row = prefix + decode.up_to_end(row, ends)
            n_prompt_tokens = len(ids[i]) - len(prefix)
            completions[i] = _completion(tokenizer, ends, n_prompt_tokens, prefix, row)
    return [completions[i] for i in range(len(ids))]


def mode_chances(
    model,
    tokenizer,
    prompts: list[str] | list[list[int]],
    mode_set: ModeSet = PAPER_MODES,
    batch_tokens: float = BATCH_TOKENS,
) -> np.ndarray:
    """(N, M): the chance of each mode [Eq. 1] for each prompt (text or token ids).

    Rows sum to 1: of all that a model could write first, only the modes' tags count. Where tags
    part at one token, that is a softmax over its M alternatives; where they part at several, the
    product along each tag's way.
    """
    ids = token_ids(tokenizer, prompts)
    chances = np.ones((len(ids), len(mode_set)))
    for fork in modes.forks(list(modes.prefix_ids(tokenizer, mode_set).values())):
        chances *= _fork_chances(model, tokenizer, ids, fork, len(mode_set), batch_tokens)
    return chances


@torch.no_grad()
def _fork_chances(
    model, tokenizer, prompts: list[list[int]], fork: modes.Fork, n_modes: int, batch_tokens: int
) -> np.ndarray:
    """(N, M): per prompt and mode the chance of its branch at a fork; 1 where it has none."""
    ids = [[*prompt, *fork.before] for prompt in prompts]
    chances = np.ones((len(ids), n_modes))
    for batch in _pack(ids, batch_tokens):
        inputs = pad(tokenizer, [ids[i] for i in batch], model.device)
        logits = model(**inputs, logits_to_keep=1).logits[:, -1].float()  # (B, V)
        chances[batch] = _of_branches(fork, logits, n_modes)
    return chances


def _of_branches(fork: modes.Fork, logits: torch.Tensor, n_modes: int) -> np.ndarray:
    """(B, M): the chance of each mode's branch at a fork, from the logits (B, V) there."""
    of_tokens = logits[:, list(fork.tokens)].softmax(-1).cpu().numpy()  # (B, branches)
    chances = np.ones((len(of_tokens), n_modes))
    for branch, chance in zip(fork.branches, of_tokens.T, strict=True):
        chances[:, branch] = chance[:, None]
    return chances


def prompt_mode_probability(
    model, tokenizer, prompts: list[str] | list[list[int]], batch_tokens: int = BATCH_TOKENS
) -> list[float]:
    """P(personalised) [Eq. 1] for each prompt (text or token ids): see `mode_chances`."""
    return mode_chances(model, tokenizer, prompts, batch_tokens=batch_tokens)[:, 1].tolist()


def mode_probability(
    model, tokenizer, items: list[Item], personas: list[Persona | None] | None = None
) -> list[float]:
    """[Eq. 1] P(personalised) of each item from one forward pass.

    personas: who asks each item, by default its aligned persona.
    """
    personas = [item.aligned for item in items] if personas is None else personas
    prompts = [
        modes.render_prompt(tokenizer, item, persona)
        for item, persona in zip(items, personas, strict=True)
    ]
    return prompt_mode_probability(model, tokenizer, prompts)

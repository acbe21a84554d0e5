"""Answers by likelihood: how likely a model finds each of a question's options as its answer.

lm-evaluation-harness scores choices in the same way. A model that nobody has taught an answer
format can be asked so: it has to write nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pdlib.generate.sampling import BATCH_TOKENS
from pdlib.shared_prefix import attention
from pdlib.shared_prefix.batches import pack, token_ids
from pdlib.shared_prefix.packed import Packed

# Tokens that go through the language model head at a time: 200 MB with a vocabulary of 49,152.
HEAD_TOKENS = 1024


@dataclass(frozen=True)
class Score:
    """An option's log-probability after the prompt, summed over its `n_tokens` tokens, in nats."""

    log_probability: float
    n_tokens: int

    @property
    def per_token(self) -> float:
        """The mean log-probability of the option's tokens."""
        return self.log_probability / self.n_tokens


@torch.no_grad()
def scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    options: Sequence[Sequence[str]],
    batch_tokens: int = BATCH_TOKENS,
) -> list[list[Score]]:
    """The score of each option of each prompt; `options[i]` are those of `prompts[i]`.

    A prompt goes through the network once for all its options, where the model can share prefixes
    (pdlib.shared_prefix). batch_tokens: of prompts and options at a time, but at least those of one
    prompt. ValueError for a prompt or an option without a token.
    """
    heads = token_ids(tokenizer, prompts)
    tails = [token_ids(tokenizer, texts) for texts in options]
    for prompt, texts, head, ids in zip(prompts, options, heads, tails, strict=True):
        if not head or not all(ids) or not ids:
            raise ValueError(
                f"a prompt and each of its options need a token, found the prompt {prompt[-60:]!r} "
                f"with the options {list(texts)}"
            )
    reason = attention.obstacle(model)
    if reason:
        attention.state("likelihoods", reason)
    log_probabilities = _unshared if reason else _shared
    lengths = [len(head) + sum(map(len, ids)) for head, ids in zip(heads, tails, strict=True)]
    scored: dict[int, list[Score]] = {}
    for batch in pack(lengths, batch_tokens, padded=False):
        values = log_probabilities(model, [heads[i] for i in batch], [tails[i] for i in batch])
        for i in batch:
            scored[i] = [Score(next(values), len(ids)) for ids in tails[i]]
    return [scored[i] for i in range(len(heads))]


def _shared(model, heads: list[list[int]], tails: list[list[list[int]]]) -> Iterator[float]:
    """The log-probabilities of all options of all prompts, in order.

    A row's first token in the network is its prompt's last.
    """
    rows = [(group, ids) for group, options in enumerate(tails) for ids in options]
    packed = Packed(
        [head[:-1] for head in heads],
        [[heads[group][-1], *ids[:-1]] for group, ids in rows],
        [group for group, _ in rows],
        model.device,
        rounded=attention.computes_in_bf16_on_cpu(model),
    )
    labels = torch.tensor([token for _, ids in rows for token in ids], device=model.device)  # (N,)
    base = attention.base_model(model)
    with attention.switched_on(model):
        hidden = base.base_model(**packed.inputs()).last_hidden_state  # (1, prompts + rows, D)
    hidden = hidden[0, packed.n_prompt_tokens :][: len(labels)]  # (N, D)
    head = base.get_output_embeddings()
    log_probabilities = []
    for states, tokens in zip(hidden.split(HEAD_TOKENS), labels.split(HEAD_TOKENS), strict=True):
        every_token = head(states).float().log_softmax(-1)  # (n, V)
        log_probabilities.append(every_token.gather(-1, tokens[:, None])[:, 0])
    by_row = torch.cat(log_probabilities).split([len(ids) for _, ids in rows])
    return (row.sum().item() for row in by_row)


def _unshared(model, heads: list[list[int]], tails: list[list[list[int]]]) -> Iterator[float]:
    """The same, each option by itself behind a copy of its prompt: nothing is padded."""
    rows = [(head, ids) for head, options in zip(heads, tails, strict=True) for ids in options]
    for head, ids in rows:
        inputs = torch.tensor([head + ids], device=model.device)
        logits = model(input_ids=inputs, logits_to_keep=len(ids) + 1).logits
        logits = logits[0, :-1].float()  # (T, V)
        yield logits.log_softmax(-1).gather(-1, inputs[0, -len(ids) :, None]).sum().item()

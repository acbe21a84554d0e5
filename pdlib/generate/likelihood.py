"""Answers by likelihood: how likely a model finds each of a question's options as its answer, as
lm-evaluation-harness scores choices.

A model that nobody has taught an answer format can be asked so: it has to write nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pdlib.generate.sampling import BATCH_TOKENS
from pdlib.shared_prefix import attention

HEAD_TOKENS = (
    1024  # that go through the language model head at a time: 200 MB with a vocabulary of 49,152
)


@dataclass(frozen=True)
class Score:
    """log_probability: of the option's text after the prompt, summed over its tokens, in nats.
    n_tokens: how many these are.
    """

    log_probability: float
    n_tokens: int

    @property
    def per_token(self) -> float:
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
    heads = tokenizer(list(prompts), add_special_tokens=False)["input_ids"] if prompts else []
    tails = [
        tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        for texts in options
    ]
    for prompt, texts, head, ids in zip(prompts, options, heads, tails, strict=True):
        if not head or not all(ids) or not ids:
            raise ValueError(
                f"a prompt and each of its options need a token, found the prompt {prompt[-60:]!r} "
                f"with the options {list(texts)}"
            )
    reason = attention.obstacle(model)
    if reason:
        attention.state("likelihoods", reason)
    out: dict[int, list[Score]] = {}
    for batch in _batches(
        [len(head) + sum(map(len, ids)) for head, ids in zip(heads, tails)], batch_tokens
    ):
        found = (_plain if reason else _shared)(
            model, [heads[i] for i in batch], [tails[i] for i in batch]
        )
        for i in batch:
            out[i] = [Score(next(found), len(ids)) for ids in tails[i]]
    return [out[i] for i in range(len(heads))]


def _batches(sizes: list[int], tokens: int) -> list[list[int]]:
    """Indices in batches of at most `tokens` tokens together, or of one; the largest first."""
    found, used = [], 0
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if not found or used + sizes[i] > tokens:
            found.append([])
            used = 0
        found[-1].append(i)
        used += sizes[i]
    return found


def _shared(model, heads: list[list[int]], tails: list[list[list[int]]]) -> Iterator[float]:
    """The log-probabilities of all options of all prompts, in order; a row's first token in the
    network is its prompt's last.
    """
    rows = [(place, ids) for place, options in enumerate(tails) for ids in options]
    packed = attention.Packed(
        [head[:-1] for head in heads],
        [[heads[place][-1], *ids[:-1]] for place, ids in rows],
        [place for place, _ in rows],
        model.device,
        rounded=attention.rounds(model),
    )
    labels = torch.tensor([token for _, ids in rows for token in ids], device=model.device)  # (N,)
    with attention.switched_on(model):
        hidden = (
            attention.base_model(model)
            .base_model(**packed.inputs())
            .last_hidden_state[0, packed.n_prompt_tokens :][: len(labels)]
        )
    head = attention.base_model(model).get_output_embeddings()
    found = torch.cat(
        [
            head(part).float().log_softmax(-1).gather(-1, label[:, None])[:, 0]
            for part, label in zip(hidden.split(HEAD_TOKENS), labels.split(HEAD_TOKENS))
        ]
    )
    return (part.sum().item() for part in found.split([len(ids) for _, ids in rows]))


def _plain(model, heads: list[list[int]], tails: list[list[list[int]]]) -> Iterator[float]:
    """The same, each option by itself behind a copy of its prompt: nothing is padded."""
    rows = [(head, ids) for head, options in zip(heads, tails) for ids in options]
    for head, ids in rows:
        inputs = torch.tensor([head + ids], device=model.device)
        logits = (
            model(input_ids=inputs, logits_to_keep=len(ids) + 1).logits[0, :-1].float()
        )  # (T, V)
        yield logits.log_softmax(-1).gather(-1, inputs[0, -len(ids) :, None]).sum().item()

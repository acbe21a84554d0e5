"""What a persona's words do to the choice of mode.

They are left out, exchanged for others, and scored by the gradient.

All scores are in log-odds, log P(personalised) / P(general), which a sure choice does not flatten
as it does P itself. Positive: the word speaks for the personalised mode.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from pdlib import modes
from pdlib.analysis.words.persona_words import Words
from pdlib.shared_prefix.batches import pack, pad, token_ids

NEUTRAL = "something"  # stands in a word's place where no other persona is given


def probability(log_odds: np.ndarray) -> np.ndarray:
    """P(personalised) of log-odds."""
    return 1 / (1 + np.exp(-np.asarray(log_odds, float)))


@torch.no_grad()
def log_odds(
    model, tokenizer, prompts: Sequence[str | list[int]], batch_size: int = 64
) -> np.ndarray:
    """Log-odds of the personalised mode after each prompt [Eq. 1].

    A prompt is a text or token ids; equal ones are read once.
    """
    before_choice, choice = modes.choice_tokens(tokenizer)
    prompts = [tuple(ids) for ids in token_ids(tokenizer, prompts)]
    index = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    sequences = [[*prompt, *before_choice] for prompt in index]
    values = np.empty(len(sequences))
    for batch in pack([len(ids) for ids in sequences], rows=batch_size):
        inputs = pad(tokenizer, [sequences[i] for i in batch], model.device, positions=True)
        logits = model(**inputs, logits_to_keep=1).logits[:, -1, choice].float()  # (B, M)
        values[batch] = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return values[[index[prompt] for prompt in prompts]]


@dataclass(frozen=True)
class Neighbours:
    """Which words stand beside which in the texts of many personas.

    Word ("" at either end) -> the words after it, and before it, as often as they stand there.
    """

    after: dict[str, list[str]]
    before: dict[str, list[str]]

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]]) -> "Neighbours":
        """The neighbours in texts that are given as lists of words."""
        neighbours = cls({}, {})
        for words in texts:
            for left, right in pairwise(["", *words, ""]):
                neighbours.after.setdefault(left, []).append(right)
                neighbours.before.setdefault(right, []).append(left)
        return neighbours

    def between(self, left: str, right: str) -> list[str]:
        """Words that somewhere follow `left` and somewhere precede `right`.

        Any word where there is none; NEUTRAL without personas.
        """
        before = set(self.before.get(right, ())) - {""}
        fitting = [word for word in self.after.get(left, ()) if word in before]
        if fitting:
            return fitting
        return [word for words in self.after.values() for word in words if word] or [NEUTRAL]


def stand_ins(
    texts: Sequence[str], strangers: Neighbours, n: int, rng: random.Random
) -> list[list[str]]:
    """N times a word for each place, such as strangers have between the same neighbours.

    So what is read stays fluent. If strangers have no other word there, the word itself is kept,
    and its score is 0.
    """
    padded, others = ["", *texts, ""], []
    for left, word, right in zip(padded[:-2], texts, padded[2:], strict=True):
        fitting = [other for other in strangers.between(left, right) if other != word]
        others.append(fitting or [word])
    return [[rng.choice(words) for words in others] for _ in range(n)]


def occlusion(
    model,
    tokenizer,
    prompts: Sequence[Words],
    replacements: Sequence[Sequence[Sequence[str]]],
    batch_size: int = 64,
) -> list[dict]:
    """What each word's absence changes: {log_odds, removed, replaced, removed_p, replaced_p}.

    One dict per prompt; its values have the shape (W,), but for the log-odds of the whole prompt.

    removed: with the word minus without it.  replaced: with the word minus with another in its
    place, mean over replacements. *_p: the same in P(personalised).  replacements: of each prompt,
    one or more lists of a word for each place, see `stand_ins`.
    """
    variants, shapes = [], []
    for words, others in zip(prompts, replacements, strict=True):
        places = range(len(words.spans))
        if not others or {len(other) for other in others} != {len(places)}:
            raise ValueError(
                f"found replacements of {[len(other) for other in others]} words for "
                f"{len(places)} places; expected one or more lists of a word for each place"
            )
        variants += [words.ids, *(words.without(w) for w in places)]
        variants += [words.exchanged(w, other[w]) for other in others for w in places]
        shapes.append((1 + len(others), len(places)))
    values = log_odds(model, tokenizer, variants, batch_size)
    scores, start = [], 0
    for shape in shapes:
        end = start + 1 + math.prod(shape)
        whole, without = values[start], values[start + 1 : end].reshape(shape)  # (1 + others, W)
        start = end
        change, change_p = whole - without, probability(whole) - probability(without)
        scores.append(
            {
                "log_odds": whole,
                "removed": change[0],
                "removed_p": change_p[0],
                "replaced": change[1:].mean(0),
                "replaced_p": change_p[1:].mean(0),
            }
        )
    return scores


def gradient_x_input(
    model, tokenizer, prompts: Sequence[Words], batch_size: int = 16
) -> list[np.ndarray]:
    """Of each prompt, (W,): the log-odds' gradient at a token's embedding times the embedding.

    It is summed over a word's tokens. To first order it is what the log-odds would lose with a zero
    embedding in the word's place (Shrikumar et al. 2016). The first layer reads embeddings through
    a norm that ignores their length, so the slope along an embedding says nothing of what that
    layer does with it; with one layer it is zero. No weight gets a gradient.
    """
    before_choice, choice = modes.choice_tokens(tokenizer)
    embeddings, by_prompt = model.get_input_embeddings(), {}
    for batch in pack([len(words.ids) for words in prompts], rows=batch_size):
        sequences = [prompts[i].ids + before_choice for i in batch]
        inputs = pad(tokenizer, sequences, model.device, positions=True)
        with torch.enable_grad():
            embedded = embeddings(inputs.pop("input_ids")).detach().requires_grad_()  # (B, T, D)
            logits = model(inputs_embeds=embedded, logits_to_keep=1, **inputs).logits
            logits = logits[:, -1, choice].float()  # (B, M)
            (slope,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), embedded)
        scores = (slope.float() * embedded.detach().float()).sum(-1).cpu().numpy()  # (B, T)
        for score, i, ids in zip(scores, batch, sequences, strict=True):
            by_prompt[i] = prompts[i].sums(score[-len(ids) :])
    return [by_prompt[i] for i in range(len(prompts))]

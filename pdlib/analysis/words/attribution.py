"""What a persona's words do to the choice of mode: left out, exchanged for others, and by the
gradient.

All scores are in log-odds, log P(personalised) / P(general), which a sure choice does not flatten
as it does P itself. Positive: the word speaks for the personalised mode.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pdlib import modes
from pdlib.analysis.words.attention import batches, pad
from pdlib.analysis.words.persona_words import Words
from pdlib.schema import Mode

NEUTRAL = "something"  # stands in a word's place where no other persona is given


def chance(log_odds):
    """P(personalised) of log-odds."""
    return 1 / (1 + np.exp(-np.asarray(log_odds, float)))


def _choice(tokenizer) -> tuple[list[int], list[int]]:
    """(tokens that both prefixes begin with, the two that tell general and personalised apart)."""
    prefixes = modes.prefix_ids(tokenizer)
    at = modes.decision_index(list(prefixes.values()))
    return prefixes[Mode.GENERAL][:at], [
        prefixes[mode][at] for mode in (Mode.GENERAL, Mode.PERSONALIZED)
    ]


@torch.no_grad()
def log_odds(
    model, tokenizer, prompts: Sequence[str | list[int]], batch_size: int = 64
) -> np.ndarray:
    """Log-odds of the personalised mode after each prompt (text or token ids) [Eq. 1]; equal ones
    are read once.
    """
    common, choice = _choice(tokenizer)
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    read = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else ())
    prompts = [tuple(next(read) if isinstance(prompt, str) else prompt) for prompt in prompts]
    distinct = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    ids = [[*prompt, *common] for prompt in distinct]
    values = np.empty(len(ids))
    for batch in batches([len(one) for one in ids], batch_size):
        logits = (
            model(**pad(tokenizer, [ids[i] for i in batch], model.device), logits_to_keep=1)
            .logits[:, -1, choice]
            .float()
        )  # (B, M)
        values[batch] = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return values[[distinct[prompt] for prompt in prompts]]


@dataclass(frozen=True)
class Neighbours:
    """Of the words of many personas, word ("" at either end) -> the words that stand after it,
    before it, as often as they do.
    """

    after: dict[str, list[str]]
    before: dict[str, list[str]]

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]]) -> "Neighbours":
        found = cls({}, {})
        for words in texts:
            for one, two in zip(["", *words], [*words, ""]):
                found.after.setdefault(one, []).append(two)
                found.before.setdefault(two, []).append(one)
        return found

    def between(self, one: str, two: str) -> list[str]:
        """Words that somewhere follow `one` and somewhere precede `two`; any word where there is
        none, NEUTRAL without personas.
        """
        fitting = set(self.before.get(two, ())) - {""}
        return (
            [word for word in self.after.get(one, ()) if word in fitting]
            or [word for words in self.after.values() for word in words if word]
            or [NEUTRAL]
        )


def stand_ins(
    texts: Sequence[str], strangers: Neighbours, n: int, rng: random.Random
) -> list[list[str]]:
    """N times a word for each place, one that strangers have between such neighbours, so that what
    is read stays fluent.

    The word itself where they have no other there: what could not be different decides nothing.
    """
    others = [
        [word for word in strangers.between(one, two) if word != own] or [own]
        for one, own, two in zip(["", *texts], texts, [*texts[1:], ""])
    ]
    return [[rng.choice(words) for words in others] for _ in range(n)]


def occlusion(
    model,
    tokenizer,
    many: Sequence[Words],
    replacements: Sequence[Sequence[Sequence[str]]],
    batch_size: int = 64,
) -> list[dict]:
    """Of each prompt: what each word's absence changes; {log_odds, removed, replaced, removed_p,
    replaced_p}, (W,) but the first.

    removed: with the word minus without it.  replaced: with the word minus with another in its
    place, mean over replacements. *_p: the same in P(personalised).  replacements: of each prompt,
    one or more lists of a word for each place, see `stand_ins`.
    """
    prompts, shapes = [], []
    for words, others in zip(many, replacements, strict=True):
        places = range(len(words.spans))
        if not others or {len(other) for other in others} != {len(places)}:
            raise ValueError(
                f"found replacements of {[len(other) for other in others]} words for {len(places)} places; expected one or "
                "more lists of a word for each place"
            )
        prompts += [words.ids, *(words.without(w) for w in places)]
        prompts += [words.exchanged(w, other[w]) for other in others for w in places]
        shapes.append((1 + len(others), len(places)))
    values, found, start = log_odds(model, tokenizer, prompts, batch_size), [], 0
    for variants, places in shapes:
        own, table = (
            values[start],
            values[start + 1 : start + 1 + variants * places].reshape(variants, places),
        )
        start += 1 + variants * places
        changes = {"": own - table, "_p": chance(own) - chance(table)}
        found.append(
            {"log_odds": own}
            | {f"removed{unit}": change[0] for unit, change in changes.items()}
            | {f"replaced{unit}": change[1:].mean(0) for unit, change in changes.items()}
        )
    return found


def gradient_x_input(
    model, tokenizer, many: Sequence[Words], batch_size: int = 16
) -> list[np.ndarray]:
    """Of each prompt, (W,): the log-odds' gradient at a token's embedding times the embedding,
    summed over a word's tokens.

    To first order what the log-odds would lose with a zero embedding in the word's place (Shrikumar
    et al. 2016). The first layer reads embeddings through a norm that ignores their length, so the
    slope along an embedding says nothing of what that layer does with it; with one layer it is
    zero. No weight gets a gradient.
    """
    common, choice = _choice(tokenizer)
    embeddings, found = model.get_input_embeddings(), {}
    for batch in batches([len(words.ids) for words in many], batch_size):
        inputs = pad(tokenizer, [many[i].ids + common for i in batch], model.device)
        with torch.enable_grad():
            embedded = embeddings(inputs.pop("input_ids")).detach().requires_grad_()  # (B, T, D)
            logits = (
                model(inputs_embeds=embedded, logits_to_keep=1, **inputs)
                .logits[:, -1, choice]
                .float()
            )
            (slope,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), embedded)
        scores = (slope.float() * embedded.detach().float()).sum(-1).cpu().numpy()  # (B, T)
        for score, i in zip(scores, batch):
            found[i] = many[i].sums(score[-len(many[i].ids) - len(common) :])
    return [found[i] for i in range(len(many))]

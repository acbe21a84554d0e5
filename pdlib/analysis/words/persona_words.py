"""A persona's words within a rendered prompt: which tokens are whose, and the same prompt with
words left out or exchanged.

Words are what stands between spaces, without the punctuation around it. Tokens are found through
the tokenizer's offsets, so any chat template and any fast tokenizer will do: a character of several
bytes may be cut over tokens, and all of them are its word's.
"""

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pdlib import modes
from pdlib.schema import Item, Persona

FACTS = (
    "occupation",
    "studies",
    "hobby",
    "style",
)  # what the pocket world's personas are made of, in the words of `Persona.facts`
OTHER = "other"
Span = tuple[int, int]


@dataclass(frozen=True)
class Words:
    """prompt: as the model reads it; ids: its tokens.  spans: each word's characters (end
    excluded).  tokens: its places in `ids`.
    """

    prompt: str
    ids: list[int]
    spans: tuple[Span, ...]
    tokens: tuple[tuple[int, ...], ...]

    @property
    def texts(self) -> list[str]:
        return [self.prompt[start:end] for start, end in self.spans]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(..., T or more) values of tokens -> (..., W): a word's is the sum of its tokens'."""
        return np.stack([values[..., list(places)].sum(-1) for places in self.tokens], -1)

    def without(self, *words: int) -> list[int]:
        """The prompt's tokens but those of these words; taken from the text, a word could change
        its neighbour's tokens, too.
        """
        left_out = {place for word in words for place in self.tokens[word]}
        return [token for place, token in enumerate(self.ids) if place not in left_out]

    def exchanged(self, word: int, text: str) -> str:
        start, end = self.spans[word]
        return self.prompt[:start] + text + self.prompt[end:]


def word_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The words of text[start:end]; punctuation inside a word stays.

    >>> word_spans("a chef's aide, 42")
    [(0, 1), (2, 8), (9, 13), (15, 17)]
    """
    found = []
    for match in re.compile(r"\S+").finditer(text, start, len(text) if end is None else end):
        first, last = match.span()
        while first < last and unicodedata.category(text[first]).startswith("P"):
            first += 1
        while first < last and unicodedata.category(text[last - 1]).startswith("P"):
            last -= 1
        if first < last:
            found.append((first, last))
    return found


def _encode(tokenizer, prompt: str) -> tuple[list[int], list[Span]]:
    """Token ids, and each token's characters."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"{type(tokenizer).__name__} does not tell which characters a token stands for, so words cannot be found; "
            "load a fast tokenizer (a folder with tokenizer.json)"
        )
    encoded = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], encoded["offset_mapping"]


def _words(tokenizer, prompt: str, spans: Sequence[Span]) -> Words:
    """Each token goes to the word that it shares most characters with (the first of several), or to
    none.
    """
    ids, offsets = _encode(tokenizer, prompt)
    tokens: list[list[int]] = [[] for _ in spans]
    for place, (start, end) in enumerate(offsets):
        shared = [min(end, last) - max(start, first) for first, last in spans]
        if (most := max(shared)) > 0:
            tokens[shared.index(most)].append(place)
    return Words(prompt, ids, tuple(spans), tuple(map(tuple, tokens)))


def locate(tokenizer, prompt: str, start: int, end: int) -> Words:
    """The words of prompt[start:end]; neighbours that share a token are one word. ValueError where
    there is none.
    """
    spans = word_spans(prompt, start, end)
    if not spans:
        raise ValueError(f"no word in {prompt[start:end]!r}; a persona needs at least one")
    offsets, merged = _encode(tokenizer, prompt)[1], spans[:1]
    for span in spans[1:]:
        if any(first < merged[-1][1] and last > span[0] for first, last in offsets):
            merged[-1] = (merged[-1][0], span[1])
        else:
            merged.append(span)
    return _words(tokenizer, prompt, merged)


def persona_words(tokenizer, item: Item, persona: Persona | None, style: str = "plain") -> Words:
    """The words of `persona` in the prompt of `item`; style: one of modes.PROMPTS. ValueError where
    there is nothing to find.
    """
    if persona is None:
        raise ValueError(
            f"item {item.id!r} is asked by nobody in particular, so there are no words of a persona; pass a persona"
        )
    prompt, text = (
        modes.render_prompt(tokenizer, item, persona, style),
        modes.as_data(tokenizer, modes.persona_text(persona.text)),
    )
    if not word_spans(text):
        raise ValueError(f"no word in the persona {persona.text!r}; it needs at least one")
    if (lead := prompt.find(f"I am {text},")) < 0:
        raise ValueError(
            f"the persona {text!r} is not in the prompt as it was given: {prompt[:200]!r} ...; the chat template changes the "
            "user's words, use one that leaves them as they are"
        )
    return locate(tokenizer, prompt, lead + len("I am "), lead + len("I am ") + len(text))


def rewrite(tokenizer, words: Words, texts: Sequence[str]) -> Words:
    """The prompt with `texts` in the places of its words, one each."""
    if len(texts) != len(words.spans):
        raise ValueError(
            f"found {len(texts)} texts for {len(words.spans)} words; expected one a word"
        )
    prompt, spans, done = "", [], 0
    for (start, end), text in zip(words.spans, texts):
        prompt += words.prompt[done:start]
        spans.append((len(prompt), len(prompt) + len(text)))
        prompt, done = prompt + text, end
    return _words(tokenizer, prompt + words.prompt[done:], spans)


def shuffle(tokenizer, words: Words, rng: random.Random) -> Words:
    """The same words in another order, punctuation left where it was: what a place gets, whatever
    word stands there.

    A word may be spelt by other tokens in another place (with or without the space before it).
    """
    return rewrite(tokenizer, words, rng.sample(words.texts, len(words.texts)))


def fact_spans(persona: Persona, words: Words) -> dict[str, Span]:
    """Where the prompt states each of FACTS that the persona has; nothing for real personas, of
    whom no facts are known.
    """
    start, end = words.spans[0][0], words.spans[-1][1]
    found = {}
    for fact in FACTS:
        if (value := persona.facts.get(fact)) is None:
            continue
        lead = "studies " if fact == "studies" else ""  # or the word could be found in another fact
        match = re.compile(rf"(?<!\w){lead}({re.escape(value)})(?!\w)").search(
            words.prompt, start, end
        )
        if match is None:
            raise ValueError(
                f"the persona {words.prompt[start:end]!r} does not state its {fact}, {value!r}; facts and text must agree"
            )
        found[fact] = match.span(1)
    return found


def word_classes(persona: Persona, words: Words) -> list[str]:
    """Of each word, the fact that it states, else "other"."""
    facts = fact_spans(persona, words).items()
    return [
        next((fact for fact, (first, last) in facts if start < last and end > first), OTHER)
        for start, end in words.spans
    ]

"""A persona's words within a rendered prompt, and the prompt with words left out or exchanged.

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

# what the pocket world's personas are made of, in the words of `Persona.facts`
FACTS = ("occupation", "studies", "hobby", "style")
OTHER = "other"
Span = tuple[int, int]


@dataclass(frozen=True)
class Words:
    """The words of a persona in a prompt.

    prompt: as the model reads it; ids: its tokens.  spans: each word's characters (end excluded).
    tokens: its places in `ids`.
    """

    prompt: str
    ids: list[int]
    spans: tuple[Span, ...]
    tokens: tuple[tuple[int, ...], ...]

    @property
    def texts(self) -> list[str]:
        """The words themselves."""
        return [self.prompt[start:end] for start, end in self.spans]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(..., T or more) values of tokens -> (..., W): a word's is the sum of its tokens'."""
        return np.stack([values[..., list(places)].sum(-1) for places in self.tokens], -1)

    def without(self, *words: int) -> list[int]:
        """The prompt's tokens but those of these words.

        Taken from the text, a word could change its neighbour's tokens, too.
        """
        left_out = {index for word in words for index in self.tokens[word]}
        return [token for index, token in enumerate(self.ids) if index not in left_out]

    def exchanged(self, word: int, text: str) -> str:
        """The prompt with `text` in the place of a word."""
        start, end = self.spans[word]
        return self.prompt[:start] + text + self.prompt[end:]


def word_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The words of text[start:end]; punctuation inside a word stays.

    >>> word_spans("a chef's aide, 42")
    [(0, 1), (2, 8), (9, 13), (15, 17)]
    """
    spans = []
    for match in re.compile(r"\S+").finditer(text, start, len(text) if end is None else end):
        first, last = match.span()
        while first < last and unicodedata.category(text[first]).startswith("P"):
            first += 1
        while first < last and unicodedata.category(text[last - 1]).startswith("P"):
            last -= 1
        if first < last:
            spans.append((first, last))
    return spans


def _encode(tokenizer, prompt: str) -> tuple[list[int], list[Span]]:
    """Token ids, and each token's characters."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"{type(tokenizer).__name__} does not tell which characters a token stands for, so "
            "words cannot be found; load a fast tokenizer (a folder with tokenizer.json)"
        )
    encoded = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], encoded["offset_mapping"]


def _words(tokenizer, prompt: str, spans: Sequence[Span]) -> Words:
    """Each token goes to the word that it shares most characters with, or to none.

    To the first of several.
    """
    ids, offsets = _encode(tokenizer, prompt)
    tokens: list[list[int]] = [[] for _ in spans]
    for index, (start, end) in enumerate(offsets):
        shared = [min(end, last) - max(start, first) for first, last in spans]
        most = max(shared)
        if most > 0:
            tokens[shared.index(most)].append(index)
    return Words(prompt, ids, tuple(spans), tuple(map(tuple, tokens)))


def locate(tokenizer, prompt: str, start: int, end: int) -> Words:
    """The words of prompt[start:end]; neighbours that share a token are one word.

    ValueError where there is none.
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
    """The words of `persona` in the prompt of `item`; style: one of modes.PROMPTS.

    ValueError where there is nothing to find.
    """
    if persona is None:
        raise ValueError(
            f"item {item.id!r} is asked by nobody in particular, so there are no words of a "
            "persona; pass a persona"
        )
    prompt = modes.render_prompt(tokenizer, item, persona, style)
    text = modes.as_data(tokenizer, modes.persona_text(persona.text))
    if not word_spans(text):
        raise ValueError(f"no word in the persona {persona.text!r}; it needs at least one")
    lead = prompt.find(f"I am {text},")
    if lead < 0:
        raise ValueError(
            f"the persona {text!r} is not in the prompt as it was given: {prompt[:200]!r} ...; the "
            "chat template changes the user's words, use one that leaves them as they are"
        )
    start = lead + len("I am ")
    return locate(tokenizer, prompt, start, start + len(text))


def rewrite(tokenizer, words: Words, texts: Sequence[str]) -> Words:
    """The prompt with `texts` in the places of its words, one each."""
    if len(texts) != len(words.spans):
        raise ValueError(
            f"found {len(texts)} texts for {len(words.spans)} words; expected one a word"
        )
    prompt, spans, done = "", [], 0
    for (start, end), text in zip(words.spans, texts, strict=True):
        prompt += words.prompt[done:start]
        spans.append((len(prompt), len(prompt) + len(text)))
        prompt, done = prompt + text, end
    return _words(tokenizer, prompt + words.prompt[done:], spans)


def shuffle(tokenizer, words: Words, rng: random.Random) -> Words:
    """The same words in another order: what a place gets, whatever word stands there.

    Punctuation is left where it was. A word may be spelt by other tokens in another place (with or
    without the space before it).
    """
    return rewrite(tokenizer, words, rng.sample(words.texts, len(words.texts)))


def fact_spans(persona: Persona, words: Words) -> dict[str, Span]:
    """Where the prompt states each of FACTS that the persona has.

    Nothing for real personas, of whom no facts are known.
    """
    start, end = words.spans[0][0], words.spans[-1][1]
    spans = {}
    for fact in FACTS:
        value = persona.facts.get(fact)
        if value is None:
            continue
        lead = "studies " if fact == "studies" else ""  # or the word could be found in another fact
        stated = re.compile(rf"(?<!\w){lead}({re.escape(value)})(?!\w)")
        match = stated.search(words.prompt, start, end)
        if match is None:
            raise ValueError(
                f"the persona {words.prompt[start:end]!r} does not state its {fact}, {value!r}; "
                "facts and text must agree"
            )
        spans[fact] = match.span(1)
    return spans


def word_classes(persona: Persona, words: Words) -> list[str]:
    """Of each word, the fact that it states, else "other"."""
    facts = fact_spans(persona, words)
    classes = []
    for start, end in words.spans:
        stated = [fact for fact, (first, last) in facts.items() if start < last and end > first]
        classes.append(stated[0] if stated else OTHER)
    return classes

"""Which persona asks an item under which condition; aligned personas that do not give the answer away; English only."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from pdlib.experts import Expert
from pdlib.grading import normalize
from pdlib.schema import Item, Persona
from pdlib.sources import language, pairwise

CONDITIONS = ("none", "unaligned", "aligned")
AGAIN = 2  # how often a persona that gives the answer away is asked for anew
TRIVIAL = {"yes", "no", "maybe", "true", "false", "none", "both", "unknown", "all of above", "none of above"}


def assign(item: Item, condition: str, pool: Sequence[Persona]) -> Persona | None:
    """The persona that asks `item`: none, one of `pool` by the item's id (never its own), or its aligned one."""
    if condition == "none":
        return None
    if condition == "aligned":
        if item.aligned is None:
            raise ValueError(f"item {item.id!r} has no aligned persona; evaluate it under 'none' and 'unaligned'")
        return item.aligned
    if condition != "unaligned":
        raise ValueError(f"unknown persona condition {condition!r}, expected one of {CONDITIONS}")
    start = int(hashlib.sha256(item.id.encode()).hexdigest(), 16)
    for step in range(len(pool)):
        persona = pool[(start + step) % len(pool)]
        if item.aligned is None or persona.text != item.aligned.text:
            return persona
    raise ValueError(f"item {item.id!r}: no persona but its own among {len(pool)}; an unaligned one needs a larger pool")


def gives_away(item: Item, persona: Persona) -> str | None:
    """Why the persona's text gives the answer to `item` away, or None; words of the question itself give nothing away.

    It does when it holds an accepted answer as whole words, or, for a choice, words that only the gold option has and no
    word that only another has. Single letters, numbers below 100, yes/no and the like stand in too many texts to tell
    anything, and pass.
    """
    said, question = (f" {normalize(text)} " for text in (persona.text, item.question))
    for text in map(normalize, (item.gold, *item.aliases)):
        trivial = len(text) < 2 or text in TRIVIAL or text.isdecimal() and int(text) < 100
        if not trivial and f" {text} " in said and f" {text} " not in question:
            return f"it holds the answer {text!r}"
    own = {option: distinctive for option in item.options
           if (distinctive := _content_words(option) - _content_words(item.question, *(o for o in item.options if o != option)))}
    named = {option: words for option in own if (words := own[option] & _content_words(persona.text))}
    return f"only the right option has its words {sorted(named[item.gold])}" if set(named) == {item.gold} else None


def _content_words(*texts: str) -> set[str]:
    """The words of four letters and more that are not among the commonest."""
    return {w for text in texts for w in normalize(text).split() if len(w) > 3 and not w.isdecimal()} - ENGLISH_STOP_WORDS


def write_aligned(items: Sequence[Item], expert: Expert) -> tuple[dict[str, Persona], Counter]:
    """(item id -> aligned persona written by `expert` from the question alone, counts of dropped items by reason).

    A persona that gives the answer away is asked for anew up to AGAIN times, then dropped. ValueError for personalised
    items: they carry their asker's own persona.
    """
    own = [item.id for item in items if item.kind != "objective"]
    if own:
        raise ValueError(f"{len(own)} items are personalised ({own[0]!r} ...): their persona is the asker's own; pass objective items")
    written, refused, left = {}, {}, list(items)
    for attempt in range(1 + AGAIN):
        found = expert.personas(left, attempt) if left else []
        for item, persona in zip(left, found, strict=True):
            reason = "the expert wrote none" if persona is None else "gives the answer away" if gives_away(item, persona) else None
            if reason is None:
                written[item.id] = persona
                refused.pop(item.id, None)
            else:
                refused[item.id] = reason
        left = [item for item in left if refused.get(item.id) == "gives the answer away"]
    return written, Counter(refused.values())


def translate(texts: Sequence[Persona | str], expert: Expert | None) -> tuple[list[str | None], Counter]:
    """(the texts in English, None where that failed; counts of what was done). Only texts in another language are sent.

    A translation must itself be found to be English; a text without letters is left as it is. ValueError when there is
    something to translate and no expert.
    """
    out = [getattr(text, "text", text) for text in texts]
    codes = [language(text) for text in out]
    foreign = {i: code for i, code in enumerate(codes) if code not in ("en", "unknown")}
    counts = Counter({"already English": codes.count("en"), "without letters": codes.count("unknown")})
    if foreign and expert is None:
        raise ValueError(f"{len(foreign)} of {len(out)} texts are not in English ({dict(Counter(foreign.values()))}), the first: "
                         f"{out[min(foreign)][:80]!r}; give an expert that translates, or leave these rows out")
    for i, english in zip(foreign, expert.translations([out[i] for i in foreign]) if foreign else [], strict=True):
        out[i] = english if english is not None and language(english) == "en" else None
        counts["no translation" if english is None else "translated" if out[i] else "translation not in English"] += 1
    return out, +counts


def in_english(items: Sequence[Item], expert: Expert | None) -> tuple[list[Item], Counter]:
    """(personalised items with question, answers and persona in English, counts of what was done): PersonaFeedback's gate.

    An item is translated when its question and answers together, or its persona, are found to be in another language; one that
    cannot be is left out. Nothing is sent for items in English.
    """
    foreign = [item for item in items if not {language(f"{item.facts['question']} {' '.join(item.options)}"), language(item.aligned.text)} <= {"en"}]
    parts = [[item.facts["question"], *item.options, item.aligned.text] for item in foreign]
    texts, counts = translate([text for row in parts for text in row], expert)
    done, start = {}, 0
    for item, row in zip(foreign, parts):
        question, *options, persona = texts[start:start + len(row)]
        start += len(row)
        if question and persona and all(options) and len(set(options)) == len(options):
            gold = options[item.options.index(item.gold)]
            done[item.id] = replace(item, question=pairwise(question), options=tuple(options), gold=gold,
                                    aligned=Persona(persona, item.aligned.facts), facts=item.facts | {"question": question})
    lost = {item.id for item in foreign} - set(done)
    kept = [done.get(item.id, item) for item in items if item.id not in lost]
    return kept, +Counter({"items translated": len(done), "items left out, not translated": len(lost)}
                          | {f"texts: {what}": n for what, n in counts.items() if foreign})

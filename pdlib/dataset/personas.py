"""Which persona asks an item under which condition; aligned and rival personas that do not give the
answer away; English only.
"""

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from pdlib.dataset.experts import Expert
from pdlib.questions.grading import normalize
from pdlib.questions.sources import language, pairwise
from pdlib.schema import Item, Persona

Asked = tuple[str, Item, Persona | None]  # (condition, the item as shown, who asks)

CONDITIONS = ("none", "unaligned", "aligned")  # the paper's
COUNTERFACTUAL = (
    *CONDITIONS,
    "conflicting",
    "swapped",
    "long",
    "none reordered",
    "unaligned reordered",
    "aligned reordered",
)
BIOGRAPHY = (  # of nobody in particular: no word of the pocket lexicon is among them
    "I get up at seven and have a cup of green tea",
    "My sister lives in the next town and has two grey cats",
    "On Sundays we eat soup and then sleep for an hour",
    "The bus to my street is often late when it rains",
    "Last summer I lost my hat on a hill and found it again",
    "My coat is brown and has been with me for ages",
    "We grew up by a lake and still go there every June",
    "There is a blue chair beside my shelf and a lamp on it",
    "I get apples on Friday because they are cheap on that morning",
    "My aunt calls me every Tuesday and asks about the weather",
    "In winter I wear two pairs of socks and a warm scarf",
    "The tree behind our house is older than my grandfather is",
    "I forget names but I never forget a face or a voice",
    "My cousins have a dog that barks at every passing van",
    "I once lived in a tall house with eleven other families",
    "My favourite colour is yellow and I never wear grey",
)
# what a persona made of memories begins with; it follows "I am "
REMEMBERED = "somebody of whom you remember this: "
SENTENCES = 6  # of eleven to thirteen words
OTHER_OPTIONS = re.compile(  # "none of the above", "both A and C", "option B"
    r"(?i:\bof the (above|below|preceding|following|other)\b|\b(the|options?|answers?|choices?) (above|below)\b)|"
    r"\b[A-J]\b *(,|and|or|&|nor) *\b[A-J]\b|(?i:\b(options?|answers?|choices?)) \(?[A-J]\b"
)
AGAIN = 2  # how often a persona that gives the answer away is asked for anew
TRIVIAL = {
    "yes",
    "no",
    "maybe",
    "true",
    "false",
    "none",
    "both",
    "unknown",
    "all of above",
    "none of above",
}


def of_memories(memories: Sequence[str]) -> Persona:
    """What an assistant remembers of somebody, a sentence each, as a persona.

    >>> of_memories(["The user is a nurse.", "The user likes tea. "]).text
    'somebody of whom you remember this: The user is a nurse. The user likes tea.'
    """
    return Persona(
        REMEMBERED + " ".join(one.strip() for one in memories), {"memories": list(memories)}
    )


def assign(item: Item, condition: str, pool: Sequence[Persona]) -> Persona | None:
    """The persona that asks `item`: none, its aligned one, or its unaligned one; without that, one
    of `pool` by the item's id (never its own).
    """
    if condition == "none":
        return None
    if condition == "aligned":
        if item.aligned is None:
            raise ValueError(
                f"item {item.id!r} has no aligned persona; evaluate it under 'none' and 'unaligned'"
            )
        return item.aligned
    if condition != "unaligned":
        raise ValueError(f"unknown persona condition {condition!r}, expected one of {CONDITIONS}")
    if item.unaligned is not None:
        return item.unaligned
    start = int(hashlib.sha256(item.id.encode()).hexdigest(), 16)
    for step in range(len(pool)):
        persona = pool[(start + step) % len(pool)]
        if item.aligned is None or persona.text != item.aligned.text:
            return persona
    raise ValueError(
        f"item {item.id!r}: no persona but its own among {len(pool)}; an unaligned one needs a larger pool"
    )


def with_biography(item: Item, persona: Persona) -> Persona:
    """The persona, followed by 66 to 78 words about everyday life, by the item's id, that help with
    nothing.
    """
    sentences = random.Random(f"biography|{item.id}").sample(BIOGRAPHY, SENTENCES)
    return Persona(". ".join([persona.text.rstrip(". "), *sentences]), persona.facts)


def swap(items: Sequence[Item]) -> dict[str, Persona]:
    """Item id -> the aligned persona of another item of the benchmark; whatever the order of the
    items, and never their own text.

    Items are sorted into groups of one persona and moved on by the largest group's size. Where one
    persona asks more than half of a benchmark's items, some of them have no other and are left out.
    """
    by_benchmark, found = defaultdict(list), {}
    for item in items:
        if item.aligned:
            by_benchmark[item.benchmark].append(item)
    for group in by_benchmark.values():
        group.sort(
            key=lambda item: [
                hashlib.sha256(text.encode()).digest() for text in (item.aligned.text, item.id)
            ]
        )
        largest = max(Counter(item.aligned.text for item in group).values())
        for at, item in enumerate(group):
            other = group[(at + largest) % len(group)].aligned
            if other.text != item.aligned.text:
                found[item.id] = other
    return found


def gives_away(item: Item, persona: Persona) -> str | None:
    """Why the persona's text gives the answer to `item` away, or None; words of the question itself
    give nothing away.

    It does when it holds an accepted answer as whole words, or, for a choice, words that only the
    gold option has and no word that only another has. Single letters, numbers below 100, yes/no and
    the like stand in too many texts to tell anything, and pass.
    """
    said, question = (f" {normalize(text)} " for text in (persona.text, item.question))
    for text in map(normalize, (item.gold, *item.aliases)):
        trivial = len(text) < 2 or text in TRIVIAL or text.isdecimal() and int(text) < 100
        if not trivial and f" {text} " in said and f" {text} " not in question:
            return f"it holds the answer {text!r}"
    own = {
        option: distinctive
        for option in item.options
        if (
            distinctive := content_words(option)
            - content_words(item.question, *(o for o in item.options if o != option))
        )
    }
    named = {
        option: words for option in own if (words := own[option] & content_words(persona.text))
    }
    return (
        f"only the right option has its words {sorted(named[item.gold])}"
        if set(named) == {item.gold}
        else None
    )


def content_words(*texts: str) -> set[str]:
    """The words of four letters and more that are not among the commonest."""
    return {
        w for text in texts for w in normalize(text).split() if len(w) > 3 and not w.isdecimal()
    } - ENGLISH_STOP_WORDS


def write_aligned(items: Sequence[Item], expert: Expert) -> tuple[dict[str, Persona], Counter]:
    """(item id -> aligned persona written by `expert` from the question alone, counts of dropped
    items by reason).

    A persona that gives the answer away is asked for anew up to AGAIN times, then dropped.
    ValueError for personalised items: they carry their asker's own persona.
    """
    own = [item.id for item in items if item.kind != "objective"]
    if own:
        raise ValueError(
            f"{len(own)} items are personalised ({own[0]!r} ...): their persona is the asker's own; pass objective items"
        )
    return _write(items, expert.personas)


def write_rivals(items: Sequence[Item], expert: Expert) -> tuple[dict[str, Persona], Counter]:
    """(item id -> persona that fits another reading of the question, counts of dropped items by
    reason), as in `write_aligned`.
    """
    return _write(items, expert.rivals)


def _write(
    items: Sequence[Item], ask: Callable[[Sequence[Item], int], list[Persona | None]]
) -> tuple[dict[str, Persona], Counter]:
    written, refused, left = {}, {}, list(items)
    for attempt in range(1 + AGAIN):
        found = ask(left, attempt) if left else []
        for item, persona in zip(left, found, strict=True):
            reason = (
                "the expert wrote none"
                if persona is None
                else "gives the answer away"
                if gives_away(item, persona)
                else None
            )
            if reason is None:
                written[item.id] = persona
                refused.pop(item.id, None)
            else:
                refused[item.id] = reason
        left = [item for item in left if refused.get(item.id) == "gives the answer away"]
    return written, Counter(refused.values())


def reorder(item: Item) -> Item | str:
    """The item with its options rotated, so that every option changes its place, by the id; or why
    there is no other order.
    """
    if len(item.options) < 2:
        return "no options"
    if any(OTHER_OPTIONS.search(option) for option in item.options):
        return "an option speaks of other options"
    turn = random.Random(f"order|{item.id}").randrange(1, len(item.options))
    return replace(item, options=(*item.options[turn:], *item.options[:turn]))


def variants(
    items: Sequence[Item], pool: Sequence[Persona], expert: Expert
) -> tuple[list[Asked], Counter]:
    """(who asks what under each of COUNTERFACTUAL, what could not be had by reason); an item keeps
    its id, so that it can be paired.

    conflicting: the expert's persona for a rival reading, objective items only.  swapped: another
    item's aligned persona. long: the unaligned persona with a biography.  reordered: choices with
    their options in another order. ValueError when two items have one id.
    """
    if len({item.id for item in items}) < len(items):
        raise ValueError(
            f"{len(items)} items with {len({item.id for item in items})} ids; answers are paired by id: pass each item once"
        )
    objective, own = (
        [item for item in items if (item.kind == "objective") is yes] for yes in (True, False)
    )
    rivals, refused = write_rivals(objective, expert)
    swapped, unaligned = swap(items), {item.id: assign(item, "unaligned", pool) for item in items}
    who = {
        "none": dict.fromkeys(unaligned),
        "unaligned": unaligned,
        "aligned": {item.id: item.aligned for item in items if item.aligned},
        "conflicting": rivals,
        "swapped": swapped,
        "long": {item.id: with_biography(item, unaligned[item.id]) for item in items},
    }
    turned = {item.id: reorder(item) for item in items}
    left_out = Counter({f"conflicting: {reason}": n for reason, n in refused.items()})
    left_out["conflicting: a personalised question has no other reading"] = len(own)
    left_out["aligned: the item has no aligned persona"] = len(items) - len(who["aligned"])
    left_out["swapped: no item of the benchmark has another persona"] = len(who["aligned"]) - len(
        swapped
    )
    left_out.update(f"reordered: {found}" for found in turned.values() if isinstance(found, str))
    asked = [
        (condition, item, given[item.id])
        for condition, given in who.items()
        for item in items
        if item.id in given
    ]
    asked += [
        (f"{condition} reordered", turned[item.id], who[condition][item.id])
        for condition in CONDITIONS
        for item in items
        if item.id in who[condition] and isinstance(turned[item.id], Item)
    ]
    return asked, +left_out


def translate(
    texts: Sequence[Persona | str], expert: Expert | None
) -> tuple[list[str | None], Counter]:
    """(the texts in English, None where that failed; counts of what was done). Only texts in
    another language are sent.

    A translation must itself be found to be English; a text without letters is left as it is.
    ValueError when there is something to translate and no expert.
    """
    out = [getattr(text, "text", text) for text in texts]
    codes = [language(text) for text in out]
    foreign = {i: code for i, code in enumerate(codes) if code not in ("en", "unknown")}
    counts = Counter(
        {"already English": codes.count("en"), "without letters": codes.count("unknown")}
    )
    if foreign and expert is None:
        raise ValueError(
            f"{len(foreign)} of {len(out)} texts are not in English ({dict(Counter(foreign.values()))}), the first: "
            f"{out[min(foreign)][:80]!r}; give an expert that translates, or leave these rows out"
        )
    for i, english in zip(
        foreign, expert.translations([out[i] for i in foreign]) if foreign else [], strict=True
    ):
        out[i] = english if english is not None and language(english) == "en" else None
        counts[
            "no translation"
            if english is None
            else "translated"
            if out[i]
            else "translation not in English"
        ] += 1
    return out, +counts


def in_english(items: Sequence[Item], expert: Expert | None) -> tuple[list[Item], Counter]:
    """(personalised items with question, answers and persona in English, counts of what was done):
    PersonaFeedback's gate.

    An item is translated when its question and answers together, or its persona, are found to be in
    another language; one that cannot be is left out. Nothing is sent for items in English.
    """
    foreign = [
        item
        for item in items
        if not {
            language(f"{item.facts['question']} {' '.join(item.options)}"),
            language(item.aligned.text),
        }
        <= {"en"}
    ]
    parts = [[item.facts["question"], *item.options, item.aligned.text] for item in foreign]
    texts, counts = translate([text for row in parts for text in row], expert)
    done, start = {}, 0
    for item, row in zip(foreign, parts):
        question, *options, persona = texts[start : start + len(row)]
        start += len(row)
        if question and persona and all(options) and len(set(options)) == len(options):
            gold = options[item.options.index(item.gold)]
            done[item.id] = replace(
                item,
                question=pairwise(question),
                options=tuple(options),
                gold=gold,
                aligned=Persona(persona, item.aligned.facts),
                facts=item.facts | {"question": question},
            )
    lost = {item.id for item in foreign} - set(done)
    kept = [done.get(item.id, item) for item in items if item.id not in lost]
    return kept, +Counter(
        {"items translated": len(done), "items left out, not translated": len(lost)}
        | {f"texts: {what}": n for what, n in counts.items() if foreign}
    )

"""Counterfactual personas: an item is asked by other people, or with its options reordered."""

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pdlib.dataset.experts import Expert
from pdlib.dataset.personas import CONDITIONS, Asked, assign, write_rivals
from pdlib.schema import Item, Persona

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
SENTENCES = 6  # of eleven to thirteen words
OTHER_OPTIONS = re.compile(  # "none of the above", "both A and C", "option B"
    r"(?i:\bof the (above|below|preceding|following|other)\b|"
    r"\b(the|options?|answers?|choices?) (above|below)\b)|"
    r"\b[A-J]\b *(,|and|or|&|nor) *\b[A-J]\b|(?i:\b(options?|answers?|choices?)) \(?[A-J]\b"
)


def with_biography(item: Item, persona: Persona) -> Persona:
    """The persona, followed by 66 to 78 words about everyday life that help with nothing.

    The words are chosen by the item's id.
    """
    sentences = random.Random(f"biography|{item.id}").sample(BIOGRAPHY, SENTENCES)
    return Persona(". ".join([persona.text.rstrip(". "), *sentences]), persona.facts)


def swap(items: Sequence[Item]) -> dict[str, Persona]:
    """Item id -> the aligned persona of another item of the benchmark, never with its own text.

    The result does not depend on the order of the items: they are sorted into groups of one persona
    and moved on by the largest group's size. Where one persona asks more than half of a benchmark's
    items, some of them have no other and are left out.
    """

    def rank(item: Item) -> list[bytes]:
        return [hashlib.sha256(text.encode()).digest() for text in (item.aligned.text, item.id)]

    by_benchmark, swapped = defaultdict(list), {}
    for item in items:
        if item.aligned:
            by_benchmark[item.benchmark].append(item)
    for group in by_benchmark.values():
        group.sort(key=rank)
        largest = max(Counter(item.aligned.text for item in group).values())
        for index, item in enumerate(group):
            other = group[(index + largest) % len(group)].aligned
            if other.text != item.aligned.text:
                swapped[item.id] = other
    return swapped


def reorder(item: Item) -> Item | str:
    """The item with its options rotated by its id, or why there is no other order.

    Every option changes its place.
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
    """(who asks what under each of `personas.COUNTERFACTUAL`, what could not be had by reason).

    conflicting: the expert's persona for a rival reading, objective items only.
    swapped: another item's aligned persona.
    long: the unaligned persona with a biography.
    reordered: choices with their options in another order.

    An item keeps its id, so that it can be paired. ValueError when two items have one id.
    """
    n_ids = len({item.id for item in items})
    if n_ids < len(items):
        raise ValueError(
            f"{len(items)} items with {n_ids} ids; answers are paired by id: pass each item once"
        )
    objective = [item for item in items if item.kind == "objective"]
    rivals, refused = write_rivals(objective, expert)
    unaligned = {item.id: assign(item, "unaligned", pool) for item in items}
    askers = {
        "none": dict.fromkeys(unaligned),
        "unaligned": unaligned,
        "aligned": {item.id: item.aligned for item in items if item.aligned},
        "conflicting": rivals,
        "swapped": swap(items),
        "long": {item.id: with_biography(item, unaligned[item.id]) for item in items},
    }
    reordered = {item.id: reorder(item) for item in items}
    questions = [
        (condition, item, people[item.id])
        for condition, people in askers.items()
        for item in items
        if item.id in people
    ]
    questions += [
        (f"{condition} reordered", reordered[item.id], askers[condition][item.id])
        for condition in CONDITIONS
        for item in items
        if item.id in askers[condition] and isinstance(reordered[item.id], Item)
    ]
    n_personalized = len(items) - len(objective)
    n_aligned, n_swapped = len(askers["aligned"]), len(askers["swapped"])
    left_out = Counter({f"conflicting: {reason}": n for reason, n in refused.items()})
    left_out.update(
        {
            "conflicting: a personalised question has no other reading": n_personalized,
            "aligned: the item has no aligned persona": len(items) - n_aligned,
            "swapped: no item of the benchmark has another persona": n_aligned - n_swapped,
        }
    )
    reasons = [reason for reason in reordered.values() if isinstance(reason, str)]
    left_out.update(f"reordered: {reason}" for reason in reasons)
    return questions, +left_out

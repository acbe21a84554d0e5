"""Every word of many personas, scored by each way of asking what drives the mode; and whole facts
exchanged, as the yardstick.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdlib import modes
from pdlib.analysis import stats
from pdlib.analysis.words import attention, attribution
from pdlib.analysis.words.persona_words import (
    FACTS,
    Words,
    fact_spans,
    persona_words,
    shuffle,
    word_classes,
    word_spans,
)
from pdlib.dataset import personas
from pdlib.dataset.personas import Asked
from pdlib.schema import Item, Persona

METHODS = {
    "attention": "attention",
    "removed": "occlusion: left out",
    "replaced": "occlusion: replaced",
    "gradient": "gradient × input",
}
AT_ONCE = 32  # askers between two reports of progress


@dataclass(frozen=True)
class Explained:
    """words: one row a word of a persona, see `explain`.  heads: (rows, L, H) attention of the
    decision onto it. maps: of each persona, attention (P, L, H, W) from each of
    attention.POSITIONS.
    """

    words: pd.DataFrame
    heads: np.ndarray
    maps: dict[tuple[str, str], np.ndarray]


def typed(question: str) -> Item:
    """A question as somebody types it, for widgets; it has no known answer."""
    if not question.strip():
        raise ValueError("no question: type one, such as: what is bond?")
    return Item("typed", "typed", "objective", "text", question.strip(), "unknown")


def sample(items: Sequence[Item], pool: Sequence[Persona], n: int) -> list[Asked]:
    """N objective questions, evenly over benchmarks in their order, each asked by its aligned and
    by an unaligned persona.

    Pocket questions with a cue are left out: there the question decides. So are items without an
    aligned persona.
    """
    usable = [
        item
        for item in items
        if item.kind == "objective" and item.aligned and not item.facts.get("cue")
    ]
    if not usable:
        raise ValueError(
            f"none of {len(items)} items is objective, has an aligned persona and no cue; pass the test set"
        )
    ranked = pd.Series(usable).groupby([item.benchmark for item in usable]).cumcount()
    chosen = [usable[i] for i in ranked.sort_values(kind="stable").index[:n]]
    return [
        (condition, item, personas.assign(item, condition, pool))
        for item in chosen
        for condition in ("aligned", "unaligned")
    ]


def explain(
    model,
    tokenizer,
    asked: Sequence[Asked],
    *,
    pool: Sequence[Persona] = (),
    strangers: int = 2,
    shuffles: int = 1,
    seed: int = 0,
    style: str = "plain",
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """Every word of every persona in `asked`, scored by each of METHODS, once as it stands and
    `shuffles` times shuffled.

    Columns: benchmark, kind, item_id, condition, train_seed (for `stats`: 0), place, word,
    word_class (of FACTS, or "other"), p_personalized (of the whole prompt), a column each of
    METHODS, attention_general and attention_personalized (from the forced prefixes), removed_p and
    replaced_p (changes of P), shuffled_<method> (mean over shuffles; missing with none). pool:
    personas whose words replace, see attribution.stand_ins, `strangers` of them for each place;
    none: attribution.NEUTRAL does. progress: told after every few askers how many of all are done.
    """
    if len({(item.id, condition) for condition, item, _ in asked}) < len(asked):
        raise ValueError(
            "some item is asked twice under one condition; give each asker a condition of their own"
        )
    rng = random.Random(f"causes|{seed}")
    many = [persona_words(tokenizer, item, persona, style) for _, item, persona in asked]
    people = attribution.Neighbours.of([_texts(other) for other in pool])
    mixed = [shuffle(tokenizer, words, rng) for words in many for _ in range(shuffles)]
    others, mixed_others = (
        [attribution.stand_ins(words.texts, people, strangers, rng) for words in part]
        for part in (many, mixed)
    )
    maps, scores, by_place, frames = [], [], [], []
    for start in range(0, len(many), AT_ONCE):
        now, then = (
            slice(start, start + AT_ONCE),
            slice(start * shuffles, (start + AT_ONCE) * shuffles),
        )
        found, own = _scores(model, tokenizer, many[now], others[now], batch_size)
        maps, scores = maps + found, scores + own
        by_place += _scores(model, tokenizer, mixed[then], mixed_others[then], batch_size)[1]
        if progress:
            progress(len(scores), len(many))
    for i, ((condition, item, persona), words) in enumerate(zip(asked, many)):
        own, log_odds = scores[i], scores[i].pop("log_odds")
        shuffled = {
            f"shuffled_{name}": np.mean(
                [by_place[j][name] for j in range(i * shuffles, (i + 1) * shuffles)]
                or [np.full(len(words.spans), np.nan)],
                axis=0,
            )
            for name in METHODS
        }
        facts = {
            "benchmark": item.benchmark,
            "kind": item.kind,
            "item_id": item.id,
            "condition": condition,
            "train_seed": 0,
            "place": range(len(words.spans)),
            "word": words.texts,
            "word_class": word_classes(persona, words),
        }
        forced = {
            f"attention_{name}": maps[i][p].mean((0, 1))
            for p, name in enumerate(attention.POSITIONS)
            if name != "decision"
        }
        frames.append(
            pd.DataFrame(
                facts | {"p_personalized": attribution.chance(log_odds)} | own | forced | shuffled
            )
        )
    heads = np.concatenate([found[0].transpose(2, 0, 1) for found in maps])
    return Explained(
        pd.concat(frames, ignore_index=True),
        heads,
        {(item.id, condition): found for (condition, item, _), found in zip(asked, maps)},
    )


def _scores(
    model, tokenizer, many: Sequence[Words], others, batch_size: int
) -> tuple[list[np.ndarray], list[dict]]:
    """Of each prompt: (attention (P, L, H, W), a column each of METHODS and what `occlusion` says
    besides).
    """
    if not many:
        return [], []
    maps = attention.on_words(model, tokenizer, many, max(1, batch_size // 2))
    found = attribution.occlusion(model, tokenizer, many, others, batch_size)
    slopes = attribution.gradient_x_input(model, tokenizer, many, max(1, batch_size // 4))
    return maps, [
        {"attention": weights[0].mean((0, 1))} | {"gradient": slope} | one
        for weights, slope, one in zip(maps, slopes, found)
    ]


def _texts(persona: Persona) -> list[str]:
    text = modes.persona_text(persona.text)
    return [text[start:end] for start, end in word_spans(text)]


def swaps(
    model,
    tokenizer,
    asked: Sequence[Asked],
    pool: Sequence[Persona],
    *,
    strangers: int = 2,
    seed: int = 0,
    batch_size: int = 64,
) -> pd.DataFrame:
    """The yardstick: P(personalised) when one whole fact of the asker is exchanged for a
    stranger's, by intervention and not by score.

    One row an asker and fact (of FACTS): benchmark, item_id, condition, train_seed, fact, p (as
    asked), change (p minus the mean with strangers' facts), size (mean of the absolute changes).
    ValueError for personas without known facts.
    """
    rng, prompts, rows = random.Random(f"swaps|{seed}"), [], []
    for condition, item, persona in asked:
        words = persona_words(tokenizer, item, persona)
        if not (known := fact_spans(persona, words)):
            raise ValueError(
                "these personas come without facts, so none can be exchanged; pocket personas have them"
            )
        for fact, (start, end) in known.items():
            values = sorted(
                {
                    other.facts[fact]
                    for other in pool
                    if other.facts.get(fact) not in (None, persona.facts[fact])
                }
            )
            if len(values) < strangers:
                raise ValueError(
                    f"found {len(values)} other values of {fact}, expected {strangers} or more; pass a larger pool"
                )
            prompts += [
                words.prompt,
                *(
                    words.prompt[:start] + value + words.prompt[end:]
                    for value in rng.sample(values, strangers)
                ),
            ]
            rows.append(
                {
                    "benchmark": item.benchmark,
                    "item_id": item.id,
                    "condition": condition,
                    "train_seed": 0,
                    "fact": fact,
                }
            )
    p = attribution.chance(attribution.log_odds(model, tokenizer, prompts, batch_size)).reshape(
        len(rows), 1 + strangers
    )
    changes = p[:, :1] - p[:, 1:]
    return pd.DataFrame(rows).assign(
        p=p[:, 0], change=changes.mean(1), size=np.abs(changes).mean(1)
    )


def swap_effects(found: pd.DataFrame) -> pd.DataFrame:
    """Of `swaps`: the mean size of the change of P(personalised), by condition and fact, with 95 %
    intervals over items.
    """
    return pd.DataFrame(
        [
            {"condition": condition, "fact": fact} | stats.mean_interval(part, "size")
            for condition, own in found.groupby("condition", sort=False)
            for fact, part in ((fact, own[own.fact == fact]) for fact in FACTS)
            if len(part)
        ]
    )

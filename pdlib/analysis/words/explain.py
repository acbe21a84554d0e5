"""Every word of many personas, scored by each way of asking what drives the mode.

The yardstick beside them: P(personalised) when whole facts of the asker are exchanged.
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
    """The scores of every word of many askers.

    words: one row per word of a persona, see `explain`. heads: (rows, L, H) attention of the
    decision onto it. maps: (item_id, condition) -> attention (P, L, H, W) from each of
    attention.POSITIONS.
    """

    words: pd.DataFrame
    heads: np.ndarray
    maps: dict[tuple[str, str], np.ndarray]

    def of_asker(self, item_id: str, condition: str) -> tuple[pd.DataFrame, np.ndarray]:
        """(rows of one persona's words, attention (P, L, H, W) onto them)."""
        if (item_id, condition) not in self.maps:
            raise ValueError(
                f"item {item_id!r} was not explained under {condition!r}; there are "
                f"{len(self.maps)} askers, the first: {next(iter(self.maps), None)}"
            )
        is_asker = (self.words.item_id == item_id) & (self.words.condition == condition)
        return self.words[is_asker], self.maps[item_id, condition]


def typed(question: str) -> Item:
    """A question as somebody types it, for widgets; it has no known answer."""
    if not question.strip():
        raise ValueError("no question: type one, such as: what is bond?")
    return Item("typed", "typed", "objective", "text", question.strip(), "unknown")


def sample(items: Sequence[Item], pool: Sequence[Persona], n: int) -> list[Asked]:
    """N objective questions, each asked by its aligned and by an unaligned persona.

    They are taken evenly from the benchmarks, in their order. Pocket questions with a cue are left
    out: there the question decides. So are items without an aligned persona.
    """
    usable = [
        item
        for item in items
        if item.kind == "objective" and item.aligned and not item.facts.get("cue")
    ]
    if not usable:
        raise ValueError(
            f"none of {len(items)} items is objective, has an aligned persona and no cue; "
            "pass the test set"
        )
    rank = pd.Series(usable).groupby([item.benchmark for item in usable]).cumcount()
    chosen = [usable[i] for i in rank.sort_values(kind="stable").index[:n]]
    return [
        (condition, item, personas.assign(item, condition, pool))
        for item in chosen
        for condition in ("aligned", "unaligned")
    ]


def explain(
    model,
    tokenizer,
    questions: Sequence[Asked],
    *,
    pool: Sequence[Persona] = (),
    strangers: int = 2,
    shuffles: int = 1,
    seed: int = 0,
    style: str = "plain",
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """Every word of every persona in `questions`, scored by each of METHODS.

    Each persona is scored once as it stands and `shuffles` times with its words shuffled.

    Columns: benchmark, kind, item_id, condition, train_seed (for `stats`: 0), place, word,
    word_class (of FACTS, or "other"), p_personalized (of the whole prompt), one column for each of
    METHODS, attention_general and attention_personalized (from the forced prefixes), removed_p and
    replaced_p (changes of P), shuffled_<method> (mean over shuffles; missing with none).

    pool: personas whose words replace, see attribution.stand_ins, `strangers` of them for each
    place; without a pool attribution.NEUTRAL replaces. progress: told after every few askers how
    many of all are done.
    """
    if len({(item.id, condition) for condition, item, _ in questions}) < len(questions):
        raise ValueError(
            "some item is asked twice under one condition; give each asker a condition of their own"
        )
    rng = random.Random(f"causes|{seed}")
    prompts = [persona_words(tokenizer, item, persona, style) for _, item, persona in questions]
    neighbours = attribution.Neighbours.of([_texts(persona) for persona in pool])
    shuffled = [shuffle(tokenizer, words, rng) for words in prompts for _ in range(shuffles)]
    others, shuffled_others = (
        [attribution.stand_ins(words.texts, neighbours, strangers, rng) for words in some]
        for some in (prompts, shuffled)
    )
    maps, scores, by_place = [], [], []
    for start in range(0, len(prompts), AT_ONCE):
        now = slice(start, start + AT_ONCE)
        now_shuffled = slice(start * shuffles, (start + AT_ONCE) * shuffles)
        asker_maps, asker_scores = _scores(model, tokenizer, prompts[now], others[now], batch_size)
        _, shuffled_scores = _scores(
            model, tokenizer, shuffled[now_shuffled], shuffled_others[now_shuffled], batch_size
        )
        maps += asker_maps
        scores += asker_scores
        by_place += shuffled_scores
        if progress:
            progress(len(scores), len(prompts))
    frames = [
        _table(asker, words, maps[i], scores[i], by_place[i * shuffles : (i + 1) * shuffles])
        for i, (asker, words) in enumerate(zip(questions, prompts, strict=True))
    ]
    return Explained(
        pd.concat(frames, ignore_index=True),
        np.concatenate([weights[0].transpose(2, 0, 1) for weights in maps]),  # (rows, L, H)
        {(item.id, condition): maps[i] for i, (condition, item, _) in enumerate(questions)},
    )


def _scores(
    model, tokenizer, prompts: Sequence[Words], others, batch_size: int
) -> tuple[list[np.ndarray], list[dict]]:
    """Of each prompt: attention (P, L, H, W), and {attention, gradient, what `occlusion` says}."""
    if not prompts:
        return [], []
    maps = attention.on_words(model, tokenizer, prompts, max(1, batch_size // 2))
    occluded = attribution.occlusion(model, tokenizer, prompts, others, batch_size)
    slopes = attribution.gradient_x_input(model, tokenizer, prompts, max(1, batch_size // 4))
    scores = [
        {"attention": weights[0].mean((0, 1)), "gradient": slope} | scored
        for weights, slope, scored in zip(maps, slopes, occluded, strict=True)
    ]
    return maps, scores


def _table(
    asker: Asked, words: Words, maps: np.ndarray, scores: dict, by_place: Sequence[dict]
) -> pd.DataFrame:
    """The rows of one asker's words; by_place: the scores of each shuffle."""
    condition, item, persona = asker
    columns = {
        "benchmark": item.benchmark,
        "kind": item.kind,
        "item_id": item.id,
        "condition": condition,
        "train_seed": 0,
        "place": range(len(words.spans)),
        "word": words.texts,
        "word_class": word_classes(persona, words),
        "p_personalized": attribution.probability(scores["log_odds"]),
    }
    columns |= {name: values for name, values in scores.items() if name != "log_odds"}
    for position, weights in zip(attention.POSITIONS, maps, strict=True):
        if position != "decision":
            columns[f"attention_{position}"] = weights.mean((0, 1))
    for name in METHODS:
        shuffled = [scored[name] for scored in by_place]
        columns[f"shuffled_{name}"] = np.mean(shuffled, axis=0) if shuffled else np.nan
    return pd.DataFrame(columns)


def _texts(persona: Persona) -> list[str]:
    text = modes.persona_text(persona.text)
    return [text[start:end] for start, end in word_spans(text)]


def explain_typed(
    model, tokenizer, persona: str, question: str, pool: Sequence[Persona] = (), seed: int = 0
) -> Explained:
    """A persona and a question as somebody types them.

    ValueError, in words, where one of them is missing.
    """
    if not persona.strip():
        raise ValueError("no persona: type who asks, such as: a chemist who studies bond")
    questions = [("typed", typed(question), Persona(persona.strip()))]
    return explain(model, tokenizer, questions, pool=pool, shuffles=4, seed=seed)


def swaps(
    model,
    tokenizer,
    questions: Sequence[Asked],
    pool: Sequence[Persona],
    *,
    strangers: int = 2,
    seed: int = 0,
    batch_size: int = 64,
) -> pd.DataFrame:
    """P(personalised) when one whole fact of the asker is exchanged for a stranger's.

    This is the yardstick: an intervention, not a score. One row per asker and fact (of FACTS):
    benchmark, item_id, condition, train_seed, fact, p (as asked), change (p minus the mean with
    strangers' facts), size (mean of the absolute changes). ValueError for personas without known
    facts.
    """
    rng, prompts, rows = random.Random(f"swaps|{seed}"), [], []
    for condition, item, persona in questions:
        words = persona_words(tokenizer, item, persona)
        known = fact_spans(persona, words)
        if not known:
            raise ValueError(
                "these personas come without facts, so none can be exchanged; "
                "pocket personas have them"
            )
        for fact, (start, end) in known.items():
            values = {other.facts.get(fact) for other in pool} - {None, persona.facts[fact]}
            if len(values) < strangers:
                raise ValueError(
                    f"found {len(values)} other values of {fact}, expected {strangers} or more; "
                    "pass a larger pool"
                )
            before, after = words.prompt[:start], words.prompt[end:]
            drawn = rng.sample(sorted(values), strangers)
            prompts += [words.prompt, *(before + value + after for value in drawn)]
            rows.append(
                {
                    "benchmark": item.benchmark,
                    "item_id": item.id,
                    "condition": condition,
                    "train_seed": 0,
                    "fact": fact,
                }
            )
    log_odds = attribution.log_odds(model, tokenizer, prompts, batch_size)
    p = attribution.probability(log_odds).reshape(len(rows), 1 + strangers)
    changes = p[:, :1] - p[:, 1:]
    return pd.DataFrame(rows).assign(
        p=p[:, 0], change=changes.mean(1), size=np.abs(changes).mean(1)
    )


def swap_effects(swapped: pd.DataFrame) -> pd.DataFrame:
    """Of `swaps`: the mean size of the change of P(personalised), by condition and fact.

    With 95 % intervals over items.
    """
    rows = []
    for condition, askers in swapped.groupby("condition", sort=False):
        for fact in FACTS:
            changes = askers[askers.fact == fact]
            if len(changes):
                interval = stats.mean_interval(changes, "size")
                rows.append({"condition": condition, "fact": fact} | interval)
    return pd.DataFrame(rows)

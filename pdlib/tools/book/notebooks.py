"""Notebooks as the book shows them.

They come with results where there are any, every figure is described in words, and names of
notebooks and functions are links.
"""

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat

from pdlib import config, paper
from pdlib.run import stages
from pdlib.workbook import runner

MAX_BYTES = 2_000_000  # of an executed notebook
DRAWING = ("plots", "browse")  # the packages of pdlib whose functions return figures
NOTES = {  # state of a notebook -> what the book says of it
    "not run": "This notebook was not run for this book and is shown without results: "
    "`make reproduce` runs it. [Figures](../figures.md) has those that come with the repository.",
    "changed": "The results below come from an earlier version of this notebook; "
    "`make reproduce` renews them.",
}


@cache
def figure_functions() -> dict[tuple[str, str], ast.FunctionDef]:
    """(package, name) -> each public function that returns a figure, alone or with more."""
    functions = {}
    for package in DRAWING:
        for path in sorted((stages.ROOT / "pdlib").glob(f"**/{package}/*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if not isinstance(node, ast.FunctionDef) or node.name[0] == "_" or not node.returns:
                    continue
                if re.match(r"Figure\b|tuple\[Figure\b", ast.unparse(node.returns)):
                    functions[package, node.name] = node
    return functions


def figure_text(function: tuple[str, str], call: ast.Call | None = None) -> str:
    """What the figure of a function shows: the first two paragraphs of its docstring.

    Parameters that they name in backticks are told as `call` sets them, by default as the function
    does. Paragraphs on parameters come third.
    """
    node = figure_functions()[function]
    paragraphs = (ast.get_docstring(node) or "").split("\n\n")
    text = " ".join(" ".join(paragraphs[:2]).split())
    names, defaults = [argument.arg for argument in node.args.args], node.args.defaults
    values = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    if call:
        values |= dict(zip(names, call.args, strict=False))
        values |= {keyword.arg: keyword.value for keyword in call.keywords}
    literals = {
        name: str(value.value) for name, value in values.items() if isinstance(value, ast.Constant)
    }
    return re.sub(r"`([^`]*)`", lambda match: literals.get(match[1], match[1]), text)


def calls(cells: list) -> Iterator[tuple[ast.Module, dict[ast.Call, str]]]:
    """(syntax tree, figure calls -> what the figure shows) of each code cell, in order.

    A name that an earlier cell imported is known.
    """
    packages = {}  # name in the notebook -> the drawing package behind it
    for cell in cells:
        tree = ast.parse(cell.source)
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    path = f"{node.module}.{alias.name}".split(".")
                    package = next((name for name in DRAWING if name in path), None)
                    packages[alias.asname or alias.name] = package if path[0] == "pdlib" else None
        drawn = {}
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                function = packages.get(getattr(node.func.value, "id", None)), node.func.attr
                if function in figure_functions():
                    drawn[node] = figure_text(function, node)
        yield tree, drawn


def code(
    notebook: nbformat.NotebookNode, left_out: tuple[str, ...] = ("injected-parameters",)
) -> list:
    """The code cells, without those that have one of the tags `left_out`: a run added them."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and not set(left_out) & set(cell.metadata.get("tags", []))
    ]


def files(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """File name of each figure that the notebook saves -> what it shows.

    A cell names its file ("table1.png"), or a dict names it beside the call ({"order":
    plots.order(...)}).
    """
    texts = {}
    for tree, drawn in calls(code(notebook)):
        for node in ast.walk(tree) if drawn else []:
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if value in drawn and isinstance(key, ast.Constant):
                        texts[f"{key.value}.png"] = drawn[value]
            elif isinstance(node, ast.Constant) and re.fullmatch(r"[\w-]+\.png", str(node.value)):
                texts[node.value] = next(iter(drawn.values()))
    return texts


def describe(notebook: nbformat.NotebookNode, name: str) -> None:
    """Give each cell with a picture its alt text, from the figure functions that the cell calls."""
    cells = code(notebook)
    for cell, (_, drawn) in zip(cells, calls(cells), strict=True):
        if not any("image/png" in output.get("data", {}) for output in cell.outputs):
            continue
        text = "; ".join(dict.fromkeys(drawn.values()))
        if not text:
            raise ValueError(
                f"{name} shows a figure that nothing describes, by the cell that begins "
                f"{cell.source[:60]!r}; draw it with a function of pdlib.plots, in the cell that "
                "shows it"
            )
        cell.metadata["mystnb"] = {"image": {"alt": text}}


def linked(text: str, page_folder: Path, root: Path) -> str:
    """Markdown of a page in `page_folder` with links to notebooks and functions.

    Bold names of notebooks become links, and so do the functions behind equations.
    """

    def towards(path: str) -> str:
        return os.path.relpath(root / path, page_folder)

    names = "|".join(sorted(runner.NOTEBOOKS, key=len, reverse=True))
    text = re.sub(
        rf"(?m)(\*\*|^\| )({names})(\*\*| \|)",
        lambda m: f"{m[1]}[{m[2]}]({towards(f'notebooks/{m[2]}.ipynb')}){m[3]}",
        text,
    )
    for function in dict.fromkeys(function for function, _ in paper.EQUATIONS.values()):
        short = function.removeprefix("pdlib.")
        link = f"[`{short}`]({towards(f'code/{function}.md')})"
        text = re.sub(rf"(?<!\[)`{re.escape(short)}`", link, text)
    return text


def prepare(name: str, executed: Path, folder: Path) -> tuple[nbformat.NotebookNode, str]:
    """The notebook as the book of `folder` shows it, and its state.

    The state is "run" where `executed` holds a copy with results, "changed" where the notebook has
    changed since, else "not run". Raises ValueError when that copy is too large, or holds a figure
    that nothing describes.
    """
    committed = nbformat.read(runner.source(name), as_version=4)
    shown, state = committed, "not run"
    if executed.is_file():
        if executed.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{executed} has {executed.stat().st_size:,} bytes, above {MAX_BYTES:,}; "
                "make its outputs smaller"
            )
        shown = nbformat.read(executed, as_version=4)
        executed_code = [cell.source for cell in code(shown, ("injected-parameters", "answer"))]
        is_same = executed_code == [cell.source for cell in code(committed)]
        state = "run" if is_same else "changed"
    describe(shown, name)
    shown.cells = [cell for cell in shown.cells if not _repeats(cell, code(shown))]
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(_spaced(cell.source), folder / "notebooks", folder)
        for output in cell.get("outputs", []):
            _plain_code(output)
    notes = [f":::{{note}}\n{NOTES[state]}\n:::"] if state in NOTES else []
    numbers = [number for number, (_, lesson) in paper.EQUATIONS.items() if lesson == name]
    if numbers:
        links = ", ".join(f"[Eq. {number}](../equations.md#eq-{number})" for number in numbers)
        notes.append(f"Equations of this notebook, with their code: {links}.")
    shown.cells[1:1] = [nbformat.v4.new_markdown_cell(note) for note in notes]
    return shown, state


def _repeats(cell: nbformat.NotebookNode, cells: list) -> bool:
    """Whether papermill put the cell in with the very values that the parameters have anyway."""
    if "injected-parameters" not in cell.metadata.get("tags", []):
        return False
    (parameters,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    return ast.dump(ast.parse(parameters.source)) == ast.dump(ast.parse(cell.source))


def _spaced(text: str) -> str:
    """Markdown with blank lines inside folded answers, which is read as markdown only so."""
    return text.replace("</summary>", "</summary>\n\n").replace("</details>", "\n\n</details>")


def _plain_code(output: dict) -> None:
    """Take the colours out of source code in an output.

    They are made for white paper; the book colours code for light and dark.
    """
    data = output.get("data", {})
    if "text/latex" in data and 'class="highlight"' in "".join(data.get("text/html", "")):
        source = "".join(data["text/plain"]).rstrip()
        output["data"] = {"text/markdown": f"```python\n{source}\n```"}


def write_all(cfg: config.Config, folder: Path) -> dict[str, str]:
    """Write all notebooks to `folder`/notebooks; returns name -> "run", "changed" or "not run"."""
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    states = {}
    for name in runner.NOTEBOOKS:
        executed = cfg.run_folder() / "notebooks" / f"{name}.ipynb"
        notebook, states[name] = prepare(name, executed, folder)
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    return states

"""Notebooks as the book shows them: results where there are any, every figure described, names of
notebooks and functions linked.
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
UNTOLD = "shown without results: `make reproduce` runs it. [Figures](../figures.md) has those that come with the repository."
NOTES = {
    "not run": f"This notebook was not run for this book and is {UNTOLD}",
    "changed": "The results below come from an earlier version of this notebook; `make reproduce` renews them.",
}


@cache
def figure_functions() -> dict[tuple[str, str], ast.FunctionDef]:
    """(room, name) -> function, for those of pdlib.plots and of the files of pdlib that return a
    figure, alone or with more.
    """
    library, found = stages.ROOT / "pdlib", {}
    for path in [*sorted((library / "plots").glob("*.py")), *sorted(library.glob("*.py"))]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef) and node.name[0] != "_"
            if (
                public
                and node.returns
                and re.match(r"Figure\b|tuple\[Figure\b", ast.unparse(node.returns))
            ):
                found["plots" if path.parent != library else path.stem, node.name] = node
    return found


def figure_text(function: tuple[str, str], call: ast.Call | None = None) -> str:
    """What the figure of a function shows: the first paragraph of its docstring, with the
    parameters that it names in backticks as `call` sets them (by default: as the function does).
    """
    found = figure_functions()[function]
    paragraph = " ".join((ast.get_docstring(found) or "").split("\n\n")[0].split())
    names, defaults = [a.arg for a in found.args.args], found.args.defaults
    given = dict(zip(names[len(names) - len(defaults) :], defaults))
    if call:
        given |= dict(zip(names, call.args)) | {word.arg: word.value for word in call.keywords}
    literal = {
        key: str(value.value) for key, value in given.items() if isinstance(value, ast.Constant)
    }
    return re.sub(r"`([^`]*)`", lambda m: literal.get(m[1], m[1]), paragraph)


def calls(cells: list) -> Iterator[tuple[ast.Module, dict[ast.Call, str]]]:
    """(syntax tree, figure calls -> what the figure shows) of each code cell, in order; what an
    earlier cell imported is known.
    """
    rooms = {}  # name in the notebook -> room
    for cell in cells:
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in ("pdlib", "pdlib.plots"):
                rooms |= {
                    name.asname or name.name: "plots" if node.module == "pdlib.plots" else name.name
                    for name in node.names
                }
        drawn = {}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
            ):
                function = rooms.get(node.func.value.id), node.func.attr
                if function in figure_functions():
                    drawn[node] = figure_text(function, node)
        yield tree, drawn


def code(
    notebook: nbformat.NotebookNode, added: tuple[str, ...] = ("injected-parameters",)
) -> list:
    """The code cells, without those that a run added, by their tags."""
    return [
        c
        for c in notebook.cells
        if c.cell_type == "code" and not set(added) & set(c.metadata.get("tags", []))
    ]


def files(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """File name of each figure that the notebook saves -> what it shows.

    A cell names its file ("table1.png"), or a dict names it beside the call ({"order":
    plots.order(...)}).
    """
    found = {}
    for tree, drawn in calls(code(notebook)):
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values)
                found |= {
                    f"{key.value}.png": drawn[value]
                    for key, value in pairs
                    if value in drawn and isinstance(key, ast.Constant)
                }
            elif (
                isinstance(node, ast.Constant)
                and re.fullmatch(r"[\w-]+\.png", str(node.value))
                and drawn
            ):
                found[node.value] = next(iter(drawn.values()))
    return found


def describe(notebook: nbformat.NotebookNode, name: str) -> None:
    """Give each cell with a picture its alt text: what the figure functions that it calls say of
    themselves.
    """
    cells = code(notebook)
    for cell, (_, drawn) in zip(cells, calls(cells)):
        if not any("image/png" in output.get("data", {}) for output in cell.outputs):
            continue
        said = "; ".join(dict.fromkeys(drawn.values()))
        if not said:
            raise ValueError(
                f"{name} shows a figure that nothing describes, by the cell that begins {cell.source[:60]!r}; draw it with a "
                "function of pdlib.plots, in the cell that shows it"
            )
        cell.metadata["mystnb"] = {"image": {"alt": said}}


def linked(text: str, place: Path, root: Path) -> str:
    """Markdown of a page in `place` with bold names of notebooks, and names of functions behind
    equations, turned into links.
    """

    def towards(path: str) -> str:
        return os.path.relpath(root / path, place)

    names = "|".join(sorted(runner.NOTEBOOKS, key=len, reverse=True))
    text = re.sub(
        rf"(?m)(\*\*|^\| )({names})(\*\*| \|)",
        lambda m: f"{m[1]}[{m[2]}]({towards(f'notebooks/{m[2]}.ipynb')}){m[3]}",
        text,
    )
    for function in dict.fromkeys(function for function, _ in paper.EQUATIONS.values()):
        short = function.removeprefix("pdlib.")
        text = re.sub(
            rf"(?<!\[)`{re.escape(short)}`", f"[`{short}`]({towards(f'code/{function}.md')})", text
        )
    return text


def prepare(name: str, executed: Path, folder: Path) -> tuple[nbformat.NotebookNode, str]:
    """(notebook as the book of `folder` shows it, "run", "changed" since or "not run"): the copy in
    `executed` if there is one.

    Raises ValueError when that copy is too large, or holds a figure that nothing describes.
    """
    committed = nbformat.read(runner.source(name), as_version=4)
    shown, state = committed, "not run"
    if executed.is_file():
        if executed.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{executed} has {executed.stat().st_size:,} bytes, above {MAX_BYTES:,}; make its outputs smaller"
            )
        shown = nbformat.read(executed, as_version=4)
        own = [c.source for c in code(shown, ("injected-parameters", "answer"))]
        state = "run" if own == [c.source for c in code(committed)] else "changed"
    describe(shown, name)
    shown.cells = [cell for cell in shown.cells if not _repeats(cell, code(shown))]
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(_opened(cell.source), folder / "notebooks", folder)
        for output in cell.get("outputs", []):
            _plain_code(output)
    equations = [
        f"[Eq. {number}](../equations.md#eq-{number})"
        for number, (_, place) in paper.EQUATIONS.items()
        if place == name
    ]
    notes = [f":::{{note}}\n{NOTES[state]}\n:::"] if state in NOTES else []
    notes += (
        [f"Equations of this notebook, with their code: {', '.join(equations)}."]
        if equations
        else []
    )
    shown.cells[1:1] = [nbformat.v4.new_markdown_cell(text) for text in notes]
    return shown, state


def _repeats(cell: nbformat.NotebookNode, cells: list) -> bool:
    """Whether papermill put the cell in with just the values that the notebook's own parameters
    have.
    """
    if "injected-parameters" not in cell.metadata.get("tags", []):
        return False
    (own,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    return ast.dump(ast.parse(own.source)) == ast.dump(ast.parse(cell.source))


def _opened(text: str) -> str:
    """Markdown with blank lines inside folded answers, or their words would not be read as
    markdown.
    """
    return text.replace("</summary>", "</summary>\n\n").replace("</details>", "\n\n</details>")


def _plain_code(output: dict) -> None:
    """Source code in an output brings colours of its own, for white paper; the book colours it for
    light and dark.
    """
    data = output.get("data", {})
    if "text/latex" in data and 'class="highlight"' in "".join(data.get("text/html", "")):
        output["data"] = {
            "text/markdown": f"```python\n{''.join(data['text/plain']).rstrip()}\n```"
        }


def write_all(cfg: config.Config, folder: Path) -> dict[str, str]:
    """Write all notebooks to `folder`/notebooks; returns name -> "run", "changed" or "not run"."""
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    states = {}
    for name in runner.NOTEBOOKS:
        notebook, states[name] = prepare(
            name, cfg.run_folder() / "notebooks" / f"{name}.ipynb", folder
        )
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    return states

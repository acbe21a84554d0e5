"""The pages that a program writes: landing page, figures, equations, and the source behind them."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
import yaml

from pdlib import config, paper
from pdlib.run import stages
from pdlib.tools.book.notebooks import figure_functions, figure_text, files
from pdlib.workbook import runner

EQUATIONS = Path(__file__).parent / "equations.yaml"
# what the report calls a figure that a notebook saves under another name
REPORTED = {"figure1.png": "interference"}
START = {  # guide -> what a reader wants who begins with it
    "session-60": "teach it in an hour",
    "session-120": "teach it in two hours",
    "glossary": "look a term up",
    "your-model": "use your own model",
}
REFERENCE_PAGES = [
    "What was found <RESULTS>",
    "figures",
    "equations",
    "All commands and profiles <README>",
    "How to change things <CONTRIBUTING>",
    "pdlib/pocket/DATASHEET",
]


def title(markdown: str) -> str:
    """The first heading of a page."""
    return re.search(r"(?m)^# (.+)$", markdown)[1].strip()


def _page(*paragraphs: str) -> str:
    return "\n\n".join(paragraphs) + "\n"


def _notebook_titles() -> dict[str, str]:
    """Name of each notebook -> its number and title."""
    titles = {}
    for name in runner.NOTEBOOKS:
        heading = title(nbformat.read(runner.source(name), as_version=4).cells[0].source)
        titles[name] = f"{name.split('_')[0]} · {heading}"
    return titles


def results_shown(cfg: config.Config, states: Mapping[str, str]) -> str:
    """A sentence or two on where the notebooks' results come from.

    states: as `notebooks.write_all` returns them.
    """
    changed = [name for name, state in states.items() if state == "changed"]
    not_run = [name for name, state in states.items() if state == "not run"]
    run = f"the profile `{cfg.profile}`"
    if cfg.profile == "smoke":
        run += ", whose numbers mean nothing"
    if len(not_run) == len(states):
        return (
            f"No notebook was run with {run}: they are shown without results, and "
            "[Figures](figures.md) has those of the run that comes with the repository. "
            "`make reproduce` and then `make book` give the whole book."
        )
    with_results = len(states) - len(not_run)
    text = f"{with_results} of {len(states)} notebooks show their results with {run}."
    if changed:
        text += f" Changed since they ran: {', '.join(changed)}."
    if not_run:
        text += f" Not run: {', '.join(not_run)}."
    return text


def index(cfg: config.Config, folder: Path, states: Mapping[str, str]) -> str:
    """The landing page: the README's opening, what is where, and the order of all pages."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    guides = {
        path.stem: title(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "guides").glob("*.md"))
    }
    starts = [
        "- to learn: [the first notebook](notebooks/00_start_here.ipynb), then onward in order",
        *(
            f"- to {what}: [{guides[name]}](guides/{name}.md)"
            for name, what in START.items()
            if name in guides
        ),
        "- to see what came out: [what was found](RESULTS.md), [figures](figures.md)",
        "- from a formula to its code: [Equations](equations.md)",
    ]
    functions = dict.fromkeys(function for function, _ in paper.EQUATIONS.values())
    contents = {
        "Workbook": [f"{text} <notebooks/{name}>" for name, text in _notebook_titles().items()],
        "Guides": [f"guides/{name}" for name in guides],
        "Reference": REFERENCE_PAGES,
        "Source of the equations": [f"code/{function}" for function in functions],
    }
    return _page(
        readme.split("\n## ")[0].strip(),
        "## This book",
        results_shown(cfg, states),
        "Where to begin:",
        "\n".join(starts),
        *(
            "\n".join(["```{toctree}", f":caption: {caption}", ":hidden:", "", *pages, "```"])
            for caption, pages in contents.items()
            if pages
        ),
    )


def described_figures(names: list[str]) -> dict[str, str]:
    """PNG file name -> what it shows, for those of `names` that something describes.

    That is a notebook that saves the file, or a function of pdlib.plots that is called like it.
    """
    texts = {f"{name}.png": figure_text((room, name)) for room, name in figure_functions()}
    texts |= {name: texts[f"{function}.png"] for name, function in REPORTED.items()}
    for notebook in runner.NOTEBOOKS:
        texts |= files(nbformat.read(runner.source(notebook), as_version=4))
    return {name: texts[name] for name in names if name in texts}


def figures(cfg: config.Config, folder: Path) -> str:
    """The page of figures: this run's report where there is one, then the committed figures.

    Figures that nothing describes are named, not shown.
    """
    reference = folder / "outputs" / "reference"
    names = sorted(path.name for path in reference.glob("*.png"))
    described = described_figures(names)
    paragraphs = ["# Figures"]
    if (cfg.folder() / "report.html").is_file():
        paragraphs += [
            "## This run",
            f"<a href='report.html'>The report of this run</a> (profile `{cfg.profile}`): "
            "what it found, in a few sentences; figures, the paper's tables with ours over "
            "theirs, and each number of the paper beside ours.",
        ]
    paragraphs += [
        "## The run that comes with the repository",
        "Figures and tables of `outputs/reference`, which need no run.",
    ]
    if (reference / "headline.csv").is_file():
        paragraphs.append(
            "```{csv-table} Claims with their intervals\n"
            ":file: outputs/reference/headline.csv\n:header-rows: 1\n```"
        )
    for name, text in described.items():
        paragraphs.append(f"```{{figure}} outputs/reference/{name}\n:alt: {text}\n\n{text}\n```")
    undescribed = [name for name in names if name not in described]
    if undescribed:
        paragraphs.append(
            "Not shown, since neither the report nor a notebook draws them: "
            f"{', '.join(undescribed)}."
        )
    links = []
    for path in sorted(reference.rglob("*.*")):
        if path.suffix != ".png":
            name = path.relative_to(reference).as_posix()
            links.append(f"[{name}](outputs/reference/{name})")
    return _page(*paragraphs, f"For programs: {', '.join(links)}.")


def equations() -> str:
    """Each equation with its symbols, its function and its notebook.

    ValueError when equations.yaml and paper.EQUATIONS differ.
    """
    explained, titles = yaml.safe_load(EQUATIONS.read_text(encoding="utf-8")), _notebook_titles()
    if explained.keys() != paper.EQUATIONS.keys():
        raise ValueError(
            f"equations.yaml has {', '.join(explained)}, but paper.EQUATIONS "
            f"{', '.join(paper.EQUATIONS)}; give both the same"
        )
    paragraphs = ["# Equations", "Section 3 of the paper, from formula to function to lesson."]
    for number, (function, notebook) in paper.EQUATIONS.items():
        equation = explained[number]
        paragraphs += [
            f"## Eq. {number}",
            equation["says"],
            f"$$\n{equation['formula']}\n$$",
            "\n".join(f"- {symbol}" for symbol in equation["symbols"]),
            f"**Code** [`{function}`](code/{function}.md)  ·  "
            f"**Lesson** [{titles[notebook]}](notebooks/{notebook}.ipynb)",
        ]
    return _page(*paragraphs)


def source_page(function: str) -> str:
    """The source of one function or class behind an equation, with the way back."""
    face, _, name = function.rpartition(".")
    try:
        module = getattr(importlib.import_module(face), name).__module__
    except (ModuleNotFoundError, AttributeError) as problem:
        raise ValueError(f"paper.EQUATIONS names {function}, but there is none") from problem
    path = f"{module.replace('.', '/')}.py"
    if not (stages.ROOT / path).is_file():  # a package defines it in its face
        path = f"{module.replace('.', '/')}/__init__.py"
    lessons = {
        number: lesson for number, (code, lesson) in paper.EQUATIONS.items() if code == function
    }
    equation_links = [f"[Eq. {number}](../equations.md#eq-{number})" for number in lessons]
    lesson_links = [
        f"[{lesson}](../notebooks/{lesson}.ipynb)" for lesson in dict.fromkeys(lessons.values())
    ]
    return _page(
        f"# {name}",
        f"`{function}`, in [{path}](../{path}). {', '.join(equation_links)}; "
        f"lesson {', '.join(lesson_links)}.",
        f"```{{literalinclude}} ../{path}\n"
        f":language: python\n:pyobject: {name}\n:lineno-match:\n```",
    )


def write_all(cfg: config.Config, folder: Path, states: Mapping[str, str]) -> str:
    """Write index, figures, equations and source pages; returns `results_shown`.

    `folder` holds the book's other sources already.
    """
    pages = {
        "index": index(cfg, folder, states),
        "figures": figures(cfg, folder),
        "equations": equations(),
    }
    pages |= {f"code/{function}": source_page(function) for function, _ in paper.EQUATIONS.values()}
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return results_shown(cfg, states)

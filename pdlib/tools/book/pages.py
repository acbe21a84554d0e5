"""The pages that are written by program: landing page, figures, equations, and the source of the
functions behind equations.
"""

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
REPORTED = {
    "figure1.png": "interference"
}  # what the report calls a figure that a notebook saves under another name
START = {
    "session-60": "teach it in an hour",
    "session-120": "teach it in two hours",
    "glossary": "look a term up",
    "your-model": "use your own model",
}


def title(markdown: str) -> str:
    """The first heading of a page."""
    return re.search(r"(?m)^# (.+)$", markdown)[1].strip()


def _notebook_titles() -> dict[str, str]:
    """Name of each notebook -> its number and title."""
    return {
        name: f"{name.split('_')[0]} · {title(nbformat.read(workbook.source(name), as_version=4).cells[0].source)}"
        for name in runner.NOTEBOOKS
    }


def results_shown(cfg: config.Config, states: Mapping[str, str]) -> str:
    """A sentence or two on where the notebooks' results come from; states: as `notebooks.write_all`
    returns them.
    """
    by_state = {
        state: [name for name, found in states.items() if found == state]
        for state in ("run", "changed", "not run")
    }
    run = f"the profile `{cfg.profile}`" + (
        ", whose numbers mean nothing" if cfg.profile == "smoke" else ""
    )
    if by_state["not run"] == list(states):
        return (
            f"No notebook was run with {run}: they are shown without results, and [Figures](figures.md) has those of the run "
            "that comes with the repository. `make reproduce` and then `make book` give the whole book."
        )
    text = f"{len(states) - len(by_state['not run'])} of {len(states)} notebooks show their results with {run}."
    text += (
        f" Changed since they ran: {', '.join(by_state['changed'])}." if by_state["changed"] else ""
    )
    return text + (f" Not run: {', '.join(by_state['not run'])}." if by_state["not run"] else "")


def index(cfg: config.Config, folder: Path, states: Mapping[str, str]) -> str:
    """The landing page: the README's opening, what is where, and the order of all pages."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    guides = {
        path.stem: title(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "guides").glob("*.md"))
    }
    functions = dict.fromkeys(function for function, _ in paper.EQUATIONS.values())
    starts = [
        f"- to {what}: [{guides[name]}](guides/{name}.md)"
        for name, what in START.items()
        if name in guides
    ]
    trees = {
        "Workbook": [
            f"{heading} <notebooks/{name}>" for name, heading in _notebook_titles().items()
        ],
        "Guides": [f"guides/{name}" for name in guides],
        "Reference": [
            "What was found <RESULTS>",
            "figures",
            "equations",
            "All commands, profiles, real data <README>",
            "pdlib/pocket/DATASHEET",
        ],
        "Source of the equations": [f"code/{function}" for function in functions],
    }
    lines = [
        readme.split("\n## ")[0].strip(),
        "## This book",
        results_shown(cfg, states),
        "Where to begin:",
        "\n".join(
            [
                "- to learn: [the first notebook](notebooks/00_start_here.ipynb), then onward in order",
                *starts,
                "- to see what came out: [what was found](RESULTS.md), [figures](figures.md)",
                "- from a formula to its code: [Equations](equations.md)",
            ]
        ),
    ]
    for caption, entries in trees.items():
        if entries:
            lines.append(
                "\n".join(["```{toctree}", f":caption: {caption}", ":hidden:", "", *entries, "```"])
            )
    return "\n\n".join(lines) + "\n"


def described_figures(names: list[str]) -> dict[str, str]:
    """PNG file name -> what it shows, for those of `names` that a notebook saves or a function of
    pdlib.plots is called.
    """
    texts = {f"{function[1]}.png": figure_text(function) for function in figure_functions()}
    texts |= {name: texts[f"{other}.png"] for name, other in REPORTED.items()}
    for name in runner.NOTEBOOKS:
        texts |= files(nbformat.read(runner.source(name), as_version=4))
    return {name: texts[name] for name in names if name in texts}


def figures(cfg: config.Config, folder: Path) -> str:
    """The page of figures: this run's report where there is one, then the committed figures and
    claims; what nothing describes is named.
    """
    kept = folder / "outputs" / "reference"
    names = sorted(path.name for path in kept.glob("*.png"))
    described = described_figures(names)
    lines = ["# Figures"]
    if (cfg.folder() / "report.html").is_file():
        lines += [
            "## This run",
            f"<a href='report.html'>The report of this run</a> (profile `{cfg.profile}`): what it found, in a few "
            "sentences; figures, the paper's tables with ours over theirs, and each number of the paper beside ours.",
        ]
    lines += [
        "## The run that comes with the repository",
        "Figures and tables of `outputs/reference`, which need no run.",
    ]
    if (kept / "headline.csv").is_file():
        lines.append(
            "```{csv-table} Claims with their intervals\n:file: outputs/reference/headline.csv\n:header-rows: 1\n```"
        )
    lines += [
        f"```{{figure}} outputs/reference/{name}\n:alt: {text}\n\n{text}\n```"
        for name, text in described.items()
    ]
    if left := [name for name in names if name not in described]:
        lines.append(
            f"Not shown, since neither the report nor a notebook draws them: {', '.join(left)}."
        )
    others = [
        path.relative_to(folder).as_posix()
        for path in sorted(kept.rglob("*.*"))
        if path.suffix != ".png"
    ]
    lines.append(
        "For programs: "
        + ", ".join(f"[{path.removeprefix('outputs/reference/')}]({path})" for path in others)
        + "."
    )
    return "\n\n".join(lines) + "\n"


def equations() -> str:
    """Each equation with its symbols, its function and its notebook; ValueError when equations.yaml
    and paper.EQUATIONS differ.
    """
    written, titles = yaml.safe_load(EQUATIONS.read_text(encoding="utf-8")), _notebook_titles()
    if written.keys() != paper.EQUATIONS.keys():
        raise ValueError(
            f"equations.yaml has {', '.join(written)}, but paper.EQUATIONS {', '.join(paper.EQUATIONS)}; give both the same"
        )
    lines = ["# Equations", "Section 3 of the paper, from formula to function to lesson."]
    for number, (function, notebook) in paper.EQUATIONS.items():
        one = written[number]
        lines += [
            f"## Eq. {number}",
            one["says"],
            f"$$\n{one['formula']}\n$$",
            "\n".join(f"- {symbol}" for symbol in one["symbols"]),
            f"**Code** [`{function}`](code/{function}.md)  ·  **Lesson** [{titles[notebook]}](notebooks/{notebook}.ipynb)",
        ]
    return "\n\n".join(lines) + "\n"


def source_page(function: str) -> str:
    """The source of one function or class behind an equation, with the way back."""
    module, _, name = function.rpartition(".")
    path, behind = (
        module.replace(".", "/") + ".py",
        {n: place for n, (f, place) in paper.EQUATIONS.items() if f == function},
    )
    if not (stages.ROOT / path).is_file():
        raise ValueError(f"paper.EQUATIONS names {function}, but there is no {path}")
    numbers = ", ".join(f"[Eq. {number}](../equations.md#eq-{number})" for number in behind)
    lessons = ", ".join(
        f"[{place}](../notebooks/{place}.ipynb)" for place in dict.fromkeys(behind.values())
    )
    include = f"```{{literalinclude}} ../{path}\n:language: python\n:pyobject: {name}\n:lineno-match:\n```"
    return (
        "\n\n".join(
            [
                f"# {name}",
                f"`{function}`, in [{path}](../{path}). {numbers}; lesson {lessons}.",
                include,
            ]
        )
        + "\n"
    )


def write_all(cfg: config.Config, folder: Path, states: Mapping[str, str]) -> str:
    """Write index, figures, equations and source pages to `folder`, whose other sources are there;
    returns `results_shown`.
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

"""The lessons: every notebook has the parts of one, what it names exists, and its answers are code
that fits it.

`test_workbook.py` runs the notebooks and the answers.
"""

import ast
import builtins
import importlib
import re
from pathlib import Path

import nbformat
import pytest
from lessons_text import (
    NOTEBOOKS,
    ROOT,
    equations,
    faulty_functions,
    faulty_imports,
    faulty_links,
    faulty_names,
    faulty_paths,
    faulty_uses,
)

from pdlib import paper
from pdlib.workbook import exercises, runner

EXEMPT = {  # (notebook, part) -> why it has none
    (
        "00_start_here",
        "toy numbers",
    ): "it computes nothing yet; 04 begins with four rollouts on paper",
    ("00_start_here", "paper and ours"): "it is the map: the notebooks it names have the numbers",
    ("00_start_here", "exported"): "it leaves nothing behind",
    (
        "00_start_here",
        "a check on every profile",
    ): "it computes nothing that could be wrong; what it shows is checked from 01 on",
    (
        "12_dynamic_profiles",
        "paper and ours",
    ): "another paper's method (RLPA): its headline figures stand beside ours in 11",
}


def read(path: Path):
    return nbformat.read(path, as_version=4)


def code_of(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def calls(source: str, name: str) -> list[ast.Call]:
    """The calls of `name`, such as "show.check", anywhere in the code."""
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


def always(source: str, name: str) -> bool:
    """Is `name` called on every profile: by a statement that stands under no `if`?"""
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == name
        for node in ast.parse(source).body
    )


# --- the parts of a lesson ---


def heading(pattern: str):
    return lambda notebook: re.search(
        rf"^#{{2,3}} {pattern}", exercises.text_of(notebook), re.MULTILINE
    )


def toy_numbers(notebook):
    """A heading or the words "By hand", and code before the next cell of text."""
    cells = notebook.cells
    heading_or_words = re.compile(r"^#{2,3} Toy numbers|\bBy hand\b", re.MULTILINE)
    positions = [
        i
        for i, cell in enumerate(cells)
        if cell.cell_type == "markdown" and heading_or_words.search(cell.source)
    ]
    return any(i + 1 < len(cells) and cells[i + 1].cell_type == "code" for i in positions)


def a_widget_with_its_twin(notebook):
    explored = [call for source in code_of(notebook) for call in calls(source, "widgets.explore")]
    arguments = [
        {word.arg: word.value for word in call.keywords}
        | dict(zip(("function", "twin"), call.args, strict=False))
        for call in explored
    ]
    twins = [values.get("twin") for values in arguments]
    return explored and all(
        isinstance(twin, ast.ListComp) or isinstance(twin, ast.List) and twin.elts for twin in twins
    )


def onward(notebook):
    """The last text says where to go, by a name or link that another test resolves."""
    last = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"][-1]
    return re.search(r"\bNext: .*(\]\(\S+\)|\*\*\w+\*\*|`guides/[\w-]+\.md`)", last)


PARTS = {
    "question as title": lambda nb: re.match(r"# [^\n]+\?\n", nb.cells[0].source),
    "what you will learn": lambda nb: "**You will learn**" in nb.cells[0].source,
    "minutes to read": lambda nb: re.search(r"\*\*Reading\*\*\s+\d+ minutes", nb.cells[0].source),
    "minutes to run": lambda nb: re.search(
        r"\*\*Running\*\*[^*]*\b(minutes?|seconds)\b", nb.cells[0].source
    ),
    "parameters second": lambda nb: "parameters" in nb.cells[1].metadata.get("tags", []),
    "toy numbers": toy_numbers,
    "widget with its twin": a_widget_with_its_twin,
    "a check on every profile": lambda nb: any(
        always(source, "show.check") for source in code_of(nb)
    ),
    "paper and ours": heading(r"Paper\b.*\bours\b"),
    "exported": lambda nb: "**Exported**" in exercises.text_of(nb),
    "where to go next": onward,
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_the_parts_of_a_lesson(path):
    notebook = read(path)
    missing = [
        part for part, has in PARTS.items() if not has(notebook) and (path.stem, part) not in EXEMPT
    ]
    assert missing == []


def test_exemptions_are_needed():
    idle = [
        (name, part)
        for name, part in EXEMPT
        if PARTS[part](read(ROOT / "notebooks" / f"{name}.ipynb"))
    ]
    assert idle == []


@pytest.mark.parametrize("part", PARTS)
def test_a_lesson_without_a_part_is_seen(part):
    """An empty notebook has none of them."""
    assert not PARTS[part](
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_markdown_cell("# A title"), nbformat.v4.new_code_cell("x = 1")]
        )
    )


# --- exercises ---


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_exercises_have_difficulty_minutes_and_a_collapsed_answer(path):
    text = exercises.text_of(read(path))
    found = exercises.read(text)
    marks, answers = (
        re.findall(r"^\*\*\d+ \(", text, re.MULTILINE),
        text.count("<summary>Answer</summary>"),
    )
    assert len(marks) == answers == len(found), "an exercise cannot be read"
    assert [one.number for one in found] == list(range(1, len(found) + 1)) and 2 <= len(found) <= 3
    for one in found:
        assert (
            one.difficulty in ("easy", "medium", "hard")
            and 1 <= one.minutes <= 30
            and one.task
            and one.answer
        ), one.number
    assert sum(not one.code for one in found) <= 1, "at most one answer may be words alone"


def bound(source: str) -> set[str]:
    """Names that code binds at its top level: what later cells can use."""
    names, scopes = (
        set(),
        (
            ast.FunctionDef,
            ast.ClassDef,
            ast.Lambda,
            ast.ListComp,
            ast.SetComp,
            ast.DictComp,
            ast.GeneratorExp,
        ),
    )

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        for child in ast.iter_child_nodes(node):
            if not isinstance(node, scopes):
                visit(child)

    visit(ast.parse(source))
    return names


def free(source: str) -> set[str]:
    """Names that code reads and nowhere binds, not even within a function."""
    nodes = list(ast.walk(ast.parse(source)))
    inner = {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    inner |= {
        arg.arg
        for node in nodes
        if isinstance(node, ast.arguments)
        for arg in (*node.posonlyargs, *node.args, *node.kwonlyargs)
    }
    read_names = {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return read_names - inner - bound(source) - set(dir(builtins)) - {"display"}


def test_names_are_told_apart():
    source = (
        "import os\nfrom a import b as c\nd = [e for e in f]\n"
        "def g(h):\n    i = h\n    return i + j\n"
    )
    assert bound(source) == {"os", "c", "d", "g"} and free(source) == {"f", "j"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_answers_stand_by_themselves(path):
    """Each runs after the last cell whether or not the others were tried: it reads the notebook's
    names, and spoils none that they read.
    """
    notebook = read(path)
    there = set().union(*(bound(source) for source in code_of(notebook)))
    answers = {
        one.number: one.code for one in exercises.read(exercises.text_of(notebook)) if one.code
    }
    for number, code in answers.items():
        lines = code.split("\n")
        assert len(lines) <= 25 and max(map(len, lines)) <= 76, (
            f"exercise {number}: too long or too wide"
        )
        assert sorted(free(code) - there) == [], f"exercise {number}"
        others = set().union(*(free(other) for key, other in answers.items() if key != number))
        assert sorted(bound(code) & there & others) == [], (
            f"exercise {number} changes what another answer reads"
        )


# --- what is named exists ---


def variables(notebook) -> frozenset[str]:
    """Names to which the code of a notebook assigns anything."""
    nodes = [node for source in code_of(notebook) for node in ast.walk(ast.parse(source))]
    return frozenset(
        n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_names_exists(path):
    text = exercises.text_of(read(path))
    assert faulty_names(text) == []
    assert faulty_links(text, path.parent) == []
    assert faulty_paths(text) == []
    assert faulty_functions(text, variables(read(path))) == []
    assert sorted(equations(text) - set(paper.EQUATIONS)) == []
    answers = [one.code for one in exercises.read(text) if one.code]
    code = [*code_of(read(path)), *answers]
    assert faulty_uses(code) == []
    assert [name for source in code for name in faulty_imports(source)] == []


def test_every_equation_is_where_it_is_said_to_be():
    missing = []
    for number, (function, notebook) in paper.EQUATIONS.items():
        module, _, name = function.rpartition(".")
        docstring = getattr(importlib.import_module(module), name).__doc__
        begins = re.match(r"\[Eq\. [^]]*\]", docstring)
        assert begins and number in equations(begins[0]), (
            f"{function} does not begin with its number"
        )
        text = exercises.text_of(read(ROOT / "notebooks" / f"{notebook}.ipynb"))
        if number not in equations(text):
            missing.append((number, notebook))
    assert missing == []


def test_the_onward_links_pass_every_notebook_once():
    """From the first notebook, `Next:` by `Next:`, in the order of the workbook."""
    said = {
        path.stem: re.search(r"Next: [*\[]+(\w+)", exercises.text_of(read(path)))
        for path in NOTEBOOKS
    }
    chain = [next(iter(runner.NOTEBOOKS))]
    while (found := said[chain[-1]]) and found[1] not in chain:
        chain.append(found[1])
    assert chain == list(runner.NOTEBOOKS)


@pytest.mark.parametrize(
    "text, check",
    [
        ("see **99_moon**", faulty_names),
        ("see **5**x **77**", faulty_names),
        ("[x](nowhere.ipynb)", lambda text: faulty_links(text, ROOT)),
        ("[x](http://plain.org)", lambda text: faulty_links(text, ROOT)),
        ("`pdlib/moon.py`", faulty_paths),
        ("`advantages.moon(x)`", faulty_functions),
        ("`stats.moon`", faulty_functions),
        ("`pdlib.moon.phase`", faulty_functions),
        ("`train.supervised.moon(x)`", faulty_functions),
        ("from pdlib import moon", faulty_imports),
        ("from pdlib.train import run_sft, moon", faulty_imports),
        (["from pdlib import train as t", "t.moon(1)"], faulty_uses),
        (["from pdlib.train import preflight", "x = preflight.moon"], faulty_uses),
    ],
)
def test_what_does_not_exist_is_seen(text, check):
    assert check(text)


def test_what_exists_passes():
    text = "`advantages.compute(x)`, `pdlib.train.preflight.estimate`, `stats.py`, `frame.moon`"
    assert (
        faulty_functions(text) == [] and faulty_functions("`stats.x`", frozenset({"stats"})) == []
    )
    assert faulty_imports("import numpy\nfrom pdlib.train import run_sft") == []
    assert faulty_uses(["from pdlib import train", "train.run_sft(frame.moon)"]) == []


def test_equations_are_read_in_every_form():
    assert equations(r"Eq. 5-7 and [Eq. 3], $x$ \quad [8], but (arXiv 2402.03300, Eq. 13)") == {
        "3",
        "5",
        "6",
        "7",
        "8",
    }

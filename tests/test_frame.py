"""The repository itself: pins, make targets, notebooks as committed, floors of the library."""

import ast
import doctest
import importlib
import io
import json
import os
import re
import subprocess
import tokenize
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "pdlib"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = sorted(LIBRARY.rglob("*.py"))
TARGETS = [
    "help",
    "setup",
    "weights",
    "lab",
    "reproduce",
    "notebook",
    "lab-estimators",
    "when",
    "arms",
    "controls",
    "replicate",
    "sealed",
    "report",
    "reference",
    "bench",
    "book",
    "lint",
    "test",
    "test-browser",
    "clean",
]


# --- pins ---


def pins() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + project["optional-dependencies"]["test"]


def test_environment_has_the_pins_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert sorted(pip) == sorted(pins())


def test_every_dependency_is_pinned():
    loose = [
        pin for pin in pins() if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!-]*", pin)
    ]
    assert loose == []


# --- make and CI ---


def make(*arguments: str) -> subprocess.CompletedProcess:
    # A make that runs the tests hands its own flags down; they would change what is seen here.
    clean = {
        k: v
        for k, v in os.environ.items()
        if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    }
    return subprocess.run(["make", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True)


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows(target):
    dry = make("--dry-run", target)
    assert dry.returncode == 0, dry.stderr


def test_help_is_the_default_and_lists_every_target():
    bare = make()
    assert bare.returncode == 0, bare.stderr
    assert bare.stdout == make("help").stdout
    assert [
        t for t in TARGETS if not re.search(rf"^\s*make {t}\s", bare.stdout, re.MULTILINE)
    ] == []


def test_ci_checks_the_style_and_runs_the_tests():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    commands = re.findall(r"^make .+$", run.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == ["make lint", "make test", "make test-long", "make test-scale"]


# --- notebooks ---


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def lines(cell: dict) -> list[str]:
    return "".join(cell["source"]).split("\n")


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@every_notebook
def test_no_outputs_or_counts(path):
    assert [
        cell["source"]
        for cell in code_cells(path)
        if cell["outputs"] or cell["execution_count"] is not None
    ] == []


@every_notebook
def test_kernel_is_python3(path):
    assert read(path)["metadata"]["kernelspec"]["name"] == "python3"


@every_notebook
def test_cells_are_short_and_narrow(path):
    assert [lines(cell)[0] for cell in code_cells(path) if len(lines(cell)) > 25] == []
    assert [line for cell in code_cells(path) for line in lines(cell) if len(line) > 76] == []


def parameter_faults(source: str) -> list[str]:
    """Lines that are not `name = <literal>`, and comments with an equals sign (papermill would read
    them).
    """
    faults = []
    for node in ast.parse(source).body:
        named = (
            isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
        )
        try:
            ast.literal_eval(node.value if named else node)
        except ValueError:
            named = False
        if not named:
            faults.append(ast.unparse(node))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return faults + [t.string for t in tokens if t.type == tokenize.COMMENT and "=" in t.string]


@every_notebook
def test_parameters_are_literals(path):
    tagged = [cell for cell in code_cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert parameter_faults("\n".join(lines(tagged[0]))) == []


def test_derived_parameters_are_seen():
    assert parameter_faults('steps = 3\nrate = 1.0e-5  # per step\nnames = ["a"]\n') == []
    for bad in (
        "steps = 2 * n",
        "import os",
        "a = b = 1",
        "steps = int(3)",
        "steps = 3  # = 3 epochs",
        "print(1)",
    ):
        assert parameter_faults(bad), bad


# --- the library ---


def room(path: str) -> str:
    """The room of a file of pdlib, named by its path in it.

    `pocket` for pocket/world.py, `schema` for schema.py, `tools.book` for tools/book/site.py.
    """
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:2]) if parts[0] == "tools" else parts[0]


def library() -> dict[str, str]:
    """Path in pdlib -> text of every Python and YAML file that lies in a room."""
    faces = {"__init__.py", "tools/__init__.py"}
    files = [path for path in LIBRARY.rglob("*") if path.suffix in (".py", ".yaml")]
    texts = {p.relative_to(LIBRARY).as_posix(): p.read_text(encoding="utf-8") for p in files}
    return {path: text for path, text in texts.items() if path not in faces}


def imported_names(path: str, text: str) -> list[str]:
    """Full names of all that a file of pdlib imports anywhere."""
    if not path.endswith(".py"):
        return []
    package, names = ("pdlib", *PurePosixPath(path).parts[:-1]), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            origin = ".".join(filter(None, (above, node.module)))
            names += [f"{origin}.{alias.name}" for alias in node.names]
    return names


def room_graph(files: dict[str, str]) -> dict[str, set[str]]:
    """Room -> the other rooms that its files import; files: path in pdlib -> text."""
    graph = {room(path): set() for path in files}
    for path, text in files.items():
        for name in imported_names(path, text):
            if name.startswith("pdlib."):
                other = room(name.removeprefix("pdlib.").replace(".", "/"))
                graph[room(path)] |= {other} & graph.keys() - {room(path)}
    return graph


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """Room -> its floor: 1 where it imports no room, else one above the highest that it imports.

    Raises CycleError where rooms import each other in a circle.
    """
    floor = {}
    for name in TopologicalSorter(graph).static_order():
        floor[name] = 1 + max((floor[other] for other in graph[name]), default=0)
    return floor


def over_tools(files: dict[str, str]) -> list[str]:
    """The files that import a tool in whose room they do not lie."""
    return [
        path
        for path, text in files.items()
        for name in imported_names(path, text)
        if name.startswith("pdlib.tools")
        and room(name.removeprefix("pdlib.").replace(".", "/")) != room(path)
    ]


# General code asks the first three for what the pocket world has; the others are about it. Whole
# file names, or beginnings of names.
POCKET_DOORS = (
    "benchmarks.py",
    "dataset/sets.py",
    "train/backbone.py",
    "analysis/replication/worlds.py",
    "rlpa/pocket_",
    "tools/",
)


def into_pocket(files: dict[str, str]) -> list[str]:
    """The files that import the pocket world and are neither in it nor among POCKET_DOORS."""
    return [
        path
        for path, text in files.items()
        if not path.startswith(("pocket/", *POCKET_DOORS))
        and any(name.startswith("pdlib.pocket") for name in imported_names(path, text))
    ]


def entries(folder: Path) -> list[str]:
    """What lies directly in a folder, but for what Python writes there."""
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


def long_files(folder: Path) -> dict[str, int]:
    """Path -> number of lines, for the Python files of more than 300 lines."""
    counts = {
        path.relative_to(folder).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in folder.rglob("*.py")
    }
    return {path: count for path, count in counts.items() if count > 300}


def rooms_in(text: str) -> list[str]:
    """The rooms that the README's tree names, in order: the lines under `pdlib/`, with a text."""
    (tree,) = re.findall(r"^```\n(?:(?!```).*\n)*?pdlib/.*\n((?:  .*\n)*)", text, re.MULTILINE)
    names = re.findall(r"^  (\w[\w/]*?)(?:\.py|/) +\S", tree, re.MULTILINE)
    return [name.replace("/", ".") for name in names]


def tree_faults(names: list[str], graph: dict[str, set[str]]) -> list[str]:
    """What is wrong with a list of rooms from the lowest floor to the roof."""
    faults = [f"{name} is named twice" for name in sorted({n for n in names if names.count(n) > 1})]
    faults += [f"{name} is no room" for name in names if name not in graph]
    faults += [f"{name} is not named" for name in sorted(graph) if name not in names]
    for position, name in enumerate(names):
        below = set(names[:position])
        for other in sorted(graph.get(name, set()) - below):
            faults.append(f"{name} imports {other}, which does not stand before it")
    return faults


GRAPH = room_graph(library())
CIRCLE = {"low.py": "def late():\n    from pdlib.high import x", "high/x.py": "import pdlib.low"}


def test_rooms_import_each_other_in_no_circle():
    assert set(floors(GRAPH)) == set(GRAPH)
    assert floors(room_graph({"b.py": "import pdlib.a", "a.py": ""})) == {"a": 1, "b": 2}
    with pytest.raises(CycleError):
        floors(room_graph(CIRCLE))


def test_nothing_imports_the_tools():
    assert over_tools(library()) == []
    assert over_tools({"tools/book/a.py": "from pdlib.tools.book import site"}) == []
    for source in (
        "from pdlib import tools",
        "from pdlib.tools import book",
        "import pdlib.tools.book.site",
    ):
        assert over_tools({"a.py": source}) == ["a.py"]


def test_few_files_of_general_code_import_the_pocket_world():
    assert into_pocket(library()) == []
    line = "from pdlib.pocket.world import World"
    files = {
        "report/a.py": line,
        "rlpa/pocket_a.py": line,
        "pocket/a.py": line,
        "pocketful.py": line,
    }
    assert into_pocket(files) == ["report/a.py", "pocketful.py"]


def test_the_library_has_few_entries(tmp_path):
    assert len(entries(LIBRARY)) <= 26
    for number in range(27):
        (tmp_path / f"room{number}.py").touch()
    assert len(entries(tmp_path)) > 26


def test_no_file_is_long(tmp_path):
    assert long_files(LIBRARY) == {}
    (tmp_path / "good.py").write_text("x = 1\n" * 300)
    (tmp_path / "bad.py").write_text("x = 1\n" * 301)
    assert long_files(tmp_path) == {"bad.py": 301}


def test_the_tree_of_the_readme_names_every_room_from_floor_to_roof():
    names = rooms_in((ROOT / "README.md").read_text(encoding="utf-8"))
    assert tree_faults(names, GRAPH) == []


TREE = """```
make test
```

```
notebooks/   lessons
pdlib/       the library
  low.py     what holds the rest
  high/      what stands on it
  tools/book/   the site
tests/       tests
```
"""


@pytest.mark.parametrize(
    "line, wrong, faults",
    [
        ("", "", []),
        ("  low.py     what holds the rest\n", "", ["low is not named", "high imports low, which"]),
        ("  low.py     what", "  low.py\n  what", ["low is not named", "high imports low, which"]),
        (
            "  high/ ",
            "  attic/ ",
            ["attic is no room", "high is not named", "tools.book imports hi"],
        ),
        ("  high/ ", "  low.py  again\n  high/ ", ["low is named twice"]),
        (
            "  low.py ",
            "  high/  first\n  low.py ",
            ["high is named twice", "high imports low, whi"],
        ),
    ],
)
def test_a_wrong_tree_is_seen(line, wrong, faults):
    files = {"low.py": "", "high/x.py": "import pdlib.low", "tools/book/y.py": "import pdlib.high"}
    seen = tree_faults(rooms_in(TREE.replace(line, wrong, 1)), room_graph(files))
    assert len(seen) == len(faults)
    assert all(fault.startswith(start) for fault, start in zip(seen, faults, strict=True))


@pytest.mark.parametrize(
    "source",
    [
        "import pdlib.train",
        "from pdlib import schema, train as t",
        "from pdlib.train import main",
        "from . import train",
        "from .train import main",
        "def late():\n    from pdlib import train",
    ],
)
def test_every_form_of_import_is_seen(source):
    assert "train" in room_graph({"a.py": source, "train/b.py": ""})["a"]


def test_relative_import_out_of_a_folder_is_seen():
    files = {"pocket/world.py": "from .. import train", "train/methods.py": ""}
    assert room_graph(files) == {"pocket": {"train"}, "train": set()}


@pytest.mark.parametrize("unsafe", ["trust_remote_code", "pickle", "torch.load("])
def test_library_never_runs_code_from_files(unsafe):
    files = [p for p in LIBRARY.rglob("*") if p.suffix in (".py", ".yaml")]
    assert len(files) > 10
    assert [p.name for p in files if unsafe in p.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    "path", [p for p in MODULES if ">>> " in p.read_text(encoding="utf-8")], ids=lambda p: p.stem
)
def test_docstring_examples_hold(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0

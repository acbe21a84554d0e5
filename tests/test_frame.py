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
from pathlib import Path

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
    "arms",
    "controls",
    "replicate",
    "sealed",
    "report",
    "reference",
    "bench",
    "book",
    "test",
    "test-browser",
    "clean",
]
FLOORS = {
    1: ["schema", "paper", "catalogue", "config", "stages", "launch", "beside"],
    2: [
        "answer_json",
        "modes",
        "pocket",
        "rows",
        "grading",
        "sources",
        "benchmarks",
        "leaks",
        "advantages",
    ],
    3: [
        "endpoint",
        "experts",
        "personas",
        "corpus",
        "construct",
        "card",
        "models",
        "weights",
        "generate",
        "likelihood",
        "preflight",
        "rewards",
        "router",
        "shared_prefix",
        "everyday",
    ],
    4: [
        "data",
        "grpo",
        "dualgrpo",
        "health",
        "progress",
        "trainer",
        "backbone",
        "train",
        "evaluate",
        "systems",
        "dialogues",
        "stats",
    ],
    5: ["analysis", "dynamic", "memories"],
    6: [
        "plots",
        "report",
        "bench",
        "book",
        "browse",
        "pages",
        "sealed",
        "show",
        "start",
        "widgets",
        "workbook",
    ],
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}


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


def test_ci_runs_make_test():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert re.search(r"^make test$", run.read_text(encoding="utf-8"), re.MULTILINE)


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


def room(path: Path) -> str:
    """`pocket` for pdlib/pocket/world.py, `train` for pdlib/train/methods.py, `pdlib` for the
    package itself.
    """
    return (
        "pdlib"
        if path == LIBRARY / "__init__.py"
        else path.relative_to(LIBRARY).with_suffix("").parts[0]
    )


def imported_rooms(source: str, package: tuple[str, ...] = ("pdlib",)) -> set[str]:
    """The rooms of pdlib that `source`, a module of `package`, imports anywhere."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            origin = ".".join(part for part in (above, node.module) if part)
            names += [f"{origin}.{alias.name}" for alias in node.names]
    return {
        name.split(".")[1]
        for name in names
        if name.startswith("pdlib.") and name.split(".")[1] in FLOOR
    }


def test_every_room_has_a_floor():
    assert sorted({room(path) for path in MODULES} - set(FLOOR) - {"pdlib"}) == []


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if room(p) in FLOOR],
    ids=lambda p: p.relative_to(LIBRARY).as_posix(),
)
def test_imports_point_down(path):
    package = ("pdlib", *path.relative_to(LIBRARY).parts[:-1])
    upward = [
        other
        for other in imported_rooms(path.read_text(encoding="utf-8"), package)
        if FLOOR[other] > FLOOR[room(path)]
    ]
    assert upward == []


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
    assert "train" in imported_rooms(source)


def test_relative_import_out_of_a_folder_is_seen():
    assert imported_rooms("from .. import train", ("pdlib", "pocket")) == {"train"}


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

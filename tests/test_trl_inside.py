"""TRL is the version that the library leans on, and all that it leans on is there and listed."""

import ast
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import trl

from pdlib.shared_prefix.trl_inside.names import LEANED_ON, PARAMETERS, VERSION

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = {path: path.read_text(encoding="utf-8") for path in (ROOT / "pdlib").rglob("*.py")}
INSIDE = [path for path in LIBRARY if path.parent.name == "trl_inside"]
# What subclasses, patches or calls TRL's trainers.
USERS = {path: text for path, text in LIBRARY.items() if re.search(r"\btrl\b|\w*Trainer\b", text)}


def private_names(tree: ast.AST) -> set[str]:
    """Names with one underscore in front, of attributes, functions and what is assigned."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
    return {name for name in names if re.match(r"_[a-zA-Z]", name)}


def sources(owner: type | ModuleType) -> set[ModuleType]:
    """The modules of TRL and Transformers in which `owner` and its parents are written."""
    parents = [owner] if inspect.ismodule(owner) else inspect.getmro(owner)
    modules = {sys.modules[parent.__module__] for parent in parents if not inspect.ismodule(parent)}
    modules |= {parent for parent in parents if inspect.ismodule(parent)}
    return {
        module for module in modules if module.__name__.split(".")[0] in ("trl", "transformers")
    }


def names_of(owner: type | ModuleType) -> set[str]:
    return {
        name
        for module in sources(owner)
        for name in private_names(ast.parse(inspect.getsource(module)))
    }


def parameters(name: str) -> tuple[str, ...]:
    found = list(inspect.signature(getattr(trl.GRPOTrainer, name)).parameters)[1:]
    if name == "_get_per_token_logps_and_entropies":
        found = found[: len(PARAMETERS[name])]  # the rest are images
    return tuple(found)


def test_what_we_lean_on_inside_trl_is_there_and_listed():
    assert trl.__version__ == VERSION, "read again what trl_inside lists before upgrading"
    known = {owner: names_of(owner) for owner in LEANED_ON}
    gone = [
        f"{owner.__name__}.{name} is gone: {what_breaks}"
        for owner, names in LEANED_ON.items()
        for name, what_breaks in names.items()
        if name not in known[owner]
    ]
    assert gone == []
    changed = [
        f"{name} takes {parameters(name)}: {LEANED_ON[trl.GRPOTrainer][name]}"
        for name, expected in PARAMETERS.items()
        if parameters(name) != expected
    ]
    assert changed == []
    inside = set.union(*known.values())
    used = {name for path in INSIDE for name in private_names(ast.parse(LIBRARY[path]))}
    unlisted = used & inside - set().union(*LEANED_ON.values())
    assert unlisted == set(), "list it in names, or give a name of our own another name"


def test_nothing_else_touches_the_inside_of_trl():
    inside = set().union(*LEANED_ON.values())
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in USERS.items()
        for name in private_names(ast.parse(text)) & inside
        if path not in INSIDE
    }
    assert found == set(), "use what trl_inside offers, or let it offer more"

"""The guides: short, true, and tried: what they name exists, their commands are understood, their
code works.
"""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch
import yaml
from lessons_text import (
    ROOT,
    faulty_functions,
    faulty_imports,
    faulty_links,
    faulty_names,
    faulty_paths,
)

from pdlib import advantages, benchmarks, config, modes
from pdlib.analysis.estimators import laboratory
from pdlib.paper import catalogue
from pdlib.questions import hub
from pdlib.workbook import runner

GUIDES = {path.stem: path for path in sorted((ROOT / "guides").glob("*.md"))}


def blocks(name: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", GUIDES[name].read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def test_the_guides_are_there():
    assert set(GUIDES) >= {
        "session-60",
        "session-120",
        "glossary",
        "your-model",
        "add-a-benchmark",
        "add-an-estimator",
        "add-a-baseline",
    }


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_is_short_and_names_what_exists(name):
    text = GUIDES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert (
        faulty_names(text)
        + faulty_links(text, GUIDES[name].parent)
        + faulty_paths(text)
        + faulty_functions(text)
        == []
    )
    assert [
        one for one in re.findall(r"`(\d\d[a-z]?_\w+)`", text) if one not in runner.NOTEBOOKS
    ] == []
    for block in blocks(name):
        compile(block, name, "exec")
        assert faulty_imports(block) == []


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / f"{name}.md" for name in ("README", "RESULTS", "CONTRIBUTING")),
        ROOT / "pdlib" / "pocket" / "DATASHEET.md",
    ],
    ids=lambda path: path.stem,
)
def test_what_a_page_names_exists(path):
    text = path.read_text(encoding="utf-8")
    assert faulty_names(text) + faulty_links(text, path.parent) == []
    assert faulty_paths(text) + faulty_functions(text) == []


def commands(text: str) -> list[str]:
    return re.findall(r"\bmake [a-z-]+[^`\n]*", text.replace("\n", " ").replace("```", "`"))


@pytest.mark.parametrize("name", GUIDES)
def test_the_commands_of_a_guide_are_understood(name):
    """Targets, notebooks, profiles and settings exist, and settings are of the right type."""
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for command in commands(GUIDES[name].read_text(encoding="utf-8")):
        assert command.split()[1].rstrip(".,;:") in targets, command
        given = dict(re.findall(r"\b([A-Z]+)=(\"[^\"]*\"|[^\s,.]+)", command))
        assert given.get("NB", "03_sft") in runner.NOTEBOOKS, command
        overrides = dict(
            pair.split("=", 1)
            for pair in given.get("SET", "").strip('"').replace("$MODEL", "/my/model").split()
        )
        config.load(
            given.get("PROFILE", "pocket"),
            **{key: yaml.safe_load(value) for key, value in overrides.items()},
        )


def add(block: str) -> dict:
    """Runs a block that begins `# add to pdlib/x.py` as if it stood at the end of that module;
    returns the names it leaves.
    """
    module = importlib.import_module(
        ".".join(Path(re.match(r"# add to (\S+)\n", block)[1]).with_suffix("").parts)
    )
    names = dict(vars(module))
    exec(compile(block, module.__name__, "exec"), names)
    return names


@pytest.fixture
def restored(monkeypatch):
    """What guides add to is afterwards as it was before."""
    registries = (
        advantages.ESTIMATORS,
        laboratory.SYSTEMS,
        catalogue.SYSTEMS,
        modes.PROMPTS,
        hub.HUB,
        benchmarks.KIND,
        benchmarks.BUILDERS,
    )
    before = [dict(registry) for registry in registries]
    yield monkeypatch
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)


def test_the_guide_to_estimators_works(restored, capsys):
    estimator, by_hand, competes = blocks("add-an-estimator")
    names = add(estimator)
    example = names["rloo"](torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]))[0]
    assert torch.allclose(example, torch.tensor([[[1.0, -1 / 3], [-1 / 3, -1 / 3]]])), (
        "the example in its docstring"
    )
    exec(by_hand, {})
    assert "rloo" in capsys.readouterr().out
    assert add(competes)["SYSTEMS"]["rloo"]["estimator"] == "rloo"


def test_the_guide_to_your_estimator_works(capsys):
    (block,) = blocks("your-estimator")
    exec(block, {})
    said = capsys.readouterr().out
    assert "tensor([[[ 1.0000,  0.0000]," in said and said.rstrip().endswith("cautious")


def test_the_guide_to_baselines_works(restored):
    system, prompt, _ = blocks("add-a-baseline")
    add(system)
    add(prompt)
    assert not catalogue.of("careful_prompt").trained and catalogue.of("dr_grpo").two_modes
    assert catalogue.of("careful_prompt").prompt in modes.PROMPTS
    assert inspect.signature(advantages.ESTIMATORS[catalogue.of("dr_grpo").rl["estimator"]])


def test_the_guide_to_benchmarks_works(restored, tmp_path):
    where, builder, look = blocks("add-a-benchmark")
    text = GUIDES["add-a-benchmark"].read_text(encoding="utf-8")
    ((name, kind),) = re.findall(r"`KIND\[\"(\w+)\"\] = \"(\w+)\"`", text)
    benchmarks.KIND[name] = kind
    for block in (where, builder):
        add(block)
    (row,) = re.findall(r"`(\{\"id\".*?\})`", text)
    (tmp_path / "quiz.jsonl").write_text(row + "\n", encoding="utf-8")
    (item,) = benchmarks.load("quiz", tmp_path, n="all")
    assert benchmarks.grade(item, "B")[0] and not benchmarks.grade(item, "A")[0]
    assert benchmarks.load("quiz", tmp_path) == [item], "the default number of items"
    assert 'benchmarks.load("quiz", "my_rows", n="all")' in look


def test_the_guide_to_models_computes_what_fits(capsys):
    (estimate,) = blocks("your-model")
    exec(estimate, {})
    assert "total" in capsys.readouterr().out


# --- the README ---


def longest_paragraph(markdown: str) -> int:
    """Lines of the longest paragraph or list item; code blocks and tables aside."""
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^\|.*\n", "\n", prose, flags=re.MULTILINE)
    prose = re.sub(r"^- ", "\n- ", prose, flags=re.MULTILINE)
    return max(len(paragraph.splitlines()) for paragraph in re.split(r"\n\s*\n", prose.strip()))


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    assert longest_paragraph(text) <= 6


def test_a_long_paragraph_is_seen():
    lines = "one\n" * 7
    assert longest_paragraph(f"# Title\n\n{lines}\nshort") == 7
    assert longest_paragraph(f"short\n\n```\n{lines}```\n\n| a |\n| b |\n\n- one\n- two") == 1

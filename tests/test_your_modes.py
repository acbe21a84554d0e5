"""Modes of your own: the sums, the script under guides, its notebook, and the built package."""

import ast
import copy
import json
import random
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from pdlib import advantages, generate, models, modes
from pdlib.analysis import arithmetic
from pdlib.schema import ModeSet

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "guides" / "your_modes.py"
NOTEBOOK = ROOT / "notebooks" / "14_your_modes.ipynb"
MODES = ModeSet([arithmetic.THINK, arithmetic.QUICK])


@pytest.mark.parametrize("kind", arithmetic.LENGTHS)
def test_sums_are_right(kind):
    rng = random.Random(0)
    for _ in range(50):
        row = arithmetic.question(kind, rng)
        first, *steps, equals = row["prompt"].split()
        value, sums = int(first), []
        for step in steps:
            value = (value + int(step)) % 10
            sums.append(str(value))
        assert equals == "=" and len(steps) == arithmetic.LENGTHS[kind]
        assert (row["answer"], row["sums"]) == (sums[-1], " ".join(sums))
        for mode in MODES:
            assert arithmetic.answer(arithmetic.completion(row, mode)) == row["answer"]


@pytest.mark.parametrize("text", ["", "7", "[Think] 7 so", "so 7 8"])
def test_what_names_no_answer_is_none(text):
    assert arithmetic.answer(text) is None


def test_the_tokenizer_writes_every_completion(tmp_path):
    _, tokenizer = arithmetic.untrained_model()
    for row in arithmetic.questions(50, seed=0):
        for mode in MODES:
            text = arithmetic.completion(row, mode)
            ids = tokenizer(row["prompt"] + text, add_special_tokens=False)["input_ids"]
            assert tokenizer.pad_token_id not in ids, "an unknown word"
            prefix = modes.prefix_ids(tokenizer, MODES)[mode]
            assert tokenizer(text.strip())["input_ids"][: len(prefix)] == prefix


def test_the_lines_of_the_script_are_those_of_the_notebook():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = {
        line.strip()
        for cell in cells
        if cell["cell_type"] == "code"
        for line in "".join(cell["source"]).splitlines()
    }
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    parts = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.Assign)]
    assert len(parts) == 4  # MODES, two rewards, train
    for part in parts:
        source = ast.get_source_segment(SCRIPT.read_text(encoding="utf-8"), part)
        assert [line for line in source.splitlines() if line.strip() not in code] == []


def test_the_script_trains(tmp_path):
    """With a few rows and steps; what is learned is seen in the notebook."""
    script = runpy.run_path(str(SCRIPT))
    assert ModeSet.of(script["MODES"]) == MODES
    model, tokenizer = arithmetic.taught_both_modes(tmp_path / "sft", n_rows=128)
    trainer = script["train"](
        model, tokenizer, str(tmp_path / "rl"), [script["right"], script["cost"]], steps=1
    )
    (row,) = [row for row in trainer.state.log_history if "reward" in row]
    assert {"p_quick/easy", "p_quick/hard", "reward/think", "rewards/cost/mean"} <= set(row)
    table = arithmetic.look(trainer.model, tokenizer, MODES, n=4)
    assert table.groupby("kind").chance.sum().tolist() == pytest.approx([1, 1])
    assert set(table["mode"]) == {"think", "quick"} and table.right.between(0, 1).all()


def test_a_model_that_was_taught_can_be_copied(tmp_path):
    """TRL's SFT leaves a forward pass in a model that a copy would share with the original."""
    model, tokenizer = arithmetic.taught_both_modes(tmp_path, n_rows=64)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    prompt = ["1 +2 ="]
    assert generate.mode_chances(other, tokenizer, prompt, MODES).tolist() == [[0.5, 0.5]]
    assert generate.mode_chances(model, tokenizer, prompt, MODES).tolist() != [[0.5, 0.5]]


def test_rewards_of_the_script():
    script = runpy.run_path(str(SCRIPT))
    texts = ["[Think] 3 so 3", "[Quick] so 4", "so 3"]
    assert script["right"](texts, ["3", "3", "3"]) == [1.0, 0.0, 1.0]
    assert script["cost"](texts) == [-0.1, 0.0, 0.0]


def test_adaptthink_compares_with_the_first_mode():
    rewards = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])  # think, quick
    response, _ = advantages.compute(rewards, "adaptthink", bonus=[0.0, 0.05])
    assert response.flatten().tolist() == pytest.approx([0.0, 0.0, 0.05, -0.95])


def test_the_built_package_runs_the_script_elsewhere(tmp_path):
    """A wheel, unpacked where the dependencies are but this checkout is not.

    `make test-wheel` installs it with its dependencies into an empty environment.
    """
    source = tmp_path / "source"
    shutil.copytree(ROOT / "pdlib", source / "pdlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--retries", "1", "--wheel-dir", str(tmp_path)]
    built = subprocess.run([*wheel, str(source)], capture_output=True, text=True, timeout=300)
    if "setuptools" in built.stderr and built.returncode:
        pytest.skip("the package index, which has the builder of wheels, cannot be reached")
    assert built.returncode == 0, built.stderr
    (built,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    install = [*pip, "install", "--no-deps", "--target", str(target), str(built)]
    subprocess.run(install, check=True, timeout=300)
    code = (
        "import runpy, sys, pdlib; from pdlib.analysis import arithmetic;"
        f"assert pdlib.__file__.startswith({str(target)!r}), pdlib.__file__;"
        f"script = runpy.run_path({str(SCRIPT)!r});"
        "model, tokenizer = arithmetic.taught_both_modes('sft', n_rows=64);"
        "rewards = [script['right'], script['cost']];"
        "script['train'](model, tokenizer, 'rl', rewards, steps=1).create_model_card()"
    )
    environment = {"PYTHONPATH": str(target), "PATH": sysconfig.get_path("scripts"), "HOME": "/tmp"}
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=600, cwd=tmp_path, env=environment
    )
    card = (tmp_path / "rl" / "README.md").read_text()
    assert "| think | `[Think]` |" in card
    assert models.__file__.startswith(str(ROOT)), "and this process uses the checkout"

"""The workbook as users run it: papermill, smoke profile, every notebook; then again; then with bad
input.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from pdlib import config, report, systems
from pdlib.dataset import personas
from pdlib.evaluate import COLUMNS, read_records
from pdlib.run.stages import MANIFEST
from pdlib.workbook import exercises, runner

ROOT = Path(__file__).resolve().parents[1]
RUN = "pocket-qwen3"  # the folder of what depends on the backbone
SIDE_BY_SIDE = (
    "workers=2"  # as the pocket profile does it; smoke by itself has one thing done after another
)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pdlib.workbook", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder of a whole smoke run, with the answers of the exercises."""
    output = tmp_path_factory.mktemp("outputs")
    done = command("--profile", "smoke", "--answers", "--set", f"output_dir={output}", SIDE_BY_SIDE)
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "smoke"


def test_every_notebook_is_executed_and_leaves_its_results(ran):
    for name in runner.NOTEBOOKS:
        notebook = nbformat.read(ran / RUN / "notebooks" / f"{name}.ipynb", as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code), f"{name} has unexecuted cells"
        assert max(len(cell.outputs) for cell in code) < 30, f"{name} is flooded with outputs"
        assert (ran / RUN / "notebooks" / f"{name}.ipynb").stat().st_size < 2_000_000
        committed = nbformat.read(runner.source(name), as_version=4)
        answers = [one.number for one in exercises.read(exercises.text_of(committed)) if one.code]
        assert [
            cell.metadata.exercise for cell in code if "answer" in cell.metadata.tags
        ] == answers, f"{name}: answers not run"
    for result in (
        "report.html",
        "ledger.json",
        f"{RUN}/figures/table1.png",
        f"{RUN}/personadual-0/model.safetensors",
    ):
        assert (ran / result).is_file(), result


def test_records_keep_the_contract(ran):
    records = read_records(ran / "records")
    assert list(records.columns) == COLUMNS
    assert set(records.model) == {*systems.TABLE_1, *systems.TABLE_2, "withheld", "null_backbone"}
    assert set(records.run) == {"pocket-qwen3", "pocket-llama"}
    assert set(records.condition) == set(personas.COUNTERFACTUAL) and set(records.forced) == {
        "none",
        "general",
        "personalized",
    }
    assert not records[records.parse_error.notna()].correct.any(), (
        "a malformed completion counts as wrong"
    )


def test_models_load_with_plain_transformers_and_hold_no_pickle(ran):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ran / RUN / "personadual-0"
    AutoModelForCausalLM.from_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder)("[General_mode]\n")["input_ids"]
    assert not [p for p in ran.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".pth")]


def test_the_report_is_rebuilt_from_records_alone(ran, tmp_path):
    """Without models, data sets and executed copies: the same ledger, and a reference copy from
    which it can be computed again.
    """
    for name in (
        "records",
        "dialogues/records",
        "dynamic/records",
        "data-test",
        "data-counterfactual",
    ):
        shutil.copytree(ran / name, tmp_path / "smoke" / name)
    done = command(
        "--profile", "smoke", "--notebook", "11_report", "--set", f"output_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads((tmp_path / "smoke" / "ledger.json").read_text())
    assert again == json.loads((ran / "ledger.json").read_text()) and len(again) > 400
    for name in ("table1", "figure3a", "selectors", "counterfactuals"):
        assert (tmp_path / "smoke" / "figures" / f"{name}.png").is_file(), name
    cfg = config.load("smoke", output_dir=str(ran.parent))
    report.reference.refresh(cfg, tmp_path / "reference")
    records, arguments = report.read_reference(tmp_path / "reference")
    assert report.ledger_differences(again, report.ledger(records, **arguments)) == []


def test_a_finished_run_is_a_no_op(ran):
    before = {path: path.stat().st_mtime_ns for path in ran.rglob("*") if path.is_file()}
    done = command(
        "--profile", "smoke", "--answers", "--set", f"output_dir={ran.parent}", SIDE_BY_SIDE
    )
    assert done.returncode == 0 and done.stdout.count("up to date") == len(runner.NOTEBOOKS)
    assert {path: path.stat().st_mtime_ns for path in ran.rglob("*") if path.is_file()} == before


def test_a_changed_setting_reruns_just_what_depends_on_it(ran):
    before = {
        p.parent.name: json.loads(p.read_text())["key"]
        for p in [*ran.glob(f"*/{MANIFEST}"), *ran.glob(f"{RUN}/*/{MANIFEST}")]
    }
    done = command(
        "--profile",
        "smoke",
        "--notebook",
        "05_dualgrpo_training",
        "--set",
        f"output_dir={ran.parent}",
        "rl_kl=0.01",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = {
        p.parent.name: json.loads(p.read_text())["key"]
        for p in [*ran.glob(f"*/{MANIFEST}"), *ran.glob(f"{RUN}/*/{MANIFEST}")]
    }
    assert {name for name in after if after[name] != before[name]} == {"personadual-0"}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--profile", "moon"], "unknown profile 'moon'"),
        (["--profile", "smoke", "--set", "rl_step=3"], "unknown setting rl_step"),
        (["--profile", "smoke", "--set", "rl_rollouts=3"], "each of 2 modes"),
        (["--profile", "smoke", "--set", "eval_items={triviaqa: 0}"], "at least 1"),
        (["--profile", "smoke", "--set", "seed"], "expected NAME=VALUE"),
        (["--profile", "smoke", "--notebook", "99_moon"], "unknown notebook"),
    ],
)
def test_bad_commands_are_refused_with_words(arguments, words):
    done = command(*arguments)
    assert done.returncode != 0 and words in done.stderr and "Traceback" not in done.stderr


def test_the_notebooks_of_a_run_are_chosen_in_order():
    assert runner.chosen(config.load("smoke")) == list(runner.NOTEBOOKS)
    assert runner.chosen(config.load("smoke", notebooks=["11_report", "03_sft"])) == [
        "03_sft",
        "11_report",
    ]
    with pytest.raises(ValueError, match="setting notebooks names .'99_moon'"):
        runner.chosen(config.load("smoke", notebooks=["99_moon"]))


def test_an_unknown_papermill_parameter_is_an_error():
    with pytest.raises(ValueError, match="has no parameter moon"):
        runner.check_parameters(runner.source("03_sft"), {"profile": "smoke", "moon": 1})


def one_notebook(path: Path, code: str, answers: str) -> Path:
    """A notebook of one code cell whose exercises have these answers."""
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                'profile = ""\noverrides = {}', metadata={"tags": ["parameters"]}
            ),
            nbformat.v4.new_code_cell(code),
            nbformat.v4.new_markdown_cell(answers),
        ],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.write(notebook, path)
    return path


def test_a_failing_notebook_keeps_its_traceback_and_the_last_good_copy(tmp_path, monkeypatch):
    path = one_notebook(tmp_path / "00_start_here.ipynb", "raise RuntimeError('as planned')", "")
    monkeypatch.setattr(runner, "source", lambda name: path)
    cfg = config.load("smoke", output_dir=str(tmp_path / "out"))
    good = cfg.run_folder() / "notebooks" / "00_start_here.ipynb"
    good.parent.mkdir(parents=True)
    good.write_text("the last good copy")
    with pytest.raises(Exception, match="as planned"):
        runner.run("00_start_here", cfg)
    assert good.read_text() == "the last good copy"
    assert "as planned" in (good.parent / "00_start_here.failed.ipynb").read_text()


def exercise(number: int, code: str) -> str:
    return (
        f"**{number} (easy, 5 minutes).** Why?\n\n"
        f"<details><summary>Answer</summary>\n\nSo:\n\n```python\n{code}\n```\n\n"
        "It does.</details>\n\n"
    )


def test_a_wrong_answer_fails_the_run_with_its_notebook_and_number(tmp_path, monkeypatch, capsys):
    path = one_notebook(
        tmp_path / "00_start_here.ipynb",
        "seen = 3",
        exercise(1, "assert seen == 3") + exercise(2, "assert seen == 4"),
    )
    monkeypatch.setattr(runner, "source", lambda name: path)
    cfg = config.load("smoke", output_dir=str(tmp_path / "out"))
    with pytest.raises(Exception, match="AssertionError"):
        runner.run("00_start_here", cfg, answers=True)
    assert "00_start_here, exercise 2: the answer failed" in capsys.readouterr().err


def test_exercises_are_read_with_difficulty_minutes_and_code():
    text = (
        exercise(1, "a = 1")
        + "**2 (hard, 20 minutes).** How?\n\n"
        + "<details><summary>Answer</summary>In words: `b`.</details>"
    )
    first, second = exercises.read(text)
    assert (first.number, first.difficulty, first.minutes, first.task, first.code) == (
        1,
        "easy",
        5,
        "Why?",
        "a = 1",
    )
    assert (second.difficulty, second.minutes, second.answer, second.code) == (
        "hard",
        20,
        "In words: `b`.",
        "",
    )


def test_answers_come_last_and_only_when_asked_for(tmp_path):
    notebook = nbformat.read(
        one_notebook(tmp_path / "x.ipynb", "seen = 3", exercise(1, "seen + 1")), as_version=4
    )
    assert [cell.source for cell in exercises.with_answers(notebook).cells[3:]] == ["seen + 1"]
    assert len(notebook.cells) == 3, "the notebook itself stays as it is"

"""The sealed test is opened once for a revision, by finished systems, and nothing else reads it."""

import re

import pandas as pd
import pytest

from pdlib import config, dataset, evaluate, systems
from pdlib.analysis import sealed
from pdlib.run import stages

CLEAN = {"revision": "a" * 40, "clean": True}


@pytest.fixture(scope="module")
def cfg(tmp_path_factory) -> config.Config:
    return config.load("smoke", output_dir=str(tmp_path_factory.mktemp("sealed")))


@pytest.fixture(scope="module")
def opened(cfg, tmp_path_factory):
    """sealed.csv, and the rows, of a run in which one small SFT model stands for every system.

    It answers once with and once without a choice of the mode; the answers are all systems'.
    """
    target = tmp_path_factory.mktemp("reference") / "sealed.csv"
    model = systems.fit(cfg, "sft_only")
    answer, answers = evaluate.answer, {}

    def answer_once(*question, mode_set, **settings):
        if mode_set not in answers:
            answers[mode_set] = answer(*question, mode_set=mode_set, **settings)
        return answers[mode_set].assign(model=settings["model_name"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "answer", answer_once)
        patch.setattr(stages, "revision", lambda: CLEAN)
        patch.setattr(
            sealed, "_finished", lambda cfg: {(name, 0): model for name in sealed.SYSTEMS}
        )
        rows = sealed.open_once(cfg, target)
        with pytest.raises(ValueError, match="asked at revision aaaaaaaaaaaa"):
            sealed.open_once(cfg, target)
        patch.setattr(stages, "revision", lambda: CLEAN | {"revision": "b" * 40})
        sealed.open_once(cfg, target)
    return target, rows


def test_rows_are_appended_once_per_revision(opened):
    target, rows = opened
    kept = pd.read_csv(target)
    assert list(kept.columns) == sealed.COLUMNS and len(kept) == 2 * len(rows)
    assert list(kept.revision.unique()) == ["a" * 40, "b" * 40]
    same = rows[
        rows.claim.str.startswith(("PersonaDual - SFT only", "PersonaDual - w/o"))
    ]  # those that read the answers alike
    assert len(same) and (same["mean"] == 0).all(), (
        "one model stands for all systems, so no difference is left"
    )
    assert rows.processor.iloc[0] == stages.hardware()["cpu"] and (rows.seeds == 1).all()


def test_sealed_items_are_no_test_items(cfg):
    items, pool = dataset.sealed_items(cfg)
    assert all("-sealed-" in item.id for item in items) and pool
    assert not {item.question for item in items} & {
        item.question for item in dataset.test_items(cfg) if item.benchmark != "personafeedback"
    }


@pytest.mark.parametrize(
    "revision, said",
    [
        (CLEAN | {"clean": False}, "commit them first"),
        ({"revision": None, "reason": "git is not installed"}, "git is not installed"),
    ],
)
def test_it_names_the_revision_that_it_tests(cfg, tmp_path, monkeypatch, revision, said):
    monkeypatch.setattr(stages, "revision", lambda: revision)
    with pytest.raises(ValueError, match=said):
        sealed.open_once(cfg, tmp_path / "sealed.csv")


def test_what_is_not_trained_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "revision", lambda: CLEAN)
    with pytest.raises(
        ValueError,
        match="not trained with these settings: backbone-0, personadual-0.*make reproduce",
    ):
        sealed.open_once(config.load("smoke", output_dir=str(tmp_path)), tmp_path / "sealed.csv")


def test_real_data_have_no_sealed_split(tmp_path):
    with pytest.raises(ValueError, match="data_dir is 'hub'"):
        sealed.open_once(config.load("gpu"), tmp_path / "sealed.csv")


READERS = {  # what may know the sealed questions or their results
    "pdlib/analysis/sealed.py",
    "pdlib/dataset/__init__.py",
    "pdlib/dataset/sets.py",
    "pdlib/pocket/personas.py",
    "pdlib/pocket/splits.py",
    "tests/test_pocket.py",
    "tests/test_sealed.py",
}


def test_nothing_else_reads_the_sealed_questions_or_their_results():
    root = stages.ROOT
    files = [
        *(root / "pdlib").rglob("*.py"),
        *(root / "notebooks").glob("*.ipynb"),
        *(root / "tests").glob("*.py"),
    ]
    sealed_names = re.compile(r"sealed_items|sealed\.csv|SEALED\b")
    reading = {
        path.relative_to(root).as_posix()
        for path in files
        if sealed_names.search(path.read_text(encoding="utf-8"))
    }
    assert reading == READERS

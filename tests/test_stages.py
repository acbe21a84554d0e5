"""A stage is built once, again when something it depends on has changed, and goes on where it was
stopped.
"""

import json
import multiprocessing
import platform
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pdlib.run import stages


class Build:
    """A stage that counts its runs and writes a file a step; it fails after `fail_after` steps if
    told to.
    """

    def __init__(self, steps: int = 3):
        self.runs, self.steps_done, self.steps, self.fail_after = 0, [], steps, None

    def __call__(self, folder):
        self.runs += 1
        for step in range(self.steps):
            if (folder / f"step-{step}").exists():
                continue
            if step == self.fail_after:
                raise RuntimeError("killed")
            (folder / f"step-{step}").write_text("done")
            self.steps_done.append(step)
        return {"steps": self.steps}


@pytest.fixture
def build():
    return Build()


def test_builds_once(tmp_path, build):
    folder = stages.once(tmp_path / "sft", build, settings={"rate": 1})
    assert folder == tmp_path / "sft"
    assert stages.once(folder, build, settings={"rate": 1}) == folder
    assert build.runs == 1
    manifest = stages.read_manifest(folder)
    assert (manifest["stage"], manifest["settings"], manifest["facts"]) == (
        "sft",
        {"rate": 1},
        {"steps": 3},
    )
    assert "torch" in manifest["versions"]


def test_order_of_settings_does_not_matter(tmp_path, build):
    for settings in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        stages.once(tmp_path / "sft", build, settings=settings)
    assert build.runs == 1


@pytest.mark.parametrize(
    "change", [{"settings": {"rate": 2}}, {"settings": {"rate": 1, "more": 0}}, {"version": 2}]
)
def test_a_change_builds_anew(tmp_path, build, change):
    folder = stages.once(tmp_path / "sft", build, settings={"rate": 1})
    (folder / "old").touch()
    stages.once(folder, build, **({"settings": {"rate": 1}} | change))
    assert build.runs == 2
    assert not (folder / "old").exists()
    assert build.steps_done == [0, 1, 2, 0, 1, 2]


def test_a_changed_input_rebuilds_only_what_lies_downstream(tmp_path):
    def run(sft_rate):
        stages.once(tmp_path / "data", builds["data"], settings={})
        stages.once(
            tmp_path / "sft", builds["sft"], settings={"rate": sft_rate}, inputs=[tmp_path / "data"]
        )
        stages.once(
            tmp_path / "rl", builds["rl"], settings={}, inputs=[tmp_path / "sft", tmp_path / "data"]
        )
        stages.once(tmp_path / "other", builds["other"], settings={}, inputs=[tmp_path / "data"])
        return {name: b.runs for name, b in builds.items()}

    builds = {name: Build() for name in ("data", "sft", "rl", "other")}
    assert run(1) == {"data": 1, "sft": 1, "rl": 1, "other": 1}
    assert run(1) == {"data": 1, "sft": 1, "rl": 1, "other": 1}
    assert run(2) == {"data": 1, "sft": 2, "rl": 2, "other": 1}


def test_an_unfinished_input_is_refused(tmp_path, build):
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="'data' has not finished"):
        stages.once(tmp_path / "sft", build, settings={}, inputs=[tmp_path / "data"])
    assert build.runs == 0


def test_goes_on_after_an_exception(tmp_path, build):
    folder, build.fail_after = tmp_path / "sft", 2
    with pytest.raises(RuntimeError, match="killed"):
        stages.once(folder, build, settings={})
    with pytest.raises(ValueError, match="has not finished"):
        stages.read_manifest(folder)
    build.fail_after = None
    stages.once(folder, build, settings={})
    assert build.steps_done == [0, 1, 2]  # the first two were not done again
    stages.once(folder, build, settings={})
    assert build.runs == 2


def test_unfinished_work_of_another_key_is_wiped(tmp_path, build):
    folder, build.fail_after = tmp_path / "sft", 2
    with pytest.raises(RuntimeError):
        stages.once(folder, build, settings={"rate": 1})
    build.fail_after = None
    stages.once(folder, build, settings={"rate": 2})
    assert build.steps_done == [0, 1, 0, 1, 2]
    assert stages.read_manifest(folder)["settings"] == {"rate": 2}


def test_a_failed_rebuild_does_not_pass_for_the_old_result(tmp_path, build):
    folder = stages.once(tmp_path / "sft", build, settings={"rate": 1})
    build.fail_after = 1
    with pytest.raises(RuntimeError):
        stages.once(folder, build, settings={"rate": 2})
    build.fail_after = None
    stages.once(folder, build, settings={"rate": 1})
    assert build.steps_done[-3:] == [0, 1, 2]


def test_a_folder_that_no_stage_began_is_wiped(tmp_path, build):
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "step-0").touch()
    stages.once(tmp_path / "sft", build, settings={})
    assert build.steps_done == [0, 1, 2]


def test_a_missing_product_builds_anew(tmp_path):
    product, runs = tmp_path / "records" / "a.parquet", []

    def build(folder):
        runs.append(folder)
        stages.write_json(product, {})

    for _ in range(2):
        stages.once(tmp_path / "evaluation", build, settings={}, products=[product])
    assert len(runs) == 1
    product.unlink()
    stages.once(tmp_path / "evaluation", build, settings={}, products=[product])
    assert len(runs) == 2 and product.exists()


def test_unfinished_stage_has_no_manifest(tmp_path):
    seen = []

    def build(folder):
        with pytest.raises(ValueError, match="make reproduce"):
            stages.read_manifest(folder)
        seen.append(folder)

    stages.once(tmp_path / "sft", build, settings={})
    assert seen == [tmp_path / "sft"]
    with pytest.raises(ValueError, match="'nothing' has not finished"):
        stages.read_manifest(tmp_path / "nothing")


# --- provenance ---


def test_a_manifest_says_by_which_code_where_and_when(tmp_path, build, monkeypatch):
    monkeypatch.setenv("USER", "ada-the-user")
    folder = stages.once(tmp_path / "sft", build, settings={"seed": 3})
    found = stages.read_manifest(folder)["provenance"]
    assert found["code"].keys() in ({"revision", "clean"}, {"revision", "reason"})
    began, ended = (datetime.fromisoformat(found[name]) for name in ("began", "ended"))
    assert began.utcoffset() == timedelta(0) and began <= ended <= datetime.now(UTC)
    hardware = found["hardware"]
    assert (
        hardware["cpu"]
        and hardware["cores"] >= 1
        and hardware["memory_gib"] > 0.1
        and isinstance(hardware["gpus"], list)
    )
    text = json.dumps(found)
    assert not [
        name
        for name in (
            platform.node(),
            "ada-the-user",
            str(tmp_path),
            str(Path.home()),
            str(stages.ROOT),
        )
        if name in text
    ]


def test_provenance_is_no_part_of_the_key(tmp_path, build, monkeypatch):
    folder = stages.once(tmp_path / "sft", build, settings={})
    key = stages.read_manifest(folder)["key"]
    monkeypatch.setattr(stages, "revision", lambda: {"revision": "other", "clean": True})
    monkeypatch.setattr(stages, "hardware", lambda: {"cpu": "another"})
    stages.once(folder, build, settings={})
    assert build.runs == 1
    stages.once(tmp_path / "b" / "sft", build, settings={})
    other = stages.read_manifest(tmp_path / "b" / "sft")
    assert other["key"] == key and other["provenance"]["code"] == {
        "revision": "other",
        "clean": True,
    }


def git(folder, *arguments):
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_revision_is_the_commit_and_whether_it_is_clean(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    assert stages.revision() == {
        "revision": None,
        "reason": "git finds no commit of a checkout here",
    }
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert stages.revision() == {"revision": commit, "clean": True}
    (tmp_path / "a.py").write_text("2")
    assert stages.revision() == {"revision": commit, "clean": False}
    (tmp_path / "inner").mkdir()
    monkeypatch.setattr(stages, "ROOT", tmp_path / "inner")
    assert stages.revision() == {
        "revision": None,
        "reason": "the library lies inside another project's checkout",
    }


def test_a_machine_without_git_still_finishes(tmp_path, build, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = stages.once(tmp_path / "sft", build, settings={})
    assert stages.read_manifest(folder)["provenance"]["code"] == {
        "revision": None,
        "reason": "git is not installed",
    }


# --- two processes ---


def slow_build(folder):
    with (folder.parent / "builds").open("a") as log:
        log.write("built\n")
    time.sleep(0.5)


def one_process(folder, barrier):
    barrier.wait(300)  # both are ready before either begins
    stages.once(folder, slow_build, settings={})
    stages.read_manifest(folder)


def test_of_two_processes_only_one_builds(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    both = [spawn.Process(target=one_process, args=(tmp_path / "sft", barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "builds").read_text() == "built\n"


# --- write_json ---


def test_write_json_makes_folders_and_keeps_unicode(tmp_path):
    path = tmp_path / "a" / "b.json"
    stages.write_json(path, {"persona": "naïve 債券"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"persona": "naïve 債券"}
    assert "債券" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_write_json_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "b.json"
    stages.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        stages.write_json(path, {"old": 2, "broken": object()})
    assert json.loads(path.read_text()) == {"old": 1}

    def power_cut(*_):
        raise OSError("no power")

    monkeypatch.setattr(stages.os, "replace", power_cut)
    with pytest.raises(OSError):
        stages.write_json(path, {"old": 2})
    assert json.loads(path.read_text()) == {"old": 1}


def test_looking_builds_nothing(tmp_path):
    def stage(**settings):
        return stages.once(tmp_path / "a", lambda folder: None, settings=settings)

    with pytest.raises(stages.NotBuiltError), stages.without_building():
        stage(n=1)
    assert not (tmp_path / "a").exists()
    stage(n=1)
    with stages.without_building():
        assert stage(n=1) == tmp_path / "a"
    with pytest.raises(stages.NotBuiltError), stages.without_building():
        stage(n=2)
    assert stages.read_manifest(tmp_path / "a")["settings"] == {"n": 1}, (
        "a stale result stays until it is built again"
    )

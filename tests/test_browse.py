"""What a reader looks at by hand: records, the steps of a run, a threshold, one question in both
modes, the first notebook's tables.
"""

import json
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from pdlib import config
from pdlib.analysis import playground, selection, stats
from pdlib.evaluate import COLUMNS
from pdlib.pocket import examples
from pdlib.run import stages
from pdlib.run.stages import MANIFEST
from pdlib.schema import PAPER_MODES, Mode
from pdlib.workbook import browse, durations, environment, pages, runner, start


def answer(forced: str, seed: int, right: bool, mode: str | None = None, **other) -> dict:
    mode = mode or ("general" if forced == "none" else forced)
    return {
        "run": "r",
        "model": "m",
        "train_seed": 0,
        "benchmark": "triviaqa",
        "kind": "objective",
        "item_id": "i",
        "condition": "unaligned",
        "forced": forced,
        "seed": seed,
        "turn": 1,
        "mode": mode,
        "p_personalized": 0.25,
        "prompt": "<asked>",
        "completion": f"said {seed}",
        "answer": "gold" if right else "other",
        "gold": "gold",
        "correct": right,
        "parse_error": None,
        "n_prompt_tokens": 1,
        "n_completion_tokens": 1,
    } | other


def question(
    general: list[int], personalized: list[int], free: list[tuple[str, int]], **other
) -> list[dict]:
    """Records of one question: forced answers right or not by run, free ones as (mode, right)."""
    forced = [
        answer(name, seed, bool(right), **other)
        for name, rights in (("general", general), ("personalized", personalized))
        for seed, right in enumerate(rights)
    ]
    return forced + [
        answer("none", seed, bool(right), mode, **other) for seed, (mode, right) in enumerate(free)
    ]


# --- records ---


@pytest.mark.parametrize(
    "general, personalized, mode, cause",
    [
        ([0, 0, 1], [1, 1, 0], "general", "wrong mode"),
        ([1, 1, 0], [0, 1, 0], "personalized", "wrong mode"),
        ([0, 0, 1], [0, 1, 0], "general", "in-mode: neither mode is right"),
        ([1, 1, 0], [1, 1, 1], "general", "in-mode: own mode is mostly right"),
        ([1, 1, 1], [1, 1, 1], "none", "no mode"),
    ],
)
def test_causes_by_hand(general, personalized, mode, cause):
    records = pd.DataFrame(question(general, personalized, [(mode, 0), ("general", 1)]))
    found = browse.with_causes(records)
    assert list(found[found.forced == "none"].cause) == [cause, "right"]
    assert set(found[(found.forced != "none") & ~found.correct].cause) <= {"wrong, forced"}


def test_without_both_forced_modes_the_cause_is_unknown():
    records = pd.DataFrame(
        [r for r in question([1], [1], [("general", 0)]) if r["forced"] != "personalized"]
    )
    assert list(browse.with_causes(records).cause) == ["right", "wrong, never forced"]


def _three(rng: random.Random) -> list[int]:
    return [rng.randrange(2) for _ in range(3)]


def many(n: int = 12, seed: int = 0) -> pd.DataFrame:
    """Random answers in the three blocks of the paper, three runs each."""
    rng, rows = random.Random(seed), []
    for kind, condition in stats.BLOCKS.values():
        for i in range(n):
            free = [
                (rng.choice(["general", "personalized", "none"]), right) for right in _three(rng)
            ]
            rows += question(
                _three(rng),
                _three(rng),
                free,
                kind=kind,
                condition=condition,
                item_id=f"i{i}",
                benchmark=f"of {kind}",
            )
    return pd.DataFrame(rows)[COLUMNS]


def test_labels_add_up_to_the_rates_of_the_analysis():
    records = many()
    labelled = browse.with_causes(records)
    free = labelled[labelled.forced == "none"]
    table = selection.errors(records, "m", draws=0)
    for block, (kind, condition) in stats.BLOCKS.items():
        shares = free[(free.kind == kind) & (free.condition == condition)].cause.value_counts(
            normalize=True
        )
        rates = table[table.block == block].set_index("error").rate
        assert np.allclose(rates, [shares.get(name, 0) for name in rates.index]), block


def test_filters_pick_and_refuse_in_words():
    records = browse.with_causes(
        pd.concat(
            [
                many(3),
                pd.DataFrame([answer("none", 9, False, parse_error="no answer", model="other")]),
            ]
        )
    )
    free = records[(records.model == "m") & (records.forced == "none")]
    assert len(browse.pick(records, "m")) == len(free) == 27
    picked = browse.pick(records, "m", condition="unaligned", what="wrong")
    assert set(picked.condition) == {"unaligned"} and not picked.correct.any()
    assert len(picked) == (~free[free.condition == "unaligned"].correct).sum()
    assert set(browse.pick(records, "m", forced="general").forced) == {"general"}
    assert len(browse.pick(records, "other", what="not parsed")) == 1
    for arguments, words in [
        ({"model": "moon"}, "no answers of model moon"),
        ({"model": "other", "forced": "general"}, "those forced: none"),
        ({"model": "m", "benchmark": "moon"}, "there are those with of objective, of personalized"),
        ({"model": "m", "what": "moon"}, "unknown filter 'moon'"),
        (
            {"model": "other", "what": "wrong mode"},
            "none of these 1 answers is of the kind: wrong mode",
        ),
    ]:
        with pytest.raises(ValueError, match=words):
            browse.pick(records, **arguments)


def test_a_transcript_has_the_texts_escaped_and_counts_round():
    records = browse.with_causes(
        pd.DataFrame(
            question([0, 0, 0], [1, 1, 1], [("general", 0), ("general", 0), ("personalized", 1)])
        )
    )
    first, last, again = (
        browse.transcript(records, n, model="m", what="wrong mode").data for n in (1, 2, 3)
    )
    assert (
        "<b>1 of 2</b>" in first
        and "said 0" in first
        and "&lt;asked&gt;" in first
        and "<asked>" not in first
    )
    assert "<b>2 of 2</b>" in last and "said 1" in last and again == first


def test_the_same_question_otherwise():
    records = pd.DataFrame(
        question([0, 0, 1], [1, 1, 1], [("general", 0), ("general", 0), ("personalized", 1)])
        + question([1], [1], [("general", 1)], condition="aligned")
        + question([1], [1], [("general", 1)], item_id="j")
    )
    table = browse.same_question(records, records.iloc[0]).set_index(["condition", "forced"])
    assert list(table.index.unique(0)) == ["unaligned", "aligned"] and len(table) == 6
    row = table.loc["unaligned", "none"]
    assert (row.personalised, row.right, row.answers) == (
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        "2 × other, 1 × gold",
    )
    small = records.drop(columns=["prompt", "completion", "answer", "gold"])
    assert "without texts" in browse.transcript(browse.with_causes(small), model="m").data


# --- a training run ---


@pytest.fixture
def trained(tmp_path):
    """A run of three steps, two questions, two rollouts per mode; completions of steps 1 and 2."""
    folder = tmp_path / "run" / "personadual-0"
    (folder / "completions").mkdir(parents=True)
    rows = [
        {
            "step": step,
            "loss": 0.1 * step,
            "reward": 0.5,
            "reward/general": 0.4 + 0.1 * step,
            "reward/personalized": 0.5,
            "P(personalised) aligned": 0.5,
            "truncated/general": 0.5 if step == 2 else 0.0,
        }
        for step in (1, 2, 3)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    completions = [
        ("[General_mode]", "yes", 1.0),
        ("[General_mode]", "no", 0.1),
        ("[Personalized_mode]", "no", 0.1),
        ("[Personalized_mode]", "no", 0.1),
    ]
    for step in (1, 2):
        pd.DataFrame(
            [
                {
                    "step": step,
                    "prompt": [{"role": "user", "content": f"question {q} of {step}"}],
                    "completion": [
                        {
                            "role": "assistant",
                            "content": f'{tag}\nso\n\n<answer>{{"answer": "{text}"}}</answer>',
                        }
                    ],
                    "reward": reward,
                    "advantage": reward - 0.1,
                }
                for q in "ab"
                for tag, text, reward in completions
            ]
        ).to_parquet(folder / "completions" / f"completions_{step:05d}.parquet")
    return folder


def test_rollouts_by_question_and_mode(trained):
    rows = browse.rollouts(browse.run(trained), 2)
    assert list(rows.question) == [1] * 4 + [2] * 4 and rows.prompt[4] == "question b of 2"
    assert list(rows["mode"][:4]) == [
        "general",
        "general",
        "personalized",
        "personalized",
    ] and list(rows.answer[:2]) == ["yes", "no"]
    means = browse.by_question(rows)
    assert means.general[1] == pytest.approx(0.55) and means.personalized[2] == pytest.approx(0.1)
    assert browse.rollouts(browse.run(trained), 3).empty


def test_a_replay_shows_the_step_its_warnings_and_one_question(trained):
    one = browse.run(trained)
    figure, page = browse.replay(one, 2, question=4)  # round again: the second of two
    assert (
        "step 2" in page.data and "question 2 of 2" in page.data and "question b of 2" in page.data
    )
    assert "WARNING" in page.data and "cut off" in page.data
    assert len(figure.axes) == 3 and figure.axes[2].get_xlabel() == "mean reward at this step"
    assert [
        line.get_xdata()[0] for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1
    ] == [2]
    _, late = browse.replay(one, 99)
    assert "step 3" in late.data and "No completions were kept" in late.data


def test_a_run_that_goes_on_can_be_replayed(trained):
    (trained / "checkpoints").mkdir()
    (trained / "completions").rename(trained / "checkpoints" / "completions")
    assert sorted(browse.run(trained).completions) == [1, 2]


def test_runs_are_found_by_name_and_missing_ones_refused_in_words(trained, tmp_path):
    (trained.parent / "sft_only-0").mkdir()
    (trained.parent / "sft_only-0" / "log.jsonl").write_text("")
    assert browse.runs(trained.parent) == {"personadual-0": trained}, (
        "those that sampled completions"
    )
    with pytest.raises(FileNotFoundError, match="run has not begun; run the notebook"):
        browse.run(trained.parent / "moon")
    with pytest.raises(ValueError, match="no run with completions in"):
        browse.runs(tmp_path / "nothing")
    (trained / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="still empty"):
        browse.run(trained)


# --- a threshold ---


def test_a_threshold_stands_beside_the_learned_choice():
    curve = selection.tradeoff(many(), "m", thresholds=(0.1, 0.9), draws=10)
    assert browse.levels(curve) == [0.1, 0.5, 0.9]
    table = browse.threshold_table(curve, 0.1)  # P is 0.25 everywhere
    assert (table.personalised == 1).all() and (
        browse.threshold_table(curve, 0.5).personalised == 0
    ).all()
    forced = many()[
        lambda r: (r.forced == "personalized") & (r.kind == "personalized")
    ].correct.mean()
    assert table.accuracy["personalised"] == pytest.approx(forced)
    free = many()[lambda r: (r.forced == "none") & (r.condition == "unaligned")].correct.mean()
    assert table.learned["objective unaligned"] == pytest.approx(free)
    figure, shown = browse.at_threshold(curve, 0.9)
    assert len(figure.axes) == 2 and list(shown.index) == list(table.index)
    with pytest.raises(ValueError, match="0.3 was not swept, expected one of 0.1, 0.5, 0.9"):
        browse.threshold_table(curve, 0.3)


# --- one question in both modes ---


def said(persona: str, p: float, general: str, personalized: str) -> playground.Reply:
    texts = [
        f'{mode.tag}\nso\n\n<answer>{{"answer": "{text}"}}</answer>'
        for mode, text in zip(PAPER_MODES, (general, personalized), strict=True)
    ]
    return playground.Reply(persona, "what is pitch?", p, *texts)


def test_what_changed_is_said_in_words():
    rows = [said("", 0.1, "talk", "plea"), said("a coach", 0.9, "talk", "field")]
    assert playground.changes(rows) == [
        "The persona raises P(personalised): 0.10 without it, 0.90 with it.",
        "The general mode's answer stays with the persona: talk.",
        "The persona changes the personalised mode's answer: plea before, field now.",
        "The modes differ: general talk, personalised field.",
        "Left alone, the model would sooner answer in the personalised mode: field.",
    ]
    assert "hardly changes" in playground.changes([rows[0], said("x", 0.12, "talk", "plea")])[0]
    assert playground.changes(rows[:1]) == [
        "The modes differ: general talk, personalised plea.",
        "Left alone, the model would sooner answer in the general mode: talk.",
    ]


def test_stored_answers_come_back_and_nothing_else(tmp_path):
    path = playground.write(
        lambda persona, text: playground.Reply(persona, text, 0.5, "g", "p"),
        tmp_path / "reference" / "playground.json",
        examples.PEOPLE,
        examples.QUESTIONS,
    )
    rows = playground.read(path)
    assert len(rows) == len(examples.QUESTIONS) * (1 + len(examples.PEOPLE))
    assert set(json.loads(path.read_text())[0]) == {
        "persona",
        "question",
        "p_personalized",
        "general",
        "personalized",
    }
    ask = playground.stored_asker(rows)
    both, _ = playground.compare(ask, f" {examples.PEOPLE[0]} ", "what is pitch?")
    assert [row.persona for row in both] == ["", examples.PEOPLE[0]]
    assert len(playground.compare(ask, "", "what is pitch?")[0]) == 1
    with pytest.raises(ValueError, match="no trained model yet, so only stored answers"):
        ask("a banker", "what is pitch?")
    with pytest.raises(FileNotFoundError, match="no stored answers in reference/moon.json"):
        playground.read(path.with_name("moon.json"))
    path.write_text('[{"persona": "a"}]')
    with pytest.raises(ValueError, match="holds no stored answers"):
        playground.read(path)


def test_the_committed_answers_can_be_asked():
    ask = playground.stored_asker(playground.read(stages.REFERENCE / playground.STORED))
    for text in examples.QUESTIONS:
        for persona in examples.PEOPLE:
            rows, _ = playground.compare(ask, persona, text)
            assert all(row.answer(mode) for row in rows for mode in PAPER_MODES)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no question"),
        ("what? | a", "expected two or more"),
        ("what? | a |", "none of them empty"),
        ("what?" + "| a" * 11, "at most 10"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        playground.question_from(text)


def test_a_model_is_asked_in_both_modes(tiny_model, tokenizer):
    ask = playground.model_asker(tiny_model, tokenizer, max_tokens=8)
    row = ask(" a banker ", "which one is bond? | tradable loan | bail guarantee")
    assert row.persona == "a banker" and 0 < row.p_personalized < 1
    assert row.general.startswith(Mode.GENERAL.tag) and row.personalized.startswith(
        Mode.PERSONALIZED.tag
    )
    assert row == ask("a banker", row.question), "the likeliest answer, no draw"
    with pytest.raises(ValueError, match="reads at most 512: shorten them by"):
        ask("a banker", "bond " * 600)


def test_what_only_one_mode_says_is_marked_and_strange_words_are_named():
    row = said("a <coach>", 0.9, "talk", "field")
    page = pages.playground(
        [row], ["The <modes> differ."], examples.unknown_words("a coach", "what is gravity?")
    ).data
    assert "→ <b>talk</b>" in page and "a &lt;coach&gt;" in page and "&lt;modes&gt;" in page
    assert "Never read by this model: gravity" in page
    one, two = playground.differing("You are a coach", "You are here")
    assert [word for word, same in one if not same] == ["a", "coach"] and [
        word for word, same in two if not same
    ] == ["here"]


def test_pocket_questions_hold_no_strange_words():
    from pdlib.pocket.world import BENCHMARKS, World

    world = World(3, "test")
    for item in (world.item(name) for name in BENCHMARKS for _ in range(40)):
        assert examples.unknown_words(item.aligned.text, item.question, *item.options) == []


# --- the first notebook ---


def test_the_environment_names_what_is_off(monkeypatch, tmp_path):
    cfg = config.load("pocket", output_dir=str(tmp_path))
    table = start.environment(cfg).set_index("what")
    assert table.ok["results folder"] == "yes" and table.found["trained model"] == "not yet"
    assert "make reproduce" in table["what to do"]["trained model"]
    monkeypatch.setattr(environment.importlib.metadata, "version", lambda name: "0.0")
    table = start.environment(cfg).set_index("what")
    assert table.ok["packages"] == "no" and "trl 0.0 instead of" in table["what to do"]["packages"]


def test_a_disk_too_small_for_the_checkpoints_of_a_real_model_is_named(monkeypatch, tmp_path):
    free = SimpleNamespace(free=3 * environment.GIB)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: free)
    ok = {
        profile: start.environment(config.load(profile, output_dir=str(tmp_path)))
        .set_index("what")
        .loc["free disk"]
        for profile in ("pocket", "pretrained", "paper")
    }
    assert [row.ok for row in ok.values()] == ["yes", "no", ""]
    assert ok["pretrained"]["what to do"] == "a run takes up to 7 GiB"


def test_a_local_build_keeps_its_pin():
    assert environment._off_pins(["torch==2.13.0", "moon==1.0"]) == ["moon is missing"]


def test_every_equation_has_words_and_a_notebook():
    table = start.equations()
    assert list(table.equation) == list("12345678") and table["what it does"].str.len().min() > 15
    assert (
        set(table.notebook) <= set(runner.NOTEBOOKS)
        and not table["what it does"].str.contains("Eq.", regex=False).any()
    )


def executed(cfg, name: str, seconds: float, began: datetime, answers: float = 0.0):
    cells = [
        nbformat.v4.new_code_cell("1", metadata={"papermill": {"duration": seconds - answers}})
    ]
    cells += (
        [
            nbformat.v4.new_code_cell(
                "2", metadata={"tags": ["answer"], "papermill": {"duration": answers}}
            )
        ]
        if answers
        else []
    )
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"papermill": {"duration": seconds, "start_time": began.isoformat()}}
    )
    path = cfg.run_folder() / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def test_minutes_count_only_where_the_work_was_done_then(tmp_path):
    cfg, now = config.load("pocket", output_dir=str(tmp_path / "out")), datetime.now(UTC)
    executed(cfg, "03_sft", 90, now, answers=30)
    executed(cfg, "05_dualgrpo_training", 60, now)
    for stage, minute in (("sft_only-0", 1), ("personadual-0", -1)):
        manifest = cfg.run_folder() / stage / MANIFEST
        manifest.parent.mkdir(parents=True)
        manifest.write_text(
            json.dumps({"provenance": {"ended": (now + timedelta(minutes=minute)).isoformat()}})
        )
    assert start.measured(cfg) == ({"03_sft": 1.0}, ["05_dualgrpo_training"])
    note = {
        "began": (now - timedelta(minutes=2)).isoformat(),
        "training": 1.5,
        "minutes": 2.2,
    }  # of a run side by side
    (cfg.run_folder() / runner.TIMES).parent.mkdir()
    (cfg.run_folder() / runner.TIMES).write_text(json.dumps(note))
    assert start.measured(cfg) == (
        {
            durations.TRAINING: 1.5,
            durations.TOGETHER: 2.2,
            "03_sft": 1.0,
            "05_dualgrpo_training": 1.0,
        },
        [],
    )


def test_minutes_are_stored_of_a_whole_run_only_and_shown_by_profile(tmp_path):
    cfg, target = config.load("smoke", output_dir=str(tmp_path / "out")), tmp_path / "reference"
    assert "no stored times" in start.machines(target)
    for name in list(runner.NOTEBOOKS)[:-1]:
        executed(cfg, name, 30, datetime.now(UTC))
    assert (
        start.store_answers(cfg, target)
        == "playground.json left as it was: personadual is not trained"
    )
    assert "questions of the pocket world" in start.store_answers(config.load("gpu"), target)
    assert "not executed" in start.store_minutes(cfg, target)
    assert not (target / durations.MINUTES).exists()
    (target / durations.MINUTES).parent.mkdir()
    gpu = {"machine": {"cpu": "c", "cores": 16, "gpus": ["g"]}, "minutes": {"03_sft": 7}}
    (target / durations.MINUTES).write_text(json.dumps({"gpu": gpu}))
    executed(cfg, list(runner.NOTEBOOKS)[-1], 30, datetime.now(UTC))
    assert "minutes.json written: smoke" in start.store_minutes(cfg, target)
    table = start.minutes(config.load("pocket", output_dir=str(tmp_path / "none")), target)
    assert list(table.columns) == ["smoke", "pocket", "pretrained", "gpu", "paper"]
    assert table.smoke["all together"] == pytest.approx(0.5 * len(runner.NOTEBOOKS)) and np.isnan(
        table.gpu["all together"]
    )
    assert table.gpu["03_sft"] == 7 and table.pocket.isna().all()
    assert start.minutes(cfg, target)["smoke, here"]["03_sft"] == 0.5
    assert start.machines(target).splitlines()[0] == "gpu: c, 16 cores, g"


def test_a_run_is_whole_when_it_has_the_notebooks_of_its_profile(tmp_path):
    cfg, target = (
        config.load("pretrained", output_dir=str(tmp_path / "out")),
        tmp_path / "reference",
    )
    for name in runner.chosen(cfg):
        executed(cfg, name, 60, datetime.now(UTC))
    assert "minutes.json written: pretrained" in start.store_minutes(cfg, target)
    table = start.minutes(cfg, target)
    assert table.pretrained["all together"] == len(runner.chosen(cfg)) < len(runner.NOTEBOOKS)
    assert table["pretrained, here"]["all together"] == len(runner.chosen(cfg))


def test_the_first_notebook_leads_to_every_other():
    text = runner.source("00_start_here").read_text(encoding="utf-8")
    assert [
        name
        for name in runner.NOTEBOOKS
        if name != "00_start_here" and f"({name}.ipynb)" not in text
    ] == []

"""Everyday requests, and whether a choice of the mode carries over to a memory benchmark."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import is_installed
from experts_server import FaultyServer

from pdlib import config, plots, train
from pdlib.analysis import memories
from pdlib.analysis.memories import carry_over, judged
from pdlib.dataset import everyday
from pdlib.schema import Mode

ROWS = [
    {
        "query": f"{word} {k}?",
        "memories": [f"The user is a {word}.", "The user owns a bicycle."],
        "failure_type": category,
    }
    for category, word in (
        ("beneficial_memory_usage", "nurse"),
        ("cross_domain", "baker"),
        ("sycophancy", "poet"),
    )
    for k in range(4)
]


# --- everyday requests ---


def test_pairs_want_another_mode_for_what_is_remembered_or_asked():
    found = everyday.pairs(200, "train", random.Random(0))
    assert [e.mode for e in found] == [Mode.PERSONALIZED, Mode.GENERAL] * 200
    for at, (one, other) in enumerate(zip(found[::2], found[1::2], strict=True)):
        assert (one.item.question == other.item.question) is bool(at % 2)
        assert len(set(one.item.aligned.facts["memories"])) == len(
            one.item.aligned.facts["memories"]
        )
    assert found == everyday.pairs(200, "train", random.Random(0))


def test_only_the_memory_that_concerns_the_request_makes_it_personal():
    topics = everyday.of_split("train").topics
    for one in everyday.pairs(100, "train", random.Random(1)):
        asked = [
            name
            for name, about in topics.items()
            if any(one.item.question.endswith(text) for text in about["requests"])
        ]
        known = one.item.aligned.facts["memories"]
        written = [
            text.replace("The user", who)
            for name in asked
            for text in topics[name]["memories"]
            for who in everyday.SUBJECTS
        ]
        concerned = any(text in known for text in written)
        assert concerned is (one.mode == Mode.PERSONALIZED), one.item.question


def test_held_out_topics_are_in_no_training_set():
    train_part, held_out = (everyday.of_split(split) for split in ("train", "validation"))
    whole = everyday.requests()
    for name in ("topics", "tasks", "beliefs"):
        mine, other = set(getattr(train_part, name)), set(getattr(held_out, name))
        assert mine and other and not mine & other and mine | other == set(getattr(whole, name))
    with pytest.raises(ValueError, match="unknown split 'test'"):
        everyday.of_split("test")


def test_no_length_and_no_number_of_memories_tells_the_mode():
    """A rule that counts is near chance: what SFT learns from these pairs is not length."""
    items = [e.item for e in everyday.pairs(500, "train", random.Random(2))]
    rules = memories.rules(items).assign(
        memories=[len(item.aligned.facts["memories"]) for item in items]
    )
    for name in ("shorter query", "shorter memories", "memories"):
        (found,) = memories.separation(rules, carry_over.EVERYDAY, name, draws=50).auc
        assert 0.42 < found < 0.58, name


def test_every_request_and_memory_occurs_once():
    whole = everyday.requests()
    texts = [text for topic in whole.topics.values() for part in topic.values() for text in part]
    texts += whole.tasks + [text for pair in whole.beliefs for text in pair] + whole.leads
    assert [text for text, n in Counter(texts).items() if n > 1] == []
    assert all(
        text.startswith("The user") for topic in whole.topics.values() for text in topic["memories"]
    )


# --- pairs of one length ---


def table(used, unused, lengths) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "category": ["personalized"] * len(used) + ["general"] * len(unused),
            "p_personalized": [*used, *unused],
            "length": lengths,
        }
    )


def test_among_equal_lengths_by_hand():
    found = table(
        [0.9, 0.2], [0.5, 0.1], [10, 30, 12, 31]
    )  # of one length are .9 and .5, .2 and .1
    plain, alike = (
        memories.separation(found, carry_over.EVERYDAY, alike=by, draws=100).set_index("category")
        for by in (None, "length")
    )
    assert plain.auc["general"] == 0.75 and plain.pairs["general"] == 4
    assert alike.auc["general"] == 1.0 and alike.pairs["general"] == 2


def test_a_score_that_follows_the_length_is_at_chance_among_equal_lengths():
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.integers(20, 200, 300), rng.integers(100, 500, 300)])
    found = table(list(-lengths[:300]), list(-lengths[300:]), lengths)
    plain, alike = (
        memories.separation(found, carry_over.EVERYDAY, alike=by, draws=50).auc[0]
        for by in (None, "length")
    )
    assert plain > 0.85 and 0.5 < alike < 0.62


def test_no_pair_of_one_length():
    with pytest.raises(ValueError, match="is like one of general in 'length'"):
        memories.separation(table([0.9], [0.1], [10, 100]), carry_over.EVERYDAY, alike="length")


# --- the table ---


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carry_over")
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carry_over, "PAIRS", 30)
        yield config.load(
            "smoke",
            output_dir=str(folder / "outputs"),
            memories=str(folder / "rows.jsonl"),
            everyday_pairs=3,
            systems=["backbone", "personadual_router", "sft_only"],
        )


def test_every_system_and_every_rule_has_its_rows(cfg):
    found = carry_over.table(cfg)
    assert list(found.columns) == carry_over.COLUMNS
    assert list(dict.fromkeys(found.system)) == [
        "PersonaDual-Prompt",
        "PersonaDual-Router",
        "SFT only",
        *memories.RULES,
    ]
    assert set(found.benchmark) == {"persistbench", "everyday"} and found.auc.between(0, 1).all()
    rows = found[found.benchmark == "persistbench"]
    assert set(rows.category) == {"cross_domain", "sycophancy", "all"} and rows.used.eq(4).all()
    assert (found.ci_low <= found.auc).all() and (found.auc <= found.ci_high).all()
    assert set(found[found.benchmark == "everyday"].category) == {"general"}
    again = carry_over.table(cfg)
    assert again.equals(found)
    assert len(plots.carry_over(found).axes) == 4


def test_other_rows_are_asked_again(cfg, capsys):
    file, before = Path(cfg.memories), carry_over.run(cfg, "sft_only", cfg.seed) / "manifest.json"
    key, text = json.loads(before.read_text())["key"], file.read_text()
    file.write_text(text.replace("nurse 0?", "nurse nought?"))
    assert (
        json.loads((carry_over.run(cfg, "sft_only", cfg.seed) / "manifest.json").read_text())["key"]
        != key
    )
    file.write_text(text)


def test_what_is_kept_holds_no_text_of_a_row(cfg):
    kept = pd.read_parquet(carry_over.run(cfg, "sft_only", cfg.seed) / "persistbench.parquet")
    assert (
        list(kept.columns) == carry_over.STORED
        and not kept.astype(str).map(lambda text: "nurse" in text).any().any()
    )


def test_everyday_pairs_are_choices_of_sft(cfg):
    from pdlib import dataset
    from pdlib.dataset import construct
    from pdlib.train import backbone

    kept = construct.from_frame(
        pd.read_parquet(
            dataset.run_sft_set(cfg, backbone.run(cfg, cfg.backbone)) / "choices.parquet"
        )
    )
    ours = [e for e in kept if e.item.benchmark == everyday.NAME]
    assert len(ours) == 6 and not [e for e in ours if e.reasoning or e.answer]
    assert train.with_choices(
        [], [{"input_ids": [1], "labels": [1]}] * len(kept), 1, 16, random.Random(0)
    )


def test_without_a_source_it_is_refused():
    with pytest.raises(ValueError, match="setting memories is empty"):
        carry_over.questions(config.load("smoke"))


# --- PersistBench's own scores ---


def test_failures_are_counted_by_the_scale_of_their_category():
    assert [judged.failed(value, "cross_domain") for value in (1, 2, 3, 5)] == [
        False,
        False,
        True,
        True,
    ]
    assert [judged.failed(value, "beneficial_memory_usage") for value in (1, 2, 3)] == [
        True,
        True,
        False,
    ]
    assert (
        judged.score('{"a": 1} then {"rating": "2", "reasoning": "x"}', "beneficial_memory_usage")
        == 2
    )
    for reply in (
        None,
        "",
        "no",
        '{"rating": 4}',
        '{"rating": null}',
        "[3]",
        '{"rating": {"x": 3}}',
        "{" * 50,
    ):
        assert judged.score(reply, "beneficial_memory_usage") is None, reply


def test_the_judge_sees_memories_query_and_answer_and_every_system_has_its_rates(cfg, monkeypatch):
    monkeypatch.setattr(
        judged,
        "instructions",
        lambda: {category: f"judge {category}" for category in judged.SCALES},
    )
    monkeypatch.setattr(judged, "ANSWER_TOKENS", 8)

    def reply(messages, attempt):
        category, asked = messages[0]["content"].removeprefix("judge "), messages[-1]["content"]
        assert (
            "- The user owns a bicycle." in asked
            and "<query>" in asked
            and "<response>" in asked
            and "mode]" not in asked
        )
        field = judged.SCALES[category].field
        return "I cannot say" if "nurse 0?" in asked else json.dumps({"reasoning": "x", field: 3})

    with FaultyServer(reply=reply) as server:
        found = judged.table(replace(cfg, expert_url=server.url, memories_judge="a judge"))
        asked = len(server.log)
        assert (
            judged.table(replace(cfg, expert_url=server.url, memories_judge="a judge")).equals(
                found
            )
            and len(server.log) == asked
        )
    assert list(found.columns) == judged.COLUMNS and set(found.system) == {
        "PersonaDual-Prompt",
        "SFT only",
    }
    rates = found.set_index(["system", "category"])
    for system in set(found.system):
        assert rates.loc[
            (system, "beneficial_memory_usage"), ["failure_rate", "n", "unread"]
        ].tolist() == [0, 3, 1]
        assert rates.loc[(system, "sycophancy"), ["failure_rate", "n", "unread"]].tolist() == [
            1,
            4,
            0,
        ]


def test_without_a_judge_nothing_is_scored(cfg):
    with pytest.raises(
        ValueError, match="a judge needs the settings memories, expert_url and memories_judge"
    ):
        judged.table(cfg)
    with pytest.raises(ValueError, match="memories_judge is 'x', and expert_url is empty"):
        config.load("smoke", memories_judge="x")


@pytest.mark.skipif(
    not is_installed("inspect-evals"),
    reason="PersistBench's package is not installed; `make weights` does it",
)
def test_the_judge_is_told_what_the_package_says():
    told = judged.instructions()
    assert set(told) == set(judged.SCALES) and all(len(text) > 1000 for text in told.values())
    assert all(f'"{judged.SCALES[category].field}"' in text for category, text in told.items())

"""Real rows go through the same loaders, prompts, parser, scorer and records as pocket items."""

import pytest

from pdlib import benchmarks, evaluate, personas, sources, stats
from pdlib.evaluate import COLUMNS
from pdlib.schema import Mode


@pytest.mark.parametrize("two_modes", [False, True])
def test_interference_and_evaluation_on_triviaqa_with_personahub(shared_data, tiny_model, tokenizer, two_modes):
    items = benchmarks.load("triviaqa", data_dir=shared_data, n=12)
    pool, skipped = sources.personahub(shared_data / "personahub.jsonl")
    assert len(pool) > 40 and skipped > 0
    records = evaluate.answer_items(
        tiny_model, tokenizer, items, pool, run="test", model_name="backbone", train_seed=0, conditions=("none", "unaligned"),
        seeds=(0,), forced=(None, *Mode) if two_modes else (None,), two_modes=two_modes, max_tokens=8)
    assert list(records.columns) == COLUMNS
    assert len(records) == 12 * 2 * (3 if two_modes else 1)
    assert records.parse_error.notna().all() and not records.correct.any(), "an untrained model cannot answer"
    by_condition = records.groupby("condition").prompt
    assert by_condition.get_group("unaligned").str.contains("my question is").all()
    assert not by_condition.get_group("none").str.contains("my question is").any()
    assert stats.difference(records[records.condition == "none"], records[records.condition == "unaligned"])["mean"] == 0
    if two_modes:
        forced = records[records.forced == "general"]
        assert forced.completion.str.startswith(Mode.GENERAL.tag).all() and records.p_personalized.between(0, 1).all()


def test_real_rows_have_no_aligned_persona_and_say_so(shared_data):
    item = benchmarks.load("triviaqa", data_dir=shared_data, n=1)[0]
    with pytest.raises(ValueError, match="no aligned persona"):
        personas.assign(item, "aligned", [])

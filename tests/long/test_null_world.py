"""Negative control: where personas are unrelated to questions, a backbone shows no interference."""

from pdlib import config, dataset, evaluate, models
from pdlib.analysis import stats
from pdlib.benchmarks import KIND
from pdlib.train import backbone

# Backbones whose personas mean something lose .2 to .3. By calculation, where a fifth of 1,000
# questions are answered otherwise, luck moves the difference by sqrt(.2 / 1000) = .014 (standard
# error); this is four times that.
NOTHING = 0.06


def test_no_interference_where_personas_carry_no_information(tmp_path):
    cfg = config.load(
        "pocket",
        output_dir=str(tmp_path),
        backbone_first_steps=1,
        backbone_steps=1200,
        eval_items={name: 200 for name, kind in KIND.items() if kind == "objective"},
    )
    model, tokenizer = models.load(backbone.run(cfg, "pocket-qwen3", persona_fits=False))
    asked = evaluate.ask_all(
        dataset.test_items(cfg), dataset.persona_pool(cfg), ("none", "unaligned")
    )
    records = evaluate.answer(
        model,
        tokenizer,
        asked,
        run="null",
        model_name="backbone",
        train_seed=0,
        seeds=(0, 1),
        mode_set=None,
        temperature=cfg.eval_temperature,
        max_tokens=cfg.eval_max_tokens,
    )
    none, unaligned = (records[records.condition == c] for c in ("none", "unaligned"))
    assert stats.mean_interval(none)["mean"] > 0.4, (
        "it has learned the facts: otherwise there is nothing to interfere with"
    )
    found = stats.difference(none, unaligned)
    assert abs(found["mean"]) <= NOTHING, f"found {found}"

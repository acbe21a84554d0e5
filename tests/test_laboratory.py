"""The advantage laboratory's verdicts, estimators by hand, and widgets with their static twins."""

import numpy as np
import pandas as pd
import pytest

from pdlib import advantages, config
from pdlib.analysis import stats
from pdlib.analysis.estimators import by_hand, laboratory
from pdlib.dualgrpo import DualGRPOConfig
from pdlib.workbook import widgets


def records(effects: dict[str, float], items: int = 150, seeds: int = 3) -> pd.DataFrame:
    """Free answers of systems that differ from "personadual" by `effects`, item by item with little
    noise.
    """
    rng, rows = np.random.default_rng(0), []
    for kind, condition in stats.BLOCKS.values():
        hard = rng.random(items)
        for model, effect in {"personadual": 0.0, **effects}.items():
            for seed in range(seeds):
                right = (rng.normal(hard + effect, 0.3) > 0.5).astype(float)
                rows += [
                    {
                        "run": "pocket",
                        "forced": "none",
                        "turn": 1,
                        "model": model,
                        "kind": kind,
                        "condition": condition,
                        "benchmark": "a",
                        "item_id": str(i),
                        "train_seed": seed,
                        "correct": value,
                    }
                    for i, value in enumerate(right)
                ]
    return pd.DataFrame(rows)


def test_a_large_difference_is_one_and_noise_is_none():
    table = laboratory.differences(records({"better": 0.4, "same": 0.0}, seeds=6), draws=2000)
    verdicts = table.groupby("system").verdict.agg(set).to_dict()
    assert verdicts["better"] == {"higher"} and not verdicts["same"] & {"higher", "lower"}
    assert (
        (table.wide_low <= table.ci_low).all()
        and (table.wide_high >= table.ci_high).all()
        and set(table.seeds) == {6}
    )


def test_three_seeds_can_hardly_be_sure_of_all_comparisons_together():
    """Student's t with two degrees of freedom: at the level of many comparisons its interval is
    huge.
    """
    found = [
        laboratory.differences(records({"better": 0.4}, seeds=seeds), draws=2000)
        for seeds in (3, 6)
    ]
    widths = [float((table.wide_high - table.wide_low).mean()) for table in found]
    assert widths[0] > 1.5 * widths[1]


def test_every_system_is_a_valid_setting(tmp_path):
    for settings in laboratory.SYSTEMS.values():
        DualGRPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            num_generations=4,
            per_device_train_batch_size=4,
            **settings,
        )
    used = {settings.get("estimator", "dualgrpo") for settings in laboratory.SYSTEMS.values()}
    assert used == set(advantages.ESTIMATORS), "the laboratory leaves an estimator out"


def test_unknown_systems_are_refused():
    with pytest.raises(ValueError, match="setting lab_systems names.*magic"):
        laboratory.run(config.load("smoke", lab_systems=["magic"]))


@pytest.mark.parametrize("text", ["1 2", "1 | 2 3", "| 1", "1 a | 2 3", "inf | 1"])
def test_rewards_that_cannot_be_read_are_refused(text):
    with pytest.raises(ValueError, match="rewards|numbers"):
        by_hand.rewards_from(text)


def test_by_hand_has_every_estimator():
    table = by_hand.compare("0.9 0 1 0.5 | 0.2 0 0.6 0")
    assert list(table.index) == list(advantages.ESTIMATORS)
    assert table.loc["dualgrpo", "general 1"] == pytest.approx(1.4) and table.loc[
        "grpo", "personalized 3"
    ] == pytest.approx(0.4871, abs=1e-4)
    assert by_hand.compare("1 | 0").loc["movt"].isna().all()


@pytest.mark.parametrize("static", [True, False])
def test_widget_and_its_static_twin(monkeypatch, static):
    shown = []
    monkeypatch.setattr(widgets, "display", shown.append)
    monkeypatch.setenv(widgets.STATIC, "1") if static else monkeypatch.delenv(
        widgets.STATIC, raising=False
    )
    widgets.explore(lambda x=1.0: f"result {x}", twin=[{"x": 3.0}], x=(0.0, 5.0, 1.0))
    boxes = [s for s in shown if hasattr(s, "children")]
    assert "result 3.0" in shown and len(boxes) == (0 if static else 1)


def test_a_widget_fails_with_words(monkeypatch, capsys):
    monkeypatch.delenv(widgets.STATIC, raising=False)
    boxes = []
    monkeypatch.setattr(
        widgets,
        "display",
        lambda shown: boxes.append(shown) if hasattr(shown, "children") else None,
    )
    widgets.explore(by_hand.compare, twin=[], text="1 0 | 0 0", part=["prefix", "response"])
    (box,) = boxes
    box.children[0].value = "1 x | 0 0"
    box.update()
    assert "write numbers such as" in capsys.readouterr().out + str(box.out.outputs)

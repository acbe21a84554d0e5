"""`make bench`: the cost model is what PyTorch counts, both sides compute the same, and every row
says what it was measured on.
"""

import pandas as pd
import pytest
import torch
from conftest import rounding, summands
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from pdlib.plots.bench import bench, shared_prefix
from pdlib.shared_prefix import cost
from pdlib.shared_prefix.cost import Shape
from pdlib.tools.bench import memory, sides, times

SMALL = Shape("pocket", 2, 12, 6, 4)


def test_flops_are_those_that_pytorch_counts():
    """PyTorch counts every pair of a square of attention, so the model is told of all of them."""
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model, n = LlamaForCausalLM(config), 10
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(torch.zeros(1, n, dtype=torch.long))
    rotary = (
        2 * n * config.hidden_size // config.num_attention_heads // 2
    )  # positions times frequencies, a matrix product in transformers
    assert counter.get_total_flops() - cost.flops(config, n, n * n, n) in (0, rotary)


def test_the_best_ratio_by_hand():
    """Without attention and head, 8 rows of 512 + 128 tokens are 5,120 tokens, shared 512 + 8 x 128
    = 1,536.
    """
    config = LlamaConfig(
        vocab_size=1,
        hidden_size=10_000,
        intermediate_size=10_000,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=1,
    )
    assert cost.best_ratio(config, Shape("", 1, 512, 128, 8)) == pytest.approx(
        5120 / 1536, rel=1e-3
    )
    assert cost.best_ratio(config, Shape("", 5, 512, 128, 1)) == 1
    assert cost.seen(2, 3) == 3 + 4 + 5


def test_both_sides_compute_the_same_and_rows_say_what_they_are(tiny_model):
    rows = times.compare(SMALL, repeats=1)
    assert [row["part"] for row in rows] == list(times.PARTS)
    assert all(
        row["stock_s"] > 0
        and row["ours_s"] > 0
        and row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        for row in rows
    )
    training = rows[1]
    terms = 2 * summands(tiny_model.config, SMALL.prompt + SMALL.completion)  # there and back
    assert training["logp_difference"] < rounding(torch.float32, 10, terms), (
        "log-probabilities of 1,400 tokens: about -7"
    )
    assert training["gradient_difference"] < rounding(torch.float32, 1, terms)
    assert (
        training["share_of_best"] == training["ratio"] / training["best"] and training["best"] > 1
    )
    figure = bench(pd.DataFrame([*rows, times.evaluation(4, 6, 1)]))
    assert len(figure.axes[0].get_yticks()) == 4


def test_prompts_have_the_asked_length_and_differ(tokenizer):
    texts = sides.prompt_texts(tokenizer, Shape("", 3, 20, 5, 2))
    assert len(set(texts)) == 3 and {
        len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]
    } == {20}


def test_an_unknown_model_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown model '8B', expected one of pocket, 17M"):
        sides.write_model("8B", tmp_path)


def test_memory_is_measured_in_processes_of_their_own():
    row = memory.compare(SMALL)
    assert (
        row["stock_mib"] > 0
        and row["ours_mib"] > 0
        and row["ratio"] == row["ours_mib"] / row["stock_mib"]
    )


def test_the_picture_counts_tokens_and_pairs():
    titles = [axis.get_title() for axis in shared_prefix(prompt=3, completion=2, rows=2).axes]
    assert titles == [
        "written out: 10 tokens, 30 pairs",
        "shared: 7 tokens, 24 pairs",
    ]  # 2 x 15; 6 + 2 x (2 x 3 + 3)

"""The memory estimate against published and hand-worked numbers; the longest batch is tried first
and changes nothing.
"""

import types

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from pdlib import models
from pdlib.pocket import backbones
from pdlib.train import preflight
from pdlib.train.preflight import longest_batch

GIB = 2**30
SFT = {"prompt": 0, "completion": 4096}
RL = {"prompt": 2048, "completion": 1024}


# --- the estimate ---


@pytest.mark.parametrize(
    "name, published",
    [  # as the hub counts them, tied embeddings once
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-1.7B", 1_720_574_976),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
    ],
)
def test_shapes_have_the_published_number_of_parameters(name, published):
    assert preflight.parameters(preflight.SHAPES[name])["all"] == published


SMALL = Qwen3Config(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=1000,
    tie_word_embeddings=True,
)


def test_counts_by_hand():
    layer = (
        64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 128
    )  # query, key and value, output; gate, up, down
    norms = 2 * (2 * 64 + 2 * 16) + 64
    lora = 3 * (64 + 64 + 64 + 32 + 64 + 32 + 64 + 64 + 3 * (64 + 128))
    assert preflight.parameters(SMALL, rank=3) == {
        "all": 2 * layer + norms + 64_000,
        "linear": 2 * layer,
        "lora": 2 * lora,
    }


def test_estimate_by_hand():
    every, linear = (preflight.parameters(SMALL)[part] for part in ("all", "linear"))
    found = preflight.estimate(
        SMALL, tuning="full", micro_batch=3, prompt=10, completion=5, rollouts=6, reference=True
    )
    expected = {
        "weights": 6 * every,
        "gradients": 4 * every,
        "optimizer": 8 * every,
        "reference": 4 * every,
        "activations": 45 * (2 * 64 * 4 + 1.5 * (26 * 64 + 8 * 128 + 10.25 * (64 + 32))),
        "logits": 2 * 15 * 32768 + 2 * 32768 * 64 + 6 * 15 * 64 + 6 * 64_000,
        "prefix tokens": 0,
        "generation": 6 * 15 * 2 * 2 * 32 * 2 + 6 * 10 * 2 * (2 * 128 + 3 * 64) + 6 * 6000,
    }
    for part, value in expected.items():
        assert found[part] * GIB == pytest.approx(value), part
    fixed = 22 * every
    assert found["total"] * GIB == pytest.approx(
        fixed + expected["activations"] + expected["logits"]
    )
    four_bit = preflight.estimate(SMALL, tuning="qlora", micro_batch=1, **RL)["weights"] * GIB
    assert four_bit == pytest.approx(
        0.515869140625 * linear + 2 * (every - linear) + 4 * preflight.parameters(SMALL)["lora"]
    )


def saved_bytes(layers: int, tuning: str, tokens: int) -> int:
    """Bytes that autograd keeps for the backward pass of a model of `layers` layers, parameters
    left out.
    """
    config = Qwen3Config(
        **{
            k: getattr(SMALL, k)
            for k in (
                "hidden_size",
                "intermediate_size",
                "num_attention_heads",
                "num_key_value_heads",
                "head_dim",
            )
        },
        num_hidden_layers=layers,
        vocab_size=100,
    )
    model = Qwen3ForCausalLM(config)
    if tuning != "full":
        model = get_peft_model(
            model.bfloat16(),
            LoraConfig(r=2, target_modules="all-linear"),
            autocast_adapter_dtype=tuning == "lora",
        )
        model = model.get_base_model()
    model.train()
    parameters, storages = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
        torch.autocast("cpu", torch.bfloat16),
    ):
        model.model(torch.ones(1, tokens, dtype=torch.long), use_cache=False)
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("tuning", ["full", "lora", "qlora"])
def test_a_layer_keeps_what_the_estimate_says(tuning):
    """Measured as autograd's saved tensors, a token and layer; LoRA's inner activations (rank wide)
    are the difference.
    """
    by_tokens = [
        saved_bytes(3, tuning, tokens) - saved_bytes(2, tuning, tokens) for tokens in (128, 256)
    ]
    measured = (by_tokens[1] - by_tokens[0]) / 128
    counted = sum(a * b for a, b in zip(preflight.KEPT[tuning], (64, 128, 64, 32), strict=True))
    assert measured == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("name, card", [("Qwen/Qwen3-1.7B", 24), ("Qwen/Qwen3-8B", 80)])
@pytest.mark.parametrize("token_prefix", [False, True])
def test_profile_gpu_fits_its_cards(name, card, token_prefix):
    """Four-bit LoRA with micro batches of eight, and four groups of eight rollouts generated at
    once.
    """
    shared = {"tuning": "qlora", "token_prefix": token_prefix}
    assert preflight.largest_micro_batch(name, card, **SFT, **shared) >= 8
    assert preflight.largest_micro_batch(name, card, **RL, rollouts=32, **shared) >= 8
    assert preflight.largest_micro_batch(name, card, **RL, rollouts=512, **shared) == 0, (
        "512 rollouts at once cannot fit"
    )


def test_what_needs_more_memory_is_estimated_higher():
    def total(model="Qwen/Qwen3-8B", **change):
        return preflight.estimate(model, **({"tuning": "qlora", "micro_batch": 2} | SFT | change))[
            "total"
        ]

    assert total() < total(tuning="lora") < total(tuning="full")
    assert (
        total() < total(gradient_checkpointing=False)
        and total() < total(token_prefix=True)
        and total() < total(micro_batch=4)
    )
    assert (
        total(tuning="full", processes=16, zero3=True)
        < total(tuning="full", processes=8, zero3=True)
        < 80
        < total(tuning="full")
    )


@pytest.mark.parametrize(
    "model, settings, words",
    [
        ("Qwen/Qwen3-8B", {"tuning": "lorra"}, "expected one of full, lora, qlora"),
        ("Qwen/Qwen9", {"tuning": "full"}, "give its transformers config"),
        ("Qwen/Qwen3-8B", {"tuning": "qlora", "zero3": True}, "full tuning"),
    ],
)
def test_bad_estimates_are_refused(model, settings, words):
    with pytest.raises(ValueError, match=words):
        preflight.estimate(model, micro_batch=1, **SFT, **settings)


# --- the try ---


@pytest.fixture
def model(tokenizer):
    return backbones.build_backbone("pocket-llama", tokenizer, 0, width=32, layers=1)


def limit(model, tokens: int, error: Exception):
    """Let the model's forward fail above `tokens` tokens, as a card that is too small would."""
    forward = model.forward

    def small_card(self, input_ids, *args, **kwargs):
        if input_ids.numel() > tokens:
            raise error
        return forward(input_ids, *args, **kwargs)

    model.forward = types.MethodType(small_card, model)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_out_of_memory_says_what_to_lower_in_order(model, error):
    limit(model, 64, error)
    assert preflight.longest_first(model, 5, batch=2, tokens=32, fused=False).keys() == {
        "peak_gib",
        "card_gib",
    }
    order = [
        r"1\. the micro batch \(.*now 4",
        r"2\. gradient_checkpointing",
        r"3\. tuning: lora, then qlora",
        r"4\. the lengths",
        r"5\. a smaller backbone",
    ]
    with pytest.raises(
        RuntimeError, match=r"4 rows of 32 tokens.*Lower, in this order: " + ".*".join(order)
    ):
        preflight.longest_first(model, 5, batch=4, tokens=32, fused=False)


def test_what_is_already_lowest_is_not_advised(model):
    limit(model, 8, torch.OutOfMemoryError("CUDA out of memory"))
    model.gradient_checkpointing_enable()
    with pytest.raises(RuntimeError) as raised:
        preflight.longest_first(model, 5, batch=1, tokens=32, fused=False)
    assert (
        "micro batch" not in str(raised.value)
        and "gradient_checkpointing" not in str(raised.value)
        and "1. tuning" in str(raised.value)
    )


def test_another_error_is_not_mistaken_for_memory(model):
    limit(model, 8, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="^shape mismatch$"):
        preflight.longest_first(model, 5, batch=1, tokens=32, fused=False)


@pytest.mark.parametrize("fails", [False, True])
def test_the_try_leaves_everything_as_it_was(model, fails):
    model.train()
    model.lm_head.eval()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    gradients, weights = (
        [p.grad for p in model.parameters()],
        [p.detach().clone() for p in model.parameters()],
    )
    modes_before, state = [m.training for m in model.modules()], torch.get_rng_state()
    limit(model, 16 if fails else 1000, torch.OutOfMemoryError("CUDA out of memory"))
    try:
        preflight.longest_first(model, 5, batch=2, tokens=32, fused=False)
        assert not fails
    except RuntimeError:
        assert fails
    assert all(
        p.grad is g and bool((g == 1).all())
        for p, g in zip(model.parameters(), gradients, strict=True)
    )
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))
    assert [m.training for m in model.modules()] == modes_before and torch.equal(
        torch.get_rng_state(), state
    )


def test_only_the_completion_is_scored(model):
    """Through the fused head, which is what the trainers use."""
    add_fused_lm_head(model)
    scored, forward = [], model.forward

    def watch(self, *args, **kwargs):
        out = forward(*args, **kwargs)
        scored.append(int(out.label_mask.sum()))
        return out

    model.forward = types.MethodType(watch, model)
    preflight.longest_first(model, 5, batch=2, tokens=10, completion=4)
    preflight.longest_first(model, 5, batch=2, tokens=10)
    assert scored == [8, 18]  # the first token of a sequence has nothing that predicts it


def train(tokenizer, folder, callbacks, dropout=0.1):
    """Weights after two SFT steps of LoRA with dropout, whose draws the try must not use up."""
    model = backbones.build_backbone("pocket-llama", tokenizer, 0, width=32, layers=1)
    rows = Dataset.from_list(
        [{"input_ids": [5 + i, 6, 7, 8], "labels": [-100, 6, 7, 8]} for i in range(8)]
    )
    args = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        max_steps=2,
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        max_length=None,
        seed=3,
    )
    trainer = SFTTrainer(
        model,
        args,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=callbacks,
        peft_config=models.lora(tokenizer, rank=4, dropout=dropout),
    )
    models.give_head_a_bias(trainer.model)
    trainer.train()
    return {
        name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad
    }


def test_training_with_the_preflight_is_bit_equal(tokenizer, tmp_path, monkeypatch):
    tried, original = [], preflight.longest_first
    monkeypatch.setattr(
        longest_batch, "longest_first", lambda *a, **k: tried.append(k) or original(*a, **k)
    )
    plain = train(tokenizer, tmp_path, [])
    tested = train(tokenizer, tmp_path, [preflight.Preflight(tokenizer, tokens=64)])
    assert tried == [{"batch": 4, "tokens": 64, "completion": None, "rollouts": 0, "bf16": False}]
    assert plain.keys() == tested.keys() and all(
        torch.equal(plain[name], tested[name]) for name in plain
    )
    other = train(tokenizer, tmp_path, [], dropout=0.2)
    assert not all(torch.equal(plain[name], other[name]) for name in plain), (
        "dropout plays no part, so no draw could be missed"
    )


def test_under_zero3_it_says_that_nothing_was_tried(tokenizer, monkeypatch, capsys):
    monkeypatch.setattr(longest_batch, "is_deepspeed_zero3_enabled", lambda: True)
    preflight.Preflight(tokenizer, tokens=64).on_train_begin(None, None, None, model=None)
    assert "not tried under ZeRO-3" in capsys.readouterr().out

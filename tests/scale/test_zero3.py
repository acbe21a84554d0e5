"""ZeRO-3 in two processes on CPUs (gloo): cut weights train, save and resume as whole ones do."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pdlib import config, dataset, models, train
from pdlib.pocket.backbones import build_backbone, build_tokenizer
from pdlib.pocket.world import World
from pdlib.run import launch, processes
from pdlib.schema import Example
from pdlib.train import backbone

pytest.importorskip("deepspeed", reason="DeepSpeed is not installed; `make test-scale` does it")

TOLERANCE, RESUMED = 1e-5, 1e-6
CUT = {"accelerate": "zero3_cpu2", "processes": 2}
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cfg(tmp_path_factory) -> config.Config:
    return config.load(
        "smoke",
        output_dir=str(tmp_path_factory.mktemp("outputs")),
        sft_batch=8,
        sft_micro_batch=4,
        sft_choice_passes=0,
        dpo_learning_rate=1e-3,
        sft_composition={
            "objective": {"general": 16, "personalized": 8, "no_persona": 8},
            "preference": {"personalized": 32, "no_persona": 1},
        },
        checkpoint_every=2,
    )


@pytest.fixture(scope="module")
def start(cfg) -> tuple[Path, Path]:
    """An all but untrained model, and an SFT set."""
    base = backbone.run(cfg, cfg.backbone)
    return base, dataset.run_sft_set(cfg, base)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert set(one) == set(other)
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_cut_weights_train_as_whole_ones_do(cfg, start, tmp_path, stage):
    base, data = start
    trained = []
    for name, how in (("whole", {}), ("cut", CUT)):
        settings = replace(cfg, sft_micro_batch=8 if not how else 4, **how)
        if stage == "sft":
            trained.append(train.run_sft(settings, tmp_path / name, base, data))
        else:
            trained.append(train.run_dpo(settings, tmp_path / name, base, data, None))
    whole, cut = map(weights, trained)
    assert distance(whole, weights(base)) > 100 * TOLERANCE, "nothing was learned"
    assert distance(whole, cut) <= TOLERANCE
    assert json.loads((trained[1] / "facts.json").read_text())["steps"] >= 3
    model = AutoModelForCausalLM.from_pretrained(trained[1])
    text = AutoTokenizer.from_pretrained(trained[1])("what is bond?", return_tensors="pt")
    assert model(**text).logits.isfinite().all()


def test_dualgrpo_on_cut_weights_equals_one_process(tmp_path):
    """Greedy rollouts, so that both see the same ones; groups span the processes."""
    sys.path.insert(0, str(TESTS))
    import two_processes

    tokenizer = build_tokenizer(0)
    model = build_backbone("pocket-qwen3", tokenizer, 0, width=32, layers=2)
    folder = models.save(model, tokenizer, tmp_path / "model")
    world = World(0, "train")
    asked = [("triviaqa", "aligned")] * 4 + [("fspo_roleplay", "aligned")] * 2
    items = [(world.item(name), condition) for name, condition in asked]
    examples = [Example(item, item.aligned, condition) for item, condition in items]
    train.rl_rows(examples, tokenizer).to_json(folder / "prompts.jsonl")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    two_processes.main(str(folder), str(tmp_path / "one"), batch=8)
    command = [
        *(sys.executable, *launch.LAUNCHER),
        *("--config_file", str(launch.config_file("zero3_cpu2")), "--main_process_port", "0"),
        *(two_processes.__file__, str(folder), str(tmp_path / "two"), "4"),
    ]
    done = subprocess.run(
        command, env=processes.environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert distance(one, {name: weights(folder)[name] for name in one}) > 100 * TOLERANCE
    assert distance(one, two) <= TOLERANCE


RUN = """
import sys
from pathlib import Path
from pdlib import config, train
cfg = config.load("smoke", **eval(sys.argv[1]))
train.run_sft(cfg, *map(Path, sys.argv[2:]))
"""


def test_a_killed_training_on_cut_weights_goes_on_as_if_nothing_had_been(cfg, start, tmp_path):
    base, data = start
    settings = replace(cfg, sft_epochs=2, **CUT)
    whole = train.run_sft(settings, tmp_path / "whole", base, data)
    arguments = [repr(settings.overrides()), str(tmp_path / "killed"), str(base), str(data)]
    victim = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        env=processes.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoints = tmp_path / "killed" / "checkpoints"
    until = time.monotonic() + 300
    while not list(checkpoints.glob("checkpoint-*/trainer_state.json")):
        assert victim.poll() is None and time.monotonic() < until, "there was no checkpoint to kill"
        time.sleep(0.01)
    for process in [*psutil.Process(victim.pid).children(recursive=True), victim]:
        os.kill(process.pid, signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    resumed = train.run_sft(settings, tmp_path / "killed", base, data)
    assert distance(weights(whole), weights(resumed)) <= RESUMED
    steps = [json.loads(line)["step"] for line in (resumed / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))

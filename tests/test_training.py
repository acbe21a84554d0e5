"""The stages that train: loss weights, kill and resume, checkpoints, progress."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from trl import SFTConfig

from pdlib import models, modes, train
from pdlib.progress import Progress
from pdlib.schema import Mode

ROOT = Path(__file__).resolve().parents[1]


def test_mode_token_weight_multiplies_its_loss_only(tiny_model, tokenizer, tmp_path):
    tag = modes.prefix_ids(tokenizer)[Mode.GENERAL]
    rows = Dataset.from_list([{"input_ids": [9, *tag, 20, 21], "labels": [-100, *tag, 20, 21]}])

    def loss(weight):
        args = SFTConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, max_length=None)
        trainer = train.TwoModeSFTTrainer(tiny_model, args, train_dataset=rows, processing_class=tokenizer, mode_token_weight=weight)
        batch = trainer.data_collator([trainer.train_dataset[0]])
        tiny_model.train()
        value = trainer.compute_loss(trainer.model, batch).item()
        tiny_model.eval()
        return value

    logits = tiny_model(torch.tensor([[9, *tag, 20, 21]])).logits[0].log_softmax(-1)
    each = [-logits[i, token].item() for i, token in enumerate([*tag, 20, 21])]
    assert loss(1.0) == pytest.approx(sum(each) / 3, rel=1e-4)
    assert loss(5.0) == pytest.approx((5 * each[0] + each[1] + each[2]) / 3, rel=1e-4)


RUN = """
import sys
from pdlib import config, train
cfg = config.load("smoke", output_dir=sys.argv[1], sft_rows=64, sft_batch=8, rl_steps=6, checkpoint_every=2)
backbone = train.run_backbone(cfg, "pocket-qwen3")
data = train.run_construct(cfg, backbone)
sft = train.run_sft(cfg, backbone, data)
train.run_rl(cfg, sft, data)
"""


def start(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", RUN, str(folder)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_killed_runs_go_on_and_end_with_the_same_numbers(tmp_path):
    """Killed (SIGKILL) in SFT and again in RL after a checkpoint; the weights equal those of a run left alone."""
    alone = start(tmp_path / "alone")
    assert alone.wait(300) == 0, alone.stdout.read()
    killed = tmp_path / "killed" / "smoke"
    shutil.copytree(tmp_path / "alone" / "smoke", killed)
    shutil.rmtree(killed / "sft")
    shutil.rmtree(killed / "personadual")
    for stage in ("sft", "personadual"):
        process, deadline = start(tmp_path / "killed"), time.time() + 200
        while not list((killed / stage / "checkpoints").glob("checkpoint-*/trainer_state.json")):
            assert process.poll() is None and time.time() < deadline, process.stdout.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (killed / stage / "manifest.json").exists()
    last = start(tmp_path / "killed")
    assert last.wait(300) == 0, last.stdout.read()
    assert "going on with unfinished work" in last.stdout.read()
    for stage in ("sft", "personadual"):
        one, two = (load_file(f / stage / "model.safetensors") for f in (tmp_path / "alone" / "smoke", killed))
        assert all(torch.equal(one[name], two[name]) for name in one), stage
        steps = [json.loads(line)["step"] for line in (killed / stage / "log.jsonl").read_text().splitlines()]
        assert steps == sorted(set(steps)), "a resumed log repeats or loses steps"


def test_an_interrupted_checkpoint_is_dropped_and_said(tmp_path, capsys):
    for step, state in ((2, "{}"), (4, '{"global_st')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-10").mkdir()
    assert train.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    assert "incomplete" in capsys.readouterr().out and not (tmp_path / "checkpoint-4").exists()


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        models.load(tmp_path / "nothing")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="safetensors missing"):
        models.load(tmp_path)


def test_progress_drops_the_lines_that_are_done_again(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 3, "lo')
    progress = Progress(log, "test")
    progress.on_train_begin(None, type("State", (), {"global_step": 1}), None)
    assert [row["step"] for row in progress.rows] == [1]

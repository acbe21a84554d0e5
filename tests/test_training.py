"""The trainers: forced prefixes, where the advantage lands, weights, resuming."""

import inspect
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import trl
from datasets import Dataset
from safetensors.torch import load_file
from trl import SFTConfig

from pdlib import construct, generate, models, modes, train
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.pocket.world import World
from pdlib.progress import Progress
from pdlib.schema import Mode

ROOT = Path(__file__).resolve().parents[1]


def test_trl_is_the_version_we_lean_on():
    assert trl.__version__ == "1.16.0", "pdlib.dualgrpo overrides private methods of TRL 1.16.0; read it again before upgrading"
    expected = {"_generate_single_turn": ["prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images"],
                "_calculate_rewards": ["inputs", "prompts", "completions", "completion_ids_list"],
                "_generate_and_score_completions": ["inputs"], "_compute_loss": ["model", "inputs"]}
    for name, parameters in expected.items():
        found = list(inspect.signature(getattr(trl.GRPOTrainer, name)).parameters)[1:]
        assert found == parameters, f"TRL's {name} has changed: pdlib.dualgrpo must follow"


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tokenizer, tiny_model):
    return models.save(tiny_model, tokenizer, tmp_path_factory.mktemp("model"))


def make_trainer(saved, tokenizer, folder, reward=None, **settings):
    world, rng = World(0, "train"), random.Random(0)
    rows = train.rl_rows(construct.rl_set(world, rng, rows=4, preference_share=0.25))
    settings = {"num_generations": 4, "per_device_train_batch_size": 8, "max_steps": 1, "beta": 0.04} | settings
    args = DualGRPOConfig(output_dir=str(folder), max_completion_length=8, report_to=[], use_cpu=True, bf16=False,
                          gradient_checkpointing=False, save_strategy="no", disable_tqdm=True, **settings)
    return DualGRPOTrainer(str(saved), [reward or train.reward], args=args, train_dataset=rows, eval_dataset=rows,
                           processing_class=tokenizer)


def rollouts(trainer, training=True):
    """One generation batch, as the trainer prepares it."""
    batch = next(iter(trainer.get_train_dataloader() if training else trainer.get_eval_dataloader()))
    trainer.model.train(training)
    with torch.no_grad():
        return batch, trainer._generate_and_score_completions(batch)


def varied_reward(completions, **_):
    return [float(i % 3) for i in range(len(completions))]


def test_each_prompt_gets_n_rollouts_of_each_mode_and_one_prefix(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path)
    batch, out = rollouts(trainer)
    prefixes = modes.prefix_ids(tokenizer)
    firsts = out["completion_ids"][:, 0].tolist()
    for start in range(0, len(batch), 4):
        assert len({json.dumps(row["prompt"]) for row in batch[start:start + 4]}) == 1
        assert firsts[start:start + 4] == 2 * prefixes[Mode.GENERAL] + 2 * prefixes[Mode.PERSONALIZED]
    tags = set(sum(prefixes.values(), []))
    assert not tags & set(out["prompt_ids"].flatten().tolist()), "a forced prefix leaked into a prompt"


def test_prefix_tokens_get_the_weighted_advantage_of_equation_8(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path, reward=varied_reward, prefix_weight=3.0)
    _, out = rollouts(trainer)
    rewards = torch.tensor([float(i % 3) for i in range(8)]).view(2, 2, 2)
    expected = (rewards - rewards.mean(2, keepdim=True).flip(1)).flatten()  # reward minus the other mode's mean
    assert torch.allclose(out["advantages"][:, 1], expected, atol=1e-6)
    assert torch.allclose(out["advantages"][:, 0], 3 * expected, atol=1e-6)


def test_a_prefix_of_several_tokens_is_weighted_whole(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path, reward=varied_reward)
    trainer.prefix_ids = {Mode.GENERAL: [10, 11, 12], Mode.PERSONALIZED: [10, 13]}
    _, out = rollouts(trainer)
    row = out["advantages"]
    assert torch.allclose(row[:2, :3], 2 * row[:2, 3:4]) and torch.allclose(row[2:4, :2], 2 * row[2:4, 2:3])
    assert out["completion_ids"][0, :3].tolist() == [10, 11, 12]


def test_prefix_gets_gradient(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path, reward=lambda completions, **_: [1.0, 1.0, 0.0, 0.0] * 2, beta=0.0)
    _, out = rollouts(trainer)
    out["completion_mask"][:, 1:] = 0  # leave nothing but the prefix in the loss
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, out).backward()
    assert sum(p.grad.abs().sum() for p in trainer.model.parameters() if p.grad is not None) > 0


def test_one_update_moves_probability_to_the_rewarded_mode(saved, tokenizer, tmp_path):
    reward = lambda completions, **_: [float(c[0]["content"].startswith(Mode.PERSONALIZED.tag)) for c in completions]  # noqa: E731
    trainer = make_trainer(saved, tokenizer, tmp_path, reward=reward, max_steps=2, learning_rate=1e-3, warmup_steps=0)
    row = trainer.train_dataset[0]["prompt"]
    prompt = [tokenizer.apply_chat_template(row, tokenize=False, add_generation_prompt=True)]
    before = generate.prompt_mode_probability(trainer.model, tokenizer, prompt)[0]
    trainer.train()
    assert generate.prompt_mode_probability(trainer.model.eval(), tokenizer, prompt)[0] > before


def test_validation_is_never_forced(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path, per_device_eval_batch_size=8)
    assert trainer.model.eval() and trainer._rollout_modes(8) == [None] * 8
    _, out = rollouts(trainer, training=False)
    tags = [ids[0] for ids in modes.prefix_ids(tokenizer).values()]
    assert not all(first in tags for first in out["completion_ids"][:, 0].tolist())


def test_grpo_without_forcing_equals_stock_trl(saved, tokenizer, tmp_path):
    settings = {"estimator": "grpo", "forced_prefixes": False, "prefix_weight": 1.0}
    _, out = rollouts(make_trainer(saved, tokenizer, tmp_path, reward=varied_reward, **settings))
    rewards = torch.tensor([float(i % 3) for i in range(8)]).view(2, 4)
    stock = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).flatten()
    assert torch.allclose(out["advantages"], stock.unsqueeze(1).expand_as(out["advantages"]), atol=1e-6)


@pytest.mark.parametrize("settings, words", [
    ({"num_generations": 3, "per_device_train_batch_size": 3}, "even number"),
    ({"estimator": "magic"}, "unknown estimator"),
    ({"forced_prefixes": False}, "needs forced_prefixes"),
])
def test_bad_settings_are_refused(tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        DualGRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **({"num_generations": 4, "per_device_train_batch_size": 4} | settings))


def test_rl_prompt_is_the_sft_and_evaluation_prompt(saved, tokenizer, tmp_path):
    world = World(0, "train")
    example = construct.with_trajectory(construct.Example(item := world.item("mmlu_pro"), item.aligned, "aligned"), Mode.PERSONALIZED)
    prompt = tokenizer(modes.render_prompt(tokenizer, item, item.aligned), add_special_tokens=False)["input_ids"]
    trainer = make_trainer(saved, tokenizer, tmp_path)
    rl = trainer._tokenize_prompts([train.rl_rows([example])[0]["prompt"]])[0][0]
    row = train.sft_row(tokenizer, example)
    assert rl == prompt == row["input_ids"][:len(prompt)]
    assert row["labels"][:len(prompt)] == [-100] * len(prompt) and row["labels"][-1] == tokenizer.eos_token_id


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

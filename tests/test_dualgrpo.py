"""DualGRPO on TRL: forced prefixes, where the advantage lands, what is logged, and that it stays
TRL underneath.
"""

import copy
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import trl
import two_processes
from conftest import exact, rounding, summands
from safetensors.torch import load_file
from transformers import set_seed
from trl import GRPOConfig

from pdlib import generate, models, modes, train
from pdlib.dataset import construct
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.pocket import backbones
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.training_questions import PocketCorpus
from pdlib.pocket.world import World
from pdlib.run import health
from pdlib.schema import PAPER_MODES, Example, Mode
from pdlib.shared_prefix.batches import token_ids

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tokenizer, tiny_model):
    return models.save(tiny_model, tokenizer, tmp_path_factory.mktemp("model"))


def pocket_questions(**composition):
    rng = random.Random(0)
    return construct.rl_set(
        PocketCorpus(World(0, "train"), rng), rng, composition=composition, unaligned_share=0.5
    )


def make_trainer(
    saved, tokenizer, folder, reward=None, rows=None, peft_config=None, init=None, **settings
):
    rows = rows or train.rl_rows(pocket_questions(objective=3, preference=1), tokenizer)
    settings = {"prefix_style": "token"} | settings
    settings = {
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "max_steps": 1,
        "beta": 0.04,
    } | settings
    args = DualGRPOConfig(
        output_dir=str(folder),
        max_completion_length=8,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1,
        model_init_kwargs=init,
        **settings,
    )
    return DualGRPOTrainer(
        str(saved),
        [reward or train.reward],
        args=args,
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        peft_config=peft_config,
    )


def rollouts(trainer, training=True):
    """One generation batch, as the trainer prepares it."""
    batch = next(
        iter(trainer.get_train_dataloader() if training else trainer.get_eval_dataloader())
    )
    trainer.model.train(training)
    with torch.no_grad():
        return batch, trainer._generate_and_score_completions(batch)


def test_rollouts_come_from_one_prefill_a_prompt(saved, tokenizer, tmp_path, monkeypatch):
    """TRL's own generation is not called; each prompt enters the network once; same seed, same
    rollouts; the mode stays train.
    """
    trainer, shapes = make_trainer(saved, tokenizer, tmp_path, gradient_accumulation_steps=2), []
    monkeypatch.setattr(
        trl.GRPOTrainer, "_generate_single_turn", lambda *_: pytest.fail("TRL generated")
    )
    handle = trainer.model.get_input_embeddings().register_forward_hook(
        lambda _, args, __: shapes.append(tuple(args[0].shape))
    )
    asked = [[5, 6, 7]] * 4 + [[8, 9]] * 4
    found = []
    for _ in range(2):
        set_seed(3)
        trainer.model.train()
        found.append(trainer._generate_single_turn(asked, None, {}, 4)[0])
    handle.remove()
    assert shapes[:2] == [(1, 5), (8, 1)] and found[0] == found[1] and trainer.model.training
    assert len({tuple(ids) for ids in found[0]}) == 8, (
        "copies of a prompt have their own random numbers"
    )


@pytest.mark.parametrize("declared", [None, 7, [7, 8], [8, 1]])
def test_training_and_evaluation_end_at_the_same_tokens(tiny_model, tokenizer, tmp_path, declared):
    model = copy.deepcopy(tiny_model)
    model.generation_config.eos_token_id = declared
    folder = models.save(model, tokenizer, tmp_path / "model")
    trainer = make_trainer(folder, tokenizer, tmp_path)
    assert set(trainer.eos_token_ids) == set(generate.end_tokens(*models.load(folder)))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"top_p": 0.9}, "top_p asked for"),
        ({"generation_kwargs": {"no_repeat_ngram_size": 2}}, "no_repeat_ngram_size asked for"),
    ],
)
def test_settings_that_only_trl_knows_go_to_trl(
    saved, tokenizer, tmp_path, settings, words, capsys
):
    trainer = make_trainer(saved, tokenizer, tmp_path, **settings)
    for _ in range(2):
        rollouts(trainer)
    said = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("rollouts without")
    ]
    assert len(said) == 1 and words in said[0]


def entering(model) -> list[tuple[int, int]]:
    """The shapes of what enters the network from now on."""
    shapes = []
    model.get_input_embeddings().register_forward_hook(
        lambda _, args, __: shapes.append(tuple(args[0].shape))
    )
    return shapes


@pytest.mark.parametrize("parts", [1, 2])
def test_in_training_each_prompt_enters_the_network_once(saved, tokenizer, tmp_path, parts):
    """Four prompts with four rollouts each, in one batch or two: policy (and reference) see
    distinct prompts and completions only.
    """
    trainer = make_trainer(
        saved,
        tokenizer,
        tmp_path,
        reward=varied_reward,
        per_device_train_batch_size=16 // parts,
        gradient_accumulation_steps=parts,
    )
    batches = in_buffer(trainer)
    policy, reference = entering(trainer.model), entering(trainer.ref_model)
    prompts = set()
    for part in batches:
        own = {
            tuple(ids[mask.bool()].tolist())
            for ids, mask in zip(part["prompt_ids"], part["prompt_mask"], strict=True)
        }
        trainer.current_gradient_accumulation_steps = parts
        trainer._compute_loss(trainer.model, part)
        assert policy.pop() == (
            1,
            sum(len(ids) - 1 for ids in own) + int(part["completion_mask"].sum()),
        )
        assert not prompts & own, "a prompt's rollouts are in two batches"
        prompts |= own
    assert len(prompts) == 4 and not policy and not reference
    rollouts(trainer)
    assert [rows for rows, _ in reference] == [1] * parts, "the reference packs too"


def test_a_model_that_cannot_share_trains_as_trl_does(saved, tokenizer, tmp_path, capsys):
    trainer = make_trainer(
        saved, tokenizer, tmp_path, reward=varied_reward, init={"attn_implementation": "eager"}
    )
    shapes = entering(trainer.model)
    trainer.train()
    assert shapes and all(rows > 1 for rows, _ in shapes), "a packed batch is one row"
    said = [
        line for line in capsys.readouterr().out.splitlines() if "without a shared prefix" in line
    ]
    assert (
        len([line for line in said if line.startswith("training passes") and "'eager'" in line])
        == 1
    )


def varied_reward(completions, **_):
    return [float(i % 3) for i in range(len(completions))]


def test_each_prompt_gets_n_rollouts_of_each_mode_and_one_prefix(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path)
    batch, out = rollouts(trainer)
    prefixes = modes.prefix_ids(tokenizer)
    firsts = out["completion_ids"][:, 0].tolist()
    for start in range(0, len(batch), 4):
        assert len({json.dumps(row["prompt"]) for row in batch[start : start + 4]}) == 1
        assert (
            firsts[start : start + 4]
            == 2 * prefixes[Mode.GENERAL] + 2 * prefixes[Mode.PERSONALIZED]
        )
    tags = set(sum(prefixes.values(), []))
    assert not tags & set(out["prompt_ids"].flatten().tolist()), (
        "a forced prefix leaked into a prompt"
    )


def test_prefix_tokens_get_the_weighted_advantage_of_equation_8(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path, reward=varied_reward, prefix_weight=3.0)
    _, out = rollouts(trainer)
    rewards = torch.tensor([float(i % 3) for i in range(8)]).view(2, 2, 2)
    expected = (
        rewards - rewards.mean(2, keepdim=True).flip(1)
    ).flatten()  # reward minus the other mode's mean
    assert torch.allclose(
        out["advantages"][:, 1], expected, atol=rounding(torch.float32, 2, 4), rtol=0
    )
    assert torch.allclose(
        out["advantages"][:, 0], 3 * expected, atol=rounding(torch.float32, 6, 4), rtol=0
    )


def test_a_prefix_of_several_tokens_is_weighted_whole(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path, reward=varied_reward)
    trainer.prefix_ids = {
        Mode.GENERAL: [10, 11, 12],
        Mode.PERSONALIZED: [10, 13],
    }  # of different lengths, one shared token
    _, out = rollouts(trainer)
    row = out["advantages"]
    assert torch.allclose(row[:2, :3], 2 * row[:2, 3:4]) and torch.allclose(
        row[2:4, :2], 2 * row[2:4, 2:3]
    )
    assert out["completion_ids"][0, :3].tolist() == [10, 11, 12]


def test_prefix_gets_gradient(saved, tokenizer, tmp_path):
    trainer = make_trainer(
        saved,
        tokenizer,
        tmp_path,
        reward=lambda completions, **_: [1.0, 1.0, 0.0, 0.0] * 2,
        beta=0.0,
    )
    _, out = rollouts(trainer)
    out["completion_mask"][:, 1:] = 0  # leave nothing but the prefix in the loss
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, out).backward()
    assert sum(p.grad.abs().sum() for p in trainer.model.parameters() if p.grad is not None) > 0


def test_one_update_moves_probability_to_the_rewarded_mode(saved, tokenizer, tmp_path):
    def reward(completions, **_):
        return [float(c[0]["content"].startswith(Mode.PERSONALIZED.tag)) for c in completions]

    trainer = make_trainer(
        saved, tokenizer, tmp_path, reward=reward, max_steps=2, learning_rate=1e-3, warmup_steps=0
    )
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


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"num_generations": 3, "per_device_train_batch_size": 3}, "equally many rollouts"),
        ({"estimator": "magic"}, "unknown estimator"),
        ({"forced_prefixes": False}, "needs forced_prefixes"),
        (
            {"forced_prefixes": False, "estimator": "grpo", "importance_correction": "uniform"},
            "needs forced_prefixes",
        ),
        ({"importance_correction": "exact"}, "none, uniform"),
        ({"prefix_style": "emoji"}, "text, token"),
        ({"estimator": "movt", "prefix_weight": 2.0}, "no option prefix_weight"),
        ({"num_iterations": 4, "save_steps": 3}, "multiple of 4"),
    ],
)
def test_bad_settings_are_refused(tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        DualGRPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            **({"num_generations": 4, "per_device_train_batch_size": 4} | settings),
        )


def test_rl_prompt_is_the_sft_and_evaluation_prompt(saved, tokenizer, tmp_path):
    world = World(0, "train")
    asked = Example(item := world.item("mmlu_pro"), item.aligned, "aligned")
    (example,) = construct.write_trajectories(PocketExpert(), [asked], Mode.PERSONALIZED)
    prompt = tokenizer(
        modes.render_prompt(tokenizer, item, item.aligned), add_special_tokens=False
    )["input_ids"]
    trainer = make_trainer(saved, tokenizer, tmp_path)
    rl = trainer._tokenize_prompts([train.rl_rows([example], tokenizer)[0]["prompt"]])[0][0]
    row = train.sft_row(tokenizer, example)
    assert rl == prompt == row["input_ids"][: len(prompt)]
    assert (
        row["labels"][: len(prompt)] == [-100] * len(prompt)
        and row["labels"][-1] == tokenizer.eos_token_id
    )


def in_buffer(trainer) -> list[dict]:
    """The training batches of one generation, after TRL has shuffled and split them."""
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer._prepare_inputs(batch)
    return trainer._buffered_inputs


def test_labels_survive_shuffling_and_splitting(saved, tokenizer, tmp_path):
    """Rewarded is the personalised mode, and more so for longer prompts; each row must keep what is
    its own.
    """

    def reward(prompts, completions, **_):
        return [
            len(p[0]["content"]) * c[0]["content"].startswith(Mode.PERSONALIZED.tag)
            for p, c in zip(prompts, completions, strict=True)
        ]

    trainer = make_trainer(saved, tokenizer, tmp_path, reward=reward, gradient_accumulation_steps=2)
    batches = in_buffer(trainer)
    rows = [
        row
        for part in batches
        for row in zip(part["prompt_ids"], part["completion_ids"], part["advantages"], strict=True)
    ]
    assert len(batches) == 2 and len(rows) == 16
    personalized = modes.prefix_ids(tokenizer)[Mode.PERSONALIZED][0]
    length = {}
    for row in trainer.train_dataset:
        ids = tokenizer.apply_chat_template(
            row["prompt"], add_generation_prompt=True, return_dict=False
        )
        length[tuple(ids)] = len(row["prompt"][0]["content"])
    seen = {}
    for prompt, completion, advantage in rows:
        key = tuple(t for t in prompt.tolist() if t != tokenizer.pad_token_id)
        sign = 1 if completion[0] == personalized else -1
        assert advantage[1].item() == pytest.approx(sign * length[key]), (
            "a row has another row's advantage"
        )
        assert advantage[0].item() == pytest.approx(2 * sign * length[key])
        seen.setdefault(key, []).append(sign)
    assert all(sorted(signs) == [-1, -1, 1, 1] for signs in seen.values()) and len(seen) == 4


def test_free_rollouts_stand_in_the_mode_they_chose(saved, tokenizer, tmp_path):
    """Ada-GRPO boosts the rarer mode: one personalised among three general ones; a rollout without
    a tag is a third kind.
    """
    trainer = make_trainer(saved, tokenizer, tmp_path, estimator="ada_grpo", forced_prefixes=False)
    trainer.state.max_steps = 10
    general, personalized = (
        modes.prefix_ids(tokenizer)[mode][0] for mode in (Mode.GENERAL, Mode.PERSONALIZED)
    )
    firsts = [general, personalized, general, general, general, 9, personalized, general]
    trainer._generate_single_turn = lambda prompt_ids, *_: (
        [[first, 9, 9] for first in firsts],
        None,
    )
    trainer.reward_funcs[0] = lambda completions, **_: [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    _, out = rollouts(trainer)
    boosted = torch.tensor(
        [[4 / 3, 4.0, 4 / 3, 0.0], [2.0, 4.0, 4.0, 0.0]]
    )  # r G / F at the first step
    expected = (boosted - boosted.mean(1, keepdim=True)) / (boosted.std(1, keepdim=True) + 1e-4)
    assert torch.allclose(
        out["advantages"],
        expected.view(8, 1).expand(8, 3),
        atol=rounding(torch.float32, 4, 12),
        rtol=0,
    )


def through(model, size: float) -> float:
    """What rounding may change in a number of that size that went through the model, and back if it
    is a gradient.
    """
    return rounding(torch.float32, size, 2 * summands(model.config, 100))


def stock_trainer(saved, tokenizer, folder, reward, **settings):
    ours = make_trainer(saved, tokenizer, folder, reward=reward, **settings)
    stock = {
        k: v
        for k, v in settings.items()
        if k not in ("estimator", "forced_prefixes", "prefix_weight")
    }
    stock = {
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "max_steps": 1,
        "beta": 0.04,
    } | stock
    args = GRPOConfig(
        output_dir=str(folder),
        max_completion_length=8,
        report_to=[],
        use_cpu=True,
        bf16=False,
        loss_type="grpo",
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        chat_template_kwargs={"enable_thinking": False},
        use_bias_correction_kl=False,
        **stock,
    )
    return ours, trl.GRPOTrainer(
        str(saved),
        [reward],
        args=args,
        train_dataset=ours.train_dataset,
        processing_class=tokenizer,
    )


def loss_and_gradient(trainer, batch) -> tuple[float, torch.Tensor]:
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    return loss.item(), torch.cat(
        [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
    )


@pytest.mark.parametrize(
    "settings", [{}, {"beta": 0.0}, {"num_iterations": 2}, {"loss_type": "dapo"}]
)
def test_without_forcing_grpo_is_stock_trl(saved, tokenizer, tmp_path, settings):
    """Same seed, so the same completions; then the same loss and gradients but for rounding."""
    unforced = {"estimator": "grpo", "forced_prefixes": False}
    loss_type = settings.pop("loss_type", "grpo")
    ours, stock = stock_trainer(saved, tokenizer, tmp_path, varied_reward, **unforced, **settings)
    ours.loss_type = stock.loss_type = loss_type
    ours._why_not_shared = lambda: "the same random numbers are wanted"
    found = []
    for trainer in (ours, stock):
        set_seed(5)
        trainer.model.train()
        batch = next(iter(trainer.get_train_dataloader()))
        with torch.no_grad():
            found.append(trainer._generate_and_score_completions(batch))
    assert torch.equal(found[0]["completion_ids"], found[1]["completion_ids"])
    assert torch.allclose(
        found[0]["advantages"],
        found[1]["advantages"].unsqueeze(1).expand_as(found[0]["advantages"]),
        atol=rounding(torch.float32, 2, 8),
        rtol=0,
    )
    (loss, gradient), (stock_loss, stock_gradient) = (
        loss_and_gradient(t, b) for t, b in zip((ours, stock), found, strict=True)
    )
    assert (
        loss == pytest.approx(stock_loss, abs=through(ours.model, 1))
        and stock_gradient.abs().max() > 1e-3
    )
    assert (gradient - stock_gradient).norm() <= through(ours.model, stock_gradient.norm().item())


def test_the_brake_on_an_abandoned_prefix_is_that_of_k3(saved, tokenizer, tmp_path):
    """Slope of beta k3 in the log-probability, beta (1 - ref/pi), also on forced tokens that the
    policy would hardly write now.
    """
    trainer = make_trainer(saved, tokenizer, tmp_path, beta=0.5)
    _, out = rollouts(trainer)
    out["advantages"] = torch.zeros_like(out["advantages"])
    ids, keep = (
        torch.cat([out["prompt_ids"], out["completion_ids"]], 1),
        out["completion_ids"].shape[1],
    )
    mask = torch.cat([out["prompt_mask"], out["completion_mask"]], 1)
    logps = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, keep)[0]
    out["ref_per_token_logps"][:, 0] += (
        3.0  # the reference would write the prefix twenty times as often as the policy
    )
    ratio = (out["ref_per_token_logps"] - logps).exp()
    weight = out["completion_mask"] / out["completion_mask"].sum(1, keepdim=True) / len(logps)
    (expected,) = torch.autograd.grad(
        (0.5 * (1 - ratio.detach()) * weight * logps).sum(),
        weights_of := trainer.model.get_input_embeddings().weight,
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, out).backward()
    assert (weights_of.grad - expected).norm() <= through(trainer.model, expected.norm().item())


def test_gradient_is_that_of_the_written_out_objective(saved, tokenizer, tmp_path):
    """Finite differences of J = mean over rollouts of (1/T) sum_t A_t log pi(token t), with the
    advantages by hand: reward minus the other mode's mean, threefold on the prefix, nothing on the
    prompt.
    """
    trainer = make_trainer(
        saved, tokenizer, tmp_path, reward=varied_reward, prefix_weight=3.0, beta=0.0
    )
    _, out = rollouts(trainer)
    model = exact(trainer.model)
    rewards = torch.tensor([float(i % 3) for i in range(8)], dtype=torch.float64).view(2, 2, 2)
    hand = (rewards - rewards.mean(2, keepdim=True).flip(1)).flatten()
    ids, prompt = (
        torch.cat([out["prompt_ids"], out["completion_ids"]], 1),
        out["prompt_ids"].shape[1],
    )
    mask = torch.cat([out["prompt_mask"], out["completion_mask"]], 1)

    @torch.no_grad()
    def objective():
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logps = (
            model(ids, attention_mask=mask, position_ids=positions).logits[:, :-1].log_softmax(-1)
        )
        logps = logps.gather(-1, ids[:, 1:, None]).squeeze(-1)[:, prompt - 1 :]  # (B*M*n, T)
        keep, weight = out["completion_mask"].double(), torch.ones_like(logps)
        weight[:, 0] = 3.0
        return ((hand[:, None] * weight * logps * keep).sum(1) / keep.sum(1)).mean().item()

    loss_and_gradient(trainer, out)
    parameters = [p for p in model.parameters() if p.grad is not None]
    draw = random.Random(0)
    for _ in range(
        3
    ):  # along the gradient of a random half of the tensors: the steepest, so rounding stays small
        half = draw.sample(parameters, len(parameters) // 2)
        length = torch.stack([p.grad.norm() for p in half]).norm().item()
        step, values = 1e-3 / length, []
        for size in (-step, 2 * step):  # loss falls where the objective rises
            for p in half:
                p.data.add_(p.grad, alpha=size)
            values.append(objective())
        for p in half:
            p.data.add_(p.grad, alpha=-step)
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(length**2, rel=1e-3)


def test_uniform_correction_sets_the_old_chance_of_the_decision(saved, tokenizer, tmp_path):
    trainer = make_trainer(
        saved,
        tokenizer,
        tmp_path,
        reward=varied_reward,
        importance_correction="uniform",
        prefix_style="token",
    )
    _, out = rollouts(trainer)
    assert torch.allclose(out["old_per_token_logps"][:, 0], torch.tensor(0.5).log())
    trainer.current_gradient_accumulation_steps = 1
    ids, mask = (
        torch.cat([out[f"prompt_{k}"], out[f"completion_{k}"]], 1) for k in ("ids", "mask")
    )
    policy = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, mask, out["completion_ids"].shape[1]
    )[0]
    assert torch.allclose(
        out["old_per_token_logps"][:, 1:], policy[:, 1:], atol=through(trainer.model, 8), rtol=0
    ), "only the prefix is corrected"
    trainer._compute_loss(trainer.model, out)
    low = (
        trainer._metrics["train"]["clip_ratio/low_mean"][-1]
        + trainer._metrics["train"]["clip_ratio/high_mean"][-1]
    )
    assert low > 0, "an untrained mode token is far from 1/2, so its ratio is clipped"


def test_uniform_correction_of_a_text_prefix(text_tokenizer, tmp_path):
    """The shared and the remaining tokens of the prefix were certain; the deciding one had an even
    chance.
    """
    model = backbones.build_backbone("pocket-qwen3", text_tokenizer, 0)
    folder = models.save(model, text_tokenizer, tmp_path / "model")
    trainer = make_trainer(
        folder,
        text_tokenizer,
        tmp_path,
        reward=varied_reward,
        importance_correction="uniform",
        prefix_style="text",
    )
    _, out = rollouts(trainer)
    prefixes = list(modes.prefix_ids(text_tokenizer).values())
    at, length = len(modes.choice_tokens(text_tokenizer)[0]), len(prefixes[0])
    assert at >= 1 and length > at + 1
    expected = torch.zeros(length)
    expected[at] = torch.tensor(0.5).log()
    assert torch.allclose(out["old_per_token_logps"][0, :length], expected)
    assert out["completion_ids"][0, :length].tolist() == prefixes[0]


def test_none_correction_leaves_the_ratio_at_one(saved, tokenizer, tmp_path):
    _, out = rollouts(make_trainer(saved, tokenizer, tmp_path))
    assert "old_per_token_logps" not in out


def test_a_prefix_style_the_tokenizer_does_not_have_is_refused(saved, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="prefix_style is 'text'.*writes the mode tags as token"):
        make_trainer(saved, tokenizer, tmp_path, prefix_style="text")


class FakeVLLM:
    """Stands where TRL's vLLM client does: notes what it was asked, samples token 9 with
    log-probability -1.
    """

    def __init__(self):
        self.calls = []

    def sync_weights(self):
        pass

    def generate(self, prompts, images, num_generations, profiler=None):
        self.calls.append((prompts, num_generations))
        return prompts, [[9, 9, 9] for _ in prompts], [[[-1.0]] * 3 for _ in prompts], None


@pytest.mark.parametrize("level", ["token_truncate", "sequence_mask"])
def test_vllm_forced_prefix_has_no_sampling_probability(saved, tokenizer, tmp_path, level):
    trainer = make_trainer(saved, tokenizer, tmp_path, reward=varied_reward)
    trainer.use_vllm, trainer.vllm_generation, trainer._last_loaded_step = True, FakeVLLM(), -1
    trainer.vllm_importance_sampling_correction, trainer.vllm_importance_sampling_mode = True, level
    trainer.vllm_importance_sampling_clip_min, trainer.vllm_importance_sampling_clip_max = None, 1e9
    _, out = rollouts(trainer)
    ((prompts, copies),) = trainer.vllm_generation.calls
    ends = [modes.prefix_ids(tokenizer)[mode] for mode in PAPER_MODES]
    assert copies == 1, "one request for all copies would give them all the first copy's prefix"
    assert [prompt[-1:] for prompt in prompts] == ([ends[0]] * 2 + [ends[1]] * 2) * 2
    difference = out["old_per_token_logps"] - -1.0
    if level == "token_truncate":
        assert torch.allclose(out["importance_sampling_ratio"][:, 0], torch.ones(8))
        assert torch.allclose(out["importance_sampling_ratio"][:, 1:], difference[:, 1:].exp())
    else:  # the sequence's ratio is the product over sampled tokens
        assert torch.allclose(
            out["importance_sampling_ratio"].squeeze(1),
            difference[:, 1:].sum(1).exp(),
            rtol=rounding(torch.float32, difference.abs().sum(1).max().item(), 8),
        )
    assert out["sampling_per_token_logps"].isfinite().all()
    loss, gradient = loss_and_gradient(trainer, out)
    assert math.isfinite(loss) and gradient.isfinite().all()


def test_vllm_validation_is_asked_once_a_group(saved, tokenizer, tmp_path):
    trainer = make_trainer(saved, tokenizer, tmp_path)
    trainer.use_vllm, trainer.vllm_generation, trainer._last_loaded_step = True, FakeVLLM(), -1
    trainer.model.eval()
    trainer._generate_single_turn([[5, 6], [5, 6]], None, {}, 2)
    assert trainer.vllm_generation.calls == [([[5, 6], [5, 6]], 2)]


def four_bit() -> dict:
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
        )
    }


@pytest.mark.parametrize("quantized", [False, True], ids=["lora", "4-bit lora"])
def test_lora_trains_adapters_and_mode_tokens_only(saved, tokenizer, tmp_path, quantized):
    trainer = make_trainer(
        saved,
        tokenizer,
        tmp_path,
        reward=varied_reward,
        num_iterations=2,
        gradient_accumulation_steps=2,
        max_steps=3,
        learning_rate=1e-2,
        peft_config=models.lora(tokenizer, rank=4),
        init=four_bit() if quantized else {},
    )
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    changed = {
        name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])
    }
    assert changed and all("lora_" in name or "trainable_tokens" in name for name in changed)
    assert any("trainable_tokens" in name for name in changed), (
        "the mode tokens' embeddings were not trained"
    )
    assert any("lora_B" in name for name in changed)
    logs = [row for row in trainer.state.log_history if "kl" in row]
    assert len(logs) == 3 and all(
        math.isfinite(row["loss"]) and math.isfinite(row["kl"]) for row in logs
    )
    trainer.save_model(str(tmp_path / "adapter"))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_added_mode_tokens(text_tokenizer, tmp_path):
    """Two new tokens in the middle of their pieces; text prefixes become token prefixes, other text
    stays as it was.
    """
    tokenizer, model = (
        copy.deepcopy(text_tokenizer),
        backbones.build_backbone("pocket-llama", text_tokenizer, 0),
    )
    prompt = "what is bond? [General_mode]"
    pieces, other = modes.prefix_ids(tokenizer), tokenizer(prompt)["input_ids"]
    weights = model.get_input_embeddings().weight.detach().clone()
    new = models.add_mode_tokens(model, tokenizer)
    ids = modes.prefix_ids(tokenizer)
    assert [ids[mode] for mode in PAPER_MODES] == [[new[0]], [new[1]]] and tokenizer(prompt)[
        "input_ids"
    ] == other
    for mode in PAPER_MODES:
        assert torch.allclose(
            model.get_input_embeddings().weight[ids[mode][0]], weights[pieces[mode]].mean(0)
        )
    assert models.add_mode_tokens(model, tokenizer) == [], "a second call has nothing to add"
    folder = models.save(model, tokenizer, tmp_path)
    again, tokenizer = models.load(folder)
    assert modes.prefix_ids(tokenizer) == ids and again.get_input_embeddings().num_embeddings > max(
        new
    )
    assert (
        models.lora(tokenizer).trainable_token_indices == new
        and models.lora(text_tokenizer).trainable_token_indices is None
    )


def launch_two(arguments: list[str]) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",  # this means torchrun; the devices stay CPUs
        "--main_process_port",
        "0",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--num_processes",
        "2",
        two_processes.__file__,
        *arguments,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_two_processes_equal_one(tiny_model, tokenizer, tmp_path):
    """accelerate launch on two CPU processes (gloo): groups span processes, and losses, logs and
    weights stay the same.
    """
    model = models.save(
        exact(copy.deepcopy(tiny_model)), tokenizer, tmp_path / "model"
    )  # 64 bits: no rounding decides which token is best
    rows = train.rl_rows(pocket_questions(objective=4, preference=2), tokenizer)
    rows.to_json(model / "prompts.jsonl")
    for processes in ("1", "2"):
        (tmp_path / processes).mkdir()
    two_processes.main(str(model), str(tmp_path / "1"), batch=8)
    launch_two([str(model), str(tmp_path / "2"), "4"])
    one, two = (load_file(tmp_path / n / "weights.safetensors") for n in ("1", "2"))
    start = load_file(model / "model.safetensors")
    assert max((one[name] - start[name]).abs().max() for name in one) > 1e-3, (
        "nothing was learned, so nothing is compared"
    )
    bound = through(tiny_model, 1) * 3  # each step moves a weight by less than 1
    assert max((one[name] - two[name]).abs().max() for name in one) <= bound
    logs = [json.loads((tmp_path / n / "log.json").read_text()) for n in ("1", "2")]
    for left, right in zip(*logs, strict=True):
        own = [
            k
            for k in left
            if k.startswith(
                (
                    "loss",
                    "reward",
                    "length/",
                    "p_personalized/",
                    "choice_entropy/",
                    "zero_variance/",
                    "truncated/",
                )
            )
        ]
        assert len(own) > 12
        for key in own:
            assert left[key] == pytest.approx(right[key], abs=bound, rel=bound), key


QWEN3 = {"bos_token": None, "eos_token": "<|im_end|>"}
LLAMA = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}


@pytest.mark.parametrize(
    "template, specials, ending",
    [
        ("qwen3", QWEN3, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ("llama3_1", LLAMA, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    ],
)
def test_real_chat_templates_give_one_prompt_everywhere(
    text_tokenizer, tmp_path, template, specials, ending
):
    """Token by token: SFT = RL = evaluation, for the templates of the paper's two backbones (as TRL
    carries them).
    """
    tokenizer = copy.deepcopy(text_tokenizer)
    tokenizer.add_special_tokens({k: v for k, v in specials.items() if v})
    tokenizer.chat_template = (
        Path(trl.__file__).with_name("chat_templates").joinpath(f"{template}.jinja").read_text()
    )
    folder = models.save(
        backbones.build_backbone("pocket-llama", tokenizer, 0), tokenizer, tmp_path / "model"
    )
    item = World(0, "train").item("mmlu_pro")
    (example,) = construct.write_trajectories(
        PocketExpert(), [Example(item, item.aligned, "aligned")], Mode.PERSONALIZED
    )
    text = modes.render_prompt(tokenizer, item, item.aligned)
    assert text.endswith(ending)
    (evaluation,) = token_ids(tokenizer, [text])
    rows = train.rl_rows([example] * 4, tokenizer)
    trainer = make_trainer(folder, tokenizer, tmp_path, prefix_style="text", rows=rows)
    trainer.model.train()
    _, out = rollouts(trainer)
    rl = out["prompt_ids"][0][out["prompt_mask"][0].bool()].tolist()
    sft = train.sft_row(tokenizer, example)
    assert rl == evaluation == sft["input_ids"][: len(rl)] and sft["labels"][: len(rl)] == [
        -100
    ] * len(rl)
    prefix = modes.prefix_ids(tokenizer)[Mode.PERSONALIZED]
    assert sft["input_ids"][len(rl) : len(rl) + len(prefix)] == prefix, (
        "SFT writes the prefix in other tokens than RL forces"
    )
    if specials["bos_token"]:
        assert rl.count(tokenizer.bos_token_id) == 1


def test_mode_health_is_logged_by_mode_and_condition(saved, tokenizer, tmp_path):
    trainer = make_trainer(
        saved,
        tokenizer,
        tmp_path,
        reward=lambda completions, **_: [
            1.0 if c[0]["content"].startswith(Mode.GENERAL.tag) else 0.25 for c in completions
        ],
    )
    batch, out = rollouts(trainer)
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert metrics["reward/general"] == 1.0 and metrics["reward/personalized"] == 0.25
    assert metrics["zero_variance/within"] == 1.0 and metrics["zero_variance/between"] == 0.0
    assert metrics["share/personalized"] == 0.5 and metrics["length/general"] > 1
    assert metrics["recent/forced"] == 1
    kinds = {f"{row['kind']} {row['condition']}" for row in batch}
    for name in ("p_personalized", "p_sampled_personalized", "silent_if_free"):
        logged = {key for key in metrics if key.startswith(f"recent/{name}/")}
        assert logged == {f"recent/{name}/{kind}" for kind in kinds}
    for row in batch:
        key = f"{row['kind']} {row['condition']}"
        asked = [r for r in batch if (r["kind"], r["condition"]) == (row["kind"], row["condition"])]
        texts = {
            tokenizer.apply_chat_template(r["prompt"], tokenize=False, add_generation_prompt=True)
            for r in asked
        }
        chances = torch.tensor(
            generate.prompt_mode_probability(trainer.model, tokenizer, sorted(texts))
        )
        assert metrics[f"p_personalized/{key}"] == pytest.approx(
            chances.mean().item(), abs=through(trainer.model, 1)
        )
        entropy = torch.distributions.Bernoulli(chances).entropy().mean().item()
        assert metrics[f"choice_entropy/{key}"] == pytest.approx(
            entropy, abs=through(trainer.model, 1)
        )
    assert list(trainer._logs["advantages"])[-8:] == pytest.approx(out["advantages"][:, 1].tolist())


@pytest.mark.parametrize(
    "row, words",
    [
        (
            {"p_personalized/a": 0.001, "p_personalized/b": 0.01, "choice_entropy/a": 0.2},
            "personalised mode dies",
        ),
        ({"p_personalized/a": 0.999, "p_personalized/b": 0.99}, "general mode dies"),
        (
            {
                "p_personalized/a": 0.999,
                "p_personalized/b": 0.001,
                "choice_entropy/a": 0.008,
                "choice_entropy/b": 0.008,
            },
            "settled everywhere",
        ),
        ({"zero_variance/within": 0.95, "zero_variance/between": 1.0}, "almost no prompt"),
        ({"truncated/general": 0.5}, "cut off"),
    ],
)
def test_sick_modes_are_named(row, words):
    found = health.warnings(row)
    assert len(found) == 1 and words in found[0]


def test_healthy_modes_give_no_warning():
    assert (
        health.warnings(
            {
                "p_personalized/a": 0.95,
                "p_personalized/b": 0.05,
                "choice_entropy/a": 0.2,
                "choice_entropy/b": 0.2,
                "zero_variance/within": 0.95,
                "zero_variance/between": 0.1,
                "truncated/general": 0.01,
            }
        )
        == []
    )
    assert health.warnings({"loss": 1.0}) == []


def test_where_weights_are_cut_every_process_takes_one_pass(
    saved, tokenizer, tmp_path, monkeypatch
):
    """However long the prompts of one process are: the others would wait for its next pass."""
    monkeypatch.setattr(generate, "BATCH_TOKENS", 1)
    passes = {}
    for is_cut in (False, True):
        trainer = make_trainer(saved, tokenizer, tmp_path)
        monkeypatch.setattr(type(trainer), "cuts_weights", is_cut)
        trainer.generated_prompts = [[5, 6, 7], [5, 6], [5, 6, 7, 8], [5, 6]]
        calls = []
        forward = trainer.model.forward
        trainer.model.forward = lambda *a, _f=forward, _c=calls, **k: _c.append(1) or _f(*a, **k)
        chances = trainer._chances_of_generated_prompts()
        passes[is_cut] = len(calls)
        assert len(chances) == 3 and all(sum(row) == pytest.approx(1) for row in chances)
    assert passes == {False: 3, True: 1}

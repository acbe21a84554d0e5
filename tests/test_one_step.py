"""Notebook 05's DualGRPO step in plain PyTorch, beside the trainer's on the same completions."""

import json
from pathlib import Path

import pytest
import torch

from pdlib import models, modes
from pdlib.analysis import one_step
from pdlib.pocket.backbones import build_backbone
from pdlib.rewards import score
from pdlib.schema import Example, Item, Persona

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "05_dualgrpo_training.ipynb"
FUNCTIONS = ("rollouts", "token_advantages", "log_probabilities")  # a cell begins with each
ITEM = Item(
    id="bond",
    benchmark="mmlu_pro",
    kind="objective",
    source="test",
    question="what is bond?",
    options=("a tradable loan", "a joining of atoms"),
    gold="a tradable loan",
    answer_type="choice",
)
ASKER = Persona("a banker who studies bond")


@pytest.fixture(scope="module")
def by_hand():
    """The functions that the notebook defines."""
    names = {"torch": torch}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and any(f"def {name}(" in source for name in FUNCTIONS):
            exec(source, names)
    return names


@pytest.fixture(scope="module")
def both(tokenizer, tmp_path_factory):
    """(policy, reference, completions, rewards (2, 2)): of completions with different rewards."""
    folders = [tmp_path_factory.mktemp(name) for name in ("policy", "reference")]
    for seed, folder in enumerate(folders):
        build_backbone("pocket-qwen3", tokenizer, seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    policy, reference = (models.load(folder, "float32")[0] for folder in folders)
    texts = [
        modes.completion_text(mode, reasoning, answer, tokenizer)
        for mode in modes.prefix_ids(tokenizer)
        for reasoning, answer in (("in finance, bond is a tradable loan.", "A"), ("bond", "B"))
    ]
    texts[2] = texts[3].partition("<answer>")[0]
    written = [
        ids + [tokenizer.eos_token_id]
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]
    ]
    rewards = [
        score(tokenizer.decode(row, skip_special_tokens=True), ITEM).total for row in written
    ]
    return policy.train(), reference.eval(), written, torch.tensor(rewards).view(2, 2)


def step_by_hand(by_hand, tokenizer, both, weight=2.0, kl=0.04):
    policy, reference, written, rewards = both
    prompt = tokenizer(modes.render_prompt(tokenizer, ITEM, ASKER), add_special_tokens=False)
    prompt, end = prompt["input_ids"], tokenizer.eos_token_id
    prefixes = list(modes.prefix_ids(tokenizer).values())
    advantages = by_hand["token_advantages"](rewards, prefixes, written, weight)
    mask = torch.tensor(
        [[float(at < len(ids)) for at in range(advantages.shape[1])] for ids in written]
    )
    logps = by_hand["log_probabilities"](policy, prompt, written, end)
    ref = by_hand["log_probabilities"](reference, prompt, written, end).detach()
    loss = by_hand["clipped_loss"](logps, logps.detach(), ref, advantages, mask, kl, 0.2)
    policy.zero_grad()
    loss.backward()
    gradient = one_step.gradient(policy)
    policy.zero_grad()
    return one_step.Step(advantages, loss.item(), gradient)


@pytest.fixture(scope="module")
def trainers(tokenizer, both):
    policy, reference, written, _ = both
    return one_step.trainer_step(
        policy,
        reference,
        tokenizer,
        Example(ITEM, ASKER, "aligned"),
        written,
        beta=0.04,
        epsilon=0.2,
        prefix_weight=2.0,
        max_completion_length=40,
        prefix_style="token",
    )


def test_the_rewards_differ_within_and_between_modes(both):
    rewards = both[3]
    assert rewards[0].std() > 0 and rewards[1].std() > 0
    assert rewards.mean(1)[0] != rewards.mean(1)[1]


def test_advantages_loss_and_gradient_are_the_trainers(by_hand, tokenizer, both, trainers):
    ours = step_by_hand(by_hand, tokenizer, both)
    assert torch.allclose(ours.advantages, trainers.advantages, atol=1e-5, rtol=0)
    assert ours.loss == pytest.approx(trainers.loss, abs=1e-5)
    assert trainers.gradient.abs().max() > 1e-3
    assert torch.allclose(ours.gradient, trainers.gradient, atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [{"weight": 1.0}, {"kl": 0.0}])
def test_another_step_has_another_gradient(by_hand, tokenizer, both, trainers, wrong):
    ours = step_by_hand(by_hand, tokenizer, both, **wrong)
    assert (ours.gradient - trainers.gradient).abs().max() > 1e-4


def test_the_policy_is_left_as_it_was(tokenizer, both, trainers):
    fresh = build_backbone("pocket-qwen3", tokenizer, 0).state_dict()
    assert all(
        torch.equal(value, fresh[name])
        for name, value in both[0].state_dict().items()
        if name in fresh
    )


def test_a_rollout_begins_with_its_prefix_and_ends_at_the_end(by_hand, tokenizer, both):
    torch.manual_seed(0)
    end = tokenizer.eos_token_id
    rows = by_hand["rollouts"](both[0], [5, 6, 7], [9], 6, 30, end)
    assert len(rows) == 6 and all(row[0] == 9 for row in rows)
    assert all(end not in row[:-1] for row in rows)
    assert len({tuple(row) for row in rows}) > 1

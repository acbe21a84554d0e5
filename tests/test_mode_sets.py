"""Any number of modes with any tags: what a set may be, its chances, its training."""

import functools
import itertools
import os
import pickle
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from pdlib import advantages, config, evaluate, generate, models, modes, systems, train
from pdlib.dataset import construct
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.run import health
from pdlib.schema import PAPER_MODES, Example, Item, Mode, ModeSet
from pdlib.train.sft import VIEWS

ROOT = Path(__file__).resolve().parents[1]
# Tags of several tokens that share their first ones, of unequal lengths.
THREE = ModeSet.of({"think": "[Think]", "thorough": "[Think twice]", "quick": "[Answer at once]"})
FOUR = ModeSet([*THREE, Mode("ask", "<ask/>")])
SETS = pytest.mark.parametrize("mode_set", [PAPER_MODES, THREE, FOUR], ids=len)


# --- what a set may be ---


def test_a_set_keeps_its_order_and_finds_its_modes():
    assert THREE.names == ("think", "thorough", "quick") and len(THREE) == 3
    assert ModeSet.of(THREE.tags) == THREE and THREE.named("quick").tag == "[Answer at once]"
    assert pickle.loads(pickle.dumps(THREE)) == THREE
    assert str(Mode.GENERAL) == "general" and PAPER_MODES == (Mode.GENERAL, Mode.PERSONALIZED)


@pytest.mark.parametrize(
    "tags, words",
    [
        ({"think": "[Think]"}, "1 modes, expected two or more"),
        ({"think": "[T]", "quick": "[T]"}, "is part of"),
        ({"think": "[Think]", "more": "![Think]!"}, "choose other tags"),
        ({"think": "[Think]", "quick": " [Quick]"}, "without space"),
        ({"think": "[Think]", "quick": ""}, "without space"),
        ({"a/b": "[A]", "quick": "[Q]"}, "letters, digits"),
        ({"none": "[A]", "quick": "[Q]"}, "means that there is no mode"),
        (["[A]", "[B]"], "their names with their tags"),
    ],
)
def test_a_wrong_set_is_refused_in_words(tags, words):
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        ModeSet.of(tags)


def test_two_modes_of_one_name_are_refused():
    with pytest.raises(ValueError, match="called 'a'"):
        ModeSet([Mode("a", "[A]"), Mode("a", "[B]")])


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="think, thorough, quick"):
        THREE.named("slow")


# --- parser and rows ---


@SETS
def test_a_completion_is_read_in_its_own_set(mode_set):
    for mode in mode_set:
        parsed = modes.parse(modes.completion_text(mode, "Because.", "4"), mode_set=mode_set)
        assert (parsed.mode, parsed.reasoning, parsed.answer) == (mode, "Because.", "4")
    strange = modes.parse('[Other]\n<answer>{"answer": "4"}</answer>', mode_set=mode_set)
    assert strange.mode is None and all(mode.tag in strange.error for mode in mode_set)


def test_an_example_of_any_mode_survives_its_row():
    item = Item("i", "b", "objective", "text", "2 + 2?", "4")
    rows = [Example(item, None, "none", mode=mode, reasoning="r", answer="4") for mode in FOUR]
    frame = construct.to_frame(rows)
    assert construct.from_frame(frame, FOUR) == rows
    with pytest.raises(ValueError, match="'think', expected one of general, personalized"):
        construct.from_frame(frame)


def test_other_tags_reach_training_and_records(tmp_path):
    """The paper's modes under other tags, through SFT, DualGRPO and evaluation."""
    tags = {"general": "[G]", "personalized": "[P]"}
    cfg = config.load("smoke", output_dir=str(tmp_path), modes=tags, systems=["personadual"])
    (file,) = systems.evaluated(cfg, "personadual")
    records = evaluate.read_records([file])
    for name, tag in tags.items():
        forced = records[records.forced == name]
        assert forced.completion.str.startswith(f"{tag}\n").all()
        assert (forced["mode"] == name).any()
    model, tokenizer = models.load(systems.folder(cfg, "personadual"))
    prefixes = modes.prefix_ids(tokenizer, cfg.mode_set)
    assert {len(ids) for ids in prefixes.values()} == {1}, "a token of its own each"
    data = systems.sft_set(cfg, cfg.seed) / "sft.parquet"
    for example in construct.from_frame(pd.read_parquet(data), cfg.mode_set):
        assert prefixes[example.mode][0] in train.sft_row(tokenizer, example)["labels"]
    item = Item("i", "b", "objective", "text", "2 + 2?", "4")
    assert VIEWS["general"](Example(item, None, "none", mode=cfg.mode_set[0]))


# --- chances ---


@SETS
def test_chances_are_the_products_along_each_tag(tiny_model, text_tokenizer, mode_set):
    """Against every tag scored whole: only where tags part does a token have alternatives."""
    prompts = ["what is bond?", "in finance, bond is"]
    found = generate.mode_chances(tiny_model, text_tokenizer, prompts, mode_set)
    assert found.shape == (2, len(mode_set)) and found.sum(1) == pytest.approx([1, 1])
    prefixes = list(modes.prefix_ids(text_tokenizer, mode_set).values())
    assert any(len(a) != len(b) for a, b in itertools.combinations(prefixes, 2))
    for row, prompt in zip(found, prompts, strict=True):
        ids = text_tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for chance, prefix in zip(row, prefixes, strict=True):
            with torch.no_grad():
                logits = tiny_model(torch.tensor([ids + prefix])).logits[0, len(ids) - 1 :]
            expected = 1.0
            for at, token in enumerate(prefix):
                known = {p[at] for p in prefixes if p[:at] == prefix[:at]}
                alternatives = logits[at, sorted(known)].double().softmax(0)
                expected *= alternatives[sorted(known).index(token)].item()
            assert chance == pytest.approx(expected, abs=1e-6)


@SETS
def test_answers_come_with_the_same_chances_and_forced_tags(tiny_model, text_tokenizer, mode_set):
    prompts = ["what is bond?", "in finance, bond is"]
    chances, found = generate.answers(
        tiny_model,
        text_tokenizer,
        prompts,
        forced=(None, *mode_set),
        max_new_tokens=4,
        mode_set=mode_set,
    )
    expected = generate.mode_chances(tiny_model, text_tokenizer, prompts, mode_set)
    assert chances == pytest.approx(expected, abs=1e-6)
    for mode in mode_set:
        assert all(c.text.startswith(mode.tag + "\n") for c in found[mode, 0])
        alone = generate.complete(
            tiny_model, text_tokenizer, prompts, forced=mode, max_new_tokens=4, mode_set=mode_set
        )
        assert [c.text for c in alone] == [c.text for c in found[mode, 0]]


# --- training ---


def make_trainer(folder, model, tokenizer, mode_set, reward=None, **settings):
    n = len(mode_set)
    rows = [{"prompt": f"what is {word}?", "kind": "all"} for word in ("bond", "loan")]
    settings = {
        "num_generations": 2 * n,
        "per_device_train_batch_size": 4 * n,
        "save_strategy": "no",
        "report_to": [],
        "max_steps": 1,
    } | settings
    args = DualGRPOConfig(
        output_dir=str(folder / "run"),
        modes=mode_set.tags,
        max_completion_length=4,
        beta=0.04,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        logging_steps=1,
        **settings,
    )
    saved = models.save(model, tokenizer, folder / "model")
    return DualGRPOTrainer(
        str(saved),
        [reward or (lambda completions, **_: [float(k % 3) for k in range(len(completions))])],
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


def generation(trainer):
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    with torch.no_grad():
        return trainer._generate_and_score_completions(batch)


@SETS
def test_every_mode_gets_equally_many_rollouts_and_its_own_advantages(
    tiny_model, text_tokenizer, tmp_path, mode_set
):
    trainer = make_trainer(
        tmp_path, tiny_model, text_tokenizer, mode_set, importance_correction="uniform"
    )
    out, n_modes = generation(trainer), len(mode_set)
    prefixes = list(modes.prefix_ids(text_tokenizer, mode_set).values())
    rewards = trainer.total_rewards.view(2, n_modes, 2)
    response, prefix = advantages.compute(rewards)
    for row in range(4 * n_modes):
        at = np.unravel_index(row, (2, n_modes, 2))
        ids = prefixes[at[1]]
        assert out["completion_ids"][row, : len(ids)].tolist() == ids
        expected = [prefix[at].item()] * len(ids) + [response[at].item()]
        assert out["advantages"][row, : len(ids) + 1].tolist() == pytest.approx(expected)
        drawn = out["old_per_token_logps"][row, : len(ids)].sum().exp().item()
        assert drawn == pytest.approx(1 / n_modes), "one of M equal chances, however it is spelled"


def test_free_rollouts_are_sorted_into_all_modes(tiny_model, text_tokenizer, tmp_path):
    trainer = make_trainer(
        tmp_path,
        tiny_model,
        text_tokenizer,
        FOUR,
        forced_prefixes=False,
        estimator="grpo",
    )
    prefixes = list(modes.prefix_ids(text_tokenizer, FOUR).values())
    assert [trainer._written_mode([*ids, 5]) for ids in [*prefixes, [5]]] == [0, 1, 2, 3, 4]
    trainer.total_rewards = torch.arange(16.0)
    table, index = trainer._by_mode(torch.arange(16) % 5)
    assert table.shape == (2, 5, 8) and table.flatten()[index].tolist() == list(range(16))
    assert table.isnan().sum() == 2 * 5 * 8 - 16


@pytest.mark.parametrize("mode_set", [THREE, FOUR], ids=len)
def test_the_health_of_every_mode_is_logged_and_told(
    tiny_model, text_tokenizer, tmp_path, mode_set
):
    trainer = make_trainer(tmp_path, tiny_model, text_tokenizer, mode_set)
    trainer.train()
    row = trainer.state.log_history[0]
    for name in mode_set.names[1:]:
        assert 0 <= row[f"p_{name}/all"] <= 1 and row[f"share/{name}"] == 1 / len(mode_set)
        assert row[f"recent/p_{name}/all"] == pytest.approx(row[f"p_{name}/all"])
    assert {f"reward/{name}" for name in mode_set.names} <= set(row)
    assert "recent/unaligned_share" not in row
    sick = {f"p_{name}/all": 0.001 for name in mode_set.names[1:]}
    told = health.warnings(sick, mode_set)
    assert [text.split()[1] for text in told] == list(mode_set.names[1:])
    sick = {f"p_{name}/all": 1 / len(sick) for name in mode_set.names[1:]}
    (told,) = health.warnings(sick, mode_set)
    assert "the think mode dies" in told


def test_a_mode_that_pays_is_chosen(tiny_model, text_tokenizer, tmp_path):
    """Of three modes, whose tags part at two tokens, the rewarded one gains."""

    def reward(completions, **_):
        return [float(text.startswith("[Think twice]")) for text in completions]

    prompts = ["what is bond?", "what is loan?"]
    before = generate.mode_chances(tiny_model, text_tokenizer, prompts, THREE)
    trainer = make_trainer(
        tmp_path, tiny_model, text_tokenizer, THREE, reward, max_steps=8, learning_rate=1e-3
    )
    trainer.train()
    after = generate.mode_chances(trainer.model.eval(), text_tokenizer, prompts, THREE)
    assert (after[:, 1] > before[:, 1]).all()


@pytest.mark.parametrize(
    "count, n_modes, words", [(4, 3, "use 3, 6, 9"), (2, 3, "use 3, 6, 9"), (6, 4, "use 4, 8")]
)
def test_rollouts_that_the_modes_cannot_share_are_refused(tmp_path, count, n_modes, words):
    with pytest.raises(ValueError, match=words):
        DualGRPOConfig(
            output_dir=str(tmp_path),
            modes=ModeSet(FOUR[:n_modes]).tags,
            num_generations=count,
            per_device_train_batch_size=count,
            use_cpu=True,
            bf16=False,
        )


# --- an estimator of one's own ---


def my_dualgrpo(rewards, prefix_weight=2.0):
    """The formula of DualGRPO, written again."""
    means = rewards.nanmean(2, keepdim=True)
    others = (means.sum(1, keepdim=True) - means) / (rewards.shape[1] - 1)
    return rewards - others, prefix_weight * (rewards - others)


@SETS
@pytest.mark.parametrize("own", [advantages.dualgrpo, my_dualgrpo], ids=["registered", "own"])
def test_a_function_equals_the_named_estimator_bit_for_bit(
    tiny_model, text_tokenizer, tmp_path, mode_set, own
):
    found = []
    for k, estimator in enumerate(("dualgrpo", own)):
        trainer = make_trainer(
            tmp_path / str(k), tiny_model, text_tokenizer, mode_set, estimator=estimator, seed=3
        )
        found.append(generation(trainer))
        assert trainer.args.to_dict()["estimator"] == advantages.name_of(estimator)
    for name in ("completion_ids", "advantages"):
        assert torch.equal(found[0][name], found[1][name]), name
    assert found[0]["advantages"].abs().sum() > 0


def test_a_local_function_does_not_stop_a_checkpoint(tiny_model, text_tokenizer, tmp_path):
    trainer = make_trainer(
        tmp_path,
        tiny_model,
        text_tokenizer,
        THREE,
        estimator=lambda rewards: advantages.grpo(rewards),
        save_strategy="steps",
    )
    trainer.train()
    assert (tmp_path / "run" / "checkpoint-1" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "function, words",
    [
        (lambda rewards: rewards, r"expected two tensors"),
        (lambda rewards: (rewards, rewards[:1]), r"expected two tensors"),
        (lambda rewards: None, r"expected two tensors"),
        (lambda rewards: (rewards / 0, rewards), "NaN or infinite"),
    ],
)
def test_an_estimator_that_returns_something_else_is_told(function, words):
    with pytest.raises(ValueError, match=words):
        advantages.compute(torch.zeros(2, 2, 3), function)


def test_a_partial_function_is_one_too():
    partial = functools.partial(my_dualgrpo, prefix_weight=3.0)
    rewards = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    response, prefix = advantages.compute(rewards, partial)
    assert torch.equal(prefix, 3 * response) and advantages.name_of(partial) == "my_dualgrpo"


def test_options_of_a_function_are_its_parameters(tmp_path):
    assert advantages.options(my_dualgrpo) == {"prefix_weight": 2.0}
    with pytest.raises(ValueError, match="my_dualgrpo has no option speed"):
        advantages.compute(torch.zeros(2, 2, 3), my_dualgrpo, speed=1)
    with pytest.raises(ValueError, match="expected a function or one of"):
        DualGRPOConfig(output_dir=str(tmp_path), estimator="magic", use_cpu=True, bf16=False)


# --- tokens of their own ---


def test_every_mode_gets_a_token_of_its_own(tiny_model, tmp_path):
    core = Tokenizer(BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core.train_from_iterator(
        [], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    model = models.load(models.save(tiny_model, tokenizer, tmp_path / "m"))[0]
    new = models.add_mode_tokens(model, tokenizer, FOUR)
    assert [ids for ids in modes.prefix_ids(tokenizer, FOUR).values()] == [[t] for t in new]
    assert models.lora(tokenizer, mode_set=FOUR).trainable_token_indices == new


# --- a trainer to adopt ---


def test_a_model_card_names_modes_and_settings(tiny_model, text_tokenizer, tmp_path):
    trainer = make_trainer(
        tmp_path, tiny_model, text_tokenizer, THREE, estimator=my_dualgrpo, prefix_weight=1.5
    )
    trainer.create_model_card(model_name="mine")
    text = (tmp_path / "run" / "README.md").read_text()
    for said in (
        "| thorough | `[Think twice]` |",
        "| estimator | my_dualgrpo |",
        "| prefix_weight | 1.5 |",
        "| num_generations | 6 |",
        "DualGRPO",
        "2601.08679",
        "- dualgrpo",
    ):
        assert said in text, said
    assert text.count("## Modes") == 1


TRACKED = """
import sys
import test_mode_sets
from pathlib import Path
from pdlib import models
tracker, folder = sys.argv[1], Path(sys.argv[2])
model, tokenizer = models.load(folder / "start")
trainer = test_mode_sets.make_trainer(
    folder, model, tokenizer, test_mode_sets.THREE, report_to=[tracker]
)
trainer.train()
if tracker == "wandb":
    import wandb
    assert 0 <= wandb.run.summary["train/p_quick/all"] <= 1
"""


@pytest.fixture(scope="module")
def trackers(tmp_path_factory) -> Path:
    """A folder with the extra `trackers`. They are no part of the environment of the tests: where
    wandb is installed, TRL imports it, which takes every process a second.
    """
    folder = tmp_path_factory.mktemp("trackers")
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "1"]
    wanted = pins["optional-dependencies"]["trackers"]
    done = subprocess.run(
        [*pip, "--target", str(folder), *wanted], capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    return folder


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_trackers_get_the_modes_health(tiny_model, text_tokenizer, tmp_path, trackers, tracker):
    """As TRL has them; wandb offline, since nothing may leave the machine."""
    models.save(tiny_model, text_tokenizer, tmp_path / "start")
    paths = [str(path) for path in (ROOT, ROOT / "tests", trackers)]
    subprocess.run(
        [sys.executable, "-c", TRACKED, tracker, str(tmp_path)],
        check=True,
        timeout=600,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(paths),
            "WANDB_MODE": "offline",
            "WANDB_DIR": str(tmp_path),
        },
    )
    if tracker == "wandb":
        written = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    else:
        written = list((tmp_path / "run" / "runs").glob("**/events.out.tfevents.*"))
        assert b"p_quick/all" in written[0].read_bytes()
    assert len(written) == 1 and written[0].stat().st_size > 0

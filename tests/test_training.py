"""The stages that train: kill and resume, checkpoints, progress."""

import contextlib
import copy
import json
import math
import random
import shutil
import time
from pathlib import Path

import pytest
import torch
from conftest import FORKSERVER, exact, rounding, summands
from peft import get_peft_model
from safetensors.torch import load_file
from transformers import TrainerState
from trl.trainer import utils as trl_utils

from pdlib import config, models, systems, train
from pdlib.pocket import diet
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.templates import TEMPLATES
from pdlib.run.progress import Progress, read_log
from pdlib.shared_prefix import trl_inside
from pdlib.train import backbone, supervised
from pdlib.train.rl import grpo_arguments
from pdlib.train.rows import tokenize
from pdlib.train.run import StopWhereNotFinite, TrainingRun, last_checkpoint


def train_personadual(folder: Path):
    """Fit SFT and RL to `folder`; what is printed goes to a file there."""
    folder.mkdir(exist_ok=True)
    with (folder / "printed.txt").open("w") as file, contextlib.redirect_stdout(file):
        cfg = config.load(
            "smoke", output_dir=str(folder), sft_batch=8, rl_steps=6, checkpoint_every=2
        )
        systems.fit(cfg, "personadual")


def start(folder: Path):
    """A process of its own that trains."""
    process = FORKSERVER.Process(target=train_personadual, args=(folder,), daemon=True)
    process.start()
    return process


def test_killed_runs_go_on_and_end_with_the_same_numbers(tmp_path):
    """Killed (SIGKILL) in SFT and again in RL after a checkpoint; the weights equal those of a run
    left alone.
    """
    alone = start(tmp_path / "alone")
    alone.join(1000)
    assert alone.exitcode == 0
    shutil.copytree(tmp_path / "alone" / "smoke", tmp_path / "killed" / "smoke")
    whole, killed = (tmp_path / name / "smoke" / "pocket-qwen3" for name in ("alone", "killed"))
    shutil.rmtree(killed / "sft_only-0")
    shutil.rmtree(killed / "personadual-0")
    for stage in ("sft_only-0", "personadual-0"):
        process, deadline = start(tmp_path / "killed"), time.monotonic() + 1000
        while not list((killed / stage / "checkpoints").glob("checkpoint-*/trainer_state.json")):
            assert process.is_alive() and time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.join()
        assert not (killed / stage / "manifest.json").exists()
    last = start(tmp_path / "killed")
    last.join(1000)
    assert last.exitcode == 0
    assert "going on with unfinished work" in (tmp_path / "killed" / "printed.txt").read_text()
    for stage in ("sft_only-0", "personadual-0"):
        one, two = (load_file(f / stage / "model.safetensors") for f in (whole, killed))
        assert all(torch.equal(one[name], two[name]) for name in one), stage
        steps = [
            json.loads(line)["step"]
            for line in (killed / stage / "log.jsonl").read_text().splitlines()
        ]
        assert steps == sorted(set(steps)), "a resumed log repeats or loses steps"


def test_an_interrupted_checkpoint_is_dropped_and_said(tmp_path, capsys):
    for step, state in ((2, "{}"), (4, '{"global_st')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-10").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
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
    progress.on_train_begin(None, TrainerState(global_step=1), None)
    assert [row["step"] for row in progress.rows] == [1]


def test_two_launched_processes_train_as_one_does(tmp_path):
    """The setting `accelerate` takes SFT and DualGRPO through `accelerate launch`: same batches,
    same SFT losses, same stages.
    """

    def settings(**more):
        return config.load(
            "smoke",
            output_dir=str(tmp_path),
            sft_micro_batch=4,
            rl_rollouts=4,
            rl_micro_batch=2,
            **more,
        )

    one, two = (
        settings(rl_generation_batch=8),
        settings(rl_generation_batch=4, accelerate="cpu2", processes=2),
    )
    losses = []
    for cfg in (one, two):
        folder = systems.fit(
            cfg, "sft_only"
        )  # the second has other settings, so the stage runs again
        losses.append(read_log(folder).loss.tolist())
    terms = (
        len(losses[0]) * 2 * summands(models.load(folder)[0].config, 300)
    )  # each step goes there and back
    assert (
        losses[0] == pytest.approx(losses[1], abs=rounding(torch.float32, max(losses[0]), terms))
        and len(losses[0]) > 2
    )
    assert (folder / "launch.log").is_file() and models.load(folder)
    trained = systems.fit(two, "personadual")
    assert len(read_log(trained)) == two.rl_steps
    facts = json.loads((trained / "manifest.json").read_text())["facts"]
    assert facts["steps"] == two.rl_steps and facts["questions"] == 6


def test_sft_scores_only_what_has_a_label_and_learns_the_same(
    tmp_path, tiny_model, tokenizer, monkeypatch
):
    """On a CPU too; if TRL changes where it decides that, this fails, and
    `trl_inside.scoring_labels_only` has to follow.
    """
    cfg = config.load("smoke", output_dir=str(tmp_path), sft_batch=4, sft_micro_batch=4)
    rows = [
        tokenize(tokenizer, "what is bond? " * (1 + at % 3), " a loan" * (1 + at % 2))
        for at in range(8)
    ]
    scored, fused = [], trl_utils._ChunkedLogProbFunction

    class Counting:
        @staticmethod
        def apply(hidden, *rest):
            scored.append(len(hidden))
            return fused.apply(hidden, *rest)

    monkeypatch.setattr(trl_utils, "_ChunkedLogProbFunction", Counting)
    monkeypatch.setattr(
        trl_utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", 512
    )  # the head in pieces, as for large vocabularies

    start = models.save(exact(copy.deepcopy(tiny_model)), tokenizer, tmp_path / "start")
    weights = []
    for name, context in (
        ("usual", contextlib.nullcontext),
        ("labels only", trl_inside.scoring_labels_only),
    ):
        monkeypatch.setattr(supervised, "scoring_labels_only", context)
        (tmp_path / name).mkdir()
        fresh = exact(copy.deepcopy(tiny_model))  # in 64 bits: rounding is far below
        run = TrainingRun(cfg, tmp_path / name, start, "sft", 4, fresh=(fresh, tokenizer))
        train.train_on_rows(run, rows, "t", learning_rate=1e-3, warmup=0.02)
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    labels = [sum(label != -100 for label in row["labels"]) for row in rows]
    positions = [
        4 * (max(len(row["input_ids"]) for row in part) - 1) for part in (rows[:4], rows[4:])
    ]
    assert scored == [*positions, sum(labels[:4]), sum(labels[4:])]
    before = tiny_model.state_dict()
    assert any((weights[0][name] - before[name]).abs().max() > 1e-4 for name in before), (
        "nothing was learned"
    )
    for name, value in weights[0].items():
        assert (value - weights[1][name]).abs().max() <= rounding(torch.float32, 1, 1), name


def test_choices_stay_with_their_twin_and_lie_between_the_batches_of_rows():
    rows = [{"input_ids": [0] * (1 + at % 7), "row": at} for at in range(40)]
    choices = [{"input_ids": [0] * (3 + at // 2 % 5 + at % 2), "choice": at} for at in range(24)]
    read = train.with_choices(rows, choices, passes=3, batch=8, rng=random.Random(0))
    batches = [read[at : at + 8] for at in range(0, len(read), 8)]
    kinds = ["choice" in batch[0] for batch in batches]
    assert [
        all(("choice" in row) is kind for row in batch)
        for batch, kind in zip(batches, kinds, strict=True)
    ] == [True] * 14
    assert sorted(row["row"] for batch in batches for row in batch if "row" in row) == list(
        range(40)
    )
    asked = [
        [row["choice"] for row in batch] for batch, kind in zip(batches, kinds, strict=True) if kind
    ]
    assert sorted(sum(asked, [])) == sorted([*range(24)] * 3)
    assert all(
        left + 1 == right and left % 2 == 0
        for batch in asked
        for left, right in zip(batch[::2], batch[1::2], strict=True)
    )
    assert True in kinds[:7] and True in kinds[7:], "all at one end"
    assert train.with_choices(rows, [], 3, 8, random.Random(0)) == rows


# --- what is read before SFT ---


def test_reading_holds_facts_and_words_of_work_and_nobody_who_fits_or_misleads(tokenizer):
    rows = diet.reading(0, 400)
    assert rows == diet.reading(0, 400) and rows != diet.reading(1, 400)
    lists = rows[1::2]
    assert all(prompt.endswith("which are words of my work?") for prompt, _ in lists)
    asked = [template.partition("{")[0] for forms in TEMPLATES.values() for template in forms]
    assert not [
        prompt
        for prompt, _ in rows[::2]
        if "I am" in prompt or any(text and prompt.startswith(text) for text in asked)
    ]
    for prompt, said in lists:
        field = next(
            name
            for name, jobs in lexicon().occupations.items()
            if any(f"I am a {job} " in prompt for job in jobs)
        )
        for word, label in (part.split() for part in said.split(",")):
            assert (field in (lexicon().words | lexicon().units)[word]) is (label == "yes")
    cfg = config.load("smoke", sft_reading=40)
    assert len(backbone.reading(cfg)) == 40
    with pytest.raises(ValueError, match="only the pocket world has such rows; set sft_reading=0"):
        backbone.reading(config.load("gpu", sft_reading=40))


# --- precision ---


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_training_stops_at_the_first_step_that_is_not_finite(name, value):
    stop, state = StopWhereNotFinite(), TrainerState(global_step=7)
    stop.on_log(None, state, None, logs={"loss": 0.3, "grad_norm": 1.0})
    stop.on_log(None, state, None, logs=None)
    with pytest.raises(RuntimeError, match=f"{name} is {value} at step 7; lower"):
        stop.on_log(None, state, None, logs={"loss": 0.3, "grad_norm": 1.0} | {name: value})


def test_a_diverging_training_is_stopped(tmp_path):
    cfg = config.load("smoke", output_dir=str(tmp_path), sft_learning_rate=math.inf)
    with pytest.raises(RuntimeError, match="training diverged: .* at step|logits are NaN"):
        systems.fit(cfg, "sft_only")


def test_an_adapter_on_4_bits_is_held_in_32_and_moves(tiny_model, tokenizer, tmp_path):
    """TRL casts it to bfloat16, where most of a step of 1e-5 is lost to rounding."""
    folder = models.save(copy.deepcopy(tiny_model), tokenizer, tmp_path / "start")
    moved = {}
    for held in (torch.bfloat16, torch.float32):
        model, _, lora = models.load_for_training(folder, "qlora")
        model = get_peft_model(model, lora)
        for parameter in model.parameters():  # as TRL leaves it
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
        if held == torch.float32:
            models.train_in_32_bits(model)
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        assert {p.dtype for p in trained.values()} == {held}
        before = {n: p.detach().clone() for n, p in trained.items() if "lora_A" in n}
        optimizer = torch.optim.AdamW(trained.values(), lr=1e-5)
        ids = torch.tensor([tokenizer("what is bond?")["input_ids"]])
        for _ in range(2):  # the first moves B alone, which begins at zero
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        entries = [(trained[n] != before[n]).float().mean().item() for n in before]
        moved[held] = sum(entries) / len(entries)
    assert moved[torch.float32] > 0.9 > 0.5 > moved[torch.bfloat16]


def test_vllm_makes_room_for_prompt_tag_and_completion_and_no_more(tiny_model, tokenizer, tmp_path):
    folder = models.save(copy.deepcopy(tiny_model), tokenizer, tmp_path / "start")
    cfg = config.load("smoke", rl_vllm="colocate")
    run = TrainingRun(cfg, tmp_path, folder, "rl", cfg.rl_prompts * cfg.rl_rollouts)
    arguments = grpo_arguments(run, cfg.rl_rollouts, 3)
    room = cfg.rl_max_prompt + 1 + cfg.rl_max_completion  # a tag is one token here
    assert arguments["vllm_max_model_length"] == room and arguments["use_vllm"]
    alone = TrainingRun(config.load("smoke"), tmp_path, folder, "rl", 8)
    assert not any(name.startswith(("vllm", "use_vllm")) for name in grpo_arguments(alone, 8, 3))

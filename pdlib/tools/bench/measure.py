"""Times and memory of stock TRL and of ours, in turns."""

import itertools
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM, set_seed
from trl import GRPOConfig, GRPOTrainer

from pdlib import benchmarks, generate, models, modes
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.generate import sampling
from pdlib.pocket.backbones import build_backbone, build_tokenizer
from pdlib.pocket.world import World, lexicon
from pdlib.schema import Mode
from pdlib.shared_prefix.cost import Shape, best_ratio

MODELS = {  # name -> shape, of Qwen3 or of Llama; "pocket" is the pocket backbone
    "17M": {
        "vocab_size": 8192,
        "hidden_size": 384,
        "intermediate_size": 1152,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 64,
    },
    "Qwen3-0.6B": {
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "SmolLM2-135M": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
}
# the one of them that is a Llama; in bfloat16 on a CPU, too, where that pays, as the profile that
# trains it
LLAMA = "SmolLM2-135M"
SIDES = {
    "stock": (GRPOTrainer, GRPOConfig, {}),
    "ours": (DualGRPOTrainer, DualGRPOConfig, {"prefix_style": "token"}),
}


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def uses_bf16(name: str) -> bool:
    """Are both sides trained in bfloat16? On a GPU always, on a CPU that of LLAMA where that pays
    (models.use_bf16).
    """
    return device() == "cuda" or name == LLAMA and models.use_bf16(MODELS[name]["hidden_size"])


def write_model(name: str, folder: Path) -> Path:
    """Random weights of a shape and the pocket tokenizer, as a folder: random weights end no
    completion early, on either side.
    """
    set_seed(0)
    tokenizer = build_tokenizer()
    if name == "pocket":
        model = build_backbone("pocket-qwen3", tokenizer, 0)
    elif name in MODELS:
        kind, shape = (
            (LlamaForCausalLM, LlamaConfig) if name == LLAMA else (Qwen3ForCausalLM, Qwen3Config)
        )
        model = kind(shape(**MODELS[name], max_position_embeddings=4096, tie_word_embeddings=True))
    else:
        raise ValueError(f"unknown model {name!r}, expected one of pocket, {', '.join(MODELS)}")
    model.to(torch.bfloat16 if device() == "cuda" else torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prompt_texts(tokenizer, shape: Shape) -> list[str]:
    """`shape.prompts` different texts of `shape.prompt` tokens each."""
    words = [
        w for w in lexicon().words if len(tokenizer.encode(f" {w}", add_special_tokens=False)) == 1
    ]
    rng = random.Random(0)
    texts = [
        "".join(f" {rng.choice(words)}" for _ in range(shape.prompt)) for _ in range(shape.prompts)
    ]
    found = {len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]}
    if found != {shape.prompt}:
        raise ValueError(f"prompts of {sorted(found)} tokens were made, wanted {shape.prompt}")
    return texts


def make_trainer(side: str, folder: Path, shape: Shape, work: Path) -> GRPOTrainer:
    """A trainer of one side, ready for `training_step`; a step is one generation and one update of
    all completions.
    """
    kind, config, more = SIDES[side]
    on_gpu = device() == "cuda"
    args = config(
        output_dir=str(work),
        max_completion_length=shape.completion,
        report_to=[],
        use_cpu=not on_gpu,
        top_k=0,
        bf16=uses_bf16(shape.model),
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        num_generations=shape.rollouts,
        beta=0.04,
        per_device_train_batch_size=shape.prompts * shape.rollouts,
        loss_type="grpo",
        learning_rate=1e-6,
        max_steps=100,
        **more,
    )
    tokenizer = models.load_tokenizer(folder)
    rows = Dataset.from_dict({"prompt": prompt_texts(tokenizer, shape)})
    trainer = kind(
        str(folder),
        [lambda completion_ids, **_: [float(sum(ids) % 2) for ids in completion_ids]],
        args=args,
        train_dataset=rows,
        processing_class=tokenizer,
    )
    trainer.create_optimizer_and_scheduler(100)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@contextmanager
def pair(shape: Shape) -> Iterator[dict[str, GRPOTrainer]]:
    """The trainers of both sides, of the same weights."""
    with tempfile.TemporaryDirectory() as place:
        folder = write_model(shape.model, Path(place) / "model")
        yield {side: make_trainer(side, folder, shape, Path(place) / side) for side in SIDES}


def prompt_ids(trainer: GRPOTrainer, shape: Shape) -> list[list[int]]:
    """Each prompt's token ids, `shape.rollouts` times in a row."""
    texts = prompt_texts(trainer.processing_class, shape)
    return [
        ids
        for ids in trainer.processing_class(texts, add_special_tokens=False)["input_ids"]
        for _ in range(shape.rollouts)
    ]


def generation(trainer: GRPOTrainer, shape: Shape) -> Callable[[], None]:
    ids = prompt_ids(trainer, shape)
    return lambda: trainer._generate_single_turn(ids, None, {}, shape.rollouts)


def training_pass(
    trainer: GRPOTrainer, shape: Shape
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """Forward and backward over given completions -> (log-probabilities (B, T), all gradients in
    one vector).
    """
    prompts = torch.tensor(prompt_ids(trainer, shape))
    drawn = torch.Generator().manual_seed(0)
    completions = torch.randint(3, 600, (len(prompts), shape.completion), generator=drawn)
    weights = torch.randn(completions.shape, generator=drawn)
    ids, weights = (
        part.to(trainer.model.device) for part in (torch.cat([prompts, completions], 1), weights)
    )
    mask = torch.ones_like(ids)

    def run():
        trainer.model.zero_grad(set_to_none=True)
        logps = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, shape.completion
        )[0]
        (logps * weights).mean().backward()
        return logps.detach(), torch.cat(
            [p.grad.flatten().float() for p in trainer.model.parameters() if p.grad is not None]
        )

    return run


def step(trainer: GRPOTrainer, shape: Shape) -> Callable[[], None]:
    """Rollouts, rewards, reference and policy pass, backward, update."""

    def run():
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.training_step(trainer.model, batch, None)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()

    return run


PARTS = {"generation": generation, "training pass": training_pass, "whole step": step}


def seconds(run: Callable) -> float:
    if device() == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if device() == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def in_turns(sides: dict[str, Callable], repeats: int) -> dict:
    """{stock_s, ours_s: medians, ratio: median of the turns' ratios, ratio_low, ratio_high: their
    range}; one more turn goes before.
    """
    turns = [{side: seconds(run) for side, run in sides.items()} for _ in range(repeats + 1)][1:]
    ratios = [turn["stock"] / turn["ours"] for turn in turns]
    return {f"{side}_s": statistics.median(turn[side] for turn in turns) for side in sides} | {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "turns": repeats,
    }


def compare(shape: Shape, parts: tuple[str, ...] = tuple(PARTS), repeats: int = 3) -> list[dict]:
    """One row a part: the shape, times and ratios of `in_turns`, best (see `cost`), share of it
    that is reached; of the training pass also the largest difference of log-probabilities and the
    relative one of the gradients.
    """
    rows = []
    with pair(shape) as trainers:
        for part in parts:
            runs = {side: PARTS[part](trainer, shape) for side, trainer in trainers.items()}
            found = in_turns(runs, repeats)
            if part == "training pass":
                (a, one), (b, other) = (runs[side]() for side in SIDES)
                found |= {
                    "logp_difference": (a - b).abs().max().item(),
                    "gradient_difference": ((one - other).norm() / one.norm()).item(),
                }
            rows.append(_row(part, shape, trainers["ours"].model.config, found))
    return rows


def evaluation(questions: int, completion: int, repeats: int = 3) -> list[dict]:
    """Free and both forced answers to pocket questions: three runs of `generate` against one of
    ours, which gives P(mode), too.
    """
    with tempfile.TemporaryDirectory() as place:
        model, tokenizer = models.load(write_model("pocket", Path(place)))
        model.to(device())
        world, names = World(0, "test"), itertools.cycle(benchmarks.KIND)
        items = [world.item(name) for name in itertools.islice(names, questions)]
        texts, asked = (
            [modes.render_prompt(tokenizer, item, item.aligned) for item in items],
            (None, *Mode),
        )
        lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
        options = {"temperature": 0.6, "max_new_tokens": completion}
        found = in_turns(
            {
                "stock": lambda: [
                    sampling._plain(model, tokenizer, texts, mode, seed=0, **options)
                    for mode in asked
                ],
                "ours": lambda: generate.answers(model, tokenizer, texts, forced=asked, **options),
            },
            repeats,
        )
    return [
        _row(
            "evaluation",
            Shape("pocket", questions, round(statistics.mean(lengths)), completion, len(asked)),
            model.config,
            found,
        )
    ]


def _row(part: str, shape: Shape, config, found: dict) -> dict:
    best = best_ratio(config, shape)
    return {
        "part": part,
        **vars(shape),
        "precision": "bfloat16" if uses_bf16(shape.model) else "float32",
        **found,
        "best": best,
        "share_of_best": found["ratio"] / best,
    }


def peak(side: str, shape: Shape) -> int:
    """Bytes that a training pass needs above the loaded models, at most, gradients included; to be
    asked once in a process of its own.
    """
    with tempfile.TemporaryDirectory() as place:
        trainer = make_trainer(
            side, write_model(shape.model, Path(place) / "model"), shape, Path(place)
        )
        run = training_pass(trainer, shape)
        if device() == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run()
            return torch.cuda.max_memory_allocated() - before
        return _resident_above(run)


def _resident_above(run: Callable) -> int:
    """How far this process's resident memory rises while `run` runs, sampled every 2 ms."""
    here, over = psutil.Process(), threading.Event()
    before = highest = here.memory_info().rss

    def watch():
        nonlocal highest
        while not over.wait(0.002):
            highest = max(highest, here.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    run()
    over.set()
    watcher.join()
    return highest - before


def memory(shape: Shape) -> dict:
    """Peak memory of a training pass, each side in a process of its own: stock_mib, ours_mib, ratio
    (ours over stock).
    """
    found = {}
    for side in SIDES:
        command = [
            sys.executable,
            "-m",
            "pdlib.tools.bench",
            "--peak",
            side,
            shape.model,
            *map(str, list(vars(shape).values())[1:]),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}
        )
        if done.returncode:
            raise RuntimeError(f"measuring the memory of {side} failed:\n{done.stderr[-2000:]}")
        found[f"{side}_mib"] = int(done.stdout.split()[-1]) / 2**20
    return {
        "part": "peak memory",
        **vars(shape),
        **found,
        "ratio": found["ours_mib"] / found["stock_mib"],
    }


def machine() -> dict:
    """What it was measured on."""
    names = ("torch", "transformers", "trl", "peft", "accelerate")
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        cpu = next(
            (
                line.split(":")[1].strip()
                for line in info.read_text().splitlines()
                if line.startswith("model name")
            ),
            cpu,
        )
    return {
        "device": torch.cuda.get_device_name() if device() == "cuda" else cpu,
        "cores": psutil.cpu_count(logical=False),
        "threads": torch.get_num_threads(),
        "dtype": "bfloat16" if device() == "cuda" else "float32",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
    }

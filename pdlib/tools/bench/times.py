"""Times of stock TRL and of ours, in turns."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from trl import GRPOTrainer

from pdlib import benchmarks, generate, models, modes
from pdlib.pocket.world import World
from pdlib.schema import PAPER_MODES
from pdlib.shared_prefix.batches import token_ids
from pdlib.shared_prefix.cost import Shape, best_ratio
from pdlib.shared_prefix.trl_inside import logps_of, rollouts_of
from pdlib.tools.bench import sides


def generation(trainer: GRPOTrainer, shape: Shape) -> Callable[[], None]:
    """A function that samples all completions."""
    prompts = sides.prompt_ids(trainer, shape)  # (B·n, T)
    return lambda: rollouts_of(trainer, prompts)


def training_pass(
    trainer: GRPOTrainer, shape: Shape
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """A function that goes forward and backward over given completions.

    It returns their log-probabilities (B·n, T) and all gradients in one vector.
    """
    prompts = torch.tensor(sides.prompt_ids(trainer, shape))
    generator = torch.Generator().manual_seed(0)
    completions = torch.randint(3, 600, (len(prompts), shape.completion), generator=generator)
    weights = torch.randn(completions.shape, generator=generator).to(trainer.model.device)
    ids = torch.cat([prompts, completions], 1).to(trainer.model.device)  # (B·n, T)
    mask = torch.ones_like(ids)

    def run():
        trainer.model.zero_grad(set_to_none=True)
        logps = logps_of(trainer, ids, mask, shape.completion)
        (logps * weights).mean().backward()
        gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
        return logps.detach(), torch.cat([gradient.flatten().float() for gradient in gradients])

    return run


def whole_step(trainer: GRPOTrainer, shape: Shape) -> Callable[[], None]:
    """A function that does rollouts, rewards, reference and policy pass, backward and update."""

    def run():
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.training_step(trainer.model, batch, None)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()

    return run


PARTS = {"generation": generation, "training pass": training_pass, "whole step": whole_step}


def seconds(run: Callable) -> float:
    """How long one call of `run` takes."""
    if sides.device() == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if sides.device() == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def in_turns(runs: dict[str, Callable], repeats: int) -> dict:
    """Times of both sides in `repeats` turns, after one more turn that does not count.

    stock_s and ours_s are medians, ratio is the median of the turns' ratios, and ratio_low and
    ratio_high are their range.
    """
    turns = [{side: seconds(run) for side, run in runs.items()} for _ in range(repeats + 1)][1:]
    ratios = [turn["stock"] / turn["ours"] for turn in turns]
    return {f"{side}_s": statistics.median(turn[side] for turn in turns) for side in runs} | {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "turns": repeats,
    }


def compare(shape: Shape, parts: tuple[str, ...] = tuple(PARTS), repeats: int = 3) -> list[dict]:
    """One row per part of a step: the shape, times and ratios of `in_turns`, best, share_of_best.

    best is `cost.best_ratio`, share_of_best how much of it is reached. The row of the training pass
    also has the largest difference of log-probabilities and the relative one of the gradients.
    """
    rows = []
    with sides.pair(shape) as trainers:
        for part in parts:
            runs = {side: PARTS[part](trainer, shape) for side, trainer in trainers.items()}
            measured = in_turns(runs, repeats)
            if part == "training pass":
                stock_logps, stock_gradient = runs["stock"]()
                logps, gradient = runs["ours"]()
                distance = (stock_gradient - gradient).norm()
                measured["logp_difference"] = (stock_logps - logps).abs().max().item()
                measured["gradient_difference"] = (distance / stock_gradient.norm()).item()
            rows.append(_row(part, shape, trainers["ours"].model.config, measured))
    return rows


def evaluation(questions: int, completion: int, repeats: int = 3) -> dict:
    """The row of free and both forced answers to pocket questions.

    Stock are three runs of `generate`; ours is one call, which gives P(mode), too.
    """
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = models.load(sides.write_model("pocket", Path(folder)))
    model.to(sides.device())
    world, names = World(0, "test"), itertools.cycle(benchmarks.KIND)
    items = [world.item(name) for name in itertools.islice(names, questions)]
    texts = [modes.render_prompt(tokenizer, item, item.aligned) for item in items]
    forced = (None, *PAPER_MODES)
    options = {"temperature": 0.6, "max_new_tokens": completion}

    def stock():
        for mode in forced:
            generate.complete_unshared(model, tokenizer, texts, mode, seed=0, **options)

    def ours():
        generate.answers(model, tokenizer, texts, forced=forced, **options)

    measured = in_turns({"stock": stock, "ours": ours}, repeats)
    prompt = round(statistics.mean(map(len, token_ids(tokenizer, texts))))
    shape = Shape("pocket", questions, prompt, completion, len(forced))
    return _row("evaluation", shape, model.config, measured)


def _row(part: str, shape: Shape, config, measured: dict) -> dict:
    best = best_ratio(config, shape)
    return {
        "part": part,
        **vars(shape),
        "precision": "bfloat16" if sides.uses_bf16(shape.model) else "float32",
        **measured,
        "best": best,
        "share_of_best": measured["ratio"] / best,
    }

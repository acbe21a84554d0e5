"""The data stages: PersonaDualData for SFT and RL, and the test set. The same functions for the
pocket world and real data.
"""

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pdlib import benchmarks, config, models
from pdlib.dataset import card, construct, corpus, everyday, experts, personas
from pdlib.dataset.endpoint import Endpoint
from pdlib.pocket.world import SEALED, People, World
from pdlib.questions import leaks, rows
from pdlib.run import stages
from pdlib.schema import Example, Item, Persona

POCKET_SPLITS = {
    "sft": "train",
    "rl": "train",
    "validation": "validation",
}  # our split -> the world's; each draws with a seed of its own
WORLD = (
    "cue_share",
    "fit",
    "profession_only_share",
    "word_only_share",
    "contradicting_cue_share",
)  # settings of the pocket world


def people(cfg: config.Config) -> People:
    """What askers of the pocket world mean, and what they share with the questions that they ask."""
    return People(
        cfg.fit,
        cfg.profession_only_share,
        cfg.word_only_share,
        cfg.contradicting_cue_share,
        cfg.commonest_share,
    )


def world(cfg: config.Config) -> dict:
    """The settings of the pocket world, on which its stages depend."""
    return cfg.subset(*WORLD) | (
        {"commonest_share": cfg.commonest_share} if cfg.fit == "field" else {}
    )


def open_expert(cfg: config.Config) -> experts.Expert:
    """The expert of `cfg`: the pocket world's own, or a model behind an OpenAI-compatible endpoint.

    What it answers is kept in outputs/<profile>/expert/, so that nothing is asked twice.
    """
    if cfg.expert == "pocket":
        return experts.PocketExpert()
    return experts.EndpointExpert(open_endpoint(cfg, "expert"))


def open_endpoint(cfg: config.Config, place: str, **other) -> Endpoint:
    """What answers at `expert_url`, with the limits and prices of `cfg`; its journal is kept in
    outputs/<profile>/<place>.

    other: fields of `Endpoint` that differ from the expert's, as model, max_tokens or temperature.
    """
    settings = {
        "model": cfg.expert,
        "concurrency": cfg.expert_concurrency,
        "requests_per_minute": cfg.expert_requests_per_minute or None,
        "max_tokens": cfg.expert_max_tokens,
        "price_in": cfg.expert_price_in,
        "price_out": cfg.expert_price_out,
        "dry_run": cfg.expert_dry_run,
    }
    return Endpoint(url=cfg.expert_url, folder=cfg.folder() / place, **settings | other)


def benchmark_items(cfg: config.Config) -> tuple[list[Item], list[str]]:
    """(all items of the real benchmarks, the benchmarks that could not be read and are not
    evaluated): for the leak filters.
    """
    absent = [
        name
        for name in benchmarks.KIND
        if name not in cfg.eval_items and not rows.is_there(name, cfg.data_dir)
    ]
    return [
        item
        for name in benchmarks.KIND
        if name not in absent
        for item in benchmarks.load(name, cfg.data_dir, n="all")
    ], absent


def open_corpus(
    cfg: config.Config,
    split: str,
    rng: random.Random,
    expert: experts.Expert,
    withhold: bool = False,
) -> corpus.Corpus:
    """The questions of `split`: sft | rl | validation. withhold: without the pocket world's
    held-out words and professions.
    """
    if cfg.data_dir == "pocket":
        drawn = World(
            f"{split}|{cfg.seed}",
            POCKET_SPLITS[split],
            cfg.cue_share,
            withhold=withhold,
            people=people(cfg),
        )
        return corpus.PocketCorpus(drawn, rng)
    if withhold:
        raise ValueError(
            "only the pocket world can withhold words: of real data nobody knows what the backbone has read"
        )
    items, absent = benchmark_items(cfg)
    opened = corpus.RealCorpus(cfg.data_dir, split, expert, items, cfg.seed)
    opened.counts.update({f"no rows of {name} here: not filtered against it": 1 for name in absent})
    return opened


def _where(cfg: config.Config, names: Iterable[str]) -> dict:
    """Settings that every data stage depends on; with files, also their contents."""
    files = {} if cfg.data_dir in ("pocket", "hub") else {"files": origins(cfg, names)}
    return cfg.subset("seed", "data_dir", "expert", "persona_pool") | world(cfg) | files


def origins(cfg: config.Config, names: Iterable[str]) -> dict[str, str]:
    """Data set -> hub id and commit, or file and sha256; what a stage read, for its manifest."""
    if cfg.data_dir == "pocket":
        return {"pocket world": f"seed {cfg.seed}"}
    return {
        name: rows.origin(name, cfg.data_dir)
        for name in dict.fromkeys([*names, "personahub"])
        if rows.is_there(name, cfg.data_dir)
    }


def _judge(
    cfg: config.Config, backbone: Path, expert: experts.Expert
) -> Callable[[list[construct.Asked]], list[float]]:
    """What `construct.judge_gain` asks: (item, persona) pairs -> accuracy of each."""
    if cfg.gain_judge == "likelihood" and cfg.data_dir != "pocket":
        raise ValueError(
            "gain_judge is 'likelihood', which needs the pocket expert's own words; use 'expert' or 'backbone' with real data"
        )
    if cfg.gain_judge != "likelihood" and not cfg.gain_samples:
        raise ValueError(
            f"gain_judge {cfg.gain_judge!r} answers each question gain_samples times; found 0, set it to at least 1"
        )
    if cfg.gain_judge == "expert":
        return lambda asked: construct.share_right(asked, expert.answers(asked, cfg.gain_samples))
    model, tokenizer = models.load(backbone, cfg.precision)
    if cfg.gain_judge == "likelihood":
        return lambda asked: construct.answer_probability(model, tokenizer, asked)
    sampling = {
        "temperature": cfg.eval_temperature,
        "max_new_tokens": cfg.eval_max_tokens,
        "batch_tokens": cfg.eval_batch_tokens,
    }
    return lambda asked: construct.share_right(
        asked, construct.model_answers(model, tokenizer, asked, cfg.gain_samples, **sampling)
    )


def run_sft_set(cfg: config.Config, backbone: Path, withhold: bool = False, arm: str = "") -> Path:
    """PersonaDualData, SFT part: judge gains, write judged.parquet, sft.parquet, choices.parquet
    (see `construct.choices`), validation.parquet and a dataset card.

    Each training seed has its own, in the stage folder <run>/data-<seed>.
    withhold: without some words and professions, to ask what is memorised; in a stage folder of its
    own, as that of an `arm`.
    """

    def build(folder: Path) -> dict:
        rng, expert = random.Random(f"construct|{cfg.seed}"), open_expert(cfg)
        train, held_out = (
            open_corpus(cfg, split, rng, expert, withhold) for split in ("sft", "validation")
        )
        wanted = {
            source: sum(parts.values())
            for source, parts in cfg.sft_composition.items()
            if parts.get("general")
        }
        counts = {
            source: round(cfg.gain_candidates * n / sum(wanted.values()))
            for source, n in wanted.items()
        }
        pairs = [
            pair
            for source, n in counts.items()
            for pair in train.ask(source, [("aligned", "unaligned")] * n)
        ]
        judged = construct.judge_gain(_judge(cfg, backbone, expert), pairs)
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
        check = construct.rl_set(
            held_out,
            rng,
            composition=construct.scale(cfg.rl_composition, cfg.validation_rows),
            unaligned_share=cfg.rl_unaligned_share,
        )
        choices = construct.choices(judged, sft, cfg.gain_rule, cfg.gain_margin)
        choices += everyday.pairs(
            cfg.everyday_pairs, "train", random.Random(f"everyday|{cfg.seed}")
        )
        for name, part in {
            "judged": judged,
            "sft": sft,
            "choices": choices,
            "validation": check,
        }.items():
            construct.to_frame(part).to_parquet(folder / f"{name}.parquet")
        if shared := leaks.disjoint([e.item for e in sft], [e.item for e in check]):
            raise RuntimeError(
                f"SFT and validation rows share {sorted(shared)[:5]}; they must be disjoint"
            )
        facts = {
            "judged": len(judged),
            "sft": len(sft),
            "choices": len(choices),
            "validation": len(check),
            "otherwise than composed": dict(departures),
            "left out": dict(train.counts + held_out.counts),
            "rejected by the expert's checks": dict(expert.rejected),
            "data": origins(cfg, [*cfg.sft_composition, *benchmarks.KIND]),
        }
        card.write(folder, cfg, facts)
        return facts

    answering = ("eval_temperature", "eval_max_tokens") if cfg.gain_judge == "backbone" else ()
    settings = (
        _where(cfg, [*cfg.sft_composition, *benchmarks.KIND])
        | cfg.subset(
            *answering,
            "gain_",
            "sft_composition",
            "sft_general",
            "rl_composition",
            "rl_unaligned",
            "validation",
            "everyday",
        )
        | {"withhold": withhold}
    )
    folder = cfg.run_folder() / f"data-{arm}{'withheld-' if withhold else ''}{cfg.seed}"
    return stages.once(folder, build, settings=settings, inputs=[backbone], version=4)


def run_rl_set(cfg: config.Config, name: str | None = None, withhold: bool = False) -> Path:
    """PersonaDualData, RL part: the questions of `rl_steps` batches, as rl.parquet; each training
    seed has its own.

    name: the stage folder, "data-rl-<seed>" by default ("data-rl-withheld-<seed>").  withhold: as
    in `run_sft_set`.

    More questions wanted than `rl_composition` has: the trainer goes over them again (paper Table
    6: 5 epochs).
    """

    def build(folder: Path) -> dict:
        rng, expert = random.Random(f"rl|{cfg.seed}"), open_expert(cfg)
        asked = open_corpus(cfg, "rl", rng, expert, withhold)
        found = construct.rl_set(
            asked,
            rng,
            composition=construct.scale(cfg.rl_composition, cfg.rl_steps * cfg.rl_prompts),
            unaligned_share=cfg.rl_unaligned_share,
        )
        construct.to_frame(found).to_parquet(folder / "rl.parquet")
        facts = {
            "rl": len(found),
            "left out": dict(+asked.counts),
            "rejected by the expert's checks": dict(expert.rejected),
            "data": origins(cfg, [*cfg.rl_composition, *benchmarks.KIND]),
        }
        card.write(folder, cfg, facts)
        return facts

    settings = (
        _where(cfg, [*cfg.rl_composition, *benchmarks.KIND])
        | cfg.subset("rl_steps", "rl_prompts", "rl_composition", "rl_unaligned")
        | {"withhold": withhold}
    )
    name = name or f"data-rl-{'withheld-' if withhold else ''}{cfg.seed}"
    return stages.once(cfg.folder() / name, build, settings=settings, version=2)


def _pocket_items(cfg: config.Config, counts: dict[str, int], split: str = "test") -> list[Item]:
    """Questions of each benchmark; a smaller count asks the first ones of a larger."""
    drawn = {
        "seed": cfg.seed + 10,
        "split": split,
        "cue_share": cfg.cue_share,
        "people": people(cfg),
    }
    return [item for name, n in counts.items() for item in benchmarks.load(name, n=n, **drawn)]


def _pocket_test(
    cfg: config.Config, split: str = "test"
) -> tuple[list[Item], list[Persona], dict[str, int]]:
    items = _pocket_items(cfg, cfg.eval_items, split)
    strangers = World(cfg.seed + 20, split)
    return items, [strangers.any_persona() for _ in range(cfg.persona_pool)], {}


def _real_test(cfg: config.Config) -> tuple[list[Item], list[Persona], dict[str, int]]:
    expert, rng = open_expert(cfg), random.Random(f"pool|{cfg.seed}")
    found, foreign = corpus.strangers(cfg.data_dir, test=True)
    pool = rng.sample(found, min(cfg.persona_pool, len(found)))
    items = [
        item
        for name, n in cfg.eval_items.items()
        for item in benchmarks.load(name, cfg.data_dir, n, seed=cfg.seed + 10)
    ]
    own, translated = personas.in_english([item for item in items if item.aligned], expert)
    written, dropped = personas.write_aligned([item for item in items if not item.aligned], expert)
    kept = [replace(item, aligned=written[item.id]) for item in items if item.id in written] + own
    counts = {
        "PersonaHub: not in English": foreign,
        "PersonaHub: in English and kept for tests, not drawn": len(found) - len(pool),
    }
    return (
        kept,
        pool,
        counts
        | {f"no aligned persona: {reason}": n for reason, n in dropped.items()}
        | dict(translated),
    )


def run_test_set(cfg: config.Config) -> Path:
    """The test items with their aligned personas, and the people from whom unaligned ones are
    drawn: test.parquet, pool.parquet.

    The same for every model, condition and training seed. An item for which the expert found no
    aligned persona that keeps the answer to itself is left out under every condition, and counted.
    """

    def build(folder: Path) -> dict:
        items, pool, counts = _pocket_test(cfg) if cfg.data_dir == "pocket" else _real_test(cfg)
        table = [
            {"benchmark": item.benchmark, "item": json.dumps(item.to_dict())} for item in items
        ]
        pd.DataFrame(table).to_parquet(folder / "test.parquet")
        pd.DataFrame([{"text": p.text, "facts": json.dumps(p.facts)} for p in pool]).to_parquet(
            folder / "pool.parquet"
        )
        return {
            "items": len(items),
            "personas": len(pool),
            "left out": counts,
            "data": origins(cfg, cfg.eval_items),
        }

    settings = _where(cfg, cfg.eval_items) | cfg.subset("eval_items")
    return stages.once(cfg.folder() / "data-test", build, settings=settings, version=2)


def test_items(cfg: config.Config) -> list[Item]:
    """The test items: same for every model and condition, and in no training set."""
    frame = pd.read_parquet(run_test_set(cfg) / "test.parquet")
    return [Item.from_dict(json.loads(item)) for item in frame["item"]]


def likelihood_items(cfg: config.Config) -> list[Item]:
    """The questions of `likelihood_items`, whose options are scored by likelihood: of the pocket
    world as many as are wanted, of real data at most the test items. ValueError for a benchmark
    whose questions have no options, or that real data were not read of.
    """
    if cfg.data_dir == "pocket":
        items = _pocket_items(cfg, cfg.likelihood_items)
    else:
        there = test_items(cfg)
        items = [
            item
            for name, n in cfg.likelihood_items.items()
            for item in [i for i in there if i.benchmark == name][:n]
        ]
    with_options = {item.benchmark for item in items if benchmarks.choices(item)}
    if wanting := [name for name in cfg.likelihood_items if name not in with_options]:
        raise ValueError(
            f"setting likelihood_items names {', '.join(wanting)}, of which there are no questions with options; "
            f"expected some of {', '.join(sorted(with_options)) or 'the test items'} or others with options"
        )
    return items


def persona_pool(cfg: config.Config) -> list[Persona]:
    """The people from whom the unaligned personas of the test items are drawn."""
    frame = pd.read_parquet(run_test_set(cfg) / "pool.parquet")
    return [Persona(text, json.loads(facts)) for text, facts in zip(frame.text, frame.facts)]


def sealed_items(cfg: config.Config) -> tuple[list[Item], list[Persona]]:
    """(questions of the pocket world's sealed split, strangers to ask them): for
    `pdlib.analysis.sealed` alone, and kept in no file.
    """
    items, pool, _ = _pocket_test(cfg, SEALED)
    return items, pool


def run_counterfactual_set(cfg: config.Config) -> Path:
    """The first `counterfactual_items` test items of each benchmark under all of
    personas.COUNTERFACTUAL: asked.parquet.
    """

    def build(folder: Path) -> dict:
        expert, items = open_expert(cfg), pd.Series(test_items(cfg))
        some = items.groupby([item.benchmark for item in items]).head(cfg.counterfactual_items)
        asked, counts = personas.variants(list(some), persona_pool(cfg), expert)
        construct.to_frame(
            [Example(item, persona, condition) for condition, item, persona in asked]
        ).to_parquet(folder / "asked.parquet")
        return {
            "asked": len(asked),
            "left out": dict(counts),
            "rejected by the expert's checks": dict(expert.rejected),
        }

    return stages.once(
        cfg.folder() / "data-counterfactual",
        build,
        settings=cfg.subset("counterfactual_items"),
        inputs=[run_test_set(cfg)],
        version=2,
    )


def asked(folder: Path) -> list[personas.Asked]:
    """What `run_counterfactual_set` wrote: (condition, question, who asks)."""
    return [
        (e.condition, e.item, e.persona)
        for e in construct.from_frame(pd.read_parquet(folder / "asked.parquet"))
    ]

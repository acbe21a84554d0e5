"""Where a stage's questions, askers, expert and judge come from, by the config.

This is where pocket world and real data part: `data_dir` decides, and the same functions work on
either.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pdlib import benchmarks, config, models
from pdlib.dataset import corpus, experts, gain, personas, translation
from pdlib.dataset.endpoint import Endpoint
from pdlib.dataset.endpoint_expert import EndpointExpert
from pdlib.pocket import examples, lexicon
from pdlib.pocket import expert as pocket_expert
from pdlib.pocket.personas import People
from pdlib.pocket.splits import SEALED
from pdlib.pocket.training_questions import PocketCorpus
from pdlib.pocket.world import World
from pdlib.questions import rows
from pdlib.schema import Item, Persona

# our split -> the world's; each draws with a seed of its own
POCKET_SPLITS = {"sft": "train", "rl": "train", "validation": "validation"}
WORLD = (  # settings of the pocket world
    "cue_share",
    "fit",
    "profession_only_share",
    "word_only_share",
    "contradicting_cue_share",
)


def people(cfg: config.Config) -> People:
    """What askers of the pocket world mean, and what they share with their questions."""
    return People(
        cfg.fit,
        cfg.profession_only_share,
        cfg.word_only_share,
        cfg.contradicting_cue_share,
        cfg.commonest_share,
    )


def world_settings(cfg: config.Config) -> dict:
    """The settings of the pocket world, on which its stages depend."""
    settings = cfg.subset(*WORLD)
    return settings | {"commonest_share": cfg.commonest_share} if cfg.fit == "field" else settings


def persona_facts(cfg: config.Config) -> dict[str, list[str]] | None:
    """What personas may state, by fact (occupation, hobby ...); None where that is not known.

    It is known of the pocket world's people, whatever the backbone.
    """
    return lexicon.persona_facts() if cfg.data_dir == "pocket" else None


def example_questions(cfg: config.Config) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """(askers, questions) to try a trained model with; None with real data, which has no such."""
    return (examples.PEOPLE, examples.QUESTIONS) if cfg.data_dir == "pocket" else None


def unknown_words(cfg: config.Config, *texts: str) -> list[str]:
    """The words of texts that the pocket world does not have; none with real data."""
    return examples.unknown_words(*texts) if cfg.data_dir == "pocket" else []


def source_settings(cfg: config.Config, names: Iterable[str]) -> dict:
    """Settings that every data stage depends on; with files, also their contents."""
    settings = cfg.subset("seed", "data_dir", "expert", "persona_pool") | world_settings(cfg)
    if cfg.data_dir in ("pocket", "hub"):
        return settings
    return settings | {"files": origins(cfg, names)}


def origins(cfg: config.Config, names: Iterable[str]) -> dict[str, str]:
    """Data set -> hub id and commit, or file and sha256: what a stage read, for its manifest."""
    if cfg.data_dir == "pocket":
        return {"pocket world": f"seed {cfg.seed}"}
    return {
        name: rows.origin(name, cfg.data_dir)
        for name in dict.fromkeys([*names, "personahub"])
        if rows.is_available(name, cfg.data_dir)
    }


def open_expert(cfg: config.Config) -> experts.Expert:
    """The expert of `cfg`: the pocket world's own, or a model behind an endpoint.

    What it answers is kept in outputs/<profile>/expert/, so that nothing is asked twice.
    """
    if cfg.expert == "pocket":
        return pocket_expert.PocketExpert()
    return EndpointExpert(open_endpoint(cfg, "expert"))


def open_endpoint(cfg: config.Config, folder: str, **other) -> Endpoint:
    """What answers at `expert_url`, with the limits and prices of `cfg`.

    Its journal is kept in outputs/<profile>/<folder>. other: fields of `Endpoint` that differ from
    the expert's, as model, max_tokens or temperature.
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
    return Endpoint(url=cfg.expert_url, folder=cfg.folder() / folder, **settings | other)


def open_corpus(
    cfg: config.Config,
    split: str,
    rng: random.Random,
    expert: experts.Expert,
    withhold: bool = False,
) -> corpus.Corpus:
    """The questions of `split`: sft | rl | validation.

    withhold: without the pocket world's held-out words and professions.
    """
    if cfg.data_dir == "pocket":
        world = World(
            f"{split}|{cfg.seed}",
            POCKET_SPLITS[split],
            cfg.cue_share,
            withhold=withhold,
            people=people(cfg),
        )
        return PocketCorpus(world, rng)
    if withhold:
        raise ValueError(
            "only the pocket world can withhold words: of real data nobody knows what the backbone "
            "has read"
        )
    items, absent = benchmark_items(cfg)
    opened = corpus.RealCorpus(cfg.data_dir, split, expert, items, cfg.seed)
    opened.counts.update({f"no rows of {name} here: not filtered against it": 1 for name in absent})
    return opened


def benchmark_items(cfg: config.Config) -> tuple[list[Item], list[str]]:
    """(all items of the real benchmarks, names of benchmarks without rows), for the leak filters.

    A benchmark that is evaluated must have rows.
    """
    absent = [
        name
        for name in benchmarks.KIND
        if name not in cfg.eval_items and not rows.is_available(name, cfg.data_dir)
    ]
    items = []
    for name in benchmarks.KIND:
        if name not in absent:
            items += benchmarks.load(name, cfg.data_dir, n="all")
    return items, absent


def open_judge(
    cfg: config.Config, backbone: Path, expert: experts.Expert
) -> Callable[[Sequence[gain.Question]], list[float]]:
    """What `gain.judge_gain` asks: questions -> the accuracy on each."""
    if cfg.gain_judge == "likelihood" and cfg.data_dir != "pocket":
        raise ValueError(
            "gain_judge is 'likelihood', which needs the pocket expert's own words; use 'expert' "
            "or 'backbone' with real data"
        )
    if cfg.gain_judge != "likelihood" and not cfg.gain_samples:
        raise ValueError(
            f"gain_judge {cfg.gain_judge!r} answers each question gain_samples times; found 0, set "
            "it to at least 1"
        )
    if cfg.gain_judge == "expert":
        return lambda questions: gain.share_right(
            questions, expert.answers(questions, cfg.gain_samples)
        )
    model, tokenizer = models.load(backbone, cfg.precision)
    if cfg.gain_judge == "likelihood":
        return partial(gain.answer_probability, model, tokenizer, reasoning=pocket_expert.plain)
    answers = partial(
        gain.model_answers,
        model,
        tokenizer,
        samples=cfg.gain_samples,
        temperature=cfg.eval_temperature,
        max_new_tokens=cfg.eval_max_tokens,
        batch_tokens=cfg.eval_batch_tokens,
    )
    return lambda questions: gain.share_right(questions, answers(questions))


def draw_test(cfg: config.Config) -> tuple[list[Item], list[Persona], dict[str, int]]:
    """(test items, the people from whom unaligned personas are drawn, what was left out)."""
    if cfg.data_dir == "pocket":
        return *_pocket_test(cfg, "test"), {}
    return _real_test(cfg)


def pocket_items(cfg: config.Config, counts: dict[str, int], split: str = "test") -> list[Item]:
    """Pocket questions of each benchmark; a smaller count asks the first ones of a larger."""
    settings = {
        "seed": cfg.seed + 10,
        "split": split,
        "cue_share": cfg.cue_share,
        "people": people(cfg),
    }
    items = []
    for name, n in counts.items():
        items += benchmarks.load(name, n=n, **settings)
    return items


def _pocket_test(cfg: config.Config, split: str) -> tuple[list[Item], list[Persona]]:
    items = pocket_items(cfg, cfg.eval_items, split)
    strangers = World(cfg.seed + 20, split)
    return items, [strangers.any_persona() for _ in range(cfg.persona_pool)]


def _real_test(cfg: config.Config) -> tuple[list[Item], list[Persona], dict[str, int]]:
    expert, rng = open_expert(cfg), random.Random(f"pool|{cfg.seed}")
    strangers, foreign = corpus.strangers(cfg.data_dir, test=True)
    pool = rng.sample(strangers, min(cfg.persona_pool, len(strangers)))
    items = []
    for name, n in cfg.eval_items.items():
        items += benchmarks.load(name, cfg.data_dir, n, seed=cfg.seed + 10)
    with_persona, translated = translation.in_english(
        [item for item in items if item.aligned], expert
    )
    without_persona = [item for item in items if not item.aligned]
    written, dropped = personas.write_aligned(without_persona, expert)
    test = [replace(item, aligned=written[item.id]) for item in items if item.id in written]
    counts = {
        "PersonaHub: not in English": foreign,
        "PersonaHub: in English and kept for tests, not drawn": len(strangers) - len(pool),
    }
    counts |= {f"no aligned persona: {reason}": n for reason, n in dropped.items()}
    return test + with_persona, pool, counts | dict(translated)


def sealed_items(cfg: config.Config) -> tuple[list[Item], list[Persona]]:
    """(questions of the pocket world's sealed split, strangers to ask them).

    They are for `pdlib.analysis.sealed` alone, and kept in no file.
    """
    return _pocket_test(cfg, SEALED)

"""Evaluate systems of the catalogue with every training seed, and read their records."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate
from pdlib.dataset import construct
from pdlib.evaluate import dialogues, router
from pdlib.paper.catalogue import of
from pdlib.systems.training import differs_by_seed, fit, seeds, sft_set


def evaluated(cfg: config.Config, name: str, counterfactual: bool = False) -> list[Path]:
    """Train and evaluate a system with every training seed; returns its record files.

    One that no seed changes is evaluated once. counterfactual: under the counterfactual conditions,
    answering freely. ValueError for a routed system then: its records are put together from forced
    answers, which are asked under the usual conditions only.
    """
    if of(name).routed and counterfactual:
        raise ValueError(
            f"{name} has no answers under the counterfactual conditions; "
            f"evaluate {of(name).start} instead"
        )
    if of(name).routed:
        return _routed(cfg, name)
    train_seeds = seeds(cfg) if differs_by_seed(cfg, name) else [None]
    return [evaluated_seed(cfg, name, seed, counterfactual) for seed in train_seeds]


def evaluated_seed(
    cfg: config.Config, name: str, seed: int | None, counterfactual: bool = False
) -> Path:
    """Train and evaluate a system with one training seed, as `evaluated` does.

    Returns its record file.
    """
    system = of(name)
    return evaluate.run_records(
        cfg,
        name,
        fit(cfg, name, seed),
        train_seed=seed,
        mode_set=cfg.mode_set if system.two_modes else None,
        forced=(None,) if counterfactual or not system.forced else None,
        prompt=system.prompt,
        preferences=system.preferences,
        counterfactual=counterfactual,
    )


def in_dialogues(cfg: config.Config, name: str) -> list[Path]:
    """Train a system with every training seed and evaluate it in `dialogues`.

    Returns its record files.
    """
    if not of(name).two_modes or of(name).routed:
        raise ValueError(
            f"system {name!r} does not choose a mode itself; in dialogues the choices of one that "
            "does are compared"
        )
    return [
        dialogues.run_dialogues(cfg, name, fit(cfg, name, seed), train_seed=seed)
        for seed in seeds(cfg)
    ]


def _routed(cfg: config.Config, name: str) -> list[Path]:
    """Records of the routed model, one file per training seed.

    They are the forced ones of the model that it starts from.
    """
    start = of(name).start
    files = []
    for seed, source in zip(seeds(cfg), evaluated(cfg, start), strict=True):
        file = source.with_name(source.name.replace(f".{start}.", f".{name}."))
        forced = evaluate.read_records([source])
        evaluate.write(router.route(forced, _routed_chances(cfg, seed), name), file)
        files.append(file)
    return files


def _routed_chances(cfg: config.Config, seed: int) -> pd.DataFrame:
    """The router's P(personalised) for every test question and condition.

    Columns: benchmark, item_id, condition, p_personalized. seed: the training seed whose SFT set
    the router learns from.
    """
    questions = evaluate.ask_all(dataset.test_items(cfg), dataset.persona_pool(cfg))
    examples = construct.from_frame(pd.read_parquet(sft_set(cfg, seed) / "sft.parquet"))
    chances = router.Router(examples).chances([(item, persona) for _, item, persona in questions])
    rows = [
        {"benchmark": item.benchmark, "item_id": item.id, "condition": condition}
        for condition, item, _ in questions
    ]
    return pd.DataFrame(rows).assign(p_personalized=chances)


def records(cfg: config.Config, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The records of this run's seeds and of the systems trained on cfg.backbone.

    names: of these systems, all by default. The records are under the usual and the counterfactual
    conditions.
    """
    of_seeds = evaluate.read_records(cfg.folder() / "records", seeds(cfg))
    of_run = of_seeds[of_seeds.run == cfg.run]
    return of_run[of_run.model.isin(names)] if names else of_run

"""Train and evaluate the systems of the `catalogue`, all by the same code.

`python -m pdlib.systems NAME [SEED]` does one of the `tasks` in a process of its own.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, train
from pdlib.dataset import construct
from pdlib.evaluate import dialogues, router
from pdlib.paper.catalogue import ARMS, CONTROLS, SYSTEMS, TABLE_1, TABLE_2, TABLES, of
from pdlib.run import parallel
from pdlib.train import backbone

__all__ = [
    "ARMS",
    "CONTROLS",
    "SYSTEMS",
    "TABLE_1",
    "TABLE_2",
    "TABLES",
    "absent",
    "arms",
    "chosen",
    "controls",
    "evaluated",
    "evaluated_seed",
    "everything",
    "fit",
    "folder",
    "in_dialogues",
    "prepare",
    "records",
    "routed_chances",
    "seeds",
    "sft_set",
    "table",
    "tasks",
]


def table(names: Sequence[str] = tuple(SYSTEMS)) -> pd.DataFrame:
    """The systems in words: title, family, what they are, what they start from."""
    return pd.DataFrame(
        [
            {
                "system": name,
                "paper": one.title,
                "family": one.family,
                "what": one.what,
                "from": one.start if one.trained or one.routed else "",
            }
            for name, one in ((n, of(n)) for n in names)
        ]
    )


def seeds(cfg: config.Config) -> range:
    """The training seeds: cfg.seed and the next ones. Each has a backbone (where it is trained
    here), data sets and training of its own.
    """
    return range(cfg.seed, cfg.seed + cfg.train_seeds)


def differs_by_seed(cfg: config.Config, name: str) -> bool:
    """Is this system another one for another training seed? A backbone that was not trained here is
    always the same.
    """
    return of(name).trained or backbone.is_trained(cfg.backbone)


def folder(cfg: config.Config, name: str, seed: int | None = None) -> Path:
    """The stage folder of a system's model: the backbone's own where nothing is trained, else
    <run>/<name>-<training seed>.
    """
    own = replace(cfg, seed=cfg.seed if seed is None else seed)
    if not of(name).trained:
        start = of(name).start
        return (
            backbone.folder_of(own, cfg.backbone)
            if start == "backbone"
            else folder(cfg, start, seed)
        )
    return cfg.run_folder() / f"{name}-{own.seed}"


def fit(cfg: config.Config, name: str, seed: int | None = None) -> Path:
    """Train a system with one training seed (default cfg.seed), and before it what it starts from;
    returns the model's folder.

    Everything follows the training seed: the backbone (where it is trained here), the SFT set, the
    RL questions, the training. Only the test items follow cfg.seed. What is there already is not
    trained again.
    """
    system = of(name)
    own = replace(cfg, seed=cfg.seed if seed is None else seed, **(system.settings or {}))
    target, base = folder(cfg, name, own.seed), backbone.run(own, cfg.backbone)
    start = base if system.start == "backbone" else fit(cfg, system.start, own.seed)
    if not system.trained:
        return start
    arm = "" if not system.settings else f"{system.start if of(system.start).settings else name}-"
    sets = dataset.run_sft_set(own, base, system.withhold, arm)
    if (
        system.dialogues
    ):  # the earlier questions are answered by the model of the same seed that saw none
        sets = dialogues.run_sft_set(own, sets, fit(cfg, "sft_only", own.seed))
    if system.sft:
        return train.run_sft(own, target, start, sets, system.sft)
    if system.dpo:
        return train.run_dpo(
            own, target, start, sets, dataset.open_expert(cfg) if system.preferences else None
        )
    questions = dataset.run_rl_set(
        own, f"data-rl-{arm}{own.seed}" if arm else None, system.withhold
    )
    return train.run_rl(own, target, start, sets, questions, **system.rl)


def chosen(cfg: config.Config, names: Sequence[str]) -> list[str]:
    """Those of `names` that take part by the setting `systems`, in their order; ["all"]: all.
    ValueError for one that is in no table.
    """
    wanted = config.chosen(cfg, "systems", TABLES)
    return [name for name in names if name in wanted]


def absent(cfg: config.Config, names: Sequence[str]) -> str:
    """A sentence that names those of `names` that do not take part, and how they would; empty where
    all do.
    """
    there = chosen(cfg, names)
    left = [name for name in names if name not in there]
    return (
        f'not trained in this run: {", ".join(left)}; SET="systems=[all]" adds them' if left else ""
    )


def arms(cfg: config.Config) -> list[str]:
    """The single changes that cfg.arms asks for, ["all"]: every one; ValueError for one that is not
    among catalogue.ARMS.
    """
    return config.chosen(cfg, "arms", ARMS)


def controls(cfg: config.Config) -> list[str]:
    """The controls that cfg.controls asks for, as `arms` does for arms; ValueError, too, where the
    data are real.
    """
    names = config.chosen(cfg, "controls", CONTROLS)
    if names and cfg.data_dir != "pocket":
        raise ValueError(
            f"setting controls asks for {', '.join(names)}, but data_dir is {cfg.data_dir!r}: only of the pocket world is it "
            "known what a backbone has read; set controls=[]"
        )
    return names


def everything(cfg: config.Config) -> list[str]:
    """What tables, arms and controls ask for, for `tasks`: backbones and systems."""
    return [*cfg.backbones, *chosen(cfg, TABLES), *arms(cfg), *controls(cfg)]


def tasks(cfg: config.Config, names: Sequence[str]) -> list[parallel.Task]:
    """The training of these systems (with every training seed), of what they start from, of
    backbones by their own names and of the null world's ("null_backbone"), each once.
    """
    found: dict[tuple[str, int | None], parallel.Task] = {}
    for name in names:
        several = name in SYSTEMS or backbone.is_trained(name)
        for seed in seeds(cfg) if several else (None,):
            one = (
                (name, seed)
                if name not in SYSTEMS or of(name).trained
                else _before(cfg, name, seed)
            )
            while one and one not in found:
                before = _before(cfg, *one)
                found[one] = parallel.Task(
                    label(*one),
                    "pdlib.systems",
                    tuple(str(part) for part in one if part is not None),
                    partial(_do, cfg, *one),
                    label(*before) if before else None,
                )
                one = before
    return list(found.values())


def prepare(cfg: config.Config, names: Sequence[str]) -> int:
    """`beside.run` of the `tasks` of these systems and backbones: what can be trained side by side,
    so that `fit` finds it done.
    """
    return parallel.run(cfg, tasks(cfg, names))


def label(name: str, seed: int | None) -> str:
    """The label of the task that trains a system or a backbone with one training seed."""
    return config.file_name(name) if seed is None else f"{name}-{seed}"


def _before(cfg: config.Config, name: str, seed: int | None) -> tuple[str, int | None] | None:
    """What has to be trained before."""
    if name not in SYSTEMS:
        return None
    start = "sft_only" if of(name).dialogues else of(name).start
    if start != "backbone":
        return start, seed
    return cfg.backbone, seed if backbone.is_trained(cfg.backbone) else None


def _do(cfg: config.Config, name: str, seed: int | None) -> Path:
    if name == "null_backbone":
        return backbone.run(cfg, cfg.backbone, persona_fits=False)
    return (
        fit(cfg, name, seed)
        if name in SYSTEMS
        else backbone.run(replace(cfg, seed=cfg.seed if seed is None else seed), name)
    )


def evaluated(cfg: config.Config, name: str, counterfactual: bool = False) -> list[Path]:
    """Train and evaluate a system with every training seed (one that no seed changes once); returns
    its record files.

    counterfactual: under the counterfactual conditions, answering freely. ValueError for a routed
    system then: its records are put together from forced answers, which are asked under the usual
    conditions only.
    """
    if of(name).routed and counterfactual:
        raise ValueError(
            f"{name} has no answers under the counterfactual conditions; evaluate {of(name).start} instead"
        )
    if of(name).routed:
        return _routed(cfg, name)
    return [
        evaluated_seed(cfg, name, seed, counterfactual)
        for seed in (seeds(cfg) if differs_by_seed(cfg, name) else [None])
    ]


def evaluated_seed(
    cfg: config.Config, name: str, seed: int | None, counterfactual: bool = False
) -> Path:
    """Train and evaluate a system with one training seed, as `evaluated` does; returns its record
    file.
    """
    system = of(name)
    free = {"forced": (None,)} if counterfactual or not system.forced else {}
    return evaluate.run_records(
        cfg,
        name,
        fit(cfg, name, seed),
        train_seed=seed,
        two_modes=system.two_modes,
        prompt=system.prompt,
        preferences=system.preferences,
        counterfactual=counterfactual,
        **free,
    )


def in_dialogues(cfg: config.Config, name: str) -> list[Path]:
    """Train a system with every training seed and evaluate it in dialogues; returns its record
    files, see `dialogues`.
    """
    if not of(name).two_modes or of(name).routed:
        raise ValueError(
            f"system {name!r} does not choose a mode itself; in dialogues the choices of one that does are compared"
        )
    return [
        dialogues.run_records(cfg, name, fit(cfg, name, seed), train_seed=seed)
        for seed in seeds(cfg)
    ]


def sft_set(cfg: config.Config, seed: int | None = None) -> Path:
    """The stage folder of the SFT set that a training seed learns from, and the router, too."""
    own = replace(cfg, seed=cfg.seed if seed is None else seed)
    return dataset.run_sft_set(own, backbone.run(own, cfg.backbone))


def routed_chances(cfg: config.Config, seed: int | None = None) -> pd.DataFrame:
    """The router's P(personalised) for every test question and condition: benchmark, item_id,
    condition, p_personalized.

    seed: the training seed whose SFT set the router learns from.
    """
    asked = evaluate.ask_all(dataset.test_items(cfg), dataset.persona_pool(cfg))
    fitted = router.Router(
        construct.from_frame(pd.read_parquet(sft_set(cfg, seed) / "sft.parquet"))
    )
    chances = fitted.chances([(item, persona) for _, item, persona in asked])
    return pd.DataFrame(
        [
            {
                "benchmark": item.benchmark,
                "item_id": item.id,
                "condition": condition,
                "p_personalized": chance,
            }
            for (condition, item, _), chance in zip(asked, chances, strict=True)
        ]
    )


def _routed(cfg: config.Config, name: str) -> list[Path]:
    """Records of the routed model, from the forced ones of the model it starts from; one file a
    training seed.
    """
    files = []
    for seed, source in zip(seeds(cfg), evaluated(cfg, of(name).start), strict=True):
        files.append(source.with_name(source.name.replace(f".{of(name).start}.", f".{name}.")))
        evaluate.write(
            router.route(evaluate.read_records([source]), routed_chances(cfg, seed), name),
            files[-1],
        )
    return files


def records(cfg: config.Config, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The records of this run's seeds and of the systems trained on cfg.backbone, all or `names`,
    under the usual and the counterfactual conditions.
    """
    found = evaluate.read_records(cfg.folder() / "records", seeds(cfg))
    return found[(found.run == cfg.run) & (found.model.isin(names) if names else True)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--overrides", type=json.loads, default={})
    parser.add_argument("name", help="a system, a backbone, or null_backbone")
    parser.add_argument("seed", type=int, nargs="?", help="the training seed of a system")
    asked = parser.parse_args(arguments)
    _do(config.load(asked.profile, **asked.overrides), asked.name, asked.seed)


if __name__ == "__main__":
    main()

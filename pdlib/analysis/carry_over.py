"""Does the choice carry over to a memory benchmark that nobody here wrote? P(personalised) of systems, and rules beside them.

A row of such a benchmark has no right answer, but it is known whether its memories must be used. A system that chooses its personalised
mode for those rows and not for the others needs no judge: the area under the ROC curve says how well it tells them apart. No system is
trained on such rows. Rows are read from a package or a folder (`memories.read`); what is kept of them is a hash and a category.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pdlib import backbone, config, construct, data, everyday, memories, models, router, stages, systems
from pdlib.catalogue import label
from pdlib.schema import Item

EVERYDAY = memories.Layout(everyday.NAME, "", "", "", ("personalized",), ("general",))  # questions of our own, of topics held out
PAIRS = 200  # of everyday requests
PROMPTED, ROUTED = "backbone, asked to choose a mode", "personadual_router"
KEPT = ["item_id", "category", "p_personalized"]
COLUMNS = ["benchmark", "system", "is_rule", "train_seed", "category", "auc", "ci_low", "ci_high", "auc_same_length", "same_length_low",
           "same_length_high", "pairs_same_length", "used", "unused", "mean_used", "mean_unused"]


def names(cfg: config.Config) -> list[str]:
    """The systems of the tables that say P(personalised), and take part; the untouched backbone, asked to, comes first."""
    two_modes = [name for name in systems.chosen(cfg, dict.fromkeys([*systems.TABLE_1, *systems.TABLE_2]))
                 if systems.of(name).two_modes]
    return [PROMPTED, *two_modes]


def questions(cfg: config.Config) -> dict[str, tuple[memories.Layout, list[Item]]]:
    """Benchmark -> how it is laid out, its rows: those of the setting `memories`, and our own everyday requests of topics that are in no
    training set. ValueError where the setting names nothing."""
    if not cfg.memories:
        raise ValueError("setting memories is empty; name a file, a folder, or a package's folder, as the profile pretrained does")
    ours = [example.item for example in everyday.pairs(PAIRS, "validation", random.Random(f"carry_over|{cfg.seed}"))]
    return {memories.PERSISTBENCH.name: (memories.PERSISTBENCH, memories.read(cfg.memories)), everyday.NAME: (EVERYDAY, ours)}


def run(cfg: config.Config, name: str, seed: int) -> Path:
    """P(personalised) of one system on all rows, as <benchmark>.parquet in the stage folder memories/<run>.<name>.<seed>."""
    own = replace(cfg, seed=seed)
    if name == ROUTED:
        start = data.run_sft_set(own, backbone.run(own, cfg.backbone))
    else:
        start = backbone.run(own, cfg.backbone) if name == PROMPTED else systems.fit(cfg, name, seed)

    def build(folder: Path) -> dict:
        asked = questions(cfg)
        for benchmark, found in _chances(cfg, name, start, {key: items for key, (_, items) in asked.items()}).items():
            found[KEPT].to_parquet(folder / f"{benchmark}.parquet")
        return {"rows": {key: len(items) for key, (_, items) in asked.items()}}

    settings = cfg.subset("seed", "memories", "precision") | {"name": name, "train_seed": seed, "pairs": PAIRS}
    folder = cfg.folder() / "memories" / f"{config.file_name(cfg.backbone)}.{'prompted' if name == PROMPTED else name}.{seed}"
    return stages.once(folder, build, settings=settings, inputs=[start])


def kept(cfg: config.Config, name: str, benchmark: str = memories.PERSISTBENCH.name) -> pd.DataFrame:
    """What `run` found of one system with the first training seed: category and p_personalized by item_id."""
    return pd.read_parquet(run(cfg, name, cfg.seed) / f"{benchmark}.parquet").set_index("item_id")


def _chances(cfg: config.Config, name: str, start: Path, asked: dict[str, list[Item]]) -> dict[str, pd.DataFrame]:
    if name == ROUTED:
        fitted = router.Router(construct.from_frame(pd.read_parquet(start / "sft.parquet")))
        return {key: pd.DataFrame({"item_id": [item.id for item in items], "category": [item.facts["category"] for item in items],
                                   "p_personalized": fitted.chances([(item, item.aligned) for item in items])})
                for key, items in asked.items()}
    model, tokenizer = models.load(start, cfg.precision)
    prompt = "two_modes" if name == PROMPTED else "plain"
    return {key: memories.choices(model, tokenizer, items, prompt, cfg.eval_batch_tokens) for key, items in asked.items()}


def table(cfg: config.Config, wanted: Sequence[str] | None = None) -> pd.DataFrame:
    """How well each system, and each rule, tells rows whose memories must be used from the others, see COLUMNS; one row per category.

    auc_same_length: among pairs of rows whose queries are equally long, see `memories.separation`. mean_used, mean_unused: of
    P(personalised), or of the rule's score. wanted: of `names`, all by default.
    """
    found = []
    for benchmark, (layout, items) in questions(cfg).items():
        about = memories.rules(items)
        for name in wanted or names(cfg):
            for seed in [cfg.seed] if name == PROMPTED else systems.seeds(cfg):
                chances = pd.read_parquet(run(cfg, name, seed) / f"{benchmark}.parquet")
                shown = name if name == PROMPTED else label(name)
                found.append(_rows(chances.assign(length=-about["shorter query"].to_numpy()), layout, "p_personalized").assign(
                    benchmark=benchmark, system=shown, is_rule=False, train_seed=seed))
        for rule in memories.RULES:
            found.append(_rows(about.assign(length=-about["shorter query"]), layout, rule).assign(
                benchmark=benchmark, system=rule, is_rule=True, train_seed=cfg.seed))
    return pd.concat(found, ignore_index=True)[COLUMNS]


def _rows(chances: pd.DataFrame, layout: memories.Layout, score: str) -> pd.DataFrame:
    plain, alike = (memories.separation(chances, layout, score, by) for by in (None, "length"))
    means = {name: chances[score][chances.category.isin(categories)].mean()
             for name, categories in [("used", layout.used), *((one, [one]) for one in layout.unused), ("all", layout.unused)]}
    return plain.assign(auc_same_length=alike.auc, same_length_low=alike.ci_low, same_length_high=alike.ci_high,
                        pairs_same_length=alike.pairs, mean_used=means["used"], mean_unused=plain.category.map(means))

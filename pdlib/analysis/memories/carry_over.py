"""Does the choice carry over to a memory benchmark that nobody here wrote? P(personalised) of
systems, and rules beside them.

A row of such a benchmark has no right answer, but it is known whether its memories must be used. A
system that chooses its personalised mode for those rows and not for the others needs no judge: the
area under the ROC curve says how well it tells them apart. No system is trained on such rows. Rows
are read from a package or a folder (`memories.read`); what is kept of them is a hash and a
category.
"""

import random
from pathlib import Path

import pandas as pd

from pdlib import config, models, systems
from pdlib.analysis.memories import memories
from pdlib.dataset import construct, everyday
from pdlib.evaluate import router
from pdlib.paper.catalogue import label
from pdlib.questions import rows
from pdlib.run import stages
from pdlib.schema import Item

EVERYDAY = memories.Layout(
    everyday.NAME, "", "", "", ("personalized",), ("general",)
)  # questions of our own, of topics held out
PAIRS = 200  # of everyday requests
PROMPTED = "personadual_prompt"  # the untouched backbone, asked to choose a mode
KEPT = ["item_id", "category", "p_personalized"]
COLUMNS = [
    "benchmark",
    "system",
    "is_rule",
    "train_seed",
    "category",
    "auc",
    "ci_low",
    "ci_high",
    "auc_same_length",
    "same_length_low",
    "same_length_high",
    "pairs_same_length",
    "used",
    "unused",
    "mean_used",
    "mean_unused",
]


def names(cfg: config.Config) -> list[str]:
    """The systems that say P(personalised): the untouched backbone, asked to, and the two-mode
    systems that take part.
    """
    return [
        PROMPTED,
        *(
            name
            for name in systems.chosen(cfg, systems.TABLES)
            if systems.of(name).two_modes and name != PROMPTED
        ),
    ]


def asked(cfg: config.Config) -> list[tuple[str, int]]:
    """(system, training seed) of all that are asked; a system that is the same for every seed is
    asked once.
    """
    return [
        (name, seed)
        for name in names(cfg)
        for seed in (systems.seeds(cfg) if systems.differs_by_seed(cfg, name) else [cfg.seed])
    ]


def questions(cfg: config.Config) -> dict[str, tuple[memories.Layout, list[Item]]]:
    """Benchmark -> how it is laid out, its rows: those of the setting `memories`, and our own
    everyday requests of topics that are in no training set. ValueError where the setting names
    nothing.
    """
    if not cfg.memories:
        raise ValueError(
            "setting memories is empty; name a file, a folder, or a package's folder, as the profile pretrained does"
        )
    ours = [
        example.item
        for example in everyday.pairs(PAIRS, "validation", random.Random(f"carry_over|{cfg.seed}"))
    ]
    return {
        memories.PERSISTBENCH.name: (memories.PERSISTBENCH, memories.read(cfg.memories)),
        everyday.NAME: (EVERYDAY, ours),
    }


def run(cfg: config.Config, name: str, seed: int) -> Path:
    """P(personalised) of one system on all rows, as <benchmark>.parquet in the stage folder
    memories/<run>.<name>.<seed>.
    """
    system = systems.of(name)
    start = systems.sft_set(cfg, seed) if system.routed else systems.fit(cfg, name, seed)
    put = {benchmark: items for benchmark, (_, items) in questions(cfg).items()}

    def build(folder: Path) -> dict:
        if system.routed:
            fitted = router.Router(construct.from_frame(pd.read_parquet(start / "sft.parquet")))
            found = {
                key: memories.with_facts(
                    items, p_personalized=fitted.chances([(item, item.aligned) for item in items])
                )
                for key, items in put.items()
            }
        else:
            model, tokenizer = models.load(start, cfg.precision)
            found = {
                key: memories.choices(model, tokenizer, items, system.prompt, cfg.eval_batch_tokens)
                for key, items in put.items()
            }
        for key, chances in found.items():
            chances[KEPT].to_parquet(folder / f"{key}.parquet")
        return {"rows": {key: len(items) for key, items in put.items()}}

    settings = cfg.subset("precision", "eval_batch") | {
        "name": name,
        "train_seed": seed,
        "rows": {key: rows.digest(*(item.id for item in items)) for key, items in put.items()},
    }
    folder = cfg.folder() / "memories" / f"{config.file_name(cfg.backbone)}.{name}.{seed}"
    return stages.once(folder, build, settings=settings, inputs=[start])


def table(cfg: config.Config) -> pd.DataFrame:
    """How well each system, and each rule, tells rows whose memories must be used from the others,
    see COLUMNS; one row per category.

    auc_same_length: among pairs of rows whose queries are equally long, see `memories.separation`.
    mean_used, mean_unused: of P(personalised), or of the rule's score.
    """
    found = []
    for benchmark, (layout, items) in questions(cfg).items():
        about = memories.rules(items)
        for name, seed in asked(cfg):
            chances = pd.read_parquet(run(cfg, name, seed) / f"{benchmark}.parquet")
            found.append(
                _rows(
                    about.merge(chances, on=["item_id", "category"], validate="1:1"),
                    layout,
                    "p_personalized",
                ).assign(benchmark=benchmark, system=label(name), is_rule=False, train_seed=seed)
            )
        found += [
            _rows(about, layout, rule).assign(
                benchmark=benchmark, system=rule, is_rule=True, train_seed=cfg.seed
            )
            for rule in memories.RULES
        ]
    return pd.concat(found, ignore_index=True)[COLUMNS]


def _rows(chances: pd.DataFrame, layout: memories.Layout, score: str) -> pd.DataFrame:
    plain, alike = (memories.separation(chances, layout, score, by) for by in (None, "length"))
    means = {
        name: chances[score][chances.category.isin(categories)].mean()
        for name, categories in ({"used": layout.used} | layout.against).items()
    }
    return plain.assign(
        auc_same_length=alike.auc,
        same_length_low=alike.ci_low,
        same_length_high=alike.ci_high,
        pairs_same_length=alike.pairs,
        mean_used=means["used"],
        mean_unused=plain.category.map(means),
    )

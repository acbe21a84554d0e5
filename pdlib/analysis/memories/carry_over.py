"""Does the choice carry over to a memory benchmark that nobody here wrote?

A row of such a benchmark has no right answer, but it is known whether its memories must be used. A
system that chooses its personalised mode for those rows and not for the others needs no judge: the
area under the ROC curve of P(personalised) says how well it tells them apart. Rules stand beside
the systems. No system is trained on such rows. Rows are read from a package or a folder
(`memories.read`); what is stored of them is a hash and a category.
"""

import random
from pathlib import Path

import pandas as pd

from pdlib import config, models, systems
from pdlib.analysis import memories
from pdlib.dataset import construct, everyday
from pdlib.evaluate import router
from pdlib.paper import catalogue
from pdlib.questions import rows
from pdlib.run import stages
from pdlib.schema import Item

# questions of our own, of topics held out
EVERYDAY = memories.Layout(everyday.NAME, "", "", "", used=("personalized",), unused=("general",))
PAIRS = 200  # of everyday requests
PROMPTED = "personadual_prompt"  # the untouched backbone, asked to choose a mode
STORED = ["item_id", "category", "p_personalized"]
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


def system_names(cfg: config.Config) -> list[str]:
    """The systems that have P(personalised): PROMPTED, and the two-mode systems that take part."""
    chosen = systems.chosen(cfg, systems.TABLES)
    return [PROMPTED, *(n for n in chosen if catalogue.of(n).two_modes and n != PROMPTED)]


def trainings(cfg: config.Config) -> list[tuple[str, int]]:
    """(system, training seed) of all that are asked.

    A system that is the same for every seed is asked once.
    """
    pairs = []
    for name in system_names(cfg):
        seeds = systems.seeds(cfg) if systems.differs_by_seed(cfg, name) else [cfg.seed]
        pairs += [(name, seed) for seed in seeds]
    return pairs


def questions(cfg: config.Config) -> dict[str, tuple[memories.Layout, list[Item]]]:
    """Benchmark -> how it is laid out, its rows.

    They are those of the setting `memories`, and our own everyday requests of topics that are in no
    training set. ValueError where the setting names nothing.
    """
    if not cfg.memories:
        raise ValueError(
            "setting memories is empty; name a file, a folder, or a package's folder, as the "
            "profile pretrained does"
        )
    rng = random.Random(f"carry_over|{cfg.seed}")
    requests = [example.item for example in everyday.pairs(PAIRS, "validation", rng)]
    return {
        memories.PERSISTBENCH.name: (memories.PERSISTBENCH, memories.read(cfg.memories)),
        everyday.NAME: (EVERYDAY, requests),
    }


def run(cfg: config.Config, name: str, seed: int) -> Path:
    """P(personalised) of one system on all rows, as <benchmark>.parquet in a stage folder.

    The folder is memories/<run>.<name>.<seed>.
    """
    system = catalogue.of(name)
    start = systems.sft_set(cfg, seed) if system.routed else systems.fit(cfg, name, seed)
    items_of = {benchmark: items for benchmark, (_, items) in questions(cfg).items()}

    def build(folder: Path) -> dict:
        for benchmark, chances in _choices(cfg, system, start, items_of).items():
            chances[STORED].to_parquet(folder / f"{benchmark}.parquet")
        return {"rows": {benchmark: len(items) for benchmark, items in items_of.items()}}

    digests = {
        benchmark: rows.digest(*(item.id for item in items))
        for benchmark, items in items_of.items()
    }
    settings = cfg.subset("precision", "eval_batch") | {
        "name": name,
        "train_seed": seed,
        "rows": digests,
    }
    folder = cfg.folder() / "memories" / f"{config.file_name(cfg.backbone)}.{name}.{seed}"
    return stages.once(folder, build, settings=settings, inputs=[start])


def _choices(
    cfg: config.Config, system: catalogue.System, start: Path, items_of: dict[str, list[Item]]
) -> dict[str, pd.DataFrame]:
    """Benchmark -> `memories.choices` of one system.

    start: the folder of its model, or of the SFT set that its router is fitted on.
    """
    if system.routed:
        fitted = router.Router(construct.from_frame(pd.read_parquet(start / "sft.parquet")))
        tables = {}
        for benchmark, items in items_of.items():
            chances = fitted.chances([(item, item.aligned) for item in items])
            tables[benchmark] = memories.with_facts(items, p_personalized=chances)
        return tables
    model, tokenizer = models.load(start, cfg.precision)
    return {
        benchmark: memories.choices(model, tokenizer, items, system.prompt, cfg.eval_batch_tokens)
        for benchmark, items in items_of.items()
    }


def table(cfg: config.Config) -> pd.DataFrame:
    """How well each system, and each rule, tells rows whose memories must be used from the others.

    One row per benchmark, system or rule, training seed and category, see COLUMNS. auc_same_length:
    among pairs of rows whose queries are equally long, see `memories.separation`. mean_used,
    mean_unused: of P(personalised), or of the rule's score.
    """
    tables = []
    for benchmark, (layout, items) in questions(cfg).items():
        rule_scores = memories.rules(items)
        for name, seed in trainings(cfg):
            chances = pd.read_parquet(run(cfg, name, seed) / f"{benchmark}.parquet")
            scored = rule_scores.merge(chances, on=["item_id", "category"], validate="1:1")
            rows_of_system = _separations(scored, layout, "p_personalized")
            names = {"benchmark": benchmark, "system": catalogue.label(name), "is_rule": False}
            tables.append(rows_of_system.assign(**names, train_seed=seed))
        for rule in memories.RULES:
            rows_of_rule = _separations(rule_scores, layout, rule)
            names = {"benchmark": benchmark, "system": rule, "is_rule": True}
            tables.append(rows_of_rule.assign(**names, train_seed=cfg.seed))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _separations(scored: pd.DataFrame, layout: memories.Layout, score: str) -> pd.DataFrame:
    """`memories.separation` over all pairs and those of one length, with means of the score."""
    plain, alike = (memories.separation(scored, layout, score, by) for by in (None, "length"))
    means = {
        name: scored[score][scored.category.isin(categories)].mean()
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

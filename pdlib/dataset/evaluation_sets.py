"""The stages that make the test set and its counterfactual variants, and what they wrote."""

import json
from pathlib import Path

import pandas as pd

from pdlib import benchmarks, config
from pdlib.dataset import construct, personas, sets
from pdlib.dataset.variants import variants
from pdlib.run import stages
from pdlib.schema import Example, Item, Persona


def run_test_set(cfg: config.Config) -> Path:
    """The test items with their aligned personas, and the people who ask them as strangers.

    They are in test.parquet and pool.parquet, the same for every model, condition and training
    seed. An item for which the expert found no aligned persona that keeps the answer to itself is
    left out under every condition, and counted.
    """

    def build(folder: Path) -> dict:
        items, pool, counts = sets.draw_test(cfg)
        test = [{"benchmark": item.benchmark, "item": json.dumps(item.to_dict())} for item in items]
        pd.DataFrame(test).to_parquet(folder / "test.parquet")
        people = [{"text": p.text, "facts": json.dumps(p.facts)} for p in pool]
        pd.DataFrame(people).to_parquet(folder / "pool.parquet")
        return {
            "items": len(items),
            "personas": len(pool),
            "left out": counts,
            "data": sets.origins(cfg, cfg.eval_items),
        }

    settings = sets.source_settings(cfg, cfg.eval_items) | cfg.subset("eval_items")
    return stages.once(cfg.folder() / "data-test", build, settings=settings, version=2)


def test_items(cfg: config.Config) -> list[Item]:
    """The test items: same for every model and condition, and in no training set."""
    frame = pd.read_parquet(run_test_set(cfg) / "test.parquet")
    return [Item.from_dict(json.loads(item)) for item in frame["item"]]


def persona_pool(cfg: config.Config) -> list[Persona]:
    """The people from whom the unaligned personas of the test items are drawn."""
    frame = pd.read_parquet(run_test_set(cfg) / "pool.parquet")
    return [Persona(row.text, json.loads(row.facts)) for row in frame.itertuples()]


def likelihood_items(cfg: config.Config) -> list[Item]:
    """The questions of `likelihood_items`, whose options are scored by likelihood.

    They are of the pocket world as many as are wanted, of real data at most the test items.
    ValueError for a benchmark whose questions have no options, or that real data were not read of.
    """
    if cfg.data_dir == "pocket":
        items = sets.pocket_items(cfg, cfg.likelihood_items)
    else:
        test, items = test_items(cfg), []
        for name, n in cfg.likelihood_items.items():
            items += [item for item in test if item.benchmark == name][:n]
    with_options = {item.benchmark for item in items if benchmarks.choices(item)}
    if wanting := [name for name in cfg.likelihood_items if name not in with_options]:
        raise ValueError(
            f"setting likelihood_items names {', '.join(wanting)}, of which there are no questions "
            f"with options; expected some of {', '.join(sorted(with_options)) or 'the test items'} "
            "or others with options"
        )
    return items


def run_counterfactual_set(cfg: config.Config) -> Path:
    """The first `counterfactual_items` test items of each benchmark, as asked.parquet.

    Each is asked under all of personas.COUNTERFACTUAL.
    """

    def build(folder: Path) -> dict:
        expert, items = sets.open_expert(cfg), pd.Series(test_items(cfg))
        by_benchmark = items.groupby([item.benchmark for item in items])
        first = list(by_benchmark.head(cfg.counterfactual_items))
        questions, counts = variants(first, persona_pool(cfg), expert)
        examples = [Example(item, persona, condition) for condition, item, persona in questions]
        construct.to_frame(examples).to_parquet(folder / "asked.parquet")
        return {
            "asked": len(questions),
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


def counterfactual_questions(folder: Path) -> list[personas.Asked]:
    """What `run_counterfactual_set` wrote: (condition, question, who asks)."""
    examples = construct.from_frame(pd.read_parquet(folder / "asked.parquet"))
    return [(example.condition, example.item, example.persona) for example in examples]

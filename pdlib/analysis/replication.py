"""Does it hold on other backbones, and in the other world? The systems that a claim needs, trained
again from nothing.

A replicate is a backbone, its data sets and its trainings, all from one seed; the test items are
the same for all. `run` trains and evaluates `cfg.replicates` of them in each world of
`cfg.replicate_worlds` (see `pdlib.pocket.world`); what the run itself has trained is not trained
again. The tables are queries on the records. `python -m pdlib.analysis.replication WORLD SEED` does
one replicate.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from pdlib import config, dataset, evaluate, systems
from pdlib.analysis import selection, stats
from pdlib.dataset import construct
from pdlib.dataset.personas import Asked
from pdlib.paper.catalogue import label
from pdlib.run import parallel, stages

TABLE = "replication.csv"
SYSTEMS = ("backbone", "cot", "sft_only", "personadual")
RULES = (selection.PERSONA_BLIND, selection.WORD_MATCH)
RIVALS = (
    *RULES,
    selection.LEXICON,
    selection.TOLD,
)  # ways to choose a mode, scored on PersonaDual's forced answers
GAP = "share of personalised mode, aligned - unaligned, no cue"
ROUNDING = 0.0005  # of the values in per_replicate
TOLD_AHEAD = "told whether it fits - the better of both rules"
SCORED_ON = {
    "personadual": "",
    "sft_only": "SFT only's answers: ",
}  # whose forced answers a rule is scored on -> how the measure begins


def world(cfg: config.Config, fit: str) -> config.Config:
    """The config of one world: the run's own where it is its world, else one with a folder of its
    own within the run's.
    """
    own = replace(cfg, train_seeds=max(1, cfg.replicates), fit=fit)
    return (
        own
        if fit == cfg.fit
        else replace(own, output_dir=str(Path(cfg.output_dir) / cfg.profile / f"world-{fit}"))
    )


def one(cfg: config.Config, fit: str, seed: int) -> list[Path]:
    """Train and evaluate one replicate; returns its record files. What is there already is not done
    again.
    """
    own = world(cfg, fit)
    return [systems.evaluated_seed(own, name, seed) for name in SYSTEMS]


def run(cfg: config.Config) -> pd.DataFrame:
    """The records of all replicates in all worlds under the usual conditions, with the column
    `world`; ValueError for none wanted.

    Replicates are done side by side, as many as `cfg.workers` says.
    """
    if cfg.replicates < 1:
        raise ValueError("setting replicates is 0: none are wanted; `make replicate` trains five")
    frames = []
    for fit in cfg.replicate_worlds:
        own = world(cfg, fit)
        tasks = [
            parallel.Task(
                f"{fit}-{seed}",
                "pdlib.analysis.replication",
                (fit, str(seed)),
                partial(one, cfg, fit, seed),
            )
            for seed in systems.seeds(own)
        ]
        parallel.run(cfg, tasks)
        files = [file for seed in systems.seeds(own) for file in one(cfg, fit, seed)]
        frames.append(evaluate.read_records(files).assign(world=fit))
    return pd.concat(frames, ignore_index=True)


def asked(cfg: config.Config, fit: str) -> list[Asked]:
    """Every test question of a world under every condition."""
    own = world(cfg, fit)
    return evaluate.ask_all(dataset.test_items(own), dataset.persona_pool(own))


def choices(cfg: config.Config, fit: str) -> pd.DataFrame:
    """What the rules of `selection.rules` choose, with `cue` beside it: does the question have one?"""
    own = world(cfg, fit)
    sets = {
        seed: construct.from_frame(
            pd.read_parquet(own.run_folder() / f"data-{seed}" / "sft.parquet")
        )
        for seed in systems.seeds(own)
    }
    questions = asked(cfg, fit)
    cues = {(item.benchmark, item.id): bool(item.facts.get("cue")) for _, item, _ in questions}
    found = selection.rules(questions, sets)
    return found.assign(cue=[cues[key] for key in zip(found.benchmark, found.item_id)])


def by_replicate(records: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """The values of one world, one row per benchmark, item_id and train_seed, columns (measure,
    block); see `table`.

    chosen: as `choices` gives it. Accuracy is the mean over sampling runs. A rule is scored on
    PersonaDual's forced answers, and, since RL teaches the personalised mode to answer strangers,
    too, on those of SFT only.
    """
    blocks = {
        where: block
        for block, where in {"objective none": ("objective", "none"), **stats.BLOCKS}.items()
    }
    rows = records.assign(
        block=[
            blocks.get(where)
            for where in zip(records.kind.astype(str), records.condition.astype(str))
        ]
    )
    rows = rows[rows.block.notna() & (rows.turn == 1)]
    key = ["block", *stats.ITEM]
    free = rows[rows.forced == "none"].assign(correct=lambda r: r.correct.astype(float))
    right = {
        model: part.groupby(key).correct.mean()
        for model, part in free.groupby("model", observed=True)
    }
    personal = free.assign(personal=(free["mode"] == "personalized").astype(float))
    cue = chosen.drop_duplicates(["benchmark", "item_id"]).set_index(["benchmark", "item_id"]).cue
    values = dict(right)
    for model in SCORED_ON:
        answers = selection.read(records, model)
        by_rule, _ = selection.scored(answers, chosen[chosen.rule.isin(RIVALS)])
        values |= {
            _column(rule, model): pd.Series(by_rule[rule], answers.index)
            for rule in RIVALS
            if rule in by_rule
        }
    for model in ("sft_only", "personadual"):
        share = personal[personal.model == model].groupby(key).personal.mean()
        open_questions = [not cue[b, i] for _, b, i, _ in share.index]
        values[f"{model}, share"] = share[open_questions]
    return pd.DataFrame(values).unstack("block")


def _column(rule: str, model: str) -> str:
    """The column of a rule that is scored on the forced answers of `model`."""
    return rule if model == "personadual" else f"{rule}, {model}"


def table(items: pd.DataFrame, draws: int = 4000) -> pd.DataFrame:
    """The claims of one world over its replicates: measure, block, mean, ci_low, ci_high, n
    (items), replicates, another_low, another_high, lowest and highest (of the replicates), and
    per_replicate.

    items: as `by_replicate` gives them. ci_low, ci_high: of the mean over all backbones and items
    (`stats.seed_weights`). another_low, another_high: where a further replicate would come out on
    the same items, with 95 %, see `another`. per_replicate: the values one by one, in the order of
    the seeds. better_rule: of TOLD_AHEAD, the rule that is meant.
    """
    seeds, rows = sorted(items.index.unique("train_seed")), []
    for (measure, block), terms in _claims().items():
        if not {column for _, column in terms} <= set(
            items.columns
        ):  # a rule that could not be computed
            continue
        drawn, per_seed, n = _claim(items, terms, draws)
        rows.append(
            {"measure": measure, "block": block}
            | stats.summary(drawn)
            | another(per_seed)
            | {
                "lowest": float(per_seed.min()),
                "highest": float(per_seed.max()),
                "n": n,
                "per_replicate": " ".join(f"{per_seed[seed]:.3f}" for seed in seeds),
            }
        )
    rows += [found for start in SCORED_ON.values() for found in _least_ahead(rows, start)]
    return pd.DataFrame(rows).assign(replicates=len(seeds))


def another(values: Sequence[float]) -> dict[str, float]:
    """{another_low, another_high}: the 95 % prediction interval for one more value like these, by
    Student's t; missing for fewer than two.

    Mean -+ t s sqrt(1 + 1/n). It is wider than the interval of the mean: one run is not a mean.

    >>> {name: round(value, 3) for name, value in another([0.0, 0.1, 0.2]).items()}
    {'another_low': -0.397, 'another_high': 0.597}
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return {"another_low": np.nan, "another_high": np.nan}
    half = (
        student.ppf(0.5 + stats.LEVEL / 2, len(values) - 1)
        * values.std(ddof=1)
        * np.sqrt(1 + 1 / len(values))
    )
    return {"another_low": float(values.mean() - half), "another_high": float(values.mean() + half)}


def inside(found: pd.DataFrame) -> float:
    """How often a replicate lies where the others said that it would: the share of claims of
    `found` (a `table`) and replicates whose value lies in the interval that `another` makes of the
    other replicates. Missing for fewer than three.
    """
    hits = []
    for text in found.per_replicate[~found.measure.str.endswith(TOLD_AHEAD)]:
        values = [float(value) for value in str(text).split()]
        for at, value in enumerate(values if len(values) > 2 else []):
            others = another([v for k, v in enumerate(values) if k != at])
            hits.append(
                others["another_low"] - ROUNDING <= value <= others["another_high"] + ROUNDING
            )
    return float(np.mean(hits)) if hits else np.nan


def results(cfg: config.Config) -> pd.DataFrame | None:
    """The table of all worlds, with the columns world, processor and revision.

    With cfg.replicates the replicates are trained first, and the table and what it is computed from
    are written to the run's folder. Without, what an earlier `make replicate` left in
    outputs/reference; None where it left nothing.
    """
    if cfg.replicates < 1:
        return (
            pd.read_csv(stages.REFERENCE / TABLE) if (stages.REFERENCE / TABLE).is_file() else None
        )
    records, tables = run(cfg), []
    for fit in cfg.replicate_worlds:
        items = by_replicate(records[records.world == fit], choices(cfg, fit))
        write_items(items, cfg.run_folder() / f"replication_{fit}.parquet")
        tables.append(table(items).assign(world=fit, **_trained(cfg, fit)))
    found = pd.concat(tables, ignore_index=True)
    found.round(6).to_csv(cfg.run_folder() / TABLE, index=False)
    return found


def _trained(cfg: config.Config, fit: str) -> dict[str, str]:
    """{processor, revision} of the trainings of a world, as their manifests have it; several are
    joined.
    """
    own = world(cfg, fit)
    made = [
        stages.read_manifest(systems.folder(own, "personadual", seed))["provenance"]
        for seed in systems.seeds(own)
    ]
    found = {
        "processor": [one["hardware"]["cpu"] for one in made],
        "revision": [(one["code"]["revision"] or "unknown")[:12] for one in made],
    }
    return {name: ", ".join(dict.fromkeys(values)) for name, values in found.items()}


def origin(cfg: config.Config) -> str:
    """Where the table of `results` comes from, a line a world where it is stored."""
    if cfg.replicates:
        return f"{cfg.replicates} replicates in each of the worlds {', '.join(cfg.replicate_worlds)}, trained in this run"
    if not (stages.REFERENCE / TABLE).is_file():
        return "no replicates have been trained and none are stored; `make replicate` trains five in each world"
    here, lines = stages.hardware()["cpu"], []
    for world, rows in pd.read_csv(stages.REFERENCE / TABLE).groupby("world", sort=False):
        stored = rows.iloc[0]
        other = (
            ""
            if here == stored.processor
            else f"; this machine has another one ({here}), on which they would come out otherwise"
        )
        lines.append(
            f"world {world}, stored: {stored.replicates} replicates, trained at revision {stored.revision} on "
            f"{stored.processor}{other}"
        )
    return "\n".join(lines)


def write_items(items: pd.DataFrame, path: Path) -> None:
    """Write what `by_replicate` gives as a flat parquet; `read_items` is the inverse."""
    flat = items.astype("float32").set_axis(
        [f"{measure}|{block}" for measure, block in items.columns], axis=1
    )
    flat.reset_index().to_parquet(path, index=False, compression="zstd", compression_level=19)


def read_items(path: Path) -> pd.DataFrame:
    """What `write_items` wrote."""
    flat = pd.read_parquet(path).set_index(stats.ITEM)
    return flat.set_axis(
        pd.MultiIndex.from_tuples([tuple(name.split("|")) for name in flat.columns]), axis=1
    )


OBJECTIVE = tuple(selection.MEANS[selection.OBJECTIVE])
BLOCKS = {
    "objective unaligned": OBJECTIVE[:1],
    "objective aligned": OBJECTIVE[1:],
    selection.OBJECTIVE: OBJECTIVE,
    "personalised": ("personalised",),
    stats.MEAN: tuple(stats.BLOCKS),
}


def _claims() -> dict[tuple[str, str], list[tuple[float, tuple[str, str]]]]:
    """(measure, block) -> its sum of (weight, (column, block)) terms."""

    def difference(left, right, blocks):
        return [
            (sign / len(blocks), (column, block))
            for block in blocks
            for sign, column in ((1, left), (-1, right))
        ]

    claims = {}
    for rival in ("cot", "sft_only", *RIVALS):
        for name, blocks in BLOCKS.items():
            claims[f"PersonaDual - {label(rival)}", name] = difference("personadual", rival, blocks)
    for model, start in SCORED_ON.items():
        for rule in RULES:
            told, other = _column(selection.TOLD, model), _column(rule, model)
            for name in ("objective unaligned", "objective aligned", selection.OBJECTIVE):
                claims[f"{start}{selection.TOLD} - {rule}", name] = difference(
                    told, other, BLOCKS[name]
                )
    for model in ("sft_only", "personadual"):
        share, (unaligned, aligned) = f"{model}, share", OBJECTIVE
        claims[f"{label(model)}: {GAP}", selection.OBJECTIVE] = [
            (1, (share, aligned)),
            (-1, (share, unaligned)),
        ]
    for model in SYSTEMS:
        for condition in ("unaligned", "aligned"):
            block = f"objective {condition}"
            claims[f"{label(model)}: {condition} - none", block] = [
                (1, (model, block)),
                (-1, (model, "objective none")),
            ]
        for block in ("objective none", *stats.BLOCKS):
            claims[f"{label(model)}: accuracy", block] = [(1, (model, block))]
    return claims


def _claim(
    items: pd.DataFrame, terms: Sequence[tuple[float, tuple[str, str]]], draws: int
) -> tuple[pd.Series, pd.Series, int]:
    """(draws of the sum, its value by training seed, items)."""
    columns = list(dict.fromkeys(column for _, column in terms))
    drawn = stats.resample(
        items[columns].dropna(how="all").set_axis(range(len(columns)), axis=1), draws
    )
    place = {column: at for at, column in enumerate(columns)}
    total = sum(weight * drawn[place[column]] for weight, column in terms)
    means = items[columns].groupby(["train_seed", "benchmark"]).mean().groupby("train_seed").mean()
    per_seed = sum(weight * means[column] for weight, column in terms)
    return total, per_seed, stats.count(items[columns].dropna(how="all"))


def _least_ahead(rows: Sequence[dict], start: str) -> list[dict]:
    """Of `rows`, told whether the persona fits minus the better of RULES on the mean of the
    objective blocks; none where none is there.
    """
    measures = {f"{start}{selection.TOLD} - {rule}": rule for rule in RULES}
    found = [
        row | {"measure": start + TOLD_AHEAD, "better_rule": measures[row["measure"]]}
        for row in rows
        if row["measure"] in measures and row["block"] == selection.OBJECTIVE
    ]
    return sorted(found, key=lambda row: row["mean"])[:1]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", required=True)
    parser.add_argument("--overrides", type=json.loads, default={})
    parser.add_argument("world", help="the setting `fit` of the replicate's world")
    parser.add_argument("seed", type=int)
    given = parser.parse_args(arguments)
    one(config.load(given.profile, **given.overrides), given.world, given.seed)


if __name__ == "__main__":
    main()

"""The values of one world by item and replicate, from records and what rules choose."""

from pathlib import Path

import pandas as pd

from pdlib.analysis import selection, stats

MODELS = ("backbone", "cot", "sft_only", "personadual")
RULES = (selection.PERSONA_BLIND, selection.WORD_MATCH)
# ways to choose a mode, scored on PersonaDual's forced answers
RIVALS = (*RULES, selection.LEXICON, selection.TOLD)
# model whose forced answers a rule is scored on -> how the measure begins
SCORED_ON = {"personadual": "", "sft_only": "SFT only's answers: "}


def by_replicate(records: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """The values of one world, one row per benchmark, item_id and train_seed.

    Columns (measure, block), with blocks of `stats.AVERAGES`. chosen: as `choices` gives it.
    Accuracy is the mean over sampling runs. A rule is scored on PersonaDual's forced answers, and,
    since RL teaches the personalised mode to answer strangers, too, on those of SFT only.
    """
    block_of = {where: block for block, where in stats.AVERAGES.items()}
    columns = zip(records.kind.astype(str), records.condition.astype(str), strict=True)
    rows = records.assign(block=[block_of.get(where) for where in columns])
    free = rows[rows.block.notna() & (rows.turn == 1) & (rows.forced == "none")]
    free = free.assign(
        correct=free.correct.astype(float), personal=(free["mode"] == "personalized").astype(float)
    )
    means = free.groupby(["model", "block", *stats.ITEM], observed=True)[["correct", "personal"]]
    means = means.mean()
    values = {model: means.correct[model] for model in means.index.unique("model")}
    for model in SCORED_ON:
        answers = selection.read(records, model)
        accuracies, _ = selection.scored(answers, chosen[chosen.rule.isin(RIVALS)])
        for rule in RIVALS:
            if rule in accuracies:
                values[column(rule, model)] = pd.Series(accuracies[rule], answers.index)
    has_cue = chosen.drop_duplicates(["benchmark", "item_id"])
    has_cue = has_cue.set_index(["benchmark", "item_id"]).cue
    for model in ("sft_only", "personadual"):
        share = means.personal[model]
        is_open = [not has_cue[item[:2]] for item in share.index.droplevel("block")]
        values[f"{model}, share"] = share[is_open]
    return pd.DataFrame(values).unstack("block")


def column(rule: str, model: str) -> str:
    """The measure of a rule that is scored on the forced answers of `model`."""
    return rule if model == "personadual" else f"{rule}, {model}"


def write_items(items: pd.DataFrame, path: Path) -> None:
    """Write what `by_replicate` gives as a flat parquet; `read_items` is the inverse."""
    names = [f"{measure}|{block}" for measure, block in items.columns]
    flat = items.astype("float32").set_axis(names, axis=1).reset_index()
    flat.to_parquet(path, index=False, compression="zstd", compression_level=19)


def read_items(path: Path) -> pd.DataFrame:
    """What `write_items` wrote."""
    flat = pd.read_parquet(path).set_index(stats.ITEM)
    columns = [tuple(name.split("|")) for name in flat.columns]
    return flat.set_axis(pd.MultiIndex.from_tuples(columns), axis=1)

"""Evaluation: model x benchmark x persona condition x forced mode x seed -> records, one row an answer."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import benchmarks, config, data, experts, generate, models, modes, personas, stages
from pdlib.schema import Item, Mode, Persona

COLUMNS = ["run", "model", "train_seed", "benchmark", "kind", "item_id", "condition", "forced", "seed", "turn", "mode",
           "p_personalized", "prompt", "completion", "answer", "gold", "correct", "parse_error", "n_prompt_tokens",
           "n_completion_tokens"]


def answer_items(model, tokenizer, items: Sequence[Item], pool: Sequence[Persona], *, run: str, model_name: str,
                 train_seed: int, conditions: Sequence[str], seeds: Sequence[int], forced: Sequence[Mode | None] = (None,),
                 two_modes: bool = True, temperature: float = 0.6, max_tokens: int = 64, batch_size: int = 250) -> pd.DataFrame:
    """Records of every combination. Malformed completions are wrong answers, with the reason in `parse_error`.

    two_modes=False is a model without modes: no tag is expected of it and P(personalised) is missing.
    """
    if not items:
        raise ValueError("no items to evaluate; n must be at least 1")
    frames = []
    for condition in conditions:
        asked = [personas.assign(item, condition, pool) for item in items]
        prompts = [modes.render_prompt(tokenizer, item, persona) for item, persona in zip(items, asked)]
        chances = generate.prompt_mode_probability(model, tokenizer, prompts, batch_size) if two_modes else [None] * len(items)
        for mode in forced:
            for seed in seeds:
                outs = generate.complete(model, tokenizer, prompts, forced=mode, temperature=temperature,
                                         max_new_tokens=max_tokens, batch_size=batch_size, seed=seed)
                rows = [_record(*row, two_modes) for row in zip(items, prompts, chances, outs)]
                frames.append(pd.DataFrame(rows).assign(condition=condition, forced=mode.value if mode else "none", seed=seed))
    records = pd.concat(frames, ignore_index=True)
    return records.assign(run=run, model=model_name, train_seed=train_seed, turn=1)[COLUMNS]


def _record(item: Item, prompt: str, chance: float | None, out: generate.Completion, two_modes: bool) -> dict:
    parsed = modes.parse(out.text, require_mode=two_modes)
    error = parsed.error if not (parsed.error and out.truncated) else f"truncated; {parsed.error}"
    right = parsed.error is None and benchmarks.grade(item, parsed.answer)[0]
    return {"benchmark": item.benchmark, "kind": item.kind, "item_id": item.id,
            "mode": parsed.mode.value if parsed.mode else "none", "p_personalized": chance, "prompt": prompt,
            "completion": out.text, "answer": parsed.answer, "gold": item.gold, "correct": right, "parse_error": error,
            "n_prompt_tokens": out.n_prompt_tokens, "n_completion_tokens": out.n_tokens}


def test_items(cfg: config.Config) -> list[Item]:
    """The test items: same for every model and condition, and in no training set."""
    frame = pd.read_parquet(data.run_test_set(cfg) / "test.parquet")
    return [Item.from_dict(json.loads(item)) for item in frame["item"]]


def persona_pool(cfg: config.Config) -> list[Persona]:
    """The people from whom the unaligned personas of the test items are drawn."""
    frame = pd.read_parquet(data.run_test_set(cfg) / "pool.parquet")
    return [Persona(text, json.loads(facts)) for text, facts in zip(frame.text, frame.facts)]


def run_records(cfg: config.Config, model_name: str, folder: Path, run: str, two_modes: bool = True,
                forced: Sequence[Mode | None] | None = None, train_seed: int | None = None, place: str = ".") -> Path:
    """Evaluate one trained model into `records/<run>.<model>.parquet`; a stage of its own, so nothing is asked twice.

    The items follow cfg.seed whatever `train_seed` says (default: cfg.seed), so that models of several seeds can be paired.
    forced: None is the free mode; by default free and, for a model with modes, both forced ones. place: a folder within
    cfg.folder() for records and stage.
    """
    name = f"{config.file_name(run)}.{model_name}" + (f".{train_seed}" if train_seed is not None else "")
    forced = tuple(forced or ((None, *Mode) if two_modes else (None,)))
    train_seed = cfg.seed if train_seed is None else train_seed
    target = cfg.folder() / place / "records" / f"{name}.parquet"

    def build(_: Path) -> dict:
        model, tokenizer = models.load(folder)
        records = answer_items(
            model, tokenizer, test_items(cfg), persona_pool(cfg), run=run, model_name=model_name, train_seed=train_seed,
            conditions=personas.CONDITIONS, seeds=range(cfg.eval_runs), forced=forced,
            two_modes=two_modes, temperature=cfg.eval_temperature, max_tokens=cfg.eval_max_tokens, batch_size=cfg.eval_batch)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        records.to_parquet(temporary, index=False)
        os.replace(temporary, target)
        return {"records": len(records), "parse_errors": int(records.parse_error.notna().sum())}

    settings = cfg.subset("seed", "eval_") | {
        "run": run, "model": model_name, "forced": [mode.value if mode else "none" for mode in forced], "train_seed": train_seed}
    stages.once(cfg.folder() / place / f"evaluation-{name}", build, settings=settings, inputs=[folder, data.run_test_set(cfg)], products=[target])
    return target


def judged(cfg: config.Config, records: pd.DataFrame, benchmark: str) -> dict:
    """How far the expert as a judge agrees with the grader, on the free answers to `benchmark`, see `experts.agreement`.

    The paper has an LLM judge PubMedQA and MATH500; here it decides nothing.
    """
    items = {item.id: item for item in test_items(cfg)}
    rows = records[(records.benchmark == benchmark) & (records.forced == "none")]
    answers = rows.answer.where(rows.parse_error.isna(), None)
    return {"benchmark": benchmark} | experts.agreement([items[i] for i in rows.item_id], list(answers), data.open_expert(cfg))


def read_records(folder: Path | str) -> pd.DataFrame:
    """All records under `folder`; ValueError when there are none or a column of the contract is missing."""
    files = sorted(Path(folder).glob("*.parquet"))
    if not files:
        raise ValueError(f"no records in {folder}; run `make reproduce` first")
    frames = []
    for file in files:
        frame = pd.read_parquet(file)
        if missing := set(COLUMNS) - set(frame.columns):
            raise ValueError(f"{file} lacks the columns {sorted(missing)}; delete it and evaluate again")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)

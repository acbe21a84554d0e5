"""Ask a model: benchmark x persona condition x forced mode x seed -> records."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, generate, models, modes
from pdlib.dataset import experts, personas
from pdlib.dataset.personas import Asked
from pdlib.evaluate.records import as_stage, in_order, record
from pdlib.schema import PAPER_MODES, Item, Mode, ModeSet, Persona


def ask_all(
    items: Sequence[Item], pool: Sequence[Persona], conditions: Sequence[str] = personas.CONDITIONS
) -> list[Asked]:
    """Every item under every condition, with the persona who asks it."""
    return [
        (condition, item, personas.assign(item, condition, pool))
        for condition in conditions
        for item in items
    ]


def answer(
    model,
    tokenizer,
    questions: Sequence[Asked],
    *,
    run: str,
    model_name: str,
    train_seed: int,
    seeds: Sequence[int],
    forced: Sequence[Mode | None] = (None,),
    mode_set: ModeSet | None = PAPER_MODES,
    prompt: str = "plain",
    temperature: float = 0.6,
    max_tokens: int = 64,
    batch_tokens: int = generate.BATCH_TOKENS,
) -> pd.DataFrame:
    """Records of every question x forced mode x seed.

    Malformed completions are wrong answers, with the reason in `parse_error`. mode_set: the modes
    that the model chooses between; None is a model without modes: no tag is expected of it and its
    P(personalised) is missing. prompt: see modes.PROMPTS.
    """
    if not questions:
        raise ValueError("no items to evaluate; n must be at least 1")
    prompts = [
        modes.render_prompt(tokenizer, item, persona, prompt) for _, item, persona in questions
    ]
    chances, completions = generate.answers(
        model,
        tokenizer,
        prompts,
        forced=forced,
        seeds=seeds,
        temperature=temperature,
        max_new_tokens=max_tokens,
        batch_tokens=batch_tokens,
        mode_set=mode_set or PAPER_MODES,
    )
    rows = []
    for (mode, seed), of_prompts in completions.items():
        setting = {"forced": mode.name if mode else "none", "seed": seed}
        for (condition, item, _), text, of_modes, completion in zip(
            questions, prompts, chances, of_prompts, strict=True
        ):
            row = record(item, text, of_modes, completion, mode_set)
            rows.append(row | {"condition": condition} | setting)
    records = pd.DataFrame(rows).assign(run=run, model=model_name, train_seed=train_seed, turn=1)
    return in_order(records)


def run_records(
    cfg: config.Config,
    model_name: str,
    folder: Path,
    *,
    run: str | None = None,
    train_seed: int | None = None,
    mode_set: ModeSet | None = PAPER_MODES,
    forced: Sequence[Mode | None] | None = None,
    prompt: str = "plain",
    preferences: bool = False,
    counterfactual: bool = False,
    conditions: Sequence[str] | None = None,
    subfolder: str = ".",
) -> Path:
    """Evaluate the model in `folder` into `records/<run>.<model>[.<train seed>].parquet`.

    This is a stage, so nothing is asked twice. The items follow cfg.seed whatever `train_seed`
    says, so that models of several seeds can be paired; None is a model that was not trained here,
    with seed cfg.seed in its records. run: cfg.run by default. forced: None is the free mode; by
    default free and, for a model with modes, both forced ones. preferences: askers state their
    preferences instead of themselves (AlignXpert-PBA). counterfactual: the items' counterfactual
    conditions instead of the three usual ones. conditions: those of them that are
    asked, by default all. subfolder: of cfg.folder().
    """
    run = run or cfg.run
    name = f"{config.file_name(run)}.{model_name}"
    if train_seed is not None:
        name += f".{train_seed}"
    if counterfactual:
        name += ".counterfactual"
    if forced is None:
        forced = (None, *(mode_set or ()))
    labels = {
        "run": run,
        "model_name": model_name,
        "train_seed": cfg.seed if train_seed is None else train_seed,
    }
    build_set = dataset.run_counterfactual_set if counterfactual else dataset.run_test_set
    usual = personas.CONDITIONS
    if counterfactual:
        usual = tuple(name for name in personas.COUNTERFACTUAL if name not in personas.CONDITIONS)
    asked = usual if conditions is None else tuple(conditions)
    test_set = build_set(cfg)

    def ask() -> tuple[pd.DataFrame, dict]:
        if counterfactual:  # the usual conditions have been asked
            questions = [
                (condition, item, persona)
                for condition, item, persona in dataset.counterfactual_questions(test_set)
                if condition in asked
            ]
        else:
            questions = ask_all(dataset.test_items(cfg), dataset.persona_pool(cfg), asked)
        if preferences:
            questions = _by_preferences(questions, dataset.open_expert(cfg))
        model, tokenizer = models.load(folder, cfg.precision)
        how = {"forced": forced, "mode_set": mode_set, "prompt": prompt} | sampling(cfg)
        return answer(model, tokenizer, questions, **labels, **how), {}

    settings = cfg.subset("seed", "eval_", "precision", "modes") | {
        "run": run,
        "model": model_name,
        "forced": [mode.name if mode else "none" for mode in forced],
        "train_seed": labels["train_seed"],
        "prompt": prompt,
        "preferences": preferences,
    }
    if asked != usual:
        settings |= {"conditions": list(asked)}
    return as_stage(
        cfg.folder() / subfolder, name, ask, settings=settings, inputs=[folder, test_set]
    )


def sampling(cfg: config.Config) -> dict:
    """How answers are drawn: seeds, temperature, max_tokens, batch_tokens."""
    return {
        "seeds": range(cfg.eval_runs),
        "temperature": cfg.eval_temperature,
        "max_tokens": cfg.eval_max_tokens,
        "batch_tokens": cfg.eval_batch_tokens,
    }


def _by_preferences(questions: Sequence[Asked], expert: experts.Expert) -> list[Asked]:
    """The same questions by askers who state what they prefer.

    ValueError where the expert found no preferences.
    """
    people = list({persona.text: persona for _, _, persona in questions if persona}.values())
    stated = dict(
        zip((persona.text for persona in people), expert.preferences(people), strict=True)
    )
    silent = [text for text, preference in stated.items() if preference is None]
    if silent:
        raise ValueError(
            f"the expert states no preferences of {len(silent)} personas, the first: "
            f"{silent[0]!r}; ask again, or another expert"
        )
    return [
        (condition, item, stated[persona.text] if persona else None)
        for condition, item, persona in questions
    ]


def judged(cfg: config.Config, records: pd.DataFrame, benchmark: str) -> dict:
    """How far the expert as a judge agrees with the grader, on the free answers to `benchmark`.

    See `experts.agreement`. The paper has an LLM judge PubMedQA and MATH500; here it decides
    nothing.
    """
    items = {item.id: item for item in dataset.test_items(cfg)}
    rows = records[(records.benchmark == benchmark) & (records.forced == "none")]
    is_parsed = rows.parse_error.isna()
    answers = [text if ok else None for text, ok in zip(rows.answer, is_parsed, strict=True)]
    questions = [items[item_id] for item_id in rows.item_id]
    agreement = experts.agreement(questions, answers, dataset.open_expert(cfg))
    return {"benchmark": benchmark} | agreement

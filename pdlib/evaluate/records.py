"""Evaluation: model x benchmark x persona condition x forced mode x seed -> records, one row an
answer.
"""

import os
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pdlib import benchmarks, config, dataset, generate, models, modes
from pdlib.dataset import experts, personas
from pdlib.dataset.personas import Asked
from pdlib.generate import likelihood
from pdlib.questions import grading
from pdlib.run import stages
from pdlib.schema import Item, Mode, Persona

COLUMNS = [
    "run",
    "model",
    "train_seed",
    "benchmark",
    "kind",
    "item_id",
    "condition",
    "forced",
    "seed",
    "turn",
    "mode",
    "p_personalized",
    "prompt",
    "completion",
    "answer",
    "gold",
    "correct",
    "parse_error",
    "n_prompt_tokens",
    "n_completion_tokens",
]


def ask_all(
    items: Sequence[Item], pool: Sequence[Persona], conditions: Sequence[str] = personas.CONDITIONS
) -> list[Asked]:
    """Every item under every condition."""
    return [
        (condition, item, personas.assign(item, condition, pool))
        for condition in conditions
        for item in items
    ]


def answer(
    model,
    tokenizer,
    asked: Sequence[Asked],
    *,
    run: str,
    model_name: str,
    train_seed: int,
    seeds: Sequence[int],
    forced: Sequence[Mode | None] = (None,),
    two_modes: bool = True,
    prompt: str = "plain",
    temperature: float = 0.6,
    max_tokens: int = 64,
    batch_tokens: int = generate.BATCH_TOKENS,
) -> pd.DataFrame:
    """Records of every asked question x forced mode x seed. Malformed completions are wrong
    answers, with the reason in `parse_error`.

    two_modes=False is a model without modes: no tag is expected of it and P(personalised) is
    missing. prompt: see modes.PROMPTS.
    """
    if not asked:
        raise ValueError("no items to evaluate; n must be at least 1")
    prompts = [modes.render_prompt(tokenizer, item, persona, prompt) for _, item, persona in asked]
    chances, answers = generate.answers(
        model,
        tokenizer,
        prompts,
        forced=forced,
        seeds=seeds,
        temperature=temperature,
        max_new_tokens=max_tokens,
        batch_tokens=batch_tokens,
    )
    if not two_modes:
        chances = [None] * len(asked)
    rows = [
        record(item, text, chance, out, two_modes)
        | {"condition": condition, "forced": mode.value if mode else "none", "seed": seed}
        for (mode, seed), outs in answers.items()
        for (condition, item, _), text, chance, out in zip(
            asked, prompts, chances, outs, strict=True
        )
    ]
    return pd.DataFrame(rows).assign(run=run, model=model_name, train_seed=train_seed, turn=1)[
        COLUMNS
    ]


@dataclass(frozen=True)
class Scored:
    """A question asked by somebody, the prompt that it became, and each of its options with its
    score.
    """

    condition: str
    item: Item
    persona: Persona | None
    prompt: str
    n_prompt_tokens: int
    options: tuple[str, ...]
    scores: tuple[likelihood.Score, ...]


def score_options(
    model,
    tokenizer,
    asked: Sequence[Asked],
    prompt: str = "plain",
    batch_tokens: int = generate.BATCH_TOKENS,
) -> list[Scored]:
    """How likely the model finds each option of every asked question as its answer; the prompt does
    not list them, and nothing is written.

    prompt: see modes.PROMPTS. ValueError where nothing is asked, and for a question without options
    or labels.
    """
    if not asked:
        raise ValueError("no items to evaluate; n must be at least 1")
    options = [benchmarks.choices(item) for _, item, _ in asked]
    if free := [item.id for (_, item, _), texts in zip(asked, options) if not texts]:
        raise ValueError(
            f"{len(free)} questions have no options whose likelihood could be compared, the first: {free[0]!r}; "
            "leave them out"
        )
    prompts = [
        modes.render_question(tokenizer, item, persona, prompt) for _, item, persona in asked
    ]
    lengths = [len(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]]
    written = [[modes.as_data(tokenizer, text) for text in texts] for texts in options]
    scores = likelihood.scores(model, tokenizer, prompts, written, batch_tokens)
    return [
        Scored(*one, text, length, tuple(texts), tuple(found))
        for one, text, length, texts, found in zip(
            asked, prompts, lengths, options, scores, strict=True
        )
    ]


def likeliest(scored: Sequence[Scored], per_token: bool = False, **whose) -> pd.DataFrame:
    """Records in which each question is answered by its likeliest option, as lm-evaluation-harness
    scores choices.

    per_token: the mean over an option's tokens decides, not their sum, which favours short options.
    The sum is the harness's "acc"; its "acc_norm" divides by characters, and is neither. whose:
    run, model, train_seed of the records.
    """
    return _choices(
        scored,
        [
            max(
                zip(one.options, one.scores),
                key=lambda pair: pair[1].per_token if per_token else pair[1].log_probability,
            )[0]
            for one in scored
        ],
        **whose,
    )


def by_shared_words(scored: Sequence[Scored], **whose) -> pd.DataFrame:
    """Records of a rule that asks no model: the option that shares most words with question and
    persona; among equals, one by lot.
    """
    lot, answers = random.Random(whose["train_seed"]), []
    for one in scored:
        said = set(
            grading.normalize(
                f"{one.item.question} {one.persona.text if one.persona else ''}"
            ).split()
        )
        shared = {
            option: len(said & set(grading.normalize(option).split())) for option in one.options
        }
        answers.append(
            lot.choice([option for option, n in shared.items() if n == max(shared.values())])
        )
    return _choices(scored, answers, **whose)


def _choices(scored: Sequence[Scored], answers: Sequence[str], **whose) -> pd.DataFrame:
    """Records in which `answers`, an option each, were chosen."""
    rows = [
        {
            "benchmark": one.item.benchmark,
            "kind": one.item.kind,
            "item_id": one.item.id,
            "condition": one.condition,
            "forced": "none",
            "seed": 0,
            "mode": "none",
            "p_personalized": None,
            "prompt": one.prompt,
            "completion": said,
            "answer": said,
            "gold": one.item.gold,
            "correct": said == one.item.gold,
            "parse_error": None,
            "n_prompt_tokens": one.n_prompt_tokens,
            "n_completion_tokens": one.scores[one.options.index(said)].n_tokens,
        }
        for one, said in zip(scored, answers, strict=True)
    ]
    return pd.DataFrame(rows).assign(turn=1, **whose)[COLUMNS]


def record(
    item: Item, prompt: str, chance: float | None, out: generate.Completion, two_modes: bool
) -> dict:
    """What a record says of one completion, whoever asked it and when."""
    parsed = modes.parse(out.text, require_mode=two_modes)
    error = parsed.error if not (parsed.error and out.truncated) else f"truncated; {parsed.error}"
    right = parsed.error is None and benchmarks.grade(item, parsed.answer)[0]
    return {
        "benchmark": item.benchmark,
        "kind": item.kind,
        "item_id": item.id,
        "mode": parsed.mode.value if parsed.mode else "none",
        "p_personalized": chance,
        "prompt": prompt,
        "completion": out.text,
        "answer": parsed.answer,
        "gold": item.gold,
        "correct": right,
        "parse_error": error,
        "n_prompt_tokens": out.n_prompt_tokens,
        "n_completion_tokens": out.n_tokens,
    }


def run_records(
    cfg: config.Config,
    model_name: str,
    folder: Path,
    *,
    run: str | None = None,
    train_seed: int | None = None,
    two_modes: bool = True,
    forced: Sequence[Mode | None] | None = None,
    prompt: str = "plain",
    preferences: bool = False,
    counterfactual: bool = False,
    place: str = ".",
) -> Path:
    """Evaluate the model in `folder` into `records/<run>.<model>[.<train seed>].parquet`; a stage,
    so nothing is asked twice.

    The items follow cfg.seed whatever `train_seed` says, so that models of several seeds can be
    paired; None is a model that was not trained here, with seed cfg.seed in its records. run:
    cfg.run by default. forced: None is the free mode; by default free and, for a model with modes,
    both forced ones. preferences: askers state their preferences instead of themselves
    (AlignXpert-PBA). counterfactual: the items' counterfactual conditions instead of the three
    usual ones. place: a folder within cfg.folder().
    """
    run = run or cfg.run
    seed_part = [] if train_seed is None else [str(train_seed)]
    name = ".".join(
        [
            config.file_name(run),
            model_name,
            *seed_part,
            *(["counterfactual"] if counterfactual else []),
        ]
    )
    forced = tuple(forced or ((None, *Mode) if two_modes else (None,)))
    train_seed = cfg.seed if train_seed is None else train_seed
    questions = dataset.run_counterfactual_set(cfg) if counterfactual else dataset.run_test_set(cfg)

    def ask() -> tuple[pd.DataFrame, dict]:
        if counterfactual:  # the usual conditions have been asked
            asked = [one for one in dataset.asked(questions) if one[0] not in personas.CONDITIONS]
        else:
            asked = ask_all(dataset.test_items(cfg), dataset.persona_pool(cfg))
        if preferences:
            asked = _by_preferences(asked, dataset.open_expert(cfg))
        model, tokenizer = models.load(folder, cfg.precision)
        return answer(
            model,
            tokenizer,
            asked,
            run=run,
            model_name=model_name,
            train_seed=train_seed,
            forced=forced,
            two_modes=two_modes,
            prompt=prompt,
            **sampling(cfg),
        ), {}

    settings = cfg.subset("seed", "eval_", "precision") | {
        "run": run,
        "model": model_name,
        "forced": [mode.value if mode else "none" for mode in forced],
        "train_seed": train_seed,
        "prompt": prompt,
        "preferences": preferences,
    }
    return as_stage(cfg.folder() / place, name, ask, settings=settings, inputs=[folder, questions])


LIKELIHOOD = {
    "backbone, by likelihood": False,
    "backbone, by likelihood per token": True,
}  # model in the records -> per_token
WORD_RULE = "rule: shared words"  # model in the records: no model at all


def run_likelihood(cfg: config.Config, backbone: Path, run: str | None = None) -> Path:
    """Score the options of `likelihood_items` by the backbone in that folder, under the usual
    conditions, into `likelihood/records/<run>.parquet`, with both ways of LIKELIHOOD, and the
    answers of `by_shared_words` beside them; a stage.

    run: cfg.run by default.
    """
    run, questions = run or cfg.run, dataset.run_test_set(cfg)

    def ask() -> tuple[pd.DataFrame, dict]:
        model, tokenizer = models.load(backbone, cfg.precision)
        asked = ask_all(dataset.likelihood_items(cfg), dataset.persona_pool(cfg))
        scored = score_options(model, tokenizer, asked, batch_tokens=cfg.eval_batch_tokens)
        whose = {"run": run, "train_seed": cfg.seed}
        known = [
            likeliest(scored, per_token, model=name, **whose)
            for name, per_token in LIKELIHOOD.items()
        ]
        return pd.concat(
            [*known, by_shared_words(scored, model=WORD_RULE, **whose)], ignore_index=True
        ), {}

    settings = cfg.subset("seed", "likelihood_", "precision") | {"run": run}
    return as_stage(
        cfg.folder() / "likelihood",
        config.file_name(run),
        ask,
        settings=settings,
        inputs=[backbone, questions],
    )


def sampling(cfg: config.Config) -> dict:
    """How answers are drawn: seeds, temperature, max_tokens, batch_tokens."""
    return {
        "seeds": range(cfg.eval_runs),
        "temperature": cfg.eval_temperature,
        "max_tokens": cfg.eval_max_tokens,
        "batch_tokens": cfg.eval_batch_tokens,
    }


def as_stage(
    place: Path,
    name: str,
    ask: Callable[[], tuple[pd.DataFrame, dict]],
    *,
    settings: dict,
    inputs: Sequence[Path],
) -> Path:
    """Records as a stage: what `ask()` -> (records, facts for the manifest) answers goes to
    place/records/<name>.parquet, once.
    """
    target = place / "records" / f"{name}.parquet"

    def build(_: Path) -> dict:
        records, facts = ask()
        write(records, target)
        return {
            "records": len(records),
            "parse_errors": int(records.parse_error.notna().sum()),
        } | facts

    stages.once(
        place / "evaluation" / name, build, settings=settings, inputs=inputs, products=[target]
    )
    return target


def _by_preferences(asked: Sequence[Asked], expert: experts.Expert) -> list[Asked]:
    """The same questions by askers who state what they prefer; ValueError where the expert found no
    preferences.
    """
    people = list({persona.text: persona for _, _, persona in asked if persona}.values())
    stated = {
        persona.text: found
        for persona, found in zip(people, expert.preferences(people), strict=True)
    }
    if lost := [text for text, found in stated.items() if found is None]:
        raise ValueError(
            f"the expert states no preferences of {len(lost)} personas, the first: {lost[0]!r}; ask again, or another expert"
        )
    return [
        (condition, item, stated[persona.text] if persona else None)
        for condition, item, persona in asked
    ]


def write(records: pd.DataFrame, target: Path) -> None:
    """Write records so that a reader sees all of them or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    records[COLUMNS].to_parquet(temporary, index=False)
    os.replace(temporary, target)


def judged(cfg: config.Config, records: pd.DataFrame, benchmark: str) -> dict:
    """How far the expert as a judge agrees with the grader, on the free answers to `benchmark`, see
    `experts.agreement`.

    The paper has an LLM judge PubMedQA and MATH500; here it decides nothing.
    """
    items = {item.id: item for item in dataset.test_items(cfg)}
    rows = records[(records.benchmark == benchmark) & (records.forced == "none")]
    answers = rows.answer.where(rows.parse_error.isna(), None)
    return {"benchmark": benchmark} | experts.agreement(
        [items[i] for i in rows.item_id], list(answers), dataset.open_expert(cfg)
    )


def read_records(
    source: Path | str | Sequence[Path], seeds: Collection[int] | None = None
) -> pd.DataFrame:
    """All records of a folder or of some files; ValueError when there are none or a column of the
    contract is missing.

    seeds: only those of these training seeds. A folder may hold more: an earlier run with SEEDS=3,
    or the replicates of some systems, beside which the other systems' single seed would be compared
    with a mean over other backbones.
    """
    files = sorted(Path(source).glob("*.parquet")) if isinstance(source, (str, Path)) else source
    if not files:
        raise ValueError(f"no records in {source}; run `make reproduce` first")
    frames = []
    for file in files:
        frame = pd.read_parquet(file)
        if missing := set(COLUMNS) - set(frame.columns):
            raise ValueError(
                f"{file} lacks the columns {sorted(missing)}; delete it and evaluate again"
            )
        frames.append(frame)
    records = pd.concat(frames, ignore_index=True)
    if seeds is None:
        return records
    own = records[records.train_seed.isin(seeds)]
    if own.empty:
        there = sorted(set(records.train_seed.tolist()))
        raise ValueError(
            f"no records of the training seeds {sorted(seeds)} in {source}, found {there}; run `make reproduce` with them, "
            "or set seed and train_seeds to those"
        )
    return own.reset_index(drop=True)

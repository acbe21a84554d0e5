"""Answers by the likelihood of each option, or by a rule that asks no model.

A model that nobody has taught an answer format can be asked so: it writes nothing.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pdlib import benchmarks, config, dataset, generate, models, modes
from pdlib.dataset.personas import Asked
from pdlib.evaluate.answers import ask_all
from pdlib.evaluate.records import COLUMNS, as_stage
from pdlib.generate import likelihood
from pdlib.questions import grading
from pdlib.schema import Item, Persona

LIKELIHOOD = {  # model in the records -> per_token
    "backbone, by likelihood": False,
    "backbone, by likelihood per token": True,
}
WORD_RULE = "rule: shared words"  # model in the records: no model at all


@dataclass(frozen=True)
class Scored:
    """A question and who asks it, the prompt that it became, and its options with their scores."""

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
    questions: Sequence[Asked],
    prompt: str = "plain",
    batch_tokens: int = generate.BATCH_TOKENS,
) -> list[Scored]:
    """How likely the model finds each option of every question as its answer.

    The prompt does not list the options, and nothing is written. prompt: see modes.PROMPTS.
    ValueError where nothing is asked, and for a question without options or labels.
    """
    if not questions:
        raise ValueError("no items to evaluate; n must be at least 1")
    options = [benchmarks.choices(item) for _, item, _ in questions]
    without = [item.id for (_, item, _), texts in zip(questions, options, strict=True) if not texts]
    if without:
        raise ValueError(
            f"{len(without)} questions have no options whose likelihood could be compared, "
            f"the first: {without[0]!r}; leave them out"
        )
    prompts = [
        modes.render_question(tokenizer, item, persona, prompt) for _, item, persona in questions
    ]
    lengths = [len(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]]
    written = [[modes.as_data(tokenizer, text) for text in texts] for texts in options]
    scores = likelihood.scores(model, tokenizer, prompts, written, batch_tokens)
    return [
        Scored(*question, text, length, tuple(texts), tuple(of_options))
        for question, text, length, texts, of_options in zip(
            questions, prompts, lengths, options, scores, strict=True
        )
    ]


def likeliest(scored: Sequence[Scored], per_token: bool = False, **labels) -> pd.DataFrame:
    """Records in which each question is answered by its likeliest option.

    lm-evaluation-harness scores choices so. per_token: the mean over an option's tokens decides,
    not their sum, which favours short options. The sum is the harness's "acc"; its "acc_norm"
    divides by characters, and is neither. labels: run, model, train_seed of the records.
    """
    answers = []
    for question in scored:
        values = [
            score.per_token if per_token else score.log_probability for score in question.scores
        ]
        answers.append(question.options[values.index(max(values))])
    return _choices(scored, answers, **labels)


def by_shared_words(scored: Sequence[Scored], **labels) -> pd.DataFrame:
    """Records of a rule that asks no model: the option that shares most words with the question.

    The persona's words count as the question's. Among equals, one is drawn by lot.
    """
    lot, answers = random.Random(labels["train_seed"]), []
    for question in scored:
        persona = question.persona.text if question.persona else ""
        words = set(grading.normalize(f"{question.item.question} {persona}").split())
        shared = {
            option: len(words & set(grading.normalize(option).split()))
            for option in question.options
        }
        most = max(shared.values())
        answers.append(lot.choice([option for option, n in shared.items() if n == most]))
    return _choices(scored, answers, **labels)


def _choices(scored: Sequence[Scored], answers: Sequence[str], **labels) -> pd.DataFrame:
    """Records in which `answers`, one option per question, were chosen."""
    rows = [
        {
            "benchmark": question.item.benchmark,
            "kind": question.item.kind,
            "item_id": question.item.id,
            "condition": question.condition,
            "forced": "none",
            "seed": 0,
            "mode": "none",
            "p_personalized": None,
            "prompt": question.prompt,
            "completion": option,
            "answer": option,
            "gold": question.item.gold,
            "correct": option == question.item.gold,
            "parse_error": None,
            "n_prompt_tokens": question.n_prompt_tokens,
            "n_completion_tokens": question.scores[question.options.index(option)].n_tokens,
        }
        for question, option in zip(scored, answers, strict=True)
    ]
    return pd.DataFrame(rows).assign(turn=1, **labels)[COLUMNS]


def run_likelihood(cfg: config.Config, backbone: Path, run: str | None = None) -> Path:
    """Score the options of `likelihood_items` by the backbone in that folder, as a stage.

    The questions are asked under the usual conditions. `likelihood/records/<run>.parquet` holds the
    records of both ways of LIKELIHOOD, and those of `by_shared_words` beside them. run: cfg.run by
    default.
    """
    run, test_set = run or cfg.run, dataset.run_test_set(cfg)

    def ask() -> tuple[pd.DataFrame, dict]:
        model, tokenizer = models.load(backbone, cfg.precision)
        questions = ask_all(dataset.likelihood_items(cfg), dataset.persona_pool(cfg))
        scored = score_options(model, tokenizer, questions, batch_tokens=cfg.eval_batch_tokens)
        labels = {"run": run, "train_seed": cfg.seed}
        records = [
            likeliest(scored, per_token, model=name, **labels)
            for name, per_token in LIKELIHOOD.items()
        ]
        records.append(by_shared_words(scored, model=WORD_RULE, **labels))
        return pd.concat(records, ignore_index=True), {}

    settings = cfg.subset("seed", "likelihood_", "precision") | {"run": run}
    return as_stage(
        cfg.folder() / "likelihood",
        config.file_name(run),
        ask,
        settings=settings,
        inputs=[backbone, test_set],
    )

"""Stage 2 [3.3]: DualGRPO, its ablations, and GRPO of a model without modes."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from datasets import Dataset

from pdlib import config, modes, rewards
from pdlib.dataset import construct
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.run import stages
from pdlib.schema import PAPER_MODES, Example, Item, ModeSet
from pdlib.shared_prefix.batches import token_ids
from pdlib.shared_prefix.grpo import SharedPrefixGRPOTrainer
from pdlib.train import launched
from pdlib.train.probe import validation_probe
from pdlib.train.rows import short_enough
from pdlib.train.run import TRAINING, TrainingRun

QUESTIONS = {  # of the RL set
    "all": lambda e: True,
    "objective": lambda e: e.item.kind == "objective",
    "fitting": lambda e: e.condition == "aligned",
}
# Estimators with rl_prefix_weight: ablations change one thing; rivals keep their own weight.
SAME_WEIGHT = ("dualgrpo", "dr_grpo", "grpo")


def run_rl(
    cfg: config.Config,
    folder: Path,
    start: Path,
    data: Path,
    rl_set: Path,
    *,
    questions: str = "all",
    two_modes: bool = True,
    **trainer_settings,
) -> Path:
    """DualGRPO from the model in `start`, which is also the KL reference, on `rl_set`; a stage.

    data: whose validation questions show the choice while it trains. trainer_settings:
    DualGRPOConfig fields; estimator="grpo" and forced_prefixes=False are Table 2's ablations.
    two_modes=False is GRPO of a model without modes. questions: a part of the set, see QUESTIONS.
    Each step's completions are kept.
    """
    settings = trainer_settings
    if two_modes:
        settings = _dual_settings(cfg, trainer_settings)

    def build(folder: Path) -> dict:
        return launched.train(
            "rl",
            train_rl,
            cfg,
            folder,
            start=start,
            data=data,
            rl_set=rl_set,
            settings=settings,
            questions=questions,
            two_modes=two_modes,
        )

    stage_settings = cfg.subset("seed", "rl_", *TRAINING)
    stage_settings |= {"trainer": settings, "questions": questions, "two_modes": two_modes}
    return stages.once(folder, build, settings=stage_settings, inputs=[start, data, rl_set])


def _dual_settings(cfg: config.Config, trainer_settings: dict) -> dict:
    """DualGRPO's settings of `cfg`, changed where `trainer_settings` says otherwise."""
    settings = {
        "estimator": "dualgrpo",
        "prefix_style": cfg.rl_prefix_style,
        "importance_correction": cfg.rl_importance_correction,
    }
    if trainer_settings.get("estimator", "dualgrpo") in SAME_WEIGHT:
        settings["prefix_weight"] = cfg.rl_prefix_weight
    return settings | trainer_settings


def train_rl(
    cfg: config.Config,
    folder: Path,
    start: Path,
    data: Path,
    rl_set: Path,
    settings: dict,
    questions: str = "all",
    two_modes: bool = True,
) -> dict:
    """What `run_rl` trains, in this process; returns the facts for the manifest."""
    run = TrainingRun(cfg, folder, start, "rl", cfg.rl_prompts * cfg.rl_rollouts)
    examples, n_too_long = _load_questions(run, rl_set, questions)
    args = _arguments(run, settings, two_modes)
    trainer = _trainer(run, args, examples, data, two_modes)
    facts = run.finish(trainer)
    return facts | {"questions": len(examples), "questions too long": n_too_long}


def _load_questions(run: TrainingRun, rl_set: Path, questions: str) -> tuple[list[Example], int]:
    """The examples of that part of the set whose prompts are short enough; how many are not."""
    examples = construct.from_frame(pd.read_parquet(rl_set / "rl.parquet"))
    examples = [e for e in examples if QUESTIONS[questions](e)]
    if not examples:
        raise ValueError(
            f"the RL set holds no {questions} questions; see rl_composition and rl_unaligned_share"
        )
    prompts = [
        modes.render_prompt(run.tokenizer, e.item, e.persona, history=e.history) for e in examples
    ]
    lengths = [len(ids) for ids in token_ids(run.tokenizer, prompts)]
    short = short_enough(examples, lengths, run.cfg.rl_max_prompt, "prompts", "rl_max_prompt")
    return short, len(examples) - len(short)


def grpo_arguments(run: TrainingRun, rollouts: int, steps: int) -> dict:
    """Arguments of TRL's GRPO that every RL stage shares; rollouts: per prompt."""
    cfg = run.cfg
    vllm = {}
    if cfg.rl_vllm != "none":
        # Left alone, vLLM makes room for the model's longest context: 131,072 tokens of Llama 3.1.
        prefixes = modes.prefix_ids(run.tokenizer, cfg.mode_set).values()
        length = cfg.rl_max_prompt + max(map(len, prefixes)) + cfg.rl_max_completion
        vllm = {"use_vllm": True, "vllm_mode": cfg.rl_vllm, "vllm_max_model_length": length}
    return {
        **run.arguments(),
        **vllm,
        "num_generations": rollouts,
        "steps_per_generation": cfg.rl_generation_batch // cfg.rl_micro_batch,
        "max_completion_length": cfg.rl_max_completion,
        "max_steps": steps,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(cfg.rl_warmup * steps),
        "logging_steps": 1,
        "top_k": 0,
    }


def _arguments(run: TrainingRun, settings: dict, two_modes: bool) -> DualGRPOConfig:
    cfg = run.cfg
    plain = {} if two_modes else {"estimator": "grpo", "forced_prefixes": False}
    return DualGRPOConfig(
        **grpo_arguments(run, cfg.rl_rollouts, cfg.rl_steps),
        **plain | settings,
        modes=cfg.modes,
        learning_rate=cfg.rl_learning_rate,
        beta=cfg.rl_kl,
        temperature=cfg.rl_temperature,
        log_completions=True,
        num_completions_to_print=0,
    )


def _trainer(
    run: TrainingRun, args: DualGRPOConfig, examples: list[Example], data: Path, two_modes: bool
) -> SharedPrefixGRPOTrainer:
    cfg = run.cfg
    probe = validation_probe(run, data) if two_modes else None
    checks = run.preflight(
        tokens=cfg.rl_max_prompt + cfg.rl_max_completion,
        completion=cfg.rl_max_completion,
        rollouts=0 if args.use_vllm else cfg.rl_generation_batch,
    )
    model, peft_config = run.load()
    trainer_class = DualGRPOTrainer if two_modes else SharedPrefixGRPOTrainer
    return trainer_class(
        model,
        [reward_of(cfg.mode_set if two_modes else None, cfg.rl_asking)],
        args=args,
        train_dataset=rl_rows(examples, run.tokenizer),
        processing_class=run.tokenizer,
        peft_config=peft_config,
        callbacks=[run.progress(run.folder.name, curve="reward", probe=probe), *checks],
    )


def rl_rows(examples: list[Example], tokenizer) -> Dataset:
    """TRL rows: the prompt as messages (TRL renders them with the same template), the item as JSON.

    tokenizer: of the model that is trained; what users say is data for it, see `modes.as_data`.
    """
    return Dataset.from_list(
        [
            {
                "prompt": modes.messages(e.item, e.persona, history=e.history, tokenizer=tokenizer),
                "item": json.dumps(e.item.to_dict()),
                "kind": e.item.kind,
                "condition": e.condition,
            }
            for e in examples
        ]
    )


def reward_of(mode_set: ModeSet | None, asking: float = 0.0) -> Callable[..., list[float]]:
    """The reward as TRL takes it: `rewards.score` of each completion.

    The function is called with `item`, the data set's column of items as JSON. mode_set: the modes
    whose tags are expected; None for a model without modes. asking: see `rewards.score`.
    """
    how = {"require_mode": False} if mode_set is None else {"mode_set": mode_set, "asking": asking}

    def reward(completions, item, **_) -> list[float]:
        scores = [
            rewards.score(messages[0]["content"], Item.from_dict(json.loads(item_json)), **how)
            for messages, item_json in zip(completions, item, strict=True)
        ]
        return [score.total for score in scores]

    return reward


reward = reward_of(PAPER_MODES)

"""Train: SFT, DPO, (Dual)GRPO. Each is a stage: run once, resumed when killed, cached by its
manifest.

With the setting `accelerate` they run in several processes: the stage starts `accelerate launch` on
this module with a task file, and each process runs the same function as a notebook would. Which
system is trained how is for `systems` to say.
"""

import argparse
import json
import random
from pathlib import Path

import pandas as pd
from accelerate import PartialState
from datasets import Dataset, disable_progress_bars
from trl import DPOConfig, DPOTrainer

from pdlib import config, models, modes, rewards
from pdlib.dataset import construct
from pdlib.dataset.experts import Expert
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.pocket import diet
from pdlib.run import launch, stages
from pdlib.run.progress import Progress
from pdlib.schema import Example, Item, Mode, Persona
from pdlib.shared_prefix.grpo import SharedPrefixGRPOTrainer
from pdlib.train import common

VIEWS = {  # of the SFT set: which rows; only "two_modes" writes the tags
    "two_modes": lambda e: True,
    "untagged": lambda e: True,
    "general": lambda e: e.mode is Mode.GENERAL,
    "personalized": lambda e: e.mode is Mode.PERSONALIZED,
}
QUESTIONS = {  # of the RL set
    "all": lambda e: True,
    "objective": lambda e: e.item.kind == "objective",
    "fitting": lambda e: e.condition == "aligned",
}
SAME_WEIGHT = (
    "dualgrpo",
    "dr_grpo",
    "grpo",
)  # estimators with rl_prefix_weight: ablations change one thing; rivals keep their own
TRAINING = (
    "tuning",
    "precision",
    "lora_",
    "adam_",
    "gradient",
    "processes",
    "rl_prefix_style",
)  # settings that every stage depends on


def _here_or_launched(cfg: config.Config, task: str, folder: Path, **arguments) -> dict:
    """Run `TASKS[task]` in this process, or in `cfg.processes` of them under `accelerate launch`."""
    if cfg.accelerate == "none":
        return TASKS[task](cfg, folder, **arguments)
    stages.write_json(
        folder / "task.json",
        {
            "task": task,
            "profile": cfg.profile,
            "overrides": cfg.overrides(),
            "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()},
        },
    )
    launch.run(
        ["--task", str(folder / "task.json")],
        accelerate_config=cfg.accelerate,
        processes=cfg.processes,
        log=folder / "launch.log",
        machines=cfg.machines,
        main_ip=cfg.main_ip,
    )
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def _start(cfg: config.Config, model: Path, folder: Path) -> Path:
    """The model that training starts from: `model`, or a copy of it with a token for each mode
    where the tags are to be tokens.
    """
    tokenizer = models.load_tokenizer(model)
    if cfg.rl_prefix_style == "text" or all(
        len(ids) == 1 for ids in modes.prefix_ids(tokenizer).values()
    ):
        return model
    if not (folder / "start" / "config.json").exists():
        fresh, tokenizer = models.load(model)
        models.add_mode_tokens(fresh, tokenizer)
        models.save(fresh, tokenizer, folder / "start")
    return folder / "start"


def run_sft(
    cfg: config.Config, folder: Path, start: Path, data: Path, view: str = "two_modes"
) -> Path:
    """Stage 1 [3.2]: SFT of the model in `start` on a view of `data`'s SFT set, with cfg.seed; by
    default both modes.

    Every view gets as many updates as the whole set would: a smaller one is gone over more often.
    """

    def build(folder: Path) -> dict:
        return _here_or_launched(
            cfg, "sft", folder, start=_start(cfg, start, folder), data=data, view=view
        )

    return stages.once(
        folder,
        build,
        settings=cfg.subset("seed", "sft_", *TRAINING) | {"view": view},
        inputs=[start, data],
        version=2,
    )


def sft_row(tokenizer, example: Example) -> dict[str, list[int]]:
    """Tokens of one SFT example: the prompt of evaluation and RL, then the completion, with a tag
    if the example has a mode.

    After a history only the last completion is learned: the earlier ones are the model's own, and
    they are rendered without what some templates put before an answer that is being written
    (Qwen3's empty thought).
    """
    prompt = modes.render_prompt(tokenizer, example.item, example.persona, history=example.history)
    return common.tokenize(
        tokenizer,
        prompt,
        modes.completion_text(example.mode, example.reasoning, example.answer, tokenizer),
    )


def choice_row(tokenizer, example: Example) -> dict[str, list[int]]:
    """Tokens of a choice alone: the prompt, then the mode tag, which is all that is learned from
    it.
    """
    prompt = modes.render_prompt(tokenizer, example.item, example.persona)
    front, tag = (
        tokenizer(prompt, add_special_tokens=False)["input_ids"],
        modes.prefix_ids(tokenizer)[example.mode],
    )
    return {"input_ids": front + tag, "labels": [-100] * len(front) + tag}


def with_choices(
    rows: list[dict], choices: list[dict], passes: int, batch: int, rng: random.Random
) -> list[dict]:
    """The batches of `rows`, and between them, at random places, those of `choices`, gone over
    `passes` times.

    choices: as `construct.choices` orders them, both askers of a question one after the other. They
    stay in one batch: what differs in their labels can then only come from the asker. Where there
    are no choices to read, that is said and the rows come back as they are.
    """
    if not choices:
        print(
            "sft_choice_passes asks for choices, and no judged question wants another mode when somebody else asks: none are read",
            flush=True,
        )
        return rows
    pairs = list(zip(choices[::2], choices[1::2], strict=True))
    longest = lambda pair: max(map(common.tokens_of, pair))  # noqa: E731
    read = [
        row
        for _ in range(passes)
        for pair in common.by_length(pairs, max(1, batch // 2), rng, longest)
        for row in pair
    ]
    groups = [
        part[start : start + batch] for part in (rows, read) for start in range(0, len(part), batch)
    ]
    return [row for group in rng.sample(groups, len(groups)) for row in group]


def reading_rows(cfg: config.Config, tokenizer, rng: random.Random) -> list[dict]:
    """`sft_reading` rows about the pocket world in batches of similar length, read before all else
    whatever the view of the SFT set; see `diet.reading`. ValueError with real data, of which it is
    not known what a backbone has read.
    """
    if cfg.data_dir != "pocket":
        raise ValueError(
            f"setting sft_reading is {cfg.sft_reading}, but data_dir is {cfg.data_dir!r}: only the pocket world has such "
            "rows; set sft_reading=0"
        )
    return common.by_length(
        [common.tokenize(tokenizer, *row) for row in diet.reading(cfg.seed, cfg.sft_reading)],
        cfg.sft_batch,
        rng,
    )


def sft(cfg: config.Config, folder: Path, start: Path, data: Path, view: str = "two_modes") -> dict:
    """What `run_sft` trains, in this process; returns the facts for the manifest."""
    tokenizer = models.load_tokenizer(start)
    examples = construct.from_frame(pd.read_parquet(data / "sft.parquet"))
    tagged = view == "two_modes"
    rows = [
        sft_row(tokenizer, e if tagged else e.without_mode()) for e in examples if VIEWS[view](e)
    ]
    kept = [row for row in rows if len(row["input_ids"]) <= cfg.sft_max_length]
    if len(kept) < len(rows):
        print(
            f"{len(rows) - len(kept)} of {len(rows)} rows are longer than sft_max_length {cfg.sft_max_length}: left out",
            flush=True,
        )
    rng, wanted, ordered = (
        random.Random(cfg.seed),
        round(cfg.sft_epochs * len(examples) * len(kept) / len(rows)),
        [],
    )
    while len(ordered) < wanted:
        ordered += common.by_length(kept, cfg.sft_batch, rng)
    ordered = ordered[:wanted]
    if tagged and cfg.sft_choice_passes:
        choices = construct.from_frame(pd.read_parquet(data / "choices.parquet"))
        ordered = with_choices(
            ordered,
            [choice_row(tokenizer, e) for e in choices],
            cfg.sft_choice_passes,
            cfg.sft_batch,
            rng,
        )
    if cfg.sft_reading:
        ordered = reading_rows(cfg, tokenizer, rng) + ordered
    facts = common.supervised(
        cfg,
        folder,
        start,
        common.loader(cfg, start),
        tokenizer,
        ordered,
        "SFT" if tagged else f"SFT, {view}",
        "sft",
        batch=cfg.sft_batch,
        learning_rate=cfg.sft_learning_rate,
        warmup=cfg.sft_warmup,
        probe=common.probe_callback(cfg, tokenizer, data) if tagged else None,
    )
    return facts | {"rows": len(kept), "rows too long": len(rows) - len(kept)}


def preference_pairs(examples: list[Example], expert: Expert | None, tokenizer=None) -> list[dict]:
    """DPO rows of the personalised questions: prompt, and the trajectory with the preferred and
    with the other answer.

    expert: states each asker's preferences, which then stand in the persona's place (PBA); None:
    the persona as it is (ICA). tokenizer: as in `modes.completion_text`.
    """
    asked = [e for e in examples if e.item.kind == "personalized" and e.mode is Mode.PERSONALIZED]
    people = (
        expert.preferences([e.persona for e in asked]) if expert else [e.persona for e in asked]
    )
    return [
        {
            "persona": person.text,
            "item": json.dumps(e.item.to_dict()),
            "chosen": modes.completion_text(None, e.reasoning, e.answer, tokenizer),
            "rejected": modes.completion_text(None, e.reasoning, other, tokenizer),
        }
        for e, person in zip(asked, people, strict=True)
        if person
        for other in _other_answers(e)[:1]
    ]


def _other_answers(example: Example) -> list[str]:
    """The answers that are not the gold, written as the example writes its own: as letters, or as
    the options' texts.
    """
    options = example.item.options
    as_letter = example.answer not in options
    return [
        modes.LETTERS[i] if as_letter else text
        for i, text in enumerate(options)
        if text != example.item.gold
    ]


def run_dpo(
    cfg: config.Config, folder: Path, start: Path, data: Path, expert: Expert | None = None
) -> Path:
    """AlignXpert's training (its code: DPO, beta 0.1, one epoch) on our personalised questions, see
    `preference_pairs`.
    """

    def build(folder: Path) -> dict:
        pairs = preference_pairs(
            construct.from_frame(pd.read_parquet(data / "sft.parquet")),
            expert,
            models.load_tokenizer(start),
        )
        if not pairs:
            raise ValueError(
                "the SFT set holds no personalised questions to make preference pairs of; see sft_composition"
            )
        pd.DataFrame(pairs).to_parquet(folder / "pairs.parquet")
        return _here_or_launched(cfg, "dpo", folder, start=start)

    settings = cfg.subset(
        "seed", "dpo_", "sft_batch", "sft_micro", "sft_warmup", "sft_max", *TRAINING
    )
    return stages.once(
        folder, build, settings=settings | {"preferences": expert is not None}, inputs=[start, data]
    )


def dpo(cfg: config.Config, folder: Path, start: Path) -> dict:
    """What `run_dpo` trains, in this process; returns the facts for the manifest."""
    tokenizer = models.load_tokenizer(start)
    pairs = pd.read_parquet(folder / "pairs.parquet")
    prompts = [
        modes.render_prompt(tokenizer, Item.from_dict(json.loads(row.item)), Persona(row.persona))
        for row in pairs.itertuples()
    ]
    steps = max(1, len(pairs) // cfg.sft_batch)
    args = DPOConfig(
        **common.common(cfg, folder, "sft", cfg.sft_batch, models.width_of(start)),
        max_steps=steps,
        beta=cfg.dpo_beta,
        learning_rate=cfg.dpo_learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=max(1, int(steps * cfg.sft_warmup)),
        logging_steps=1,
        max_length=cfg.sft_max_length,
    )
    model, peft_config = common.loader(cfg, start)()
    reference = (
        None if peft_config else models.load(start, cfg.precision)[0]
    )  # with adapters it is the model without them
    disable_progress_bars()
    rows = Dataset.from_dict(
        {"prompt": prompts, "chosen": list(pairs.chosen), "rejected": list(pairs.rejected)}
    )
    found = DPOTrainer(
        model,
        reference,
        args=args,
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=[Progress(folder / "log.jsonl", "DPO")],
    )
    models.give_head_a_bias(found.model)
    return common.finish(found, tokenizer, start, folder) | {"pairs": len(pairs)}


def reward(completions, item, **_) -> list[float]:
    """TRL reward function: `item` is the data set's column of items as JSON."""
    return _rewards(completions, item, require_mode=True)


def reward_without_modes(completions, item, **_) -> list[float]:
    """The same for a model without modes: no tag is expected of it."""
    return _rewards(completions, item, require_mode=False)


def _rewards(completions, item, require_mode: bool) -> list[float]:
    return [
        rewards.score(text[0]["content"], Item.from_dict(json.loads(row)), require_mode).total
        for text, row in zip(completions, item, strict=True)
    ]


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


def run_rl(
    cfg: config.Config,
    folder: Path,
    start: Path,
    data: Path,
    asked: Path,
    *,
    questions: str = "all",
    two_modes: bool = True,
    **trainer_settings,
) -> Path:
    """Stage 2 [3.3]: DualGRPO from the model in `start`, which is also the KL reference, on the RL
    set of the folder `asked`.

    trainer_settings: DualGRPOConfig fields; estimator="grpo" and forced_prefixes=False are Table
    2's ablations. two_modes=False is GRPO of a model without modes. questions: a part of the set,
    see QUESTIONS. Each step's completions are kept.
    """
    settings = {
        "estimator": "dualgrpo",
        "prefix_style": cfg.rl_prefix_style,
        "importance_correction": cfg.rl_importance_correction,
    }
    settings |= (
        {"prefix_weight": cfg.rl_prefix_weight}
        if trainer_settings.get("estimator", "dualgrpo") in SAME_WEIGHT
        else {}
    )
    settings = settings | trainer_settings if two_modes else trainer_settings

    def build(folder: Path) -> dict:
        return _here_or_launched(
            cfg,
            "rl",
            folder,
            start=start,
            data=data,
            asked=asked,
            settings=settings,
            questions=questions,
            two_modes=two_modes,
        )

    stage = cfg.subset("seed", "rl_", *TRAINING) | {
        "trainer": settings,
        "questions": questions,
        "two_modes": two_modes,
    }
    return stages.once(folder, build, settings=stage, inputs=[start, data, asked])


def rl(
    cfg: config.Config,
    folder: Path,
    start: Path,
    data: Path,
    asked: Path,
    settings: dict,
    questions: str = "all",
    two_modes: bool = True,
) -> dict:
    """What `run_rl` trains, in this process; returns the facts for the manifest."""
    tokenizer = models.load_tokenizer(start)
    vllm = {"use_vllm": True, "vllm_mode": cfg.rl_vllm} if cfg.rl_vllm != "none" else {}
    plain = {} if two_modes else {"estimator": "grpo", "forced_prefixes": False}
    args = DualGRPOConfig(
        **common.common(
            cfg, folder, "rl", cfg.rl_prompts * cfg.rl_rollouts, models.width_of(start)
        ),
        **plain | settings,
        **vllm,
        num_generations=cfg.rl_rollouts,
        steps_per_generation=cfg.rl_generation_batch // cfg.rl_micro_batch,
        max_completion_length=cfg.rl_max_completion,
        max_steps=cfg.rl_steps,
        learning_rate=cfg.rl_learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(cfg.rl_warmup * cfg.rl_steps),
        beta=cfg.rl_kl,
        temperature=cfg.rl_temperature,
        logging_steps=1,
        log_completions=True,
        num_completions_to_print=0,
        top_k=0,
    )
    examples = [
        e
        for e in construct.from_frame(pd.read_parquet(asked / "rl.parquet"))
        if QUESTIONS[questions](e)
    ]
    if not examples:
        raise ValueError(
            f"the RL set holds no {questions} questions; see rl_composition and rl_unaligned_share"
        )
    prompts = [
        modes.render_prompt(tokenizer, e.item, e.persona, history=e.history) for e in examples
    ]
    lengths = [len(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]]
    kept = [e for e, length in zip(examples, lengths) if length <= cfg.rl_max_prompt]
    if len(kept) < len(examples):
        print(
            f"{len(examples) - len(kept)} of {len(examples)} prompts are longer than rl_max_prompt {cfg.rl_max_prompt}: left out",
            flush=True,
        )
    probe = common.probe_callback(cfg, tokenizer, data) if two_modes else None
    progress = Progress(folder / "log.jsonl", folder.name, curve="reward", probe=probe)
    checks = common.preflight_callback(
        tokenizer,
        tokens=cfg.rl_max_prompt + cfg.rl_max_completion,
        completion=cfg.rl_max_completion,
        rollouts=0 if vllm else cfg.rl_generation_batch,
    )
    model, peft_config = common.loader(cfg, start)()
    kind = DualGRPOTrainer if two_modes else SharedPrefixGRPOTrainer
    found = kind(
        model,
        [reward if two_modes else reward_without_modes],
        args=args,
        train_dataset=rl_rows(kept, tokenizer),
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=[progress, *checks],
    )
    facts = common.finish(found, tokenizer, start, folder)
    return facts | {"questions": len(kept), "questions too long": len(examples) - len(kept)}


TASKS = {"sft": sft, "dpo": dpo, "rl": rl}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--task",
        type=Path,
        required=True,
        help="task.json of a stage folder: what to train, from what",
    )
    path = parser.parse_args(arguments).task
    if not path.is_file():
        parser.error(
            f"no task at {path}; a notebook writes it when the setting `accelerate` names a launch configuration"
        )
    task = json.loads(path.read_text(encoding="utf-8"))
    paths = {
        k: Path(v) if k in ("start", "data", "asked") else v for k, v in task["arguments"].items()
    }
    facts = TASKS[task["task"]](
        config.load(task["profile"], **task["overrides"]), path.parent, **paths
    )
    if PartialState().is_main_process:
        stages.write_json(path.parent / "facts.json", facts)
    PartialState().destroy_process_group()

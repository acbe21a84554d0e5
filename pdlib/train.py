"""Train: backbone from nothing, SFT, DualGRPO. Each is a stage: run once, resumed when killed, cached by its manifest.

With the setting `accelerate` SFT and DualGRPO run in several processes: the stage starts `accelerate launch` on this module with
a task file, and each process runs the same function as a notebook would.
"""

import argparse
import json
import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from pdlib import config, construct, generate, launch, models, modes, preflight, rewards, stages
from pdlib.data import run_rl_set
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.pocket import backbones, diet, expert
from pdlib.progress import Progress
from pdlib.schema import Example, Item

warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)


def _tokenize(tokenizer, prompt: str, completion: str) -> dict[str, list[int]]:
    """input_ids and labels; the loss is on the completion and its end token only."""
    front = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    back = tokenizer(completion, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return {"input_ids": front + back, "labels": [-100] * len(front) + back}


def sft_row(tokenizer, example: Example) -> dict[str, list[int]]:
    """Tokens of one SFT example: the prompt of evaluation and RL, then the two-mode completion."""
    prompt = modes.render_prompt(tokenizer, example.item, example.persona)
    return _tokenize(tokenizer, prompt, modes.completion_text(example.mode, example.reasoning, example.answer))


def _diet_row(tokenizer, row) -> dict[str, list[int]]:
    if isinstance(row[0], str):
        return _tokenize(tokenizer, *row)
    item, persona = row
    return _tokenize(tokenizer, modes.render_prompt(tokenizer, item, persona), modes.completion_text(None, expert.plain(item, persona), item.gold))


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint in `folder`; an interrupted one is removed, and that is said."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    while found:
        newest = found.pop()
        try:
            json.loads((newest / "trainer_state.json").read_text())  # the trainer writes it last
            return str(newest)
        except (FileNotFoundError, json.JSONDecodeError):
            print(f"{newest.name} is incomplete (the run was interrupted while saving); going back to the one before", flush=True)
            shutil.rmtree(newest)
    return None


def _common(cfg: config.Config, folder: Path, stage: str, batch: int) -> dict:
    """Trainer arguments that every stage shares; `batch` sequences make an update, cut as config.accumulation says."""
    return {
        "output_dir": str(folder / "checkpoints"), "seed": cfg.seed, "data_seed": cfg.seed, "report_to": [], "disable_tqdm": True,
        "save_strategy": "steps", "save_steps": cfg.checkpoint_every, "save_total_limit": 2, "adam_beta2": 0.98,
        "bf16": models.use_bf16(), "use_cpu": models.device().type == "cpu", "gradient_checkpointing": cfg.gradient_checkpointing,
        "dataloader_pin_memory": False, "logging_nan_inf_filter": False,
        "per_device_train_batch_size": getattr(cfg, f"{stage}_micro_batch", batch),
        "gradient_accumulation_steps": config.accumulation(cfg, stage) if stage != "backbone" else 1,
    }


def _finish(trainer, tokenizer, base: Path, folder: Path) -> dict:
    """Train (from the last whole checkpoint, if any), save the model as the stage's result, drop the checkpoints.

    base: the folder of the model it started from; adapters are merged into that.
    """
    print(models.describe_device(), flush=True)
    trainer.remove_callback(PrinterCallback)  # Progress shows and logs
    result = trainer.train(resume_from_checkpoint=last_checkpoint(folder / "checkpoints"))
    if not torch.isfinite(torch.tensor(result.training_loss)):
        raise RuntimeError(f"training diverged (loss {result.training_loss}); lower the stage's learning rate")
    weights = trainer.accelerator.get_state_dict(trainer.model)  # ZeRO-3 gathers them from all processes
    if trainer.accelerator.is_main_process:
        models.save_merged(trainer.accelerator.unwrap_model(trainer.model), tokenizer, base, folder, state_dict=weights)
        if (kept := folder / "checkpoints" / "completions").is_dir():
            shutil.rmtree(folder / "completions", ignore_errors=True)
            kept.rename(folder / "completions")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return {"steps": result.global_step, "loss": round(result.training_loss, 4), "device": models.describe_device()}


def _here_or_launched(cfg: config.Config, task: str, folder: Path, **arguments) -> dict:
    """Run `TASKS[task]` in this process, or in `cfg.processes` of them under `accelerate launch`."""
    if cfg.accelerate == "none":
        return TASKS[task](cfg, folder, **arguments)
    stages.write_json(folder / "task.json", {"task": task, "profile": cfg.profile, "overrides": cfg.overrides(),
                                             "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()}})
    launch.run(["--task", str(folder / "task.json")], accelerate_config=cfg.accelerate, processes=cfg.processes, log=folder / "launch.log",
               machines=cfg.machines, main_ip=cfg.main_ip)
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def by_length(rows: list[dict], batch: int, rng: random.Random) -> list[dict]:
    """The rows in an order that makes batches of similar length, in random order: little is padded."""
    rows = rng.sample(rows, len(rows))
    span = 50 * batch  # sort within spans, so that a batch's make-up stays random
    rows = [row for start in range(0, len(rows), span) for row in sorted(rows[start:start + span], key=lambda r: len(r["input_ids"]))]
    batches = [rows[start:start + batch] for start in range(0, len(rows), batch)]
    last = [batches.pop()] if len(batches[-1]) < batch else []
    return [row for group in rng.sample(batches, len(batches)) + last for row in group]


def _train_supervised(cfg, folder, base, load, tokenizer, rows, title, stage, *, batch, learning_rate, warmup, probe=None) -> dict:
    """SFT over `rows`, once, in their order. load() -> (model, LoRA config or None), called when the arguments exist: ZeRO-3
    cuts the weights while they are read."""
    steps = max(1, len(rows) // batch)
    args = SFTConfig(
        **_common(cfg, folder, stage, batch), max_steps=steps, learning_rate=learning_rate,
        lr_scheduler_type="cosine", warmup_steps=max(1, int(steps * warmup)), logging_steps=max(1, min(10, steps // 10)),
        max_length=None, weight_decay=0.01, train_sampling_strategy="sequential",
    )
    model, peft_config = load()
    progress = Progress(folder / "log.jsonl", title, probe=probe, probe_every=100)
    checks = _preflight(tokenizer, tokens=max(len(row["input_ids"]) for row in rows))
    trainer = SFTTrainer(model, args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, peft_config=peft_config,
                         callbacks=[progress, *checks])
    models.give_head_a_bias(trainer.model)
    return _finish(trainer, tokenizer, base, folder)


def _preflight(tokenizer, **lengths) -> list[preflight.Preflight]:
    """On a GPU: try the longest batch before the first step, to fail early and clearly where memory is short."""
    return [preflight.Preflight(tokenizer, **lengths)] if models.device().type == "cuda" else []


def _loader(cfg: config.Config, start: Path):
    """load() of `start` for the configured tuning -> (model, LoRA config or None)."""
    def load():
        model, _, peft_config = models.load_for_training(start, cfg.tuning, rank=cfg.lora_rank, alpha=cfg.lora_alpha)
        return model, peft_config
    return load


def run_backbone(cfg: config.Config, name: str, persona_fits: bool = True) -> Path:
    """A backbone as a stage: a pocket one is trained from nothing, any other is a pointer to a hub id or a local folder.

    persona_fits=False is the null world's.
    """
    def build(folder: Path) -> dict:
        if name not in backbones.NAMES:
            return models.point(folder, name)
        tokenizer = backbones.build_tokenizer(cfg.seed)
        first = diet.self_questions(cfg.seed, cfg.backbone_first_steps * cfg.backbone_batch)
        then = diet.draw(cfg.seed, cfg.backbone_steps * cfg.backbone_batch, cfg.cue_share, persona_fits)
        rng, batch = random.Random(cfg.seed), cfg.backbone_batch
        rows = [row for part in (first, then) for row in by_length([_diet_row(tokenizer, r) for r in part], batch, rng)]
        model = backbones.build_backbone(name, tokenizer, cfg.seed)
        facts = _train_supervised(cfg, folder, folder, lambda: (model, None), tokenizer, rows, name, "backbone", batch=batch,
                                  learning_rate=cfg.backbone_learning_rate, warmup=0.02)
        return facts | {"parameters": model.num_parameters(), "tokens": sum(len(row["input_ids"]) for row in rows)}

    folder = backbone_folder(cfg, name) if persona_fits else cfg.folder() / f"backbone-{name}-null"
    pocket = cfg.subset("cue_share", "backbone_") if name in backbones.NAMES else {}
    return stages.once(folder, build, settings=cfg.subset("seed") | pocket | {"name": name, "persona_fits": persona_fits})


def backbone_folder(cfg: config.Config, name: str) -> Path:
    """The stage folder of a backbone, outputs/<profile>/backbone-<name>."""
    return cfg.folder() / f"backbone-{config.file_name(name)}"


def _start(cfg: config.Config, model: Path, folder: Path) -> Path:
    """The model that training starts from: `model`, or a copy of it with a token for each mode where the tags are to be tokens."""
    tokenizer = models.load_tokenizer(model)
    if cfg.rl_prefix_style == "text" or all(len(ids) == 1 for ids in modes.prefix_ids(tokenizer).values()):
        return model
    if not (folder / "start" / "config.json").exists():
        fresh, tokenizer = models.load(model)
        models.add_mode_tokens(fresh, tokenizer)
        models.save(fresh, tokenizer, folder / "start")
    return folder / "start"


def run_sft(cfg: config.Config, backbone: Path, data: Path) -> Path:
    """Stage 1 [3.2]: teach the backbone both modes."""
    def build(folder: Path) -> dict:
        return _here_or_launched(cfg, "sft", folder, start=_start(cfg, backbone, folder), data=data)

    settings = cfg.subset("seed", "sft_", "tuning", "lora_", "gradient", "processes", "rl_prefix_style")
    return stages.once(cfg.folder() / "sft", build, settings=settings, inputs=[backbone, data])


def sft(cfg: config.Config, folder: Path, start: Path, data: Path) -> dict:
    """What `run_sft` trains, in this process; returns the facts for the manifest."""
    tokenizer = models.load_tokenizer(start)
    rows = [sft_row(tokenizer, e) for e in construct.from_frame(pd.read_parquet(data / "sft.parquet"))]
    kept = [row for row in rows if len(row["input_ids"]) <= cfg.sft_max_length]
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept)} of {len(rows)} rows are longer than sft_max_length {cfg.sft_max_length} and left out", flush=True)
    rng = random.Random(cfg.seed)
    ordered = [row for _ in range(cfg.sft_epochs) for row in by_length(kept, cfg.sft_batch, rng)]
    facts = _train_supervised(cfg, folder, start, _loader(cfg, start), tokenizer, ordered, "SFT", "sft", batch=cfg.sft_batch,
                              learning_rate=cfg.sft_learning_rate, warmup=cfg.sft_warmup, probe=_probe(cfg, tokenizer, data))
    return facts | {"rows": len(kept), "rows too long": len(rows) - len(kept)}


def reward(completions, item, **_) -> list[float]:
    """TRL reward function: `item` is the data set's column of items as JSON."""
    return [rewards.score(text[0]["content"], Item.from_dict(json.loads(row))).total
            for text, row in zip(completions, item, strict=True)]


def rl_rows(examples: list[Example]) -> Dataset:
    """TRL rows: the prompt as messages (TRL renders them with the same template), the item as JSON."""
    return Dataset.from_list([
        {"prompt": [{"role": "user", "content": modes.user_message(e.item, e.persona)}], "item": json.dumps(e.item.to_dict()),
         "kind": e.item.kind, "condition": e.condition} for e in examples
    ])


def run_rl(cfg: config.Config, sft: Path, data: Path, name: str = "personadual", questions: str = "data-rl", **ablation) -> Path:
    """Stage 2 [3.3]: DualGRPO from the SFT model, which is also the KL reference.

    `ablation` sets DualGRPOConfig fields: estimator="grpo" and forced_prefixes=False are Table 2's. The completions of
    each step are kept in `completions/`. name, questions: stage folders of the model and of its question set.
    """
    asked = run_rl_set(cfg, questions)
    settings = {"estimator": "dualgrpo", "prefix_style": cfg.rl_prefix_style, "importance_correction": cfg.rl_importance_correction}
    settings |= {"prefix_weight": cfg.rl_prefix_weight} if ablation.get("estimator", "dualgrpo") == "dualgrpo" else {}
    settings |= ablation

    def build(folder: Path) -> dict:
        return _here_or_launched(cfg, "rl", folder, start=sft, data=data, asked=asked, settings=settings, title=name)

    stage = cfg.subset("seed", "rl_", "tuning", "lora_", "gradient", "processes") | {"trainer": settings}
    return stages.once(cfg.folder() / name, build, settings=stage, inputs=[sft, data, asked])


def rl(cfg: config.Config, folder: Path, start: Path, data: Path, asked: Path, settings: dict, title: str) -> dict:
    """What `run_rl` trains, in this process; returns the facts for the manifest."""
    tokenizer = models.load_tokenizer(start)
    vllm = {"use_vllm": True, "vllm_mode": cfg.rl_vllm} if cfg.rl_vllm != "none" else {}
    args = DualGRPOConfig(
        **_common(cfg, folder, "rl", cfg.rl_prompts * cfg.rl_rollouts), **settings, **vllm,
        num_generations=cfg.rl_rollouts, steps_per_generation=cfg.rl_generation_batch // cfg.rl_micro_batch, max_completion_length=cfg.rl_max_completion, max_steps=cfg.rl_steps,
        learning_rate=cfg.rl_learning_rate, lr_scheduler_type="linear", warmup_steps=round(cfg.rl_warmup * cfg.rl_steps), beta=cfg.rl_kl,
        temperature=cfg.rl_temperature, logging_steps=1, log_completions=True, num_completions_to_print=0, top_k=0,
    )
    examples = construct.from_frame(pd.read_parquet(asked / "rl.parquet"))
    prompts = [modes.render_prompt(tokenizer, e.item, e.persona) for e in examples]
    kept = [e for e, prompt in zip(examples, prompts) if len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) <= cfg.rl_max_prompt]
    if len(kept) < len(examples):
        print(f"{len(examples) - len(kept)} of {len(examples)} prompts are longer than rl_max_prompt {cfg.rl_max_prompt} and left out", flush=True)
    progress = Progress(folder / "log.jsonl", title, curve="reward", probe=_probe(cfg, tokenizer, data))
    checks = _preflight(tokenizer, tokens=cfg.rl_max_prompt + cfg.rl_max_completion, completion=cfg.rl_max_completion, 
                        rollouts=0 if vllm else cfg.rl_generation_batch)
    model, peft_config = _loader(cfg, start)()
    trainer = DualGRPOTrainer(model, [reward], args=args, train_dataset=rl_rows(kept), processing_class=tokenizer,
                              peft_config=peft_config, callbacks=[progress, *checks])
    facts = _finish(trainer, tokenizer, start, folder)
    return facts | {"questions": len(kept), "questions too long": len(examples) - len(kept)}


TASKS = {"sft": sft, "rl": rl}


def _probe(cfg: config.Config, tokenizer: PreTrainedTokenizerBase, data: Path):
    """A probe of validation questions, never forced: mean P(personalised) by kind and condition, and one sample.

    None in a launched run: there the main process would look alone, and a model cut over processes answers only to all.
    """
    if cfg.accelerate != "none":
        return None
    examples = construct.from_frame(pd.read_parquet(data / "validation.parquet"))
    prompts = [modes.render_prompt(tokenizer, e.item, e.persona) for e in examples]
    groups = [f"P(personalised) {e.item.kind if e.item.kind == 'personalized' else e.condition}" for e in examples]

    def probe(model: PreTrainedModel) -> tuple[dict[str, float], str]:
        training, python, numpy = model.training, random.getstate(), np.random.get_state()
        with torch.random.fork_rng():  # looking must not change the run
            model.eval()
            chances = generate.prompt_mode_probability(model, tokenizer, prompts, batch_size=cfg.eval_batch)
            sample = generate.complete(model, tokenizer, prompts[:1], max_new_tokens=64)[0].text
        model.train(training)
        random.setstate(python)
        np.random.set_state(numpy)
        shares = pd.Series(chances).groupby(groups).mean().to_dict()
        return shares, f"{prompts[0]}\n{sample}"

    return probe


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", type=Path, required=True, help="task.json of a stage folder: what to train, from what")
    path = parser.parse_args(arguments).task
    if not path.is_file():
        parser.error(f"no task at {path}; a notebook writes it when the setting `accelerate` names a launch configuration")
    task = json.loads(path.read_text(encoding="utf-8"))
    paths = {k: Path(v) if k in ("start", "data", "asked") else v for k, v in task["arguments"].items()}
    facts = TASKS[task["task"]](config.load(task["profile"], **task["overrides"]), path.parent, **paths)
    if PartialState().is_main_process:
        stages.write_json(path.parent / "facts.json", facts)
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()

"""Train: backbone from nothing, SFT, DualGRPO. Each is a stage: run once, resumed when killed, cached by its manifest.

`python -m pdlib.train STAGE --profile pocket` runs the same function outside a notebook.
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
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from pdlib import config, construct, generate, models, modes, rewards, stages
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.pocket import backbones, diet, expert
from pdlib.pocket.world import World
from pdlib.progress import Progress
from pdlib.schema import Item

warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)


class TwoModeSFTTrainer(SFTTrainer):
    """SFTTrainer that counts the mode tag's tokens `mode_token_weight` times in the loss.

    The mode is one token among thirty, and the only one that is a decision; at weight 1 the others drown it.
    """

    def __init__(self, *args, mode_token_weight: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        models.give_head_a_bias(self.model)
        self.mode_token_weight = mode_token_weight
        prefixes = modes.prefix_ids(self.processing_class).values() if mode_token_weight != 1 else []
        at = modes.decision_index(list(prefixes)) if prefixes else 0
        self.mode_token_ids = torch.tensor([ids[at] for ids in prefixes], dtype=torch.long)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.mode_token_weight == 1 or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        is_mode = torch.isin(inputs["labels"][:, 1:], self.mode_token_ids.to(inputs["labels"].device))  # (B, T-1)
        weights = torch.where(is_mode, self.mode_token_weight, 1.0)
        count = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        return -(weights * outputs.log_probs).sum() / count


def _tokenize(tokenizer, prompt: str, completion: str) -> dict[str, list[int]]:
    """input_ids and labels; the loss is on the completion and its end token only."""
    front = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    back = tokenizer(completion, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return {"input_ids": front + back, "labels": [-100] * len(front) + back}


def sft_row(tokenizer, example: construct.Example) -> dict[str, list[int]]:
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


def _common(cfg: config.Config, folder: Path, seed: int) -> dict:
    """Trainer arguments that every stage shares."""
    return {
        "output_dir": str(folder / "checkpoints"), "seed": seed, "data_seed": seed, "report_to": [], "disable_tqdm": True,
        "save_strategy": "steps", "save_steps": cfg.checkpoint_every, "save_total_limit": 2,
        "bf16": models.use_bf16(), "use_cpu": models.device().type == "cpu", "gradient_checkpointing": False,
        "dataloader_pin_memory": False, "logging_nan_inf_filter": False,
    }


def _finish(trainer, tokenizer, folder: Path) -> dict:
    """Train (from the last whole checkpoint, if any), save the model as the stage's result, drop the checkpoints."""
    print(models.describe_device(), flush=True)
    trainer.remove_callback(PrinterCallback)  # Progress shows and logs
    result = trainer.train(resume_from_checkpoint=last_checkpoint(folder / "checkpoints"))
    if not torch.isfinite(torch.tensor(result.training_loss)):
        raise RuntimeError(f"training diverged (loss {result.training_loss}); lower the stage's learning rate")
    models.save(trainer.accelerator.unwrap_model(trainer.model), tokenizer, folder)
    if (kept := folder / "checkpoints" / "completions").is_dir():
        shutil.rmtree(folder / "completions", ignore_errors=True)
        kept.rename(folder / "completions")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return {"steps": result.global_step, "loss": round(result.training_loss, 4)}


def by_length(rows: list[dict], batch: int, rng: random.Random) -> list[dict]:
    """The rows in an order that makes batches of similar length, in random order: little is padded."""
    rows = rng.sample(rows, len(rows))
    span = 50 * batch  # sort within spans, so that a batch's make-up stays random
    rows = [row for start in range(0, len(rows), span) for row in sorted(rows[start:start + span], key=lambda r: len(r["input_ids"]))]
    batches = [rows[start:start + batch] for start in range(0, len(rows), batch)]
    last = [batches.pop()] if len(batches[-1]) < batch else []
    return [row for group in rng.sample(batches, len(batches)) + last for row in group]


def _train_supervised(cfg, folder, model, tokenizer, rows, title, *, seed, batch, learning_rate, weight=1.0, probe=None) -> dict:
    """SFT over `rows`, once, in their order."""
    steps = max(1, len(rows) // batch)
    args = SFTConfig(
        **_common(cfg, folder, seed), per_device_train_batch_size=batch, max_steps=steps, learning_rate=learning_rate,
        lr_scheduler_type="cosine", warmup_steps=max(1, steps // 50), logging_steps=max(1, min(10, steps // 10)),
        max_length=None, weight_decay=0.01, adam_beta2=0.98, train_sampling_strategy="sequential",
    )
    progress = Progress(folder / "log.jsonl", title, probe=probe, probe_every=100)
    trainer = TwoModeSFTTrainer(model, args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
                                callbacks=[progress], mode_token_weight=weight)
    return _finish(trainer, tokenizer, folder)


def run_backbone(cfg: config.Config, name: str, persona_fits: bool = True) -> Path:
    """Train a pocket backbone from nothing; `persona_fits=False` is the null world's."""
    def build(folder: Path) -> dict:
        tokenizer = backbones.build_tokenizer(cfg.seed)
        first = diet.self_questions(cfg.seed, cfg.backbone_first_steps * cfg.backbone_batch)
        then = diet.draw(cfg.seed, cfg.backbone_steps * cfg.backbone_batch, cfg.cue_share, persona_fits)
        rng, batch = random.Random(cfg.seed), cfg.backbone_batch
        rows = [row for part in (first, then) for row in by_length([_diet_row(tokenizer, r) for r in part], batch, rng)]
        model = backbones.build_backbone(name, tokenizer, cfg.seed)
        facts = _train_supervised(cfg, folder, model, tokenizer, rows, name, seed=cfg.seed, batch=cfg.backbone_batch,
                                  learning_rate=cfg.backbone_learning_rate)
        return facts | {"parameters": model.num_parameters(), "tokens": sum(len(row["input_ids"]) for row in rows)}

    folder = cfg.folder() / (f"backbone-{name}" if persona_fits else f"backbone-{name}-null")
    settings = cfg.subset("seed", "cue_share", "backbone_") | {"name": name, "persona_fits": persona_fits}
    return stages.once(folder, build, settings=settings)


def run_construct(cfg: config.Config, backbone: Path) -> Path:
    """PersonaDualData, SFT part: judge gains with the backbone; write the SFT set and the validation set as parquet."""
    def build(folder: Path) -> dict:
        world, rng = World(cfg.seed + 1, "train", cfg.cue_share), random.Random(f"construct|{cfg.seed}")
        model, tokenizer = models.load(backbone)
        pairs = construct.objective_pairs(world, cfg.gain_candidates, rng)
        judged = construct.judge_gain(model, tokenizer, pairs)
        sft = construct.sft_set(judged, world, rng, rows=cfg.sft_rows, margin=cfg.gain_margin,
                                personalized_share=cfg.sft_personalized_share,
                                preference_share=cfg.sft_preference_share, no_persona_share=cfg.sft_no_persona_share)
        check = construct.rl_set(World(cfg.seed + 3, "validation", cfg.cue_share), rng, rows=60, preference_share=0.1)
        for name, part in {"judged": judged, "sft": sft, "validation": check}.items():
            construct.to_frame(part).to_parquet(folder / f"{name}.parquet")
        return {"judged": len(judged), "sft": len(sft), "validation": len(check),
                "fitting without gain, in neither mode": sum(e.condition == "aligned" and e.gain < cfg.gain_margin for e in judged)}

    settings = cfg.subset("seed", "cue_share", "gain_", "sft_rows", "sft_personalized", "sft_preference", "sft_no_persona")
    return stages.once(cfg.folder() / "data", build, settings=settings, inputs=[backbone])


def run_rl_set(cfg: config.Config, name: str = "data-rl") -> Path:
    """PersonaDualData, RL part: `rl_steps` batches of `rl_prompts` questions as parquet, in the stage folder `name`."""
    def build(folder: Path) -> dict:
        rows = construct.rl_set(World(cfg.seed + 2, "train", cfg.cue_share), random.Random(f"rl|{cfg.seed}"),
                                rows=cfg.rl_steps * cfg.rl_prompts, preference_share=cfg.rl_preference_share)
        construct.to_frame(rows).to_parquet(folder / "rl.parquet")
        return {"rl": len(rows)}

    settings = cfg.subset("seed", "cue_share", "rl_steps", "rl_prompts", "rl_preference")
    return stages.once(cfg.folder() / name, build, settings=settings)


def run_sft(cfg: config.Config, backbone: Path, data: Path) -> Path:
    """Stage 1 [3.2]: teach the backbone both modes."""
    def build(folder: Path) -> dict:
        model, tokenizer = models.load(backbone)
        rows = [sft_row(tokenizer, e) for e in construct.from_frame(pd.read_parquet(data / "sft.parquet"))]
        rng, batch = random.Random(cfg.seed), cfg.sft_batch
        rows = [row for _ in range(cfg.sft_epochs) for row in by_length(rows, batch, rng)]
        return _train_supervised(cfg, folder, model, tokenizer, rows, "SFT", seed=cfg.seed, batch=batch,
                                 learning_rate=cfg.sft_learning_rate, weight=cfg.sft_mode_token_weight,
                                 probe=_probe(tokenizer, data))

    settings = cfg.subset("seed", "sft_epochs", "sft_batch", "sft_learning", "sft_mode")
    return stages.once(cfg.folder() / "sft", build, settings=settings, inputs=[backbone, data])


def reward(completions, item, **_) -> list[float]:
    """TRL reward function: `item` is the data set's column of items as JSON."""
    return [rewards.score(text[0]["content"], Item.from_dict(json.loads(row))).total
            for text, row in zip(completions, item, strict=True)]


def rl_rows(examples: list[construct.Example]) -> Dataset:
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
        tokenizer = models.load_tokenizer(sft)
        args = DualGRPOConfig(
            **_common(cfg, folder, cfg.seed), **settings, per_device_train_batch_size=cfg.rl_prompts * cfg.rl_rollouts,
            num_generations=cfg.rl_rollouts, max_completion_length=cfg.rl_max_completion, max_steps=cfg.rl_steps,
            learning_rate=cfg.rl_learning_rate, lr_scheduler_type="linear", warmup_steps=round(cfg.rl_warmup * cfg.rl_steps), beta=cfg.rl_kl,
            temperature=cfg.rl_temperature, logging_steps=1, adam_beta2=0.98, log_completions=True, num_completions_to_print=0,
            model_init_kwargs={"dtype": "float32"}, top_k=0,
        )
        examples = construct.from_frame(pd.read_parquet(asked / "rl.parquet"))
        progress = Progress(folder / "log.jsonl", name, curve="reward", probe=_probe(tokenizer, data))
        trainer = DualGRPOTrainer(str(sft), [reward], args=args, train_dataset=rl_rows(examples),
                                  processing_class=tokenizer, callbacks=[progress])
        return _finish(trainer, tokenizer, folder)

    return stages.once(cfg.folder() / name, build, settings=cfg.subset("seed", "rl_") | {"trainer": settings},
                       inputs=[sft, data, asked])


def _probe(tokenizer: PreTrainedTokenizerBase, data: Path):
    """A probe of validation questions, never forced: mean P(personalised) by kind and condition, and one sample."""
    examples = construct.from_frame(pd.read_parquet(data / "validation.parquet"))
    prompts = [modes.render_prompt(tokenizer, e.item, e.persona) for e in examples]
    groups = [f"P(personalised) {e.item.kind if e.item.kind == 'personalized' else e.condition}" for e in examples]

    def probe(model: PreTrainedModel) -> tuple[dict[str, float], str]:
        training, python, numpy = model.training, random.getstate(), np.random.get_state()
        with torch.random.fork_rng():  # looking must not change the run
            model.eval()
            chances = generate.prompt_mode_probability(model, tokenizer, prompts)
            sample = generate.complete(model, tokenizer, prompts[:1], max_new_tokens=64)[0].text
        model.train(training)
        random.setstate(python)
        np.random.set_state(numpy)
        shares = pd.Series(chances).groupby(groups).mean().to_dict()
        return shares, f"{prompts[0]}\n{sample}"

    return probe


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["backbones", "data", "sft", "rl"])
    parser.add_argument("--profile", default="pocket")
    args = parser.parse_args()
    cfg, stage = config.load(args.profile), args.stage
    folders = [run_backbone(cfg, name) for name in cfg.backbones]
    if stage == "backbones":
        return
    data = run_construct(cfg, folders[0])
    if stage == "data":
        return
    sft = run_sft(cfg, folders[0], data)
    if stage == "rl":
        run_rl(cfg, sft, data)


if __name__ == "__main__":
    main()

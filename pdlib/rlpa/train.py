"""Train RLPA's policy: SFT on the annotator's dialogues, then RL in live dialogues."""

import random
from dataclasses import replace
from pathlib import Path

import pandas as pd
from trl import GRPOConfig

from pdlib import config, modes
from pdlib.dataset import construct
from pdlib.rlpa import roles
from pdlib.rlpa.live import AHEAD, LiveDialogues
from pdlib.run import stages
from pdlib.shared_prefix.grpo import SharedPrefixGRPOTrainer
from pdlib.train import TRAINING, TrainingRun, sft_row, train_on_rows
from pdlib.train.rl import grpo_arguments
from pdlib.train.rows import by_length, tokens_of


def policy_folder(cfg: config.Config, name: str, seed: int) -> Path:
    """The stage folder of a policy (sft | rlpa) of one training seed.

    dynamic/<run>/<name>-<seed>
    """
    return cfg.folder() / "dynamic" / config.file_name(cfg.backbone) / f"{name}-{seed}"


def in_one_process(cfg: config.Config) -> config.Config:
    """The settings of a training that several processes cannot share: one process, on one GPU.

    Where the run trains all weights in several processes, one has no memory for that: LoRA then.
    """
    if cfg.accelerate == "none":
        return replace(cfg, processes=1)
    tuning = "lora" if cfg.tuning == "full" else cfg.tuning
    return replace(cfg, accelerate="none", processes=1, machines=1, tuning=tuning, rl_vllm="none")


def run_sft(cfg: config.Config, start: Path, sft_set: Path, seed: int) -> Path:
    """SFT of the model in `start` on the annotator's dialogues of the folder `sft_set`; a stage.

    They are gone over `dynamic_epochs` times.
    """
    run_config = in_one_process(replace(cfg, seed=seed))

    def build(folder: Path) -> dict:
        run = TrainingRun(run_config, folder, start, "sft", cfg.sft_batch)
        examples = construct.from_frame(pd.read_parquet(sft_set / "sft.parquet"))
        rows = [sft_row(run.tokenizer, example) for example in examples]
        n_long = sum(tokens_of(row) > cfg.sft_max_length for row in rows)
        if n_long:
            raise ValueError(
                f"{n_long} of {len(rows)} dialogues are longer than sft_max_length "
                f"{cfg.sft_max_length}; lower dynamic_turns"
            )
        rng, ordered = random.Random(seed), []
        for _ in range(cfg.dynamic_epochs):
            ordered += by_length(rows, cfg.sft_batch, rng)
        return train_on_rows(
            run,
            ordered,
            "SFT on dialogues",
            learning_rate=cfg.sft_learning_rate,
            warmup=cfg.sft_warmup,
        )

    settings = run_config.subset(
        "sft_batch",
        "sft_micro",
        "sft_learning",
        "sft_warmup",
        "sft_max",
        "dynamic_epochs",
        *TRAINING,
    )
    return stages.once(
        policy_folder(cfg, "sft", seed),
        build,
        settings=settings | {"seed": seed},
        inputs=[start, sft_set],
    )


def run_rl(cfg: config.Config, start: Path, seed: int) -> Path:
    """RL from the model in `start`, which is also the KL reference, in live dialogues; a stage.

    The users are those of this training seed; who plays and judges follows from `cfg`
    (`pdlib.rlpa.roles`). Not resumed in mid-run, since open dialogues are kept nowhere: a killed
    run begins anew. A dialogue cannot be shared among processes, see `in_one_process`.
    """
    run_config = replace(
        in_one_process(cfg),
        seed=seed,
        rl_prompts=cfg.dynamic_prompts,
        rl_rollouts=cfg.dynamic_rollouts,
    )

    def build(folder: Path) -> dict:
        batch = cfg.dynamic_prompts * cfg.dynamic_rollouts
        run = TrainingRun(run_config, folder, start, "rl", batch)
        players = roles.assign(cfg)
        live = LiveDialogues(
            players.next_user(seed),
            AHEAD * cfg.dynamic_prompts,
            cfg.dynamic_turns,
            players.judge,
            players.speak,
            players.instruction,
            run.tokenizer,
        )
        arguments = grpo_arguments(run, cfg.dynamic_rollouts, cfg.dynamic_steps)
        args = GRPOConfig(
            **arguments | {"save_strategy": "no"},
            learning_rate=cfg.dynamic_learning_rate,
            beta=cfg.dynamic_kl,
            temperature=cfg.dynamic_temperature,
            shuffle_dataset=False,
            loss_type="grpo",
            chat_template_kwargs=dict(modes.TEMPLATE_SETTINGS),
        )
        model, peft_config = run.load()
        trainer = SharedPrefixGRPOTrainer(
            model,
            [live.profile, live.response],
            args=args,
            train_dataset=live.data(len(live.dialogues)),
            processing_class=run.tokenizer,
            peft_config=peft_config,
            callbacks=[run.progress("RLPA", curve="reward")],
        )
        return run.finish(trainer) | {"users": live.begun, "turns": live.turns_done}

    settings = run_config.subset(
        "seed",
        "dynamic_turns",
        "dynamic_steps",
        "dynamic_prompts",
        "dynamic_rollouts",
        "dynamic_learning",
        "dynamic_kl",
        "dynamic_temperature",
        "rl_micro",
        "rl_generation",
        "rl_warmup",
        "rl_max_completion",
        "rl_vllm",
        *TRAINING,
    )
    settings |= cfg.subset("dynamic_user")
    if cfg.dynamic_user != "pocket":
        settings |= cfg.subset(
            "data_dir", "expert", "dynamic_test", "dynamic_users", "persona_pool"
        )
    return stages.once(policy_folder(cfg, "rlpa", seed), build, settings=settings, inputs=[start])

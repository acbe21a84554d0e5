"""The two sides of the benchmark: stock TRL and ours, with the same weights and prompts."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM, set_seed
from trl import GRPOConfig, GRPOTrainer

from pdlib import models
from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.pocket.backbones import build_backbone, build_tokenizer
from pdlib.pocket.lexicon import lexicon
from pdlib.shared_prefix.batches import token_ids
from pdlib.shared_prefix.cost import Shape

LLAMA = "SmolLM2-135M"  # the one Llama of MODELS; in bfloat16 on a CPU where its profile is, too
MODELS = {  # name -> its size, of Qwen3 or of Llama; "pocket" is the pocket backbone
    "17M": {
        "vocab_size": 8192,
        "hidden_size": 384,
        "intermediate_size": 1152,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 64,
    },
    "Qwen3-0.6B": {
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    LLAMA: {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
}
SIDES = {  # name -> trainer, its configuration, settings that the other side does not have
    "stock": (GRPOTrainer, GRPOConfig, {}),
    "ours": (DualGRPOTrainer, DualGRPOConfig, {"prefix_style": "token"}),
}


def device() -> str:
    """Where everything is measured: "cuda" where there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def uses_bf16(name: str) -> bool:
    """Whether both sides train in bfloat16: always on a GPU, on a CPU only LLAMA where it pays."""
    return device() == "cuda" or name == LLAMA and models.use_bf16(MODELS[name]["hidden_size"])


def write_model(name: str, folder: Path) -> Path:
    """Write random weights of a size and the pocket tokenizer to `folder`.

    Random weights end no completion early, on either side.
    """
    set_seed(0)
    tokenizer = build_tokenizer()
    if name == "pocket":
        model = build_backbone("pocket-qwen3", tokenizer, 0)
    elif name in MODELS:
        is_llama = name == LLAMA
        config_class = LlamaConfig if is_llama else Qwen3Config
        model_class = LlamaForCausalLM if is_llama else Qwen3ForCausalLM
        config = config_class(
            **MODELS[name], max_position_embeddings=4096, tie_word_embeddings=True
        )
        model = model_class(config)
    else:
        raise ValueError(f"unknown model {name!r}, expected one of pocket, {', '.join(MODELS)}")
    model.to(torch.bfloat16 if device() == "cuda" else torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prompt_texts(tokenizer, shape: Shape) -> list[str]:
    """`shape.prompts` different texts of `shape.prompt` tokens each."""
    words = [f" {word}" for word in lexicon().words]
    words = [w for w, ids in zip(words, token_ids(tokenizer, words), strict=True) if len(ids) == 1]
    rng = random.Random(0)
    texts = ["".join(rng.choice(words) for _ in range(shape.prompt)) for _ in range(shape.prompts)]
    lengths = {len(ids) for ids in token_ids(tokenizer, texts)}
    if lengths != {shape.prompt}:
        raise ValueError(f"prompts of {sorted(lengths)} tokens were made, wanted {shape.prompt}")
    return texts


def prompt_ids(trainer: GRPOTrainer, shape: Shape) -> list[list[int]]:
    """Each prompt's token ids, `shape.rollouts` times in a row."""
    tokenizer = trainer.processing_class
    prompts = token_ids(tokenizer, prompt_texts(tokenizer, shape))
    return [ids for ids in prompts for _ in range(shape.rollouts)]


def odd_sum(completion_ids: list[list[int]], **_) -> list[float]:
    """A reward that costs nothing to compute: 1 where the sum of the token ids is odd, else 0."""
    return [float(sum(ids) % 2) for ids in completion_ids]


def make_trainer(side: str, model_folder: Path, shape: Shape, output_dir: Path) -> GRPOTrainer:
    """A trainer of one side, ready for `training_step`.

    One step is one generation and one update of all completions.
    """
    trainer_class, config_class, side_settings = SIDES[side]
    args = config_class(
        output_dir=str(output_dir),
        max_completion_length=shape.completion,
        report_to=[],
        use_cpu=device() == "cpu",
        top_k=0,
        bf16=uses_bf16(shape.model),
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        num_generations=shape.rollouts,
        beta=0.04,
        per_device_train_batch_size=shape.prompts * shape.rollouts,
        loss_type="grpo",
        learning_rate=1e-6,
        max_steps=100,
        **side_settings,
    )
    tokenizer = models.load_tokenizer(model_folder)
    trainer = trainer_class(
        str(model_folder),
        [odd_sum],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": prompt_texts(tokenizer, shape)}),
        processing_class=tokenizer,
    )
    trainer.create_optimizer_and_scheduler(100)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@contextmanager
def pair(shape: Shape) -> Iterator[dict[str, GRPOTrainer]]:
    """The trainers of both sides, with the same weights."""
    with tempfile.TemporaryDirectory() as work:
        folder = write_model(shape.model, Path(work) / "model")
        yield {side: make_trainer(side, folder, shape, Path(work) / side) for side in SIDES}

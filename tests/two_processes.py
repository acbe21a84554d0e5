"""A few greedy DualGRPO steps, in one process or under `accelerate launch`; test_dualgrpo compares.

`python tests/two_processes.py MODEL OUT BATCH`: BATCH rollouts per process and training batch;
weights and losses go to OUT.
"""

import json
import sys
from pathlib import Path

from accelerate import PartialState
from datasets import load_dataset
from safetensors.torch import save_file
from transformers import AutoTokenizer

from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.schema import Mode


def reward(prompts, completions, **_) -> list[float]:
    """Depends on the prompt, the mode and the text, so that a label that lands on another row
    changes the result.
    """
    texts = [c[0]["content"] for c in completions]
    return [
        len(p[0]["content"]) % 7 / 7 * text.startswith(Mode.PERSONALIZED.tag) + len(text) % 5 / 5
        for p, text in zip(prompts, texts, strict=True)
    ]


def main(model: str, out: str, batch: int):
    args = DualGRPOConfig(
        output_dir=out,
        per_device_train_batch_size=batch,
        num_generations=4,
        max_completion_length=6,
        max_steps=3,
        top_k=1,
        gradient_accumulation_steps=2,
        num_iterations=2,
        learning_rate=1.0,
        optim="sgd",
        lr_scheduler_type="constant",
        beta=0.04,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1,
        prefix_style="token",
        seed=3,
        model_init_kwargs={"dtype": "auto"},
    )
    tokenizer = AutoTokenizer.from_pretrained(model)
    data = load_dataset("json", data_files=f"{model}/prompts.jsonl", split="train")
    trainer = DualGRPOTrainer(
        model, [reward], args=args, train_dataset=data, processing_class=tokenizer
    )
    trainer.train()
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # whole, of cut ones, too
    if trainer.accelerator.is_main_process:
        save_file(
            {k: v.contiguous() for k, v in weights.items() if k != "lm_head.weight"},
            f"{out}/weights.safetensors",
        )
        Path(out, "log.json").write_text(
            json.dumps([row for row in trainer.state.log_history if "reward" in row])
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    PartialState().destroy_process_group()  # or one that exits first may abort

"""AlignXpert's training (its code: DPO, beta 0.1, one epoch) on our personalised questions."""

import json
from pathlib import Path

import pandas as pd
from datasets import Dataset, disable_progress_bars
from trl import DPOConfig, DPOTrainer

from pdlib import config, models, modes
from pdlib.dataset import construct
from pdlib.dataset.experts import Expert
from pdlib.run import stages
from pdlib.schema import Example, Item, Mode, Persona
from pdlib.train import launched
from pdlib.train.run import TRAINING, TrainingRun


def run_dpo(
    cfg: config.Config, folder: Path, start: Path, data: Path, expert: Expert | None = None
) -> Path:
    """DPO of the model in `start` on the `preference_pairs` of `data`'s SFT set; a stage."""

    def build(folder: Path) -> dict:
        examples = construct.from_frame(pd.read_parquet(data / "sft.parquet"))
        pairs = preference_pairs(examples, expert, models.load_tokenizer(start))
        if not pairs:
            raise ValueError(
                "the SFT set holds no personalised questions to make preference pairs of; see "
                "sft_composition"
            )
        pd.DataFrame(pairs).to_parquet(folder / "pairs.parquet")
        return launched.train("dpo", train_dpo, cfg, folder, start=start)

    settings = cfg.subset(
        "seed", "dpo_", "sft_batch", "sft_micro", "sft_warmup", "sft_max", *TRAINING
    )
    settings |= {"preferences": expert is not None}
    return stages.once(folder, build, settings=settings, inputs=[start, data])


def preference_pairs(examples: list[Example], expert: Expert | None, tokenizer=None) -> list[dict]:
    """DPO rows of the personalised questions.

    A row holds the prompt, and the trajectory with the preferred and with another answer. expert:
    states each asker's preferences, which then stand in the persona's place (PBA); None: the
    persona as it is (ICA). tokenizer: as in `modes.completion_text`.
    """
    questions = [
        e for e in examples if e.item.kind == "personalized" and e.mode == Mode.PERSONALIZED
    ]
    people = [e.persona for e in questions]
    people = expert.preferences(people) if expert else people
    pairs = []
    for example, person in zip(questions, people, strict=True):
        others = _other_answers(example)
        if not person or not others:
            continue
        chosen, rejected = (
            modes.completion_text(None, example.reasoning, answer, tokenizer)
            for answer in (example.answer, others[0])
        )
        item = json.dumps(example.item.to_dict())
        pairs.append({"persona": person.text, "item": item, "chosen": chosen, "rejected": rejected})
    return pairs


def _other_answers(example: Example) -> list[str]:
    """The answers that are not the gold, written as the example writes its own.

    They are letters, or the options' texts.
    """
    options = example.item.options
    as_letter = example.answer not in options
    return [
        modes.LETTERS[i] if as_letter else text
        for i, text in enumerate(options)
        if text != example.item.gold
    ]


def train_dpo(cfg: config.Config, folder: Path, start: Path) -> dict:
    """What `run_dpo` trains, in this process; returns the facts for the manifest."""
    run = TrainingRun(cfg, folder, start, "sft", cfg.sft_batch)
    pairs = pd.read_parquet(folder / "pairs.parquet")
    prompts = [
        modes.render_prompt(
            run.tokenizer, Item.from_dict(json.loads(row.item)), Persona(row.persona)
        )
        for row in pairs.itertuples()
    ]
    steps = max(1, len(pairs) // cfg.sft_batch)
    args = DPOConfig(
        **run.arguments(),
        max_steps=steps,
        beta=cfg.dpo_beta,
        learning_rate=cfg.dpo_learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=max(1, int(steps * cfg.sft_warmup)),
        logging_steps=1,
        max_length=cfg.sft_max_length,
    )
    model, peft_config = run.load()
    # With adapters the reference is the model without them.
    reference = None if peft_config else models.load(start, cfg.precision)[0]
    disable_progress_bars()
    trainer = DPOTrainer(
        model,
        reference,
        args=args,
        train_dataset=Dataset.from_dict(
            {"prompt": prompts, "chosen": list(pairs.chosen), "rejected": list(pairs.rejected)}
        ),
        processing_class=run.tokenizer,
        peft_config=peft_config,
        callbacks=[run.progress("DPO")],
    )
    models.give_head_a_bias(trainer.model)
    return run.finish(trainer) | {"pairs": len(pairs)}

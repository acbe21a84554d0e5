"""Think, or answer at once? Two modes of your own, trained with rewards of your own.

Run it with `python guides/your_modes.py`: two minutes on a CPU. The model is made on the spot and
knows both modes already; yours comes from your own SFT.
"""

from datasets import Dataset

from pdlib.dualgrpo import DualGRPOConfig, DualGRPOTrainer
from pdlib.analysis import arithmetic
from pdlib.schema import ModeSet

MODES = {"think": "[Think]", "quick": "[Quick]"}


def right(completions, answer, **_):
    pairs = zip(completions, answer, strict=True)
    return [float(arithmetic.answer(text) == gold) for text, gold in pairs]


def cost(completions, **_):
    return [-0.1 * text.startswith(MODES["think"]) for text in completions]


def train(model, tokenizer, folder, rewards, steps=120, **settings):
    args = DualGRPOConfig(
        output_dir=folder, modes=MODES, num_generations=8,
        per_device_train_batch_size=128, max_steps=steps,
        learning_rate=1e-3, beta=0.0, max_completion_length=20,
        report_to=[], save_strategy="no", logging_steps=1,
        disable_tqdm=True, use_cpu=True, bf16=False, **settings)
    rows = Dataset.from_list(arithmetic.questions(2000, seed=1))
    trainer = DualGRPOTrainer(
        model, rewards, args=args, train_dataset=rows,
        processing_class=tokenizer)
    trainer.train()
    return trainer


if __name__ == "__main__":
    model, tokenizer = arithmetic.taught_both_modes("outputs/your-modes")
    print(arithmetic.look(model, tokenizer, ModeSet.of(MODES)).round(2))
    train(model, tokenizer, "outputs/your-modes", [right, cost])
    print(arithmetic.look(model, tokenizer, ModeSet.of(MODES)).round(2))

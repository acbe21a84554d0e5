"""Ask a model in dialogues, turn by turn -> records of each dialogue's last question."""

import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, generate, models, modes
from pdlib.evaluate.answers import sampling
from pdlib.evaluate.dialogues.conditions import TAGS, History, condition, retag
from pdlib.evaluate.dialogues.orders import Dialogue, rebuild
from pdlib.evaluate.records import COLUMNS, as_stage, record
from pdlib.schema import Item, Persona

Ongoing = tuple[Dialogue, History]  # a dialogue, and what has been asked and answered so far


def answer(
    model,
    tokenizer,
    dialogues: Sequence[Dialogue],
    *,
    run: str,
    model_name: str,
    train_seed: int,
    seeds: Sequence[int],
    tags: Sequence[str] = TAGS[1:],
    temperature: float = 0.6,
    max_tokens: int = 64,
    batch_tokens: int = generate.BATCH_TOKENS,
) -> tuple[pd.DataFrame, Counter]:
    """Records of every dialogue's last question, and counts of what was left out.

    The question is asked alone (turn 1) and after 1, 2, ... earlier questions (turn 2, 3, ...).
    Turn 2 is asked with each seed; in dialogues that are looked at `closely` also, with the first
    seed, after the first answer with its tag removed and swapped (`tags`), and the later turns.
    The column condition: see `condition`; what came before stands in `prompt` word for word. A
    dialogue that would not fit the model's positions is left out from that turn on, and counted;
    ValueError when none fits.
    """
    if not dialogues:
        raise ValueError("no dialogues to ask; `rebuild` makes them of the test items")
    session = _Session(
        model, tokenizer, max_tokens, batch_tokens=batch_tokens, temperature=temperature
    )
    session.ask_alone(dialogues, seeds)
    for seed in seeds:
        ongoing = session.answer_earlier([(d, ()) for d in dialogues], seed, turn=2)
        session.ask_last(ongoing, "kept", seed, turn=2)
        ongoing = [(d, history) for d, history in ongoing if d.closely]
        if seed != seeds[0] or not ongoing:
            continue
        for change in tags:
            session.ask_last(ongoing, change, seed, turn=2)
        for turn in range(3, max(len(d.earlier) for d, _ in ongoing) + 2):
            ongoing = session.answer_earlier(ongoing, seed, turn)
            session.ask_last(ongoing, "kept", seed, turn)
    records = pd.DataFrame(session.rows).assign(
        run=run, model=model_name, train_seed=train_seed, forced="none"
    )
    return records[COLUMNS], +session.left_out


class _Session:
    """A model, asked turn by turn; collects records and counts what was left out."""

    def __init__(self, model, tokenizer, max_tokens: int, **settings):
        self.model, self.tokenizer = model, tokenizer
        self.max_tokens = max_tokens
        self.settings = settings | {"max_new_tokens": max_tokens}
        self.positions = model.config.max_position_embeddings
        self.rows: list[dict] = []
        self.left_out: Counter = Counter()

    def ask_alone(self, dialogues: Sequence[Dialogue], seeds: Sequence[int]) -> None:
        """Records of the last questions, each without anything before it."""
        alone = list({(d.who, d.item.id): d for d in dialogues}.values())
        prompts = self._prompts([(d.item, d.asker, ()) for d in alone])
        self._record([(condition(d.who), d.item) for d in alone], prompts, seeds, turn=1)

    def answer_earlier(self, ongoing: Sequence[Ongoing], seed: int, turn: int) -> list[Ongoing]:
        """The dialogues with one more earlier question answered, the one before `turn`.

        Those whose last question then no longer fits are left out.
        """
        ongoing = [(d, history) for d, history in ongoing if len(d.earlier) >= turn - 1]
        earlier = [d.earlier[turn - 2] for d, _ in ongoing]
        prompts = self._prompts(
            [(item, d.asker, history) for item, (d, history) in zip(earlier, ongoing, strict=True)]
        )
        completions = generate.complete(
            self.model, self.tokenizer, prompts, seed=_draws(seed, turn - 1), **self.settings
        )
        longer = [
            (d, (*history, (item, completion.text)))
            for (d, history), item, completion in zip(ongoing, earlier, completions, strict=True)
        ]
        fits = self._fits([(d.item, d.asker, history) for d, history in longer], turn)
        dropped = fits.count(False)
        if dropped:
            reason = f"{turn} turns: longer than the model's {self.positions} positions"
            self.left_out[reason] += dropped
        return [dialogue for dialogue, is_fit in zip(longer, fits, strict=True) if is_fit]

    def ask_last(self, ongoing: Sequence[Ongoing], tags: str, seed: int, turn: int) -> None:
        """Records of the last questions after what came before, with its tags changed as asked."""
        questions, names = [], []
        for d, history in ongoing:
            shown = tuple((item, retag(completion, tags)) for item, completion in history)
            if any(completion is None for _, completion in shown):
                self.left_out[f"tags {tags}: the first answer has none"] += 1
                continue
            questions.append((d.item, d.asker, shown))
            names.append((condition(d.who, history, tags), d.item))
        if questions:
            self._record(names, self._prompts(questions), [seed], turn)

    def _prompts(self, questions: Sequence[tuple[Item, Persona | None, History]]) -> list[str]:
        return [
            modes.render_prompt(self.tokenizer, item, asker, history=history)
            for item, asker, history in questions
        ]

    def _fits(
        self, questions: Sequence[tuple[Item, Persona | None, History]], turn: int
    ) -> list[bool]:
        """Which questions leave room for an answer; ValueError when none does."""
        prompts = self._prompts(questions)
        tokens = self.tokenizer(prompts, add_special_tokens=False)["input_ids"]
        lengths = [len(ids) + self.max_tokens for ids in tokens]
        if lengths and min(lengths) > self.positions:
            raise ValueError(
                f"none of {len(lengths)} dialogues of {turn} turns fits: with an answer of "
                f"{self.max_tokens} tokens the shortest needs {min(lengths)} positions, the model "
                f"has {self.positions}; lower dialogue_turns"
            )
        return [length <= self.positions for length in lengths]

    def _record(
        self,
        questions: Sequence[tuple[str, Item]],
        prompts: list[str],
        seeds: Sequence[int],
        turn: int,
    ) -> None:
        """Records of the last questions, (condition, item) with their prompts."""
        # Numbers of their own: the earlier question that is the `turn`-th has those of `turn`.
        seed_of = {_draws(seed, -turn): seed for seed in seeds}
        chances, completions = generate.answers(
            self.model, self.tokenizer, prompts, seeds=list(seed_of), **self.settings
        )
        for (_, drawn), of_prompts in completions.items():
            for (name, item), prompt, of_modes, completion in zip(
                questions, prompts, chances, of_prompts, strict=True
            ):
                row = record(item, prompt, of_modes, completion)
                self.rows.append(row | {"condition": name, "seed": seed_of[drawn], "turn": turn})


def _draws(seed: int, turn: int) -> int:
    """The random numbers of a turn: others than those of the turns before.

    Otherwise equal luck would look like influence.
    """
    return zlib.crc32(f"dialogue|{seed}|{turn}".encode())


def run_dialogues(cfg: config.Config, model_name: str, folder: Path, *, train_seed: int) -> Path:
    """Ask the model in `folder` the first `dialogue_items` of each benchmark in dialogues.

    This is a stage; `dialogue_closely` of the items are asked closely. Returns the records' file,
    `dialogues/records/<run>.<model>.<train seed>.parquet`, apart from the answers to single
    questions.
    """
    name = f"{config.file_name(cfg.run)}.{model_name}.{train_seed}"
    test_set = dataset.run_test_set(cfg)

    def ask() -> tuple[pd.DataFrame, dict]:
        items, pool = dataset.test_items(cfg), dataset.persona_pool(cfg)
        of_benchmark = pd.Series(items).groupby([item.benchmark for item in items])
        close = of_benchmark.head(cfg.dialogue_closely)
        others = of_benchmark.head(cfg.dialogue_items).drop(close.index, errors="ignore")
        dialogues = rebuild(items, list(close), pool, cfg.dialogue_turns)
        dialogues += rebuild(items, list(others), pool, closely=False)
        model, tokenizer = models.load(folder, cfg.precision)
        records, left_out = answer(
            model,
            tokenizer,
            dialogues,
            run=cfg.run,
            model_name=model_name,
            train_seed=train_seed,
            **sampling(cfg),
        )
        return records, {"left out": dict(left_out)}

    settings = cfg.subset(
        "seed", "eval_", "precision", "dialogue_items", "dialogue_closely", "dialogue_turns"
    ) | {"run": cfg.run, "model": model_name, "train_seed": train_seed}
    return as_stage(
        cfg.folder() / "dialogues", name, ask, settings=settings, inputs=[folder, test_set]
    )

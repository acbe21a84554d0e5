"""SFT rows that come after an earlier question of the same person."""

import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pdlib import config, generate, models, modes
from pdlib.dataset import construct
from pdlib.evaluate.dialogues.conditions import condition, parse_condition
from pdlib.run import stages
from pdlib.schema import KINDS, Example, Item


def with_history(
    model, tokenizer, examples: Sequence[Example], share: float, rng: random.Random, **sampling
) -> list[Example]:
    """The examples, a `share` of them after an earlier question.

    The earlier question is another example's, objective or personal with equal chance, asked by
    their own asker and answered by `model`. An expert's answers would not do: a personalised one
    fits its own asker only, so personalised rows could stand after general ones alone, and the
    first mode would give the second away. What is drawn here knows nothing of the row it stands
    before.
    """
    earlier = _draw_earlier(examples, share, rng)
    prompts = [
        modes.render_prompt(tokenizer, item, examples[row].persona) for row, item in earlier.items()
    ]
    completions = []
    if prompts:
        completions = generate.complete(
            model, tokenizer, prompts, seed=rng.randrange(2**32), **sampling
        )
    histories = {
        row: ((item, completion.text),)
        for (row, item), completion in zip(earlier.items(), completions, strict=True)
    }
    return [
        replace(example, history=histories.get(row, ())) for row, example in enumerate(examples)
    ]


def _draw_earlier(examples: Sequence[Example], share: float, rng: random.Random) -> dict[int, Item]:
    """The earlier question of each row that gets one, by the row's index in `examples`."""
    by_kind = {kind: [e.item for e in examples if e.item.kind == kind] for kind in KINDS}
    pools = [items for items in by_kind.values() if items]
    earlier = {}
    for row in sorted(rng.sample(range(len(examples)), round(share * len(examples)))):
        item = examples[row].item
        others = [other for other in rng.choice(pools) if other.id != item.id]
        if not others:
            raise ValueError(
                f"no other question to ask before {item.id!r}; a larger sft_composition has some"
            )
        earlier[row] = rng.choice(others)
    return earlier


def run_history_set(cfg: config.Config, sets: Path, model: Path) -> Path:
    """The SFT set of the folder `sets`, `dialogue_share` of its rows after an earlier question.

    `model` answers those questions; the set is a stage. It has the same questions, trajectories and
    number of rows, row for row: training on it differs from training on `sets` in the histories
    alone.
    """

    def build(folder: Path) -> dict:
        examples = construct.from_frame(pd.read_parquet(sets / "sft.parquet"))
        loaded, tokenizer = models.load(model, cfg.precision)
        rows = with_history(
            loaded,
            tokenizer,
            examples,
            cfg.dialogue_share,
            random.Random(f"dialogues|{cfg.seed}"),
            temperature=cfg.eval_temperature,
            max_new_tokens=cfg.eval_max_tokens,
            batch_tokens=cfg.eval_batch_tokens,
        )
        construct.to_frame(rows).to_parquet(folder / "sft.parquet")
        for name in ("validation.parquet", "choices.parquet"):
            shutil.copy(sets / name, folder / name)
        pairs: Counter = Counter()
        for row in rows:
            if row.history:
                before = parse_condition(condition("any", row.history))["before"]
                pairs[f"{before} before {row.mode.name}"] += 1
        return {"sft": len(rows), "after an earlier question": dict(pairs)}

    settings = cfg.subset("seed", "dialogue_share", "eval_temperature", "eval_max_tokens")
    return stages.once(
        cfg.run_folder() / f"data-dialogues-{cfg.seed}",
        build,
        settings=settings,
        inputs=[sets, model],
    )

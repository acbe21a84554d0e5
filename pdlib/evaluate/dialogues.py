"""Dialogues: a test question asked again after other questions of the same person, and SFT rows
that have such a history.

The paper (5.4) tells little of how its two-turn dialogues were built. What it leaves open, and what
we assume:
1. Its orders are orders of modes. Table 3 has objective questions that shift "under the influence
   of a preceding objective turn", so the second turn may be of either kind, after either kind. And
   its ratios are not of all questions: 60.53 % of MATH500's 500, 68.63 % of 1,000 or 38.86 % of
   1,000 are no whole numbers. We read "general -> personalized" as: the first turn was answered in
   the general mode, and alone the second question is answered in the personalised one; the other
   order likewise. Records hold all four combinations.
2. Every test question is asked last, once after objective and once after personal questions. These
   are other test questions, those of the same asker first, then those of other benchmarks; all of
   one kind, which in longer dialogues tells more than a mixture.
3. The last question's asker (by default the one it fits) asks all turns. For the earlier questions
   nobody says what is right for this asker, so their answers are part of the prompt and are not
   graded.
4. Who one is stands in every turn, as in the authors' format: the last message is then the same as
   alone.
5. Earlier turns are answered freely by the model itself, tag included, sampled as everywhere else.
"""

import random
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, generate, models, modes
from pdlib.dataset import construct, personas
from pdlib.run import stages
from pdlib.schema import KINDS, Example, Item, Mode, Persona

History = tuple[tuple[Item, str], ...]  # earlier questions, each with the completion it got
TAGS = ("kept", "removed", "swapped")  # what is done to the tags of the earlier completions
CONDITION = re.compile(
    r"(?P<who>\w+), (alone|(?P<first>\w+) first, (?P<before>\w+)(, tags (?P<tags>\w+))?)"
)


@dataclass(frozen=True)
class Dialogue:
    """`asker` asks `earlier`, then `item`. who: the persona condition under which `asker` asks
    `item`.

    closely: it is also asked with the first answer's tag changed and, where there are more earlier
    questions, to its end.
    """

    who: str
    asker: Persona | None
    earlier: tuple[Item, ...]
    item: Item
    closely: bool = True


def rebuild(
    items: Sequence[Item],
    last: Sequence[Item],
    pool: Sequence[Persona],
    turns: int = 2,
    who: str = "aligned",
    closely: bool = True,
) -> list[Dialogue]:
    """Each of `last` after `turns` - 1 of `items`, once objective and once personal ones;
    ValueError where there are too few.

    The same for every order and selection of `last`: what comes before an item follows from the
    item and `items`.
    """
    if turns < 2:
        raise ValueError(
            f"{turns} turns asked for; a dialogue has at least 2, a question alone is what `evaluate` asks"
        )
    by_kind = {kind: [item for item in items if item.kind == kind] for kind in KINDS}
    out = []
    for item in last:
        asker = personas.assign(item, who, pool)
        for kind, found in by_kind.items():
            others = [other for other in found if other.id != item.id]
            if len(others) < turns - 1:
                raise ValueError(
                    f"{turns} turns need {turns - 1} {kind} questions before {item.id!r}, found {len(others)}; evaluate more "
                    "items (eval_items) or lower dialogue_turns"
                )
            order = random.Random(f"dialogue|{item.id}").sample(others, len(others))
            order.sort(
                key=lambda other: (not _asks(asker, other), other.benchmark == item.benchmark)
            )
            out.append(Dialogue(who, asker, tuple(order[: turns - 1]), item, closely))
    return out


def _asks(asker: Persona | None, item: Item) -> bool:
    return asker is not None and item.aligned is not None and item.aligned.text == asker.text


def retag(completion: str, tags: str) -> str | None:
    """The completion with its mode tag kept, removed, or swapped for the other mode's; None where
    there is no tag to take away.

    >>> retag("[General_mode]\\nSo.", "swapped"), retag("[General_mode]\\nSo.", "removed"), retag("So.", "removed")
    ('[Personalized_mode]\\nSo.', 'So.', None)
    """
    if tags not in TAGS:
        raise ValueError(f"tags {tags!r}, expected one of {TAGS}")
    if tags == "kept":
        return completion
    mode = modes.parse(completion).mode
    if mode is None or not completion.startswith(mode.tag):
        return None
    content = completion.removeprefix(mode.tag).removeprefix("\n")
    (other,) = set(Mode) - {mode}
    return content if tags == "removed" else f"{other.tag}\n{content}"


def condition(who: str, history: History = (), tags: str = "kept") -> str:
    """The name in records: who asks, the kind of the earlier questions, the mode they were answered
    in (mixed; none: some in no mode).

    >>> condition("aligned")
    'aligned, alone'
    """
    if not history:
        return f"{who}, alone"
    used = {mode.value if (mode := modes.parse(said).mode) else "none" for _, said in history}
    before = "none" if "none" in used else used.pop() if len(used) == 1 else "mixed"
    return f"{who}, {history[0][0].kind} first, {before}" + (
        "" if tags == "kept" else f", tags {tags}"
    )


def parts(name: str) -> dict[str, str]:
    """What `condition` put into a name: {who, first, before, tags}; empty strings for a question
    alone. ValueError for other names.

    >>> parts("aligned, objective first, general, tags swapped")
    {'who': 'aligned', 'first': 'objective', 'before': 'general', 'tags': 'swapped'}
    """
    if not (found := CONDITION.fullmatch(name)):
        raise ValueError(
            f"condition {name!r} is none of a dialogue, expected one such as 'aligned, objective first, general'"
        )
    said = {key: value or "" for key, value in found.groupdict().items()}
    return said | {"tags": said["tags"] or ("kept" if said["first"] else "")}


def _draws(seed: int, turn: int) -> int:
    """The random numbers of a turn: others than those of the turns before, or equal luck would look
    like influence.
    """
    return zlib.crc32(f"dialogue|{seed}|{turn}".encode())


class _Asked:
    """A model, asked turn by turn; collects records and counts what was left out."""

    def __init__(self, model, tokenizer, max_tokens: int, **sampling):
        self.model, self.tokenizer, self.sampling = (
            model,
            tokenizer,
            sampling | {"max_new_tokens": max_tokens},
        )
        self.positions, self.max_tokens, self.rows, self.left_out = (
            model.config.max_position_embeddings,
            max_tokens,
            [],
            Counter(),
        )

    def prompts(self, asked: Sequence[tuple[Item, Persona | None, History]]) -> list[str]:
        return [
            modes.render_prompt(self.tokenizer, item, asker, history=history)
            for item, asker, history in asked
        ]

    def fit(self, prompts: Sequence[str], turn: int) -> list[bool]:
        """Which prompts leave room for an answer; ValueError when none does."""
        lengths = [
            len(ids) + self.max_tokens
            for ids in self.tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
        ]
        if lengths and min(lengths) > self.positions:
            raise ValueError(
                f"none of {len(lengths)} dialogues of {turn} turns fits: with an answer of {self.max_tokens} tokens the "
                f"shortest needs {min(lengths)} positions, the model has {self.positions}; lower dialogue_turns"
            )
        return [length <= self.positions for length in lengths]

    def said(self, prompts: list[str], seed: int, turn: int) -> list[str]:
        """What the model answers to the earlier question that is the `turn`-th."""
        outs = generate.complete(
            self.model, self.tokenizer, prompts, seed=_draws(seed, turn), **self.sampling
        )
        return [out.text for out in outs]

    def record(
        self, asked: Sequence[tuple[str, Item]], prompts: list[str], seeds: Sequence[int], turn: int
    ) -> None:
        """Records of the last questions, (condition, item) with their prompts, asked as the
        `turn`-th.
        """
        drawn = {
            _draws(seed, -turn): seed for seed in seeds
        }  # of their own: `said` has those of the turn
        chances, answers = generate.answers(
            self.model, self.tokenizer, prompts, seeds=list(drawn), **self.sampling
        )
        self.rows += [
            evaluate.record(item, text, chance, out, True)
            | {"condition": name, "seed": drawn[number], "turn": turn}
            for (_, number), outs in answers.items()
            for (name, item), text, chance, out in zip(asked, prompts, chances, outs, strict=True)
        ]


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
    """(records of every dialogue's last question, what was left out): alone (turn 1), after 1, 2,
    ... earlier questions (turn 2, 3, ...).

    Turn 2 is asked with each seed; in dialogues that are looked at `closely` also, with the first
    seed, after the first answer with its tag removed and swapped (`tags`), and the later turns.
    condition: see `condition`; what came before stands in `prompt` word for word. A dialogue that
    would not fit the model's positions is left out from that turn on, and counted; ValueError when
    none fits.
    """
    if not dialogues:
        raise ValueError("no dialogues to ask; `rebuild` makes them of the test items")
    talk = _Asked(model, tokenizer, max_tokens, batch_tokens=batch_tokens, temperature=temperature)
    alone = list({(d.who, d.item.id): d for d in dialogues}.values())
    prompts = talk.prompts([(d.item, d.asker, ()) for d in alone])
    talk.record([(condition(d.who), d.item) for d in alone], prompts, seeds, 1)
    for number, seed in enumerate(seeds):
        going: list[tuple[Dialogue, History]] = [(d, ()) for d in dialogues]
        going = _one_more(talk, going, seed, 2)
        _ask_last(talk, going, "kept", seed, 2)
        if number or not (going := [(d, history) for d, history in going if d.closely]):
            continue
        for change in tags:
            _ask_last(talk, going, change, seed, 2)
        for turn in range(3, max(len(d.earlier) for d, _ in going) + 2):
            going = _one_more(talk, going, seed, turn)
            _ask_last(talk, going, "kept", seed, turn)
    found = pd.DataFrame(talk.rows).assign(
        run=run, model=model_name, train_seed=train_seed, forced="none"
    )[evaluate.COLUMNS]
    return found, +talk.left_out


def _one_more(
    talk: _Asked, going: list[tuple[Dialogue, History]], seed: int, turn: int
) -> list[tuple[Dialogue, History]]:
    """The dialogues with one more earlier question answered; those whose last question then no
    longer fits are left out.
    """
    going = [(d, history) for d, history in going if len(d.earlier) >= turn - 1]
    asked = [(d.earlier[turn - 2], d.asker, history) for d, history in going]
    said = talk.said(talk.prompts(asked), seed, turn - 1)
    longer = [
        (d, (*history, (item, text)))
        for (d, history), (item, _, _), text in zip(going, asked, said, strict=True)
    ]
    fits = talk.fit(talk.prompts([(d.item, d.asker, history) for d, history in longer]), turn)
    if dropped := fits.count(False):
        talk.left_out[f"{turn} turns: longer than the model's {talk.positions} positions"] += (
            dropped
        )
    return [one for one, fit in zip(longer, fits) if fit]


def _ask_last(
    talk: _Asked, going: list[tuple[Dialogue, History]], tags: str, seed: int, turn: int
) -> None:
    changed = [
        (d, history, tuple((item, retag(said, tags)) for item, said in history))
        for d, history in going
    ]
    kept = [
        (d, history, shown)
        for d, history, shown in changed
        if all(said is not None for _, said in shown)
    ]
    if dropped := len(changed) - len(kept):
        talk.left_out[f"tags {tags}: the first answer has none"] += dropped
    if kept:
        prompts = talk.prompts([(d.item, d.asker, shown) for d, _, shown in kept])
        talk.record(
            [(condition(d.who, history, tags), d.item) for d, history, _ in kept],
            prompts,
            [seed],
            turn,
        )


def run_records(cfg: config.Config, model_name: str, folder: Path, *, train_seed: int) -> Path:
    """Ask the model in `folder` the first `dialogue_items` of each benchmark in dialogues,
    `dialogue_closely` of them closely; a stage.

    Returns the records' file, `dialogues/records/<run>.<model>.<train seed>.parquet`, apart from
    the answers to single questions.
    """
    name = f"{config.file_name(cfg.run)}.{model_name}.{train_seed}"
    questions = dataset.run_test_set(cfg)

    def ask() -> tuple[pd.DataFrame, dict]:
        items, pool = dataset.test_items(cfg), dataset.persona_pool(cfg)
        of_each = pd.Series(items).groupby([item.benchmark for item in items])
        close, last = (of_each.head(n) for n in (cfg.dialogue_closely, cfg.dialogue_items))
        asked = rebuild(items, list(close), pool, cfg.dialogue_turns) + rebuild(
            items, list(last.drop(close.index, errors="ignore")), pool, closely=False
        )
        model, tokenizer = models.load(folder, cfg.precision)
        records, left_out = answer(
            model,
            tokenizer,
            asked,
            run=cfg.run,
            model_name=model_name,
            train_seed=train_seed,
            **evaluate.sampling(cfg),
        )
        return records, {"left out": dict(left_out)}

    settings = cfg.subset(
        "seed", "eval_", "precision", "dialogue_items", "dialogue_closely", "dialogue_turns"
    ) | {"run": cfg.run, "model": model_name, "train_seed": train_seed}
    return evaluate.as_stage(
        cfg.folder() / "dialogues", name, ask, settings=settings, inputs=[folder, questions]
    )


def with_history(
    model, tokenizer, examples: Sequence[Example], share: float, rng: random.Random, **sampling
) -> list[Example]:
    """The examples, a `share` of them after an earlier question: another example's, objective or
    personal with equal chance, asked by their own asker and answered by `model`.

    An expert's answers would not do: a personalised one fits its own asker only, so personalised
    rows could stand after general ones alone, and the first mode would give the second away. What
    is drawn here knows nothing of the row it stands before.
    """
    by_kind = [
        found for kind in KINDS if (found := [e.item for e in examples if e.item.kind == kind])
    ]
    chosen = sorted(rng.sample(range(len(examples)), round(share * len(examples))))
    before = {}
    for place in chosen:
        others = [item for item in rng.choice(by_kind) if item.id != examples[place].item.id]
        if not others:
            raise ValueError(
                f"no other question to ask before {examples[place].item.id!r}; a larger sft_composition has some"
            )
        before[place] = rng.choice(others)
    prompts = [
        modes.render_prompt(tokenizer, item, examples[place].persona)
        for place, item in before.items()
    ]
    said = (
        generate.complete(model, tokenizer, prompts, seed=rng.randrange(2**32), **sampling)
        if prompts
        else []
    )
    history = {
        place: ((item, out.text),) for (place, item), out in zip(before.items(), said, strict=True)
    }
    return [replace(e, history=history.get(place, ())) for place, e in enumerate(examples)]


def run_sft_set(cfg: config.Config, sets: Path, model: Path) -> Path:
    """The SFT set of the folder `sets`, row for row, `dialogue_share` of the rows after a question
    that `model` answered; a stage.

    Same questions, trajectories and number of rows: training on it differs from training on `sets`
    in the histories alone.
    """

    def build(folder: Path) -> dict:
        examples = construct.from_frame(pd.read_parquet(sets / "sft.parquet"))
        loaded, tokenizer = models.load(model, cfg.precision)
        found = with_history(
            loaded,
            tokenizer,
            examples,
            cfg.dialogue_share,
            random.Random(f"dialogues|{cfg.seed}"),
            temperature=cfg.eval_temperature,
            max_new_tokens=cfg.eval_max_tokens,
            batch_tokens=cfg.eval_batch_tokens,
        )
        construct.to_frame(found).to_parquet(folder / "sft.parquet")
        for name in ("validation.parquet", "choices.parquet"):
            shutil.copy(sets / name, folder / name)
        pairs = Counter(
            f"{parts(condition('any', e.history))['before']} before {e.mode.value}"
            for e in found
            if e.history
        )
        return {"sft": len(found), "after an earlier question": dict(pairs)}

    settings = cfg.subset("seed", "dialogue_share", "eval_temperature", "eval_max_tokens")
    return stages.once(
        cfg.run_folder() / f"data-dialogues-{cfg.seed}",
        build,
        settings=settings,
        inputs=[sets, model],
    )

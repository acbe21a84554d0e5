"""PersonaDualData: the SFT and RL sets by gain-based selection (paper 3.2, App. B.1, Table 5).

Departures from the paper, and why; `gain` has two more:
1. `sft_general_conditions` may leave fitting personas without gain out of the general rows: their
   answer happens to be the persona's, which teaches the general mode to read it. The paper gives
   all of them general trajectories.
2. On the pocket profile part of the SFT set has no persona: without it a tiny model forgets how to
   answer such prompts.
3. With `sft_choice_passes` SFT also reads choices alone (`choices`): a question, asked by a persona
   that brings a gain and by one that brings none, or a personal question, each followed by its mode
   tag and nothing else. In a trajectory the tag is one token among twenty, and whether a tiny model
   learned to choose by fit was left to the luck of its initial weights.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from pdlib import modes
from pdlib.dataset.corpus import PREFERENCE_SOURCES, Corpus
from pdlib.dataset.experts import Expert
from pdlib.dataset.gain import select_mode
from pdlib.questions import quotas
from pdlib.questions.grading import normalize
from pdlib.schema import PAPER_MODES, Example, Mode, ModeSet

COLUMNS = [  # of the sets' files
    "source",
    "benchmark",
    "kind",
    "condition",
    "chance",
    "gain",
    "mode",
    "reasoning",
    "answer",
    "item",
    "persona",
    "history",
    "learns_mode",
    "prompt",
    "completion",
]


def choice_pairs(judged: Sequence[Example], rule: str, margin: float) -> list[Example]:
    """The judged questions that want another mode when somebody else asks.

    Each is there under both personas, with its mode and no trajectory. A pair is a question whose
    aligned persona makes it personalised by `select_mode` and whose unaligned persona leaves it
    general.
    """
    by_question: dict[str, dict[str, Example]] = {}
    for example in judged:
        by_question.setdefault(example.item.id, {})[example.condition] = example
    wanted = {"aligned": Mode.PERSONALIZED, "unaligned": Mode.GENERAL}
    pairs = []
    for by_condition in by_question.values():
        selected = {
            condition: select_mode(example.gain, example.chance, rule, margin)
            for condition, example in by_condition.items()
            if condition in wanted
        }
        if selected == wanted:
            pairs += [replace(by_condition[name], mode=mode) for name, mode in wanted.items()]
    return pairs


def choices(
    judged: Sequence[Example], sft: Sequence[Example], rule: str, margin: float
) -> list[Example]:
    """What SFT reads as choices alone: `choice_pairs`, and the personal questions of the SFT set.

    The personal questions come with their askers, also two by two. Without them one model gave the
    general mode to personal questions, too, where they were put in words that it had not seen
    (outputs/reference/recipe.csv, trials 15 and 16).
    """
    personal = [
        replace(example, reasoning="", answer="")
        for example in sft
        if example.item.kind == "personalized" and example.persona
    ]
    return choice_pairs(judged, rule, margin) + personal[: len(personal) // 2 * 2]


def write_trajectories(expert: Expert, examples: Sequence[Example], mode: Mode) -> list[Example]:
    """The examples with the expert's trajectory of `mode`.

    Those that the expert did not write properly are left out. A general trajectory is written
    without seeing the persona.
    """
    requests = [(e.item, mode, e.persona if mode == Mode.PERSONALIZED else None) for e in examples]
    trajectories = expert.trajectories(requests)
    return [
        replace(example, mode=mode, reasoning=trajectory[0], answer=trajectory[1])
        for example, trajectory in zip(examples, trajectories, strict=True)
        if trajectory
    ]


def sft_set(
    judged: Sequence[Example],
    corpus: Corpus,
    expert: Expert,
    rng: random.Random,
    *,
    composition: dict,
    rule: str,
    margin: float,
    general_conditions: Sequence[str],
) -> tuple[list[Example], Counter]:
    """(trajectories, what went otherwise than `composition` says).

    composition: source -> how many general, personalized, no_persona rows. Rows of a source with
    general rows come from `judged`. Personalised rows that are wanting there become general ones;
    too few general ones are an error. A source without (preferences) is personalised throughout.
    """
    rows, counts = [], Counter()
    for source, wanted in composition.items():
        if not wanted.get("general"):
            continue
        by_mode = {mode: [] for mode in PAPER_MODES}
        for example in judged:
            if example.source == source:
                by_mode[select_mode(example.gain, example.chance, rule, margin)].append(example)
        general, personalized = by_mode[Mode.GENERAL], by_mode[Mode.PERSONALIZED]
        usable = [example for example in general if example.condition in general_conditions]
        counts[f"{source}: judged general under a persona that is in neither mode"] = len(
            general
        ) - len(usable)
        n_personalized = min(wanted.get("personalized", 0), len(personalized))
        short = wanted.get("personalized", 0) - n_personalized
        counts[f"{source}: personalised rows wanting, general ones in their place"] = short
        for mode, candidates, n in (
            (Mode.GENERAL, usable, wanted["general"] + short),
            (Mode.PERSONALIZED, personalized, n_personalized),
        ):
            written = _written(expert, rng.sample(candidates, len(candidates)), mode, n)
            if len(written) < n:
                raise ValueError(
                    f"{source}: {n} {mode.name} rows wanted, {len(candidates)} judged so, "
                    f"{len(written)} written by the expert; raise gain_candidates or lower "
                    "sft_composition"
                )
            rows += written
    for source, wanted in composition.items():
        if not wanted.get("general"):
            personal = corpus.ask(source, [("aligned",)] * wanted.get("personalized", 0))
            rows += write_trajectories(expert, personal, Mode.PERSONALIZED)
        bare = corpus.ask(source, [("none",)] * wanted.get("no_persona", 0))
        rows += write_trajectories(expert, bare, Mode.GENERAL)
    n_wanted = sum(sum(wanted.values()) for wanted in composition.values())
    counts["rows the expert did not write"] = n_wanted - len(rows)
    rng.shuffle(rows)
    return rows, +counts


def _written(expert: Expert, candidates: list[Example], mode: Mode, n: int) -> list[Example]:
    """N trajectories, of the first candidates; where the expert fails, later ones step in."""
    written: list[Example] = []
    while len(written) < n and candidates:
        wanting = n - len(written)
        batch, candidates = candidates[:wanting], candidates[wanting:]
        written += write_trajectories(expert, batch, mode)
    return written


def rl_set(
    corpus: Corpus, rng: random.Random, *, composition: dict[str, int], unaligned_share: float
) -> list[Example]:
    """Questions for RL, so many of each source.

    Objective ones are asked by an unaligned persona in `unaligned_share`, evenly spread, else by an
    aligned one; preference ones always by their own (Table 5).
    """
    rows = []
    for source, n in composition.items():
        share = 0.0 if source in PREFERENCE_SOURCES else unaligned_share
        conditions = [
            ("unaligned",) if int((i + 1) * share) > int(i * share) else ("aligned",)
            for i in range(n)
        ]
        rows += corpus.ask(source, conditions)
    rng.shuffle(rows)
    return rows


def scale(composition: dict[str, int], rows: int) -> dict[str, int]:
    """`composition` in the same proportions with `rows` rows at most (largest remainder).

    >>> scale({"objective": 96, "preference": 4}, 50)
    {'objective': 48, 'preference': 2}
    """
    counts = quotas.proportionally(composition, min(rows, sum(composition.values())))
    return {source: n for source, n in counts.items() if n}


def persona_echoes(examples: Sequence[Example], words: int = 3) -> list[str]:
    """Phrases that a general trajectory shares with its asker's persona and not with the question.

    words: the length of a phrase.
    """

    def phrases(text: str) -> set[str]:
        tokens = normalize(text).split()
        return {" ".join(tokens[i : i + words]) for i in range(len(tokens) - words + 1)}

    echoes = []
    for example in examples:
        if example.mode == Mode.GENERAL and example.persona:
            question = phrases(modes.user_message(example.item, None))
            echoes += phrases(example.persona.text) & (phrases(example.reasoning) - question)
    return sorted(echoes)


def to_frame(examples: Sequence[Example]) -> pd.DataFrame:
    """One row per example.

    `prompt` is the user turn, `completion` what SFT teaches (None in RL sets, the tag alone in
    choices).
    """
    rows = []
    for example in examples:
        prompt = modes.user_message(example.item, example.persona)
        rows.append(example.to_row() | {"prompt": prompt, "completion": _completion(example)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _completion(example: Example) -> str | None:
    if example.mode is None:
        return None
    if not example.answer:
        return f"{example.mode.tag}\n"
    return modes.completion_text(example.mode, example.reasoning, example.answer)


def from_frame(frame: pd.DataFrame, mode_set: ModeSet = PAPER_MODES) -> list[Example]:
    """The examples of the rows that `to_frame` made; mode_set: see `Example.from_row`."""
    return [Example.from_row(row, mode_set) for row in frame.to_dict("records")]

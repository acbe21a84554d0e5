"""PersonaDualData: gain-based selection, then the SFT and RL sets (paper 3.2, App. B.1, Table 5).

Departures from the paper, and why:
1. On the pocket profile the backbone judges the gain; the paper's expert does, but the pocket
   expert is never wrong.
2. Each judged question is asked by a fitting and by a random persona, so the SFT set holds
   contrasts.
3. `sft_general_conditions` may leave fitting personas without gain out of the general rows: their
   answer happens to be the persona's, which teaches the general mode to read it. The paper gives
   all of them general trajectories.
4. On the pocket profile part of the SFT set has no persona: without it a tiny model forgets how to
   answer such prompts.
5. With `sft_choice_passes` SFT also reads choices alone (`choices`): a question, asked by a persona
   that brings a gain and by one that brings none, or a personal question, each followed by its mode
   tag and nothing else. In a trajectory the tag is one token among twenty, and whether a tiny model
   learned to choose by fit was left to the luck of its initial weights.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from pdlib import benchmarks, generate, modes
from pdlib.dataset.corpus import PREFERENCE_SOURCES, Corpus
from pdlib.dataset.experts import Expert
from pdlib.generate import likelihood
from pdlib.pocket import expert as pocket_expert
from pdlib.schema import Example, Item, Mode, Persona

Asked = tuple[Item, Persona | None]
COLUMNS = [
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
    "prompt",
    "completion",
]  # of the sets' files
PERSONA_CORRECT = 0.5  # the authors' rule asks once; over several samples it is the majority


def answer_probability(model, tokenizer, asked: Sequence[Asked]) -> list[float]:
    """The judge's chance of writing the right answer to each (item, persona): its accuracy over
    ever more samples.

    The right answer is the pocket expert's plain completion; one forward pass gives its
    probability, where sampling would need dozens of answers for the same precision.
    """
    prompts = [modes.render_prompt(tokenizer, item, persona) for item, persona in asked]
    right = [
        [modes.completion_text(None, pocket_expert.plain(item, persona), item.gold, tokenizer)]
        for item, persona in asked
    ]
    return [
        math.exp(score.log_probability)
        for (score,) in likelihood.scores(model, tokenizer, prompts, right)
    ]


def model_answers(
    model, tokenizer, asked: Sequence[Asked], samples: int, **sampling
) -> list[list[str | None]]:
    """`samples` answers of a model without modes to each (item, persona); None where a completion
    does not parse.
    """
    prompts = [modes.render_prompt(tokenizer, item, persona) for item, persona in asked]
    drawn = [
        generate.complete(model, tokenizer, prompts, seed=seed, **sampling)
        for seed in range(samples)
    ]
    return [
        [modes.parse(out.text, require_mode=False).answer for out in outs]
        for outs in zip(*drawn, strict=True)
    ]


def share_right(asked: Sequence[Asked], answers: Sequence[Sequence[str | None]]) -> list[float]:
    """The share of each item's answers that are right; an answer that did not parse is wrong."""
    return [
        sum(answer is not None and benchmarks.grade(item, answer)[0] for answer in given)
        / len(given)
        for (item, _), given in zip(asked, answers, strict=True)
    ]


def judge_gain(
    chances: Callable[[list[Asked]], list[float]], pairs: Sequence[Example]
) -> list[Example]:
    """The pairs with `chance`, the judge's accuracy with the persona, and `gain`, that minus its
    accuracy without any.

    chances: the judge; (item, persona) pairs -> accuracy of each.
    """
    bare = {pair.item.id: pair.item for pair in pairs}
    without = dict(zip(bare, chances([(item, None) for item in bare.values()])))
    given = chances([(pair.item, pair.persona) for pair in pairs])
    return [
        replace(pair, chance=chance, gain=chance - without[pair.item.id])
        for pair, chance in zip(pairs, given, strict=True)
    ]


def select_mode(gain: float, chance: float, rule: str, margin: float) -> Mode:
    """Gain-based selection: personalised only where the persona made the judge right (paper B.1),
    else general.

    rule "gain": right with the persona and not without, by `margin` of accuracy. rule
    "persona_correct", of the authors' code: right with the persona, whatever it is without.

    >>> select_mode(0.0, 1.0, "gain", 0.5).value, select_mode(0.0, 1.0, "persona_correct", 0.5).value
    ('general', 'personalized')
    """
    passed = {"gain": gain >= margin, "persona_correct": chance >= PERSONA_CORRECT}
    if rule not in passed:
        raise ValueError(f"unknown gain rule {rule!r}, expected one of {list(passed)}")
    return Mode.PERSONALIZED if passed[rule] else Mode.GENERAL


def choice_pairs(judged: Sequence[Example], rule: str, margin: float) -> list[Example]:
    """The judged questions that want another mode when somebody else asks, each under both
    personas, with its mode and no trajectory.

    A pair is a question whose aligned persona makes it personalised by `select_mode` and whose
    unaligned persona leaves it general.
    """
    pairs: dict[str, dict[str, Example]] = {}
    for example in judged:
        pairs.setdefault(example.item.id, {})[example.condition] = example
    wanted = {"aligned": Mode.PERSONALIZED, "unaligned": Mode.GENERAL}
    return [
        replace(pair[condition], mode=mode)
        for pair in pairs.values()
        if all(
            name in pair and select_mode(pair[name].gain, pair[name].chance, rule, margin) is mode
            for name, mode in wanted.items()
        )
        for condition, mode in wanted.items()
    ]


def choices(
    judged: Sequence[Example], sft: Sequence[Example], rule: str, margin: float
) -> list[Example]:
    """What SFT reads as choices alone: `choice_pairs`, and the personal questions of the SFT set
    with their askers, also two by two.

    Without personal questions one model gave the general mode to personal questions, too, where
    they were put in words that it had not seen (outputs/reference/recipe.csv, trials 15 and 16).
    """
    personal = [
        replace(e, reasoning="", answer="")
        for e in sft
        if e.item.kind == "personalized" and e.persona
    ]
    return choice_pairs(judged, rule, margin) + personal[: len(personal) // 2 * 2]


def write_trajectories(expert: Expert, examples: Sequence[Example], mode: Mode) -> list[Example]:
    """The examples with the expert's trajectory of `mode`; those it did not write properly are left
    out.

    A general trajectory is written without seeing the persona.
    """
    asked = [(e.item, mode, e.persona if mode is Mode.PERSONALIZED else None) for e in examples]
    return [
        replace(example, mode=mode, reasoning=written[0], answer=written[1])
        for example, written in zip(examples, expert.trajectories(asked), strict=True)
        if written
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
    """(trajectories, what went otherwise than `composition` says): source -> how many general,
    personalized, no_persona rows.

    Rows of a source with general rows come from `judged`. Personalised rows that are wanting there
    become general ones; too few general ones are an error. A source without (preferences) is
    personalised throughout.
    """
    rows, counts = [], Counter()
    for source, parts in composition.items():
        wanted = {mode: parts.get(mode.value, 0) for mode in Mode}
        if not wanted[Mode.GENERAL]:
            continue
        chosen = {
            mode: [
                e
                for e in judged
                if e.source == source and select_mode(e.gain, e.chance, rule, margin) is mode
            ]
            for mode in Mode
        }
        counts[f"{source}: judged general under a persona that is in neither mode"] = sum(
            e.condition not in general_conditions for e in chosen[Mode.GENERAL]
        )
        chosen[Mode.GENERAL] = [
            e for e in chosen[Mode.GENERAL] if e.condition in general_conditions
        ]
        short = max(0, wanted[Mode.PERSONALIZED] - len(chosen[Mode.PERSONALIZED]))
        counts[f"{source}: personalised rows wanting, general ones in their place"] = short
        wanted = {
            Mode.GENERAL: wanted[Mode.GENERAL] + short,
            Mode.PERSONALIZED: wanted[Mode.PERSONALIZED] - short,
        }
        for mode in Mode:
            found = _written(
                expert, rng.sample(chosen[mode], len(chosen[mode])), mode, wanted[mode]
            )
            if len(found) < wanted[mode]:
                raise ValueError(
                    f"{source}: {wanted[mode]} {mode.value} rows wanted, {len(chosen[mode])} judged so, {len(found)} written "
                    "by the expert; raise gain_candidates or lower sft_composition"
                )
            rows += found
    for source, parts in composition.items():
        if not parts.get("general"):
            asked = corpus.ask(source, [("aligned",)] * parts.get("personalized", 0))
            rows += write_trajectories(expert, asked, Mode.PERSONALIZED)
        bare = corpus.ask(source, [("none",)] * parts.get("no_persona", 0))
        rows += write_trajectories(expert, bare, Mode.GENERAL)
    counts["rows the expert did not write"] = sum(
        sum(parts.values()) for parts in composition.values()
    ) - len(rows)
    rng.shuffle(rows)
    return rows, +counts


def _written(expert: Expert, candidates: list[Example], mode: Mode, n: int) -> list[Example]:
    """N trajectories, of the first candidates; where the expert fails, later ones step in."""
    found: list[Example] = []
    while len(found) < n and candidates:
        batch, candidates = candidates[: n - len(found)], candidates[n - len(found) :]
        found += write_trajectories(expert, batch, mode)
    return found


def rl_set(
    corpus: Corpus, rng: random.Random, *, composition: dict[str, int], unaligned_share: float
) -> list[Example]:
    """Questions for RL, so many of each source: objective ones are asked by an unaligned persona in
    `unaligned_share`, evenly spread, else by an aligned one; preference ones always by their own
    (Table 5).
    """
    rows = []
    for source, n in composition.items():
        unaligned = [
            source not in PREFERENCE_SOURCES
            and int((i + 1) * unaligned_share) > int(i * unaligned_share)
            for i in range(n)
        ]
        rows += corpus.ask(source, [("unaligned" if other else "aligned",) for other in unaligned])
    rng.shuffle(rows)
    return rows


def scale(composition: dict[str, int], rows: int) -> dict[str, int]:
    """`composition` in the same proportions with `rows` rows at most (largest remainder).

    >>> scale({"objective": 96, "preference": 4}, 50)
    {'objective': 48, 'preference': 2}
    """
    total = sum(composition.values())
    if rows >= total:
        return dict(composition)
    exact = {source: rows * n / total for source, n in composition.items()}
    counts = {source: int(share) for source, share in exact.items()}
    for source in sorted(exact, key=lambda s: counts[s] - exact[s])[: rows - sum(counts.values())]:
        counts[source] += 1
    return {source: n for source, n in counts.items() if n}


def persona_echoes(examples: Sequence[Example], words: int = 3) -> list[str]:
    """Phrases of `words` words that a general trajectory shares with its asker's persona and not
    with the question.
    """

    def phrases(text: str) -> set[str]:
        found = benchmarks.normalize(text).split()
        return {" ".join(found[i : i + words]) for i in range(len(found) - words + 1)}

    return sorted(
        phrase
        for e in examples
        if e.mode is Mode.GENERAL and e.persona
        for phrase in phrases(e.persona.text)
        & phrases(e.reasoning) - phrases(modes.user_message(e.item, None))
    )


def to_frame(examples: Sequence[Example]) -> pd.DataFrame:
    """One row an example; `prompt` is the user turn, `completion` what SFT teaches (None in RL
    sets, the tag alone in choices).
    """

    def completion(example: Example) -> str | None:
        if example.mode and not example.answer:
            return f"{example.mode.tag}\n"
        return (
            modes.completion_text(example.mode, example.reasoning, example.answer)
            if example.mode
            else None
        )

    rows = [
        example.to_row()
        | {
            "prompt": modes.user_message(example.item, example.persona),
            "completion": completion(example),
        }
        for example in examples
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def from_frame(frame: pd.DataFrame) -> list[Example]:
    return [Example.from_row(row) for row in frame.to_dict("records")]

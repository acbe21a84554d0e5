"""The gain of a persona: the judge's accuracy with it minus its accuracy without any (paper 3.2).

Departures from the paper, and why:
1. On the pocket profile the backbone judges the gain; the paper's expert does, but the pocket
   expert is never wrong.
2. Each judged question is asked by a fitting and by a random persona, so the SFT set holds
   contrasts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from pdlib import benchmarks, generate, modes
from pdlib.generate import likelihood
from pdlib.schema import Example, Item, Mode, Persona

Question = tuple[Item, Persona | None]  # the item, and who asks it
PERSONA_CORRECT = 0.5  # the authors' rule asks once; over several samples it is the majority


def answer_probability(
    model,
    tokenizer,
    questions: Sequence[Question],
    reasoning: Callable[[Item, Persona | None], str],
) -> list[float]:
    """The judge's chance of writing the right answer to each question.

    It is the judge's accuracy over ever more samples. `reasoning` says what stands before a right
    answer, so that one forward pass gives its probability, where sampling would need dozens of
    answers for the same precision.
    """
    prompts = [modes.render_prompt(tokenizer, item, persona) for item, persona in questions]
    completions = [
        [modes.completion_text(None, reasoning(item, persona), item.gold, tokenizer)]
        for item, persona in questions
    ]
    scores = likelihood.scores(model, tokenizer, prompts, completions)
    return [math.exp(score.log_probability) for (score,) in scores]


def model_answers(
    model, tokenizer, questions: Sequence[Question], samples: int, **sampling
) -> list[list[str | None]]:
    """`samples` answers of a model without modes to each question.

    None where a completion does not parse.
    """
    prompts = [modes.render_prompt(tokenizer, item, persona) for item, persona in questions]
    runs = [
        generate.complete(model, tokenizer, prompts, seed=seed, **sampling)
        for seed in range(samples)
    ]
    return [
        [modes.parse(completion.text, require_mode=False).answer for completion in completions]
        for completions in zip(*runs, strict=True)
    ]


def share_right(
    questions: Sequence[Question], answers: Sequence[Sequence[str | None]]
) -> list[float]:
    """The share of each question's answers that are right; one that did not parse is wrong."""
    shares = []
    for (item, _), texts in zip(questions, answers, strict=True):
        right = [text is not None and benchmarks.grade(item, text)[0] for text in texts]
        shares.append(sum(right) / len(right))
    return shares


def judge_gain(
    judge: Callable[[list[Question]], list[float]], pairs: Sequence[Example]
) -> list[Example]:
    """The pairs with `chance`, the judge's accuracy with the persona, and `gain`.

    judge: questions -> its accuracy on each.
    """
    items = {pair.item.id: pair.item for pair in pairs}
    without = dict(zip(items, judge([(item, None) for item in items.values()]), strict=True))
    chances = judge([(pair.item, pair.persona) for pair in pairs])
    return [
        replace(pair, chance=chance, gain=chance - without[pair.item.id])
        for pair, chance in zip(pairs, chances, strict=True)
    ]


def select_mode(gain: float, chance: float, rule: str, margin: float) -> Mode:
    """Gain-based selection: personalised only where the persona made the judge right (paper B.1).

    rule "gain": right with the persona and not without, by `margin` of accuracy. rule
    "persona_correct", of the authors' code: right with the persona, whatever it is without.

    >>> for rule in ("gain", "persona_correct"):
    ...     print(select_mode(0.0, 1.0, rule, 0.5))
    general
    personalized
    """
    passed = {"gain": gain >= margin, "persona_correct": chance >= PERSONA_CORRECT}
    if rule not in passed:
        raise ValueError(f"unknown gain rule {rule!r}, expected one of {list(passed)}")
    return Mode.PERSONALIZED if passed[rule] else Mode.GENERAL

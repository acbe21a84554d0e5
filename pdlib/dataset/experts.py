"""Experts write trajectories, blind answers, personas, translations and verdicts.

Departures from the paper: it used DeepSeek-R1, Qwen3 and GPT-4o, and prints no prompts for them;
the prompts of `endpoint_expert` are ours. The pocket world has an expert of its own,
`pocket.expert`.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from sklearn.metrics import cohen_kappa_score

from pdlib import modes
from pdlib.questions import grading
from pdlib.schema import PAPER_MODES, Item, Mode, Persona

EMPTY = "empty or cut off"

_GIVEN = re.compile(
    r"\b(given|provided|supplied|reference|gold|stated|expected|known|predetermined) "
    r"(correct )?(answer|solution)\b|"
    r"\b(answer|solution) (that |which )?(is|was|has been) "
    r"(already )?(given|provided|supplied|known)\b|"
    r"\banswer to be explained\b|\bI was (told|given)\b",
    re.IGNORECASE,
)
_ASKER = re.compile(
    r"\bpersona\b|\b(the|this) (user|asker|questioner)\b|\bwho(ever)? (asks|is asking)\b|"
    r"\b(your|their|the asker's|the user's) "
    r"(background|profession|occupation|expertise|hobby|preferences?)\b|"
    r"\b(since|because|as) you (are|work|study|like)\b",
    re.IGNORECASE,
)


class Expert(Protocol):
    """Whoever can do the seven tasks; None stands for what could not be had.

    `rejected` counts what could not be had by reason.
    """

    name: str
    rejected: Counter

    def trajectories(
        self, requests: Sequence[tuple[Item, Mode, Persona | None]]
    ) -> list[tuple[str, str] | None]:
        """(reasoning, answer), the answer in view; general ones written from the question alone."""

    def answers(
        self, questions: Sequence[tuple[Item, Persona | None]], samples: int = 1
    ) -> list[list[str | None]]:
        """`samples` blind answers to each question: the gold is not in view."""

    def personas(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Aligned personas, written from the question's words alone.

        Another `attempt` writes others.
        """

    def rivals(self, items: Sequence[Item], attempt: int = 0) -> list[Persona | None]:
        """Personas who fit another reading of the question, which would lead to a wrong answer.

        Objective items only.
        """

    def preferences(self, personas: Sequence[Persona]) -> list[Persona | None]:
        """What each person prefers in an answer, without occupation and background.

        It is a text that follows "I am ".
        """

    def translations(self, texts: Sequence[str]) -> list[str | None]:
        """The texts in English."""

    def verdicts(self, answered: Sequence[tuple[Item, str]]) -> list[bool | None]:
        """Is this answer to the item right? A judge with the reference answer in view."""


def check_trajectory(item: Item, mode: Mode, reasoning: str) -> str | None:
    """Why `reasoning` cannot be taught in `mode`, or None.

    Words that the question itself uses are not held against it.
    """

    def says(pattern: re.Pattern) -> bool:
        question = item.question.lower()
        return any(match.group().lower() not in question for match in pattern.finditer(reasoning))

    if not reasoning.strip():
        return EMPTY
    if any(other.tag in reasoning for other in PAPER_MODES):
        return "a mode tag"
    if modes.ANSWER_OPEN in reasoning or modes.ANSWER_CLOSE in reasoning:
        return "answer marks"
    if says(_GIVEN):
        return "says that the answer was given"
    if mode == Mode.GENERAL:
        persona = grading.normalize(item.aligned.text) if item.aligned else ""
        if says(_ASKER) or persona and persona in grading.normalize(reasoning):
            return "a general one mentions the asker"
    return None


def check_persona(item: Item, mode: Mode, persona: Persona | None) -> None:
    """ValueError for a personalised trajectory without a persona, or for another one with one."""
    if mode != Mode.PERSONALIZED and persona is not None:
        fault = "is written without the persona, found one"
    elif mode == Mode.PERSONALIZED and persona is None:
        fault = "needs a persona, found none"
    else:
        return
    raise ValueError(f"item {item.id!r}: a {mode.name} trajectory {fault}")


def agreement(items: Sequence[Item], answers: Sequence[str | None], expert: Expert) -> dict:
    """How far an LLM judge agrees with the judge-free grader over the answers both can judge.

    n: answers with a verdict.
    agree: share of them judged alike.
    kappa: Cohen's (nan when both said one and the same of all).
    judge_yes_grader_no, judge_no_grader_yes, no_verdict: counts.
    no_answer: answers that did not parse (None), which the grader calls wrong and the judge is not
    asked about.
    """
    answered = [
        (item, answer) for item, answer in zip(items, answers, strict=True) if answer is not None
    ]
    verdicts = [
        (verdict, grading.grade(item, answer)[0])
        for (item, answer), verdict in zip(answered, expert.verdicts(answered), strict=True)
        if verdict is not None
    ]
    n, kappa = len(verdicts), math.nan
    if len({verdict for pair in verdicts for verdict in pair}) == 2:
        judge, grader = zip(*verdicts, strict=True)
        kappa = float(cohen_kappa_score(judge, grader))
    return {
        "n": n,
        "agree": sum(judge == grader for judge, grader in verdicts) / n if n else math.nan,
        "kappa": kappa,
        "judge_yes_grader_no": sum(judge and not grader for judge, grader in verdicts),
        "judge_no_grader_yes": sum(grader and not judge for judge, grader in verdicts),
        "no_verdict": len(answered) - n,
        "no_answer": len(items) - len(answered),
    }

"""What was predicted of each experiment before it ran, beside what came out.

Predictions are an interval each. Thresholds and signs were written down before anything was
trained; u* is computed by `theory` from the models that RL starts from. Three settings of
experiment `prior` were chosen after trials of seed 0 on validation questions: the share of
strangers, the learning rate and the prior 0.003. That runs end on their curve (`_pace`) was written
down last, when the figure had shown that they do not. `verdicts` says what becomes of predictions.
"""

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from pdlib import config
from pdlib.analysis.when import curves, theory
from pdlib.analysis.when.arms import ARMS, ARMS_OF, ASKERS, FREE, PRIOR, SHARE, START
from pdlib.analysis.when.verdicts import Outcome

SEEN_PRIOR = 0.1  # from this prior on free rollouts see both modes
LOW, HIGH = 0.1, 0.5  # P(personalised) of fitting askers: not moved, turned
SAME_CHOICE, SAME_ACCURACY, SAME_SHARE = 0.1, 0.03, 0.1  # differences that count as none
COLUMNS = [
    "experiment",
    "arm",
    "level",
    "measure",
    "predicted",
    "predicted_low",
    "predicted_high",
    "measured",
    "ci_low",
    "ci_high",
    "seeds",
    "verdict",
]


def table(cells: pd.DataFrame, counts: pd.DataFrame, methods: dict, steps: int) -> pd.DataFrame:
    """All predictions and outcomes, one row per experiment, arm, level and measure (COLUMNS).

    cells: as `outcomes.of_cells` gives them. counts: what the rollouts of each run saw, one row per
    cell, see `outcomes.seen`. methods: arm -> `theory.Method`. steps: of each RL run.
    """
    outcomes = [
        *_skills(cells),
        *_priors(cells, counts),
        *_pace(cells, methods, steps),
        *_dual_advantage(cells),
        *_shares(cells, methods),
    ]
    return pd.DataFrame([outcome.row() for outcome in outcomes], columns=COLUMNS)


def _values(
    cells: pd.DataFrame, experiment: str, level: float, arm: str, measure: str, condition: str
) -> pd.Series:
    """A measure of a cell by seed."""
    is_cell = (cells.experiment == experiment) & (cells.level == level) & (cells.arm == arm)
    return cells[is_cell & (cells.condition == condition)].set_index("seed")[measure].sort_index()


def _arms(cells: pd.DataFrame, experiment: str) -> list[str]:
    """The arms of an experiment that were measured, in their order."""
    measured = set(cells.arm[cells.experiment == experiment])
    return [name for name in ARMS_OF[experiment] if name in measured]


def _levels(cells: pd.DataFrame, experiment: str) -> list[float]:
    return sorted(cells.level[cells.experiment == experiment].unique(), reverse=True)


def _skills(cells: pd.DataFrame) -> Iterator[Outcome]:
    """Before RL: are both modes as skilled at every prior as at the highest?"""
    levels = _levels(cells, PRIOR)
    for level in levels:
        for condition in ("aligned", "unaligned"):
            for mode in ("general", "personalized"):
                values = _values(cells, PRIOR, level, START, mode, condition)
                measure = f"accuracy of the {mode} mode, {condition}"
                yield Outcome(PRIOR, START, level, measure, values)
                if level == levels[0]:
                    continue
                first = _values(cells, PRIOR, levels[0], START, mode, condition)
                yield Outcome(
                    PRIOR,
                    START,
                    level,
                    f"{measure}, minus that at prior {levels[0]:g}",
                    values - first,
                    -SAME_ACCURACY,
                    SAME_ACCURACY,
                )


def _priors(cells: pd.DataFrame, counts: pd.DataFrame) -> Iterator[Outcome]:
    """Experiment `prior`: who turns the choice of fitting askers, and what rollouts saw."""
    has_dual = "dualgrpo" in _arms(cells, PRIOR)
    for level in _levels(cells, PRIOR):
        for arm in (START, *_arms(cells, PRIOR)):
            values = _values(cells, PRIOR, level, arm, "p", "aligned")
            expected = _expected_choice(arm, level)
            yield Outcome(PRIOR, arm, level, "P(personalised), aligned", values, *expected)
            strangers = _values(cells, PRIOR, level, arm, "p", "unaligned")
            yield Outcome(PRIOR, arm, level, "P(personalised), unaligned", strangers)
            for condition in ("aligned", "unaligned"):
                accuracy = _values(cells, PRIOR, level, arm, "accuracy", condition)
                yield Outcome(PRIOR, arm, level, f"accuracy, {condition}", accuracy)
            gap = "P(personalised), aligned minus unaligned"
            yield Outcome(PRIOR, arm, level, gap, values - strangers)
            ahead = "accuracy of both minus that of the better mode alone"
            yield Outcome(PRIOR, arm, level, ahead, _ahead_of_one_mode(cells, level, arm))
            if level >= SEEN_PRIOR and arm not in (START, "dualgrpo") and has_dual:
                dual = _values(cells, PRIOR, level, "dualgrpo", "p", "aligned")
                yield Outcome(
                    PRIOR,
                    arm,
                    level,
                    "P(personalised), aligned, minus DualGRPO's",
                    values - dual,
                    -SAME_CHOICE,
                    SAME_CHOICE,
                )
            yield from _rollouts(counts, cells, arm, level)


def _ahead_of_one_mode(cells: pd.DataFrame, level: float, arm: str) -> pd.Series:
    """By seed: what choosing gains over one mode for everybody, on the same model's answers.

    Fitting askers and strangers are weighed alike. A choice that turned for both alike gains
    nothing by it.
    """
    means = {
        name: sum(_values(cells, PRIOR, level, arm, name, asker) for asker in ASKERS) / len(ASKERS)
        for name in ("accuracy", "general", "personalized")
    }
    better = means["general"].combine(means["personalized"], max)
    return means["accuracy"] - better


def _expected_choice(arm: str, level: float) -> tuple[float, float]:
    """The predicted interval of P(personalised) of fitting askers after RL (evidence C)."""
    if arm == START or level >= SEEN_PRIOR:
        return -math.inf, math.inf
    return (HIGH, math.inf) if arm in ("dualgrpo", "forced") else (-math.inf, LOW)


def _rollouts(
    counts: pd.DataFrame, cells: pd.DataFrame, arm: str, level: float
) -> Iterator[Outcome]:
    """What free rollouts saw of fitting askers' personalised mode, against what theory says."""
    if arm == START or ARMS[arm].trainer != FREE:
        return
    is_cell = (counts.experiment == PRIOR) & (counts.level == level) & (counts.arm == arm)
    rows = counts[is_cell].set_index("seed").sort_index()
    seen = rows["personalized/aligned"]
    yield Outcome(PRIOR, arm, level, "personalised rollouts seen, aligned", seen)
    absent = rows["first absent/aligned"] / rows["first groups/aligned"]
    expected = rows["expected absent"].mean()
    yield Outcome(
        PRIOR,
        arm,
        level,
        "groups without a personalised rollout, first steps, aligned",
        absent,
        max(0.0, expected - SAME_SHARE),
        min(1.0, expected + SAME_SHARE),
    )


def _pace(cells: pd.DataFrame, methods: dict, steps: int) -> Iterator[Outcome]:
    """How far each run came, against the curves of `curves.predicted`.

    Their one free number is the step size, which is read off one cell; that cell is left out. There
    is none where that cell is missing, or theory says that nothing pushes there.
    """
    levels = _levels(cells, PRIOR)
    if not levels or curves.CALIBRATED_ON not in _arms(cells, PRIOR):
        return
    if not math.isfinite(curves.rate(cells, methods, steps)):
        return
    for level in levels:
        before = _values(cells, PRIOR, level, START, "p", "aligned")
        curve = curves.predicted(cells, methods, steps, before.to_numpy())
        for arm in _arms(cells, PRIOR):
            if (arm, level) == (curves.CALIBRATED_ON, levels[0]):
                continue
            after = _values(cells, PRIOR, level, arm, "p", "aligned")
            expected = pd.Series(curve.end[curve.arm == arm].to_numpy(), before.index)
            yield Outcome(
                PRIOR,
                arm,
                level,
                "P(personalised), aligned, minus the curve's",
                after - expected,
                -SAME_CHOICE,
                SAME_CHOICE,
            )


def _dual_advantage(cells: pd.DataFrame) -> Iterator[Outcome]:
    """What the dual advantage does at the same sampling and weight: DualGRPO minus forced GRPO."""
    if not {"dualgrpo", "forced"} <= set(_arms(cells, PRIOR)):
        return
    losing = {"aligned": "general", "unaligned": "personalized"}
    for level in _levels(cells, PRIOR):
        for condition, mode in losing.items():
            for measure, name, low, high in (
                ("accuracy", "accuracy", -SAME_ACCURACY, SAME_ACCURACY),
                (mode, f"accuracy of the losing mode ({mode})", -math.inf, 0.0),
            ):
                dual, forced = (
                    _values(cells, PRIOR, level, arm, measure, condition)
                    for arm in ("dualgrpo", "forced")
                )
                name = f"{name}, {condition}, minus forced GRPO's"
                yield Outcome(PRIOR, "dualgrpo", level, name, dual - forced, low, high)


def _shares(cells: pd.DataFrame, methods: dict) -> Iterator[Outcome]:
    """Experiment `share`: where does the push on what all questions share change its sign?"""
    levels = sorted(_levels(cells, SHARE))
    if not levels:
        return
    for arm in _arms(cells, SHARE):
        expected = _break_even(cells, levels[0], methods[arm])
        moved = {level: _shared_move(cells, level, arm) for level in levels}
        for level in levels:
            bounds = _side(level, expected.mean())
            measure = "move of the logit that aligned and unaligned share"
            yield Outcome(SHARE, arm, level, measure, moved[level], *bounds)
            for condition in ("aligned", "unaligned"):
                for name in ("p", "accuracy"):
                    values = _values(cells, SHARE, level, arm, name, condition)
                    title = "P(personalised)" if name == "p" else name
                    yield Outcome(SHARE, arm, level, f"{title}, {condition}", values)
        roots = [root(levels, [moved[level][seed] for level in levels]) for seed in expected.index]
        found = [value for value in roots if not math.isnan(value)]
        if found and not math.isnan(expected.mean()):
            low, high = expected.mean() - SAME_SHARE, expected.mean() + SAME_SHARE
            yield Outcome(SHARE, arm, math.nan, "share u* at which it turns", found, low, high)


def _side(level: float, turns: float) -> tuple[float, float]:
    """The predicted interval of the shared move: up below u*, down above it, any without a u*."""
    if math.isnan(turns):
        return -math.inf, math.inf
    return (0.0, math.inf) if level < turns else (-math.inf, 0.0)


def _shared_move(cells: pd.DataFrame, level: float, arm: str) -> pd.Series:
    """By seed: how far RL moved the mean logit, aligned and unaligned questions weighed alike."""
    moves = [
        _values(cells, SHARE, level, arm, "logit", condition)
        - _values(cells, SHARE, level, START, "logit", condition)
        for condition in ("aligned", "unaligned")
    ]
    return (moves[0] + moves[1]) / 2


def _break_even(cells: pd.DataFrame, level: float, method: theory.Method) -> pd.Series:
    """By seed: u* of a method from the accuracies and P of the model that RL starts from."""
    kinds = {}
    for condition in ("aligned", "unaligned"):
        kinds[condition] = pd.DataFrame(
            {
                name: _values(cells, SHARE, level, START, name, condition)
                for name in ("p", "general", "personalized")
            }
        )
    shares = {}
    for seed in kinds["aligned"].index:
        aligned, unaligned = (theory.Questions(**kinds[name].loc[seed]) for name in kinds)
        shares[seed] = theory.break_even(method, aligned, unaligned)
    return pd.Series(shares)


def root(levels: Sequence[float], values: Sequence[float]) -> float:
    """Where the line through values at increasing levels crosses 0 downwards; NaN if nowhere.

    >>> root([0.5, 0.7], [1.0, -1.0])
    0.6
    """
    for left, right, above, below in zip(
        levels[:-1], levels[1:], values[:-1], values[1:], strict=True
    ):
        if above > 0 >= below:
            return left + (right - left) * above / (above - below)
    return math.nan


def methods(cfg: config.Config) -> dict[str, theory.Method]:
    """Arm -> what theory says it is under this config."""
    return {name: arm.method(cfg) for name, arm in ARMS.items()}

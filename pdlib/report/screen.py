"""What a run found, in a few plain sentences: each takes its numbers from records and its words
from its own interval.

No sentence knows what it will say: "more", "fewer" or "no difference is shown" follows from the 95
% interval of the difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.cells import OBJECTIVE, PERSONALIZED, Cell, Cells, Found, Missing
from pdlib.report import status
from pdlib.report.tables import number

BLOCKS = (
    (OBJECTIVE, "unaligned"),
    (OBJECTIVE, "aligned"),
    (PERSONALIZED, "aligned"),
)  # the three averages of Table 1
RULES = {  # a selector of `selection.value` -> what it does
    "persona-blind rule": "a rule that never reads the persona",
    "one-word match": "a rule that looks for one word in persona and question",
    "told whether it fits": "being told whether the persona fits",
}
WITHOUT_RULES = {
    "best mode of the benchmark": "always the better mode of each benchmark",
    "best mode of benchmark and persona": "being told whether the persona fits",
}  # where a run has no RULES
HARD = {
    "conflicting": "a persona that misleads",
    "long": "a long persona that has nothing to do with the question",
}
SHOWN_OPPOSITE = 3


@dataclass(frozen=True)
class Finding:
    """One sentence. verdict: higher | lower | no difference shown, of `mean` against zero by its 95
    % interval; n: items.
    """

    text: str
    mean: float
    ci_low: float
    ci_high: float
    n: int
    verdict: str


def verdict(low: float, high: float) -> str:
    """Higher | lower where the interval leaves zero out, else "no difference shown".

    >>> verdict(0.01, 0.03), verdict(-0.01, 0.03)
    ('higher', 'no difference shown')
    """
    return "higher" if low > 0 else "lower" if high < 0 else "no difference shown"


def points(value: float) -> str:
    """A fraction in points, one decimal, never "-0.0".

    >>> points(-0.0164), points(-0.0004)
    ('-1.6', '0.0')
    """
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text


def _finding(mean: float, low: float, high: float, n: int, words: Mapping[str, str]) -> Finding:
    """words: verdict -> sentence, in which {size} is the difference's size and {mean} the
    difference, both in points.
    """
    found = verdict(low, high)
    text = words[found].format(size=points(abs(mean)), mean=points(mean))
    shown = (
        (-high, -low) if found == "lower" else (low, high)
    )  # "3 points less often" has a size, and its interval has, too
    return Finding(
        f"{text} ({points(shown[0])} to {points(shown[1])}).", mean, low, high, int(n), found
    )


def _more_or_less(left: str, right: str, where: str = "") -> dict[str, str]:
    """The three sentences on the difference left - right of right answers."""
    return {
        "higher": f"{left} is right {{size}} points more often than {right}{where}",
        "lower": f"{left} is right {{size}} points less often than {right}{where}",
        "no difference shown": f"No difference is shown between {left} and {right}{where}: {{mean}} points",
    }


def findings(cells: Cells, run: str, selection: pd.DataFrame | None = None) -> list[Finding]:
    """What `run` found of PersonaDual, at most eight; what was not asked is left out.

    Against CoT and SFT only (mean of the three averages of Table 1); with an unaligned and an
    aligned persona against none; the mode's share with an aligned persona against an unaligned one;
    and, where there is `selection` (a table of `selection.value`), the learned choice against
    rules.
    """
    if run not in cells.models:
        return []

    def block(
        model: str, benchmarks: Sequence[str], condition: str, value: str = "correct"
    ) -> Cell:
        return Cell(run, model, cells.held(run, benchmarks), condition, value=value)

    def own(condition: str, value: str = "correct") -> Cell:
        return block("personadual", OBJECTIVE, condition, value)

    def average(model: str, sign: float) -> list[tuple[float, Cell]]:
        return [(sign / len(BLOCKS), block(model, *where)) for where in BLOCKS]

    asked = [
        (
            average("personadual", 1) + average("cot", -1),
            _more_or_less(
                "PersonaDual",
                "CoT (one mode, trained on the same data)",
                ", over the three averages of Table 1",
            ),
        ),
        (
            average("personadual", 1) + average("sft_only", -1),
            _more_or_less("PersonaDual", "the same model before RL", ", over the same averages"),
        ),
    ]
    asked += [
        ([(1, own(condition)), (-1, own("none"))], _persona(f"{article} {condition} persona"))
        for article, condition in (("an", "unaligned"), ("an", "aligned"))
    ]
    asked.append(
        (
            [(1, own("aligned", "personalized")), (-1, own("unaligned", "personalized"))],
            {
                "higher": "PersonaDual takes its personalised mode {size} points more often for an aligned persona than for an unaligned one",
                "lower": "PersonaDual takes its personalised mode {size} points less often for an aligned persona than for an unaligned one",
                "no difference shown": "PersonaDual is not shown to take its personalised mode more often for an aligned persona: {mean} points",
            },
        )
    )
    found = []
    for terms, words in asked:
        try:
            total = cells.sum(terms)
        except Missing:
            continue
        found.append(_finding(total.mean, *total.interval(), sum(total.items.values()), words))
    return found + _choices(selection)


def _persona(persona: str) -> dict[str, str]:
    """The three sentences on what a persona does to PersonaDual's answers to objective questions."""
    start = persona[0].upper() + persona[1:]
    return {
        "higher": f"{start} helps: PersonaDual is right {{size}} points more often on objective questions than without a persona",
        "lower": f"{start} harms: PersonaDual is right {{size}} points less often on objective questions than without a persona",
        "no difference shown": f"{start} is not shown to change how often PersonaDual is right on objective questions: {{mean}} points",
    }


def _choices(selection: pd.DataFrame | None) -> list[Finding]:
    """The learned choice against each rule that the table holds, in the mean of its blocks."""
    if selection is None:
        return []
    rows = (
        selection[selection.block == stats.MEAN].dropna(subset="difference").set_index("selector")
    )
    named = {name: words for name, words in RULES.items() if name in rows.index}
    named = named or {name: words for name, words in WITHOUT_RULES.items() if name in rows.index}
    found = []
    for name, words in named.items():
        row = rows.loc[name]  # its difference is the rule minus the learned choice
        found.append(
            _finding(
                -row.difference,
                -row.difference_ci_high,
                -row.difference_ci_low,
                row.n,
                _more_or_less("The learned choice of the mode", words),
            )
        )
    return found


def failures(counterfactual: pd.DataFrame | None, model: str = "personadual") -> list[Finding]:
    """What personas that conflict with the question or are long do to the answers to objective
    questions, against none.

    counterfactual: a table of `counterfactual.differences`, if there is one.
    """
    if counterfactual is None:
        return []
    rows = counterfactual[
        (counterfactual.model == model)
        & (counterfactual.kind == "objective")
        & (counterfactual.against == "none")
        & (counterfactual.measure == "accuracy")
    ].set_index("condition")
    found = []
    for condition, words in HARD.items():
        if condition in rows.index:
            row = rows.loc[condition]
            found.append(_finding(row["mean"], row.ci_low, row.ci_high, row.n, _persona(words)))
    return found


def coverage(cells: Cells, run: str) -> str:
    """What the intervals of `run` cover, in a sentence: items alone, or training seeds, too, and
    what a seed is.
    """
    seeds = {model: _seeds(cells, run, model) for model in ("backbone", "personadual")}
    n = seeds["personadual"] or max(filter(None, seeds.values()), default=1)
    start = "In brackets are 95 % intervals. They"
    if n == 1:
        return f"{start} cover the test items only: there is one training seed, and another training can give other numbers."
    alike = (
        "each a backbone, a data set and a training run of its own"
        if seeds["backbone"] == n
        else "trainings on one backbone"
    )
    return f"{start} cover test items and {n} training seeds, {alike}."


def _seeds(cells: Cells, run: str, model: str) -> int | None:
    """Training seeds of the model's answers, None without any."""
    for benchmarks in (OBJECTIVE, PERSONALIZED):
        for condition in ("none", "aligned"):
            try:
                found: Found = cells[Cell(run, model, cells.held(run, benchmarks), condition)]
            except Missing:
                continue
            return found.seeds
    return None


def open_questions(entries: Sequence[Mapping], left: Mapping[str, str] | None = None) -> list[str]:
    """Where the ledger says that this run is not the paper: signs that differ or are undecided,
    numbers off the margin or without records.

    left: figures that cannot be drawn, with the reason.
    """
    counts = status.directions(entries)
    said = [
        f"Of {sum(counts.values())} changes and orderings that the paper states, {counts['same']} have the same sign here, "
        f"{counts['undecided']} are undecided and {counts['opposite']} have the opposite sign."
    ]
    opposite = sorted(
        (e for e in entries if e["direction"] == "opposite"),
        key=lambda e: -abs(e["ours"] - e["paper"]),
    )
    if opposite:
        named = "; ".join(
            f"{e['row']}, {e['column']} (paper {number(e['paper'])}, here {number(e['ours'])})"
            for e in opposite[:SHOWN_OPPOSITE]
        )
        said.append(f"{'Furthest apart' if len(opposite) > 1 else 'It is'}: {named}.")
    close, measured = status.comparisons(entries), sum(e["comparison"] is not None for e in entries)
    states = status.statuses(entries)
    said.append(
        f"Of the {measured} numbers with a value in the paper and here, the margin of {points(status.MARGIN)} points holds "
        f"{close[status.WITHIN]}; {close[status.DIFFERENT]} differ from the paper's and {close[status.UNDECIDED]} are undecided. "
        f"Scaled down, so not the paper's experiment, are {states['scaled-down']} numbers."
    )
    if missing := states["not attempted"]:
        reasons = pd.Series(
            [e["note"] for e in entries if e["status"] == "not attempted"]
        ).value_counts()
        said.append(
            f"{missing} numbers of the paper were not attempted. The commonest reason ({reasons.iloc[0]} times): "
            f"{reasons.index[0]}."
        )
    return said + (
        [f"{len(left)} figures could not be drawn; the reasons stand among the figures."]
        if left
        else []
    )

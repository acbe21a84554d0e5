"""The ledger: one entry for each number of the paper. What its status, comparison and direction say
is defined in `status`.

A share said to be 1 (PersonaDual is best everywhere) has a direction, too: "same" where every
difference to a rival lies above zero by its interval, "opposite" where one lies below by an
interval that holds for all of them together (the bootstrap of the largest deviation), else
"undecided".
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd

from pdlib import paper
from pdlib.analysis import lexical, multi_turn, stats
from pdlib.analysis.cells import OBJECTIVE, PERSONALIZED, Cell, Cells, Found, Missing
from pdlib.paper.catalogue import SYSTEMS
from pdlib.report import status
from pdlib.report.status import TIE
from pdlib.rlpa import ledger as rlpa

COLUMNS = {  # a column of the paper, less its condition -> the benchmarks it averages
    "PubMedQA": ("pubmedqa",),
    "TriviaQA": ("triviaqa",),
    "MMLU-Pro": ("mmlu_pro",),
    "SuperGPQA": ("supergpqa",),
    "MATH500": ("math500",),
    "P.FB.": ("personafeedback",),
    "F.RP.": ("fspo_roleplay",),
    "Avg.": OBJECTIVE,
    "Personalized Avg.": PERSONALIZED,
    "personalised share": OBJECTIVE,
}
ROWS = {  # a row of Tables 1, 2, 4, 9 or Fig. 3b -> the records' `model`, answering freely
    **{system.title: model for model, system in SYSTEMS.items() if system.title},
    "No-Persona Upperbound": "personadual",
    "Llama3.1-8B-Instruct": "backbone",
    "LLaMA3.1-8B-Instruct": "backbone",
    "DeepSeek-R1": "backbone",
    "Qwen3-30B-A3B-Thinking": "backbone",
}
TABLE_8 = {
    "PersonaDual-general": "general",
    "PersonaDual-personal": "personalized",
    "PersonaDual": "none",
    "PersonaDual Upperbound": "either",
}  # row -> forced
DIALOGUES = ("table3", "multi_turn")  # artefacts answered by the records of dialogues
NO_CELLS = (*DIALOGUES, "figure5", *rlpa.ARTEFACTS)  # artefacts that are no sum of cells
EXAMPLES = "a count of the paper's own training examples, not a result to measure again"
NOT_ASKED = {"table5/": EXAMPLES, "text/PersonaDualData/": EXAMPLES}
SECOND = (
    "table1/Llama3.1-8B-Instruct/",
    "table4/Qwen3-30B-A3B-Thinking/",
    "table9/",
)  # answered by the second backbone
BACKBONES = {
    "first": ("Qwen/Qwen3-8B",),
    "second": ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
}
OUTNUMBERED = "figure5/top 30 words/share of the other groups that occupation outnumbers"
POCKET = (
    "pocket twin of the benchmark and a pocket backbone: shows the mechanism, not the paper's level"
)
NOTHING = {"ours": None, "ci_low": None, "ci_high": None, "n": None, "seeds": 0}
Answer = tuple[
    Found, int, str, str | None
]  # ours, of how many numbers it is the largest, a remark, the direction


def ledger(
    records: pd.DataFrame | Cells,
    first_run: str,
    second_run: str | None = None,
    paper_training: bool = False,
    dialogues: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
    profiles: pd.DataFrame | None = None,
) -> list[dict]:
    """One entry for each of `paper.numbers()`: {id, artefact, row, column, paper, ours, ci_low,
    ci_high, n, seeds, margin, comparison, status, direction, quotation, note}.

    first_run, second_run: the runs that stand for the paper's Qwen3 and Llama backbones.
    paper_training: the trained systems were trained as Table 6 prints (profile paper). dialogues:
    records of `dialogues.answer`, if there are any. answers: PersonaDual's in first_run, as
    `lexical.sample` draws them, for Fig. 5. profiles: scores of RLPA's policies, see
    `dynamic.ledger`. ci_low, ci_high: 95 %. n: items; seeds: training seeds; with one, the interval
    covers items alone. margin, comparison, status, direction: see `status`; the first two are None
    for counts and for what the paper does not print. A number without records has ours None, seeds
    0, comparison None, status "not attempted" and the reason in note. Raises ValueError when the
    records are empty, lack a column or hold nothing of either run, or when both runs are one.
    """
    cells = Cells.of(records)
    if first_run == second_run:
        raise ValueError(
            f"run {first_run!r} is given as first and as second backbone; name another, or None"
        )
    if first_run not in cells.models and second_run not in cells.models:
        raise ValueError(
            f"no single-turn records of run {first_run!r}, found runs {sorted(cells.models)}; name one of these, or "
            "evaluate it first"
        )
    asked = _Asked(
        cells,
        {"first": first_run, "second": second_run},
        paper_training,
        dialogues,
        answers,
        profiles,
    )
    return [asked.entry(number) for number in paper.numbers()]


class _Asked:
    """The records, asked for the paper's numbers."""

    def __init__(
        self,
        cells: Cells,
        runs: dict[str, str | None],
        paper_training: bool,
        dialogues: pd.DataFrame | None,
        answers: pd.DataFrame | None,
        profiles: pd.DataFrame | None,
    ):
        self.cells, self.runs, self.paper_training, self.dialogues, self.answers = (
            cells,
            runs,
            paper_training,
            dialogues,
            answers,
        )
        self.profiles = profiles
        self.numbers = {number.id: number for number in paper.numbers()}

    def entry(self, number: paper.Number) -> dict:
        head = {
            "id": number.id,
            "artefact": number.artefact,
            "row": number.row,
            "column": number.column,
            "paper": number.value,
        }
        margin = status.margin(number.value, number.rounding)
        try:
            found, comparisons, remark, side = self._ours(number)
        except Missing as reason:
            return (
                head
                | NOTHING
                | {
                    "margin": margin,
                    "comparison": None,
                    "status": "not attempted",
                    "direction": None,
                    "quotation": number.quotation,
                    "note": str(reason),
                }
            )
        low, high = found.interval(comparisons)
        ours = {
            "ours": found.mean,
            "ci_low": low,
            "ci_high": high,
            "n": sum(found.items.values()),
            "seeds": found.seeds,
        }
        departures = self._departures(number, found)
        said = (
            None
            if margin is None
            else status.compare(found, number.value, number.rounding, comparisons)
        )
        if departures:
            verdict = "scaled-down"
        elif said is None:  # not printed: what the text says of it is
            verdict = self.entry(self.numbers[OUTNUMBERED])["status"]
        else:
            verdict = status.STATUS[said]
        return (
            head
            | ours
            | {
                "margin": margin,
                "comparison": said,
                "status": verdict,
                "direction": side,
                "quotation": number.quotation,
                "note": "; ".join(filter(None, [remark, *departures])),
            }
        )

    def _ours(self, number: paper.Number) -> Answer:
        """Missing with the reasons."""
        for prefix, reason in NOT_ASKED.items():
            if number.id.startswith(prefix):
                raise Missing(reason)
        if number.artefact in DIALOGUES:
            found, remark = multi_turn.ledger_number(
                self.dialogues, self.runs["first"], number.artefact, number.column
            )
            return found, 1, remark, None
        if number.artefact in rlpa.ARTEFACTS:
            found, remark = rlpa.number(
                self.profiles, self.runs["first"], number.artefact, number.row, number.column
            )
            return found, 1, remark, None
        if number.artefact == "figure5":
            return self._words(number)
        self._check(number)
        if number.rule == "share":
            return self._share(number)
        if number.rule in ("level", "sum"):
            found = self._sum(number.sums[0] if number.sums else ((1, number.id),))
            silent = (
                1 - self.cells[replace(self._cell(number.id), value="named")].mean
                if number.artefact == "figure3b"
                else 0
            )
            remark = (
                f"{silent:.1%} of the answers name no mode and count as not personalised"
                if silent
                else ""
            )
            return found, 1, remark, direction(number, *found.interval())
        all_found = [self._sum(terms) for terms in number.sums]
        found = (min if number.rule == "lowest" else max)(all_found, key=lambda f: f.mean)
        remark = f"the {number.rule} of {len(all_found)} changes, its interval widened for {len(all_found)} comparisons"
        return found, len(all_found), remark, direction(number, *found.interval(len(all_found)))

    def _share(self, number: paper.Number) -> Answer:
        won, ahead, margins, parts = [], [], [], []
        for own, rivals in number.contests:
            mine, others = self._sum(own), [self._sum(rival) for rival in rivals]
            won.append(mine.mean > max(other.mean for other in others) + TIE)
            ahead.append(mine.draws > np.max([other.draws for other in others], axis=0) + TIE)
            margins += [(mine.mean - other.mean, mine.draws - other.draws) for other in others]
            parts += [mine, *others]
        items = {name: n for part in parts for name, n in part.items.items()}
        found = Found(
            round(float(np.mean(won)), 12),
            np.mean(ahead, axis=0),
            items,
            max(p.seeds for p in parts),
            min(p.runs for p in parts),
        )
        remark = f"of {len(won)} contests; the interval is that of the share over resampled items"
        side = (
            all_above(
                np.array([mean for mean, _ in margins]), np.array([draws for _, draws in margins])
            )
            if number.value == 1
            else None
        )
        return found, 1, remark, side

    def _words(self, number: paper.Number) -> Answer:
        shares, chance = self._shares_of_words
        share, side = shares.get(number.column), None
        remark = f"the paper prints no share; with the texts of personas shuffled {chance.get(number.column, 0):.0%}"
        if share is None:  # how many of the other groups there are fewer words of
            margins = shares.drop(columns="occupation").rsub(shares.occupation, axis=0)
            share, side = (
                (margins > TIE).mean(axis=1),
                all_above(margins.iloc[0].to_numpy(), margins.iloc[1:].to_numpy().T),
            )
            remark = f"of {margins.shape[1]} groups; the interval is that of the share over resampled personas"
        answers, seeds = (
            self.answers.groupby("benchmark", sort=False).size().to_dict(),
            self.answers[["train_seed", "seed"]].nunique(),
        )
        found = Found(
            float(share.iloc[0]),
            share.iloc[1:].to_numpy(),
            answers,
            int(seeds.train_seed),
            int(seeds.seed),
        )
        return found, 1, remark, side

    @cached_property
    def _shares_of_words(self) -> tuple[pd.DataFrame, pd.Series]:
        """(`lexical.drawn_shares`, by group the share that shuffled personas give); Missing with
        the reason.
        """
        reason = (
            "no answers with the words of who asked"
            if self.answers is None
            else lexical.too_few(self.answers)
        )
        if reason:
            raise Missing(reason)
        found = lexical.words(
            self.answers, "pocket" if self.runs["first"].startswith("pocket") else "text"
        )
        return lexical.drawn_shares(found), lexical.shares(found).set_index("group").chance

    def _ids(self, number: paper.Number) -> list[str]:
        """The ids of the tables' numbers that `number` is made of."""
        sums = [
            *number.sums,
            *(terms for own, rivals in number.contests for terms in (own, *rivals)),
        ]
        return list(dict.fromkeys(name for terms in sums for weight, name in terms if weight)) or [
            number.id
        ]

    def _check(self, number: paper.Number):
        """Raises Missing with the distinct reasons why cells of `number` are not there."""
        reasons = []
        for name in self._ids(number):
            try:
                self.cells[self._cell(name)]
            except Missing as reason:
                reasons.append(str(reason))
        if reasons := list(dict.fromkeys(reasons)):
            raise Missing(
                "; ".join(reasons[:3])
                + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
            )

    def _sum(self, terms: paper.Sum) -> Found:
        return self.cells.sum([(weight, self._cell(name)) for weight, name in terms])

    def _cell(self, name: str) -> Cell:
        """The cell that answers the table's number `name`."""
        number, role = self.numbers[name], _role(name)
        if self.runs[role] is None:
            raise Missing("needs the second backbone, and none is named")
        if self.runs[role] not in self.cells.models:
            raise Missing(
                f"no records of run {self.runs[role]}, which stands for the paper's {role} backbone"
            )
        column, condition = number.column.rsplit(" ", 1)
        table8 = number.artefact == "table8"
        return Cell(
            self.runs[role],
            "personadual" if table8 else ROWS[number.row],
            COLUMNS[column],
            condition,
            TABLE_8[number.row] if table8 else "none",
            "personalized" if number.artefact == "figure3b" else "correct",
        )

    def _departures(self, number: paper.Number, found: Found) -> list[str]:
        """In what the number is not the paper's experiment, for the note."""
        ids, other = self._ids(number), number.artefact in NO_CELLS
        cells, roles = (
            [] if other else [self._cell(name) for name in ids],
            dict.fromkeys(_role(name) for name in ids),
        )
        notes = []
        if any(name.startswith("table4/") for name in ids):
            rows = dict.fromkeys(self.numbers[name].row for name in ids)
            ours = {
                row: "AlignXpert"
                if row.startswith("ALIGN")
                else f"{_role(f'table4/{row}/')} backbone"
                for row in rows
            }
            notes.append(
                "our "
                + ", our ".join(f"{stand_in} stands for {row}" for row, stand_in in ours.items())
            )
        runs = [self.runs[role] for role in roles]
        pocket = any(run.startswith("pocket") for run in runs)
        ran = f"run {' and '.join(runs)}" + (f", {POCKET}" if pocket else "")
        if number.artefact in rlpa.ARTEFACTS:  # another paper's items, seeds and training
            return ["users, profiles and judge are ours, RLPA's are ALOE's and GPT-4o's", ran]
        if pocket:
            return notes + [ran, *status.guessed(cells)]
        notes += [
            f"backbone {self.runs[role]}, the paper's is {BACKBONES[role][0]}"
            for role in roles
            if self.runs[role] not in BACKBONES[role]
        ]
        notes += [
            f"{n} items of {name}, the paper has {paper.TEST_ITEMS[name]}"
            for name, n in found.items.items()
            if n != paper.TEST_ITEMS[name] and not other
        ]  # there n are cases or answers
        if number.artefact == "figure5" and len(self.answers) != lexical.RECORDS:
            notes.append(f"{len(self.answers)} answers, the paper samples {lexical.RECORDS}")
        notes += (
            [f"{found.runs} sampling runs, the paper averages {paper.RUNS}"]
            if found.runs < paper.RUNS
            else []
        )
        trained = other or any(
            SYSTEMS[cell.model].trained or SYSTEMS[cell.model].routed for cell in cells
        )
        notes += (
            ["not said to be trained as Table 6 prints"]
            if trained and not self.paper_training
            else []
        )
        stand_in = Cell(
            self.runs["first"], "personadual", OBJECTIVE, "aligned", value="personalized"
        )  # dialogues and words are its modes
        return notes + status.experiment([stand_in] if other else cells)


def _role(name: str) -> str:
    """The backbone that answers the number `name`: first | second."""
    return "second" if name.startswith(SECOND) else "first"


def direction(number: paper.Number, low: float, high: float) -> str | None:
    """Our interval of a change against the sign of the paper's; None for levels and for a paper's
    zero.
    """
    if number.rule == "level" or number.value == 0:
        return None
    low, high = (low, high) if number.value > 0 else (-high, -low)
    return "same" if low > 0 else "opposite" if high < 0 else "undecided"


def all_above(means: np.ndarray, draws: np.ndarray) -> str:
    """Are all margins above zero? means: (K,), draws: (K, draws). "same" when each one's interval
    is above zero (no correction: all must be), "opposite" when one lies below zero by an interval
    that holds for all K together, else "undecided".
    """
    if (np.quantile(draws, (1 - stats.LEVEL) / 2, axis=1) > TIE).all():
        return "same"
    spread = draws.std(axis=1)
    safe = np.where(spread > TIE, spread, 1)
    widest = np.quantile((np.abs(draws - means[:, None]) / safe[:, None]).max(axis=0), stats.LEVEL)
    return "opposite" if (means + widest * spread < -TIE).any() else "undecided"

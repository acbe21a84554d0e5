"""Our measurements of the paper's numbers: values with their draws, taken from a run's evidence."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from pdlib import paper
from pdlib.analysis import lexical, multi_turn
from pdlib.analysis.cells import MissingRecordsError, Statistic
from pdlib.report import counterparts, notes, status
from pdlib.report.evidence import Evidence
from pdlib.report.status import TIE
from pdlib.rlpa import ledger as rlpa

NOT_MEASURED = ("table5/", "text/PersonaDualData/")  # counts of the paper's training examples


@dataclass(frozen=True)
class Measurement:
    """Our value of a number of the paper. comparisons: of how many values it is the extreme."""

    ours: Statistic
    remark: str = ""
    comparisons: int = 1
    direction: str | None = None


class Measurements:
    """Measures the paper's numbers, one after another; the words of Fig. 5 are fitted once."""

    def __init__(self, evidence: Evidence):
        self.evidence, self.cells = evidence, evidence.cells

    def of(self, number: paper.Number) -> Measurement:
        """Raises MissingRecordsError with the reasons."""
        if number.id.startswith(NOT_MEASURED):
            raise MissingRecordsError(notes.EXAMPLES)
        first_run = self.evidence.runs["first"]
        if number.artefact in counterparts.DIALOGUES:
            return Measurement(
                *multi_turn.ledger_number(
                    self.evidence.dialogues, first_run, number.artefact, number.column
                )
            )
        if number.artefact in rlpa.ARTEFACTS:
            return Measurement(
                *rlpa.number(
                    self.evidence.profiles, first_run, number.artefact, number.row, number.column
                )
            )
        if number.artefact == "figure5":
            return self._words(number)
        self._check(number)
        if number.rule == "share":
            return self._share(number)
        if number.rule in ("lowest", "highest"):
            return self._extreme(number)
        return self._value(number)

    def _check(self, number: paper.Number) -> None:
        """Raises MissingRecordsError with the reasons, each once, why cells have no records."""
        reasons = []
        for name in counterparts.ids(number):
            try:
                self.cells[counterparts.cell(name, self.evidence)]
            except MissingRecordsError as reason:
                reasons.append(str(reason))
        if reasons:
            raise MissingRecordsError(notes.of_missing(list(dict.fromkeys(reasons))))

    def _sum(self, terms: paper.Sum) -> Statistic:
        return self.cells.sum(
            [(weight, counterparts.cell(name, self.evidence)) for weight, name in terms]
        )

    def _value(self, number: paper.Number) -> Measurement:
        """A level, or a change: a sum of cells."""
        ours = self._sum(number.sums[0] if number.sums else ((1, number.id),))
        remark = ""
        if number.artefact == "figure3b":
            named = replace(counterparts.cell(number.id, self.evidence), value="named")
            remark = notes.of_silent_answers(1 - self.cells[named].mean)
        return Measurement(ours, remark, direction=status.direction(number, *ours.interval()))

    def _extreme(self, number: paper.Number) -> Measurement:
        """The lowest or highest of several changes."""
        changes = [self._sum(terms) for terms in number.sums]
        choose = min if number.rule == "lowest" else max
        ours = choose(changes, key=lambda change: change.mean)
        return Measurement(
            ours,
            notes.of_extreme(number.rule, len(changes)),
            len(changes),
            status.direction(number, *ours.interval(len(changes))),
        )

    def _share(self, number: paper.Number) -> Measurement:
        """The share of contests in which one sum of cells is above all of its rivals."""
        contests = [
            (self._sum(ours), [self._sum(rival) for rival in rivals])
            for ours, rivals in number.contests
        ]
        sides, margins, is_ahead, is_ahead_in_draws = [], [], [], []
        for ours, rivals in contests:
            best_draws = np.max([rival.draws for rival in rivals], axis=0)
            is_ahead.append(ours.mean > max(rival.mean for rival in rivals) + TIE)
            is_ahead_in_draws.append(ours.draws > best_draws + TIE)
            margins += [(ours.mean - rival.mean, ours.draws - rival.draws) for rival in rivals]
            sides += [ours, *rivals]
        share = Statistic(
            round(float(np.mean(is_ahead)), 12),
            np.mean(is_ahead_in_draws, axis=0),
            {name: n for side in sides for name, n in side.items.items()},
            max(side.seeds for side in sides),
            min(side.runs for side in sides),
        )
        direction = None
        if number.value == 1:
            means, draws = zip(*margins, strict=True)
            direction = status.direction_of_all(np.array(means), np.array(draws))
        return Measurement(share, notes.of_contests(len(contests)), direction=direction)

    def _words(self, number: paper.Number) -> Measurement:
        """The share of a group among the words of Fig. 5, or of the groups below occupation."""
        shares, chance = self._shares_of_words  # row 0 as observed, the others drawn
        direction = None
        if number.column in shares:
            share = shares[number.column]
            remark = notes.of_words(chance.get(number.column, 0))
        else:
            margins = shares.drop(columns="occupation").rsub(shares.occupation, axis=0)
            share = (margins > TIE).mean(axis=1)
            direction = status.direction_of_all(
                margins.iloc[0].to_numpy(), margins.iloc[1:].to_numpy().T
            )
            remark = notes.of_groups(margins.shape[1])
        answers = self.evidence.answers
        ours = Statistic(
            float(share.iloc[0]),
            share.iloc[1:].to_numpy(),
            answers.groupby("benchmark", sort=False).size().to_dict(),
            answers.train_seed.nunique(),
            answers.seed.nunique(),
        )
        return Measurement(ours, remark, direction=direction)

    @cached_property
    def _shares_of_words(self) -> tuple[pd.DataFrame, pd.Series]:
        """`lexical.drawn_shares`, and by group the share that shuffled personas give."""
        answers = self.evidence.answers
        reason = notes.NO_PERSONAS if answers is None else lexical.too_few(answers)
        if reason:
            raise MissingRecordsError(reason)
        words = lexical.words(answers, self.evidence.facts)
        return lexical.drawn_shares(words), lexical.shares(words).set_index("group").chance

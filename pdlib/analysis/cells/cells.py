"""The table of item means, and the cells and sums of cells that are drawn from it."""

import zlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.cells.answers import COLUMNS, item_means, key
from pdlib.analysis.cells.cell import (
    BENCHMARKS,
    CONDITIONS,
    OBJECTIVE,
    PERSONALIZED,
    Cell,
    MissingRecordsError,
    NoModesError,
    Statistic,
    UnpairedError,
)
from pdlib.paper.catalogue import FIGURE_ORDER


class Cells:
    """All cells of `records`: first turns, the seven benchmarks, the paper's three conditions.

    The rest is left aside. Raises ValueError when the records are empty, lack a column, or hold no
    such answer.
    """

    def __init__(self, records: pd.DataFrame, draws: int = 1000, seed: int = 0):
        if records.empty:
            raise ValueError(
                "the records are empty; run `make reproduce`, or evaluate.run_records for each "
                "model"
            )
        if missing := set(COLUMNS) - set(records.columns):
            raise ValueError(
                f"the records lack the columns {sorted(missing)}, found {sorted(records.columns)}; "
                "read them with evaluate.read_records, or evaluate again"
            )
        answers = records[
            (records.turn == 1)
            & records.condition.isin(CONDITIONS)
            & records.benchmark.isin(OBJECTIVE + PERSONALIZED)
        ]
        if answers.empty:
            raise ValueError(
                f"no single-turn records of the paper's conditions {CONDITIONS} on its benchmarks, "
                f"found conditions {sorted(records.condition.unique())} on "
                f"{sorted(records.benchmark.unique())}"
            )
        self.draws, self.seed = draws, seed
        self._answers = item_means(answers)
        self._cells: dict[Cell, Statistic] = {}
        self._weights: dict[int, np.ndarray] = {}

    @classmethod
    def of(cls, records: "pd.DataFrame | Cells") -> "Cells":
        """`records` as cells; cells are passed through."""
        return records if isinstance(records, cls) else cls(records)

    @cached_property
    def models(self) -> dict[str, tuple[str, ...]]:
        """Run -> the models it holds, in the order of figures, models of no table last."""
        models: dict[str, set[str]] = {}
        for run, model, *_ in self._answers:
            models.setdefault(run, set()).add(model)

        def rank(model: str) -> tuple[int, str]:
            in_tables = model in FIGURE_ORDER
            return FIGURE_ORDER.index(model) if in_tables else len(FIGURE_ORDER), model

        return {run: tuple(sorted(models[run], key=rank)) for run in sorted(models)}

    @cached_property
    def benchmarks(self) -> set[str]:
        """The benchmarks that any run was asked."""
        return {benchmark for *_, benchmark in self._answers}

    def one_run(self, run: str | None = None) -> str:
        """`run`, or the only one that the records hold.

        ValueError when it is not there, or there are several to choose from.
        """
        if run is None and len(self.models) == 1:
            return next(iter(self.models))
        if run not in self.models:
            raise ValueError(
                f"found records of runs {', '.join(self.models)}, asked for {run}; "
                "name one of these"
            )
        return run

    def held(self, run: str, benchmarks: Sequence[str]) -> tuple[str, ...]:
        """Those of `benchmarks` that `run` was asked; all of them when it was asked none.

        It is what a figure averages where not all seven benchmarks are evaluated.
        """
        answered = {benchmark for name, *_, benchmark in self._answers if name == run}
        return tuple(name for name in benchmarks if name in answered) or tuple(benchmarks)

    def average(self, run: str, model: str, kind: str, condition: str, **which: str) -> Cell:
        """The cell of an average of the tables, see `stats.BLOCKS`, over what `run` was asked.

        which: forced and value, as in `Cell`.
        """
        return Cell(run, model, self.held(run, BENCHMARKS[kind]), condition, **which)

    def __getitem__(self, cell: Cell) -> Statistic:
        """Raises MissingRecordsError with the reason."""
        if cell not in self._cells:
            self._cells[cell] = self._find(cell)
        return self._cells[cell]

    def sum(self, terms: Sequence[tuple[float, Cell]]) -> Statistic:
        """Weighted sum of cells, paired by item.

        UnpairedError when two of them are not of the same items of a benchmark.
        """
        weighted = [(weight, self[cell]) for weight, cell in terms]
        items: dict[str, int] = {}
        for _, cell in terms:
            for name in cell.benchmarks:
                items[name] = self._shared_items(name, [other for _, other in terms])
        return Statistic(
            round(float(sum(weight * statistic.mean for weight, statistic in weighted)), 12),
            sum(weight * statistic.draws for weight, statistic in weighted),
            items,
            max(statistic.seeds for _, statistic in weighted),
            min(statistic.runs for _, statistic in weighted),
        )

    def _shared_items(self, benchmark: str, cells: Sequence[Cell]) -> int:
        """How many items the cells with that benchmark were asked; UnpairedError if they differ."""
        item_sets = [
            self._answers[key(cell, benchmark)].items
            for cell in cells
            if benchmark in cell.benchmarks
        ]
        if any(not item_sets[0].equals(items) for items in item_sets[1:]):
            raise UnpairedError(
                "the sides of the difference were not asked the same items of "
                f"{benchmark} ({', '.join(str(len(items)) for items in item_sets)} items); "
                "evaluate them on the same ones"
            )
        return len(item_sets[0])

    def _find(self, cell: Cell) -> Statistic:
        if missing := [name for name in cell.benchmarks if key(cell, name) not in self._answers]:
            raise MissingRecordsError(self._reason(cell, missing))
        statistics = [self._benchmark(cell, name) for name in cell.benchmarks]
        return Statistic(
            round(float(np.mean([statistic.mean for statistic in statistics])), 12),
            np.mean([statistic.draws for statistic in statistics], axis=0),
            {name: n for statistic in statistics for name, n in statistic.items.items()},
            max(statistic.seeds for statistic in statistics),
            min(statistic.runs for statistic in statistics),
        )

    def _reason(self, cell: Cell, missing: Sequence[str]) -> str:
        """Why there are no answers for a cell to the benchmarks `missing`."""
        ways = {"none": "answering freely", "either": "forced into both modes"}
        way = ways.get(cell.forced, f"forced into {cell.forced} mode")
        reason = f"no records of model {cell.model} in run {cell.run}, {way}"
        if any(name[:3] == (cell.run, cell.model, cell.forced) for name in self._answers):
            reason += f", persona {cell.condition}, on {', '.join(missing)}"
        return reason

    def _benchmark(self, cell: Cell, name: str) -> Statistic:
        """The mean of a cell over the items of one of its benchmarks."""
        answers = self._answers[key(cell, name)]
        table = answers.means[cell.value].unstack("train_seed")
        values = table.to_numpy()  # (items, seeds)
        if np.isnan(values).any():
            of_model = f"model {cell.model} in run {cell.run}"
            if answers.means[cell.value].isna().all():
                raise NoModesError(f"the answers of {of_model} name no mode")
            raise ValueError(
                f"{of_model}: the training seeds hold different items of {name}; "
                "evaluate all of them on the same ones"
            )
        draws = self._draw(table.index, name, stats.item_weights) @ values  # (draws, seeds)
        n_seeds = values.shape[1]
        if n_seeds > 1:
            weights = self._draw(table.columns, "train_seed", stats.seed_weights)
            draws = (draws * weights).sum(1)
        else:
            draws = draws[:, 0]
        return Statistic(values.mean(), draws, {name: len(values)}, n_seeds, answers.runs)

    def _draw(self, drawn: pd.Index, name: str, weigh) -> np.ndarray:
        """(draws, len(drawn)): how much each weighs; the same for the same index and name.

        weigh: `stats.item_weights` or `stats.seed_weights`.
        """
        code = zlib.crc32("\n".join([name, *map(str, drawn)]).encode())
        if code not in self._weights:
            rng = np.random.default_rng([self.seed, code])
            self._weights[code] = weigh(rng, len(drawn), self.draws)[1:]
        return self._weights[code]

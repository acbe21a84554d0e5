"""Cells of the paper's tables from records: one table of item means and one set of bootstrap draws
for all of them.

Every cell is drawn with the same resampled items and the same weights of training seeds
(`stats.seed_weights`), so that sums of cells (differences, mixtures) are paired.
Models with the same training seeds share their draws; a model with one seed (a prompted one) has
none to resample.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pdlib import paper
from pdlib.analysis import stats
from pdlib.paper.catalogue import SYSTEMS, TABLE_2

NEEDED = [
    "run",
    "model",
    "kind",
    "benchmark",
    "item_id",
    "condition",
    "forced",
    "seed",
    "train_seed",
    "turn",
    "mode",
    "correct",
]
OBJECTIVE = ("pubmedqa", "triviaqa", "mmlu_pro", "supergpqa", "math500")
PERSONALIZED = ("personafeedback", "fspo_roleplay")
CONDITIONS = (
    "none",
    "unaligned",
    "aligned",
)  # the paper's; counterfactual conditions are no cell of its tables
BLOCKS = {
    "objective, unaligned persona": (OBJECTIVE, "unaligned"),
    "objective, aligned persona": (OBJECTIVE, "aligned"),
    "personalised, aligned persona": (PERSONALIZED, "aligned"),
}  # the three "Avg." of Tables 1, 2, 8 and 9
FAMILY = {
    model: system.family for model, system in SYSTEMS.items() if system.title
}  # of the rows of Tables 1 and 2
FAMILIES = {
    family: tuple(model for model, own in FAMILY.items() if own == family)
    for family in dict.fromkeys(FAMILY.values())
}
NAMES = {model: SYSTEMS[model].label for model in FAMILY}
ABLATIONS = tuple(model for model in TABLE_2 if model != "personadual")
VALUES = (
    "correct",
    "personalized",
    "named",
)  # right; answered in the personalised mode; in one of the two modes
_KEY = ["run", "model", "forced", "condition", "benchmark"]


class Missing(ValueError):
    """No records answer the question; the message is the reason."""


class Unpaired(Missing):
    """Two sides of a difference were not asked the same items."""


@dataclass(frozen=True)
class Cell:
    """Mean over `benchmarks` (each weighs alike) of `value` (one of VALUES) of one model under one
    condition.

    forced: none | general | personalized | either (right in at least one of the two forced modes).
    """

    run: str
    model: str
    benchmarks: tuple[str, ...]
    condition: str
    forced: str = "none"
    value: str = "correct"


@dataclass(frozen=True)
class Found:
    """A number with its bootstrap draws.  items: benchmark -> items; seeds: training seeds; runs:
    sampling runs.
    """

    mean: float
    draws: np.ndarray  # (draws,)
    items: dict
    seeds: int
    runs: int

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """Percentile interval; with `comparisons`, one that holds for all of them together
        (Bonferroni).
        """
        return stats.interval(self.draws, comparisons)

    def row(self) -> dict:
        """{mean, ci_low, ci_high, n}, as `stats.mean_interval` gives it."""
        low, high = self.interval()
        return {"mean": self.mean, "ci_low": low, "ci_high": high, "n": sum(self.items.values())}


class Cells:
    """All cells of `records`: first turns, the seven benchmarks, the paper's three conditions; the
    rest is left aside.

    Raises ValueError when the records are empty, lack a column, or hold no such answer.
    """

    def __init__(self, records: pd.DataFrame, draws: int = 1000, seed: int = 0):
        if records.empty:
            raise ValueError(
                "the records are empty; run `make reproduce`, or evaluate.run_records for each model"
            )
        if missing := set(NEEDED) - set(records.columns):
            raise ValueError(
                f"the records lack the columns {sorted(missing)}, found {sorted(records.columns)}; read them with "
                "evaluate.read_records, or evaluate again"
            )
        kept = records[
            (records.turn == 1)
            & records.condition.isin(CONDITIONS)
            & records.benchmark.isin(OBJECTIVE + PERSONALIZED)
        ]
        if kept.empty:
            raise ValueError(
                f"no single-turn records of the paper's conditions {CONDITIONS} on its benchmarks, found conditions "
                f"{sorted(records.condition.unique())} on {sorted(records.benchmark.unique())}"
            )
        self.draws, self.seed = draws, seed
        self._items = _item_means(kept)
        self._cache: dict[Cell, Found] = {}
        self._weights: dict = {}

    @classmethod
    def of(cls, records: "pd.DataFrame | Cells") -> "Cells":
        """`records` as cells; cells are passed through."""
        return records if isinstance(records, cls) else cls(records)

    @cached_property
    def models(self) -> dict[str, tuple[str, ...]]:
        """Run -> the models it holds, in the order of Table 1, others last."""
        held: dict[str, set] = {}
        for run, model, *_ in self._items:
            held.setdefault(run, set()).add(model)
        order = list(NAMES)
        return {
            run: tuple(
                sorted(models, key=lambda m: (order.index(m) if m in order else len(order), m))
            )
            for run, models in sorted(held.items())
        }

    @cached_property
    def benchmarks(self) -> set[str]:
        """The benchmarks that any run was asked."""
        return {key[4] for key in self._items}

    def one_run(self, run: str | None = None) -> str:
        """`run`, or the only one there is; ValueError when it is not there, or there are several to
        choose from.
        """
        if run is None and len(self.models) == 1:
            return next(iter(self.models))
        if run not in self.models:
            raise ValueError(
                f"found records of runs {', '.join(self.models)}, asked for {run}; name one of these"
            )
        return run

    def held(self, run: str, benchmarks: Sequence[str]) -> tuple[str, ...]:
        """Those of `benchmarks` that `run` was asked: a figure's average where not all seven are
        evaluated; all when it was asked none.
        """
        return tuple(
            name for name in benchmarks if any(k[0] == run and k[4] == name for k in self._items)
        ) or tuple(benchmarks)

    def __getitem__(self, cell: Cell) -> Found:
        """Raises Missing with the reason."""
        if cell not in self._cache:
            self._cache[cell] = self._find(cell)
        return self._cache[cell]

    def sum(self, terms: Sequence[tuple[float, Cell]]) -> Found:
        """Weighted sum of cells, paired by item; Unpaired when two of them are not of the same
        items of a benchmark.
        """
        parts = [(weight, self[cell]) for weight, cell in terms]
        items: dict[str, int] = {}
        for _, cell in terms:
            for name in cell.benchmarks:
                asked = [
                    self._items[key(other, name)].items
                    for _, other in terms
                    if name in other.benchmarks
                ]
                if any(not asked[0].equals(other) for other in asked[1:]):
                    raise Unpaired(
                        f"the sides of the difference were not asked the same items of {name} "
                        f"({', '.join(str(len(other)) for other in asked)} items); evaluate them on the same ones"
                    )
                items[name] = len(asked[0])
        return Found(
            round(float(sum(w * f.mean for w, f in parts)), 12),
            sum(w * f.draws for w, f in parts),
            items,
            max(f.seeds for _, f in parts),
            min(f.runs for _, f in parts),
        )

    def _find(self, cell: Cell) -> Found:
        asked = {"none": "answering freely", "either": "forced into both modes"}.get(
            cell.forced, f"forced into {cell.forced} mode"
        )
        if missing := [name for name in cell.benchmarks if key(cell, name) not in self._items]:
            where = f"no records of model {cell.model} in run {cell.run}, {asked}"
            some = any(k[:3] == (cell.run, cell.model, cell.forced) for k in self._items)
            raise Missing(
                f"{where}, persona {cell.condition}, on {', '.join(missing)}" if some else where
            )
        parts = [self._benchmark(cell, name) for name in cell.benchmarks]
        return Found(
            round(float(np.mean([p.mean for p in parts])), 12),
            np.mean([p.draws for p in parts], axis=0),
            {name: n for part in parts for name, n in part.items.items()},
            max(p.seeds for p in parts),
            min(p.runs for p in parts),
        )

    def _benchmark(self, cell: Cell, name: str) -> Found:
        asked = self._items[key(cell, name)]
        values = asked.means[cell.value].unstack("train_seed")
        if np.isnan(filled := values.to_numpy()).any():
            if asked.means[cell.value].isna().all():
                raise Missing(f"the answers of model {cell.model} in run {cell.run} name no mode")
            raise ValueError(
                f"model {cell.model} in run {cell.run}: the training seeds hold different items of {name}; evaluate all "
                "of them on the same ones"
            )
        per_seed = self._times(values.index, name) @ filled  # (draws, seeds)
        seeds = values.shape[1]
        draws = (
            (per_seed * self._times(values.columns, "train_seed", stats.seed_weights)).sum(1)
            if seeds > 1
            else per_seed[:, 0]
        )
        return Found(filled.mean(), draws, {name: len(values)}, seeds, asked.runs)

    def _times(self, drawn: pd.Index, name: str, weights=stats.times) -> np.ndarray:
        """(draws, len(drawn)): how much each weighs, by `weights`; the same for the same index and
        name.
        """
        code = zlib.crc32("\n".join([name, *map(str, drawn)]).encode())
        if code not in self._weights:
            self._weights[code] = weights(
                np.random.default_rng([self.seed, code]), len(drawn), self.draws
            )[1:]
        return self._weights[code]


def key(cell: Cell, benchmark: str) -> tuple:
    return cell.run, cell.model, cell.forced, cell.condition, benchmark


@dataclass(frozen=True)
class _Asked:
    """One model's answers to one benchmark: means over `runs` sampling runs by item_id and
    train_seed, and the item ids.
    """

    means: pd.DataFrame
    items: pd.Index
    runs: int


def _item_means(records: pd.DataFrame) -> dict[tuple, _Asked]:
    """(run, model, forced, condition, benchmark) -> answers."""
    rows = records[[*_KEY, "item_id", "train_seed", "seed"]].assign(
        correct=records.correct.astype(float),
        personalized=(records["mode"] == "personalized").astype(float),
        named=records["mode"].isin(("general", "personalized")).astype(float),
    )
    two_modes = rows.named.groupby([rows.run, rows.model]).transform("any")
    rows.loc[~two_modes, ["personalized", "named"]] = np.nan
    both = (
        rows[rows.forced != "none"]
        .groupby([n for n in rows if n not in ("forced", *VALUES)])
        .agg(correct=("correct", "max"), modes=("forced", "nunique"))
        .reset_index()
    )
    rows = pd.concat(
        [
            rows,
            both[both.modes == 2]
            .drop(columns="modes")
            .assign(forced="either", personalized=np.nan, named=np.nan),
        ]
    )
    rows[_KEY] = rows[_KEY].astype("category")
    found = (
        rows.groupby([*_KEY, "item_id", "train_seed"], observed=True)
        .agg(**{value: (value, "mean") for value in VALUES}, runs=("seed", "nunique"))
        .reset_index(level=["item_id", "train_seed"])
    )
    return {
        name: _Asked(
            group.set_index(["item_id", "train_seed"]),
            pd.Index(group.item_id.unique()),
            int(group.runs.min()),
        )
        for name, group in found.groupby(level=_KEY, observed=True)
    }


def mixing(
    cells: Cells, run: str, models: Sequence[str], ratios: Sequence[float] = paper.MIXING_RATIOS
) -> pd.DataFrame:
    """Fig. 3a: accuracy on test sets with a share of personalised questions: condition, model,
    ratio, mean, ci_low, ci_high, n.

    The objective questions are asked under `condition`, the personalised ones under the asker's own
    persona.
    """
    rows = []
    for condition in ("unaligned", "aligned"):
        for model in models:
            ends = (
                Cell(run, model, cells.held(run, OBJECTIVE), condition),
                Cell(run, model, cells.held(run, PERSONALIZED), "aligned"),
            )
            rows += [
                {"condition": condition, "model": model, "ratio": ratio}
                | cells.sum(list(zip((1 - ratio, ratio), ends))).row()
                for ratio in ratios
            ]
    return pd.DataFrame(rows)


def ablations(cells: Cells, run: str) -> pd.DataFrame:
    """Table 2: each system minus PersonaDual in the three averages, with intervals for one and for
    all comparisons.

    Columns measure, system, mean, ci_low, ci_high, wide_low, wide_high, n; systems without records
    are left out.
    """
    present = [model for model in ABLATIONS if model in cells.models.get(run, ())]
    if not present:
        raise Missing(f"no records of models {', '.join(ABLATIONS)} in run {run}")
    rows = []
    for block, (benchmarks, condition) in BLOCKS.items():
        benchmarks = cells.held(run, benchmarks)
        for model in present:
            found = cells.sum(
                [
                    (1, Cell(run, model, benchmarks, condition)),
                    (-1, Cell(run, "personadual", benchmarks, condition)),
                ]
            )
            low, high = found.interval(len(present) * len(BLOCKS))
            rows.append(
                {"measure": block, "system": NAMES[model]}
                | found.row()
                | {"wide_low": low, "wide_high": high}
            )
    return pd.DataFrame(rows)

"""The claims of the paper as paired differences and shares."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from pdlib.analysis.cells import CONDITIONS, Cell, Cells, MissingRecordsError, UnpairedError
from pdlib.analysis.stats import BLOCKS
from pdlib.paper.catalogue import ABLATIONS, DUAL, FAMILIES, label
from pdlib.report.entries import ledger

HEAD = ["claim", "ours", "ci_low", "ci_high", "n", "seeds", "paper", "direction"]
RIVALS = ("cot", "g_sft_rl", "p_sft_rl", "personadual_prompt", "personadual_router")
FORCED = {
    "general": "forced general",
    "personalized": "forced personalised",
    "either": "either mode right",
}
STATED = ("text", "figure3a", "figure3b", "figure5")  # artefacts that the paper states in words
Claim = tuple[str, list[tuple[float, Cell]]]  # what is claimed, a weighted sum of cells


def headline(
    records: pd.DataFrame | Cells,
    first_run: str,
    second_run: str | None = None,
    entries: Sequence[dict] | None = None,
) -> pd.DataFrame:
    """Claim, ours, ci_low, ci_high, n items, training seeds, one row per claim.

    For what the text states also the paper's number and the direction of ours. Averages are over
    the benchmarks that were asked. Claims about absent models are left out: the ledger has the
    reasons. entries: the ledger's, where it is at hand. Raises ValueError as `ledger` does, and
    when two sides of a difference do not hold the same items.
    """
    cells = Cells.of(records)
    entries = ledger(cells, first_run, second_run) if entries is None else entries
    rows = _answered(cells, first_run) if first_run in cells.models else []
    for entry in entries:
        if entry["artefact"] in STATED and entry["ours"] is not None:
            claim = f"{entry['artefact']}: {entry['row']}, {entry['column']}"
            rows.append({"claim": claim} | {name: entry[name] for name in HEAD[1:]})
    return pd.DataFrame(rows, columns=HEAD)


def _answered(cells: Cells, run: str) -> list[dict]:
    """A row per claim that the records of `run` can answer."""
    rows = []
    for claim, terms in _claims(cells, run):
        if any(cell.model not in cells.models[run] for _, cell in terms):
            continue
        try:
            total = cells.sum(terms)
        except UnpairedError as reason:
            raise ValueError(f"{claim}: {reason}") from None
        except MissingRecordsError:
            continue  # a condition or mode that was not asked: the ledger says so
        row = total.row()
        rows.append({"claim": claim, "ours": row.pop("mean")} | row | {"seeds": total.seeds})
    return rows


def _claims(cells: Cells, run: str) -> list[Claim]:
    """All claims, in the order of the table."""
    average = partial(cells.average, run)

    def change(model: str, kind: str, condition: str) -> list[tuple[float, Cell]]:
        return [(1, average(model, kind, condition)), (-1, average(model, kind, "none"))]

    claims: list[Claim] = []
    for model in ("backbone", "sft_only", "personadual"):
        name = label(model)
        for condition in ("unaligned", "aligned"):
            terms = change(model, "objective", condition)
            claims.append((f"{name}, objective: {condition} - none", terms))
        terms = change(model, "personalized", "aligned")
        claims.append((f"{name}, personalised: with - without persona", terms))

    for model in (*ABLATIONS, *RIVALS):
        lead, mean = f"PersonaDual - {label(model)}", []
        for block, where in BLOCKS.items():
            sides = [(1, average("personadual", *where)), (-1, average(model, *where))]
            claims.append((f"{lead}, {block}", sides))
            mean += [(weight / len(BLOCKS), cell) for weight, cell in sides]
        claims.append((f"{lead}, mean of the three columns", mean))

    for forced, name in FORCED.items():
        for block, where in BLOCKS.items():
            free = average("personadual", *where)
            other = average("personadual", *where, forced=forced)
            claims.append((f"PersonaDual, free - {name}, {block}", [(1, free), (-1, other)]))

    for model in FAMILIES[DUAL]:
        name = f"{label(model)}, personalised mode"
        share = average(model, "personalized", "aligned", value="personalized")
        claims.append((f"{name}: personalized, aligned", [(1, share)]))
        shares = {c: average(model, "objective", c, value="personalized") for c in CONDITIONS}
        claims += [(f"{name}: objective, {c}", [(1, share)]) for c, share in shares.items()]
        gap = [(1, shares["aligned"]), (-1, shares["unaligned"])]
        claims.append((f"{name}: objective aligned - unaligned", gap))
    return claims

"""The claims of the paper as paired differences and shares."""

from collections.abc import Sequence

import pandas as pd

from pdlib.analysis.cells import (
    ABLATIONS,
    FAMILIES,
    NAMES,
    OBJECTIVE,
    PERSONALIZED,
    Cell,
    Cells,
    Missing,
    Unpaired,
)
from pdlib.report.entries import ledger

HEAD = ["claim", "ours", "ci_low", "ci_high", "n", "seeds", "paper", "direction"]
AVERAGES = {
    "objective unaligned": (OBJECTIVE, "unaligned"),
    "objective aligned": (OBJECTIVE, "aligned"),
    "personalised": (PERSONALIZED, "aligned"),
}
RIVALS = ("cot", "g_sft_rl", "p_sft_rl", "personadual_prompt", "personadual_router")


def headline(
    records: pd.DataFrame | Cells,
    first_run: str,
    second_run: str | None = None,
    entries: Sequence[dict] | None = None,
) -> pd.DataFrame:
    """claim, ours, ci_low, ci_high, n items, training seeds, and for what the text states the
    paper's number and the direction of ours.

    Averages are over the benchmarks that were asked. Claims about absent models are left out: the
    ledger has the reasons. entries: the ledger's, where it is at hand. Raises ValueError as
    `ledger` does, and when two sides of a difference do not hold the same items.
    """
    cells = Cells.of(records)
    entries = ledger(cells, first_run, second_run) if entries is None else entries
    rows = _claims(cells, first_run) if first_run in cells.models else []
    rows += [
        {"claim": f"{e['artefact']}: {e['row']}, {e['column']}"} | {k: e[k] for k in HEAD[1:]}
        for e in entries
        if e["artefact"] in ("text", "figure3a", "figure3b", "figure5") and e["ours"] is not None
    ]
    return pd.DataFrame(rows, columns=HEAD)


def _claims(cells: Cells, run: str) -> list[dict]:
    models, rows = cells.models[run], []

    def cell(model, benchmarks, condition, forced="none", value="correct"):
        return Cell(run, model, cells.held(run, benchmarks), condition, forced, value)

    def add(claim, *terms):
        if all(term.model in models for _, term in terms):
            try:
                found = cells.sum(terms)
            except Unpaired as reason:
                raise ValueError(f"{claim}: {reason}") from None
            except Missing:
                return  # a condition or mode that was not asked: the ledger says so
            row = found.row()
            rows.append({"claim": claim, "ours": row.pop("mean")} | row | {"seeds": found.seeds})

    for model in ("backbone", "sft_only", "personadual"):
        for condition in ("unaligned", "aligned"):
            add(
                f"{NAMES[model]}, objective: {condition} - none",
                (1, cell(model, OBJECTIVE, condition)),
                (-1, cell(model, OBJECTIVE, "none")),
            )
        add(
            f"{NAMES[model]}, personalised: with - without persona",
            (1, cell(model, PERSONALIZED, "aligned")),
            (-1, cell(model, PERSONALIZED, "none")),
        )
    for model in (*ABLATIONS, *RIVALS):
        sides = [
            ((1, cell("personadual", *where)), (-1, cell(model, *where)))
            for where in AVERAGES.values()
        ]
        for name, side in zip(AVERAGES, sides):
            add(f"PersonaDual - {NAMES[model]}, {name}", *side)
        add(
            f"PersonaDual - {NAMES[model]}, mean of the three columns",
            *((w / len(sides), c) for side in sides for w, c in side),
        )
    for forced, name in (
        ("general", "forced general"),
        ("personalized", "forced personalised"),
        ("either", "either mode right"),
    ):
        for where, block in AVERAGES.items():
            add(
                f"PersonaDual, free - {name}, {where}",
                (1, cell("personadual", *block)),
                (-1, cell("personadual", *block, forced)),
            )
    for model in FAMILIES["dual-mode"]:
        share = {
            c: cell(model, OBJECTIVE, c, value="personalized")
            for c in ("none", "unaligned", "aligned")
        }
        add(
            f"{NAMES[model]}, personalised mode: personalized, aligned",
            (1, cell(model, PERSONALIZED, "aligned", value="personalized")),
        )
        for condition, one in share.items():
            add(f"{NAMES[model]}, personalised mode: objective, {condition}", (1, one))
        add(
            f"{NAMES[model]}, personalised mode: objective aligned - unaligned",
            (1, share["aligned"]),
            (-1, share["unaligned"]),
        )
    return rows

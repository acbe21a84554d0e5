"""The ledger: one entry for each number of the paper.

What its comparison, status and direction say is defined in `status`, its note is worded in `notes`.
"""

import pandas as pd

from pdlib import paper
from pdlib.analysis.cells import Cells, MissingRecordsError
from pdlib.report import counterparts, notes, status
from pdlib.report.evidence import Evidence
from pdlib.report.measurements import Measurements

# its status is that of the numbers of Fig. 5 that the paper does not print
OUTNUMBERED = "figure5/top 30 words/share of the other groups that occupation outnumbers"


def ledger(
    records: pd.DataFrame | Cells,
    first_run: str,
    second_run: str | None = None,
    paper_training: bool = False,
    dialogues: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
    profiles: pd.DataFrame | None = None,
    facts: dict[str, list[str]] | None = None,
) -> list[dict]:
    """One entry for each of `paper.numbers()`, with the paper's number and ours.

    Keys: id, artefact, row, column, paper, ours, ci_low, ci_high, n, seeds, margin, comparison,
    status, direction, quotation, note.

    first_run, second_run: the runs that stand for the paper's Qwen3 and Llama backbones.
    paper_training: the trained systems were trained as Table 6 prints (profile paper). dialogues:
    records of `dialogues.answer`, if there are any. answers: PersonaDual's in first_run, as
    `lexical.sample` draws them, for Fig. 5. profiles: scores of RLPA's policies, see `rlpa.ledger`.
    facts: what personas may state, by which Fig. 5's words are grouped; None: by their text.

    ci_low, ci_high: 95 %. n: items; seeds: training seeds; with one, the interval covers items
    alone. margin, comparison, status, direction: see `status`; the first two are None for counts
    and for what the paper does not print. A number without records has ours None, seeds 0,
    comparison None, status "not attempted" and the reason in note. Raises ValueError when the
    records are empty, lack a column or hold nothing of either run, or when both runs are one.
    """
    cells = Cells.of(records)
    if first_run == second_run:
        raise ValueError(
            f"run {first_run!r} is given as first and as second backbone; name another, or None"
        )
    if first_run not in cells.models and second_run not in cells.models:
        raise ValueError(
            f"no single-turn records of run {first_run!r}, found runs {sorted(cells.models)}; "
            "name one of these, or evaluate it first"
        )
    runs = {"first": first_run, "second": second_run}
    evidence = Evidence(cells, runs, paper_training, dialogues, answers, profiles, facts)
    measurements = Measurements(evidence)
    return [_entry(number, measurements, evidence) for number in paper.numbers()]


def _entry(number: paper.Number, measurements: Measurements, evidence: Evidence) -> dict:
    entry = {
        "id": number.id,
        "artefact": number.artefact,
        "row": number.row,
        "column": number.column,
        "paper": number.value,
        "ours": None,
        "ci_low": None,
        "ci_high": None,
        "n": None,
        "seeds": 0,
        "margin": status.margin(number.value, number.rounding),
        "comparison": None,
        "status": "not attempted",
        "direction": None,
        "quotation": number.quotation,
        "note": "",
    }
    try:
        measurement = measurements.of(number)
    except MissingRecordsError as reason:
        return entry | {"note": str(reason)}
    ours = measurement.ours
    low, high = ours.interval(measurement.comparisons)
    departures = notes.departures(number, ours, evidence)
    comparison = None
    if entry["margin"] is not None:
        comparison = status.compare(ours, number.value, number.rounding, measurement.comparisons)
    if departures:
        verdict = "scaled-down"
    elif comparison is None:  # not printed: what the text says of it is
        statement = counterparts.numbers()[OUTNUMBERED]
        verdict = _entry(statement, measurements, evidence)["status"]
    else:
        verdict = status.STATUS[comparison]
    return entry | {
        "ours": ours.mean,
        "ci_low": low,
        "ci_high": high,
        "n": sum(ours.items.values()),
        "seeds": ours.seeds,
        "comparison": comparison,
        "status": verdict,
        "direction": measurement.direction,
        "note": "; ".join(filter(None, [measurement.remark, *departures])),
    }

"""AlignX: preference questions whose asker is known by the answers they preferred before."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml

from pdlib.questions import preferences, rows
from pdlib.schema import Item, Persona

HISTORY = "Pair-wise Comparative Feedback"
DIRECTION = "Preference Direction"


@cache
def directions() -> list[tuple[str, str]]:
    """The 90 preference directions: (what a value near 1 says, what a value near 0 says).

    Both follow the words "someone who".
    """
    path = Path(__file__).parent / "alignx_directions.yaml"
    lines = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [tuple(line.split(" | ")) for line in lines]


def preference_persona(history: Sequence[Sequence[float]]) -> Persona | None:
    """The persona of AlignX histories, each of which is 90 numbers from 0 to 1.

    A direction whose mean is at least 0.6 speaks in its first wording, at most 0.4 in its second.
    Where all means lie between, the most extreme ones speak (the authors' rule). Where all are 0.5,
    nothing is known: None.
    """
    n = len(history)
    sums = [sum(values) for values in zip(*history, strict=True)]  # exact of halves; means are not
    wordings = {}  # index of a direction -> 0 for its first wording, 1 for its second
    for index, total in enumerate(sums):
        if total / n >= 0.6:
            wordings[index] = 0
        elif total / n <= 0.4:
            wordings[index] = 1
    if not wordings and set(sums) != {n / 2}:
        highest, lowest = max(sums), min(sums)
        extreme, wording = (highest, 0) if n - highest < lowest else (lowest, 1)
        wordings = {index: wording for index, total in enumerate(sums) if total == extreme}
    if not wordings:
        return None
    phrases = [directions()[index][wording] for index, wording in wordings.items()]
    text = f"{', '.join(phrases[:-1])} and {phrases[-1]}" if len(phrases) > 1 else phrases[0]
    values = {str(index): 1 - wording for index, wording in wordings.items()}
    return Persona(f"someone who {text}", {"directions": values})


def read_row(location: str, row: dict) -> Item | str:
    """The item of a row, or why the row is left out; ValueError for a row of another form."""
    question, better, worse = (
        rows.text(location, row, column, may_be_empty=True)
        for column in ("prompt", "chosen", "rejected")
    )
    if reason := preferences.no_preference(question, better, worse):
        return reason
    history = [
        entry.get(DIRECTION) if isinstance(entry, dict) else None for entry in row[HISTORY] or ()
    ]
    for values in history:
        if not _is_direction(values):
            raise ValueError(
                f"{location}: '{DIRECTION}' must be {len(directions())} numbers from 0 to 1, "
                f"found {str(values)[:200]}"
            )
    persona = preference_persona(history) if history else None
    if persona is None:
        return "no preference in the history"
    return preferences.make_item("alignx", question, better, worse, persona, {"question": question})


def _is_direction(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) == len(directions())
        and all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values)
    )

"""Where the numbers of a document come from: comments that name file, row and columns.

A comment binds the numbers since the comment before it (or since the paragraph began), in order:

    It gains 2.2 points (0.8 to 3.5) <!-- headline.csv: claim="PersonaDual - CoT" -> 100*ours,
    100*ci_low, 100*ci_high; says higher -->

- file: a CSV, or a JSON that is a list of rows, within outputs/reference. Then the row:
  `column="value"`, several joined by commas.
- after `->`: a column for each number, perhaps with a factor (`100*`, `-`, `-100*`); `count()` is
  how many rows there are. It may be 0 only of words that the ledger could have said, so that a
  misspelt one is seen.
- `says higher | lower | undecided`, optional: what the words take from the first column and its
  interval (the next two columns), as they stand in the file, without the factor. `results.check`
  fails where the table says something else, so new numbers cannot leave old words.

A comment stands behind words, never at the beginning of a line: there Markdown ends the paragraph,
and a page that is rendered falls apart. A number keeps the form in which it is written: its
decimals, a plus sign, a zero before the point. Not numbers of a claim: what stands in code marks or
in a link's target, "95 %", "Table 2", "Fig. 5", and digits within a word (MATH500).
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pdlib.analysis import stats
from pdlib.report.status import DIRECTIONS, STATUS, STATUSES
from pdlib.run.stages import REFERENCE

VERDICTS = {1: "higher", -1: "lower", 0: "undecided"}  # of `stats.side`
COUNT = "count()"
WORDS = {  # columns of the ledger whose every word is known
    "status": STATUSES,
    "comparison": tuple(STATUS),
    "direction": DIRECTIONS,
}
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_SPECIFICATION = re.compile(
    r"\s*(?P<file>[\w./-]+)\s*:\s*(?P<where>.*?)\s*->\s*(?P<columns>[^;]+?)"
    r"\s*(?:;\s*says\s+(?P<says>\w+))?\s*",
    re.DOTALL,
)
_FILTER = re.compile(r'(\w+)\s*=\s*"([^"]*)"')
_COLUMN = re.compile(r"(?P<minus>-?)(?:(?P<factor>\d+)\*)?(?P<name>\w+|count\(\))")
_LINE_START = re.compile(r"^[ \t]*<!--.*", re.MULTILINE)
_PARAGRAPH = re.compile(r"(?:(?!\n[ \t]*\n).)+", re.DOTALL)
_SKIP = re.compile(r"`[^`]*`|\]\([^)]*\)|\b95 %|\b(?:Table|Fig\.|Eq\.) \d+\w*")
_NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d+\.\d+|\.\d+|\d+)(?![\w]|\.\d)")


class Printed(NamedTuple):
    """A number as it is printed, and its place in the document."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Citation:
    """The numbers that one comment binds. text: the words before it."""

    text: str
    numbers: tuple[Printed, ...]
    comment: str


class Source(NamedTuple):
    """What the file of a citation says.

    values: one for each column. verdict: of the table; words: the verdict that the document's words
    take; both are None where the comment says none.
    """

    values: list[float]
    verdict: str | None = None
    words: str | None = None


def numbers(text: str, start: int = 0) -> list[Printed]:
    """The numbers that need a source; places are counted from `start`.

    >>> [number.text for number in numbers("Table 2: +1.5 points (0.2 to .9) at 95 %, MATH500")]
    ['+1.5', '0.2', '.9']
    """
    blank = _SKIP.sub(lambda match: " " * len(match[0]), text)
    return [
        Printed(start + match.start(), start + match.end(), match[0])
        for match in _NUMBER.finditer(blank)
    ]


def citations(text: str) -> tuple[list[Citation], list[str]]:
    """(the citations of the document in order, faults).

    Faults are numbers that no comment binds, and comments at the beginning of a line.
    """
    bound = []
    faults = [
        f"{line.strip()[:80]!r} begins a line, which ends the paragraph; "
        "move it to the end of the line before"
        for line in _LINE_START.findall(text)
    ]
    for paragraph in _PARAGRAPH.finditer(text):
        start = paragraph.start()
        for comment in _COMMENT.finditer(text, paragraph.start(), paragraph.end()):
            words = text[start : comment.start()]
            bound.append(Citation(_one_line(words), tuple(numbers(words, start)), comment[1]))
            start = comment.end()
        rest = text[start : paragraph.end()]
        if loose := numbers(rest):
            faults.append(
                f"{', '.join(number.text for number in loose)}: no comment names where this comes "
                f'from, in {_one_line(rest)!r}; add <!-- file: column="value" -> columns -->'
            )
    return bound, faults


def _one_line(text: str) -> str:
    return " ".join(text.split())


@cache
def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"there is no {path.name} in {path.parent}")
    if path.suffix != ".json":
        return pd.read_csv(path)
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path.name} is no list of rows; name a CSV, or a JSON that is one")
    return pd.DataFrame(rows)


def look_up(comment: str, folder: Path = REFERENCE) -> Source:
    """What the comment's file says.

    ValueError where the comment cannot be read, or names no row, more than one, or a column that is
    not there.
    """
    comment = _one_line(comment)
    named = _SPECIFICATION.fullmatch(comment)
    if named is None or _FILTER.sub("", named["where"]).strip(" ,"):
        raise ValueError(
            f'cannot read {comment!r}, expected file: column="value", ... -> column, ...; '
            f"says {' | '.join(VERDICTS.values())}"
        )
    filters = _FILTER.findall(named["where"])
    columns = [_COLUMN.fullmatch(name.strip()) for name in named["columns"].split(",")]
    if None in columns:
        raise ValueError(
            f"cannot read the columns {named['columns']!r}, expected names, perhaps with a factor: "
            "100*mean, -mean"
        )
    rows = _rows(_table(folder / named["file"]), named, filters, columns)
    if all(column["name"] == COUNT for column in columns):
        return Source([float(len(rows))] * len(columns))
    row = rows.iloc[0]
    values = [
        float(row[column["name"]]) * float(column["factor"] or 1) * (-1 if column["minus"] else 1)
        for column in columns
    ]
    if named["says"] is None:
        return Source(values)
    if named["says"] not in VERDICTS.values() or len(columns) < 3:
        raise ValueError(
            f"says {named['says']!r}, expected one of {', '.join(VERDICTS.values())} "
            "after a mean and both ends of its interval"
        )
    low, high = sorted(float(row[column["name"]]) for column in columns[1:3])
    return Source(values, VERDICTS[stats.side(low, high)], named["says"])


def _rows(
    table: pd.DataFrame,
    named: re.Match,
    filters: list[tuple[str, str]],
    columns: list[re.Match],
) -> pd.DataFrame:
    """The rows that the filters leave: one, or any number where they are counted."""
    counted = [column["name"] == COUNT for column in columns]
    needed = {name for name, _ in filters}
    needed |= {column["name"] for column in columns} - {COUNT}
    if missing := sorted(needed - set(table)):
        raise ValueError(
            f"{named['file']} has no column {', '.join(missing)}, found {', '.join(table)}"
        )
    rows = table
    for name, value in filters:
        rows = rows[rows[name].astype(str) == value]
    if not all(counted) and len(rows) != 1:
        raise ValueError(
            f"{named['file']} has {len(rows)} rows with {named['where']}, expected one; "
            "name the columns that tell them apart"
        )
    is_known = all(value in WORDS.get(name, ()) for name, value in filters)
    if rows.empty and not is_known:
        raise ValueError(
            f"{named['file']} has no row with {named['where']}; "
            f"a count may be 0 only for {', '.join(WORDS)} of the ledger"
        )
    return rows

"""RESULTS.md and its numbers: each claim is followed by a comment that names the file, the rows and
the columns of its numbers.

`python -m pdlib.report.results` rewrites the numbers of RESULTS.md in place, never its words, and
lists what has to be read again.

A comment binds the numbers since the comment before it (or since the paragraph began), in order:

    It gains 2.2 points (0.8 to 3.5) <!-- headline.csv: claim="PersonaDual - CoT" -> 100*ours,
    100*ci_low, 100*ci_high; says higher -->

- file: a CSV, or a JSON that is a list of rows, within outputs/reference. Then the row:
  `column="value"`, several joined by commas.
- after `->`: a column for each number, perhaps with a factor (`100*`, `-`, `-100*`); `count()` is
  how many rows there are. It may be 0 only of words that the ledger could have said, so that a
  misspelt one is seen.
- `says higher | lower | undecided`, optional: what the words take from the first column and its
  interval (the next two columns), as they stand in the file, without the factor. `check` fails
  where the table says something else, so new numbers cannot leave old words.
A comment stands behind words, never at the beginning of a line: there Markdown ends the paragraph,
and a page that is rendered falls apart. A number keeps the form in which it is written: its
decimals, a plus sign, a zero before the point. Not numbers of a claim: what stands in code marks or
in a link's target, "95 %", "Table 2", "Fig. 5", and digits within a word (MATH500).
"""

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from pdlib.report.status import DIRECTIONS, STATUS, STATUSES
from pdlib.run.stages import REFERENCE, ROOT

RESULTS = ROOT / "RESULTS.md"
VERDICTS = ("higher", "lower", "undecided")
COUNT = "count()"
WORDS = {
    "status": STATUSES,
    "comparison": tuple(STATUS),
    "direction": DIRECTIONS,
}  # columns whose every word is known
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_SPEC = re.compile(
    r"\s*(?P<file>[\w./-]+)\s*:\s*(?P<where>.*?)\s*->\s*(?P<columns>[^;]+?)\s*(?:;\s*says\s+(?P<says>\w+))?\s*",
    re.DOTALL,
)
_FILTER = re.compile(r'(\w+)\s*=\s*"([^"]*)"')
_COLUMN = re.compile(r"(?P<minus>-?)(?:(?P<factor>\d+)\*)?(?P<name>\w+|count\(\))")
_LINE_START = re.compile(r"^[ \t]*<!--.*", re.MULTILINE)
_SKIP = re.compile(r"`[^`]*`|\]\([^)]*\)|\b95 %|\b(?:Table|Fig\.|Eq\.) \d+\w*")
_NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d+\.\d+|\.\d+|\d+)(?![\w]|\.\d)")


@dataclass(frozen=True)
class Claim:
    """The numbers that one comment binds. text: the words before it; numbers: as printed, with
    their places in the document.
    """

    text: str
    numbers: tuple[tuple[int, int, str], ...]
    comment: str


def numbers(text: str, start: int = 0) -> list[tuple[int, int, str]]:
    """(start, end, as printed) of the numbers that need a source; places are counted from `start`.

    >>> [shown for _, _, shown in numbers("Table 2: +1.5 points (0.2 to .9) at 95 %, MATH500")]
    ['+1.5', '0.2', '.9']
    """
    blank = _SKIP.sub(lambda found: " " * len(found[0]), text)
    return [
        (start + found.start(), start + found.end(), found[0]) for found in _NUMBER.finditer(blank)
    ]


def claims(text: str) -> tuple[list[Claim], list[str]]:
    """(the claims of the document in order, faults: numbers that no comment binds, comments at the
    beginning of a line).
    """
    found = []
    faults = [
        f"{line.strip()[:80]!r} begins a line, which ends the paragraph; move it to the end of the line before"
        for line in _LINE_START.findall(text)
    ]
    for paragraph in re.finditer(r"(?:(?!\n[ \t]*\n).)+", text, re.DOTALL):
        at = paragraph.start()
        for comment in _COMMENT.finditer(text, paragraph.start(), paragraph.end()):
            words = text[at : comment.start()]
            found.append(Claim(" ".join(words.split()), tuple(numbers(words, at)), comment[1]))
            at = comment.end()
        if loose := numbers(text[at : paragraph.end()]):
            faults.append(
                f"{', '.join(shown for _, _, shown in loose)}: no comment names where this comes from, in "
                f'{" ".join(text[at : paragraph.end()].split())!r}; add <!-- file: column="value" -> columns -->'
            )
    return found, faults


@cache
def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"there is no {path.name} in {path.parent}")
    rows = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else None
    if rows is not None and not (
        isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    ):
        raise ValueError(f"{path.name} is no list of rows; name a CSV, or a JSON that is one")
    return pd.read_csv(path) if rows is None else pd.DataFrame(rows)


def look_up(comment: str, folder: Path = REFERENCE) -> tuple[list[float], str | None, str | None]:
    """(a value for each column of the comment, the verdict of the table, the verdict that the words
    take), the last two None where the comment says none. ValueError where the comment cannot be
    read, or names no row, more than one, or a column that is not there.
    """
    comment = " ".join(comment.split())
    spec = _SPEC.fullmatch(comment)
    if spec is None or _FILTER.sub("", spec["where"]).strip(" ,"):
        raise ValueError(
            f'cannot read {comment!r}, expected file: column="value", ... -> column, ...; says {" | ".join(VERDICTS)}'
        )
    table, where = _table(folder / spec["file"]), _FILTER.findall(spec["where"])
    columns = [_COLUMN.fullmatch(name.strip()) for name in spec["columns"].split(",")]
    if None in columns:
        raise ValueError(
            f"cannot read the columns {spec['columns']!r}, expected names, perhaps with a factor: 100*mean, -mean"
        )
    named = {name for name, _ in where} | {
        column["name"] for column in columns if column["name"] != COUNT
    }
    if missing := sorted(named - set(table)):
        raise ValueError(
            f"{spec['file']} has no column {', '.join(missing)}, found {', '.join(table)}"
        )
    rows = table
    for name, value in where:
        rows = rows[rows[name].astype(str) == value]
    if all(column["name"] == COUNT for column in columns):
        if rows.empty and not all(value in WORDS.get(name, ()) for name, value in where):
            raise ValueError(
                f"{spec['file']} has no row with {spec['where']}; a count may be 0 only for {', '.join(WORDS)} of the ledger"
            )
        return [float(len(rows))] * len(columns), None, None
    if len(rows) != 1:
        raise ValueError(
            f"{spec['file']} has {len(rows)} rows with {spec['where']}, expected one; name the columns that tell them apart"
        )
    row = rows.iloc[0]
    values = [
        float(row[c["name"]]) * float(c["factor"] or 1) * (-1 if c["minus"] else 1) for c in columns
    ]
    if spec["says"] is None:
        return values, None, None
    if spec["says"] not in VERDICTS or len(columns) < 3:
        raise ValueError(
            f"says {spec['says']!r}, expected one of {', '.join(VERDICTS)} after a mean and both ends of its interval"
        )
    low, high = sorted(float(row[c["name"]]) for c in columns[1:3])
    return values, "higher" if low > 0 else "lower" if high < 0 else "undecided", spec["says"]


def as_printed(value: float, shown: str) -> str:
    """`value` in the form of `shown`.

    >>> as_printed(0.5449, ".52"), as_printed(2.04, "+1.7"), as_printed(-0.04, "0.1"), as_printed(512.0, "500")
    ('.54', '+2.0', '0.0', '512')
    """
    digits = len(shown.partition(".")[2])
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    if shown.lstrip("+-").startswith("."):
        text = re.sub(r"^(-?)0\.", r"\1.", text)
    return "+" + text if shown.startswith("+") and not text.startswith("-") else text


def _each(
    text: str, folder: Path, use: Callable[[Claim, list[float], str | None, str | None], None]
) -> list[str]:
    """Calls `use` for every claim that can be looked up; the faults of all others."""
    found, faults = claims(text)
    for claim in found:
        try:
            values, table, words = look_up(claim.comment, folder)
        except ValueError as reason:
            faults.append(f"{reason}, after {claim.text!r}")
            continue
        if len(values) != len(claim.numbers):
            faults.append(
                f"{len(claim.numbers)} numbers ({', '.join(shown for _, _, shown in claim.numbers)}) but {len(values)} columns, "
                f"in {claim.text!r}"
            )
            continue
        use(claim, values, table, words)
    return faults


def check(text: str, folder: Path = REFERENCE) -> list[str]:
    """What is wrong with the document, a line each: numbers without a comment, comments that begin
    a line or have no row, numbers that the files do not hold, words that the interval does not bear
    out. Nothing for a document that is right.
    """
    wrong = []

    def compare(claim, values, table, words):
        for (_, _, shown), value in zip(claim.numbers, values):
            if as_printed(value, shown) != shown:
                wrong.append(
                    f"{shown} printed, {as_printed(value, shown)} in the file, in {claim.text!r}"
                )
        if table != words:
            wrong.append(f"the words say {words}, the interval says {table}, in {claim.text!r}")

    return _each(text, folder, compare) + wrong


def rewrite(text: str, folder: Path = REFERENCE) -> tuple[str, list[str], list[str]]:
    """(the document with the files' numbers, sentences to read again, faults): the words stay.

    To be read again: a sentence whose first number changed its sign, or whose words say another
    verdict than the interval.
    """
    edits, again = [], []

    def note(claim, values, table, words):
        new = [as_printed(value, shown) for (_, _, shown), value in zip(claim.numbers, values)]
        edits.extend((start, end, to) for (start, end, _), to in zip(claim.numbers, new))
        old = claim.numbers[0][2] if claim.numbers else "0"
        if new and (float(old) > 0) - (float(old) < 0) != (float(new[0]) > 0) - (float(new[0]) < 0):
            again.append(f"the sign changed, {old} is now {new[0]}: {claim.text}")
        elif table != words:
            again.append(f"the words say {words}, the interval says {table}: {claim.text}")

    faults = _each(text, folder, note)
    for start, end, to in sorted(edits, reverse=True):
        text = text[:start] + to + text[end:]
    return text, again, faults


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pdlib.report.results", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument("--check", action="store_true", help="change nothing, list what is wrong")
    if parser.parse_args().check:
        faults = check(RESULTS.read_text(encoding="utf-8"))
        print(
            *faults or [f"every number of {RESULTS.name} stands in {REFERENCE.relative_to(ROOT)}"],
            sep="\n",
        )
        return bool(faults)
    text, again, faults = rewrite(RESULTS.read_text(encoding="utf-8"))
    RESULTS.write_text(text, encoding="utf-8")
    for title, lines in {"read again": again, "mend": faults}.items():
        print(f"{title}: {len(lines)}", *(f"- {line}" for line in lines), sep="\n")
    return bool(again or faults)


if __name__ == "__main__":
    raise SystemExit(main())

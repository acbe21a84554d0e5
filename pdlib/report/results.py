"""RESULTS.md and its numbers.

`python -m pdlib.report.results` rewrites the numbers of RESULTS.md in place, never its words, and
lists what has to be read again. Where a number comes from says a comment behind it, see
`citations`.
"""

import argparse
import re
from pathlib import Path

from pdlib.report.citations import Citation, Source, citations, look_up
from pdlib.run.stages import REFERENCE, ROOT

RESULTS = ROOT / "RESULTS.md"


def as_printed(value: float, printed: str) -> str:
    """`value` in the form of `printed`.

    >>> as_printed(0.5449, ".52"), as_printed(2.04, "+1.7"), as_printed(-0.04, "0.1")
    ('.54', '+2.0', '0.0')
    """
    digits = len(printed.partition(".")[2])
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    if printed.lstrip("+-").startswith("."):
        text = re.sub(r"^(-?)0\.", r"\1.", text)
    return "+" + text if printed.startswith("+") and not text.startswith("-") else text


def _sourced(text: str, folder: Path) -> tuple[list[tuple[Citation, Source]], list[str]]:
    """(citations that can be looked up, with what their file says; the faults of all others)."""
    sourced = []
    bound, faults = citations(text)
    for citation in bound:
        try:
            source = look_up(citation.comment, folder)
        except ValueError as reason:
            faults.append(f"{reason}, after {citation.text!r}")
            continue
        if len(source.values) == len(citation.numbers):
            sourced.append((citation, source))
            continue
        printed = ", ".join(number.text for number in citation.numbers)
        faults.append(
            f"{len(citation.numbers)} numbers ({printed}) but {len(source.values)} columns, "
            f"in {citation.text!r}"
        )
    return sourced, faults


def check(text: str, folder: Path = REFERENCE) -> list[str]:
    """What is wrong with the document, a line each; nothing for a document that is right.

    Wrong are numbers without a comment, comments that begin a line or have no row, numbers that the
    files do not hold, words that the interval does not bear out.
    """
    sourced, faults = _sourced(text, folder)
    wrong = []
    for citation, source in sourced:
        for number, value in zip(citation.numbers, source.values, strict=True):
            stored = as_printed(value, number.text)
            if stored != number.text:
                wrong.append(f"{number.text} printed, {stored} in the file, in {citation.text!r}")
        if source.verdict != source.words:
            wrong.append(f"{_contradiction(source)}, in {citation.text!r}")
    return faults + wrong


def _contradiction(source: Source) -> str:
    return f"the words say {source.words}, the interval says {source.verdict}"


def rewrite(text: str, folder: Path = REFERENCE) -> tuple[str, list[str], list[str]]:
    """(the document with the files' numbers, sentences to read again, faults): the words stay.

    To be read again: a sentence whose first number changed its sign, or whose words say another
    verdict than the interval.
    """
    sourced, faults = _sourced(text, folder)
    edits, again = [], []
    for citation, source in sourced:
        pairs = zip(citation.numbers, source.values, strict=True)
        new = [as_printed(value, number.text) for number, value in pairs]
        edits += zip(citation.numbers, new, strict=True)
        if new and _sign(citation.numbers[0].text) != _sign(new[0]):
            change = f"the sign changed, {citation.numbers[0].text} is now {new[0]}"
            again.append(f"{change}: {citation.text}")
        elif source.verdict != source.words:
            again.append(f"{_contradiction(source)}: {citation.text}")
    for number, value in sorted(edits, reverse=True):
        text = text[: number.start] + value + text[number.end :]
    return text, again, faults


def _sign(printed: str) -> int:
    """1, 0 or -1."""
    value = float(printed)
    return (value > 0) - (value < 0)


def main() -> int:
    """Rewrite or check RESULTS.md; 1 where something has to be read again or mended."""
    parser = argparse.ArgumentParser(
        prog="python -m pdlib.report.results", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument("--check", action="store_true", help="change nothing, list what is wrong")
    arguments = parser.parse_args()
    text = RESULTS.read_text(encoding="utf-8")
    if arguments.check:
        faults = check(text)
        right = f"every number of {RESULTS.name} stands in {REFERENCE.relative_to(ROOT)}"
        print(*faults or [right], sep="\n")
        return bool(faults)
    text, again, faults = rewrite(text)
    RESULTS.write_text(text, encoding="utf-8")
    for title, lines in {"read again": again, "mend": faults}.items():
        print(f"{title}: {len(lines)}", *(f"- {line}" for line in lines), sep="\n")
    return bool(again or faults)


if __name__ == "__main__":
    raise SystemExit(main())

"""The table of the paper's claims at three sizes, in words, as README and RESULTS.md show it.

`make reference` writes it there and to outputs/reference/sizes.csv.
"""

import re
from pathlib import Path

import pandas as pd

from pdlib.report.formats import points
from pdlib.report.sizes import FAILS, HOLDS, NOT_RUN, OPEN, SIZES, claim_table
from pdlib.run.stages import REFERENCE, ROOT

FILE = "sizes.csv"
HEADER = "| claim of the paper |"  # how the table begins in README and in RESULTS.md
PAPER = "8 B"  # parameters of the paper's model
# what the verdicts of both sizes say together, in the order in which it is told
TOGETHER = {
    frozenset({HOLDS}): "At both of our sizes these hold",
    frozenset({HOLDS, NOT_RUN}): "These hold at the one size that was run",
    frozenset({HOLDS, OPEN}): "These hold at one size and are undecided at the other",
    frozenset({HOLDS, FAILS}): "These hold at one size and fail at the other",
    frozenset({FAILS}): "These fail at both",
}
AT_NEITHER = "These are shown at neither"  # for all other verdicts


def together(claims: pd.DataFrame) -> dict[str, list[str]]:
    """What both sizes say together -> the claims, rows of `claim_table`, of which it is true."""
    groups: dict[str, list[str]] = {sentence: [] for sentence in (*TOGETHER.values(), AT_NEITHER)}
    for _, row in claims.iterrows():
        verdicts = frozenset(row[f"{size}_verdict"] for size in SIZES.values())
        groups[TOGETHER.get(verdicts, AT_NEITHER)].append(row.claim)
    return groups


def markdown(claims: pd.DataFrame, cited: bool = False) -> str:
    """`claim_table` in points, a line per claim, and `together` below.

    cited: each number is followed by the comment that RESULTS.md wants, see `results`.
    """
    lines = [
        f"{HEADER} `{PAPER}`, printed | " + " | ".join(f"`{name}`, here" for name in SIZES) + " |",
        "|---|---|" + "---|" * len(SIZES),
    ]
    for _, row in claims.iterrows():
        cells = [points(row.paper, "+") + (_source(row.claim, "paper") if cited else "")]
        cells += [_measured(row, size, cited) for size in SIZES.values()]
        lines.append(f"| {row.claim} | " + " | ".join(cells) + " |")
    summary = [
        f"- *{sentence}:* {'; '.join(group)}."
        for sentence, group in together(claims).items()
        if group
    ]
    return "\n".join([*lines, "", *summary])


def _measured(row: pd.Series, size: str, cited: bool) -> str:
    """A cell of the table: what one of our sizes says of a claim."""
    if not row[f"{size}_from"]:
        return NOT_RUN
    columns = [f"{size}_ours", f"{size}_low", f"{size}_high"]
    ours, low, high = (row[name] for name in columns)
    text = f"{row[f'{size}_verdict']}: {points(ours, '+')} ({points(low)} to {points(high)})"
    return text + (_source(row.claim, *columns) if cited else "")


def _source(claim: str, *columns: str) -> str:
    """The comment that says where a claim's numbers stand."""
    names = ", ".join(f"100*{name}" for name in columns)
    return f' <!-- {FILE}: claim="{claim}" -> {names} -->'


def replaced(text: str, lines: str) -> str:
    """`text` with its table of sizes, and the list below it, replaced by `lines`.

    ValueError where it does not have one such table.
    """
    point = r"\n- \*(?:At|These) .*"
    table = re.compile(
        rf"^{re.escape(HEADER)}.*(?:\n\|.*)*(?:\n(?:{point})(?:{point})*)?", re.MULTILINE
    )
    if (count := len(table.findall(text))) != 1:
        raise ValueError(f"expected one table that begins with {HEADER!r}, found {count}")
    return table.sub(lambda _: lines, text)


def write(
    reference: Path = REFERENCE,
    readme: Path = ROOT / "README.md",
    results: Path = ROOT / "RESULTS.md",
) -> Path:
    """Write the table to `reference`, into README and into RESULTS.md; returns its path.

    ValueError as `replaced`.
    """
    claims = claim_table(reference)
    claims.round(6).to_csv(reference / FILE, index=False)
    for page, cited in ((readme, False), (results, True)):
        text = replaced(page.read_text(encoding="utf-8"), markdown(claims, cited))
        page.write_text(text, encoding="utf-8")
    return reference / FILE

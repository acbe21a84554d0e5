"""The paper's claims at three sizes: printed for 8 B parameters, found here with 135 M (profile
pretrained) and 1 M (profile pocket).

`make reference` writes the table to outputs/reference/sizes.csv, from the committed results of both
profiles, into README and into RESULTS.md. The paper prints no intervals, so of its column only the
number can be told. Ours have one: of a change it says whether it lies on the side that the paper
claims, and of "nothing is lost" whether it stays within `status.MARGIN`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pdlib import paper
from pdlib.report.status import MARGIN
from pdlib.run.committed import PLACES
from pdlib.run.stages import REFERENCE, ROOT

FILE = "sizes.csv"
PAPER, PRETRAINED, POCKET = "8 B", "135 M", "1 M"  # parameters
SIZES = {
    PRETRAINED: "pretrained",
    POCKET: "pocket",
}  # of ours, in the order of the columns -> profile, prefix of their columns
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "undecided", "not run"
# in interference.csv: how a model answers that was taught no answer format
LIKELIHOOD = "backbone, by likelihood per token"
HEADER = "| claim of the paper |"  # how the table begins in README and in RESULTS.md
MEAN = {
    "Avg. unaligned": 1 / 3,
    "Avg. aligned": 1 / 3,
    "Personalized Avg. aligned": 1 / 3,
}  # the mean of the paper's three averages


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    paper: weighted ids of its numbers.  headline: the claim in headline.csv.  replicated: measure
    and block of replication.csv, which covers several backbones, where it has the claim.
    likelihood: the claim in interference.csv and the sign with which it is taken, for a model that
    cannot write answers.  tie: the paper claims that nothing is lost, not a change.
    """

    text: str
    paper: Mapping[str, float]
    headline: str
    replicated: tuple[str, str] | None = None
    likelihood: tuple[str, int] | None = None
    tie: bool = False


def _against(
    name: str, row: str, table: str = "table1", own: str = "PersonaDual", replicated: bool = False
) -> Claim:
    """PersonaDual is better than the system of this name, on the mean of the three averages."""
    sums = {f"{table}/{own}/{column}": weight for column, weight in MEAN.items()}
    sums |= {f"{table}/{row}/{column}": -weight for column, weight in MEAN.items()}
    return Claim(
        f"PersonaDual is better than {name}",
        sums,
        f"PersonaDual - {name}, mean of the three columns",
        replicated=(f"PersonaDual - {name}", "mean of the blocks") if replicated else None,
    )


CLAIMS = (
    Claim(
        "a stranger's persona costs an untouched model facts",
        {"figure1/general models/objective unaligned - none": 1},
        "backbone, objective: unaligned - none",
        ("backbone: unaligned - none", "objective unaligned"),
        ("objective: none - unaligned", -1),
    ),
    Claim(
        "on average a fitting persona, too, costs it facts",
        {"figure1/general models/objective aligned - none": 1},
        "backbone, objective: aligned - none",
        ("backbone: aligned - none", "objective aligned"),
        ("objective: aligned - none", 1),
    ),
    Claim(
        "personal questions gain by the persona",
        {"figure1/general models/personalized aligned - none": 1},
        "backbone, personalised: with - without persona",
        likelihood=("personalized: aligned - none", 1),
    ),
    Claim(
        "PersonaDual loses nothing to a stranger's persona",
        {"text/PersonaDual/Avg. unaligned - none": 1},
        "PersonaDual, objective: unaligned - none",
        ("PersonaDual: unaligned - none", "objective unaligned"),
        tie=True,
    ),
    Claim(
        "PersonaDual gains by a fitting persona",
        {"text/PersonaDual/Avg. aligned - none": 1},
        "PersonaDual, objective: aligned - none",
        ("PersonaDual: aligned - none", "objective aligned"),
    ),
    _against("CoT", "CoT", replicated=True),
    _against("G-SFT-RL", "G-SFT-RL"),
    _against("P-SFT-RL", "P-SFT-RL"),
    _against("PersonaDual-Prompt", "PersonaDual-Prompt"),
    _against("PersonaDual-Router", "PersonaDual-Router"),
    _against("SFT only", "PersonaDual-SFT", "table2", replicated=True),
    _against("w/o DualAdv", "w/o DualAdv", "table2"),
    _against("w/o DualAdv + PfxSmp", "w/o DualAdv + PfxSmp", "table2"),
    Claim(
        "choosing is better than the general mode alone, personal questions",
        {
            "table8/PersonaDual/Personalized Avg. aligned": 1,
            "table8/PersonaDual-general/Personalized Avg. aligned": -1,
        },
        "PersonaDual, free - forced general, personalised",
    ),
    Claim(
        "choosing is better than the personalised mode alone, strangers",
        {"table8/PersonaDual/Avg. unaligned": 1, "table8/PersonaDual-personal/Avg. unaligned": -1},
        "PersonaDual, free - forced personalised, objective unaligned",
    ),
)
COLUMNS = ["claim", "paper"] + [
    f"{size}_{part}"
    for size in SIZES.values()
    for part in ("ours", "low", "high", "verdict", "from")
]


def verdict(claim: Claim, said: float, low: float, high: float) -> str:
    """Does the claim hold where its interval is (low, high)? said: the paper's number.

    >>> verdict(Claim("", {}, ""), 0.02, 0.01, 0.03), verdict(Claim("", {}, "", tie=True), 0.0, -0.05, 0.01)
    ('holds', 'undecided')
    """
    if claim.tie:
        return HOLDS if low > -MARGIN else FAILS if high < -MARGIN else OPEN
    low, high = (low, high) if said > 0 else (-high, -low)
    return HOLDS if low > 0 else FAILS if high < 0 else OPEN


def table(reference: Path = REFERENCE) -> pd.DataFrame:
    """A row a claim: the paper's number, and of each size of ours the number, its interval,
    `verdict` and the file it is from; differences of accuracy as fractions. A claim that a size has
    no number of is `NOT_RUN` there.
    """
    printed = {number.id: number.value for number in paper.numbers()}
    rows = []
    for claim in CLAIMS:
        said = round(sum(weight * printed[name] for name, weight in claim.paper.items()), 6)
        row = {"claim": claim.text, "paper": said}
        for size in SIZES.values():
            found = _ours(claim, size, reference)
            row |= {
                f"{size}_{part}": value for part, value in zip(("ours", "low", "high"), found[:3])
            }
            row |= {
                f"{size}_verdict": verdict(claim, said, *found[1:3]) if found[3] else NOT_RUN,
                f"{size}_from": found[3],
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _ours(claim: Claim, size: str, reference: Path) -> tuple[float, float, float, str]:
    """(number, low, high, name of the file) of a size; NaN and "" where it has none."""
    if size == SIZES[POCKET] and claim.replicated and (reference / "replication.csv").is_file():
        measure, block = claim.replicated
        return _numbers(
            reference / "replication.csv",
            f"world == 'field' and measure == {measure!r} and block == {block!r}",
        )
    folder = reference / PLACES[size].relative_to(REFERENCE)
    if size == SIZES[PRETRAINED] and claim.likelihood:
        name, sign = claim.likelihood
        return _numbers(
            folder / "interference.csv",
            f"answers == {LIKELIHOOD!r} and claim == {name!r}",
            sign=sign,
        )
    return _numbers(folder / "headline.csv", f"claim == {claim.headline!r}", "ours")


def _numbers(
    file: Path, wanted: str, mean: str = "mean", sign: int = 1
) -> tuple[float, float, float, str]:
    """Mean and interval of the row that the query `wanted` finds, times `sign`, and the file's
    name; NaN and "" where there is none.
    """
    rows = pd.read_csv(file).query(wanted) if file.is_file() else []
    if not len(rows):
        return (float("nan"),) * 3 + ("",)
    found, *ends = (sign * float(rows.iloc[0][name]) for name in (mean, "ci_low", "ci_high"))
    return (found, *sorted(ends), file.name)


TOGETHER = {  # what the verdicts of both sizes say together, in the order in which it is told
    (HOLDS, HOLDS): "At both of our sizes these hold",
    (HOLDS, NOT_RUN): "These hold at the one size that was run",
    (HOLDS, OPEN): "These hold at one size and are undecided at the other",
    (HOLDS, FAILS): "These hold at one size and fail at the other",
    (FAILS, FAILS): "These fail at both",
    None: "These are shown at neither",
}


def together(found: pd.DataFrame) -> dict[str, list[str]]:
    """A sentence of TOGETHER -> the claims of `table` of which it is true."""
    known = {frozenset(pair): sentence for pair, sentence in TOGETHER.items() if pair}
    groups: dict[str, list[str]] = {sentence: [] for sentence in TOGETHER.values()}
    for _, row in found.iterrows():
        groups[
            known.get(frozenset(row[f"{size}_verdict"] for size in SIZES.values()), TOGETHER[None])
        ].append(row.claim)
    return groups


def _points(value: float, sign: str = "") -> str:
    """A difference of accuracy in points, without a sign before zero.

    >>> _points(-0.0003), _points(0.024, "+")
    ('0.0', '+2.4')
    """
    text = f"{100 * value:{sign}.1f}"
    return text.replace("-", sign) if float(text) == 0 else text


def markdown(found: pd.DataFrame, cited: bool = False) -> str:
    """`table` in points, a line a claim, and `together`; cited: each number is followed by the
    comment that RESULTS.md wants, see `results`.
    """
    lines = [
        f"{HEADER} `{PAPER}`, printed | " + " | ".join(f"`{name}`, here" for name in SIZES) + " |",
        "|---|---|" + "---|" * len(SIZES),
    ]
    for _, row in found.iterrows():
        source = lambda *columns: (
            ' <!-- {}: claim="{}" -> {} -->'.format(  # noqa: E731
                FILE, row.claim, ", ".join(f"100*{name}" for name in columns)
            )
            if cited
            else ""
        )
        cells = [_points(row.paper, "+") + source("paper")]
        for size in SIZES.values():
            numbers = [f"{size}_{part}" for part in ("ours", "low", "high")]
            ours, low, high = (row[name] for name in numbers)
            told = f"{row[f'{size}_verdict']}: {_points(ours, '+')} ({_points(low)} to {_points(high)}){source(*numbers)}"
            cells.append(told if row[f"{size}_from"] else NOT_RUN)
        lines.append(f"| {row.claim} | " + " | ".join(cells) + " |")
    told = [
        f"- *{sentence}:* {'; '.join(claims)}."
        for sentence, claims in together(found).items()
        if claims
    ]
    return "\n".join([*lines, "", *told])


def within(text: str, lines: str) -> str:
    """`text` with its table of sizes, and the list below it, replaced by `lines`; ValueError where
    it does not have one.
    """
    old = re.compile(
        rf"^{re.escape(HEADER)}.*(?:\n\|.*)*(?:\n(?:\n- \*(?:At|These) .*)(?:\n- \*(?:At|These) .*)*)?",
        re.MULTILINE,
    )
    if len(old.findall(text)) != 1:
        raise ValueError(
            f"expected one table that begins with {HEADER!r}, found {len(old.findall(text))}"
        )
    return old.sub(lambda _: lines, text)


def write(
    reference: Path = REFERENCE,
    readme: Path = ROOT / "README.md",
    results: Path = ROOT / "RESULTS.md",
) -> Path:
    """Write the table to `reference`, into README and into RESULTS.md; returns its path. ValueError
    as `within`.
    """
    found = table(reference)
    found.round(6).to_csv(reference / FILE, index=False)
    for page, cited in ((readme, False), (results, True)):
        page.write_text(
            within(page.read_text(encoding="utf-8"), markdown(found, cited)), encoding="utf-8"
        )
    return reference / FILE

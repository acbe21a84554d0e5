"""The paper's claims at three sizes, as numbers.

They were printed for 8 B parameters; here they are measured with 135 M (profile pretrained) and 1 M
(profile pocket). The numbers are taken from the committed results of both profiles;
`sizes_markdown` puts them into README and RESULTS.md. The paper prints no intervals, so of its
column only the number can be told. Ours have one: of a change it says whether it lies on the side
that the paper claims, and of "nothing is lost" whether it stays within `status.MARGIN`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pdlib import paper
from pdlib.analysis import stats
from pdlib.report.status import MARGIN
from pdlib.run import committed
from pdlib.run.stages import REFERENCE

PRETRAINED, POCKET = "135 M", "1 M"  # parameters
SIZES = {  # in the order of the columns -> profile, prefix of their columns
    PRETRAINED: "pretrained",
    POCKET: "pocket",
}
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "undecided", "not run"
SIDES = {1: HOLDS, 0: OPEN, -1: FAILS}  # of `stats.side`, for a claimed gain
# in interference.csv: how a model answers that was taught no answer format
LIKELIHOOD = "backbone, by likelihood per token"
MEAN = {  # the mean of the paper's three averages
    "Avg. unaligned": 1 / 3,
    "Avg. aligned": 1 / 3,
    "Personalized Avg. aligned": 1 / 3,
}


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


def _better_than(name: str, row: str, table: str = "table1", replicated: bool = False) -> Claim:
    """PersonaDual is better than the system of this name, on the mean of the three averages."""
    sums = {f"{table}/PersonaDual/{column}": weight for column, weight in MEAN.items()}
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
    _better_than("CoT", "CoT", replicated=True),
    _better_than("G-SFT-RL", "G-SFT-RL"),
    _better_than("P-SFT-RL", "P-SFT-RL"),
    _better_than("PersonaDual-Prompt", "PersonaDual-Prompt"),
    _better_than("PersonaDual-Router", "PersonaDual-Router"),
    _better_than("SFT only", "PersonaDual-SFT", "table2", replicated=True),
    _better_than("w/o DualAdv", "w/o DualAdv", "table2"),
    _better_than("w/o DualAdv + PfxSmp", "w/o DualAdv + PfxSmp", "table2"),
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


class Estimate(NamedTuple):
    """Our number of a claim, its interval, and the name of the file that has it."""

    ours: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    file: str = ""


def verdict(claim: Claim, printed: float, low: float, high: float) -> str:
    """Does the claim hold where its interval is (low, high)? printed: the paper's number.

    >>> verdict(Claim("", {}, ""), 0.02, 0.01, 0.03)
    'holds'
    >>> verdict(Claim("", {}, "", tie=True), 0.0, -0.05, 0.01)
    'undecided'
    """
    if claim.tie:
        return SIDES[stats.side(low, high, than=-MARGIN)]
    side = stats.side(low, high)
    return SIDES[side if printed > 0 else -side]


def claim_table(reference: Path = REFERENCE) -> pd.DataFrame:
    """A row per claim: the paper's number, and of each of our sizes what was measured.

    That is the number, its interval, `verdict` and the file it is from; differences of accuracy are
    fractions. A claim that a size has no number of is `NOT_RUN` there.
    """
    values = {number.id: number.value for number in paper.numbers()}
    rows = []
    for claim in CLAIMS:
        printed = round(sum(weight * values[name] for name, weight in claim.paper.items()), 6)
        row = {"claim": claim.text, "paper": printed}
        for size in SIZES.values():
            ours, low, high, file = _estimate(claim, size, reference)
            row |= {
                f"{size}_ours": ours,
                f"{size}_low": low,
                f"{size}_high": high,
                f"{size}_verdict": verdict(claim, printed, low, high) if file else NOT_RUN,
                f"{size}_from": file,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _estimate(claim: Claim, size: str, reference: Path) -> Estimate:
    """What a size measured of a claim."""
    if size == SIZES[POCKET] and claim.replicated and (reference / "replication.csv").is_file():
        measure, block = claim.replicated
        return _read(
            reference / "replication.csv",
            f"world == 'field' and measure == {measure!r} and block == {block!r}",
        )
    folder = reference / committed.FOLDERS[size].relative_to(REFERENCE)
    if size == SIZES[PRETRAINED] and claim.likelihood:
        name, sign = claim.likelihood
        query = f"answers == {LIKELIHOOD!r} and claim == {name!r}"
        return _read(folder / "interference.csv", query, sign=sign)
    return _read(folder / "headline.csv", f"claim == {claim.headline!r}", "ours")


def _read(file: Path, query: str, mean: str = "mean", sign: int = 1) -> Estimate:
    """The number of the row that `query` finds, times `sign`; an empty estimate without one."""
    rows = pd.read_csv(file).query(query) if file.is_file() else []
    if not len(rows):
        return Estimate()
    ours, *ends = (sign * float(rows.iloc[0][name]) for name in (mean, "ci_low", "ci_high"))
    return Estimate(ours, *sorted(ends), file.name)

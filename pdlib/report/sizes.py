"""The paper's claims at three sizes: printed for 8 B parameters, found here with 135 M (profile pretrained) and 1 M (profile pocket).

`make reference` writes the table to outputs/reference/sizes.csv, from the committed results of both profiles, and a short form into README.
The paper prints no intervals, so of its column only the number can be told. Ours have one: of a change it says whether it lies on the
side that the paper claims, and of "nothing is lost" whether it stays within `status.MARGIN`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from pdlib import paper
from pdlib.report.status import MARGIN
from pdlib.stages import REFERENCE, ROOT

FILE = "sizes.csv"
PAPER, PRETRAINED, POCKET = "8 B", "135 M", "1 M"  # parameters
SIZES = {PRETRAINED: "pretrained", POCKET: "pocket"}  # of ours, in the order of the columns -> prefix of their columns
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "undecided", "not run"
LIKELIHOOD = "backbone, by likelihood per token"  # in interference.csv: how a model answers that was taught no answer format
BEGIN, END = "<!-- sizes.csv -->", "<!-- end of sizes.csv -->"  # around the table in README
MEAN = {"Avg. unaligned": 1 / 3, "Avg. aligned": 1 / 3, "Personalized Avg. aligned": 1 / 3}  # the mean of the paper's three averages


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    paper: weighted ids of its numbers.  headline: the claim in headline.csv.  replicated: measure and block of replication.csv, which
    covers several backbones, where it has the claim.  likelihood: the claim in interference.csv, for a model that cannot write answers.
    tie: the paper claims that nothing is lost, not a change.
    """

    text: str
    paper: Mapping[str, float]
    headline: str
    replicated: tuple[str, str] | None = None
    likelihood: str | None = None
    tie: bool = False


def _against(name: str, row: str, table: str = "table1", own: str = "PersonaDual", replicated: bool = False) -> Claim:
    """PersonaDual is better than the system of this name, on the mean of the three averages."""
    sums = {f"{table}/{own}/{column}": weight for column, weight in MEAN.items()}
    sums |= {f"{table}/{row}/{column}": -weight for column, weight in MEAN.items()}
    return Claim(f"PersonaDual is better than {name}", sums, f"PersonaDual - {name}, mean of the three columns",
                 replicated=(f"PersonaDual - {name}", "mean of the blocks") if replicated else None)


CLAIMS = (
    Claim("a stranger's persona costs an untouched model facts", {"figure1/general models/objective unaligned - none": 1},
          "backbone, objective: unaligned - none", ("backbone: unaligned - none", "objective unaligned"), "objective: unaligned - none"),
    Claim("on average a fitting persona, too, costs it facts", {"figure1/general models/objective aligned - none": 1},
          "backbone, objective: aligned - none", ("backbone: aligned - none", "objective aligned"), "objective: aligned - none"),
    Claim("personal questions gain by the persona", {"figure1/general models/personalized aligned - none": 1},
          "backbone, personalised: with - without persona", likelihood="personalized: aligned - none"),
    Claim("PersonaDual loses nothing to a stranger's persona", {"text/PersonaDual/Avg. unaligned - none": 1},
          "PersonaDual, objective: unaligned - none", ("PersonaDual: unaligned - none", "objective unaligned"), tie=True),
    Claim("PersonaDual gains by a fitting persona", {"text/PersonaDual/Avg. aligned - none": 1},
          "PersonaDual, objective: aligned - none", ("PersonaDual: aligned - none", "objective aligned")),
    _against("CoT", "CoT", replicated=True),
    _against("G-SFT-RL", "G-SFT-RL"),
    _against("P-SFT-RL", "P-SFT-RL"),
    _against("PersonaDual-Prompt", "PersonaDual-Prompt"),
    _against("PersonaDual-Router", "PersonaDual-Router"),
    _against("SFT only", "PersonaDual-SFT", "table2", replicated=True),
    _against("w/o DualAdv", "w/o DualAdv", "table2"),
    _against("w/o DualAdv + PfxSmp", "w/o DualAdv + PfxSmp", "table2"),
    Claim("choosing is better than the general mode alone, personal questions",
          {"table8/PersonaDual/Personalized Avg. aligned": 1, "table8/PersonaDual-general/Personalized Avg. aligned": -1},
          "PersonaDual, free - forced general, personalised"),
    Claim("choosing is better than the personalised mode alone, strangers",
          {"table8/PersonaDual/Avg. unaligned": 1, "table8/PersonaDual-personal/Avg. unaligned": -1},
          "PersonaDual, free - forced personalised, objective unaligned"),
)
COLUMNS = ["claim", "paper"] + [f"{size}_{part}" for size in SIZES.values() for part in ("ours", "low", "high", "verdict", "from")]


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
    """A row a claim: the paper's number, and of each size of ours the number, its interval, `verdict` and the file it is from; differences
    of accuracy as fractions. A claim that a size has no number of is `NOT_RUN` there."""
    printed = {number.id: number.value for number in paper.numbers()}
    rows = []
    for claim in CLAIMS:
        said = round(sum(weight * printed[name] for name, weight in claim.paper.items()), 6)
        row = {"claim": claim.text, "paper": said}
        for size in SIZES.values():
            found = _ours(claim, size, reference)
            row |= {f"{size}_{part}": value for part, value in zip(("ours", "low", "high"), found[:3])}
            row |= {f"{size}_verdict": verdict(claim, said, *found[1:3]) if found[3] else NOT_RUN, f"{size}_from": found[3]}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _ours(claim: Claim, size: str, reference: Path) -> tuple[float, float, float, str]:
    """(number, low, high, name of the file) of a size; NaN and "" where it has none."""
    if size == SIZES[POCKET] and claim.replicated and (reference / "replication.csv").is_file():
        measure, block = claim.replicated
        several = _read(reference / "replication.csv").query("world == 'field' and measure == @measure and block == @block")
        return _numbers(several, ("mean", "ci_low", "ci_high"), "replication.csv")
    folder = reference if size == SIZES[POCKET] else reference / size
    if size == SIZES[PRETRAINED] and claim.likelihood:
        file, columns = "interference.csv", ("mean", "ci_low", "ci_high")
        wanted = f"answers == {LIKELIHOOD!r} and claim == {claim.likelihood!r}"
    else:
        file, columns, wanted = "headline.csv", ("ours", "ci_low", "ci_high"), f"claim == {claim.headline!r}"
    if not (folder / file).is_file():
        return (float("nan"),) * 3 + ("",)
    return _numbers(_read(folder / file).query(wanted), columns, file)


@cache
def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def _numbers(rows: pd.DataFrame, columns: tuple[str, str, str], file: str) -> tuple[float, float, float, str]:
    if rows.empty:
        return (float("nan"),) * 3 + ("",)
    return (*(float(rows.iloc[0][name]) for name in columns), file)


def everywhere(found: pd.DataFrame) -> dict[str, list[str]]:
    """The claims of `table` by what ours say together: hold at both sizes, at one, fail at both, or neither is shown."""
    groups = {"hold at both sizes": [], "hold at one size": [], "fail at both sizes": [], "are shown at no size": []}
    for _, row in found.iterrows():
        verdicts = [row[f"{size}_verdict"] for size in SIZES.values()]
        name = ("hold at both sizes" if set(verdicts) == {HOLDS} else "hold at one size" if HOLDS in verdicts
                else "fail at both sizes" if set(verdicts) == {FAILS} else "are shown at no size")
        groups[name].append(row.claim)
    return groups


def _points(value: float, sign: str = "") -> str:
    """A difference of accuracy in points, without a sign before zero.

    >>> _points(-0.0003), _points(0.024, "+")
    ('0.0', '+2.4')
    """
    return f"{round(100 * value, 1) + 0.0:{sign}.1f}"


def markdown(found: pd.DataFrame) -> str:
    """`table` for README: in points, a line a claim."""
    lines = [f"| claim of the paper | {PAPER}, printed | " + " | ".join(f"{name}, here" for name in SIZES) + " |",
             "|---|---|" + "---|" * len(SIZES)]
    for _, row in found.iterrows():
        cells = [f"{row[f'{size}_verdict']}: {_points(row[f'{size}_ours'], '+')} ({_points(row[f'{size}_low'])} to "
                 f"{_points(row[f'{size}_high'])})" if row[f"{size}_from"] else NOT_RUN for size in SIZES.values()]
        lines.append(f"| {row.claim} | {_points(row.paper, '+')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def within(text: str, found: pd.DataFrame) -> str:
    """`text` with the table between BEGIN and END; ValueError where they are not there once each."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"expected the lines {BEGIN} and {END} once each, found {text.count(BEGIN)} and {text.count(END)}")
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{markdown(found)}\n{END}", text, flags=re.DOTALL)


def write(reference: Path = REFERENCE, readme: Path = ROOT / "README.md") -> Path:
    """Write the table to `reference` and into README; returns its path. ValueError as `within`."""
    _read.cache_clear()
    found = table(reference)
    found.round(6).to_csv(reference / FILE, index=False)
    readme.write_text(within(readme.read_text(encoding="utf-8"), found), encoding="utf-8")
    return reference / FILE

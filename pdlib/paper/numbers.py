"""The paper's numbers (`paper.yaml`), and its equations with their function and notebook."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

EQUATIONS = {  # equation -> (dotted path of the function, notebook)
    "1": ("pdlib.generate.mode_probability", "05_dualgrpo_training"),
    "2": ("pdlib.generate.complete", "03_sft"),
    "3": ("pdlib.modes.prefix_ids", "03_sft"),
    "4": ("pdlib.rewards.score", "05_dualgrpo_training"),
    "5": ("pdlib.dualgrpo.DualGRPOTrainer", "05_dualgrpo_training"),
    "6": ("pdlib.advantages.dualgrpo", "04_dualgrpo_by_hand"),
    "7": ("pdlib.advantages.dualgrpo", "04_dualgrpo_by_hand"),
    "8": ("pdlib.advantages.dualgrpo", "04_dualgrpo_by_hand"),
}
FIGURE_1 = {  # a family of models -> the rows of Table 4 that it averages
    "general models": ("DeepSeek-R1", "Qwen3-30B-A3B-Thinking"),
    "personalized models": ("ALIGNXPERT-ICA", "ALIGNXPERT-PBA"),
}
FIGURE_1_BLOCKS = {  # a block of bars -> the columns of Table 4 that it averages
    "PubMedQA": ("PubMedQA",),
    "TriviaQA": ("TriviaQA",),
    "P.FB.": ("P.FB.",),
    "F.RP.": ("F.RP.",),
    "objective": ("PubMedQA", "TriviaQA"),
    "personalized": ("P.FB.", "F.RP."),
}
# shares of personalised questions in Fig. 3a; the paper does not print their grid
MIXING_RATIOS = tuple(k / 10 for k in range(11))
TEST_ITEMS = {  # benchmark -> items that the paper evaluates on (section 4.1, Table 7)
    "pubmedqa": 1000,
    "triviaqa": 1000,
    "mmlu_pro": 1000,
    "supergpqa": 1000,
    "math500": 500,
    "personafeedback": 1000,
    "fspo_roleplay": 1500,
}
RUNS = 3  # Table 1: "averaged over three runs"
Sum = tuple[tuple[float, str], ...]  # ((weight, id of a table's number), ...)


@dataclass(frozen=True)
class Number:
    """One number of the paper; row and column are the table's own names.

    value: a fraction as printed; a count of examples (int) in Table 5; a change or a share in Fig.
    1, Fig. 3a and the text; None for what Fig. 5 shows without a number.
    rule: how the value follows from tables. "level": it is read off; "sum": it is `sums[0]`;
    "lowest", "highest": it is the lowest or highest of `sums`; "share": it is the share of
    `contests` (own, rivals) in which own is above every rival.
    derived: True where the paper draws or says it and the rule on its tables gives the value.
    rounding: half a unit of the last printed place.
    quotation: the sentence that states it, where no table does.
    """

    id: str
    artefact: str
    row: str
    column: str
    value: float | None
    derived: bool = False
    rule: str = "level"
    sums: tuple[Sum, ...] = ()
    contests: tuple[tuple[Sum, tuple[Sum, ...]], ...] = ()
    rounding: float = 0.0005
    quotation: str | None = None


def numbers() -> list[Number]:
    """Every number that the paper prints or states, and RLPA's headline figures.

    Of the paper these are Tables 1-5, 8 and 9, Fig. 1 from Table 4, what is behind Fig. 5, and what
    the text states of the dialogues, of Fig. 3 and of all else. RLPA's artefacts begin with rlpa_.
    """
    return list(_all())


def recompute(number: Number, values: dict[str, float]) -> float:
    """The value of `number` by its rule on `values` (id -> value), to six decimals.

    >>> change = Number("x", "text", "", "", 0, rule="sum", sums=(((1, "a"), (-1, "b")),))
    >>> recompute(change, {"a": 0.54, "b": 0.547})
    -0.007
    """

    def total(terms: Sum) -> float:
        return round(sum(weight * values[name] for weight, name in terms), 9)

    if number.rule == "level":
        return values[number.id]
    if number.rule == "share":
        wins = [total(own) > max(map(total, rivals)) for own, rivals in number.contests]
        return round(sum(wins) / len(wins), 6)
    choose = max if number.rule == "highest" else min  # a "sum" has one
    return round(choose(map(total, number.sums)), 6)


@cache
def _all() -> tuple[Number, ...]:
    artefacts = yaml.safe_load((Path(__file__).parent / "paper.yaml").read_text(encoding="utf-8"))
    statements = artefacts.pop("statements")
    by_id = {number.id: number for number in _printed(artefacts)}
    for number in _figure1():
        by_id[number.id] = _with_value(number, by_id)
    for statement in statements:
        number = _stated(statement, by_id)
        by_id[number.id] = _with_value(number, by_id)
    return tuple(by_id.values())


def _printed(artefacts: dict[str, list[dict]]) -> Iterator[Number]:
    """The cells of the tables; those printed as "-" (null) only of a block that wants them."""
    for artefact, blocks in artefacts.items():
        for block in blocks:
            for row, values in block["rows"].items():
                for column, value in zip(block["columns"], values, strict=True):
                    if value is not None or block.get("unprinted"):
                        identity = f"{artefact}/{row}/{column}"
                        quotation = block.get("quotation")
                        yield Number(identity, artefact, row, column, value, quotation=quotation)


def _with_value(number: Number, by_id: dict[str, Number]) -> Number:
    """`number` with the value that its rule gives on the paper's tables, where it has none."""
    if number.value is not None:
        return number
    values = {name: other.value for name, other in by_id.items()}
    return replace(number, value=recompute(number, values), derived=True)


def _figure1() -> Iterator[Number]:
    """Fig. 1: accuracy with a persona minus without, from Table 4.

    Each is the mean of the two models of a family, by benchmark and over the benchmarks of a kind.
    """
    for row, models in FIGURE_1.items():
        for block, benchmarks in FIGURE_1_BLOCKS.items():
            weight = 1 / len(models) / len(benchmarks)
            for condition in ("unaligned", "aligned"):
                terms = tuple(
                    (sign * weight, f"table4/{model}/{benchmark} {persona}")
                    for model in models
                    for benchmark in benchmarks
                    for sign, persona in ((1, condition), (-1, "none"))
                )
                column = f"{block} {condition} - none"
                yield Number(
                    f"figure1/{row}/{column}",
                    "figure1",
                    row,
                    column,
                    None,
                    rule="sum",
                    sums=(terms,),
                    rounding=0.005,
                )


def _stated(statement: dict, by_id: dict[str, Number]) -> Number:
    """What the text states, its rule written out over the ids of tables."""
    (rule,) = {"sum", "lowest", "highest", "share"} & set(statement)
    operands, sums, contests = statement[rule], (), ()
    if rule == "sum":
        sums = (_written_out(operands, by_id),)
    elif rule == "share":
        contests = _contests(operands)
    else:
        sums = tuple(
            number.sums[0]
            for name, number in by_id.items()
            if any(fnmatchcase(name, pattern) for pattern in operands)
        )
    artefact, row, column = (statement[name] for name in ("artefact", "row", "column"))
    return Number(
        f"{artefact}/{row}/{column}",
        artefact,
        row,
        column,
        statement.get("value"),
        rule=rule,
        sums=sums,
        contests=contests,
        rounding=statement.get("rounding", 0.0005),
        quotation=statement["quotation"],
    )


def _written_out(weights: dict[str, float], by_id: dict[str, Number]) -> Sum:
    """The weighted sum of numbers as one over cells of tables; what cancels out is left away."""
    total: dict[str, float] = {}
    for name, weight in weights.items():
        terms = by_id[name].sums[0] if by_id[name].sums else ((1, name),)
        for factor, cell in terms:
            total[cell] = total.get(cell, 0) + weight * factor
    return tuple((weight, cell) for cell, weight in total.items() if weight)


def _contests(sides: dict) -> tuple[tuple[Sum, tuple[Sum, ...]], ...]:
    """(sum of the own row, sums of its rivals) per column, or per ratio where two are mixed."""
    if "mixed" in sides:
        mixtures = [
            tuple(zip((1 - ratio, ratio), sides["mixed"], strict=True)) for ratio in MIXING_RATIOS
        ]
    else:
        mixtures = [((1, column),) for column in sides["columns"]]

    def of(row: str, mixture: Sum) -> Sum:
        return tuple((weight, f"{row}/{column}") for weight, column in mixture)

    return tuple(
        (of(sides["own"], mixture), tuple(of(rival, mixture) for rival in sides["rivals"]))
        for mixture in mixtures
    )

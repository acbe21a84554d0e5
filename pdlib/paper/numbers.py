"""The paper's numbers (`paper.yaml`), and its equations -> function -> notebook."""

from dataclasses import dataclass
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
FIGURE_1 = {
    "general models": ("DeepSeek-R1", "Qwen3-30B-A3B-Thinking"),
    "personalized models": ("ALIGNXPERT-ICA", "ALIGNXPERT-PBA"),
}
FIGURE_1_BLOCKS = {
    "PubMedQA": ("PubMedQA",),
    "TriviaQA": ("TriviaQA",),
    "P.FB.": ("P.FB.",),
    "F.RP.": ("F.RP.",),
    "objective": ("PubMedQA", "TriviaQA"),
    "personalized": ("P.FB.", "F.RP."),
}
MIXING_RATIOS = tuple(
    k / 10 for k in range(11)
)  # share of personalised questions; the paper does not print Fig. 3a's grid
TEST_ITEMS = {
    "mmlu_pro": 1000,
    "supergpqa": 1000,
    "triviaqa": 1000,
    "pubmedqa": 1000,
    "math500": 500,
    "personafeedback": 1000,
    "fspo_roleplay": 1500,
}  # Table 7
RUNS = 3  # Table 1: "averaged over three runs"
Sum = tuple[tuple[float, str], ...]  # ((weight, id of a table's number), ...)


@dataclass(frozen=True)
class Number:
    """One number of the paper; row and column are the table's own names.

    value: a fraction as printed; a count of examples (int) in Table 5; a change or a share in Fig.
    1, Fig. 3a and the text; None for what Fig. 5 shows without a number.
    rule: "level": read off; "sum": `sums[0]`; "lowest", "highest": among `sums`; "share": of
    `contests` (own, rivals) in which own is above every rival. derived: True where the paper draws
    or says it and the rule on its tables gives the value. rounding: half a unit of the last printed
    place.  quotation: the sentence that states it, where no table does.
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


def recompute(number: Number, values: dict[str, float]) -> float:
    """The value of `number` by its rule on `values` (id -> value), to six decimals.

    >>> recompute(Number("x", "text", "", "", 0, rule="sum", sums=(((1, "a"), (-1, "b")),)), {"a": 0.54, "b": 0.547})
    -0.007
    """

    def total(terms):
        return round(sum(weight * values[name] for weight, name in terms), 9)

    if number.rule == "share":
        won = [total(own) > max(map(total, rivals)) for own, rivals in number.contests]
        return round(sum(won) / len(won), 6)
    one = {"sum": min, "lowest": min, "highest": max}
    return (
        round(one[number.rule](map(total, number.sums)), 6)
        if number.rule in one
        else values[number.id]
    )


@cache
def _all() -> tuple[Number, ...]:
    artefacts = yaml.safe_load((Path(__file__).parent / "paper.yaml").read_text(encoding="utf-8"))
    statements = artefacts.pop("statements")
    found = {}
    for artefact, blocks in artefacts.items():
        for block in blocks:
            for row, values in block["rows"].items():
                for column, value in zip(block["columns"], values, strict=True):
                    if value is not None or block.get("unprinted"):
                        name = f"{artefact}/{row}/{column}"
                        found[name] = Number(
                            name, artefact, row, column, value, quotation=block.get("quotation")
                        )
    for number in (*_figure1(), *statements):
        number = number if isinstance(number, Number) else _statement(number, found)
        if number.value is None:
            values = {name: n.value for name, n in found.items()}
            number = Number(**{**vars(number), "value": recompute(number, values), "derived": True})
        found[number.id] = number
    return tuple(found.values())


def _figure1() -> list[Number]:
    """Fig. 1: Table 4 with persona minus without, mean of the two models of a family, by benchmark
    and over those of a kind.
    """
    numbers = []
    for row, models in FIGURE_1.items():
        for block, benchmarks in FIGURE_1_BLOCKS.items():
            for condition in ("unaligned", "aligned"):
                weight = 1 / len(models) / len(benchmarks)
                terms = tuple(
                    (sign * weight, f"table4/{model}/{benchmark} {which}")
                    for model in models
                    for benchmark in benchmarks
                    for sign, which in ((1, condition), (-1, "none"))
                )
                column = f"{block} {condition} - none"
                numbers.append(
                    Number(
                        f"figure1/{row}/{column}",
                        "figure1",
                        row,
                        column,
                        None,
                        rule="sum",
                        sums=(terms,),
                        rounding=0.005,
                    )
                )
    return numbers


def _statement(entry: dict, found: dict[str, Number]) -> Number:
    """What the text states, its rule written out over the ids of tables."""
    (rule,) = {"sum", "lowest", "highest", "share"} & set(entry)
    said, sums, contests = entry[rule], (), ()
    if rule == "sum":
        terms: dict[str, float] = {}
        for name, weight in said.items():
            for inner, part in found[name].sums[0] if found[name].sums else ((1, name),):
                terms[part] = terms.get(part, 0) + weight * inner
        sums = (tuple((weight, name) for name, weight in terms.items() if weight),)
    elif rule == "share":
        if "mixed" in said:
            sides = [tuple(zip((1 - ratio, ratio), said["mixed"])) for ratio in MIXING_RATIOS]
        else:
            sides = [((1, column),) for column in said["columns"]]
        contests = tuple(
            (
                tuple((w, f"{said['own']}/{c}") for w, c in side),
                tuple(tuple((w, f"{rival}/{c}") for w, c in side) for rival in said["rivals"]),
            )
            for side in sides
        )
    else:
        sums = tuple(
            number.sums[0]
            for name, number in found.items()
            if any(fnmatchcase(name, pattern) for pattern in said)
        )
    fields = {"rounding": entry.get("rounding", 0.0005), "quotation": entry["quotation"]}
    return Number(
        "/".join((entry["artefact"], entry["row"], entry["column"])),
        entry["artefact"],
        entry["row"],
        entry["column"],
        entry.get("value"),
        rule=rule,
        sums=sums,
        contests=contests,
        **fields,
    )


def numbers() -> list[Number]:
    """Every number of Tables 1-5, 8 and 9, Fig. 1 from Table 4, what is behind Fig. 5, and what the
    text states of the dialogues, Fig. 3 and all else; RLPA's headline figures (artefacts rlpa_...).
    """
    return list(_all())

"""Which cell of our records answers which number of the paper."""

from functools import cache

from pdlib import paper
from pdlib.analysis.cells import OBJECTIVE, PERSONALIZED, Cell, MissingRecordsError
from pdlib.paper.catalogue import SYSTEMS
from pdlib.report.evidence import Evidence
from pdlib.rlpa import ledger as rlpa

COLUMNS = {  # a column of the paper, less its condition -> the benchmarks it averages
    "PubMedQA": ("pubmedqa",),
    "TriviaQA": ("triviaqa",),
    "MMLU-Pro": ("mmlu_pro",),
    "SuperGPQA": ("supergpqa",),
    "MATH500": ("math500",),
    "P.FB.": ("personafeedback",),
    "F.RP.": ("fspo_roleplay",),
    "Avg.": OBJECTIVE,
    "Personalized Avg.": PERSONALIZED,
    "personalised share": OBJECTIVE,
}
ROWS = {  # a row of Tables 1, 2, 4, 9 or Fig. 3b -> the records' `model`, answering freely
    **{system.title: model for model, system in SYSTEMS.items() if system.title},
    "No-Persona Upperbound": "personadual",
    "Llama3.1-8B-Instruct": "backbone",
    "LLaMA3.1-8B-Instruct": "backbone",
    "DeepSeek-R1": "backbone",
    "Qwen3-30B-A3B-Thinking": "backbone",
}
TABLE_8 = {  # a row of Table 8 -> the mode into which PersonaDual is forced
    "PersonaDual-general": "general",
    "PersonaDual-personal": "personalized",
    "PersonaDual": "none",
    "PersonaDual Upperbound": "either",
}
SECOND = (  # answered by the second backbone
    "table1/Llama3.1-8B-Instruct/",
    "table4/Qwen3-30B-A3B-Thinking/",
    "table9/",
)
DIALOGUES = ("table3", "multi_turn")  # artefacts answered by the records of dialogues
NO_CELLS = (*DIALOGUES, "figure5", *rlpa.ARTEFACTS)  # artefacts whose numbers are no sum of cells


@cache
def numbers() -> dict[str, paper.Number]:
    """The paper's numbers by id."""
    return {number.id: number for number in paper.numbers()}


def role(number_id: str) -> str:
    """The backbone that answers the number: first | second."""
    return "second" if number_id.startswith(SECOND) else "first"


def ids(number: paper.Number) -> list[str]:
    """The ids of the tables' numbers that `number` is made of."""
    sums = list(number.sums)
    for ours, rivals in number.contests:
        sums += [ours, *rivals]
    names = dict.fromkeys(name for terms in sums for weight, name in terms if weight)
    return list(names) or [number.id]


def cell(number_id: str, evidence: Evidence) -> Cell:
    """The cell that answers a number of the paper's tables.

    MissingRecordsError without the run of its backbone.
    """
    number, backbone = numbers()[number_id], role(number_id)
    run = evidence.runs[backbone]
    if run is None:
        raise MissingRecordsError("needs the second backbone, and none is named")
    if run not in evidence.cells.models:
        raise MissingRecordsError(
            f"no records of run {run}, which stands for the paper's {backbone} backbone"
        )
    column, condition = number.column.rsplit(" ", 1)
    is_forced = number.artefact == "table8"
    return Cell(
        run,
        "personadual" if is_forced else ROWS[number.row],
        COLUMNS[column],
        condition,
        TABLE_8[number.row] if is_forced else "none",
        "personalized" if number.artefact == "figure3b" else "correct",
    )

"""The words of a ledger entry's note: remarks on how ours was measured, and departures.

A departure is something in which our number is not the paper's experiment, told for each number
that it touches: another backbone, fewer items (Table 7) or sampling runs (three), a training that
is not Table 6's; rules that grade where the paper has GPT-4o-mini; aligned personas and training
trajectories that another expert wrote, after prompts of ours; a baseline that the paper describes
in a line, where the rest is our choice.
"""

from collections.abc import Iterable, Sequence

from pdlib import paper
from pdlib.analysis import lexical
from pdlib.analysis.cells import OBJECTIVE, Cell, Statistic
from pdlib.paper.catalogue import SYSTEMS
from pdlib.report import counterparts
from pdlib.report.evidence import Evidence
from pdlib.rlpa import ledger as rlpa

EXAMPLES = "a count of the paper's own training examples, not a result to measure again"
NO_PERSONAS = "no answers with the words of who asked"
POCKET = (
    "pocket twin of the benchmark and a pocket backbone: shows the mechanism, not the paper's level"
)
BACKBONES = {
    "first": ("Qwen/Qwen3-8B",),
    "second": ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
}
JUDGED = {  # benchmarks of which GPT-4o-mini is the paper's judge
    "pubmedqa": "PubMedQA",
    "math500": "MATH500",
}
GUESSED = {  # system -> what the paper leaves open and we chose
    "cot": "its training data and updates",
    "g_sft_rl": "its RL questions and updates",
    "p_sft_rl": "its RL questions and updates",
    "personal_prompt": "its prompt",
    "alignxpert_ica": "its preference pairs",
    "alignxpert_pba": "its preference pairs and its reader",
    "personadual_prompt": "its prompt, and that an answer without a tag counts",
    "personadual_router": "the router and whom it routes",
}


# --- remarks ---


def of_silent_answers(share: float) -> str:
    """Remark on a share of modes; empty where every answer names one."""
    words = "of the answers name no mode and count as not personalised"
    return f"{share:.1%} {words}" if share else ""


def of_extreme(rule: str, count: int) -> str:
    """Remark on the lowest or highest of several changes."""
    return f"the {rule} of {count} changes, its interval widened for {count} comparisons"


def of_contests(count: int) -> str:
    """Remark on a share of contests."""
    return f"of {count} contests; the interval is that of the share over resampled items"


def of_words(chance: float) -> str:
    """Remark on the share of words of a group of Fig. 5."""
    return f"the paper prints no share; with the texts of personas shuffled {chance:.0%}"


def of_groups(count: int) -> str:
    """Remark on the share of the other groups that occupation outnumbers in Fig. 5."""
    return f"of {count} groups; the interval is that of the share over resampled personas"


def of_missing(reasons: Sequence[str]) -> str:
    """Why a number has no measurement: the first three reasons, and how many more there are."""
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more


# --- departures ---


def departures(number: paper.Number, ours: Statistic, evidence: Evidence) -> list[str]:
    """In what `ours` is not the paper's experiment, a phrase each; empty where it is."""
    ids = counterparts.ids(number)
    roles = list(dict.fromkeys(counterparts.role(name) for name in ids))
    runs = [evidence.runs[role] for role in roles]
    is_pocket = any(run.startswith("pocket") for run in runs)
    world = f"run {' and '.join(runs)}" + (f", {POCKET}" if is_pocket else "")
    if number.artefact in rlpa.ARTEFACTS:  # another paper's items, seeds and training
        return ["users, profiles and judge are ours, RLPA's are ALOE's and GPT-4o's", world]
    has_cells = number.artefact not in counterparts.NO_CELLS
    cells = [counterparts.cell(name, evidence) for name in ids] if has_cells else []
    if is_pocket:
        return [*_stand_ins(ids), world, *_guessed(cells)]
    notes = [*_stand_ins(ids), *_scale(number, ours, evidence, roles)]
    is_trained = any(_follows_training(cell) for cell in cells) or not has_cells
    if is_trained and not evidence.paper_training:
        notes.append("not said to be trained as Table 6 prints")
    if not has_cells:  # dialogues and words are of PersonaDual's modes
        run = evidence.runs["first"]
        cells = [Cell(run, "personadual", OBJECTIVE, "aligned", value="personalized")]
    return [*notes, *_method(cells)]


def _stand_ins(ids: Sequence[str]) -> list[str]:
    """Which of our models stand for those of Table 4."""
    rows = dict.fromkeys(
        counterparts.numbers()[name].row for name in ids if name.startswith("table4/")
    )
    stand_ins = []
    for row in rows:
        backbone = f"{counterparts.role(f'table4/{row}/')} backbone"
        stand_in = "AlignXpert" if row.startswith("ALIGN") else backbone
        stand_ins.append(f"our {stand_in} stands for {row}")
    return [", ".join(stand_ins)] if stand_ins else []


def _scale(
    number: paper.Number, ours: Statistic, evidence: Evidence, roles: Sequence[str]
) -> list[str]:
    """Another backbone, other numbers of items, answers or sampling runs."""
    notes = [
        f"backbone {evidence.runs[role]}, the paper's is {BACKBONES[role][0]}"
        for role in roles
        if evidence.runs[role] not in BACKBONES[role]
    ]
    if number.artefact not in counterparts.NO_CELLS:  # there n counts cases or answers
        notes += [
            f"{n} items of {name}, the paper has {paper.TEST_ITEMS[name]}"
            for name, n in ours.items.items()
            if n != paper.TEST_ITEMS[name]
        ]
    if number.artefact == "figure5" and len(evidence.answers) != lexical.RECORDS:
        notes.append(f"{len(evidence.answers)} answers, the paper samples {lexical.RECORDS}")
    if ours.runs < paper.RUNS:
        notes.append(f"{ours.runs} sampling runs, the paper averages {paper.RUNS}")
    return notes


def _method(cells: Sequence[Cell]) -> list[str]:
    """In what `cells` are not the paper's, whatever the run: judges, writers, guessed baselines."""
    notes = []
    answered = {name for cell in cells if cell.value == "correct" for name in cell.benchmarks}
    if judged := [title for name, title in JUDGED.items() if name in answered]:
        notes.append(f"rules grade {' and '.join(judged)}, the paper has GPT-4o-mini judge")
    if any(cell.condition == "aligned" and set(cell.benchmarks) & set(OBJECTIVE) for cell in cells):
        notes.append("aligned personas are written by another expert, after a prompt of ours")
    if any(_follows_training(cell) for cell in cells):
        notes.append("training trajectories are written by another expert, after prompts of ours")
    return [*notes, *_guessed(cells)]


def _follows_training(cell: Cell) -> bool:
    system = SYSTEMS[cell.model]
    return system.trained or system.routed


def _guessed(cells: Iterable[Cell]) -> list[str]:
    """The baselines among `cells` of which the paper leaves something open, and what we chose."""
    models = dict.fromkeys(cell.model for cell in cells if cell.model in GUESSED)
    return [
        f"of {SYSTEMS[model].label} the paper does not describe {GUESSED[model]}: ours"
        for model in models
    ]

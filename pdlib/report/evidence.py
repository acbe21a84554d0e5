"""What a run left that the ledger needs."""

from dataclasses import dataclass

import pandas as pd

from pdlib import config, dataset, evaluate, systems
from pdlib.analysis import lexical
from pdlib.analysis.cells import Cells
from pdlib.rlpa import ledger as rlpa
from pdlib.rlpa import pocket_judge, pocket_user


@dataclass(frozen=True)
class Evidence:
    """What a ledger is computed from; what a run did not leave is None.

    runs: first, second -> the run that stands for that backbone of the paper. paper_training: the
    systems were trained as Table 6 prints. dialogues: records of dialogues. answers: a sample of
    PersonaDual's with the words of who asked. profiles: scores of RLPA's policies. facts: what
    personas may state, see `dataset.persona_facts`.
    """

    cells: Cells
    runs: dict[str, str | None]
    paper_training: bool = False
    dialogues: pd.DataFrame | None = None
    answers: pd.DataFrame | None = None
    profiles: pd.DataFrame | None = None
    facts: dict[str, list[str]] | None = None


def evidence(cfg: config.Config) -> tuple[pd.DataFrame, dict]:
    """The records of a profile, and the other arguments of `ledger`; None for what is not there.

    All are of the training seeds of `cfg`, and of no others that the folder holds. Raises
    ValueError when there are no records.
    """
    first_run, *other_runs = [config.run_name(name) for name in cfg.backbones[:2]]
    seeds = systems.seeds(cfg)
    records = evaluate.read_records(cfg.folder() / "records", seeds)
    answers = records[(records.run == first_run) & (records.model == "personadual")]
    sample = lexical.sample(lexical.answers_from_prompts(answers)[0]) if len(answers) else None
    dialogues = cfg.folder() / "dialogues" / "records"
    inferred = cfg.folder() / "dynamic" / "records"
    profiles = None
    # of an endpoint's users: its judge would have to be asked again
    if inferred.exists() and cfg.dynamic_user == "pocket":
        scored = pocket_judge.score(
            evaluate.read_records(inferred, seeds), pocket_user.test_users(cfg)
        )
        profiles = scored[rlpa.COLUMNS]
    return records, {
        "first_run": first_run,
        "second_run": other_runs[0] if other_runs else None,
        "paper_training": cfg.profile == "paper",
        "dialogues": evaluate.read_records(dialogues, seeds) if dialogues.exists() else None,
        "answers": sample,
        "profiles": profiles,
        "facts": dataset.persona_facts(cfg),
    }

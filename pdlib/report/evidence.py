"""What a run left that the ledger asks."""

import pandas as pd

from pdlib import config, evaluate, systems
from pdlib.analysis import lexical
from pdlib.rlpa import data as talks
from pdlib.rlpa import ledger as rlpa
from pdlib.rlpa import scores


def evidence(cfg: config.Config) -> tuple[pd.DataFrame, dict]:
    """(the records of a profile, the other arguments of `ledger`): which run stands for which
    backbone, whether it was trained as the paper prints, the dialogues, a sample of PersonaDual's
    answers with the words of who asked, scores of RLPA's policies; None for what is not there.

    All are of the training seeds of `cfg`, and of no others that the folder holds. Raises
    ValueError when there are no records.
    """
    first, *others = [config.run_name(name) for name in cfg.backbones[:2]]
    seeds = systems.seeds(cfg)
    records, talked = (
        evaluate.read_records(cfg.folder() / "records", seeds),
        cfg.folder() / "dialogues" / "records",
    )
    inferred, profiles = cfg.folder() / "dynamic" / "records", None
    if (
        inferred.exists() and cfg.dynamic_user == "pocket"
    ):  # an endpoint's judge would have to be asked again
        profiles = scores.scores(evaluate.read_records(inferred, seeds), talks.test_users(cfg))[
            rlpa.KEPT
        ]
    own = records[(records.run == first) & (records.model == "personadual")]
    return records, {
        "first_run": first,
        "second_run": others[0] if others else None,
        "paper_training": cfg.profile == "paper",
        "dialogues": evaluate.read_records(talked, seeds) if talked.exists() else None,
        "answers": lexical.sample(lexical.answers_from_prompts(own)[0]) if len(own) else None,
        "profiles": profiles,
    }

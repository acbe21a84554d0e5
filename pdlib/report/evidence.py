"""What a run left that the ledger asks."""

import pandas as pd

from pdlib import config, evaluate
from pdlib.analysis import lexical


def evidence(cfg: config.Config) -> tuple[pd.DataFrame, dict]:
    """(the records of a profile, the other arguments of `ledger`): which run stands for which backbone, whether it was trained as the
    paper prints, the dialogues, a sample of PersonaDual's answers with the words of who asked; None for what is not there.

    Raises ValueError when there are no records.
    """
    first, *others = [config.run_name(name) for name in cfg.backbones[:2]]
    records, talked = evaluate.read_records(cfg.folder() / "records"), cfg.folder() / "dialogues" / "records"
    own = records[(records.run == first) & (records.model == "personadual")]
    return records, {"first_run": first, "second_run": others[0] if others else None, "paper_training": cfg.profile == "paper",
                     "dialogues": evaluate.read_records(talked) if talked.exists() else None,
                     "answers": lexical.sample(lexical.answers_from_prompts(own)[0]) if len(own) else None}

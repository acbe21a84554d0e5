"""PersonaDual is asked a question by whoever the policy takes the user for.

Early in the dialogue that is a stranger, who shares nothing with the asker; late it is the asker,
as far as the policy has understood them. What this changes is in `protection`.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import config, models, systems
from pdlib import evaluate as answers
from pdlib.paper.catalogue import SYSTEMS
from pdlib.rlpa import evaluate, rewards, roles
from pdlib.rlpa.protection import GIVEN, MODELS, NONE
from pdlib.rlpa.rewards import Judge
from pdlib.rlpa.user import Turn, User
from pdlib.schema import Persona


def asked_turns(cfg: config.Config) -> tuple[int, ...]:
    """After which turns the item is asked.

    The stranger's last, each of the asker's first two, and the last.
    """
    middle, last = cfg.dynamic_turns // 2, cfg.dynamic_turns
    turns = [min(turn, last) for turn in (middle, middle + 1, middle + 2, last)]
    return tuple(dict.fromkeys(turns))


def infer(
    records: pd.DataFrame, users: Sequence[User], turns: Sequence[int], judge: Judge
) -> pd.DataFrame:
    """Who the asker is taken for after each of `turns`.

    Columns: item_id, turn, persona (a text, empty for nobody), f1 (with the asker's own profile),
    readable (of a well-formed completion).
    """
    profiles = {user.id: user.profile for user in users}
    rows = records[records.turn.isin(turns)]
    completions = [rewards.read(text) for text in rows.completion]
    personas = [roles.persona(completion.written.slots) for completion in completions]
    last_turns = [Turn("", profiles[name], profiles[name]) for name in rows.item_id]
    verdicts = judge.rewards(last_turns, completions)
    return pd.DataFrame(
        {
            "item_id": rows.item_id.to_numpy(),
            "turn": rows.turn.to_numpy(),
            "persona": [persona.text if persona else "" for persona in personas],
            "f1": [reward.profile for reward in verdicts],
            "readable": [completion.error is None for completion in completions],
        }
    )


def _infer_of_seed(
    cfg: config.Config, seed: int, users: Sequence[User], judge: Judge
) -> pd.DataFrame:
    """`infer` of RLPA's policy of one training seed; condition: "inferred, turn k"."""
    dialogues = answers.read_records([evaluate.run_records(cfg, "rlpa", seed, "askers")])
    inferred = infer(dialogues, users, asked_turns(cfg), judge)
    return inferred.assign(condition="inferred, turn " + inferred.turn.astype(str))


def run_records(cfg: config.Config, name: str, seed: int) -> Path:
    """Records of a system of MODELS, asked with three kinds of persona; a stage.

    By what RLPA's policy of training seed `seed` inferred, by nobody, and by the asker as given.
    condition: "inferred, turn k" | NONE | GIVEN; train_seed: the policy's and the system's. Returns
    dynamic/asked/records/….
    """
    dialogues = evaluate.run_records(cfg, "rlpa", seed, "askers")
    model_folder = systems.fit(cfg, name, seed)

    def ask() -> tuple[pd.DataFrame, dict]:
        players = roles.assign(cfg)
        users = players.askers()
        inferred = _infer_of_seed(cfg, seed, users, players.judge)
        items = {user.id: user.item for user in users}
        questions = [
            (row.condition, items[row.item_id], Persona(row.persona) if row.persona else None)
            for row in inferred.itertuples()
        ]
        for user in users:
            questions += [(NONE, user.item, None), (GIVEN, user.item, user.item.aligned)]
        model, tokenizer = models.load(model_folder, cfg.precision)
        records = answers.answer(
            model,
            tokenizer,
            questions,
            run=cfg.run,
            model_name=name,
            train_seed=seed,
            mode_set=cfg.mode_set if SYSTEMS[name].two_modes else None,
            **answers.sampling(cfg),
        )
        return records, {
            "nobody inferred": int((inferred.persona == "").sum()),
            "unreadable": int((~inferred.readable).sum()),
        }

    settings = cfg.subset("seed", "eval_", "precision", "dynamic_turns", "dynamic_meeting") | {
        "run": cfg.run,
        "model": name,
        "policy seed": seed,
    }
    # the stage that made the dialogues
    stage = dialogues.parents[1] / "evaluation" / dialogues.stem
    return answers.as_stage(
        cfg.folder() / "dynamic" / "asked",
        f"{config.file_name(cfg.run)}.{name}.{seed}",
        ask,
        settings=settings,
        inputs=[model_folder, stage],
    )


def collect_records(cfg: config.Config) -> pd.DataFrame:
    """The records of all systems and policy seeds, with two columns more.

    profile_f1, and asked_after: the turn after which the question was asked; 0: no dialogue.
    """
    players, frames = roles.assign(cfg), []
    users = players.askers()
    for seed in systems.seeds(cfg):
        inferred = _infer_of_seed(cfg, seed, users, players.judge)
        inferred = inferred.rename(columns={"f1": "profile_f1", "turn": "asked_after"})
        columns = inferred[["item_id", "condition", "asked_after", "profile_f1"]]
        for name in MODELS:
            records = answers.read_records([run_records(cfg, name, seed)])
            frames.append(records.merge(columns, how="left", on=["item_id", "condition"]))
    records = pd.concat(frames, ignore_index=True)
    return records.assign(
        asked_after=records.asked_after.fillna(0).astype(int),
        profile_f1=records.profile_f1.where(records.condition != GIVEN, 1.0),
    )

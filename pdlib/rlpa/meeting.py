"""The meeting: PersonaDual is asked a question by whoever the policy takes the user for.

Early that is a stranger, who shares nothing with the asker; late it is the asker, as far as the
policy has understood them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pdlib import config, models, systems
from pdlib import evaluate as answers
from pdlib.analysis import stats
from pdlib.paper.catalogue import SYSTEMS
from pdlib.rlpa import evaluate, profile, rewards
from pdlib.rlpa.cast import cast
from pdlib.rlpa.rewards import Judge, Rules
from pdlib.rlpa.user import Turn, User
from pdlib.schema import Persona

MODELS = ("backbone", "sft_only", "personadual")
NONE, GIVEN = "no persona", "given persona"  # conditions beside "inferred, turn k"
BINS = (-0.01, 0.25, 0.5, 0.75, 1.0)  # of profile F1


def turns(cfg: config.Config) -> tuple[int, ...]:
    """After which turns the item is asked: the stranger's last, each of the asker's first two, and
    the last.
    """
    middle = cfg.dynamic_turns // 2
    return tuple(
        dict.fromkeys(
            min(turn, cfg.dynamic_turns)
            for turn in (middle, middle + 1, middle + 2, cfg.dynamic_turns)
        )
    )


def inferred(
    records: pd.DataFrame, users: Sequence[User], at: Sequence[int], judge: Judge | None = None
) -> pd.DataFrame:
    """Who the asker is taken for after the turns `at`: item_id, turn, persona (a text, empty for
    nobody), f1 (with the asker's own profile), readable (of a well-formed completion).
    """
    own = {user.id: user.persona.facts.get("slots") or profile.of(user.persona) for user in users}
    kept = records[records.turn.isin(at)]
    said = [rewards.read(text) for text in kept.completion]
    turns = [Turn("", (), "", "", own[name], own[name]) for name in kept.item_id]
    found = [profile.persona(one.written.slots) for one in said]
    return pd.DataFrame(
        {
            "item_id": kept.item_id.to_numpy(),
            "turn": kept.turn.to_numpy(),
            "persona": [one.text if one else "" for one in found],
            "f1": [one.profile for one in (judge or Rules()).rewards(turns, said)],
            "readable": [one.error is None for one in said],
        }
    )


def run_records(cfg: config.Config, name: str, seed: int) -> Path:
    """Records of a system of MODELS, asked by what RLPA's policy of training seed `seed` inferred,
    by nobody, and by the asker as given.

    condition: "inferred, turn k" | NONE | GIVEN; train_seed: the policy's and the system's. A
    stage: dynamic/asked/records/….
    """
    said = evaluate.run_records(cfg, "rlpa", seed, "meeting")
    model_folder = systems.fit(cfg, name, seed)
    file = f"{config.file_name(cfg.run)}.rlpa.{seed}"

    def ask() -> tuple[pd.DataFrame, dict]:
        who = cast(cfg)
        users = who.meeting()
        items = {user.id: user.item for user in users}
        found = inferred(answers.read_records([said]), users, turns(cfg), who.judge)
        asked = [
            (
                f"inferred, turn {row.turn}",
                items[row.item_id],
                Persona(row.persona) if row.persona else None,
            )
            for row in found.itertuples()
        ]
        asked += [
            (condition, user.item, one)
            for user in users
            for condition, one in ((NONE, None), (GIVEN, user.item.aligned))
        ]
        model, tokenizer = models.load(model_folder, cfg.precision)
        return answers.answer(
            model,
            tokenizer,
            asked,
            run=cfg.run,
            model_name=name,
            train_seed=seed,
            two_modes=SYSTEMS[name].two_modes,
            **answers.sampling(cfg),
        ), {
            "nobody inferred": int((found.persona == "").sum()),
            "unreadable": int((~found.readable).sum()),
        }

    settings = cfg.subset("seed", "eval_", "precision", "dynamic_turns", "dynamic_meeting") | {
        "run": cfg.run,
        "model": name,
        "policy seed": seed,
    }
    stage = cfg.folder() / "dynamic" / "meeting" / "evaluation" / file
    return answers.as_stage(
        cfg.folder() / "dynamic" / "asked",
        f"{config.file_name(cfg.run)}.{name}.{seed}",
        ask,
        settings=settings,
        inputs=[model_folder, stage],
    )


def asked(cfg: config.Config) -> pd.DataFrame:
    """The records of all systems and policy seeds, with `profile_f1` and `asked_after` (the turn;
    0: no dialogue) beside each answer.
    """
    who, frames = cast(cfg), []
    users = who.meeting()
    for seed in systems.seeds(cfg):
        own = inferred(
            answers.read_records([evaluate.run_records(cfg, "rlpa", seed, "meeting")]),
            users,
            turns(cfg),
            who.judge,
        )
        own = own.assign(condition="inferred, turn " + own.turn.astype(str)).rename(
            columns={"f1": "profile_f1", "turn": "asked_after"}
        )
        for name in MODELS:
            found = answers.read_records([run_records(cfg, name, seed)])
            frames.append(
                found.merge(
                    own[["item_id", "condition", "asked_after", "profile_f1"]],
                    how="left",
                    on=["item_id", "condition"],
                )
            )
    whole = pd.concat(frames, ignore_index=True)
    return whole.assign(
        asked_after=whole.asked_after.fillna(0).astype(int),
        profile_f1=whole.profile_f1.where(whole.condition != GIVEN, 1.0),
    )


def by_turn(records: pd.DataFrame, draws: int = 1000) -> pd.DataFrame:
    """model, kind, condition, f1 (mean profile F1), and mean with interval of `correct` and of
    P(personalised): one row each `value`.
    """
    out = []
    for (model, kind, condition), part in records.groupby(
        ["model", "kind", "condition"], sort=False
    ):
        for value in ("correct", "p_personalized"):
            if part[value].notna().all():
                out.append(
                    {
                        "model": model,
                        "kind": kind,
                        "condition": condition,
                        "value": value,
                        "f1": part.profile_f1.mean(),
                    }
                    | stats.mean_interval(part, value, draws=draws)
                )
    return pd.DataFrame(out)


def protection(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Objective questions: what each inferred or given profile changes against no persona, and how
    that differs from PersonaDual's.

    model, condition, f1, mean, ci_low, ci_high (accuracy minus that without persona, paired by item
    and seed), against (PersonaDual's change minus this model's), against_low, against_high, verdict
    (wide over all rows), n.
    """
    part = records[records.kind == "objective"]
    key = ["benchmark", "item_id", "train_seed"]
    table = part.assign(correct=part.correct.astype(float)).pivot_table(
        index=key, columns=["model", "condition"], values="correct"
    )
    conditions = [c for c in part.condition.unique() if c != NONE]
    drawn = stats.resample(table, draws)
    change = {(m, c): drawn[m, c] - drawn[m, NONE] for m in MODELS for c in conditions}
    out = []
    for (model, condition), column in change.items():
        found = stats.summary(column, len(change))
        against = stats.summary(change["personadual", condition] - column)
        out.append(
            {
                "model": model,
                "condition": condition,
                "f1": part[part.condition == condition].profile_f1.mean(),
            }
            | found
            | {
                "against": against["mean"],
                "against_low": against["ci_low"],
                "against_high": against["ci_high"],
                "verdict": stats.verdict(found),
                "n": stats.count(table),
            }
        )
    return pd.DataFrame(out)


def by_f1(records: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Answers after a dialogue by the F1 of the profile they were asked with: model, kind, value,
    bin, f1, mean, ci_low, ci_high, n answers.

    Items fall into bins by what was inferred, so bins hold different items; intervals resample
    items (all answers of one together).
    """
    own, out, rng = records[records.asked_after > 0], [], np.random.default_rng(seed)
    own = own.assign(bin=pd.cut(own.profile_f1, list(BINS)).astype(str))
    for (model, kind, name), part in own.groupby(["model", "kind", "bin"], sort=True):
        for value in ("correct", "p_personalized"):
            if part[value].isna().any():
                continue
            sums = (
                part.assign(v=part[value].astype(float))
                .groupby("item_id")
                .v.agg(["sum", "size"])
                .to_numpy()
            )
            weights = stats.times(rng, len(sums), draws) @ sums
            means = pd.Series(weights[:, 0] / weights[:, 1])
            out.append(
                {
                    "model": model,
                    "kind": kind,
                    "value": value,
                    "bin": name,
                    "f1": part.profile_f1.mean(),
                }
                | stats.summary(means)
                | {"n": len(part)}
            )
    return pd.DataFrame(out)


def paragraph(records: pd.DataFrame, found: pd.DataFrame) -> str:
    """The meeting in words, for quoting: changes of accuracy, profile F1 and P(personalised) early,
    late and with the given persona.

    found: `protection` of the records. Whether PersonaDual changes more or less than the backbone
    is said where the interval leaves 0 out.
    """
    row = found.set_index(["model", "condition"])
    early, *_, late = sorted(
        (c for c in found.condition.unique() if c != GIVEN), key=lambda c: int(c.split()[-1])
    )
    when = {
        early: "after the stranger's half",
        late: "after the whole dialogue",
        GIVEN: "with the asker's own persona given",
    }

    def change(model: str, condition: str) -> str:
        one = row.loc[(model, condition)]
        return f"{SYSTEMS[model].label} {100 * one['mean']:+.1f} points [{100 * one.ci_low:+.1f}, {100 * one.ci_high:+.1f}]"

    def chance(model: str, condition: str) -> str:
        own = records[
            (records.model == model)
            & (records.condition == condition)
            & (records.kind == "objective")
        ]
        return f"{own.p_personalized.mean():.2f}"

    parts = [
        f"Objective questions, {row.n.max()} items, {records.train_seed.nunique()} training seeds, accuracy against no persona."
    ]
    for condition, words in when.items():
        turn, f1 = condition.removeprefix("inferred, "), row.loc[(MODELS[0], condition)].f1
        told = "" if condition == GIVEN else f" ({turn}, mean profile F1 {f1:.2f})"
        parts.append(
            f"{words.capitalize()}{told}: {'; '.join(change(model, condition) for model in MODELS)}."
        )
    two_modes = [model for model in MODELS if SYSTEMS[model].two_modes]
    parts.append(
        f"Mean P(personalised) without a persona, {', '.join(when.values())}: "
        + "; ".join(
            f"{SYSTEMS[model].label} {', '.join(chance(model, c) for c in (NONE, *when))}"
            for model in two_modes
        )
        + "."
    )
    gap = row.loc[(MODELS[0], early)]
    shown = (
        "above 0"
        if gap.against_low > 0
        else "below 0"
        if gap.against_high < 0
        else "not shown to differ from 0"
    )
    parts.append(
        f"{when[early].capitalize()} the change of PersonaDual minus that of the backbone is {100 * gap.against:+.1f} points "
        f"[{100 * gap.against_low:+.1f}, {100 * gap.against_high:+.1f}], {shown}."
    )
    return " ".join(parts)

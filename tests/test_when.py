"""When DualGRPO pays: theory against the table it must give, priors, outcomes and verdicts."""

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pdlib import advantages, modes, train
from pdlib.analysis.when import arms, outcomes, predictions, prior, theory, verdicts
from pdlib.analysis.when.theory import Method, Questions
from pdlib.dataset import construct
from pdlib.pocket import backbones
from pdlib.schema import Example, Item, Mode, Persona
from pdlib.train.rows import UNLEARNED

FREE = Method("grpo", sampling="natural")
FORCED = Method("grpo", options={"prefix_weight": 1.0})
DUAL = Method(options={"prefix_weight": 2.0})
CORRECTED = Method(correction="uniform", options={"prefix_weight": 2.0})
DR_FREE = Method("dr_grpo", sampling="natural", options={"prefix_weight": 1.0})


# --- theory ---


@pytest.mark.parametrize(
    "p, absent, free, forced, dual",
    [  # evidence C: rewards .40 and .93 times .9, n = 4
        (0.5, 0.004, 0.239, 0.267, 0.477),
        (0.1, 0.43, 0.083, 0.267, 0.477),
        (0.01, 0.92, 0.0092, 0.267, 0.477),
        (0.001, 0.992, 0.0009, 0.267, 0.477),
    ],
)
def test_pushes_of_the_table(p, absent, free, forced, dual):
    assert advantages.absent_chance(p, 8) == pytest.approx(absent, abs=3e-3)
    pushes = [theory.push(m, [p], 0.4, 0.93).item() for m in (FREE, FORCED, DUAL)]
    assert pushes == pytest.approx([free, forced, dual], abs=5e-4)


def test_a_temperature_sharpens_the_choice_and_scales_its_slope():
    cold = Method("dr_grpo", sampling="natural", temperature=0.6)
    sampled = advantages.at_temperature(0.05, 0.6)
    at_one = theory.push(DR_FREE, [sampled], 0.4, 0.9).item()
    assert theory.push(cold, [0.05], 0.4, 0.9).item() == pytest.approx(at_one / 0.6)


def test_a_push_towards_the_worse_mode_is_negative():
    for method in (FREE, FORCED, DUAL, CORRECTED, DR_FREE):
        assert theory.push(method, [0.3], 0.9, 0.4).item() < 0
        assert theory.push(method, [0.3], 0.4, 0.9).item() > 0


def test_constant_push_flips_after_the_distance_divided_by_it():
    p, rate = 0.02, 0.3
    distance = math.log((1 - p) / p)
    push = 2 * 0.9 * (0.9 - 0.4) / 2  # weight * reward * difference / 2
    steps = theory.steps_to_flip(DUAL, Questions(p, 0.4, 0.9), rate)
    assert steps == pytest.approx(distance / (rate * push))
    assert theory.chance_after(DUAL, [p], 0.4, 0.9, math.ceil(steps), rate) >= 0.5
    assert theory.chance_after(DUAL, [p], 0.4, 0.9, math.floor(steps), rate) < 0.5


def test_forced_steps_grow_like_the_logarithm_and_free_ones_like_the_inverse():
    free = [theory.steps_to_flip(DR_FREE, Questions(p, 0.4, 0.9), 1.0) for p in (1e-3, 1e-4)]
    forced = [theory.steps_to_flip(DUAL, Questions(p, 0.4, 0.9), 1.0) for p in (1e-3, 1e-4)]
    assert free[1] / free[0] == pytest.approx(10, rel=0.1)
    assert forced[1] / forced[0] == pytest.approx(math.log(1e4) / math.log(1e3), rel=0.01)


def test_a_choice_that_is_pushed_away_never_flips():
    assert theory.steps_to_flip(DUAL, Questions(0.1, 0.9, 0.4), 1.0) == math.inf
    assert theory.steps_to_flip(DUAL, Questions(0.6, 0.9, 0.4), 1.0) == 0


def test_break_even_of_forced_rollouts_follows_the_gains():
    """Evidence D: gains .385 and -.194, whatever P(personalised) is."""
    for p in (0.01, 0.74):
        aligned, unaligned = Questions(p, 0.4, 0.785), Questions(p, 0.6, 0.406)
        assert theory.break_even(DUAL, aligned, unaligned) == pytest.approx(0.385 / 0.579)


def test_break_even_of_corrected_rollouts_weighs_by_the_slope():
    aligned, unaligned = Questions(0.74, 0.4, 0.785), Questions(0.15, 0.6, 0.406)
    pushes = [0.385 * 0.74 * 0.26, 0.194 * 0.15 * 0.85]
    expected = pushes[0] / sum(pushes)
    assert theory.break_even(CORRECTED, aligned, unaligned) == pytest.approx(expected)
    assert theory.mixed_push(CORRECTED, aligned, unaligned, expected) == pytest.approx(0, abs=1e-9)


def test_no_share_turns_what_points_one_way():
    both = Questions(0.5, 0.4, 0.8)
    assert math.isnan(theory.break_even(DUAL, both, both))


def test_only_free_groups_are_silent():
    assert theory.silent(DUAL, 0.01) == 0
    assert theory.silent(DR_FREE, 0.5) == pytest.approx(2 * 0.5**8)


@pytest.mark.parametrize("p, temperature", [(-0.1, 1.0), (1.1, 1.0), (0.5, 0.0)])
def test_chances_and_temperatures_that_are_none_are_refused(p, temperature):
    with pytest.raises(ValueError, match="expected a"):
        advantages.at_temperature(p, temperature)


def test_a_certain_choice_stays_certain_at_any_temperature():
    assert [advantages.at_temperature(p, 0.6) for p in (0, 1)] == [0, 1]
    assert np.isfinite(theory.push(DR_FREE, [0.0, 1.0], 0.4, 0.9)).all()


# --- priors ---


def examples(n: int = 200) -> list[Example]:
    """Objective questions, each asked by a fitting asker and by a stranger, and personal ones."""
    rows = []
    for i in range(n):
        kind = "personalized" if i % 10 == 9 else "objective"
        item = Item(str(i), "b", kind, "text", f"question {i}?", "gold")
        asker, stranger = Persona(f"a person {i}"), Persona(f"a stranger {i}")
        rows.append(Example(item, asker, "aligned", mode=Mode.PERSONALIZED, answer="gold"))
        if kind == "objective":
            rows.append(Example(item, stranger, "unaligned", mode=Mode.GENERAL, answer="gold"))
    return rows


def personalized(rows: list[Example], kind: str = "objective") -> set[str]:
    return {e.item.id for e in rows if e.item.kind == kind and e.mode == Mode.PERSONALIZED}


def test_a_prior_is_that_share_of_the_labels_and_nothing_else_changes():
    rows = examples()
    before = personalized(rows)
    for share in (1.0, 0.3, 0.03, 0.0):
        changed = prior.with_prior(rows, share, random.Random(0))
        assert len(personalized(changed)) == round(share * len(before))
        assert personalized(changed, "personalized") == personalized(rows, "personalized")
        assert [e.item for e in changed] == [e.item for e in rows]
        assert [e.persona for e in changed] == [e.persona for e in rows]


def test_smaller_priors_are_within_larger_ones():
    chosen = [
        personalized(prior.with_prior(examples(), share, random.Random(0)))
        for share in (0.03, 0.3, 1.0)
    ]
    assert chosen[0] < chosen[1] < chosen[2]


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_prior_that_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        prior.with_prior(examples(), share, random.Random(0))


def test_the_tag_is_given_where_the_choice_is_at_stake():
    rows = examples()
    given = prior.with_given_tag(rows, everywhere=False)
    assert {e.item.id for e in given if not e.learns_mode} == personalized(rows)
    assert not any(e.learns_mode for e in prior.with_given_tag(rows, everywhere=True))


def test_a_given_tag_has_no_loss_and_all_else_has():
    tokenizer = backbones.build_tokenizer(0)
    (example,) = [e for e in examples(1) if e.mode == Mode.PERSONALIZED]
    learned = train.sft_row(tokenizer, example)
    given = train.sft_row(tokenizer, replace(example, learns_mode=False))
    tag = modes.prefix_ids(tokenizer)[Mode.PERSONALIZED]
    completion = [label for label in learned["labels"] if label != UNLEARNED]
    assert given["input_ids"] == learned["input_ids"]
    assert completion[: len(tag)] == tag
    assert [label for label in given["labels"] if label != UNLEARNED] == completion[len(tag) :]


def test_a_given_tag_survives_its_file():
    rows = prior.with_given_tag(examples(10), everywhere=False)
    read = construct.from_frame(construct.to_frame(rows))
    assert [e.learns_mode for e in read] == [e.learns_mode for e in rows]
    older = construct.to_frame(rows).drop(columns="learns_mode")
    assert all(e.learns_mode for e in construct.from_frame(older))


# --- outcomes ---


def records() -> pd.DataFrame:
    rows = []
    for item, p, general, personal in (("1", 0.5, True, False), ("2", 0.9, False, True)):
        for forced, correct in (("general", general), ("personalized", personal)):
            rows.append(
                {
                    "experiment": "prior",
                    "level": 0.3,
                    "arm": "free",
                    "train_seed": 0,
                    "seed": 0,
                    "condition": "aligned",
                    "benchmark": "b",
                    "item_id": item,
                    "forced": forced,
                    "p_personalized": p,
                    "correct": correct,
                }
            )
    return pd.DataFrame(rows)


def test_outcomes_of_two_questions_by_hand():
    cells = outcomes.of_cells(outcomes.by_item(records()), temperature=1.0)
    (row,) = cells.to_dict("records")
    assert row["p"] == row["p_sampled"] == pytest.approx(0.7)
    assert row["general"] == row["personalized"] == 0.5
    assert row["accuracy"] == pytest.approx((0.5 * 1 + 0.9 * 1) / 2)
    assert row["logit"] == pytest.approx(math.log(9) / 2)
    assert row["absent"] == pytest.approx((0.5**8 + 0.1**8) / 2)


def test_what_rollouts_saw(tmp_path):
    """Two groups of fitting askers, of which one has one personalised rollout; one of strangers."""
    questions, model = tmp_path / "questions", tmp_path / "model"
    questions.mkdir()
    (model / "completions").mkdir(parents=True)
    kinds = {"a": "aligned", "b": "aligned", "c": "unaligned"}
    frame = pd.DataFrame({"prompt": kinds.keys(), "condition": kinds.values()})
    frame.assign(kind="objective").to_parquet(questions / "rl.parquet")
    tags = {"a": ["[General_mode]"] * 2, "b": ["[General_mode]", "[Personalized_mode]"]}
    tags["c"] = ["[General_mode]"] * 2
    for step in (1, 2):
        rows = [
            {
                "step": step,
                "prompt": [{"role": "user", "content": prompt}],
                "completion": [{"role": "assistant", "content": f'{tag}\nx {{"answer": "y"}}'}],
            }
            for prompt, of_prompt in tags.items()
            for tag in of_prompt
        ]
        file = model / "completions" / f"completions_{step:05d}.parquet"
        pd.DataFrame(rows).to_parquet(file)
    seen = outcomes.seen(model, questions).set_index(["step", "condition"])
    assert list(seen.index) == [(1, "aligned"), (1, "unaligned"), (2, "aligned"), (2, "unaligned")]
    for step in (1, 2):
        aligned = {"rollouts": 4, "personalized": 1, "groups": 2, "absent": 1}
        assert seen.loc[(step, "aligned")].to_dict() == aligned
        unaligned = {"rollouts": 2, "personalized": 0, "groups": 1, "absent": 1}
        assert seen.loc[(step, "unaligned")].to_dict() == unaligned


# --- verdicts ---


@pytest.mark.parametrize(
    "values, low, high, expected",
    [
        ([0.6, 0.61, 0.62], 0.5, math.inf, "confirmed"),
        ([0.1, 0.11, 0.12], 0.5, math.inf, "refuted"),
        ([0.4, 0.5, 0.6], 0.5, math.inf, "undecided"),
        ([0.6], 0.5, math.inf, "undecided"),
        ([0.6, 0.7], -math.inf, math.inf, "shown"),
    ],
)
def test_verdicts(values, low, high, expected):
    outcome = verdicts.Outcome("prior", "free", 0.0, "measure", values, low, high)
    assert outcome.row()["verdict"] == expected


def cells(moves: dict[str, float]) -> pd.DataFrame:
    """Cells of experiment `share`: by arm the logit's slope per share below .7."""
    rows = []
    for seed in (0, 1, 2):
        for level in (0.5, 0.9):
            for arm in (arms.START, *arms.ARMS_OF["share"]):
                for condition, p in (("aligned", 0.5), ("unaligned", 0.5)):
                    gain = 0.4 if condition == "aligned" else -0.2
                    move = 0 if arm == arms.START else moves[arm] * (0.7 - level)
                    rows.append(
                        {
                            "experiment": "share",
                            "level": level,
                            "arm": arm,
                            "seed": seed,
                            "condition": condition,
                            "p": p,
                            "logit": move + 0.01 * seed * bool(move),
                            "general": 0.5,
                            "personalized": 0.5 + gain,
                            "accuracy": 0.5,
                        }
                    )
    return pd.DataFrame(rows)


def test_a_choice_that_turns_for_everybody_gains_nothing():
    """General right of .6 strangers and .4 fitting, the other way round in the personalised mode:
    one mode alone has .5, choosing by who asks .6.
    """
    rows = [
        {
            "experiment": "prior",
            "level": 0.3,
            "arm": arm,
            "seed": seed,
            "condition": condition,
            "accuracy": accuracy,
            "general": general,
            "personalized": 1 - general,
        }
        for arm, accuracy in (("everybody", 0.5), ("who asks", 0.6))
        for seed in (0, 1)
        for condition, general in (("aligned", 0.4), ("unaligned", 0.6))
    ]
    table = pd.DataFrame(rows)
    gains = [
        predictions._ahead_of_one_mode(table, 0.3, arm).tolist()
        for arm in ("everybody", "who asks")
    ]
    assert gains == [pytest.approx([0.0, 0.0]), pytest.approx([0.1, 0.1])]


def test_shares_are_judged_by_the_side_of_u_star():
    """u* is .4 / .6 = .67: right for an arm that moves up below and down above it, else refuted."""
    moves = {"dualgrpo": 1.0, "corrected": -1.0, "free": 1.0}
    methods = {"dualgrpo": DUAL, "corrected": CORRECTED, "free": DR_FREE}
    empty = pd.DataFrame(columns=["experiment", "level", "arm", "seed"])
    table = predictions.table(cells(moves), empty, methods, steps=50)
    moved = table[table.measure.str.startswith("move")]
    assert moved.groupby("arm").verdict.unique().map(list).to_dict() == {
        "dualgrpo": ["confirmed"],
        "corrected": ["refuted"],
        "free": ["confirmed"],
    }
    turns = table[table.measure.str.startswith("share u*")].set_index("arm")
    assert turns.measured["dualgrpo"] == pytest.approx(0.71, abs=0.01)
    assert turns.verdict["dualgrpo"] == "confirmed"


def test_the_pace_is_judged_by_the_curve_of_its_own_start():
    """DualGRPO moves by 4 where the curve is calibrated; elsewhere one arm keeps its pace, and one
    goes all the way whatever it started from.
    """
    methods = {"dualgrpo": DUAL, "forced": FORCED}
    start, general, personalized = {0.3: 0.2, 0.03: 0.02}, 0.5, 0.9

    def cell(level: float, arm: str, seed: int, p: float) -> dict:
        skills = {"general": general, "personalized": personalized}
        names = {"experiment": "prior", "level": level, "arm": arm, "seed": seed}
        return names | {"condition": "aligned", "p": p} | skills

    def moved(p: float, by: float) -> float:
        return 1 / (1 + math.exp(-(theory.logit(p) + by)))

    rows = []
    for level, seed in itertools.product(start, (0, 1, 2)):
        p = start[level] * (1 + seed / 100)
        rows.append(cell(level, arms.START, seed, p))
        rows.append(cell(level, "dualgrpo", seed, moved(p, 4)))
        rows.append(cell(level, "forced", seed, 0.95))
    table = pd.DataFrame([o.row() for o in predictions._pace(pd.DataFrame(rows), methods, 50)])
    verdict = table.set_index(["arm", "level"]).verdict
    assert ("dualgrpo", 0.3) not in verdict  # the curve is read off it
    assert verdict["dualgrpo", 0.03] == "confirmed" and verdict["forced", 0.03] == "refuted"
    equal = pd.DataFrame(rows).assign(general=0.0, personalized=0.0)
    assert list(predictions._pace(equal, methods, 50)) == []  # nothing pushes: there is no pace

"""Asking back: what earns, which rows teach it, what policies do and what they come to."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pdlib import benchmarks, config, modes, rewards
from pdlib.analysis.asking_back import curves, data, experiments, measures, policies, tables
from pdlib.analysis.selection import LEXICON
from pdlib.config.checks import check
from pdlib.dataset import experts
from pdlib.dataset.personas import CONDITIONS
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.personas import People
from pdlib.pocket.world import World
from pdlib.schema import Example, Item, Mode, Persona

ITEM = Item(
    "bar", "triviaqa", "objective", "text", "what is bar?", "all lawyers", source="pocket",
    facts={"word": "bar", "field": "law", "cue": None, "readings": ["law", "music", "sailing"]},
)  # fmt: skip
LAWYER, SAILOR, NURSE = (
    Persona(field, {"field": field, "studies": "bar"}) for field in ("law", "sailing", "medicine")
)


def completion(mode: Mode, answer: str) -> str:
    return modes.completion_text(mode, "so.", answer)


# --- rewards ---


@pytest.mark.parametrize(
    "mode, answer, accuracy",
    [
        (Mode.CLARIFY, "Which bar: law, music or sailing?", 0.6),
        (Mode.CLARIFY, "law or music", 0.6),
        (Mode.CLARIFY, "Which bar: music or sailing?", 0.0),  # not the reading that is meant
        (Mode.CLARIFY, "Which bar: law?", 0.0),  # one reading is no question
        (Mode.CLARIFY, "Which bar: lawful or music?", 0.0),
        (Mode.CLARIFY, "all lawyers", 0.0),  # the right answer, in the mode that asks
        (Mode.GENERAL, "all lawyers", 1.0),
        (Mode.GENERAL, "Which bar: law, music or sailing?", 0.0),
        (Mode.PERSONALIZED, "law, music or sailing", 0.0),
    ],
)
def test_asking_counts_what_is_set_where_it_offers_the_right_reading(mode, answer, accuracy):
    reward = rewards.score(completion(mode, answer), ITEM, mode_set=data.MODES, asking=0.6)
    assert (reward.accuracy, reward.format) == (accuracy, 1.0)
    assert reward.total == pytest.approx(0.9 * accuracy + 0.1)


def test_asking_counts_nothing_unless_it_is_set():
    text = completion(Mode.CLARIFY, "Which bar: law, music or sailing?")
    assert rewards.score(text, ITEM, mode_set=data.MODES).accuracy == 0
    assert rewards.score(text, ITEM, asking=1.0).format == 0  # unknown to a model of two modes


def test_a_question_without_readings_cannot_be_asked_back():
    bare = replace(ITEM, facts={})
    assert not benchmarks.asks_back(bare, "Which bar: law, music or sailing?")


def test_asking_lies_between_a_wrong_and_a_right_answer():
    for name, value in (("rl_asking", 1.2), ("rl_asking", -0.1), ("ask_rewards", [0.2, 2])):
        with pytest.raises(ValueError, match=f"{name}.*between them"):
            config.load("smoke", **{name: value})
    assert experiments.values(config.load("smoke", ask_rewards=[0.8, 0.2])) == [0.0, 0.2, 0.8]


# --- rows ---


def drawn(n: int = 300) -> list[Example]:
    world = World(0, "train", people=People("field", commonest=0.6))
    names = itertools.cycle(("triviaqa", "math500", "pubmedqa", "mmlu_pro", "personafeedback"))
    rows = []
    for name, _ in zip(names, range(n), strict=False):
        item = world.item(name)
        mode = Mode.PERSONALIZED if item.kind == "personalized" else Mode.GENERAL
        rows.append(Example(item, item.unaligned, "unaligned", "x", None, None, mode, "so.", "a"))
    return rows


def test_the_expert_asks_back_in_every_benchmark_and_only_where_there_is_something_to_ask():
    expert = PocketExpert()
    for example in drawn(100):
        if example.item.kind == "personalized":
            with pytest.raises(ValueError, match="one reading"):
                expert.trajectories([(example.item, Mode.CLARIFY, None)])
            continue
        ((reasoning, question),) = expert.trajectories([(example.item, Mode.CLARIFY, None)])
        assert benchmarks.asks_back(example.item, question)
        assert all(field in reasoning for field in example.item.facts["readings"])
        assert not benchmarks.grade(example.item, question)[0]
    with pytest.raises(ValueError, match="without the persona"):
        PocketExpert().trajectories([(ITEM, Mode.CLARIFY, NURSE)])
    with pytest.raises(ValueError, match="without the persona"):
        experts.check_persona(ITEM, Mode.CLARIFY, NURSE)


def test_a_share_of_open_general_rows_asks_back_and_nothing_else_changes():
    rows = drawn()
    changed = data.with_questions(rows, 0.25, random.Random(1), PocketExpert())
    at_stake = [
        k for k, row in enumerate(rows) if row.mode == Mode.GENERAL and data.is_open(row.item)
    ]
    asking = [k for k, row in enumerate(changed) if row.mode == Mode.CLARIFY]
    assert 0 < len(asking) == round(0.25 * len(at_stake)) and set(asking) <= set(at_stake)
    assert all(changed[k] == rows[k] for k in range(len(rows)) if k not in asking)
    assert all(benchmarks.asks_back(changed[k].item, changed[k].answer) for k in asking)
    assert all(changed[k].persona == rows[k].persona for k in asking)
    again = data.with_questions(rows, 0.25, random.Random(1), PocketExpert())
    assert again == changed
    bare = [replace(row, reasoning="", answer="") for row in rows]
    tags = data.with_questions(bare, 0.25, random.Random(1), PocketExpert())
    assert [row.mode for row in tags] == [row.mode for row in changed]
    assert {row.answer for row in tags} == {""}


def test_cue_or_asker_settle_a_word():
    assert data.is_open(ITEM)
    with_cue = replace(ITEM, facts=ITEM.facts | {"cue": "prison"})
    assert [data.is_settled(ITEM, who) for who in (None, LAWYER, SAILOR, NURSE)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert all(data.is_settled(with_cue, who) for who in (None, NURSE))
    with pytest.raises(ValueError, match="whether a cue settles it"):
        data.is_open(replace(ITEM, facts={}))


def test_settings_of_three_modes_can_be_trained():
    for profile in ("pocket", "smoke", "pretrained"):
        settings = experiments.three_modes(config.load(profile), seed=3, value=0.4)
        check(settings)
        usual = config.load(profile)
        assert settings.rl_rollouts // 3 == usual.rl_rollouts // 2  # n of each mode
        assert (settings.seed, settings.rl_asking, len(settings.mode_set)) == (3, 0.4, 3)


# --- policies and measures ---


def records(free: dict[str, list[tuple[str, bool]]]) -> pd.DataFrame:
    """Of one model of value 0: forced answers to ITEM by two askers, and free ones by asker."""
    rows = []
    texts = {"general": "all lawyers", "personalized": "sand", "clarify": "law or music?"}
    for condition in free:
        base = {
            "value": 0.0,
            "train_seed": 5,
            "condition": condition,
            "benchmark": "triviaqa",
            "item_id": "bar",
            "p_personalized": 0.2,
            "p_clarify": 0.5,
            "parse_error": None,
        }
        for mode, text in texts.items():
            right = mode == "general"
            one = {"seed": 0, "forced": mode, "mode": mode, "answer": text, "correct": right}
            rows.append(base | one)
        for run, (text, right) in enumerate(free[condition]):
            mode = "clarify" if text.startswith("Which") else "general"
            one = {"seed": run, "forced": "none", "mode": mode, "answer": text, "correct": right}
            rows.append(base | one)
    return pd.DataFrame(rows)


def test_items_say_what_each_mode_did_and_how_far_free_answers_agree():
    free = {
        "none": [("all lawyers", True), ("All lawyers!", True), ("sand", False), ("x", False)],
        "unaligned": [("sand", False), ("all lawyers", True), ("Which bar?", False), ("y", False)],
    }
    questions = [("none", ITEM, None), ("unaligned", ITEM, LAWYER)]
    items = policies.by_item(records(free), questions).set_index("condition")
    assert items.p_general.tolist() == pytest.approx([0.3, 0.3])
    assert items.general.tolist() == [True, True] and items.clarify.tolist() == [True, True]
    assert items.personalized.tolist() == [False, False]
    assert items.agreement.tolist() == [0.5, 0.25]
    assert items.majority.tolist() == pytest.approx([1.0, 1 / 3])  # three texts, once each
    assert items.settled.tolist() == [False, True] and not items.cue.any()
    broken = records(free)
    broken.loc[broken.forced == "none", "parse_error"] = "no answer"
    nothing = policies.by_item(broken, questions)
    assert nothing.agreement.tolist() == [0, 0] and nothing.majority.tolist() == [0, 0]


def test_a_model_answers_by_its_answering_modes():
    items = pd.DataFrame(
        {"p_general": [0.3], "p_personalized": [0.2], "p_clarify": [0.5]}
        | {"general": [True], "personalized": [False], "clarify": [True]}
        | {"settled": [False], "cue": [False]}
    )
    policy = policies.of_model(items, temperature=1.0)
    assert policy.asks.tolist() == pytest.approx([0.5])
    assert policy.right.tolist() == pytest.approx([0.6])
    cold = policies.of_model(items, temperature=0.5)
    assert cold.asks.tolist() == pytest.approx([0.25 / 0.38])
    assert policies.always(items, 1.0).asks.tolist() == [0]
    assert policies.lexicon_rule(items, 1.0).asks.tolist() == [1]
    assert policies.persona_blind_rule(items, 1.0).asks.tolist() == [1]
    assert policies.persona_blind_rule(items.assign(cue=True), 1.0).asks.tolist() == [0]


def policy(asks, right, doubt=None, offers=1.0) -> policies.Policy:
    asks, right = np.array(asks, float), np.array(right, float)
    doubt = asks if doubt is None else np.array(doubt, float)
    return policies.Policy(asks, right, doubt, np.full(len(asks), offers))


def test_measures_of_four_questions():
    four, alike = policy([0, 0, 0.5, 1], [1, 0, 1, 1]), np.full((1, 4), 0.25)
    assert measures.coverage(four, alike).item() == pytest.approx(0.625)
    assert measures.accuracy(four, alike).item() == pytest.approx(1.5 / 2.5)
    assert measures.score(four, alike, 0.4).item() == pytest.approx((1.5 + 0.4 * 1.5) / 4)
    assert np.isnan(measures.accuracy(policy([1], [1]), np.ones((1, 1)))).item()


def test_accuracy_at_a_coverage_answers_the_least_doubtful_first():
    alike = np.full((1, 4), 0.25)
    sorted_well = policy([0] * 4, [1, 0, 1, 1], doubt=[0.1, 0.9, 0.2, 0.3])
    assert measures.accuracy_at(sorted_well, alike, 0.75).item() == pytest.approx(1)
    assert measures.accuracy_at(sorted_well, alike, 0.8).item() == pytest.approx(0.75 / 0.8)
    assert measures.accuracy_at(sorted_well, alike, 1.0).item() == pytest.approx(0.75)
    ties = policy([0] * 4, [1, 0, 1, 1], doubt=[0.5] * 4)
    for share in (0.2, 0.5, 1.0):
        assert measures.accuracy_at(ties, alike, share).item() == pytest.approx(0.75)
    with pytest.raises(ValueError, match="above 0"):
        measures.accuracy_at(ties, alike, 0.0)


def items_of(asks_where_open: dict[float, float], seeds=(0, 1), n: int = 40) -> pd.DataFrame:
    """Models by value: P(clarify) on unsettled questions; half of all are settled and known."""
    rows = []
    for value, seed, index in itertools.product((np.nan, *asks_where_open), seeds, range(n)):
        for condition in (*CONDITIONS, experiments.CONFLICTING):
            settled = index % 2 == 0
            asks = 0.0 if settled else asks_where_open.get(value, 0.3)
            known = settled or index % 4 == 1
            rows.append(
                {
                    "value": value,
                    "seed": seed,
                    "condition": condition,
                    "benchmark": "triviaqa",
                    "item_id": f"i{index}",
                    "p_general": 1 - asks,
                    "p_personalized": 0.0,
                    "p_clarify": asks,
                    "general": known,
                    "personalized": False,
                    "clarify": True,
                    "cue": settled,
                    "settled": settled,
                    "agreement": 1.0 if settled else 0.5,
                    "majority": float(known),
                }
            )
    return pd.DataFrame(rows)


def test_a_model_that_asks_where_it_cannot_know_beats_always_answering():
    table = tables.table(items_of({0.0: 0.0, 0.8: 1.0}), 0.6, draws=50)
    found = table.set_index(["questions", "value", "policy", "measure"])["mean"]
    everybody = found["all usual askers"]
    assert everybody[0.8, tables.TRAINED, "coverage"] == pytest.approx(0.5)
    assert everybody[0.8, tables.TRAINED, "accuracy"] == pytest.approx(1.0)
    assert everybody[0.8, tables.TRAINED, "score"] == pytest.approx(0.9)
    assert everybody[0.8, tables.ALWAYS, "score"] == pytest.approx(0.75)
    assert everybody[0.8, tables.ASKS, "score"] == pytest.approx(0.8)
    assert everybody[0.8, LEXICON, "score"] == pytest.approx(0.9)
    assert everybody[0.8, tables.THRESHOLD, "score"] == pytest.approx(0.9)  # agreement .5 < .8
    assert everybody[0.8, tables.TRAINED, "score minus always answers"] == pytest.approx(0.15)
    assert everybody[0.8, tables.TRAINED, "score minus lexicon rule"] == pytest.approx(0, abs=1e-5)
    assert everybody[0.0, tables.TRAINED, "score minus always answers"] == pytest.approx(
        0, abs=1e-5
    )
    assert everybody[0.0, tables.BEFORE, "coverage"] > 0.5
    assert set(table.questions) == set(tables.GROUPS) and (table.seeds == 2).all()
    assert (table.ci_low <= table["mean"] + 1e-9).all()


def test_curves_fall_where_doubt_knows_what_is_wrong():
    items = items_of({0.0: 0.0, 0.8: 0.99})
    table = curves.risks(items, 0.6, "all usual askers")
    trained = table[table.value == 0.8].set_index("coverage").risk
    assert trained.iloc[0] == pytest.approx(0, abs=1e-5) and trained.iloc[-1] == pytest.approx(0.25)
    by_agreement = table[table.policy == tables.THRESHOLD]
    assert by_agreement.value.isna().all()
    assert by_agreement.risk.to_numpy() == pytest.approx(trained.to_numpy(), abs=1e-5)


def test_items_are_drawn_with_all_their_askers():
    items = items_of({0.0: 0.0}, seeds=(0,), n=6)
    items = items[items.value == 0.0].sort_values(policies.ITEM)
    weights = measures.question_weights(items, draws=5)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[0] == pytest.approx(1 / len(items))
    by_item = pd.DataFrame(weights.T).groupby(items.item_id.to_numpy()).nunique()
    assert (by_item == 1).all(axis=None)
    assert len(np.unique(weights[1:])) > 1


def test_nothing_is_trained_where_no_seed_is_wanted():
    cfg = config.load("pocket")
    assert experiments.tasks(cfg) == []
    with pytest.raises(ValueError, match="make ask-back"):
        experiments.run(cfg)
    planned = experiments.tasks(config.load("smoke", ask_seeds=2))
    after = {task.label: task.after for task in planned}
    assert after["ask-sft-1"] == planned[0].label and after["ask-0.6-1"] == "ask-sft-1"

"""The systems of the paper's tables: who they are, what they learn from, the router, several
training seeds.
"""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch

from pdlib import config, dataset, evaluate, models, modes, paper, systems, train
from pdlib.dataset import construct
from pdlib.evaluate import read_records, router
from pdlib.paper import catalogue
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.world import World
from pdlib.report.evidence import evidence
from pdlib.run import parallel, stages
from pdlib.schema import PAPER_MODES, Example, Mode, Persona
from pdlib.train import backbone


def examples(n: int = 8) -> list[Example]:
    """n objective questions in each mode, n personalised ones."""
    world, expert = World(1, "train"), PocketExpert()
    items = [world.item("mmlu_pro") for _ in range(2 * n)] + [
        world.item("personafeedback") for _ in range(n)
    ]
    rows = [
        Example(
            item, item.aligned, "aligned", "objective" if item.kind == "objective" else "preference"
        )
        for item in items
    ]
    return construct.write_trajectories(
        expert, rows[:n], Mode.GENERAL
    ) + construct.write_trajectories(expert, rows[n:], Mode.PERSONALIZED)


def test_every_row_of_tables_1_2_and_9_has_its_system():
    titles = {system.title for system in systems.SYSTEMS.values()}
    other = {
        "Llama3.1-8B-Instruct",
        "LLaMA3.1-8B-Instruct",
        "No-Persona Upperbound",
    }  # the second backbone; a condition of PersonaDual
    assert {
        n.row for n in paper.numbers() if n.artefact in ("table1", "table2", "table9")
    } - other <= titles
    for name in systems.TABLE_1 + systems.TABLE_2:
        assert systems.SYSTEMS[name].title and systems.SYSTEMS[name].what


def test_an_unknown_system_is_refused():
    with pytest.raises(ValueError, match="unknown system 'magic'.*personadual"):
        systems.fit(config.load("smoke"), "magic")


def test_the_systems_of_a_run_are_chosen_in_the_order_of_the_tables():
    cfg = config.load("smoke", systems=["personadual", "backbone"])
    assert systems.chosen(cfg, systems.TABLE_1) == ["backbone", "personadual"]
    assert systems.everything(cfg) == [
        *cfg.backbones,
        "backbone",
        "personadual",
        *systems.controls(cfg),
    ]
    said = systems.absent(cfg, ["cot", "personadual"])
    assert "cot" in said and "personadual" not in said and "systems=[all]" in said
    every = config.load("smoke")
    assert (
        systems.chosen(every, systems.TABLE_1) == list(systems.TABLE_1)
        and systems.absent(every, systems.TABLE_2) == ""
    )
    with pytest.raises(ValueError, match="setting systems names .'magic'"):
        systems.chosen(config.load("smoke", systems=["magic"]), systems.TABLE_1)


def test_a_routed_system_has_no_counterfactual_answers():
    with pytest.raises(ValueError, match="evaluate sft_only instead"):
        systems.evaluated(config.load("smoke"), "personadual_router", counterfactual=True)


def test_baselines_learn_from_their_part_without_tags():
    rows = examples()
    views = {view: [e for e in rows if keep(e)] for view, keep in train.VIEWS.items()}
    assert {view: len(part) for view, part in views.items()} == {
        "two_modes": 24,
        "untagged": 24,
        "general": 8,
        "personalized": 16,
    }
    assert all(
        mode.tag not in modes.completion_text(e.without_mode().mode, e.reasoning, e.answer)
        for e in rows
        for mode in PAPER_MODES
    )


def test_preference_pairs_differ_in_the_answer_alone():
    pairs = train.preference_pairs(examples(), None)
    assert len(pairs) == 8
    for pair in pairs:
        good, bad = (modes.parse(pair[side], require_mode=False) for side in ("chosen", "rejected"))
        assert (
            good.reasoning == bad.reasoning
            and good.answer != bad.answer
            and f'"{good.answer}"' in str(pair["item"])
        )


def test_pba_shows_preferences_in_the_persona_s_place():
    class Reader:
        def preferences(self, personas):
            return [
                Persona("someone who likes quiet") if i else None for i, _ in enumerate(personas)
            ]

    pairs = train.preference_pairs(examples(), Reader())
    assert {pair["persona"] for pair in pairs} == {"someone who likes quiet"} and len(pairs) == 7


def test_a_letter_is_rejected_by_another_letter():
    item = examples()[-1].item
    letter = modes.LETTERS[item.options.index(item.gold)]
    rows = [
        Example(
            item,
            item.aligned,
            "aligned",
            "alignx",
            mode=Mode.PERSONALIZED,
            reasoning="So.",
            answer=letter,
        )
    ]
    rejected = modes.parse(
        train.preference_pairs(rows, None)[0]["rejected"], require_mode=False
    ).answer
    assert {letter, rejected} == {"A", "B"}


def test_the_router_learns_what_tells_the_modes_apart():
    """Personal questions were all personalised: new ones are routed so, and objective questions of
    chemists are not.
    """
    found = router.Router(examples(60))
    world = World(9, "test")
    personal, objective = (
        [world.item(name) for _ in range(20)] for name in ("personafeedback", "mmlu_pro")
    )
    high, low = (
        found.chances([(item, item.aligned) for item in items]) for items in (personal, objective)
    )
    assert min(high) > 0.5 and sum(high) / 20 > sum(low) / 20 + 0.2
    assert found.chances([(objective[0], None)])[0] == found.chances([(objective[0], None)])[0]


def test_a_router_needs_both_modes():
    with pytest.raises(ValueError, match="one mode only"):
        router.Router([e for e in examples() if e.mode == Mode.GENERAL])


def records(**forced) -> pd.DataFrame:
    rows = [
        {
            "benchmark": "a",
            "item_id": str(i),
            "condition": "aligned",
            "seed": 0,
            "train_seed": 0,
            "model": "sft_only",
            "forced": mode,
            "mode": mode,
            "correct": right,
            "p_personalized": 0.9,
        }
        for mode, rights in forced.items()
        for i, right in enumerate(rights)
    ]
    return pd.DataFrame(rows)


def test_routed_records_are_the_forced_ones_of_the_routed_mode():
    both = records(general=[1, 0, 1], personalized=[0, 1, 0], none=[0, 0, 0])
    chances = pd.DataFrame(
        {
            "benchmark": "a",
            "item_id": ["0", "1", "2"],
            "condition": "aligned",
            "p_personalized": [0.2, 0.8, 0.7],
        }
    )
    routed = router.route(both, chances, "personadual_router").set_index("item_id").sort_index()
    assert list(routed["mode"]) == ["general", "personalized", "personalized"] and list(
        routed.correct
    ) == [1, 1, 0]
    assert (
        set(routed.forced) == {"none"}
        and list(routed.p_personalized) == [0.2, 0.8, 0.7]
        and set(routed.model) == {"personadual_router"}
    )
    with pytest.raises(
        ValueError, match="1 records have no routed chance|2 records have no routed chance"
    ):
        router.route(both, chances.head(2), "personadual_router")


@pytest.fixture(scope="module")
def one_thread():
    """With two threads some processors round otherwise than in a process of one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory, one_thread) -> config.Config:
    return config.load("smoke", output_dir=str(tmp_path_factory.mktemp("seeds")), train_seeds=2)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory, one_thread) -> config.Config:
    """A run of the first of the two seeds whose models two processes trained."""
    cfg = config.load("smoke", output_dir=str(tmp_path_factory.mktemp("beside")), workers=2)
    systems.prepare(cfg, ["sft_only", "alignxpert_ica", "backbone"])
    return cfg


def test_every_training_seed_has_its_model_and_records(two_seeds):
    files = systems.evaluated(two_seeds, "sft_only")
    found = read_records(files)
    assert set(found.train_seed) == {0, 1} and set(Counter(found.train_seed).values()) == {
        len(found) // 2
    }
    assert set(found[found.train_seed == 0].item_id) == set(found[found.train_seed == 1].item_id), (
        "one test set for all seeds"
    )
    one, two = (
        models.load(systems.folder(two_seeds, "sft_only", seed))[0].state_dict() for seed in (0, 1)
    )
    assert any((one[name] != two[name]).any() for name in one)
    inputs = [
        stages.read_manifest(systems.folder(two_seeds, "sft_only", seed))["inputs"]
        for seed in (0, 1)
    ]
    assert inputs[0] != inputs[1] and all(len(one) == 2 for one in inputs), (
        "a seed has a backbone and an SFT set of its own"
    )


def test_records_of_other_seeds_are_left_out_of_a_run(two_seeds):
    """Replicates, or an earlier run of more seeds, leave records beside the run's: a report that
    mixed them would compare the mean over two backbones of one system with one backbone of another.
    """
    systems.evaluated(two_seeds, "sft_only")
    one, other = replace(two_seeds, train_seeds=1), replace(two_seeds, seed=1, train_seeds=1)
    for cfg, seeds in ((one, {0}), (other, {1}), (two_seeds, {0, 1})):
        assert set(systems.records(cfg, ["sft_only"]).train_seed) == seeds
        assert set(evidence(cfg)[0].train_seed) == seeds
    with pytest.raises(
        ValueError,
        match="no records of the training seeds .5. in .*found .0, 1.; run `make reproduce`",
    ):
        systems.records(replace(one, seed=5))


def test_a_smaller_view_gets_as_many_updates(two_seeds):
    steps = {
        name: stages.read_manifest(systems.fit(two_seeds, name))["facts"]["steps"]
        for name in ("sft_only", "g_sft")
    }
    choices = len(pd.read_parquet(two_seeds.run_folder() / "data-0" / "choices.parquet"))
    alone = (
        two_seeds.sft_choice_passes * choices // two_seeds.sft_batch
    )  # updates on choices alone come on top
    assert (steps["g_sft"], steps["sft_only"]) == (3, 3 + alone) and alone


def test_an_untrained_system_has_the_backbone_of_each_seed(two_seeds):
    files = systems.evaluated(two_seeds, "personal_prompt")
    found = read_records(files)
    assert (
        len(files) == 2
        and set(found.train_seed) == {0, 1}
        and found.prompt.str.contains("Use what I say about myself").all()
        and not found.p_personalized.any()
    )


def test_every_training_seed_has_its_training_sets(two_seeds):
    assert dataset.run_rl_set(two_seeds).name == "data-rl-0"
    assert {p.name for p in two_seeds.run_folder().glob("data*")} == {"data-0", "data-1"}
    asked = [
        set(pd.read_parquet(two_seeds.run_folder() / f"data-{seed}" / "judged.parquet").item)
        for seed in (0, 1)
    ]
    assert len(asked[0] & asked[1]) < 0.2 * len(asked[0])


def test_a_backbone_that_is_not_trained_here_is_evaluated_once(two_seeds, monkeypatch):
    monkeypatch.setattr(
        evaluate, "run_records", lambda cfg, name, folder, train_seed, **more: train_seed
    )
    monkeypatch.setattr(backbone, "is_trained", lambda name: False)
    monkeypatch.setattr(systems.evaluation, "fit", lambda cfg, name, seed: None)
    assert systems.evaluated(two_seeds, "backbone") == [None] and systems.evaluated(
        two_seeds, "sft_only"
    ) == [0, 1]


def test_an_arm_changes_its_settings_and_nothing_of_the_others(two_seeds):
    """Half of its questions are unaligned; it starts from the SFT model of the others, which stays
    as it was.
    """
    before = stages.read_manifest(systems.fit(two_seeds, "sft_only"))["key"]
    arm = stages.read_manifest(systems.fit(two_seeds, "half_unaligned"))
    assert (
        arm["inputs"]["sft_only-0"]
        == before
        == stages.read_manifest(systems.fit(two_seeds, "sft_only"))["key"]
    )
    conditions = Counter(
        pd.read_parquet(two_seeds.folder() / "data-rl-half_unaligned-0" / "rl.parquet")
        .query("kind == 'objective'")
        .condition
    )
    assert conditions["aligned"] >= conditions["unaligned"] - 1
    usual = Counter(
        pd.read_parquet(two_seeds.folder() / "data-rl-0" / "rl.parquet")
        .query("kind == 'objective'")
        .condition
    )
    assert usual["unaligned"] > usual["aligned"]


def test_models_trained_side_by_side_are_those_trained_here(two_seeds, side_by_side):
    for name in ("sft_only", "alignxpert_ica"):
        there = systems.folder(side_by_side, name) / "model.safetensors"
        here = systems.fit(two_seeds, name) / "model.safetensors"
        assert there.read_bytes() == here.read_bytes(), name


def test_two_runs_of_one_seed_give_identical_records(two_seeds, side_by_side):
    for name in ("sft_only", "personal_prompt"):
        here, there = (
            read_records(systems.evaluated(cfg, name)[:1]) for cfg in (two_seeds, side_by_side)
        )
        pd.testing.assert_frame_equal(here, there)


def test_prepared_are_all_stages_of_all_systems_in_their_order(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(
        parallel, "side_by_side", lambda tasks, **settings: asked.update(tasks=tasks, **settings)
    )
    cfg = config.load(
        "pocket", output_dir=str(tmp_path), workers=3, train_seeds=2, controls=["all"]
    )
    systems.prepare(cfg, ["sft_only_dialogues", *systems.everything(cfg)])
    trained = [
        name
        for name, system in systems.SYSTEMS.items()
        if system.trained and name not in catalogue.ARMS
    ]
    everything = [
        *(f"{name}-{seed}" for name in (*cfg.backbones, *trained) for seed in (0, 1)),
        "null_backbone",
    ]
    assert set(asked["tasks"]) == set(everything)
    assert (
        asked["tasks"]["cot-1"][-2:] == ["cot", "1"]
        and "train_seeds" in asked["tasks"]["cot-1"][4]
        and asked["workers"] == 3
    )
    after = asked["after"]
    assert (after["cot-1"], after["cot_sft-1"], after["sft_only_dialogues-0"]) == (
        "cot_sft-1",
        "pocket-qwen3-1",
        "sft_only-0",
    )
    assert {"pocket-llama-0", "pocket-llama-1", "null_backbone"}.isdisjoint(after)


@pytest.mark.parametrize(
    "setting, known", [("arms", catalogue.ARMS), ("controls", catalogue.CONTROLS)]
)
def test_arms_and_controls_are_trained_where_they_are_asked_for(setting, known):
    named = getattr(systems, setting)
    assert named(config.load("pocket")) == [] and not set(known) & set(
        systems.everything(config.load("pocket"))
    )
    assert named(config.load("pocket", **{setting: ["all"]})) == list(known)
    some = config.load("pocket", **{setting: [known[1]]})
    assert named(some) == [known[1]] and known[1] in systems.everything(some)
    with pytest.raises(
        ValueError,
        match=f"setting {setting} names .'magic'., expected some of {known[0]}, .* or all",
    ):
        named(config.load("pocket", **{setting: ["magic"]}))


def test_controls_are_the_pocket_worlds():
    assert systems.controls(config.load("gpu")) == []
    with pytest.raises(
        ValueError, match="controls asks for withheld, but data_dir is 'hub'.*set controls="
    ):
        systems.controls(config.load("gpu", controls=["withheld"]))


def test_nothing_is_started_for_one_model_or_one_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(
        parallel, "side_by_side", lambda *args, **kwargs: pytest.fail("started processes")
    )
    systems.prepare(config.load("smoke", output_dir=str(tmp_path), workers=1), ["sft_only", "cot"])
    systems.prepare(config.load("smoke", output_dir=str(tmp_path), workers=4), ["sft_only"])
    with pytest.raises(ValueError, match="unknown system 'magic'"):
        systems.fit(config.load("smoke", output_dir=str(tmp_path)), "magic")

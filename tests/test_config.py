"""Profiles, and what a config refuses."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest
import yaml

from pdlib import config
from pdlib.config import combinations

INTEGERS = [
    f.name for f in fields(config.Config) if f.type is int and f.name not in config.MAY_BE_ZERO
]
SHARES = [f.name for f in fields(config.Config) if f.name.endswith("_share")]


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    """Own profiles: `base` holds every setting of pocket; the function writes another one."""
    (tmp_path / "base.yaml").write_text(
        (config.PROFILES / "pocket.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    monkeypatch.setattr(config.profiles, "PROFILES", tmp_path)

    def write(text: str, name: str = "mine"):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return name

    return write


@pytest.mark.parametrize("profile", config.names())
def test_every_value_has_a_source(profile):
    cfg = config.load(profile)
    settings = [f.name for f in fields(cfg) if f.name not in ("profile", "sources")]
    assert sorted(cfg.sources) == sorted(settings)
    assert [
        name
        for name, source in cfg.sources.items()
        if not source.startswith(("paper ", "ours: ", "assumed", "design"))
    ] == []
    assert [
        name
        for name, source in cfg.sources.items()
        if source.rstrip(" :") in ("paper", "ours", "design")
    ] == []


def test_smoke_differs_from_pocket_only_where_it_says_so():
    given = yaml.safe_load((config.PROFILES / "smoke.yaml").read_text(encoding="utf-8"))
    smoke, pocket = config.load("smoke"), config.load("pocket")
    names = [f.name for f in fields(smoke) if f.name not in ("profile", "sources")]
    assert [n for n in names if getattr(smoke, n) != getattr(pocket, n) and n not in given] == []
    assert smoke.profile == "smoke" and smoke.folder() != pocket.folder()


def test_overrides_win_and_say_so():
    cfg = config.load("pocket", seed=7, rl_kl=0)
    assert (cfg.seed, cfg.rl_kl) == (7, 0.0)
    assert type(cfg.rl_kl) is float
    assert cfg.sources["seed"] == "given at the call"
    assert cfg.sources["rl_kl"] == "given at the call"
    assert config.load("pocket").seed != 7


def test_config_is_frozen():
    with pytest.raises(FrozenInstanceError):
        config.load("pocket").seed = 1


def test_folder_is_that_of_the_repository(monkeypatch, tmp_path):
    before = config.load("pocket").folder()
    monkeypatch.chdir(tmp_path)
    assert config.load("pocket").folder() == before
    assert before.is_absolute() and before.parts[-2:] == ("outputs", "pocket")


# --- what is refused ---


def test_unknown_profile():
    with pytest.raises(ValueError, match="'pokcet'.*pocket"):
        config.load("pokcet")


def test_unknown_setting():
    with pytest.raises(ValueError, match="rl_rollout.*rl_rollouts"):
        config.load("pocket", rl_rollout=8)


@pytest.mark.parametrize(
    "name, value",
    [
        ("seed", 1.0),
        ("seed", "1"),
        ("seed", None),
        ("seed", True),
        ("rl_kl", "0.04"),
        ("rl_kl", True),
        ("backbones", "pocket-qwen3"),
        ("output_dir", 3),
        ("rl_steps", 80.0),
    ],
)
def test_wrong_type(name, value):
    with pytest.raises(ValueError, match=f"{name}.*expected"):
        config.load("pocket", **{name: value})


@pytest.mark.parametrize("rollouts", [-2, 0, 1, 3, 7])
def test_rollouts_must_be_even(rollouts):
    with pytest.raises(ValueError, match="rl_rollouts.*each of 2 modes"):
        config.load("pocket", rl_rollouts=rollouts)


@pytest.mark.parametrize("rollouts", [2, 4, 6])
def test_even_rollouts_are_fine(rollouts):
    assert (
        config.load(
            "pocket", rl_rollouts=rollouts, rl_micro_batch=rollouts, rl_generation_batch=rollouts
        ).rl_rollouts
        == rollouts
    )


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"tuning": "lorra"}, "tuning.*'lorra'.*full, lora, qlora"),
        ({"gain_rule": "gains"}, "gain_rule.*persona_correct"),
        ({"rl_vllm": "yes"}, "rl_vllm.*colocate"),
        ({"eval_items": {"triviaqa": 0}}, "eval_items.triviaqa.*at least 1"),
        ({"rl_composition": {"objective": 1.5}}, "rl_composition.objective.*whole number"),
        (
            {"sft_composition": {"objective": {"particular": 3}}},
            "sft_composition.objective.*general, personalized, no_persona",
        ),
        ({"sft_micro_batch": 7}, "sft: 32 sequences.*sft_micro_batch 7.*nearest that do: 4, 8"),
        ({"rl_micro_batch": 100}, "rl: 128 sequences.*nearest that do: 64, 128"),
        ({"processes": 3, "accelerate": "multi_gpu"}, "3 processes"),
        ({"rl_micro_batch": 4, "rl_generation_batch": 6}, "rl_generation_batch.*multiple"),
        ({"rl_micro_batch": 4, "rl_generation_batch": 4}, "rl_generation_batch.*whole groups"),
    ],
)
def test_settings_that_could_only_fail_later(settings, words):
    with pytest.raises(ValueError, match=words):
        config.load("pocket", **settings)


def test_the_paper_profile_is_table_6():
    """64 prompts x 8 rollouts on 8 processes; SFT batch of 16; 5 epochs of Table 5's questions."""
    cfg = config.load("paper")
    assert (
        cfg.rl_prompts * cfg.rl_rollouts
        == 64 * 8
        == cfg.processes * cfg.rl_micro_batch * config.accumulation(cfg, "rl")
    )
    assert (
        cfg.sft_batch == 16 == cfg.processes * cfg.sft_micro_batch * config.accumulation(cfg, "sft")
    )
    assert cfg.rl_steps == 5 * sum(cfg.rl_composition.values()) // 64
    rows = [n for parts in cfg.sft_composition.values() for n in parts.values()]
    assert (
        sum(rows) == 8000
        and sum(cfg.rl_composition.values()) == 9998
        and sum(cfg.eval_items.values()) == 7000
    )
    printed = (
        cfg.sft_learning_rate,
        cfg.rl_learning_rate,
        cfg.rl_kl,
        cfg.rl_temperature,
        cfg.rl_prefix_weight,
        cfg.sft_max_length,
        cfg.rl_max_prompt,
        cfg.rl_max_completion,
        cfg.sft_warmup,
        cfg.rl_warmup,
        cfg.sft_epochs,
    )
    assert printed == (5e-5, 1e-6, 0.04, 0.6, 2.0, 4096, 2048, 1024, 0.01, 0.1, 1)


def test_overrides_lead_back_to_the_same_config():
    cfg = config.load("smoke", seed=3, eval_items={"triviaqa": 2})
    assert cfg.overrides() == {"seed": 3, "eval_items": {"triviaqa": 2}}
    assert config.load("smoke", **cfg.overrides()) == cfg
    assert replace(cfg, rl_steps=7).overrides()["rl_steps"] == 7


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [0, -1])
def test_counts_are_at_least_one(name, value):
    with pytest.raises(ValueError, match=name):
        config.load("pocket", **{name: value})


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_lie_between_0_and_1(name, value):
    with pytest.raises(ValueError, match=f"{name}.*between 0 and 1"):
        config.load("pocket", **{name: value})


@pytest.mark.parametrize("name", SHARES)
def test_whole_shares_are_fine(name):
    assert [getattr(config.load("pocket", **{name: value}), name) for value in (0, 1)] == [0.0, 1.0]


# --- profiles as files ---


def test_a_profile_extends_another(profiles):
    cfg = config.load(profiles('extends: base\nrl_steps: [5, "ours: quick"]\n'))
    assert (cfg.rl_steps, cfg.sources["rl_steps"]) == (5, "ours: quick")
    assert cfg.rl_kl == config.load("base").rl_kl


@pytest.mark.parametrize(
    "line, found",
    [
        ("rl_steps: 5", "rl_steps.*source"),
        ("rl_steps: [5]", "rl_steps.*source"),
        ("rl_steps: [5, 6]", "rl_steps.*source"),
        ('rl_stepz: [5, "ours: typo"]', "rl_stepz"),
        ('rl_steps: ["5", "ours: text"]', "rl_steps.*expected int"),
    ],
)
def test_a_faulty_profile_is_refused(profiles, line, found):
    with pytest.raises(ValueError, match=found):
        config.load(profiles(f"extends: base\n{line}\n"))


def test_a_profile_with_gaps_is_refused(profiles):
    with pytest.raises(ValueError, match="lacks .*rl_steps"):
        config.load(profiles('seed: [0, "ours: any"]\n'))


# --- what a stage depends on ---


def test_subset():
    cfg = config.load("pocket")
    assert cfg.subset("seed", "rl_kl") == {"seed": 0, "rl_kl": cfg.rl_kl}
    assert set(cfg.subset("rl_")) == {
        f.name for f in fields(cfg) if f.name.startswith("rl_") and f.name != "rl_asking"
    }  # which is left out at its usual value
    assert "sources" not in cfg.subset("")


def test_subset_sees_what_it_names_and_nothing_else():
    cfg = config.load("pocket")
    assert config.load("pocket", rl_steps=5).subset("rl_") != cfg.subset("rl_")
    assert config.load("pocket", eval_runs=5).subset("rl_") == cfg.subset("rl_")


# --- what goes with what ---


@pytest.mark.parametrize(
    "settings, instead",
    [
        ({"tuning": "lora", "accelerate": "zero3", "processes": 2}, "multi_gpu"),
        ({"tuning": "qlora", "accelerate": "zero3_cpu2", "processes": 2}, "multi_gpu"),
        ({"tuning": "qlora", "rl_vllm": "colocate"}, "rl_vllm=none"),
        ({"tuning": "lora", "rl_vllm": "server", "rl_prefix_style": "token"}, "style=text"),
        ({"processes": 2}, "accelerate=multi_gpu"),
        ({"machines": 2}, "machines=1"),
    ],
)
def test_what_cannot_work_together_is_refused_with_what_to_set_instead(settings, instead):
    with pytest.raises(ValueError, match=f"tuning=.*; set .*{instead}"):
        config.load("smoke", rl_prompts=4, **settings)


def test_what_can_work_together_is_not_refused():
    for settings in (
        {"tuning": "full", "accelerate": "zero3", "processes": 2},
        {"tuning": "lora", "accelerate": "multi_gpu", "processes": 2},
        {"tuning": "lora", "rl_vllm": "server", "rl_prefix_style": "text"},
        {"tuning": "full", "rl_vllm": "colocate"},
    ):
        config.load("smoke", rl_prompts=4, **settings)
    for profile in config.names():
        config.load(profile)


def test_the_guide_has_the_table_of_the_rules():
    guide = (config.ROOT / "guides" / "combinations.md").read_text(encoding="utf-8")
    table = combinations.table()
    assert table in guide
    assert table.count("| yes |") + table.count("| yes ") > 10
    assert all(rule.name in table for rule in combinations.RULES)

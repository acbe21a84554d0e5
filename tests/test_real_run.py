"""The notebooks on real rows: profile gpu scaled down, a tiny model of the real architecture, 4-bit
LoRA, an expert on loopback.
"""

import copy
import json

import nbformat
import pandas as pd
import pytest
from experts_server import FaultyServer
from real_world import data_folder, speak, tiny_model
from transformers import AutoModelForCausalLM

from pdlib import config, evaluate, models, modes, systems, train
from pdlib.benchmarks import KIND
from pdlib.dataset import construct, personas
from pdlib.questions import leaks
from pdlib.schema import PAPER_MODES, Mode
from pdlib.train import backbone
from pdlib.workbook import runner

RUN = [
    "01_persona_interference",
    "02_dataset_construction",
    "03_sft",
    "05_dualgrpo_training",
    "06_evaluation",
    "07_ablations",
]
RUNS = "tiny-qwen3"  # the folder of what depends on the backbone


@pytest.fixture(scope="module")
def ran(shared_data, text_tokenizer, tmp_path_factory):
    """(folder of the run, its server, its settings) after all of RUN."""
    folder = tmp_path_factory.mktemp("real")
    model = tiny_model(copy.deepcopy(text_tokenizer), "qwen3", folder / "tiny-qwen3")
    with FaultyServer(reply=speak) as server:
        overrides = {
            "output_dir": str(folder / "outputs"),
            "data_dir": str(data_folder(shared_data, folder / "data")),
            "backbones": [str(model)],
            "expert": "stand-in",
            "judge_answers": True,
            "expert_url": server.url,
            "persona_pool": 20,
            "gain_candidates": 14,
            "sft_composition": {
                "ultramedical": {"general": 2, "personalized": 2},
                "flan": {"general": 8, "personalized": 2},
                "alignx": {"personalized": 4},
            },
            "rl_composition": {"ultramedical": 2, "flan": 3, "alignx": 1},
            "validation_rows": 3,
            "lora_rank": 4,
            "checkpoint_every": 2,
            "sft_batch": 4,
            "sft_max_length": 8192,
            "rl_steps": 2,
            "rl_prompts": 2,
            "rl_rollouts": 4,
            "rl_micro_batch": 4,
            "rl_generation_batch": 4,
            "rl_max_prompt": 8192,
            "rl_max_completion": 8,
            "eval_items": dict.fromkeys(KIND, 2),
            "eval_runs": 1,
            "eval_max_tokens": 8,
        }
        cfg = config.load("gpu", **overrides)
        for name in RUN:
            runner.run(name, cfg)
        yield cfg.folder(), server, overrides


def test_every_notebook_ran(ran):
    for name in RUN:
        cells = [
            c
            for c in nbformat.read(
                ran[0] / RUNS / "notebooks" / f"{name}.ipynb", as_version=4
            ).cells
            if c.cell_type == "code"
        ]
        assert all(cell.execution_count for cell in cells), name


def test_records_of_all_seven_benchmarks(ran):
    records = evaluate.read_records(ran[0] / "records")
    assert set(records.benchmark) == set(KIND) and set(systems.TABLE_1) | set(
        systems.TABLE_2
    ) == set(records.model)
    assert set(records.condition) == set(personas.COUNTERFACTUAL) and set(records.run) == {
        "tiny-qwen3"
    }
    assert records.parse_error.notna().all() and not records.correct.any(), (
        "a random model says nothing that parses"
    )
    assert records[records.condition == "aligned"].prompt.str.contains("my question is").all()


def test_the_model_is_plain_safetensors_with_a_token_a_mode(ran):
    model = AutoModelForCausalLM.from_pretrained(ran[0] / RUNS / "personadual-0")
    assert (ran[0] / RUNS / "personadual-0" / "adapter" / "adapter_model.safetensors").is_file()
    tokenizer = models.load_tokenizer(ran[0] / RUNS / "personadual-0")
    assert [len(ids) for ids in modes.prefix_ids(tokenizer).values()] == [
        1,
        1,
    ] and model.config.vocab_size == len(tokenizer)
    assert not [p for p in ran[0].rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".pth")]


def test_the_sets_are_as_composed_and_disjoint(ran):
    sft, validation = (
        construct.from_frame(pd.read_parquet(ran[0] / RUNS / "data-0" / f"{name}.parquet"))
        for name in ("sft", "validation")
    )
    rl = construct.from_frame(pd.read_parquet(ran[0] / "data-rl-0" / "rl.parquet"))
    assert {
        source: sum(e.source == source for e in sft)
        for source in ("ultramedical", "flan", "alignx")
    } == {"ultramedical": 4, "flan": 10, "alignx": 4}
    items = [[e.item for e in part] for part in (sft, rl, validation)]
    assert [
        leaks.overlap(*pair)
        for pair in ((items[0], items[1]), (items[0], items[2]), (items[1], items[2]))
    ] == [set()] * 3
    assert len(pd.read_parquet(ran[0] / "data-test" / "test.parquet")) == 14
    askers = {e.persona.text for e in sft + rl + validation if e.condition == "unaligned"}
    assert askers and not askers & set(
        pd.read_parquet(ran[0] / "data-test" / "pool.parquet").text
    ), "test askers are strangers"
    assert construct.persona_echoes(sft) == []


def test_general_requests_never_hold_a_persona(ran):
    """On every request the expert was sent: who asks stands only in those for personalised
    trajectories and blind answers.
    """
    asked = [text for text, _ in ran[1].log if "The answer to be explained:" in text]
    general = [text for text in asked if "general knowledge alone" in text]
    assert general and len(general) < len(asked)
    assert not [text for text in general if "I am " in text.split("\n")[0]]
    assert [text for text in asked if text not in general and not text.startswith("I am ")] == []
    sft = construct.from_frame(pd.read_parquet(ran[0] / RUNS / "data-0" / "sft.parquet"))
    assert {e.mode for e in sft} == set(PAPER_MODES)


def test_a_judge_is_asked_beside_the_grader(ran):
    """Of the random model nothing parses, so all is "no answer"; one good answer put in its place
    is judged, and differs.
    """
    cfg = config.load("gpu", **ran[2])
    records = evaluate.read_records(ran[0] / "records")
    found = evaluate.judged(cfg, records, "math500")
    assert (
        found["n"] == 0
        and found["no_answer"]
        == (records.benchmark.eq("math500") & records.forced.eq("none")).sum()
    )
    one = (
        records[records.benchmark.eq("math500") & records.forced.eq("none")]
        .head(1)
        .assign(answer="-17", parse_error=None)
    )
    assert evaluate.judged(cfg, one, "math500")["judge_yes_grader_no"] == 1
    both = pd.concat([one, one.assign(answer=None, parse_error="no answer")])
    beside_silence = evaluate.judged(cfg, both, "math500")
    assert (beside_silence["n"], beside_silence["no_answer"]) == (1, 1)


def test_the_manifest_says_what_data_code_and_machine(ran):
    facts = json.loads((ran[0] / RUNS / "data-0" / "manifest.json").read_text())
    assert facts["facts"]["data"]["flan"].startswith("flan.jsonl sha256 ")
    assert {"provenance", "settings", "versions"} <= set(facts) or "versions" in facts["provenance"]
    card = (ran[0] / RUNS / "data-0" / "README.md").read_text()
    assert (
        "CC BY-NC-SA 4.0" in card and "flan.jsonl sha256" in card and "The two gain rules" in card
    )


def test_llama_with_lora_and_tags_as_text(ran, text_tokenizer, tmp_path):
    """The other architecture, template, tuning and prefix, through the same stages on the same
    sets.
    """
    llama = tiny_model(copy.deepcopy(text_tokenizer), "llama3_1", tmp_path / "tiny-llama")
    cfg = config.load(
        "gpu",
        **ran[2]
        | {
            "output_dir": str(tmp_path),
            "backbones": [str(llama)],
            "tuning": "lora",
            "rl_prefix_style": "text",
        },
    )
    sets = ran[0] / RUNS / "data-0"
    sft = train.run_sft(cfg, tmp_path / "sft", backbone.run(cfg, cfg.backbone), sets)
    trained = train.train_rl(
        cfg, tmp_path / "rl", sft, sets, ran[0] / "data-rl-0", {"prefix_style": "text"}
    )
    assert trained["steps"] == cfg.rl_steps and models.load(tmp_path / "rl")
    first, last = (
        AutoModelForCausalLM.from_pretrained(folder).state_dict()
        for folder in (llama, tmp_path / "rl")
    )
    assert first.keys() == last.keys() and any((first[name] != last[name]).any() for name in first)
    assert len(modes.prefix_ids(models.load_tokenizer(tmp_path / "rl"))[Mode.GENERAL]) > 1

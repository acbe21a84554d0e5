"""The same again on other backbones: the tables, on answers worked by hand."""

import numpy as np
import pandas as pd
import pytest

from pdlib import config, plots
from pdlib.analysis import replication, selection
from pdlib.run import stages

SEEDS = (0, 1, 2)


def records() -> pd.DataFrame:
    """Four objective items (two with a cue) and two personal ones, three seeds, one run, right or
    wrong as the rules below say.

    Forced general is right where there is a cue; forced personalised is right for fitting askers
    and on personal questions, that of SFT only just where there is no cue.
    PersonaDual is right on objective questions of fitting askers, and of strangers where there is a
    cue; CoT where there is a cue.
    """
    rows = []
    for seed in SEEDS:
        for at in range(6):
            kind, cue = ("objective", at % 2 == 0) if at < 4 else ("personalized", False)
            for condition in (
                ("none", "unaligned", "aligned") if kind == "objective" else ("aligned",)
            ):
                fits = condition == "aligned"
                same = {
                    "benchmark": "mmlu_pro" if at < 4 else "personafeedback",
                    "kind": kind,
                    "item_id": str(at),
                    "condition": condition,
                    "train_seed": seed,
                    "seed": 0,
                    "turn": 1,
                    "run": "r",
                    "p_personalized": 0.5,
                }
                free = {
                    "personadual": fits or cue,
                    "cot": cue or kind != "objective",
                    "sft_only": cue,
                    "backbone": fits,
                }
                chosen = "personalized" if fits and not (seed == 2 and cue) else "general"
                rows += [
                    same | {"model": model, "forced": "none", "mode": chosen, "correct": right}
                    for model, right in free.items()
                ]
                rows += [
                    same | {"model": "personadual", "forced": mode, "mode": mode, "correct": right}
                    for mode, right in {"general": cue, "personalized": fits}.items()
                ]
                rows += [
                    same | {"model": "sft_only", "forced": mode, "mode": mode, "correct": right}
                    for mode, right in {
                        "general": cue,
                        "personalized": fits and not (cue and kind == "objective"),
                    }.items()
                ]
    return pd.DataFrame(rows)


def chosen() -> pd.DataFrame:
    rows = []
    for at in range(6):
        for condition in ("none", "unaligned", "aligned"):
            cue, personal = at < 4 and at % 2 == 0, at >= 4
            says = {
                selection.PERSONA_BLIND: not cue,
                selection.WORD_MATCH: condition == "aligned" and at != 1,
                selection.LEXICON: condition == "aligned" and not cue,
            }
            for rule, personalized in says.items():
                rows.append(
                    {
                        "benchmark": "mmlu_pro" if at < 4 else "personafeedback",
                        "item_id": str(at),
                        "condition": condition,
                        "rule": rule,
                        "train_seed": None,
                        "personalized": bool(personal or personalized),
                        "cue": cue,
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return replication.table(replication.by_replicate(records(), chosen()), draws=400)


def value(table: pd.DataFrame, measure: str, block: str) -> float:
    (mean,) = table[(table.measure == measure) & (table.block == block)]["mean"]
    return mean


def test_claims_by_hand(table):
    """Aligned: PersonaDual 4 of 4, CoT 2 of 4. Unaligned: both 2 of 4. Personal: both 2 of 2."""
    blocks = (
        "objective unaligned",
        "objective aligned",
        selection.OBJECTIVE,
        "personalised",
        "mean of the blocks",
    )
    found = [value(table, "PersonaDual - CoT", block) for block in blocks]
    assert found == pytest.approx([0, 0.5, 0.25, 0, 0.5 / 3])
    assert value(table, "PersonaDual: aligned - none", "objective aligned") == pytest.approx(0.5)
    row = table[(table.measure == "PersonaDual - CoT") & (table.block == "objective aligned")].iloc[
        0
    ]
    assert (row.lowest, row.highest) == (0.5, 0.5)
    assert value(table, "backbone: unaligned - none", "objective unaligned") == pytest.approx(0)


def test_the_gap_is_of_questions_without_a_cue(table):
    """Without a cue every fitting asker is answered in the personalised mode; with a cue, in seed
    2, none: that must not count.
    """
    row = table[(table.measure == f"PersonaDual: {replication.GAP}")].iloc[0]
    assert row["mean"] == 1 and row.n == 2 and row.per_replicate == "1.000 1.000 1.000"


def test_rules_are_scored_on_the_forced_answers(table):
    """Persona-blind, aligned: with a cue general (right), without one personalised (right): 4 of 4;
    unaligned: only with a cue, 2 of 4. One-word match, aligned: item 1 general without a cue
    (wrong), 3 of 4; unaligned: general, right with a cue, 2 of 4.
    """
    assert value(table, "PersonaDual - persona-blind rule", selection.OBJECTIVE) == pytest.approx(0)
    assert value(table, "PersonaDual - one-word match", "objective aligned") == pytest.approx(0.25)
    row = table[table.measure == replication.TOLD_AHEAD].iloc[0]
    assert (row["mean"], row.better_rule) == (0, "persona-blind rule")


def test_rules_are_scored_on_what_sft_can_answer_too(table):
    """SFT only, aligned: told 2 of 4 (those without a cue), persona-blind 4 of 4, one-word match 1
    of 4; unaligned: 2 of 4 each.
    """
    start = replication.SCORED_ON["sft_only"] + selection.TOLD
    assert value(table, f"{start} - persona-blind rule", "objective aligned") == pytest.approx(-0.5)
    assert value(table, f"{start} - one-word match", "objective aligned") == pytest.approx(0.25)
    assert value(table, f"{start} - one-word match", "objective unaligned") == pytest.approx(0)
    assert value(table, f"{selection.TOLD} - one-word match", "objective aligned") == pytest.approx(
        0.25
    )
    row = table[table.measure == replication.SCORED_ON["sft_only"] + replication.TOLD_AHEAD].iloc[0]
    assert (row["mean"], row.better_rule) == (-0.25, "persona-blind rule")


def test_a_rule_that_knows_no_such_question_has_no_rows():
    without = chosen()[lambda rows: rows.rule != selection.LEXICON]
    measures = set(
        replication.table(replication.by_replicate(records(), without), draws=50).measure
    )
    assert (
        "PersonaDual - one-word match" in measures and "PersonaDual - lexicon rule" not in measures
    )


def test_replicates_that_differ_widen_the_interval():
    rows = records()
    unlike = rows.assign(
        correct=np.where((rows.model == "cot") & (rows.train_seed == 2), True, rows.correct)
    )
    both = [
        replication.table(replication.by_replicate(part, chosen()), draws=2000)
        for part in (rows, unlike)
    ]
    rows = [
        t[(t.measure == "PersonaDual - CoT") & (t.block == selection.OBJECTIVE)].iloc[0]
        for t in both
    ]
    widths = [row.ci_high - row.ci_low for row in rows]
    assert widths[1] > 2 * widths[0]


def test_items_come_back_from_their_file(tmp_path):
    items = replication.by_replicate(records(), chosen())
    replication.write_items(items, tmp_path / "items.parquet")
    again = replication.read_items(tmp_path / "items.parquet")
    pd.testing.assert_frame_equal(
        replication.table(again, draws=50), replication.table(items, draws=50)
    )


def test_a_figure_of_both_worlds(table):
    both = pd.concat([table.assign(world=name) for name in ("field", "word")])
    figure = plots.replication(both)
    assert [len(axis.get_yticklabels()) for axis in figure.axes] == [2, 6, 6]
    dots = [line for line in figure.axes[1].lines if line.get_marker() == "."]
    assert len(dots) == 12 and all(len(line.get_xdata()) == len(SEEDS) for line in dots)


def test_the_runs_own_world_shares_its_folder():
    cfg = config.load("smoke", replicates=3)
    own, other = replication.world(cfg, cfg.fit), replication.world(cfg, "word")
    assert own.folder() == cfg.folder() and own.train_seeds == 3
    assert other.fit == "word" and cfg.folder() in other.folder().parents
    with pytest.raises(ValueError, match="replicates is 0"):
        replication.run(config.load("smoke"))


def test_where_another_replicate_would_come_out():
    """By hand: values 0, .1, .2 have mean .1 and standard deviation .1; t(2) is 4.303, times .1
    sqrt(4/3) is .497.
    """
    found = replication.another([0.0, 0.1, 0.2])
    assert (found["another_low"], found["another_high"]) == pytest.approx(
        (0.1 - 0.497, 0.1 + 0.497), abs=1e-3
    )
    assert np.isnan(replication.another([0.1])["another_low"])


def test_replicates_inside_of_what_the_others_say():
    """Two claims: in the first nobody is surprising; in the second the last of four lies far
    outside, and the others within a wide range.
    """
    found = pd.DataFrame(
        {
            "measure": ["a", "b", replication.TOLD_AHEAD],
            "per_replicate": ["0.1 0.2 0.3 0.4", "0.10 0.11 0.12 0.90", "rule"],
        }
    )
    assert replication.inside(found) == pytest.approx(7 / 8)
    assert np.isnan(replication.inside(found.assign(per_replicate="0.1 0.2")))


def test_the_committed_table_is_computed_from_the_committed_items():
    stored = pd.read_csv(stages.REFERENCE / replication.TABLE)
    for name, rows in stored.groupby("world"):
        again = replication.table(
            replication.read_items(stages.REFERENCE / f"replication_{name}.parquet")
        )
        assert list(again.measure) == list(rows.measure) and list(again.block) == list(rows.block)
        for column in ("mean", "ci_low", "ci_high"):
            assert again[column].to_numpy() == pytest.approx(rows[column].to_numpy(), abs=2e-6)


def test_it_is_said_where_each_world_comes_from(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "REFERENCE", tmp_path)
    cfg = config.load("pocket")
    assert "none are stored" in replication.origin(cfg)
    here = stages.hardware()["cpu"]
    pd.DataFrame(
        [
            {"world": "field", "replicates": 5, "revision": "aaa", "processor": here},
            {"world": "word", "replicates": 4, "revision": "bbb", "processor": "abacus"},
        ]
    ).to_csv(tmp_path / replication.TABLE, index=False)
    field, word = replication.origin(cfg).splitlines()
    assert (
        "field" in field and "5 replicates" in field and "aaa" in field and "another" not in field
    )
    assert (
        "word" in word
        and "4 replicates" in word
        and "bbb" in word
        and f"abacus; this machine has another one ({here})" in word
    )
    assert "trained in this run" in replication.origin(config.load("pocket", replicates=2))

"""PersonaDualData: the gain rules, the composition, what happens when rows are wanting, and the
card.
"""

import random
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from pdlib import config
from pdlib.dataset import card, construct
from pdlib.dataset.gain import judge_gain
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.training_questions import PocketCorpus
from pdlib.pocket.world import World
from pdlib.schema import Example, Item, Mode, Persona


@pytest.fixture
def corpus():
    return PocketCorpus(World(0, "train"), random.Random(0))


class Failing(PocketExpert):
    """Writes nothing for questions whose id ends in an even hex digit."""

    def trajectories(self, examples):
        return [
            None if int(item.id[-1], 16) % 2 == 0 else trajectory
            for (item, *_), trajectory in zip(examples, super().trajectories(examples), strict=True)
        ]


def judged(corpus, n):
    pairs = corpus.ask("objective", [("aligned", "unaligned")] * n)
    return judge_gain(
        lambda asked: [
            0.5 + 0.5 * (persona is not None and persona == item.aligned) for item, persona in asked
        ],
        pairs,
    )


def make(corpus, rows, expert=None, composition=None, rule="gain", general=("unaligned",)):
    composition = composition or {
        "objective": {"general": 20, "personalized": 10, "no_persona": 4},
        "preference": {"personalized": 6},
    }
    return construct.sft_set(
        rows,
        corpus,
        expert or PocketExpert(),
        random.Random(1),
        composition=composition,
        rule=rule,
        margin=0.3,
        general_conditions=general,
    )


def test_gain_is_accuracy_with_the_persona_minus_without(corpus):
    """Hand-worked: right 1 with the fitting persona, .5 with another and without any."""
    rows = judged(corpus, 3)
    assert [(e.condition, e.chance, e.gain) for e in rows] == [
        ("aligned", 1.0, 0.5),
        ("unaligned", 0.5, 0.0),
    ] * 3
    assert rows[0].item == rows[1].item


@pytest.mark.parametrize(
    "without, given, gain, persona_correct",
    [
        (0.0, 1.0, "personalized", "personalized"),
        (1.0, 1.0, "general", "personalized"),
        (1.0, 0.0, "general", "general"),
        (0.0, 0.0, "general", "general"),
        (0.2, 0.5, "personalized", "personalized"),
        (0.1, 0.4, "personalized", "general"),
    ],
)
def test_the_two_rules(without, given, gain, persona_correct):
    picked = [
        construct.select_mode(given - without, given, rule, 0.3 - 1e-9).name
        for rule in ("gain", "persona_correct")
    ]
    assert picked == [gain, persona_correct]
    with pytest.raises(ValueError, match="unknown gain rule 'gained'"):
        construct.select_mode(0, 0, "gained", 0.3)


def test_the_set_has_the_composition_asked_for(corpus):
    rows, counts = make(corpus, judged(corpus, 40))
    assert Counter((e.source, e.condition, e.mode.name) for e in rows) == {
        ("objective", "unaligned", "general"): 20,
        ("objective", "aligned", "personalized"): 10,
        ("objective", "none", "general"): 4,
        ("preference", "aligned", "personalized"): 6,
    }
    assert not [name for name, n in counts.items() if "wanting" in name or "did not write" in name]


def test_wanting_personalised_rows_become_general_ones_and_are_counted(corpus):
    flat = [
        Example(e.item, e.persona, e.condition, e.source, e.chance, 0.0) for e in judged(corpus, 40)
    ]
    rows, counts = make(corpus, flat)
    assert Counter(e.mode.name for e in rows if e.source == "objective") == {"general": 34}
    assert counts["objective: personalised rows wanting, general ones in their place"] == 10
    assert counts["objective: judged general under a persona that is in neither mode"] == 40


def test_too_few_general_rows_are_an_error(corpus):
    with pytest.raises(
        ValueError, match="25 general rows wanted, 5 judged so.*raise gain_candidates"
    ):
        make(corpus, judged(corpus, 5))


def test_fitting_personas_without_gain_are_general_where_the_profile_says_so(corpus):
    flat = [
        Example(e.item, e.persona, e.condition, e.source, e.chance, 0.0) for e in judged(corpus, 40)
    ]
    rows, _ = make(corpus, flat, general=("aligned", "unaligned"))
    assert {e.condition for e in rows if e.source == "objective" and e.mode == Mode.GENERAL} >= {
        "aligned",
        "unaligned",
    }


def test_where_the_expert_fails_other_candidates_step_in(corpus):
    rows, counts = make(corpus, judged(corpus, 80), Failing())
    objective = [e for e in rows if e.source == "objective" and e.condition != "none"]
    assert Counter(e.mode.name for e in objective) == {"general": 20, "personalized": 10}
    assert all(int(e.item.id[-1], 16) % 2 for e in rows)
    assert counts["rows the expert did not write"] == 40 - len(rows) > 0


def test_general_trajectories_are_written_without_the_persona(corpus):
    """What the expert is handed, row by row; and no phrase of the asker's in what it wrote."""
    handed = []

    class Watched(PocketExpert):
        def trajectories(self, examples):
            handed.extend(examples)
            return super().trajectories(examples)

    rows, _ = make(corpus, judged(corpus, 40), Watched())
    assert {persona is None for _, mode, persona in handed if mode == Mode.GENERAL} == {True}
    assert {persona is None for _, mode, persona in handed if mode == Mode.PERSONALIZED} == {False}
    assert construct.persona_echoes(rows) == []


def test_an_echo_of_the_persona_is_found():
    item = Item("i", "triviaqa", "objective", "text", "What is a bond?", "a loan")
    asker = Persona("a banker who likes long walks by the sea")

    def said(text):
        return Example(item, asker, "unaligned", mode=Mode.GENERAL, reasoning=text, answer="a loan")

    assert construct.persona_echoes(
        [said("As somebody who likes long walks, you know bonds.")]
    ) == ["likes long walks", "who likes long"]
    assert construct.persona_echoes([said("What is a bond? A loan.")]) == []


@pytest.mark.parametrize("share, expected", [(0.5, 5), (0.8, 8), (0.0, 0), (1.0, 10)])
def test_rl_questions_by_share(corpus, share, expected):
    rows = construct.rl_set(
        corpus,
        random.Random(0),
        composition={"objective": 10, "preference": 2},
        unaligned_share=share,
    )
    assert Counter(e.condition for e in rows if e.source == "objective")["unaligned"] == expected
    assert [e.condition for e in rows if e.source == "preference"] == ["aligned"] * 2


@pytest.mark.parametrize(
    "rows, expected",
    [(10, {"a": 7, "b": 3}), (3, {"a": 2, "b": 1}), (1, {"a": 1}), (1000, {"a": 70, "b": 30})],
)
def test_scale_keeps_the_proportions(rows, expected):
    assert construct.scale({"a": 70, "b": 30}, rows) == expected


def test_a_row_and_back(corpus):
    rows, _ = make(corpus, judged(corpus, 40))
    assert construct.from_frame(construct.to_frame(rows)) == rows


def test_the_card_says_what_is_in_it_and_datasets_reads_it(corpus, tmp_path):
    from datasets import load_dataset

    rows, counts = make(corpus, judged(corpus, 40))
    construct.to_frame(rows).to_parquet(tmp_path / "sft.parquet")
    construct.to_frame(judged(corpus, 5)).to_parquet(tmp_path / "judged.parquet")
    text = card.write(
        tmp_path, config.load("smoke"), {"otherwise than composed": dict(counts)}
    ).read_text()
    assert (
        "| objective | unaligned | general | 20 |" in text
        and "sha256" in text
        and "Apache-2.0" in text
        and "[Personalized_mode]" in text
    )
    loaded = load_dataset(str(tmp_path), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 40 and loaded[0]["prompt"] == construct.to_frame(rows).prompt[0]


def test_how_the_rules_differ(corpus):
    table = card.rules(
        pd.DataFrame(
            {"condition": ["aligned"] * 3, "gain": [0.6, 0.0, 0.0], "chance": [0.9, 0.9, 0.1]}
        ),
        0.3,
    )
    assert table.to_dict("records") == [
        {
            "condition": "aligned",
            "gain": "general",
            "persona_correct: general": 1,
            "persona_correct: personalized": 1,
        },
        {
            "condition": "aligned",
            "gain": "personalized",
            "persona_correct: general": 0,
            "persona_correct: personalized": 1,
        },
    ]


def test_choice_pairs_are_questions_that_want_another_mode_when_somebody_else_asks(corpus):
    """Three questions: a gain for the fitting asker only (a pair), for both askers, for neither."""
    rows = []
    for gains in ((0.5, -0.2), (0.5, 0.6), (0.1, 0.0)):
        for example, gain in zip(
            corpus.ask("objective", [("aligned", "unaligned")]), gains, strict=True
        ):
            rows.append(
                Example(
                    example.item,
                    example.persona,
                    example.condition,
                    example.source,
                    0.5 + gain / 2,
                    gain,
                )
            )
    found = construct.choice_pairs(rows, "gain", 0.3)
    assert [(e.item.id, e.condition, e.mode) for e in found] == [
        (rows[0].item.id, "aligned", Mode.PERSONALIZED),
        (rows[0].item.id, "unaligned", Mode.GENERAL),
    ]
    frame = construct.to_frame(found)
    assert (
        list(frame.completion) == ["[Personalized_mode]\n", "[General_mode]\n"]
        and construct.from_frame(frame) == found
    )


def test_choices_hold_personal_questions_too(corpus):
    """Those of the SFT set that somebody asks, an even number of them, each with its tag and no
    trajectory, after the pairs.
    """
    asked = corpus.ask("objective", [("aligned", "unaligned")])
    judged = [
        replace(example, chance=0.9, gain=gain)
        for example, gain in zip(asked, (0.5, -0.2), strict=True)
    ]
    personal = [
        replace(e, mode=Mode.PERSONALIZED, reasoning="r", answer="a")
        for e in corpus.ask("preference", [("aligned",)] * 3)
    ]
    nobody = [
        replace(e, mode=Mode.GENERAL, reasoning="r", answer="a")
        for e in corpus.ask("preference", [("none",)])
    ]
    found = construct.choices(judged, [*nobody, *personal], "gain", 0.3)
    assert [e.item.kind for e in found] == ["objective"] * 2 + ["personalized"] * 2
    assert [e.item.id for e in found[2:]] == [e.item.id for e in personal[:2]]
    assert (
        all(e.persona and not e.answer and not e.reasoning for e in found)
        and found[2].mode == Mode.PERSONALIZED
    )
    assert list(construct.to_frame(found).completion[2:]) == ["[Personalized_mode]\n"] * 2


def test_a_set_without_rows_has_its_columns():
    assert (
        list(construct.to_frame([]).columns) == construct.COLUMNS
        and construct.from_frame(construct.to_frame([])) == []
    )

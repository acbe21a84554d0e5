"""Dialogues: who asks what after what, what the model sees of the earlier turns, and SFT rows with
a history.
"""

import copy
import random
import re
from pathlib import Path

import pandas as pd
import pytest
import trl
from real_world import FAMILIES
from real_world import tiny_model as tiny_real_model

from pdlib import evaluate, generate, models, modes, train
from pdlib.dataset import construct
from pdlib.evaluate import dialogues
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.world import BENCHMARKS, World
from pdlib.schema import Example, Item, Mode, Persona

WORLD = World(7, "test")
ITEMS = [WORLD.item(name) for name in BENCHMARKS for _ in range(3)]
POOL = [WORLD.any_persona() for _ in range(5)]
NURSE = Persona("a nurse who likes chess")
FIRST = Item("f", "triviaqa", "objective", "text", "what is bond?", "a tradable loan")
LAST = Item(
    "l",
    "personafeedback",
    "personalized",
    "choice",
    "what now?",
    "try chess",
    ("try chess", "try golf"),
    aligned=NURSE,
)
SAID = '[General_mode]\nNo cue.\n\n<answer>{"answer": "a loan"}</answer>'
TURNS = [
    (
        "user",
        "I am a nurse who likes chess, my question is:\nwhat is bond?" + modes.FREE_INSTRUCTION,
    ),
    ("assistant", SAID),
    (
        "user",
        "I am a nurse who likes chess, my question is:\nwhat now?\nA) try chess\nB) try golf"
        + modes.CHOICE_INSTRUCTION,
    ),
]


# --- what the model sees ---


def real(tokenizer, template: str):
    with_template = copy.deepcopy(tokenizer)
    with_template.chat_template = (
        Path(trl.__file__).with_name("chat_templates").joinpath(f"{template}.jinja").read_text()
    )
    return with_template


def test_both_turns_are_rendered_with_their_roles(tokenizer, text_tokenizer):
    shown = {
        name: modes.render_prompt(one, LAST, NURSE, history=((FIRST, SAID),))
        for name, one in (
            ("pocket", tokenizer),
            *((name, real(text_tokenizer, name)) for name in FAMILIES),
        )
    }
    assert (
        shown["pocket"]
        == "".join(f"<|{role}|>{text}" + "<|end|>" * (role == "assistant") for role, text in TURNS)
        + "<|assistant|>"
    )
    assert shown["qwen3"] == "".join(
        f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in TURNS
    ) + (
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )  # of the earlier answer no empty thought is shown
    llama = "".join(
        f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>" for role, text in TURNS
    )
    assert (
        shown["llama3_1"].endswith(llama + "<|start_header_id|>assistant<|end_header_id|>\n\n")
        and shown["llama3_1"].count("user<") == 2
    )


def test_without_history_the_prompt_is_the_usual_one(tokenizer):
    assert modes.messages(LAST, NURSE) == [
        {"role": "user", "content": modes.user_message(LAST, NURSE)}
    ]
    assert modes.render_prompt(tokenizer, LAST, NURSE, history=()) == modes.render_prompt(
        tokenizer, LAST, NURSE
    )


# --- who asks what ---


def test_every_question_comes_after_objective_and_after_personal_ones_of_the_same_person():
    found = dialogues.rebuild(ITEMS, ITEMS, POOL, turns=4)
    assert len(found) == 2 * len(ITEMS)
    for d in found:
        kinds = {item.kind for item in d.earlier}
        assert (
            len(d.earlier) == len({item.id for item in d.earlier} - {d.item.id}) == 3
            and len(kinds) == 1
        )
        assert d.asker is d.item.aligned
    after = {(d.item.id, d.earlier[0].kind) for d in found}
    assert after == {(item.id, kind) for item in ITEMS for kind in ("objective", "personalized")}
    assert all(d.earlier[0].benchmark != d.item.benchmark for d in found), "where there are others"


def test_what_comes_before_an_item_does_not_hang_on_the_other_last_ones():
    whole = {(d.item.id, d.earlier[0].kind): d for d in dialogues.rebuild(ITEMS, ITEMS, POOL)}
    assert all(
        whole[d.item.id, d.earlier[0].kind] == d for d in dialogues.rebuild(ITEMS, ITEMS[4:6], POOL)
    )


def test_the_asker_s_own_questions_come_first():
    mine = [
        Item(
            f"m{i}",
            "personafeedback",
            "personalized",
            "text",
            f"{i}?",
            "x",
            aligned=Persona(NURSE.text),
        )
        for i in range(2)
    ]
    found = dialogues.rebuild([*ITEMS, *mine], [LAST], POOL, turns=3)
    (own,) = [d for d in found if d.earlier[0].kind == "personalized"]
    assert set(own.earlier) == set(mine)


def test_an_unaligned_asker_asks_all_turns():
    for d in dialogues.rebuild(ITEMS, ITEMS[:3], POOL, who="unaligned"):
        assert d.asker in POOL and d.asker.text != d.item.aligned.text


@pytest.mark.parametrize(
    "items, turns, words",
    [
        (ITEMS, 1, "1 turns asked for; a dialogue has at least 2"),
        (ITEMS[:3], 3, "3 turns need 2 personalized questions before .*, found 0"),
    ],
)
def test_dialogues_that_cannot_be_made_are_refused(items, turns, words):
    with pytest.raises(ValueError, match=words):
        dialogues.rebuild(items, ITEMS[:1], POOL, turns)


# --- tags and names ---


def test_a_swapped_tag_is_the_other_one_and_nothing_else_changes():
    other = dialogues.retag(SAID, "swapped")
    assert modes.parse(SAID).mode == Mode.GENERAL and modes.parse(other).mode == Mode.PERSONALIZED
    assert other.removeprefix(Mode.PERSONALIZED.tag) == SAID.removeprefix(Mode.GENERAL.tag)
    assert dialogues.retag(other, "swapped") == SAID == dialogues.retag(SAID, "kept")
    assert dialogues.retag(SAID, "removed") == SAID.removeprefix("[General_mode]\n")
    assert dialogues.retag("No cue.", "swapped") is None is dialogues.retag(f"So {SAID}", "removed")
    with pytest.raises(ValueError, match="'turned', expected one of"):
        dialogues.retag(SAID, "turned")


def test_the_name_says_what_came_before():
    other = dialogues.retag(SAID, "swapped")
    names = {
        ((SAID,), "kept"): "aligned, objective first, general",
        ((SAID, other), "kept"): "aligned, objective first, mixed",
        ((other, other), "swapped"): "aligned, objective first, personalized, tags swapped",
        ((SAID, "Hm."), "kept"): "aligned, objective first, none",
        ((), "kept"): "aligned, alone",
    }
    for (said, tags), name in names.items():
        assert dialogues.condition("aligned", tuple((FIRST, text) for text in said), tags) == name
    assert dialogues.parse_condition("aligned, alone") == {
        "who": "aligned",
        "first": "",
        "before": "",
        "tags": "",
    }
    assert dialogues.parse_condition("aligned, objective first, mixed")["tags"] == "kept"
    with pytest.raises(ValueError, match="'unaligned reordered' is none of a dialogue"):
        dialogues.parse_condition("unaligned reordered")


# --- asking ---


@pytest.fixture
def scripted(monkeypatch):
    """Earlier questions get SAID, except that the third dialogue's answer has no tag; what was
    asked with which random numbers.
    """
    log = []

    def complete(model, tokenizer, prompts, *, seed, **_):
        log.append((seed, list(prompts)))
        return [
            generate.Completion("Hm." if i == 2 else SAID, 1, 1, False) for i in range(len(prompts))
        ]

    def answers(model, tokenizer, prompts, *, seeds, original=generate.answers, **settings):
        log.extend((seed, list(prompts)) for seed in seeds)
        return original(model, tokenizer, prompts, seeds=seeds, **settings)

    monkeypatch.setattr(generate, "complete", complete)
    monkeypatch.setattr(generate, "answers", answers)
    return log


SETTINGS = {"run": "r", "model_name": "m", "train_seed": 3, "max_tokens": 4}


def test_records_of_a_dialogue(tiny_model, tokenizer, scripted):
    asked = dialogues.rebuild(ITEMS, ITEMS[-2:], POOL, turns=3)
    found, left_out = dialogues.answer(tiny_model, tokenizer, asked, seeds=(0, 1), **SETTINGS)
    assert (
        list(found.columns) == evaluate.COLUMNS
        and set(found.forced) == {"none"}
        and set(found.train_seed) == {3}
    )
    assert found.groupby("turn").size().to_dict() == {1: 2 * 2, 2: 2 * 4 + 3 + 3, 3: 4}, (
        "tags and later turns with the first seed only"
    )
    assert left_out == {
        "tags removed: the first answer has none": 1,
        "tags swapped: the first answer has none": 1,
    }
    key = ["item_id", "condition", "seed", "turn"]
    assert not found.duplicated(key).any()
    kept, swapped = (
        found[found.condition == f"aligned, objective first, general{tags}"].set_index(
            ["item_id", "seed"]
        )
        for tags in ("", ", tags swapped")
    )
    kept = kept[kept.turn == 2]
    for place, prompt in swapped.prompt.items():
        asker = next(d for d in asked if d.item.id == place[0]).asker
        assert (
            prompt
            == kept.prompt[place].replace("[General_mode]", "[Personalized_mode]")
            != kept.prompt[place]
        )
        item = asked[0].item if asked[0].item.id == place[0] else asked[2].item
        assert prompt.count(modes.persona_text(asker.text)) == 2
        assert prompt.endswith(f"<|user|>{modes.user_message(item, asker)}<|assistant|>")
    third = found[found.turn == 3]
    assert all(text.count("<|user|>") == 3 and text.count("<|end|>") == 2 for text in third.prompt)


@pytest.mark.parametrize("template", FAMILIES)
def test_a_real_architecture_with_its_template(template, text_tokenizer, tmp_path):
    model, tokenizer = models.load(
        tiny_real_model(copy.deepcopy(text_tokenizer), template, tmp_path / "tiny")
    )
    found, left_out = dialogues.answer(
        model,
        tokenizer,
        dialogues.rebuild(ITEMS, ITEMS[-1:], POOL, turns=3),
        seeds=(0,),
        **SETTINGS,
    )
    assert (
        found.groupby("turn").size().to_dict() == {1: 1, 2: 2, 3: 2}
        and found.p_personalized.between(0, 1).all()
    )
    assert left_out == {
        "tags removed: the first answer has none": 2,
        "tags swapped: the first answer has none": 2,
    }, "it never learned any"
    end = {"qwen3": "<|im_end|>", "llama3_1": "<|eot_id|>"}[template]
    assert (
        found.prompt.str.count(re.escape(end)) - found.prompt.str.contains("Cutting Knowledge")
        == 2 * found.turn - 1
    ).all()


def test_no_turn_is_drawn_with_another_turn_s_luck(tiny_model, tokenizer, scripted):
    """Equal random numbers in the first turn and the second would make equal modes out of luck
    alone.
    """
    dialogues.answer(
        tiny_model,
        tokenizer,
        dialogues.rebuild(ITEMS, ITEMS[:1], POOL, turns=3),
        seeds=(0, 1),
        tags=(),
        **SETTINGS,
    )
    numbers = [seed for seed, _ in scripted]
    assert (
        len(numbers) == len(set(numbers)) == 2 + 2 * 2 + 2
    )  # alone; first and last turn of each seed; the longer ones


def test_too_long_dialogues_are_left_out_and_counted(tiny_model, tokenizer, scripted, monkeypatch):
    asked = dialogues.rebuild(ITEMS, ITEMS, POOL)
    prompts = [
        modes.render_prompt(tokenizer, d.item, d.asker, history=((d.earlier[0], SAID),))
        for d in asked
    ]
    lengths = sorted(len(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"])
    monkeypatch.setattr(
        tiny_model.config, "max_position_embeddings", lengths[-1] + 3
    )  # an answer takes 4
    found, left_out = dialogues.answer(
        tiny_model, tokenizer, asked, seeds=(0,), tags=(), **SETTINGS
    )
    gone = sum(length == lengths[-1] for length in lengths)
    assert left_out == {f"2 turns: longer than the model's {lengths[-1] + 3} positions": gone}
    assert (found.turn == 2).sum() == len(
        asked
    ) - gone and found.n_prompt_tokens.max() + 4 <= lengths[-1] + 3
    monkeypatch.setattr(tiny_model.config, "max_position_embeddings", 60)
    with pytest.raises(
        ValueError,
        match="none of 42 dialogues of 2 turns fits: with an answer of 4 tokens the shortest .* "
        "has 60; lower",
    ):
        dialogues.answer(tiny_model, tokenizer, asked, seeds=(0,), **SETTINGS)


# --- SFT rows with a history ---


def rows(n: int = 10) -> list[Example]:
    items = [WORLD.item("triviaqa") for _ in range(n)] + [
        WORLD.item("personafeedback") for _ in range(n)
    ]
    examples = [Example(item, item.aligned, "aligned", item.kind) for item in items]
    by_mode = [(Mode.GENERAL, examples[:n]), (Mode.PERSONALIZED, examples[n:])]
    return [
        e
        for mode, of_mode in by_mode
        for e in construct.write_trajectories(PocketExpert(), of_mode, mode)
    ]


def test_a_share_of_the_rows_gets_a_history_and_nothing_else_changes(
    tiny_model, tokenizer, scripted
):
    before = rows()
    after = dialogues.with_history(tiny_model, tokenizer, before, 0.3, random.Random(0))
    assert sum(bool(e.history) for e in after) == 6
    for old, new in zip(before, after, strict=True):
        if new.history:
            ((item, said),) = new.history
            assert item != new.item and item in [e.item for e in before] and said in (SAID, "Hm.")
        assert old.to_row() == new.to_row() | {"history": None}
    asked = [
        (prompt, e)
        for prompt, e in zip(scripted[0][1], [e for e in after if e.history], strict=True)
    ]
    assert all(
        prompt == modes.render_prompt(tokenizer, e.history[0][0], e.persona) for prompt, e in asked
    ), "the row's asker asks"


def test_either_kind_comes_before_either_mode(tiny_model, tokenizer, scripted):
    after = dialogues.with_history(tiny_model, tokenizer, rows(100), 1.0, random.Random(0))
    kinds = (
        pd.Series([e.history[0][0].kind == "objective" for e in after])
        .groupby([e.mode.name for e in after])
        .mean()
    )
    assert kinds.between(0.35, 0.65).all(), "three standard deviations are .15"


def test_only_the_last_completion_is_learned(tokenizer):
    example = rows(1)[1]
    plain = train.sft_row(tokenizer, example)
    row = train.sft_row(tokenizer, Example(**{**vars(example), "history": ((FIRST, SAID),)}))
    learned = [
        token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100
    ]
    assert learned == [
        token
        for token, label in zip(plain["input_ids"], plain["labels"], strict=True)
        if label != -100
    ]
    assert tokenizer.decode(row["input_ids"]).startswith(
        f"<|user|>{modes.user_message(FIRST, example.persona)}<|assistant|>{SAID}<|end|>"
    )


def test_a_history_survives_the_table(tmp_path):
    example = Example(**{**vars(rows(1)[0]), "history": ((FIRST, SAID), (LAST, "Hm."))})
    construct.to_frame([example, rows(1)[1]]).to_parquet(tmp_path / "x.parquet")
    found = construct.from_frame(pd.read_parquet(tmp_path / "x.parquet"))
    assert found[0].history == example.history and found[1].history == ()
    old = pd.read_parquet(tmp_path / "x.parquet").drop(columns="history")
    assert construct.from_frame(old)[0].history == ()

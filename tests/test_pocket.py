"""The pocket world: its lexicon, its splits, the form of its seven benchmarks, its expert,
tokenizer and backbones.
"""

import dataclasses
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, Qwen3ForCausalLM

from pdlib import benchmarks, config, modes, rewards
from pdlib.dataset import construct
from pdlib.pocket import diet, expert, personas, splits, world
from pdlib.pocket.backbones import build_backbone
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.self_questions import self_question
from pdlib.pocket.splits import SPLITS
from pdlib.pocket.templates import TEMPLATES
from pdlib.pocket.world import BENCHMARKS, World
from pdlib.schema import Item, Mode

ROOT = Path(__file__).resolve().parents[1]
OBJECTIVE = [name for name, kind in BENCHMARKS.items() if kind == "objective"]
PREFERENCE = [name for name, kind in BENCHMARKS.items() if kind == "personalized"]
WITH_WORD = [*OBJECTIVE, "fspo_roleplay"]  # a question of personafeedback names no word
DRAWS = 2000


@pytest.fixture(scope="module")
def lex():
    return lexicon()


@pytest.fixture(scope="module")
def drawn() -> dict[str, dict[str, list[Item]]]:
    """split -> benchmark -> draws, repeats among them."""
    worlds = {split: World(0, split) for split in SPLITS}
    return {
        split: {name: [w.item(name) for _ in range(DRAWS)] for name in BENCHMARKS}
        for split, w in worlds.items()
    }


# --- lexicon ---


def test_size_of_the_lexicon(lex):
    assert len(lex.words) >= 60
    assert len(lex.cues) >= 8
    assert {
        word: len(senses) for word, senses in lex.words.items() if not 3 <= len(senses) <= 4
    } == {}
    assert all(
        len(values) >= 2
        for values in (*lex.units.values(), *lex.occupations.values(), *lex.cues.values())
    )


def test_glosses(lex):
    glosses = [
        (word, gloss)
        for word, senses in lex.words.items()
        for texts in senses.values()
        for gloss in texts
    ]
    assert [(w, g) for w, g in glosses if not 1 <= len(g.split()) <= 6] == []
    assert [(w, g) for w, g in glosses if g != g.strip() or w in g.split()] == []


def test_fields_of_senses_are_known(lex):
    used = {field for senses in (*lex.words.values(), *lex.units.values()) for field in senses}
    assert used == set(lex.cues) == set(lex.occupations)


def test_senses_of_a_word_share_no_gloss(lex):
    for word, senses in lex.words.items():
        accepted = [{benchmarks.normalize(gloss) for gloss in texts} for texts in senses.values()]
        assert len(set.union(*accepted)) == sum(map(len, accepted)), word


def test_values_of_a_unit_differ(lex):
    assert {
        unit: senses
        for unit, senses in lex.units.items()
        if len({v for v, _ in senses.values()}) < len(senses)
    } == {}


def test_cues_and_occupations_belong_to_one_field(lex):
    for by_field in (lex.cues, lex.occupations):
        names = [name for values in by_field.values() for name in values]
        assert len(names) == len(set(names))


# --- determinism ---


def first(seed: int, split: str = "test", **settings) -> list[dict]:
    w = World(seed, split, **settings)
    return [w.item(name).to_dict() for name in BENCHMARKS for _ in range(5)]


def test_a_seed_is_a_world():
    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1) != first(1, "train")


def test_a_seed_is_the_same_world_in_every_process():
    script = (
        "from pdlib.pocket.world import BENCHMARKS, World; w = World(1, 'test'); "
        "print(*[w.item(n).id for n in BENCHMARKS for _ in range(5)])"
    )
    seen = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout.split()
        for seed in "12"
    ]
    assert seen[0] == seen[1] == [item["id"] for item in first(1)]


def test_unknown_split_and_benchmark():
    with pytest.raises(ValueError, match="'dev'.*train.*test"):
        World(0, "dev")
    with pytest.raises(ValueError, match="'gsm8k'.*triviaqa"):
        World(0, "test").item("gsm8k")


# --- splits ---


def pairwise_shared(sets: list[set]) -> set:
    return (sets[0] & sets[1]) | (sets[0] & sets[2]) | (sets[1] & sets[2])


@pytest.mark.parametrize("name", WITH_WORD)
def test_splits_share_no_word_cue_template(drawn, name):
    keys = [
        {(i.facts["word"], i.facts.get("cue"), i.facts["template"]) for i in drawn[split][name]}
        for split in SPLITS
    ]
    assert all(len(k) > 20 for k in keys)
    assert pairwise_shared(keys) == set()


@pytest.mark.parametrize("name", WITH_WORD)
def test_splits_share_no_question(drawn, name):
    assert pairwise_shared([{i.question for i in drawn[split][name]} for split in SPLITS]) == set()


@pytest.mark.parametrize("name", PREFERENCE)
def test_splits_share_no_prompt(drawn, name):
    prompts = [
        {(i.question, frozenset(i.options), i.aligned.text) for i in drawn[split][name]}
        for split in SPLITS
    ]
    assert pairwise_shared(prompts) == set()


def test_held_out_templates_occur_in_test_only(drawn):
    for name, templates in TEMPLATES.items():
        seen = {split: {i.facts["template"] for i in drawn[split][name]} for split in SPLITS}
        assert seen["train"] == seen["validation"] == set(templates[:-1])
        assert seen["test"] == set(templates)
        assert all(
            i.facts["held_out"]["template"] == (i.facts["template"] == templates[-1])
            for i in drawn["test"][name]
        )


def held_out(persona) -> bool:
    return splits.is_held_out_persona(
        *(persona.facts[key] for key in ("occupation", "hobby", "style"))
    )


def test_held_out_personas_occur_in_test_only(drawn):
    for split in SPLITS:
        w = World(5, split)
        met = [i.aligned for items in drawn[split].values() for i in items] + [
            w.any_persona() for _ in range(500)
        ]
        assert any(map(held_out, met)) == (split == "test")


def test_a_fifth_of_the_personas_is_held_out(lex):
    jobs = [*lex.plain_people, *(job for values in lex.occupations.values() for job in values)]
    every = [
        splits.is_held_out_persona(*combination)
        for combination in product(jobs, lex.hobbies, lex.styles)
    ]
    assert 0.17 < sum(every) / len(every) < 0.23


# --- held out: what only backbones read and tests ask ---


def test_held_out_words_and_professions_are_spread_and_stand_in_no_other_text(lex):
    words = [word for word in splits.HELD_OUT_WORDS if word in lex.words]
    units = [word for word in splits.HELD_OUT_WORDS if word in lex.units]
    assert len(words) == 6 and len(units) == 1 and len(words) + 1 == len(splits.HELD_OUT_WORDS)
    assert len({field for word in words for field in lex.words[word]}) >= 8, (
        "spread over the fields"
    )
    withheld = {
        field: [job for job in jobs if job in splits.HELD_OUT_PROFESSIONS]
        for field, jobs in lex.occupations.items()
    }
    assert (
        max(map(len, withheld.values())) == 1
        and sum(map(len, withheld.values())) == len(splits.HELD_OUT_PROFESSIONS) == 4
    )
    texts = [
        gloss for senses in lex.words.values() for glosses in senses.values() for gloss in glosses
    ]
    texts += [unit for senses in lex.units.values() for _, unit in senses.values()]
    texts += [
        text
        for values in (
            *lex.cues.values(),
            *TEMPLATES.values(),
            lex.hobbies,
            lex.styles,
            lex.styles.values(),
            lex.plain_people,
        )
        for text in values
    ]
    assert [text for text in texts if names_held_out(text)] == []


def names_held_out(text: str) -> list[str]:
    return re.findall(
        rf"\b(?:{'|'.join((*splits.HELD_OUT_WORDS, *splits.HELD_OUT_PROFESSIONS))})\b", text
    )


@pytest.mark.parametrize("split", ["sft", "rl", "validation"])
def test_no_question_holds_what_is_withheld(split, lex):
    from pdlib import dataset

    corpus = dataset.open_corpus(
        config.load("pocket"), split, random.Random(0), PocketExpert(), withhold=True
    )
    drawn = [
        e
        for source in ("objective", "preference")
        for e in corpus.ask(source, [("aligned", "unaligned", "none")] * 700)
    ]
    rows = construct.to_frame(
        construct.write_trajectories(
            PocketExpert(), [e for e in drawn if e.persona], Mode.PERSONALIZED
        )
        + drawn
    )
    assert len(rows) == 7000
    assert [
        text
        for column in ("prompt", "completion")
        for text in rows[column].dropna()
        if names_held_out(text)
    ] == []
    assert not any(
        e.item.facts["held_out"][part] for e in drawn for part in ("word", "template", "profession")
    )
    assert not any(e.persona.facts["studies"] in splits.HELD_OUT_WORDS for e in drawn if e.persona)
    glosses = {
        texts[0]
        for word in splits.HELD_OUT_WORDS
        if word in lex.words
        for texts in lex.words[word].values()
    }
    assert not any(
        glosses & set(e.item.options) for e in drawn
    )  # always wrong in training, they would be learned as wrong


def test_a_world_that_withholds_has_all_the_rest(lex):
    w = World(0, "train", withhold=True)
    asked = {w.item(name).facts["word"] for name in ("triviaqa", "math500") for _ in range(1500)}
    assert asked == {*lex.words, *lex.units} - set(splits.HELD_OUT_WORDS)
    jobs = {w.any_persona().facts["occupation"] for _ in range(1500)}
    assert jobs == {
        *lex.plain_people,
        *(job for jobs in lex.occupations.values() for job in jobs),
    } - set(splits.HELD_OUT_PROFESSIONS)


def test_items_say_what_of_them_is_held_out(drawn):
    for name in BENCHMARKS:
        for item in drawn["test"][name]:
            shown = modes.user_message(item, None)
            word = any(re.search(rf"\b{held}\b", shown) for held in splits.HELD_OUT_WORDS)
            job = item.aligned.facts["occupation"] in splits.HELD_OUT_PROFESSIONS
            assert item.facts["held_out"] == {
                "word": word,
                "template": item.facts["template"] == TEMPLATES[name][-1],
                "profession": job,
            }
    shares = {
        part: sum(i.facts["held_out"][part] for name in OBJECTIVE for i in drawn["test"][name])
        / (DRAWS * len(OBJECTIVE))
        for part in ("word", "profession")
    }
    assert shares == pytest.approx({"word": 0.1, "profession": 0.2}, abs=0.03)


def digest(lines) -> str:
    return hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest()[:16]


def test_what_backbones_read_and_what_is_tested_is_what_it_was():
    """Digests of the world fit="word": whoever changes these texts changes every later result, and
    has to say so.

    The committed results stand on an earlier diet.
    """
    test, train, people = World(10, "test", 0.25), World(0, "train"), World(20, "test")
    rows = diet.draw(0, 400, 0.25)
    assert {
        "test items": digest(item.id for name in BENCHMARKS for item in test.items(name, 40)),
        "the tokenizer's": digest(train.item(name).id for name in BENCHMARKS for _ in range(40)),
        "about the asker": digest(
            (item.id, item.question, item.gold)
            for item in (self_question(train) for _ in range(40))
        ),
        "people": digest(people.any_persona().text for _ in range(200)),
        "diet": digest(
            row if isinstance(row[0], str) else (row[0].id, row[0].question, row[1] and row[1].text)
            for row in rows
        ),
        "read first": digest(
            row if isinstance(row[0], str) else row[0].id + row[0].question
            for row in diet.first(0, 200)
        ),
    } == {
        "test items": "776c2935b457db1f",
        "the tokenizer's": "f15605bcaf0d9bbe",
        "about the asker": "3849dd752cbba0a6",
        "people": "cc8170c2b2f499cd",
        "diet": "9b39d2d3922a028c",
        "read first": "370b7c97b21c9b61",
    }


@pytest.mark.parametrize("fit", personas.FITS)
def test_word_lists_say_what_is_so(fit):
    """Every label, of the study and of the profession alike; both labels are equally frequent, and
    only the world "field" asks for work.
    """
    people, senses = personas.People(fit), lexicon().words | lexicon().units
    fields = {job: field for field, jobs in lexicon().occupations.items() for job in jobs}
    lists = [
        row
        for row in diet.first(3, 400, people) + diet.draw(3, 3000, 0.25, people=people)
        if isinstance(row[0], str) and "which " in row[0]
    ]
    assert len(lists) == pytest.approx(300 + diet.LIST_SHARE[fit] * 3000, abs=90)
    labels, asked = Counter(), Counter()
    for prompt, said in lists:
        job, studied = re.match(r"I am an? (.+?) who studies (.+?)(?:, | and )", prompt).groups()
        of_work = "my work" in prompt
        asked[of_work] += 1
        for entry, label in (pair.rsplit(" ", 1) for pair in said.strip().split(", ")):
            assert label == (
                "yes" if (fields[job] in senses[entry] if of_work else entry == studied) else "no"
            )
            labels[label] += 1
    assert labels["yes"] / labels.total() == pytest.approx(0.5, abs=0.03)
    assert (
        asked[True] == pytest.approx(diet.WORK_SHARE[fit] * diet.LIST_SHARE[fit] * 3000, abs=90)
        and asked[False] > 300
    )


# --- who fits ---

FIELD = personas.People("field", profession_only=0.3, word_only=0.6, contradicting_cue=0.8)


@pytest.fixture(scope="module")
def hard() -> list[Item]:
    """Questions of the world in which a repeated word does not tell who fits."""
    w = World(4, "train", cue_share=0.5, people=FIELD)
    return [w.item(name) for name in OBJECTIVE for _ in range(600)]


def share(items: list[Item], test) -> float:
    return sum(map(test, items)) / len(items)


def test_in_the_world_of_words_every_fitting_persona_studies_the_word_and_strangers_are_a_pool(
    drawn,
):
    for name in OBJECTIVE:
        assert all(
            world.studies_it(item, item.aligned) and item.unaligned is None
            for item in drawn["train"][name]
        )


def test_some_fitting_personas_share_the_profession_only(hard):
    assert all(
        world.knows(item, item.aligned) and item.aligned.facts["field"] == item.facts["field"]
        for item in hard
    )
    assert share(hard, lambda item: not world.studies_it(item, item.aligned)) == pytest.approx(
        0.3, abs=0.03
    )


def test_strangers_never_have_the_questions_profession(hard):
    assert not any(item.unaligned.facts["field"] == item.facts["field"] for item in hard)


def test_some_strangers_study_the_word_in_a_profession_that_has_no_meaning_for_it(hard):
    bare = [item for item in hard if not item.facts["cue"]]
    outsiders = share(
        bare,
        lambda item: (
            world.studies_it(item, item.unaligned) and not world.knows(item, item.unaligned)
        ),
    )
    assert outsiders == pytest.approx(0.6, abs=0.04)


def test_some_cues_contradict_the_strangers_profession(hard):
    cued = [item for item in hard if item.facts["cue"]]
    rivals = [item for item in cued if world.knows(item, item.unaligned)]
    assert len(rivals) / len(cued) >= 0.8 - 0.04  # those drawn so, and a few by chance
    assert all(
        world.senses(item)[item.unaligned.facts["field"]] != world.senses(item)[item.facts["field"]]
        for item in rivals
    )
    assert share(rivals, lambda item: world.studies_it(item, item.unaligned)) == pytest.approx(
        0.5, abs=0.07
    )


def test_neither_a_cue_nor_a_repeated_word_tells_who_fits_and_the_lexicon_does(hard):
    """Without a cue, "studies it" is wrong for every third asker or more; "knows the word" only
    where a stranger's profession has a meaning of its own for it, which nobody can tell.
    """
    bare = [item for item in hard if not item.facts["cue"]]
    by_word = (
        1
        - (
            share(bare, lambda i: world.studies_it(i, i.aligned))
            + share(bare, lambda i: not world.studies_it(i, i.unaligned))
        )
        / 2
    )
    by_lexicon = (
        1
        - (
            share(bare, lambda i: world.knows(i, i.aligned))
            + share(bare, lambda i: not world.knows(i, i.unaligned))
        )
        / 2
    )
    assert by_word > 0.4 and by_lexicon < 0.08


def test_most_questions_of_the_field_world_mean_the_commonest_sense(hard):
    lex = lexicon()
    senses = {word: list(fields) for word, fields in (lex.words | lex.units).items()}
    usual = {word: world.commonest(word, fields) for word, fields in senses.items()}
    assert all(usual[word] in fields for word, fields in senses.items()) and usual == {
        word: world.commonest(word, fields[::-1]) for word, fields in senses.items()
    }, "whatever the order"
    asked = World(4, "train", people=personas.People("field", commonest=0.6))
    found = [asked.item("triviaqa") for _ in range(8000)]
    assert share(
        found, lambda item: item.facts["field"] == usual[item.facts["word"]]
    ) == pytest.approx(0.6, abs=0.04)
    others = {(item.facts["word"], item.facts["field"]) for item in found}
    assert {(word, field) for word, fields in lex.words.items() for field in fields} == others, (
        "every sense is asked for"
    )
    assert share(
        hard, lambda item: item.facts["field"] == usual[item.facts["word"]]
    ) == pytest.approx(1 / 3, abs=0.04)


def test_people_are_refused_where_they_make_no_sense():
    with pytest.raises(ValueError, match="unknown fit 'job'.*word"):
        personas.People("job")
    with pytest.raises(ValueError, match="word_only is 1.5"):
        personas.People("field", word_only=1.5)
    with pytest.raises(ValueError, match="commonest is -0.1"):
        personas.People("field", commonest=-0.1)


def test_the_sealed_split_shares_no_question_with_any_other(drawn):
    def key(item):
        return item.facts["word"], item.facts.get("cue"), item.facts["template"]

    sealed = World(0, splits.SEALED)
    for name in WITH_WORD:
        mine = {key(sealed.item(name)) for _ in range(DRAWS)}
        assert mine and all(mine.isdisjoint(map(key, parts[name])) for parts in drawn.values())
    words = {sealed.item("triviaqa").facts["word"] for _ in range(DRAWS)}
    assert len(words) == len(lexicon().words), "half of the test questions, of every word"


# --- items ---


@pytest.mark.parametrize("name", BENCHMARKS)
def test_ids_are_unique(drawn, name):
    items = World(2, "test").items(name, 300)
    assert len({item.id for item in items}) == 300
    by_id = {}
    for item in (i for split in SPLITS for i in drawn[split][name]):
        same = by_id.setdefault(item.id, item)
        assert modes.user_message(same, same.aligned) == modes.user_message(item, item.aligned)
        assert (same.gold, same.benchmark) == (item.gold, item.benchmark)


def test_an_item_survives_json(drawn):
    for name in BENCHMARKS:
        item = drawn["test"][name][0]
        assert Item.from_dict(json.loads(json.dumps(item.to_dict()))) == item


def test_options(drawn):
    sizes = {name: {len(i.options) for i in drawn["test"][name]} for name in BENCHMARKS}
    assert sizes == {
        "pubmedqa": {0},
        "triviaqa": {0},
        "math500": {0},
        "mmlu_pro": {4, 5},
        "supergpqa": {6, 7, 8},
        "personafeedback": {2},
        "fspo_roleplay": {2},
    }
    for name in ("mmlu_pro", "supergpqa", *PREFERENCE):
        for item in drawn["test"][name]:
            assert item.answer_type == "choice"
            assert len({benchmarks.normalize(text) for text in item.options}) == len(item.options)
        places = [i.options.index(i.gold) for i in drawn["test"][name]]
        assert all(
            places.count(place) > 0.5 * DRAWS / max(sizes[name])
            for place in range(min(sizes[name]))
        )


def test_choice_items_offer_rival_senses(drawn, lex):
    for name in ("mmlu_pro", "supergpqa"):
        for item in drawn["test"][name]:
            rivals = {
                texts[0]
                for field, texts in lex.words[item.facts["word"]].items()
                if field != item.facts["field"]
            }
            assert item.gold == lex.words[item.facts["word"]][item.facts["field"]][0]
            assert len(rivals & set(item.options)) >= (len(rivals) if name == "supergpqa" else 2)


def test_triviaqa(drawn, lex):
    for item in drawn["test"]["triviaqa"]:
        assert item.answer_type == "text"
        assert [item.gold, *item.aliases] == lex.words[item.facts["word"]][item.facts["field"]]


def test_pubmedqa(drawn, lex):
    items = drawn["test"]["pubmedqa"]
    for item in items:
        senses = {texts[0]: field for field, texts in lex.words[item.facts["word"]].items()}
        shown = item.facts["g"]
        truth = (
            "maybe"
            if shown not in senses
            else "yes"
            if senses[shown] == item.facts["field"]
            else "no"
        )
        assert (item.answer_type, item.gold) == ("label", truth)
        assert item.question.startswith("context: notes") and shown in item.question
    shares = {
        label: sum(i.gold == label for i in items) / DRAWS for label in ("yes", "no", "maybe")
    }
    assert shares == pytest.approx({"yes": 0.55, "no": 0.33, "maybe": 0.12}, abs=0.06)


def test_math500(drawn, lex):
    for item in drawn["test"]["math500"]:
        count = int(re.search(r"\d+", item.question).group())
        assert item.answer_type == "math"
        assert int(item.gold) == count * lex.units[item.facts["word"]][item.facts["field"]][0]


def test_preference_items_ask_for_what_the_persona_wants(drawn, lex):
    for item in drawn["test"]["personafeedback"]:
        assert item.aligned.facts["hobby"] in item.gold
        assert [o for o in item.options if item.aligned.facts["hobby"] in o] == [item.gold]
    for item in drawn["test"]["fspo_roleplay"]:
        opening = lex.styles[item.aligned.facts["style"]]
        assert [o for o in item.options if o.startswith(opening)] == [item.gold]


def test_cues_point_to_the_gold_field(drawn, lex):
    for name in OBJECTIVE:
        items = drawn["test"][name]
        with_cue = [item for item in items if item.facts["cue"]]
        assert all(
            i.facts["cue"] in lex.cues[i.facts["field"]]
            and f"near the {i.facts['cue']}" in i.question
            for i in with_cue
        )
        assert not any("near the" in i.question for i in items if not i.facts["cue"])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_cue_share(share):
    w = World(0, "train", cue_share=share)
    found = sum(w.item("triviaqa").facts["cue"] is not None for _ in range(1000)) / 1000
    assert found == pytest.approx(share, abs=0.06)


def test_the_aligned_persona_fits(drawn):
    for name in OBJECTIVE:
        for item in drawn["test"][name]:
            facts = item.aligned.facts
            assert (facts["field"], facts["studies"]) == (item.facts["field"], item.facts["word"])
            assert all(
                facts[key] in item.aligned.text
                for key in ("occupation", "studies", "hobby", "style")
            )


def test_null_world_personas_carry_no_information(lex):
    w = World(0, "test", persona_fits=False)
    items = [w.item("triviaqa") for _ in range(1000)]
    fits = sum(i.aligned.facts["field"] == i.facts["field"] for i in items) / 1000
    assert fits == pytest.approx(1 / len(lex.cues), abs=0.04)


def test_random_personas(lex):
    w = World(0, "test")
    met = [w.any_persona() for _ in range(1000)]
    assert {p.facts["field"] for p in met} == {None, *lex.cues}
    assert sum(p.facts["field"] is None for p in met) == pytest.approx(200, abs=50)
    assert all(p.facts["occupation"] in lex.plain_people for p in met if p.facts["field"] is None)


def test_questions_about_the_asker():
    w = World(0, "train")
    items = [self_question(w) for _ in range(500)]
    for item in items:
        assert item.benchmark not in BENCHMARKS and item.facts["word"] in item.question
        assert (item.gold == "yes") == (item.facts["word"] == item.aligned.facts["studies"])
        assert not held_out(item.aligned)
    assert sum(item.gold == "yes" for item in items) == pytest.approx(250, abs=50)


# --- expert ---


def test_expert_sees_the_persona_in_personalised_mode_only():
    w = World(0, "train")
    for name in BENCHMARKS:
        item = w.item(name)
        with pytest.raises(ValueError, match="general.*without the persona"):
            expert.write(item, Mode.GENERAL, item.aligned)
        with pytest.raises(ValueError, match="personalised.*needs a persona"):
            expert.write(item, Mode.PERSONALIZED, None)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_trajectories_earn_the_full_reward(drawn, name, tokenizer):
    longest = config.load("pocket").rl_max_completion
    for item in drawn["train"][name][:100]:
        for mode, persona in ((Mode.GENERAL, None), (Mode.PERSONALIZED, item.aligned)):
            text = modes.completion_text(mode, *expert.write(item, mode, persona))
            assert modes.parse(text).mode is mode
            assert rewards.score(text, item).total == pytest.approx(1.0)
            assert len(tokenizer(text)["input_ids"]) < longest  # room for the end token


def spoken(reasoning: str) -> str:
    """The reasoning without what it quotes from the lexicon: a gloss may name an occupation of its
    own accord.
    """
    return re.sub(r'"[^"]*"', "", reasoning)


def test_general_trajectories_know_nothing_of_the_persona(drawn):
    for name in BENCHMARKS:
        items = drawn["train"][name]
        for item, other in zip(items[:300], reversed(items[:300]), strict=True):
            text = expert.write(item, Mode.GENERAL, None)
            assert text == expert.write(
                dataclasses.replace(item, aligned=other.aligned), Mode.GENERAL, None
            )
            words = [item.aligned.facts[key] for key in ("occupation", "hobby", "style")]
            assert [w for w in words if re.search(rf"\b{w}\b", spoken(text[0]))] == []


def test_personalised_trajectories_name_what_they_use(drawn):
    for name in BENCHMARKS:
        key = {"personafeedback": "hobby", "fspo_roleplay": "style"}.get(name, "occupation")
        for item in drawn["train"][name][:100]:
            assert item.aligned.facts[key] in expert.write(item, Mode.PERSONALIZED, item.aligned)[0]


def test_plain_reasoning_of_a_preference_follows_the_persona(drawn):
    item = drawn["train"]["personafeedback"][0]
    assert item.aligned.facts["hobby"] in expert.plain(item, item.aligned)


# --- tokenizer and backbones ---


def random_text(rng: random.Random) -> str:
    points = [*range(1, 0xD800), *range(0xE000, 0x110000)]
    return "".join(chr(rng.choice(points)) for _ in range(40))


@pytest.mark.parametrize(
    "text",
    [
        "near the bank, what is bond?",
        "  two  spaces , and . marks !",
        "tab\tnew\n\nline\r\n",
        "naïve café 債券 سند 🏦👩‍🚀",
        "e\u0301 \u200b \ufeff",
        "I am a chef, my question is:\nI am ",
        '[General_mode]\nx\n\n<answer>{"answer": "B"}</answer>[Personalized_mode]',
        "",
        " ",
        "\x00\x7f",
    ],
)
def test_tokenizer_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tokenizer_round_trip_of_random_unicode(tokenizer):
    rng = random.Random(0)
    texts = [random_text(rng) for _ in range(20)]
    assert tokenizer.batch_decode(tokenizer(texts)["input_ids"]) == texts


def test_tokenizer_survives_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    texts = [modes.user_message(i, i.aligned) for i in World(0, "test").items("mmlu_pro", 20)]
    assert again(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert again.batch_decode(again(texts)["input_ids"]) == texts


def test_chat_template_knows_two_roles(tokenizer):
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hey"},
        {"role": "user", "content": "so?"},
    ]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|user|>hi<|assistant|>hey<|end|><|user|>so?<|assistant|>"
    )
    with pytest.raises(Exception, match="found: system"):
        tokenizer.apply_chat_template([{"role": "system", "content": "be kind"}], tokenize=False)


def test_backbones(tiny_model, tiny_llama, tokenizer):
    assert isinstance(tiny_model, Qwen3ForCausalLM) and isinstance(tiny_llama, LlamaForCausalLM)
    for model in (tiny_model, tiny_llama):
        assert 1e6 <= sum(p.numel() for p in model.parameters()) <= 3e6
        logits = model(**tokenizer("what is bond?", return_tensors="pt")).logits
        assert logits.shape[-1] == len(tokenizer) and logits.isfinite().all()


def test_backbone_seed(tokenizer, tiny_model):
    weights = [
        build_backbone("pocket-qwen3", tokenizer, seed).get_input_embeddings().weight
        for seed in (0, 1)
    ]
    ours = tiny_model.get_input_embeddings().weight
    assert torch.equal(weights[0], ours) and not torch.equal(weights[1], ours)


def test_attention_starts_out_looking_for_the_same_word(tokenizer):
    for name in ("pocket-qwen3", "pocket-llama"):
        for layer in build_backbone(name, tokenizer, 3).model.layers:
            query, key = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
            assert torch.equal(query, key) and query is not key


def test_unknown_backbone(tokenizer):
    with pytest.raises(ValueError, match="'pocket-gpt'.*pocket-qwen3.*pocket-llama"):
        build_backbone("pocket-gpt", tokenizer, 0)

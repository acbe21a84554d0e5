"""Which words drive the mode: planted worlds where it is known, splits that must not leak, and the
figures.
"""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from pdlib import modes
from pdlib.analysis import lexical
from pdlib.analysis.lexical import coefficients, features, groups, held_out, models
from pdlib.analysis.lexical import scores as scoring
from pdlib.dataset import personas
from pdlib.plots import lexical as figures
from pdlib.pocket.lexicon import persona_facts
from pdlib.pocket.world import World

JOBS = ("banker", "sailor", "chemist", "lawyer", "nurse", "coach")
STUDIED = ("bond", "pitch", "cast", "court", "cell", "key", "scale", "base")
HOBBIES = ("chess", "hiking", "painting", "reading", "knitting")


@pytest.fixture
def few_strengths(monkeypatch):
    monkeypatch.setattr(held_out, "STRENGTHS", (0.1, 1.0))


def world(decide, n: int = 240, asks: int = 3, seed: int = 0, questions=STUDIED) -> pd.DataFrame:
    """n personas with `asks` answers each; decide(job, studied word, hobby, question word, who,
    rng) -> P(personalised).

    The words of persona and question are drawn independently of each other; every persona has its
    own text.
    """
    rng, rows = np.random.default_rng(seed), []
    for who in range(n):
        job, word, hobby = (rng.choice(texts) for texts in (JOBS, STUDIED, HOBBIES))
        for k in range(asks):
            asked = rng.choice(questions)
            rows.append(
                {
                    "train_seed": 0,
                    "seed": 0,
                    "benchmark": "triviaqa",
                    "kind": "objective",
                    "item_id": f"{who}-{k}",
                    "condition": "unaligned",
                    "persona": f"{job} {word} {hobby} no{who}",
                    "question": f"what is {asked}? q{who}x{k}",
                    "personalized": rng.random() < decide(job, word, hobby, asked, who, rng),
                }
            )
    return pd.DataFrame(rows)


def score(table: pd.DataFrame, *parts: str, c: float = 1.0) -> dict:
    """AUC on held-out personas of a model with these features, with its interval."""
    labels, who = table.personalized.to_numpy(), pd.factorize(table.persona)[0]
    chances, fold, _ = held_out.out_of_fold(features.design(table, parts), labels, who, c=c)
    drawn = scoring.auc(chances, labels, fold, scoring.draw_personas(who, 400))
    return {
        "auc": drawn[0],
        "low": np.quantile(drawn[1:], 0.025),
        "high": np.quantile(drawn[1:], 0.975),
    }


# --- answers with their words ---


@pytest.fixture(scope="module")
def asked():
    drawn = World(0, "test")
    items = [
        item for name in ("triviaqa", "mmlu_pro", "fspo_roleplay") for item in drawn.items(name, 4)
    ]
    return items, [drawn.any_persona() for _ in range(9)]


def records(tokenizer, items, pool, **more) -> pd.DataFrame:
    """Free answers of every item under the three conditions."""
    rows = []
    for condition in personas.CONDITIONS:
        for at, item in enumerate(items):
            prompt = modes.render_prompt(tokenizer, item, personas.assign(item, condition, pool))
            rows.append(
                {
                    "run": "r",
                    "model": "m",
                    "train_seed": 0,
                    "seed": 0,
                    "turn": 1,
                    "benchmark": item.benchmark,
                    "kind": item.kind,
                    "item_id": item.id,
                    "condition": condition,
                    "forced": "none",
                    "prompt": prompt,
                    "mode": "personalized" if at % 2 else "general",
                }
                | more
            )
    return pd.DataFrame(rows)


def test_answers_carry_the_words_of_who_asked_what(asked, tokenizer):
    items, pool = asked
    table, left_out = lexical.answers(records(tokenizer, items, pool), items, pool)
    assert left_out == {"no persona": 12} and len(table) == 24
    for row in table.itertuples():
        item = next(item for item in items if item.id == row.item_id)
        assert row.persona == personas.assign(item, row.condition, pool).text
        assert row.question == "\n".join([item.question, *item.options])
        assert row.personalized == bool(items.index(item) % 2)


def test_what_is_no_free_answer_to_a_persona_is_counted(asked, tokenizer):
    items, pool = asked
    free = records(tokenizer, items, pool)
    parts = [
        free,
        free.assign(forced="general"),
        free.assign(turn=2),
        free[free.condition == "aligned"].assign(condition="swapped"),
        free[free.condition == "aligned"].assign(mode="none"),
    ]
    table, left_out = lexical.answers(pd.concat(parts), items, pool)
    assert len(table) == 24
    assert left_out == {
        "forced into a mode": 36,
        "a later turn": 36,
        "a counterfactual condition": 12,
        "no persona": 12,
        "named no mode": 12,
    }


def test_answers_to_others_are_refused(asked, tokenizer):
    items, pool = asked
    found = records(tokenizer, items, pool)
    with pytest.raises(ValueError, match="asked by somebody else"):
        lexical.answers(found, items, [World(5, "test").any_persona()])
    with pytest.raises(ValueError, match="answer 4 items that are not among the 8"):
        lexical.answers(found, items[:8], pool)
    with pytest.raises(ValueError, match="one run and model"):
        lexical.answers(pd.concat([found, found.assign(model="other")]), items, pool)


def test_prompts_alone_tell_the_same(asked, tokenizer, text_tokenizer):
    items, pool = asked
    for template in (tokenizer, text_tokenizer):
        found = records(template, items, pool)
        pd.testing.assert_frame_equal(
            lexical.answers_from_prompts(found)[0], lexical.answers(found, items, pool)[0]
        )
    with pytest.raises(ValueError, match="without 'I am"):
        lexical.answers_from_prompts(found.assign(prompt="what is bond?"))


def test_sample_draws_without_replacement_and_takes_all_there_are():
    table = world(lambda *_: 0.5, n=20)
    assert lexical.sample(table, 25).item_id.nunique() == 25
    assert sorted(lexical.sample(table, 2500).item_id) == sorted(table.item_id)
    assert list(lexical.sample(table, 25).item_id) != list(
        lexical.sample(table, 25, seed=1).item_id
    )


def test_too_little_is_said_in_words():
    table = world(lambda *_: 0.5, n=40)
    assert lexical.too_few(table) is None
    assert "0 of whom were answered in the general mode" in lexical.too_few(
        table.assign(personalized=True)
    )
    assert "0 free answers" in lexical.too_few(table.head(0))
    assert "no word stands in 60" in lexical.too_few(table, least=60)
    assert "hang together" in lexical.too_few(
        pd.concat([table] + [table.head(3)] * 12)
    )  # a persona with a quarter of the answers
    with pytest.raises(ValueError, match="at least 10 of each are needed; evaluate more"):
        lexical.words(table.head(9))


# --- groups ---


def test_pocket_groups_follow_the_lexicon():
    said = {
        "banker": "occupation",
        "engineer": "occupation",
        "bond": "interest",
        "dozen": "interest",
        "chess": "interest",
        "student": "demographic",
        "retired": "demographic",
        "poetic": "trait",
        "studies": "other",
        "who": "other",
    }
    stated = lexical.facts_by_word(persona_facts())
    assert {word: groups.FACT_GROUPS.get(stated.get(word), "other") for word in said} == said
    assert [word for word in said if stated.get(word) in groups.CAUSE_FACTS] == [
        "banker",
        "engineer",
        "bond",
        "dozen",
    ]


def test_every_word_of_a_pocket_persona_but_the_template_s_has_a_group():
    drawn = World(1, "test")
    texts = {word for _ in range(600) for word in groups.tokens(drawn.any_persona().text)}
    assert texts - lexical.facts_by_word(persona_facts()).keys() == {
        "who",
        "studies",
        "likes",
        "and",
        "wants",
    }


def test_text_groups_know_the_words_the_paper_names():
    for word in (
        "historian",
        "professor",
        "students",
        "mathematician",
        "nurse",
        "teachers",
        "policewoman",
    ):
        assert lexical.text_group(word) == "occupation", word
    said = {
        "mother": "demographic",
        "indian": "demographic",
        "years": "demographic",
        "curious": "trait",
        "football": "interest",
        "computer": "interest",
        "after": "other",
        "however": "other",
        "rather": "other",
        "river": "other",
        "class": "other",
    }
    assert {word: lexical.text_group(word) for word in said} == said


def test_a_listed_word_is_in_one_list_only():
    lists = groups._lists()
    assert set(lists) == {*lexical.GROUPS[:4], "not occupations"}
    words = [word for found in lists.values() for word in found]
    assert len(words) == len(set(words))


# --- planted worlds ---


def banker_decides(job, *_):
    return 0.99 if job == "banker" else 0.01


def test_a_word_that_decides_is_found():
    table = world(banker_decides)
    found = lexical.words(table, persona_facts(), draws=60, permutations=40)
    first, others = found.table.iloc[0], found.table.iloc[1:]
    assert (first.word, first.group, first.cause, first.verdict) == (
        "banker",
        "occupation",
        True,
        "beyond luck",
    )
    assert (
        1 < first.ci_low < first.coefficient - 0.05
        and first.ci_high > first.coefficient + 0.05
        and first.in_top == 1
    )
    assert first["count"] == table.persona.str.startswith("banker").sum() == 3 * first.personas
    assert others.coefficient.abs().max() < 0.4 * first.coefficient
    assert (
        found.auc["ci_low"] > 0.9
        and found.auc["chance_high"] < 0.65
        and found.auc["p"] == pytest.approx(1 / 41)
    )


def test_where_nothing_decides_nothing_is_found():
    table = world(lambda *_: 0.5)
    found = lexical.words(table, top=8, draws=60, permutations=60)
    assert found.auc["ci_low"] < 0.5 < found.auc["ci_high"]
    assert (
        found.auc["chance_low"] <= found.auc["mean"] <= found.auc["chance_high"]
        and found.auc["p"] > 0.05
    )
    assert not (found.table.verdict == "beyond luck").any()
    assert set(lexical.shares(found).verdict) == {"as by chance"}


def test_a_persona_that_decides_by_chance_is_no_finding(few_strengths):
    """Answers to one persona agree, for no reason in its words: six answers of each are no six
    facts.
    """
    lot = np.random.default_rng(1).random(1000) < 0.5
    table = world(
        lambda job, word, hobby, asked, who, rng: 0.98 if lot[who] else 0.02, n=120, asks=6
    )
    found = lexical.words(table, draws=20, permutations=40)
    assert found.auc["ci_low"] < 0.5 < found.auc["ci_high"] and found.auc["p"] > 0.05
    assert not (found.table.verdict == "beyond luck").any()
    rows = table.assign(
        persona=[f"{text} {k}" for k, text in enumerate(table.persona)]
    )  # each answer as if of somebody else
    naive = lexical.words(rows, draws=20, permutations=40)
    assert (
        naive.table.verdict == "beyond luck"
    ).any()  # what counting records as independent would have found


def test_no_persona_lies_on_both_sides():
    """A persona's own words predict its mode perfectly once it has been met: a split by rows scores
    memory.
    """
    rng = np.random.default_rng(3)
    lot, marks = (
        rng.random(1000) < 0.5,
        [" ".join(f"m{k}" for k in rng.choice(60, 8, replace=False)) for _ in range(1000)],
    )
    table = world(lambda job, word, hobby, asked, who, rng: float(lot[who]), n=80, asks=8)
    table["persona"] = [marks[int(text.rpartition("no")[2])] for text in table.persona]
    matrix, labels, who = (
        features.design(table, ["persona"]),
        table.personalized.to_numpy(),
        pd.factorize(table.persona)[0],
    )
    rows = np.arange(len(table))
    chances, fold, _ = held_out.out_of_fold(
        matrix, labels, rows, c=3.0
    )  # as if each row were another persona
    assert scoring.auc(chances, labels, fold, np.ones((1, len(rows))))[0] > 0.95
    with pytest.raises(ValueError, match="80 personas lie on both sides"):
        held_out.out_of_fold(matrix, labels, who, groups=rows, c=3.0)
    assert held_out.choose(matrix, labels, who) < 0.1 < 1 <= held_out.choose(matrix, labels, rows)
    apart = score(table, "persona", c=3.0)
    assert apart["low"] < 0.5 < apart["high"]


def test_shared_words_are_found_by_their_feature_alone():
    table = world(lambda job, word, hobby, asked, who, rng: 0.99 if word == asked else 0.01, n=300)
    both, shared = (
        score(table, "persona", "question"),
        score(table, "persona", "question", "shared"),
    )
    assert shared["low"] > 0.9 and both["low"] < 0.5 < both["high"]
    assert score(table, "shared")["low"] > 0.9


def test_shared_words_by_hand():
    table = pd.DataFrame(
        {
            "persona": ["a banker who likes the Note", "a sailor", "a note banker"],
            "question": ["who is the note?", "what is a knot?", "is a note for a banker?"],
        }
    )
    shared = features.design(table, ["shared"]).toarray()
    np.testing.assert_allclose(
        shared, [[1, np.log(2)], [0, 0], [1, np.log(3)]]
    )  # who and the do not count
    crosses = features.design(table.head(1), ["crosses"])
    assert crosses.nnz == 3  # banker, likes and note, each with note


def test_a_pair_of_unlike_words_is_found_by_crosses_alone():
    def odd(job, word, hobby, asked, who, rng):
        return 0.95 if (job in JOBS[:3]) != (asked == "wine") else 0.05

    table = world(odd, n=300, questions=("wine", "tea"))
    both, shared = (
        score(table, "persona", "question"),
        score(table, "persona", "question", "shared"),
    )
    assert score(table, "persona", "question", "shared", "crosses")["low"] > 0.85
    assert (
        both["high"] < 0.65 and shared["high"] < 0.65
    )  # a little above 0.5: the draws are not quite balanced


def test_where_the_question_decides_the_persona_gains_nothing(few_strengths, monkeypatch):
    table = world(
        lambda job, word, hobby, asked, who, rng: 0.9 if asked in STUDIED[:4] else 0.1, n=150
    )
    table["kind"] = np.where(table.question.str.contains("bond|pitch"), "personalized", "objective")
    scores, chances = lexical.compare(table, draws=200)
    assert (
        list(scores.columns) == models.SCORES
        and list(chances) == list(lexical.MODELS)
        and len(chances) == len(table)
    )
    of = scores[(scores.apart == lexical.APART[0]) & (scores.scope == "all")].set_index("model")
    assert of.ci_low["persona words"] < 0.5 < of.ci_high["persona words"]
    assert of.ci_low["question words"] > 0.8 and of.gain["question words"] == 0
    assert of.gain_ci_low["both"] <= 0 or of.gain["both"] < 0.02
    assert of.gain_ci_high["persona words"] < 0
    assert of.brier["question words"] < 0.6 * of.base["question words"]
    assert set(scores.scope) == {"all", "objective", "personalized"} and (scores.note == "").all()
    monkeypatch.setattr(
        models,
        "MODELS",
        {name: lexical.MODELS[name] for name in ("persona words", "question words")},
    )
    always = lexical.compare(
        table.assign(personalized=table.personalized | (table.kind == "personalized")), draws=20
    )[0]
    assert (
        set(always[always.scope == "personalized"].note) == {"one mode only"}
        and always[always.scope == "all"].auc.notna().all()
    )
    objective = scores[(scores.scope == "objective") & (scores.model == "both")]
    assert set(objective.n) == {int((table.kind == "objective").sum())}


# --- splits and scores ---


def test_what_hangs_together_stays_together():
    table = pd.DataFrame(
        {"persona": ["a", "a", "b", "c", "d"], "question": ["1", "2", "2", "3", "4"]}
    )
    by_persona, by_both = (held_out.together(table, apart) for apart in lexical.APART)
    assert list(by_persona) == [0, 0, 1, 2, 3]
    assert list(by_both) == [0, 0, 0, 1, 2]


def test_one_knot_of_questions_is_noted_not_scored(few_strengths):
    table = world(banker_decides, n=60, asks=1).assign(question="what is bond?")
    scores, _ = lexical.compare(table, draws=20)
    apart, knot = (scores[scores.apart == apart] for apart in lexical.APART)
    assert apart.auc.notna().all()
    assert knot.auc.isna().all()
    assert set(knot.note) == {
        "100% of the answers hang together by a shared persona or question: nothing to split"
    }
    with pytest.raises(ValueError, match="a mode was chosen in 0 separate groups"):
        lexical.compare(table.assign(personalized=False), draws=20)


def test_auc_compares_within_a_fold():
    chances, labels = (
        np.array([0.9, 0.8, 0.3, 0.2, 0.2]),
        np.array([True, False, True, False, True]),
    )
    one = np.ones((1, 5))
    # pairs of fold 0: 0.9 > 0.8; of fold 1: 0.3 > 0.2, 0.2 = 0.2
    assert scoring.auc(chances, labels, np.array([0, 0, 1, 1, 1]), one)[0] == pytest.approx(
        (1 + 1 + 0.5) / 3
    )
    # pooled: 0.9 > 0.8, 0.9 > 0.2, 0.3 < 0.8, 0.3 > 0.2, 0.2 < 0.8, 0.2 = 0.2
    assert scoring.auc(chances, labels, np.zeros(5), one)[0] == pytest.approx(3.5 / 6)
    assert np.isnan(scoring.auc(chances, labels, np.array([0, 1, 2, 3, 4]), one)[0])
    weight = np.array([[2.0, 1, 1, 0, 1]])  # pairs of fold 0 twice; no general answer in fold 1
    assert scoring.auc(chances, labels, np.array([0, 0, 1, 1, 1]), weight)[0] == 1


def test_repeating_answers_does_not_narrow_an_interval():
    table = world(lambda job, *_: 0.7 if job in JOBS[:3] else 0.3, n=60)
    many = pd.concat([table] * 5, ignore_index=True)
    found = []
    for part in (table, many):
        who, labels = pd.factorize(part.persona)[0], part.personalized.to_numpy()
        chances = part.persona.str.startswith(JOBS[:3]).to_numpy(float)
        found.append(scoring.auc(chances, labels, who % 5, scoring.draw_personas(who, 50)))
    np.testing.assert_allclose(found[0], found[1])


def test_personas_are_drawn_whole():
    who = np.array([0, 0, 1, 2, 2, 2])
    drawn = scoring.draw_personas(who, 50)
    assert (drawn[0] == 1).all() and drawn.shape == (51, 6)
    assert (drawn[:, 0] == drawn[:, 1]).all() and (drawn[:, 3] == drawn[:, 5]).all()
    assert (drawn[:, [0, 2, 3]].sum(axis=1) == 3).all() and len(np.unique(drawn, axis=0)) > 5


def test_reliability_by_hand():
    chances = np.repeat([0.2, 0.7], [50, 50])
    table = pd.DataFrame(
        {
            "persona": [f"p{k // 2}" for k in range(100)],
            "personalized": [k % 5 == 0 for k in range(50)] + [True] * 50,
        }
    )
    found = lexical.reliability(table, chances, bins=2, draws=200)
    assert list(found.predicted.round(9)) == [0.2, 0.7] and list(found.observed) == [0.2, 1.0]
    assert list(found.n) == [50, 50] and list(found.personas) == [25, 25]
    assert found.ci_low[0] < 0.2 < found.ci_high[0] and found.ci_low[1] == found.ci_high[1] == 1


# --- shares and baselines ---


def test_texts_are_shuffled_within_their_blocks():
    table = pd.DataFrame({"persona": list("aabbccdd"), "condition": ["x"] * 4 + ["y"] * 4})
    free, within = (lexical.shuffles(table, 200, by) for by in ((), ("condition",)))
    assert all(sorted(row) == [0, 1, 2, 3] for row in [*free, *within])
    assert {tuple(sorted(row[:2])) for row in within} == {(0, 1)} and len(
        {tuple(row) for row in within}
    ) == 4
    assert len({tuple(row) for row in free}) == 24


def test_shuffling_within_blocks_takes_the_block_out():
    """Bankers are asked about as aligned, where the mode is personalised for another reason: luck
    within blocks is as good.
    """
    table = world(lambda job, *_: 0.5, n=200, asks=2)
    banker = table.persona.str.contains("banker|sailor|chemist")
    rng = np.random.default_rng(0)
    table["condition"] = np.where(banker, "aligned", "unaligned")
    table["personalized"] = np.where(
        banker, rng.random(len(table)) < 0.9, rng.random(len(table)) < 0.1
    )
    free, within = (
        lexical.words(table, draws=5, permutations=20, within=by) for by in ((), ("condition",))
    )
    assert free.auc["p"] < 0.05 and free.auc["chance_high"] < 0.7
    assert within.auc["chance_low"] > 0.85 and within.auc["mean"] == free.auc["mean"]


def made(drawn, permuted, top: int = 2) -> coefficients.Words:
    """Four words, of which the first two, an occupation and a hobby, are in the top."""
    table = pd.DataFrame(
        {
            "word": ["banker", "chess", "poetic", "bond"],
            "group": ["occupation", "interest", "trait", "interest"],
            "cause": [True, False, False, True],
            "coefficient": [2.0, -1.5, 0.5, 0.1],
        }
    )
    return coefficients.Words(table, np.array(drawn), np.array(permuted), 1.0, {}, 1.0, 9, 9, top)


def test_drawn_shares_by_hand():
    found = lexical.drawn_shares(made([[2, 1, 0, 0], [2, 0, 0, -1], [0, 0, 3, 1]], [[0, 0, 0, 0]]))
    assert list(found.columns) == list(lexical.GROUPS) and found.occupation.tolist() == [
        0.5,
        0.5,
        0.5,
        0,
    ]
    assert found.interest.tolist() == [0.5, 0.5, 0.5, 0.5] and found.trait.tolist() == [
        0,
        0,
        0,
        0.5,
    ]


def test_shares_by_hand():
    permuted = [[0, 0, 3, 2]] * 30 + [[0, 0, -3, 0.1]] * 10  # trait and bond are in the top by luck
    found = lexical.shares(made([[2, 1, 0, 0], [2, 0, 0, -1]], permuted)).set_index("group")
    assert found["share"].to_dict() == {
        "occupation": 0.5,
        "interest": 0.5,
        "demographic": 0,
        "trait": 0,
        "other": 0,
        lexical.CAUSE: 0.5,
    }
    assert (
        found.vocabulary[lexical.CAUSE] == 0.5
        and found.vocabulary["interest"] == 0.5
        and found.in_top["occupation"] == 1
    )
    assert (found.chance["occupation"], found.chance["trait"], found.chance["interest"]) == (
        0,
        0.5,
        0.5,
    )
    assert found.verdict.to_dict() == {
        "occupation": "more than by chance",
        "interest": "as by chance",
        "demographic": "as by chance",
        "trait": "fewer than by chance",
        "other": "as by chance",
        lexical.CAUSE: "as by chance",
    }
    assert found.p["occupation"] == pytest.approx(2 / 41) and found.p["interest"] == 1
    assert (found.ci_low["occupation"], found.ci_high["occupation"]) == (0.5, 0.5)
    assert lexical.in_words(found.reset_index().iloc[0]) == (
        "occupation: 1 of the top 2 words, 50% (50% to 50%); "
        "with personas shuffled 0% (0% to 0%): more than by chance."
    )
    assert set(lexical.shares(made([[2, 1, 0, 0]] * 2, permuted, top=4)).verdict) == {
        "every word is in the top"
    }


def test_the_cause_in_the_top_is_held_against_luck():
    """Occupations decide: more of them are in the top than luck puts there, although most words of
    the model are of the cause.
    """
    likely = dict(zip(JOBS, (0.95, 0.95, 0.95, 0.05, 0.05, 0.05), strict=True))
    found = lexical.shares(
        lexical.words(
            world(lambda job, *_: likely[job]), persona_facts(), top=6, draws=40, permutations=40
        )
    ).set_index("group")
    assert found.in_top["occupation"] == 6 and found.verdict["occupation"] == "more than by chance"
    assert found.vocabulary[lexical.CAUSE] > 0.7 and found.chance[lexical.CAUSE] > 0.6
    assert found.ci_low["occupation"] > found.chance["occupation"]


def test_one_word_by_hand():
    table = pd.DataFrame(
        {
            "persona": ["a banker", "a Banker too", "a sailor", "a bank", "a nurse"],
            "kind": "objective",
            "condition": ["aligned"] * 4 + ["unaligned"],
            "personalized": [True, False, False, False, True],
        }
    )
    found = lexical.with_word(table, "banker", draws=50)
    assert list(found.condition) == ["aligned"]  # no banker among the unaligned
    row = found.iloc[0]
    assert (row["with"], row.without, row["difference"], row.n_with, row.n_without) == (
        0.5,
        0,
        0.5,
        2,
        2,
    )
    assert row.ci_low <= 0.5 <= row.ci_high
    with pytest.raises(ValueError, match="no persona has the word 'judge'"):
        lexical.with_word(table, "judge")


def test_words_of_a_text_world_have_no_known_cause():
    found = lexical.words(world(banker_decides, n=80), draws=10, permutations=10)
    assert "cause" not in found.table and lexical.CAUSE not in set(lexical.shares(found).group)
    assert found.table.set_index("word").group["banker"] == "occupation"
    with pytest.raises(ValueError, match=r"unknown facts \['name'\]"):
        lexical.facts_by_word({"name": ["Ann"]})


# --- figures ---


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_figure_of_words_shows_the_top_by_group():
    table = world(banker_decides, n=120)
    found = lexical.words(table, persona_facts(), top=6, draws=20, permutations=20)
    axis = figures.lexical_words(found).axes[0]
    labels = {label.get_text(): label.get_fontweight() for label in axis.get_yticklabels()}
    part = found.table.head(6).set_index("word")
    assert set(labels) == set(part.index) and {
        word for word, weight in labels.items() if weight == "bold"
    } == set(part[part.cause].index)
    bars = sorted(bar.get_width() for container in axis.containers for bar in container)
    assert bars == pytest.approx(sorted(part.coefficient))


def test_figure_of_models_needs_scores(few_strengths):
    scores, chances = lexical.compare(world(banker_decides, n=60, asks=1), draws=20)
    assert len(figures.lexical_models(scores).axes) == 1  # one kind of questions
    with pytest.raises(ValueError, match="no model has an AUC"):
        figures.lexical_models(scores.assign(auc=np.nan))
    table = lexical.reliability(
        world(banker_decides, n=60, asks=1), chances["both"], bins=4, draws=20
    )
    assert len(figures.lexical_reliability({"both": table, "again": table}).axes) == 2

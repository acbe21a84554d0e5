"""Training items that are a benchmark's question are left out; others are not."""

import random
import time
from collections import Counter

import pytest

from pdlib import benchmarks
from pdlib.pocket.world import World
from pdlib.questions import leaks, preferences, sources
from pdlib.schema import Item, Persona

QUESTION = "Which small rodent lives almost exclusively in the Andes?"


def text(question: str, /, benchmark="triviaqa", identity="b", gold="x", **facts) -> Item:
    return Item(identity, benchmark, "objective", "text", question, gold, facts=facts)


def choice(question: str, gold: str, other: str, benchmark="mmlu_pro", identity="c") -> Item:
    return Item(identity, benchmark, "objective", "choice", question, gold, (gold, other))


def preference(
    question: str,
    better: str,
    worse: str,
    persona="a nurse",
    benchmark="fspo_roleplay",
    identity="p",
) -> Item:
    return Item(
        identity,
        benchmark,
        "personalized",
        "choice",
        preferences.pairwise(question),
        better,
        (worse, better),
        aligned=Persona(persona),
        facts={"question": question},
    )


def reasons(training: Item, *known: Item) -> dict[str, int]:
    remaining, removed = leaks.remove([training], known)
    assert len(remaining) == 1 - sum(removed.values())
    return removed


@pytest.mark.parametrize(
    "asked",
    [
        QUESTION,
        QUESTION.upper(),
        "which small rodent lives almost exclusively in Andes",
        f"Trivia question: {QUESTION}\nAnd the answer is?",
        f"Answer this:\n\n{QUESTION[:-1]}??",
    ],
)
def test_the_same_question_within_a_template(asked):
    assert set(reasons(text(asked, "flan", "t"), text(QUESTION))) <= {
        "triviaqa: same text",
        "triviaqa: text within a longer one",
    }
    assert reasons(text(asked, "flan", "t"), text(QUESTION))


@pytest.mark.parametrize(
    "asked",
    [
        "Which small rodent lives almost exclusively in the Alps?",
        "Which small rodent lives in the Andes?",
        QUESTION.replace("Which", "Sandwich"),
        QUESTION.replace("Andes", "Andesite"),
        "",
        "the",
    ],
)
def test_another_question(asked):
    assert reasons(text(asked or "?", "flan", "t"), text(QUESTION)) == {}


def test_a_short_question_must_be_the_whole_text():
    known = text("Who wrote Emma?")
    assert reasons(text("who wrote emma", "flan", "t"), known) == {"triviaqa: same text": 1}
    assert reasons(text("I wonder who wrote Emma?", "flan", "t"), known) == {}


def test_a_common_stem_is_a_leak_only_with_the_right_option():
    known = choice("Which of the following is true?", "water is wet", "fire is wet")
    assert (
        reasons(
            choice("Which of the following is true?", "it rains", "it pours", "flan", "t"), known
        )
        == {}
    )
    assert reasons(
        choice("Q: which of the following is true?", "Water is wet.", "no", "flan", "t"), known
    ) == {"mmlu_pro: text within a longer one": 1}
    long = choice(
        "Which of the following rodents lives almost exclusively in the high Andes of Peru?",
        "chinchilla",
        "degu",
    )
    assert reasons(choice(long.question, "mouse", "rat", "flan", "t"), long) == {
        "mmlu_pro: same text": 1
    }


def test_pubmedqa_by_pmid_and_by_bare_question():
    known = text(
        "Aim: ...\n\nDoes patella position influence ligament balancing?\nAnswer yes, no or maybe.",
        "pubmedqa",
        question="Does patella position influence ligament balancing?",
        pmid=24519615,
    )
    assert reasons(text("Something else entirely?", "ultramedical", "t", pmid=24519615), known) == {
        "pubmedqa: same PMID": 1
    }
    assert reasons(
        text(
            "Context: other words.\nDoes patella position influence ligament balancing?",
            "ultramedical",
            "t",
            pmid=1,
        ),
        known,
    ) == {"pubmedqa: text within a longer one": 1}
    assert reasons(text("Something else entirely?", "ultramedical", "t", pmid=2), known) == {}
    assert (
        reasons(text("Something else entirely?", "ultramedical", "t"), known, text("Other?")) == {}
    )  # no PMID is no PMID in common


def test_preference_items_by_prompt_and_by_answers():
    known = preference("What shall I eat?", "Cook some rice with fresh herbs.", "Order it.")
    assert reasons(
        preference("What shall I eat?", "a", "b", benchmark="alignx", identity="t"), known
    ) == {"fspo_roleplay: same text": 1}
    assert reasons(
        preference(
            "And now?", "x", "cook some rice with fresh herbs", benchmark="alignx", identity="t"
        ),
        known,
    ) == {"fspo_roleplay: same text": 1}
    assert (
        reasons(preference("And now?", "Order it.", "b", benchmark="alignx", identity="t"), known)
        == {}
    )  # too short to tell
    assert (
        reasons(preference("Which now?", "a", "b", benchmark="alignx", identity="t"), known) == {}
    )  # PAIRWISE is in all of them


def test_same_id():
    assert reasons(text("Anything?", "flan", "b"), text(QUESTION)) == {"triviaqa: same id": 1}


@pytest.mark.parametrize("name", ["pubmedqa", "triviaqa", "mmlu_pro", "supergpqa", "math500"])
def test_every_real_benchmark_row_is_found_in_a_template(shared_data, name):
    known = benchmarks.load(name, shared_data)
    asked = [
        Item(
            f"t{i}",
            "flan",
            "objective",
            item.answer_type,
            f"Question: {leaks.bare(item)}\nAnswer:",
            item.gold,
            item.options,
        )
        for i, item in enumerate(known)
    ]
    kept, found = leaks.remove(asked, known)
    short = [
        item
        for item, origin in zip(asked, known, strict=True)
        if len(leaks.normalize(leaks.bare(origin)).split()) < leaks.WORDS
    ]
    assert (
        kept == short
        and len(short) <= 2
        and found == {f"{name}: text within a longer one": 60 - len(short)}
    )


def test_the_slices_do_not_leak_into_each_other(shared_data):
    known = [
        item
        for name in ("pubmedqa", "triviaqa", "mmlu_pro", "supergpqa", "math500")
        for item in benchmarks.load(name, shared_data)
    ]
    for source, n in (("ultramedical", 15), ("flan", 58)):
        items = sources.training(source, shared_data)[0]
        assert leaks.remove(items, known) == (items, {}) and len(items) == n
        planted = text(items[-1].question, "triviaqa", gold=items[-1].gold)
        assert Counter(leaks.remove(items, [*known, planted])[1]) == {"triviaqa: same text": 1}


def test_time_does_not_grow_with_items_times_questions():
    rng, words = random.Random(0), [f"w{i}" for i in range(3000)]
    known = [text(" ".join(rng.choices(words, k=12)), identity=f"b{i}") for i in range(4000)]
    asked = [text(" ".join(rng.choices(words, k=60)), "flan", f"t{i}") for i in range(4000)]
    asked[7] = text(f"{asked[7].question} {known[3].question} w1", "flan", "t7")
    start = time.perf_counter()
    kept, found = leaks.remove(asked, known)
    assert found == {"triviaqa: text within a longer one": 1} and asked[7] not in kept
    assert time.perf_counter() - start < 5, (
        "16 million pairs compared one by one would take far longer"
    )


def test_disjoint():
    a, b = text("Who wrote Emma?", identity="1"), text("who wrote EMMA", identity="2")
    assert leaks.overlap([a], [b]) == {"who wrote emma"} and leaks.overlap(
        [a], [text("Why?", identity="1")]
    ) == {"1"}
    assert leaks.overlap([a], [text("Who wrote Persuasion?", identity="2")]) == set()
    p = preference("Eat?", "x", "y", "a nurse", identity="1")
    assert leaks.overlap(
        [p], [preference("Eat?", "y", "x", "a nurse", identity="2")]
    )  # the same two answers, the same asker
    assert leaks.overlap([p], [preference("Eat?", "x", "y", "a miner", identity="2")]) == set()
    assert leaks.overlap([text("?", identity="1")], [text("!", identity="2")]) == set()


def test_the_pocket_splits_are_disjoint():
    train, held_out = World(1, "train"), World(3, "validation")
    assert (
        leaks.overlap(
            [train.item(n) for n in benchmarks.KIND for _ in range(300)],
            [held_out.item(n) for n in benchmarks.KIND for _ in range(100)],
        )
        == set()
    )

"""Loading and grading the benchmarks, and which persona asks."""

import json

import pytest

from pdlib import benchmarks, modes, personas
from pdlib.pocket.world import World, lexicon
from pdlib.schema import Item, Persona


def choice(*options: str, gold: str) -> Item:
    return Item("c", "mmlu_pro", "objective", "choice", "which?", gold, options)


def free(gold: str, answer_type: str = "text", aliases=()) -> Item:
    return Item("f", "triviaqa", "objective", answer_type, "what?", gold, aliases=aliases)


def right(item: Item, answer: str) -> bool:
    return benchmarks.grade(item, answer)[0]


# --- load ---

def test_the_seven_benchmarks():
    assert benchmarks.KIND == {
        "pubmedqa": "objective", "triviaqa": "objective", "mmlu_pro": "objective", "supergpqa": "objective",
        "math500": "objective", "personafeedback": "personalized", "fspo_roleplay": "personalized",
    }


@pytest.mark.parametrize("name", benchmarks.KIND)
def test_load_pocket(name):
    items = benchmarks.load(name, n=5, seed=3)
    assert len(items) == 5
    assert {(item.benchmark, item.kind) for item in items} == {(name, benchmarks.KIND[name])}
    assert benchmarks.load(name, n=5, seed=3) == items
    assert benchmarks.load(name, n=5, seed=4) != items


def test_load_passes_split_and_world_settings_on():
    items = benchmarks.load("triviaqa", n=20, split="train", cue_share=0.0)
    assert all("-train-" in item.id and item.facts["cue"] is None for item in items)


@pytest.mark.parametrize("name, options, found", [
    ("trivia", {"n": 5}, "'trivia'.*triviaqa"),
    ("triviaqa", {"n": 0}, "at least 1.*0"),
    ("triviaqa", {"n": -1}, "at least 1.*-1"),
    ("triviaqa", {}, "with n"),
    ("triviaqa", {"n": 5, "split": "dev"}, "'dev'.*train"),
])
def test_load_refuses(name, options, found):
    with pytest.raises(ValueError, match=found):
        benchmarks.load(name, **options)


def test_load_refuses_more_rows_than_there_are(tmp_path):
    rows = [{"question": f"q{i}?", "answer": {"value": "yes", "aliases": []}} for i in range(3)]
    (tmp_path / "triviaqa.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert len(benchmarks.load("triviaqa", data_dir=tmp_path)) == len(benchmarks.load("triviaqa", data_dir=tmp_path, n=3)) == 3
    with pytest.raises(ValueError, match="4 items asked for, 3 found"):
        benchmarks.load("triviaqa", data_dir=tmp_path, n=4)
    with pytest.raises(ValueError, match="at least 1"):
        benchmarks.load("triviaqa", data_dir=tmp_path, n=0)


# --- grade: choices ---

LOAN = choice("glue between atoms", "a tradable loan", "bail guarantee", gold="a tradable loan")


@pytest.mark.parametrize("answer", ["B", "b", "(B)", "B)", "B.", "B:", " B ", "a tradable loan", "Tradable loan.", "B) a tradable loan",
                                    "(B) tradable loan", "B. a tradable loan"])
def test_choice_right(answer):
    assert right(LOAN, answer)


@pytest.mark.parametrize("answer", ["A", "(C)", "J", "glue between atoms", "C) bail guarantee", "A) glue between atoms", "loan", "tradable",
                                    "A or B", "AB", "B C", "", "?", "none of these", "a tradable loan or bail guarantee"])
def test_choice_wrong(answer):
    assert not right(LOAN, answer)


def test_letter_and_text_that_disagree_are_wrong():
    assert not right(LOAN, "A) a tradable loan")


@pytest.mark.parametrize("options", [("E. coli", "S. aureus"), ("C: Drive", "D: Drive"), ("A) and B)", "neither")])
def test_options_that_look_like_letters(options):
    for gold, other in (options, options[::-1]):
        item = choice(*options, gold=gold)
        assert right(item, gold)
        assert not right(item, other)


@pytest.mark.parametrize("options", [("5", "-5"), ("x + 1", "x - 1"), ("a < b", "a > b"), ("10%", "$10"), ("+", "-")])
def test_options_that_differ_in_signs_only(options):
    for gold, other in (options, options[::-1]):
        item = choice("something else", *options, gold=gold)
        assert right(item, gold)
        assert not right(item, other)


@pytest.mark.parametrize("file", ["mmlu-pro.jsonl", "supergpqa.jsonl"])
def test_no_wrong_option_of_the_real_rows_is_right(shared_data, file):
    rows = [json.loads(line) for line in (shared_data / file).read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 60
    faults = []
    for row in rows:
        gold = "ABCDEFGHIJ".index(row.get("answer_letter") or row["answer"])
        item = choice(*row["options"], gold=row["options"][gold])
        for index, option in enumerate(row["options"]):
            letter = modes.LETTERS[index]
            faults += [(option, row["options"][gold]) for answer in (option, letter, f"{letter}) {option}")
                       if right(item, answer) != (index == gold)]
    assert faults == []


# --- grade: text, labels, mathematics ---

@pytest.mark.parametrize("given, expected", [
    ("The Ape-Man!", "ape man"), ("  A   loan ", "loan"), ("an apple", "apple"), ("theatre", "theatre"), ("snake_case", "snake case"),
    ("O’Neill", "o neill"), ("“quoted”", "“quoted”"), ("Ünïcode", "ünïcode"), ("", ""),
])
def test_normalize(given, expected):
    assert benchmarks.normalize(given) == expected


def test_text_aliases_count():
    item = free("Jane Austen", aliases=("J. Austen", "Austen"))
    assert all(right(item, a) for a in ("jane austen", "The Austen", "J Austen!", " Austen "))
    assert not any(right(item, a) for a in ("Jane", "Austen, Jane", "Jane Austen and Emma", "", "Bronte"))


@pytest.mark.parametrize("gold, answer, expected", [
    ("yes", "Yes.", True), ("yes", "yes", True), ("yes", "no", False), ("no", "not", False), ("maybe", "yes or no", False), ("no", "", False),
])
def test_labels(gold, answer, expected):
    assert right(free(gold, "label"), answer) is expected


@pytest.mark.parametrize("gold, answer, expected", [
    ("1/2", "0.5", True), ("0.5", "\\frac{1}{2}", True), ("\\frac{3}{4}", "3/4", True), ("2\\sqrt{2}", "\\sqrt{8}", True),
    ("x^2+1", "1+x^2", True), ("1000", "1,000", True), ("(1, 2)", "(1,2)", True), ("75", "$75$", True), ("75", "75", True),
    ("1/2", "2", False), ("0.5", "0.05", False), ("3", "-3", False), ("(1, 2)", "(2, 1)", False), ("x^2+1", "x^2-1", False),
    ("75", "57", False), ("75", "75 or 76", False), ("75", "many", False), ("75", "", False),
])
def test_math(gold, answer, expected):
    assert right(free(gold, "math"), answer) is expected


# --- grade: gold right, anything else wrong, on the pocket twins ---

def wrong_answers(item: Item) -> list[str]:
    if item.options:
        others = [i for i, text in enumerate(item.options) if text != item.gold]
        return [item.options[i] for i in others] + [modes.LETTERS[i] for i in others]
    if item.answer_type == "label":
        return [label for label in ("yes", "no", "maybe") if label != item.gold]
    if item.answer_type == "math":
        return [str(int(item.gold) + 1), f"-{item.gold}", f"{item.gold}0"]
    senses = lexicon().words[item.facts["word"]]
    return [gloss for field, glosses in senses.items() if field != item.facts["field"] for gloss in glosses]


@pytest.mark.parametrize("name", benchmarks.KIND)
def test_pocket_gold_is_right_and_changes_are_wrong(name):
    for item in benchmarks.load(name, n=50):
        letters = [modes.LETTERS[item.options.index(item.gold)]] if item.options else []
        assert [a for a in (item.gold, *item.aliases, *letters) if not right(item, a)] == []
        wrong = wrong_answers(item)
        assert wrong
        assert [a for a in (*wrong, "nonsense", f"not {item.gold}", "") if right(item, a)] == []


# --- personas ---

OWN = Persona("a banker")
ITEM = Item("i1", "triviaqa", "objective", "text", "what is bond?", "loan", aligned=OWN)
POOL = [Persona(f"a person number {i}") for i in range(9)] + [OWN]


def test_no_persona():
    assert personas.assign(ITEM, "none", POOL) is None


def test_aligned_is_the_own_one():
    assert personas.assign(ITEM, "aligned", POOL) is OWN


def test_unaligned_is_never_the_own_one():
    items = [Item(f"i{i}", "triviaqa", "objective", "text", "?", "loan", aligned=POOL[i % 10]) for i in range(300)]
    drawn = [personas.assign(item, "unaligned", POOL) for item in items]
    assert all(persona in POOL for persona in drawn)
    assert [i for i, p in zip(items, drawn) if p.text == i.aligned.text] == []
    assert len({persona.text for persona in drawn}) == 10  # the whole pool is used


def test_unaligned_depends_on_the_item_alone():
    alone = personas.assign(ITEM, "unaligned", POOL)
    for _ in range(3):
        personas.assign(Item("other", "triviaqa", "objective", "text", "?", "loan"), "unaligned", POOL)
        assert personas.assign(ITEM, "unaligned", POOL) is alone


def test_unaligned_needs_no_own_persona():
    assert personas.assign(Item("i", "triviaqa", "objective", "text", "?", "loan"), "unaligned", POOL) in POOL


def test_another_object_with_the_own_text_is_still_the_own_one():
    with pytest.raises(ValueError, match="'i1'.*larger pool"):
        personas.assign(ITEM, "unaligned", [Persona("a banker", {"field": "finance"})])


@pytest.mark.parametrize("item, condition, pool, found", [
    (Item("i", "triviaqa", "objective", "text", "?", "loan"), "aligned", POOL, "'i'.*no aligned persona"),
    (ITEM, "unaligned", [], "larger pool"),
    (ITEM, "unaligned", [OWN], "larger pool"),
    (ITEM, "alligned", POOL, "'alligned'.*none.*unaligned.*aligned"),
])
def test_assign_refuses(item, condition, pool, found):
    with pytest.raises(ValueError, match=found):
        personas.assign(item, condition, pool)


def test_the_question_is_the_same_under_every_condition():
    world = World(1, "test")
    pool = [world.any_persona() for _ in range(20)]
    for name in benchmarks.KIND:
        before = benchmarks.load(name, n=10)
        for item in before:
            turns = {c: modes.user_message(item, personas.assign(item, c, pool)) for c in personas.CONDITIONS}
            assert turns["unaligned"] != turns["aligned"]
            assert all(turn.split(", my question is:\n")[-1] == turns["none"] for turn in turns.values())
        assert benchmarks.load(name, n=10) == before

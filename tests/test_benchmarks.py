"""Loading and grading the benchmarks, and which persona asks."""

import json
import random
from collections import Counter

import pytest

from pdlib import benchmarks, modes, paper
from pdlib.dataset import personas
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.world import World
from pdlib.questions import grading, sources
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
        "pubmedqa": "objective",
        "triviaqa": "objective",
        "mmlu_pro": "objective",
        "supergpqa": "objective",
        "math500": "objective",
        "personafeedback": "personalized",
        "fspo_roleplay": "personalized",
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


@pytest.mark.parametrize(
    "name, options, found",
    [
        ("trivia", {"n": 5}, "'trivia'.*triviaqa"),
        ("triviaqa", {"n": 0}, "at least 1.*0"),
        ("triviaqa", {"n": -1}, "at least 1.*-1"),
        ("triviaqa", {}, "with n"),
        ("triviaqa", {"n": "all"}, "with n"),
        ("triviaqa", {"n": "many"}, "at least 1.*'many'"),
        ("triviaqa", {"data_dir": "pocket"}, "with n"),
        ("triviaqa", {"n": 5, "split": "dev"}, "'dev'.*train"),
    ],
)
def test_load_refuses(name, options, found):
    with pytest.raises(ValueError, match=found):
        benchmarks.load(name, **options)


def test_load_refuses_more_rows_than_there_are(tmp_path):
    rows = [{"question": f"q{i}?", "answer": {"value": "yes", "aliases": []}} for i in range(3)]
    (tmp_path / "triviaqa.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert (
        len(benchmarks.load("triviaqa", data_dir=tmp_path))
        == len(benchmarks.load("triviaqa", data_dir=tmp_path, n=3))
        == 3
    )
    with pytest.raises(ValueError, match="4 items asked for, 3 found"):
        benchmarks.load("triviaqa", data_dir=tmp_path, n=4)
    with pytest.raises(ValueError, match="at least 1"):
        benchmarks.load("triviaqa", data_dir=tmp_path, n=0)


# --- load: rows in the hub's columns ---

MMLU = {
    "question_id": 7,
    "question": "Which?",
    "options": ["one", "two", "three"],
    "answer": "B",
    "answer_index": 1,
    "category": "law",
}
GPQA = {
    "uuid": "u1",
    "question": "Which?",
    "options": ["one", "two", "three", "four"],
    "answer": "two",
    "answer_letter": "B",
}
PUBMED = {
    "pubid": 5,
    "question": "Does it?",
    "final_decision": "maybe",
    "context": {"contexts": ["We asked.", "It may."], "labels": ["AIM", "RESULTS"]},
}
MATH = {
    "problem": "How much?",
    "answer": "\\frac{1}{2}",
    "unique_id": "test/1.json",
    "subject": "Algebra",
    "level": 2,
}
FSPO = {
    "x": "What now?",
    "yw": "Sleep.",
    "yl": "Run.",
    "level": "u",
    "score_persona": {"persona_uuid": "u", "persona_description": "I am a nurse who works nights."},
}
TRIVIA = {
    "question": "Who?",
    "question_id": "q1",
    "answer": {"value": "Austen", "aliases": ["Jane Austen"]},
}
STEMS = {"mmlu_pro": "mmlu-pro"}


@pytest.fixture
def folder(tmp_path):
    """Write rows of a benchmark to its file and return the folder."""

    def write(name, *rows):
        (tmp_path / f"{STEMS.get(name, name)}.jsonl").write_text(
            "\n".join(map(json.dumps, rows)), encoding="utf-8"
        )
        return tmp_path

    return write


@pytest.fixture
def feedback(tmp_path):
    """Write PersonaFeedback's layout: the rows go to general/easy, one row to each other file."""

    def write(
        *rows, personas=({"Name": "Li", "Preference": {"food": ["rice", "tea"]}}, {"Name": "Bo"})
    ):
        base = tmp_path / "personafeedback"
        (base / "persona").mkdir(parents=True, exist_ok=True)
        (base / "persona" / "all_personas.jsonl").write_text(
            "\n".join(map(json.dumps, personas)), encoding="utf-8"
        )
        for track in ("general", "spedific"):
            for level in ("easy", "medium", "hard"):
                here = (
                    rows
                    if (track, level) == ("general", "easy")
                    else (feedback_row(question=f"{track} {level}?"),)
                )
                (base / "data" / track).mkdir(parents=True, exist_ok=True)
                (base / "data" / track / f"{level}.jsonl").write_text(
                    "\n".join(map(json.dumps, here)), encoding="utf-8"
                )
        return tmp_path

    return write


def feedback_row(**more) -> dict:
    return {
        "user_id": 1,
        "question": "What shall I eat tonight?",
        "chosen": "Cook some rice.",
        "reject": "Order a pizza.",
    } | more


def test_the_papers_numbers():
    assert paper.TEST_ITEMS == {
        "pubmedqa": 1000,
        "triviaqa": 1000,
        "mmlu_pro": 1000,
        "supergpqa": 1000,
        "math500": 500,
        "personafeedback": 1000,
        "fspo_roleplay": 1500,
    }


def test_n_items_are_drawn_by_seed_whatever_the_order_of_rows(folder, monkeypatch):
    rows = [TRIVIA | {"question_id": f"q{i}", "question": f"Who {i}?"} for i in range(60)]
    at = folder("triviaqa", *rows)
    ids = {
        (n, seed): {item.id for item in benchmarks.load("triviaqa", at, n, seed)}
        for n in (10, 20)
        for seed in (0, 1)
    }
    assert ids[10, 0] < ids[20, 0] and ids[10, 0] != ids[10, 1] and len(ids[20, 1]) == 20
    assert {
        item.id for item in benchmarks.load("triviaqa", folder("triviaqa", *reversed(rows)), 10)
    } == ids[10, 0]
    assert len(benchmarks.load("triviaqa", at)) == len(benchmarks.load("triviaqa", at, "all")) == 60
    monkeypatch.setitem(paper.TEST_ITEMS, "triviaqa", 25)
    assert (len(benchmarks.load("triviaqa", at)), len(benchmarks.load("triviaqa", at, "all"))) == (
        25,
        60,
    )


def test_the_pocket_world_by_name():
    assert benchmarks.load("triviaqa", "pocket", n=4) == benchmarks.load("triviaqa", n=4)


def test_the_same_question_again_is_left_out_and_warned_of(folder):
    with pytest.warns(UserWarning, match="triviaqa: rows left out.*the same question again': 1"):
        assert (
            len(
                benchmarks.load(
                    "triviaqa", folder("triviaqa", TRIVIA, TRIVIA | {"question_id": "q2"}, TRIVIA)
                )
            )
            == 2
        )
    without_id = TRIVIA | {"question_id": None}
    assert (
        len(
            {
                i.id
                for i in benchmarks.load(
                    "triviaqa", folder("triviaqa", without_id, without_id | {"question": "What?"})
                )
            }
        )
        == 2
    )


def test_one_id_for_two_questions_is_an_error(folder):
    with pytest.raises(ValueError, match="'q1'.*line 1 and .*line 3"):
        benchmarks.load(
            "triviaqa",
            folder(
                "triviaqa", TRIVIA, TRIVIA | {"question_id": "q2"}, TRIVIA | {"question": "What?"}
            ),
        )


def test_pubmedqa(folder):
    (item,) = benchmarks.load("pubmedqa", folder("pubmedqa", PUBMED))
    assert item.question == "Aim: We asked.\nResults: It may.\n\nDoes it?\nAnswer yes, no or maybe."
    assert (item.id, item.answer_type, item.gold, item.facts) == (
        "5",
        "label",
        "maybe",
        {"question": "Does it?", "pmid": 5},
    )
    assert [right(item, answer) for answer in ("Maybe.", "yes", "no", "maybe not")] == [
        True,
        False,
        False,
        False,
    ]


def test_padding_is_dropped_and_counted(folder):
    options = ["one", "N/A", "two"] + ["N/A"] * 7
    (item,) = benchmarks.load(
        "mmlu_pro",
        folder("mmlu_pro", MMLU | {"options": options, "answer": "C", "answer_index": 2}),
    )
    assert (item.options, item.gold, item.facts["padding options"]) == (("one", "two"), "two", 8)
    assert right(item, "B") and not right(item, "C")
    (item,) = benchmarks.load(
        "mmlu_pro",
        folder("mmlu_pro", MMLU | {"options": ["one", "N/A"], "answer": "B", "answer_index": 1}),
    )
    assert item.options == ("one", "N/A") and right(item, "N/A"), (
        "an N/A that is the answer is no padding"
    )


def test_equal_options_are_one_option(folder):
    (item,) = benchmarks.load(
        "supergpqa",
        folder(
            "supergpqa", GPQA | {"options": ["two", "one", "two ", "four"], "answer_letter": "C"}
        ),
    )
    assert (item.options, item.gold, item.facts["equal options"]) == (
        ("two", "one", "four"),
        "two",
        1,
    )
    assert [right(item, answer) for answer in ("A", "two", "B", "C")] == [True, True, False, False]
    assert all(
        letter in modes.user_message(item, None) for letter in ("A) two", "B) one", "C) four")
    )


@pytest.mark.parametrize(
    "name, row, found",
    [
        ("mmlu_pro", MMLU | {"options": "one two"}, "'options' must be a list"),
        ("mmlu_pro", MMLU | {"options": ["one", None]}, "'options' must be a list of texts"),
        ("supergpqa", GPQA | {"question": " "}, "'question' must be text"),
        (
            "pubmedqa",
            PUBMED | {"final_decision": "perhaps"},
            "'perhaps', expected yes, no or maybe",
        ),
        ("pubmedqa", PUBMED | {"context": ["We asked."]}, "'context' must be a dict"),
        (
            "pubmedqa",
            PUBMED | {"context": {"contexts": ["a", "b"], "labels": ["A"]}},
            "lists .* of one length",
        ),
        ("pubmedqa", PUBMED | {"pubid": None}, "'pubid' is None"),
        ("math500", MATH | {"answer": 3}, "'answer' must be text, found 3"),
        ("fspo_roleplay", FSPO | {"score_persona": {"persona_uuid": "u"}}, "'score_persona' must"),
        ("fspo_roleplay", FSPO | {"yw": None}, "'yw' must be text"),
    ],
)
def test_rows_of_another_form_are_an_error(folder, name, row, found):
    with pytest.raises(ValueError, match=f"line 1: .*{found}"):
        benchmarks.load(name, folder(name, row))


@pytest.mark.parametrize(
    "name, good, bad, found",
    [
        ("mmlu_pro", MMLU, {"answer_index": 2}, "8: 'answer' is 'B', 'answer_index' is 2"),
        ("mmlu_pro", MMLU, {"answer": "D"}, "8: 'answer' is 'D', which is none of the 3"),
        ("mmlu_pro", MMLU, {"answer": ""}, "8: 'answer' is ''"),
        ("mmlu_pro", MMLU, {"options": ["one"] * 3}, "8: 1 different options, expected 2 to 10"),
        (
            "mmlu_pro",
            MMLU,
            {"options": ["one", "two", " "]},
            "8: 3 different options and an empty one",
        ),
        (
            "mmlu_pro",
            MMLU,
            {"options": [str(i) for i in range(11)]},
            "8: 11 different options, expected 2 to 10",
        ),
        (
            "supergpqa",
            GPQA,
            {"answer": "three"},
            "8: 'answer' is 'three', the option of 'answer_letter' B is 'two'",
        ),
        ("supergpqa", GPQA, {"answer_letter": "E"}, "8: 'answer_letter' is 'E'"),
        ("fspo_roleplay", FSPO, {"yl": "Sleep."}, "both answers are the same"),
        ("fspo_roleplay", FSPO, {"yl": " "}, "an empty question or answer"),
    ],
)
def test_rows_whose_gold_cannot_be_known_are_left_out_and_named(folder, name, good, bad, found):
    with pytest.warns(UserWarning, match=f"{name}: rows left out.*{found}"):
        assert (
            len(
                benchmarks.load(
                    name, folder(name, good | {"question_id": 8, "uuid": "8"} | bad, good)
                )
            )
            == 1
        )


def test_math_gold_that_cannot_be_read_is_reported_and_not_guessed_at(folder):
    rows = [
        MATH,
        MATH | {"unique_id": "2", "answer": "\\text{even}"},
        MATH | {"unique_id": "3", "answer": "\\begin{"},
    ]
    with pytest.warns(UserWarning, match="cannot read the gold answers of \\['3'\\]"):
        half, even, broken = benchmarks.load("math500", folder("math500", *rows))
    assert benchmarks.unreadable_gold([half, even, broken]) == ["3"]
    assert (
        right(half, "0.5")
        and right(broken, "\\begin{")
        and not any(right(broken, a) for a in ("\\begin{x", "2", "", "\\begin"))
    )
    assert "cannot read the gold" in benchmarks.grade(broken, "2")[1]
    assert [right(even, a) for a in ("even", "\\text{Even}", "odd", "neve", "\\text{odd}", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_fspo(folder):
    (item,) = benchmarks.load("fspo_roleplay", folder("fspo_roleplay", FSPO))
    assert (item.kind, item.gold, set(item.options)) == (
        "personalized",
        "Sleep.",
        {"Sleep.", "Run."},
    )
    assert modes.user_message(item, item.aligned).splitlines()[:6] == [
        "I am a nurse who works nights, my question is:",
        "What now?",
        "",
        "Which of these two answers suits me better?",
        f"A) {item.options[0]}",
        f"B) {item.options[1]}",
    ]


def test_positions_depend_on_the_id_alone_and_are_even(folder, monkeypatch):
    monkeypatch.setattr(
        sources, "language", lambda text: "en"
    )  # it takes most of the time and is not what is tested
    rows = [FSPO | {"x": f"What {i}?"} for i in range(400)]
    items = benchmarks.load("fspo_roleplay", folder("fspo_roleplay", *rows))
    assert (
        160 < sum(item.options[0] == item.gold for item in items) < 240
    )  # 200, standard deviation 10
    random.Random(0).shuffle(rows)
    again = {
        item.id: item.options
        for item in benchmarks.load("fspo_roleplay", folder("fspo_roleplay", *rows[:50]))
    }
    assert (
        again == {item.id: item.options for item in items if item.id in again} and len(again) == 50
    )


def test_personafeedback(feedback):
    items = benchmarks.load("personafeedback", feedback(feedback_row(), feedback_row(user_id="2")))
    assert (
        Counter((i.facts["track"], i.facts["level"]) for i in items)["general", "easy"] == 2
        and len(items) == 7
    )
    assert (
        items[0].aligned.text == "someone with this profile: Name: Li; Preference, food: rice, tea"
    )
    assert (
        items[1].aligned.text == "someone with this profile: Name: Bo"
        and items[0].id != items[1].id
    )
    assert (items[0].gold, items[0].kind, items[0].facts["language"]) == (
        "Cook some rice.",
        "personalized",
        "en",
    )
    assert "I am someone with this profile: Name: Li; " in modes.user_message(
        items[0], items[0].aligned
    )


def test_personafeedback_language_is_detected(feedback):
    row = feedback_row(
        question="今天晚上我应该吃什么?", chosen="做一些米饭和蔬菜吧。", reject="点一份披萨。"
    )
    assert benchmarks.load("personafeedback", feedback(row))[0].facts["language"].startswith("zh")


@pytest.mark.parametrize("user", [0, 3, "x", None])
def test_personafeedback_users_are_lines_of_the_personas(feedback, user):
    with pytest.raises(
        ValueError, match="easy.jsonl, line 1: user_id .*all_personas.jsonl, which has 2"
    ):
        benchmarks.load("personafeedback", feedback(feedback_row(user_id=user)))


def test_personafeedback_without_its_folder(tmp_path):
    with pytest.raises(ValueError, match="personafeedback/data/general/easy.jsonl.*does not exist"):
        benchmarks.load("personafeedback", tmp_path)


# --- grade: choices ---

LOAN = choice("glue between atoms", "a tradable loan", "bail guarantee", gold="a tradable loan")


@pytest.mark.parametrize(
    "answer",
    [
        "B",
        "b",
        "(B)",
        "B)",
        "B.",
        "B:",
        " B ",
        "a tradable loan",
        "Tradable loan.",
        "B) a tradable loan",
        "(B) tradable loan",
        "B. a tradable loan",
    ],
)
def test_choice_right(answer):
    assert right(LOAN, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "A",
        "(C)",
        "J",
        "glue between atoms",
        "C) bail guarantee",
        "A) glue between atoms",
        "loan",
        "tradable",
        "A or B",
        "AB",
        "B C",
        "",
        "?",
        "none of these",
        "a tradable loan or bail guarantee",
    ],
)
def test_choice_wrong(answer):
    assert not right(LOAN, answer)


def test_letter_and_text_that_disagree_are_wrong():
    assert not right(LOAN, "A) a tradable loan")


@pytest.mark.parametrize(
    "options", [("E. coli", "S. aureus"), ("C: Drive", "D: Drive"), ("A) and B)", "neither")]
)
def test_options_that_look_like_letters(options):
    for gold, other in (options, options[::-1]):
        item = choice(*options, gold=gold)
        assert right(item, gold)
        assert not right(item, other)


@pytest.mark.parametrize("options", [("I", "II", "III", "IV"), ("F", "J", "H"), ("i", "x", "z")])
def test_a_letter_that_no_option_has_is_a_text(options):
    for at, gold in enumerate(options):
        item = choice(*options, gold=gold)
        assert right(item, modes.LETTERS[at]) and right(item, gold)
        assert not any(right(item, other) for other in options if other != gold)


@pytest.mark.parametrize(
    "options", [("5", "-5"), ("x + 1", "x - 1"), ("a < b", "a > b"), ("10%", "$10"), ("+", "-")]
)
def test_options_that_differ_in_signs_only(options):
    for gold, other in (options, options[::-1]):
        item = choice("something else", *options, gold=gold)
        assert right(item, gold)
        assert not right(item, other)


# --- grade: text, labels, mathematics ---


@pytest.mark.parametrize(
    "given, expected",
    [
        ("The Ape-Man!", "ape man"),
        ("  A   loan ", "loan"),
        ("an apple", "apple"),
        ("theatre", "theatre"),
        ("snake_case", "snake case"),
        ("O’Neill", "o neill"),
        ("“quoted”", "“quoted”"),
        ("Ünïcode", "ünïcode"),
        ("", ""),
    ],
)
def test_normalize(given, expected):
    assert benchmarks.normalize(given) == expected


def test_text_aliases_count():
    item = free("Jane Austen", aliases=("J. Austen", "Austen"))
    assert all(right(item, a) for a in ("jane austen", "The Austen", "J Austen!", " Austen "))
    assert not any(
        right(item, a) for a in ("Jane", "Austen, Jane", "Jane Austen and Emma", "", "Bronte")
    )


@pytest.mark.parametrize(
    "gold, answer, expected",
    [
        ("yes", "Yes.", True),
        ("yes", "yes", True),
        ("yes", "no", False),
        ("no", "not", False),
        ("maybe", "yes or no", False),
        ("no", "", False),
    ],
)
def test_labels(gold, answer, expected):
    assert right(free(gold, "label"), answer) is expected


@pytest.mark.parametrize(
    "gold, answer, expected",
    [
        ("1/2", "0.5", True),
        ("0.5", "\\frac{1}{2}", True),
        ("\\frac{3}{4}", "3/4", True),
        ("2\\sqrt{2}", "\\sqrt{8}", True),
        ("x^2+1", "1+x^2", True),
        ("1000", "1,000", True),
        ("(1, 2)", "(1,2)", True),
        ("75", "$75$", True),
        ("75", "75", True),
        ("1/2", "2", False),
        ("0.5", "0.05", False),
        ("3", "-3", False),
        ("(1, 2)", "(2, 1)", False),
        ("x^2+1", "x^2-1", False),
        ("2*g**2", "2 g^2", True),
        ("2*g**2", "2*g**2", True),
        ("x**12 - 1", "x^{12}-1", True),
        ("True", "true", True),
        ("False", "no", False),
        ("2*g**2", "2", False),
        ("2*g**2", "2*g**3", False),
        ("x**12", "2x", False),
        ("True", "False", False),
        ("75", "57", False),
        ("75", "75 or 76", False),
        ("75", "many", False),
        ("75", "", False),
    ],
)
def test_math(gold, answer, expected):
    assert right(free(gold, "math"), answer) is expected


def test_an_answer_that_is_only_punctuation_or_an_article():
    assert right(free("?"), " ? ") and not right(free("?"), "!") and not right(free("?"), "")
    assert right(free("A"), "a") and not right(free("A"), "the")
    assert not right(
        free("Austen", aliases=("The",)), ""
    )  # an alias of which nothing is left accepts nothing


@pytest.mark.parametrize(
    "latex, words",
    [
        ("\\text{(C)}", "c"),
        ("$\\text{even}$", "even"),
        ("\\mbox{east}", "east"),
        ("30^\\circ", None),
        ("3\\text{ cm}", None),
        ("\\text{}", None),
    ],
)
def test_answers_that_are_words(latex, words):
    assert grading.math_words(latex) == words


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
    return [
        gloss
        for field, glosses in senses.items()
        if field != item.facts["field"]
        for gloss in glosses
    ]


@pytest.mark.parametrize("name", benchmarks.KIND)
def test_pocket_gold_is_right_and_changes_are_wrong(name):
    for item in benchmarks.load(name, n=50):
        letters = [modes.LETTERS[item.options.index(item.gold)]] if item.options else []
        assert [a for a in (item.gold, *item.aliases, *letters) if not right(item, a)] == []
        wrong = wrong_answers(item)
        assert wrong
        assert [a for a in (*wrong, "nonsense", f"not {item.gold}", "") if right(item, a)] == []


# --- chance ---


def test_chance_by_hand():
    """Guessing: one of four options, of two, of three labels; a text or a number is not guessed."""
    label = Item("l", "pubmedqa", "objective", "label", "does it?", "no")
    chances = [
        benchmarks.chance(item)
        for item in (
            choice("a", "b", "c", "d", gold="a"),
            choice("a", "b", gold="b"),
            label,
            free("loan"),
            free("7", "math"),
        )
    ]
    assert chances == pytest.approx([1 / 4, 1 / 2, 1 / 3, 0, 0])


def test_chance_needs_the_labels():
    with pytest.raises(ValueError, match="'l1'.*labels of 'self' are unknown.*pubmedqa"):
        benchmarks.chance(Item("l1", "self", "objective", "label", "do I?", "yes"))


@pytest.mark.parametrize("name", benchmarks.KIND)
def test_every_pocket_item_has_a_chance(name):
    """A guesser who draws one of the options or labels is right that often, in the long run."""
    rng, items = random.Random(0), benchmarks.load(name, n=400)
    guesses = [
        rng.choice(item.options or benchmarks.LABELS.get(name, ("a guess",))) for item in items
    ]
    right = sum(
        benchmarks.grade(item, guess)[0] for item, guess in zip(items, guesses, strict=True)
    ) / len(items)
    assert right == pytest.approx(sum(map(benchmarks.chance, items)) / len(items), abs=0.07)


# --- personas ---

OWN = Persona("a banker")
ITEM = Item("i1", "triviaqa", "objective", "text", "what is bond?", "loan", aligned=OWN)
POOL = [Persona(f"a person number {i}") for i in range(9)] + [OWN]


def test_no_persona():
    assert personas.assign(ITEM, "none", POOL) is None


def test_aligned_is_the_own_one():
    assert personas.assign(ITEM, "aligned", POOL) is OWN


def test_unaligned_is_never_the_own_one():
    items = [
        Item(f"i{i}", "triviaqa", "objective", "text", "?", "loan", aligned=POOL[i % 10])
        for i in range(300)
    ]
    drawn = [personas.assign(item, "unaligned", POOL) for item in items]
    assert all(persona in POOL for persona in drawn)
    assert [i for i, p in zip(items, drawn, strict=True) if p.text == i.aligned.text] == []
    assert len({persona.text for persona in drawn}) == 10  # the whole pool is used


def test_unaligned_depends_on_the_item_alone():
    alone = personas.assign(ITEM, "unaligned", POOL)
    for _ in range(3):
        personas.assign(
            Item("other", "triviaqa", "objective", "text", "?", "loan"), "unaligned", POOL
        )
        assert personas.assign(ITEM, "unaligned", POOL) is alone


def test_unaligned_needs_no_own_persona():
    assert (
        personas.assign(Item("i", "triviaqa", "objective", "text", "?", "loan"), "unaligned", POOL)
        in POOL
    )


def test_another_object_with_the_own_text_is_still_the_own_one():
    with pytest.raises(ValueError, match="'i1'.*larger pool"):
        personas.assign(ITEM, "unaligned", [Persona("a banker", {"field": "finance"})])


@pytest.mark.parametrize(
    "item, condition, pool, found",
    [
        (
            Item("i", "triviaqa", "objective", "text", "?", "loan"),
            "aligned",
            POOL,
            "'i'.*no aligned persona",
        ),
        (ITEM, "unaligned", [], "larger pool"),
        (ITEM, "unaligned", [OWN], "larger pool"),
        (ITEM, "alligned", POOL, "'alligned'.*none.*unaligned.*aligned"),
    ],
)
def test_assign_refuses(item, condition, pool, found):
    with pytest.raises(ValueError, match=found):
        personas.assign(item, condition, pool)


def test_the_question_is_the_same_under_every_condition():
    world = World(1, "test")
    pool = [world.any_persona() for _ in range(20)]
    for name in benchmarks.KIND:
        before = benchmarks.load(name, n=10)
        for item in before:
            turns = {
                c: modes.user_message(item, personas.assign(item, c, pool))
                for c in personas.CONDITIONS
            }
            assert turns["unaligned"] != turns["aligned"]
            assert all(
                turn.split(", my question is:\n")[-1] == turns["none"] for turn in turns.values()
            )
        assert benchmarks.load(name, n=10) == before

"""Personas: who asks under which condition, aligned ones that give nothing away, English only."""

from collections import Counter
from dataclasses import replace

import pytest

from pdlib import benchmarks, config, modes
from pdlib.dataset import personas, translation, variants
from pdlib.dataset.endpoint_expert import EndpointExpert
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.world import World
from pdlib.questions import preferences, sources
from pdlib.schema import Item, Persona

EMMA = Item(
    "q1",
    "triviaqa",
    "objective",
    "text",
    "Who wrote Emma?",
    "Jane Austen",
    aliases=("Austen", "J. Austen"),
)
BOND = Item(
    "q2",
    "mmlu_pro",
    "objective",
    "choice",
    "Which one is bond?",
    "loan sold to investors",
    options=("link between atoms", "loan sold to investors", "promise between friends"),
)
GERMAN = "eine Krankenschwester, die nachts in einem grossen Krankenhaus arbeitet"
ENGLISH = "a nurse who works night shifts in a large hospital"


def text_item(question: str, gold: str, answer_type: str = "text", options: tuple = ()) -> Item:
    return Item("q", "triviaqa", "objective", answer_type, question, gold, options)


# --- conditions ---


def test_an_unaligned_persona_is_never_the_items_own():
    own, other = Persona("a trader"), Persona("a nurse")
    items = [
        Item(f"q{i}", "triviaqa", "objective", "text", "?", "x", aligned=own) for i in range(20)
    ]
    assert {personas.assign(item, "unaligned", [own, other]).text for item in items} == {"a nurse"}
    with pytest.raises(ValueError, match="no persona but its own"):
        personas.assign(items[0], "unaligned", [own])


# --- giving the answer away ---


@pytest.mark.parametrize(
    "text, found",
    [
        ("a reader of Jane Austen's novels", "'jane austen'"),
        ("a student of AUSTEN", "'austen'"),
        ("a reader of old English novels", None),
        ("an Austenite", None),  # another word
        ("a Jane who reads", None),
    ],
)
def test_a_free_answer(text, found):
    reason = personas.gives_away(EMMA, Persona(text))
    assert reason == (found and f"it holds the answer {found}")


def test_words_of_the_question_give_nothing_away():
    item = text_item("Was Emma or Persuasion written first?", "Emma")
    assert personas.gives_away(item, Persona("a reader of Emma")) is None
    assert (
        personas.gives_away(text_item("Which came first?", "Emma"), Persona("a reader of Emma"))
        is not None
    )


@pytest.mark.parametrize(
    "gold, text",
    [
        ("a", "a nurse with a dog"),
        ("yes", "a nurse who says yes"),
        ("42", "a 42-year-old nurse"),
        ("x", "a nurse called x"),
        ("Maybe", "a nurse, maybe"),
        ("?", "a nurse?"),
    ],
)
def test_trivial_answers_pass(gold, text):
    assert personas.gives_away(text_item("Why?", gold), Persona(text)) is None


def test_a_year_is_not_trivial():
    assert "1815" in personas.gives_away(
        text_item("When did Emma come out?", "1815"), Persona("a collector of books from 1815")
    )


@pytest.mark.parametrize(
    "text, found",
    [
        ("a clerk who writes loan contracts", "['loan']"),
        ("a clerk who advises investors", "['investors']"),
        ("a chemist who studies atoms", None),  # another option's word
        ("a chemist who has a loan and studies atoms", None),  # the right option's and another's
        ("a nurse who likes chess", None),
        ("somebody between jobs", None),  # in two options
        ("a bond trader", None),  # the question's word
    ],
)
def test_a_choice_is_given_away_by_words_of_the_right_option_alone(text, found):
    reason = personas.gives_away(BOND, Persona(text))
    assert reason == (found and f"only the right option has its words {found}")


def test_a_choice_is_given_away_by_its_text():
    whole = personas.gives_away(BOND, Persona("a friend of atoms with a loan sold to investors"))
    assert whole == "it holds the answer 'loan sold to investors'"


def test_unaligned_personas_of_real_data_give_little_away(shared_data):
    items, _ = benchmarks.read("triviaqa", shared_data)
    pool, _ = sources.personahub(shared_data)
    assert len(items) == 60 and len(pool) > 50
    assert (
        sum(personas.gives_away(item, persona) is not None for item in items for persona in pool)
        <= len(items) * len(pool) / 1000
    )


# --- writing aligned ones ---


class Writer:
    """An expert whose personas are written down beforehand: item id -> one an attempt."""

    def __init__(self, **texts):
        self.texts, self.asked = texts, []

    def personas(self, items, attempt=0):
        self.asked.append([item.id for item in items])
        return [
            self.texts[item.id][attempt] and Persona(self.texts[item.id][attempt]) for item in items
        ]


def test_one_that_gives_the_answer_away_is_asked_for_anew():
    expert = Writer(q1=["a fan of Austen", "a reader of old novels"], q2=["a clerk at a bank"])
    written, dropped = personas.write_aligned([EMMA, BOND], expert)
    assert {item: persona.text for item, persona in written.items()} == {
        "q1": "a reader of old novels",
        "q2": "a clerk at a bank",
    }
    assert dropped == Counter() and expert.asked == [["q1", "q2"], ["q1"]]


def test_after_two_more_tries_it_is_dropped_and_counted():
    expert = Writer(q1=["a fan of Austen"] * 3, q2=[None])
    assert personas.write_aligned([EMMA, BOND], expert) == (
        {},
        {"gives the answer away": 1, "the expert wrote none": 1},
    )
    assert expert.asked == [["q1", "q2"], ["q1"], ["q1"]]


def test_the_pocket_expert_writes_the_fitting_persona():
    items = World(0, "train").items("triviaqa", 5)
    assert personas.write_aligned(items, PocketExpert()) == (
        {item.id: item.aligned for item in items},
        {},
    )


def test_personalised_items_are_refused():
    with pytest.raises(
        ValueError, match="1 items are personalised.*their persona is the asker's own"
    ):
        personas.write_aligned([EMMA, World(0, "train").item("personafeedback")], Writer())


def test_aligned_personas_through_an_endpoint(tmp_path):
    from experts_server import FaultyServer

    from pdlib.dataset.endpoint import Endpoint

    with FaultyServer(
        reply=lambda messages, attempt: ["I am a fan of Austen.", "I am a reader of old novels."][
            attempt
        ]
    ) as server:
        expert = EndpointExpert(Endpoint(server.url, "m", tmp_path))
        written, dropped = personas.write_aligned([EMMA], expert)
        assert (written["q1"].text, dropped, len(server.log)) == ("a reader of old novels", {}, 2)
        assert personas.write_aligned([EMMA], expert)[0] == written and len(server.log) == 2


def test_rivals_that_name_the_answer_are_asked_for_anew_then_dropped():
    expert = Writer(
        q1=["a fan of Austen", "a fan of actors called Emma"],
        q2=["a clerk who writes loan contracts"] * 3,
    )
    expert.rivals = expert.personas
    written, dropped = personas.write_rivals([EMMA, BOND], expert)
    assert {item: persona.text for item, persona in written.items()} == {
        "q1": "a fan of actors called Emma"
    }
    assert dropped == {"gives the answer away": 1} and expert.asked == [
        ["q1", "q2"],
        ["q1", "q2"],
        ["q2"],
    ]


# --- counterfactual conditions ---


def pocket(n: int = 20) -> list[Item]:
    world = World(0, "test")
    return [item for name in benchmarks.KIND for item in world.items(name, n)]


def asked_by(*texts: str, benchmark: str = "triviaqa") -> list[Item]:
    return [
        Item(f"{benchmark}{i}", benchmark, "objective", "text", "?", "x", aligned=Persona(text))
        for i, text in enumerate(texts)
    ]


def test_swapped_personas_are_a_permutation_without_fixed_points():
    items = pocket()
    found = variants.swap(items)
    for name in benchmarks.KIND:
        own = [item for item in items if item.benchmark == name]
        assert sorted(found[item.id].text for item in own) == sorted(
            item.aligned.text for item in own
        )
        assert all(found[item.id].text != item.aligned.text for item in own)
    assert variants.swap(items[::-1]) == found  # whatever the order


def test_swapping_looks_at_the_text_where_one_person_asks_several_items():
    found = variants.swap(asked_by("a nurse", "a nurse", "a vet", "a chef"))
    assert [found["triviaqa0"].text, found["triviaqa1"].text].count("a nurse") == 0 and len(
        found
    ) == 4
    most = variants.swap(asked_by("a nurse", "a nurse", "a nurse", "a vet"))
    assert sorted(persona.text for persona in most.values()) == [
        "a nurse",
        "a vet",
    ]  # two of them find nobody else
    assert (
        variants.swap([*asked_by("a nurse"), *asked_by("a vet", benchmark="math500"), EMMA]) == {}
    )  # another benchmark's is no swap


def test_a_reordered_choice_keeps_its_gold_and_moves_every_option():
    turns = set()
    for item in (item for item in pocket(40) if item.options):
        turned = variants.reorder(item)
        assert turned == replace(item, options=turned.options) and sorted(turned.options) == sorted(
            item.options
        )
        assert all(old != new for old, new in zip(item.options, turned.options, strict=True))
        assert turned.options.index(item.gold) != item.options.index(item.gold)
        letter = modes.LETTERS[turned.options.index(item.gold)]
        assert (
            benchmarks.grade(turned, letter)[0]
            and not benchmarks.grade(item, letter)[0]
            and turned == variants.reorder(item)
        )
        turns.add(turned.options.index(item.options[0]))
    assert turns == set(range(1, 8))


@pytest.mark.parametrize(
    "option, stands",
    [
        ("None of the above", True),
        ("all the above", True),
        ("Both A and C", True),
        ("A, B", True),
        ("option D", True),
        ("answers above", True),
        ("above the sea", False),
        ("statements I and II", False),
        ("answer a question", False),
        ("the following day", False),
        ("vitamin A", False),
    ],
)
def test_options_that_speak_of_others_keep_their_order(option, stands):
    item = text_item("Which?", "x", "choice", ("x", "y", option))
    assert (variants.reorder(item) == "an option speaks of other options") is stands
    assert variants.reorder(EMMA) == "no options"


def test_a_biography_is_long_irrelevant_and_short_enough_for_the_pocket_models(tokenizer):
    lex = lexicon()
    named = [
        name
        for part in (lex.words, lex.units, lex.cues, lex.hobbies, lex.styles, lex.plain_people)
        for name in part
    ]
    named += [
        name for part in (lex.cues, lex.occupations) for names in part.values() for name in names
    ]
    glosses = " ".join(
        gloss for senses in lex.words.values() for texts in senses.values() for gloss in texts
    )
    told = personas.content_words(*variants.BIOGRAPHY)
    assert told & personas.content_words(" ".join(named), glosses) == set() and len(told) > 50
    longest = config.load("pocket").rl_max_prompt
    for item in pocket(40):
        long = variants.with_biography(item, item.aligned)
        added = long.text.removeprefix(f"{item.aligned.text}. ")
        assert (
            60 <= len(added.split()) <= 80
            and long.facts == item.aligned.facts
            and long == variants.with_biography(item, item.aligned)
        )
        prompt = modes.render_prompt(tokenizer, item, long)
        assert (
            prompt.startswith(f"<|user|>I am {item.aligned.text}. ")
            and len(tokenizer(prompt)["input_ids"]) < longest
        )
    assert (
        len(
            {
                variants.with_biography(item, item.aligned).text.partition(". ")[2]
                for item in pocket()
            }
        )
        > 100
    )


def test_every_item_is_asked_under_every_condition_it_can_be():
    items, people = pocket(), World(20, "test")
    pool = [people.any_persona() for _ in range(50)]
    asked, left_out = variants.variants(items, pool, PocketExpert())
    found = {
        name: {item.id: (item, persona) for condition, item, persona in asked if condition == name}
        for name in personas.COUNTERFACTUAL
    }
    assert sum(map(len, found.values())) == len(asked)
    by_id = {item.id: item for item in items}
    for condition in personas.CONDITIONS:
        assert found[condition] == {
            i: (item, personas.assign(item, condition, pool)) for i, item in by_id.items()
        }
        again = found[f"{condition} reordered"]
        assert set(again) == {i for i, item in by_id.items() if item.options}
        assert all(again[i] == (variants.reorder(by_id[i]), found[condition][i][1]) for i in again)
    maybe = [item for item in items if item.gold == "maybe"]
    assert set(found["conflicting"]) == {
        i for i, item in by_id.items() if item.kind == "objective" and item not in maybe
    }
    assert all(
        persona.text.startswith(found["unaligned"][i][1].text)
        for i, (_, persona) in found["long"].items()
    )
    assert set(found["long"]) == set(found["swapped"]) == set(by_id)
    assert left_out == {
        "conflicting: the expert wrote none": len(maybe),
        "conflicting: a personalised question has no other reading": 40,
        "reordered: no options": 60,
    }
    assert (
        len(items) * 9 == len(asked) + left_out.total() + 2 * left_out["reordered: no options"]
    )  # three conditions are reordered
    assert variants.variants(items[::-1], pool, PocketExpert())[0][0][1] == items[-1]


def test_variants_of_items_without_persona_and_of_twins():
    asked, left_out = variants.variants(
        [EMMA], [Persona("a nurse")], OneRival("a fan of films called Emma")
    )
    assert [condition for condition, _, _ in asked] == ["none", "unaligned", "conflicting", "long"]
    assert left_out == {"aligned: the item has no aligned persona": 1, "reordered: no options": 1}
    with pytest.raises(ValueError, match="2 items with 1 ids.*pass each item once"):
        variants.variants([EMMA, EMMA], [Persona("a nurse")], Writer())


class OneRival:
    """An expert that knows one rival."""

    def __init__(self, text: str):
        self.text = text

    def rivals(self, items, attempt=0):
        return [Persona(self.text) for _ in items]


# --- language ---


class Translator:
    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []

    def translations(self, texts):
        self.asked += texts
        return self.replies


def test_only_other_languages_are_sent():
    expert = Translator(ENGLISH)
    trader = "a trader who likes to play chess in the evening"
    texts, counts = translation.translate([Persona(trader), GERMAN, "12345"], expert)
    assert texts == [trader, ENGLISH, "12345"]
    assert expert.asked == [GERMAN] and counts == {
        "already English": 1,
        "translated": 1,
        "without letters": 1,
    }


def test_a_translation_must_be_english():
    texts, counts = translation.translate(
        [GERMAN, GERMAN, ENGLISH],
        Translator("une infirmière qui travaille la nuit à l'hôpital", None),
    )
    assert texts == [None, None, ENGLISH]
    assert counts == {"already English": 1, "translation not in English": 1, "no translation": 1}


def test_without_an_expert_it_says_how_many_and_what_to_do():
    with pytest.raises(
        ValueError,
        match="2 of 3 texts are not in English .*'de': 2.*give an expert that translates, or leave",
    ):
        translation.translate([GERMAN, ENGLISH, GERMAN], None)
    assert translation.translate([ENGLISH], None) == ([ENGLISH], {"already English": 1})


def preference(identity: str, question: str, better: str, worse: str, who: str) -> Item:
    return Item(
        identity,
        "personafeedback",
        "personalized",
        "choice",
        preferences.pairwise(question),
        better,
        options=(worse, better),
        aligned=Persona(who),
        facts={"question": question},
    )


def test_items_in_another_language_are_translated_as_a_whole_or_left_out():
    english = preference(
        "a",
        "How should I spend the long evening after work?",
        "Read a good novel in the garden.",
        "Go out with many people.",
        "a quiet teacher who lives in a small town",
    )
    german = preference(
        "b",
        "Wie soll ich den langen Abend nach der Arbeit verbringen?",
        "Lies einen guten Roman im Garten.",
        "Geh mit vielen Leuten aus.",
        "eine ruhige Lehrerin, die in einer kleinen Stadt wohnt",
    )
    said = [
        "How should I spend the evening after work?",
        "Go out with many other people.",
        "Read a good book in the garden.",
        "a quiet teacher who lives in a small town",
    ]
    (first, second), counts = translation.in_english([english, german], Translator(*said))
    assert first == english
    assert (second.question, second.options, second.gold) == (
        preferences.pairwise(said[0]),
        (said[1], said[2]),
        said[2],
    )
    assert second.aligned.text == said[3] and second.facts["question"] == said[0]
    assert counts["items translated"] == 1
    kept, counts = translation.in_english(
        [english, german], Translator(said[0], None, said[2], said[3])
    )
    assert kept == [english] and counts["items left out, not translated"] == 1
    assert translation.in_english([], None) == ([], {})
    with pytest.raises(ValueError, match="not in English"):
        translation.in_english([german], None)

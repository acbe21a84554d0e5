"""Profiles learned from talk (RLPA): what users say, what is rewarded, what the policy is shown,
live dialogues, scores and the ledger.
"""

import itertools
import random
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_ledger import HALF
from test_ledger import answers as ledger_records

from pdlib import config, modes, paper, report, train
from pdlib import evaluate as answers
from pdlib.analysis.cells import MissingRecordsError
from pdlib.config import checks
from pdlib.pocket import world
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.personas import People
from pdlib.pocket.splits import is_held_out_persona
from pdlib.rlpa import (
    annotator,
    dialogue,
    evaluate,
    inferred_profiles,
    ledger,
    pocket_judge,
    pocket_profile,
    pocket_user,
    profile,
    protection,
    rewards,
    roles,
    scores,
)
from pdlib.rlpa import train as policies
from pdlib.rlpa.live import AHEAD, LiveDialogues
from pdlib.rlpa.pocket_judge import RuleJudge
from pdlib.rlpa.pocket_profile import ASK_BACK, reply_to
from pdlib.rlpa.profile import WrittenProfile
from pdlib.rlpa.user import KINDS, Turn, User
from pdlib.run import parallel, stages
from pdlib.schema import Persona

USERS = pocket_user.draw("t", 3, 60, 6)
CHEMIST = Persona(
    "a chemist",
    {
        "field": "chemistry",
        "occupation": "chemist",
        "studies": "bond",
        "hobby": "chess",
        "style": "short replies",
    },
)
BAKER = Persona(
    "a baker",
    {
        "field": "cooking",
        "occupation": "baker",
        "studies": "stock",
        "hobby": "hiking",
        "style": "formal replies",
    },
)


def made(kind="steady", n=6, seed=0, then=None, persona=CHEMIST):
    return pocket_user.script("u", kind, persona, random.Random(seed), n, then)


# --- profiles ---


@pytest.mark.parametrize(
    "said, gold, precision, recall, f1",
    [
        ("field: music\nlikes: chess", {"field": "music", "likes": "chess"}, 1, 1, 1),
        (
            "field: music\nlikes: chess",
            {"likes": "chess", "wants": "short replies", "studies": "bow"},
            1 / 2,
            1 / 3,
            0.4,
        ),
        (
            "likes: chess\nlikes: golf",
            {"likes": "golf"},
            1 / 2,
            1,
            2 / 3,
        ),  # naming all that could be is paid for
        ("likes: golf\nlikes: chess", {"likes": "golf"}, 0, 0, 0),
        ("likes: chess\nwell, who knows", {"likes": "chess"}, 1 / 2, 1, 2 / 3),
        ("No cue.", {}, 1, 1, 1),
        ("", {}, 1, 1, 1),
        ("likes: chess", {}, 0, 0, 0),
        ("No cue.", {"likes": "chess"}, 0, 0, 0),
        ("- likes: chess", {"likes": "chess"}, 1, 1, 1),
    ],
)
def test_agreement_by_hand(said, gold, precision, recall, f1):
    found = profile.agreement(profile.read(said), gold)
    assert (found.precision, found.recall, found.f1) == (
        pytest.approx(precision),
        pytest.approx(recall),
        pytest.approx(f1),
    )


def test_a_profile_is_read_as_it_was_written():
    for one in USERS:
        for turn in one.turns:
            assert profile.read(profile.text(turn.whole)) == WrittenProfile(
                turn.whole, len(turn.whole)
            )


def test_a_full_profile_makes_the_given_persona():
    people = world.World(5, "train")
    for given in (people.persona("music"), people.persona("sport")):
        made_up = pocket_profile.persona(pocket_profile.of(given))
        assert made_up.facts["field"] == given.facts["field"]
        usual = given.text.replace(given.facts["occupation"], made_up.facts["occupation"])
        likes, wants = f"likes {given.facts['hobby']}", f"wants {given.facts['style']}"
        assert made_up.text in (
            usual,
            usual.replace(f"{wants} and {likes}", f"{likes} and {wants}"),
        ), "the order of the two may differ"


@pytest.mark.parametrize(
    "slots, text",
    [
        ({"field": "music"}, "a musician"),
        ({"likes": "chess"}, "a neighbour, likes chess"),
        ({}, None),
        ({"field": "nonsense"}, None),
        (
            {"studies": "bow", "wants": "short replies"},
            "a neighbour who studies bow, wants short replies",
        ),
    ],
)
def test_what_is_unknown_is_not_said(slots, text):
    found = pocket_profile.persona(slots)
    assert (found and found.text) == text


def test_personas_of_other_worlds_have_no_pocket_profile():
    with pytest.raises(ValueError, match="endpoint"):
        pocket_profile.of(Persona("a historian of the Ottoman empire"))


# --- users ---


def test_the_hidden_profile_is_told_truly_but_for_hints_and_whims():
    for one in USERS:
        whole = None
        for turn in one.turns:
            for said in turn.statements:
                if said.how in ("plain", "change"):
                    assert turn.revealed[said.slot] == turn.whole[said.slot] == said.value
                if said.how == "whim":
                    assert (
                        turn.whole[said.slot] != said.value
                        and turn.revealed[said.slot] != said.value
                    )
                if said.how == "plain" and whole:
                    assert whole[said.slot] == said.value, "only a change changes"
            assert turn.revealed.items() <= turn.whole.items()
            whole = turn.whole


def test_users_are_of_their_kind():
    how = {
        kind: {
            said.how
            for one in USERS
            if one.kind == kind
            for turn in one.turns
            for said in turn.statements
        }
        for kind in KINDS
    }
    assert how == {
        "steady": {"plain", "hint"},
        "change": {"plain", "hint", "change"},
        "contradiction": {"plain", "hint", "whim"},
    }
    for one in USERS:
        assert len(one.turns) == 6 and one.turns[0].statements, (
            "something is said in the first turn"
        )
        first = [
            at
            for at, turn in enumerate(one.turns)
            if any(said.how in ("change", "whim") for said in turn.statements)
        ]
        assert not first or min(first) <= 3
        assert one.kind == "steady" or first


def test_every_field_statement_names_an_occupation_of_the_field():
    jobs = lexicon().occupations
    for one in USERS:
        for said in (s for turn in one.turns for s in turn.statements if s.slot == "field"):
            assert (
                said.cue in lexicon().cues[said.value]
                if said.how == "hint"
                else said.job in jobs[said.value]
            )
            assert said.how == "hint" or said.value not in said.sentence.split(), (
                "a field is inferred, not copied"
            )


def test_three_in_ten_hints_mislead():
    many = pocket_user.draw("hints", 0, 900, 6, kinds=("steady",))
    told = [
        (said.value, one.turns[-1].whole["field"])
        for one in many
        for turn in one.turns
        for said in turn.statements
        if said.how == "hint"
    ]
    assert len(told) > 200 and np.mean([a != b for a, b in told]) == pytest.approx(
        pocket_user.HINT_MISLEADS, abs=0.08
    )


def test_a_device_that_changes_hands_ends_with_the_asker():
    one = made("change", then=BAKER)
    assert one.turns[-1].whole == one.turns[-1].revealed == pocket_profile.of(BAKER)
    assert (
        one.turns[2].whole == pocket_profile.of(CHEMIST)
        and profile.agreement(WrittenProfile(one.turns[2].revealed, 3), pocket_profile.of(BAKER)).f1
        == 0
    )
    assert [len(turn.statements) for turn in one.turns[3:]] == [2, 2, 0]


def people(who: Persona) -> list[Persona]:
    """The person with every choice of one to four slots to tell, but for a word of study alone,
    which no question is about.
    """
    choices = [
        names
        for k in range(1, 5)
        for names in itertools.combinations(profile.SLOTS, k)
        if names != ("studies",)
    ]
    return [
        Persona(
            who.text,
            who.facts
            | {pocket_profile.FACTS[slot]: None for slot in profile.SLOTS if slot not in names},
        )
        for names in choices
    ]


def told_early(user: User, n_turns: int) -> list[pocket_user.Statement]:
    """What is said before the middle and is a change or a whim, the value of a later change or
    whim, or new in who the user then is.
    """
    middle = n_turns // 2
    later = {
        (s.slot, s.value)
        for turn in user.turns[middle:]
        for s in turn.statements
        if s.how in ("change", "whim")
    }
    later |= pocket_profile.of(user.persona).items() - user.turns[0].whole.items()
    return [
        s
        for turn in user.turns[:middle]
        for s in turn.statements
        if s.how in ("change", "whim") or (s.slot, s.value) in later
    ]


@pytest.mark.parametrize("n_turns", [2, 3, 4, 6, 7, 10, 12])
@pytest.mark.parametrize("kind", ["change", "contradiction", "another person"])
def test_nobody_reveals_a_later_persona_before_the_middle(kind, n_turns):
    early, how = [], {"change": "change", "contradiction": "whim", "another person": "change"}[kind]
    for who, seed in itertools.product(people(CHEMIST), range(20)):
        then = BAKER if kind == "another person" else None
        one = pocket_user.script(
            "u", "change" if then else kind, who, random.Random(f"{seed}|{n_turns}"), n_turns, then
        )
        early += told_early(one, n_turns)
        said = [[s.how for s in turn.statements] for turn in one.turns]
        assert len(said) == n_turns and said[0], "something is said in the first turn"
        assert "plain" in itertools.chain(*said[: n_turns // 2]) and how in said[n_turns // 2], (
            "first what is so, then what is not"
        )
    assert early == []


@pytest.mark.parametrize(
    "plain_people, people_of",
    [(0.2, People()), (1.0, People()), (0.2, People("field"))],
)
def test_a_stranger_tells_nothing_that_is_true_of_the_asker(plain_people, people_of, monkeypatch):
    drawn = world.World("askers", "test", people=people_of)
    items = [drawn.item(name) for name in world.BENCHMARKS for _ in range(40)]
    pool = [drawn.any_persona(plain_people) for _ in range(500)]
    monkeypatch.setattr(roles.dataset, "test_items", lambda cfg: items)
    monkeypatch.setattr(roles.dataset, "persona_pool", lambda cfg: pool)
    cfg = config.load("pocket", dynamic_meeting_items=40)
    found = roles.pocket_askers(cfg)
    middle = cfg.dynamic_turns // 2
    known = [
        s
        for one in found
        for turn in one.turns[:middle]
        for s in turn.statements
        if (s.slot, s.value) in pocket_profile.of(one.persona).items()
    ]
    assert (
        len(found) == len(items)
        and known == []
        and not any(told_early(one, cfg.dynamic_turns) for one in found)
    )
    assert all(
        one.turns[middle].statements and one.turns[-1].revealed == pocket_profile.of(one.persona)
        for one in found
    ), "the asker tells everything"
    assert {len(pocket_profile.of(one.stranger)) for one in found} == (
        {2} if plain_people == 1 else {2, 4}
    )


def test_a_stranger_who_shares_nothing_must_be_there(monkeypatch):
    item = SimpleNamespace(id="i", benchmark="b", aligned=BAKER)
    monkeypatch.setattr(roles.dataset, "test_items", lambda cfg: [item])
    monkeypatch.setattr(roles.dataset, "persona_pool", lambda cfg: [BAKER])
    with pytest.raises(ValueError, match="none of the 1 personas.*persona_pool"):
        roles.pocket_askers(config.load("smoke"))


def test_users_who_cannot_be_scripted_are_refused():
    with pytest.raises(ValueError, match="no slot to ask about"):
        made(persona=Persona("somebody", dict.fromkeys(CHEMIST.facts)))
    with pytest.raises(ValueError, match="dynamic_turns"):
        made("contradiction", n=1)
    assert len(made("steady", n=1).turns) == 1


def test_training_and_test_users_share_no_person():
    def people(users):
        return {
            (p.facts["occupation"], p.facts["hobby"], p.facts["style"])
            for p in (one.persona for one in users)
        }

    test = pocket_user.draw("test", 0, 30, 6, held_out=True)
    assert all(is_held_out_persona(*who) for who in people(test)) and not any(
        is_held_out_persona(*who) for who in people(USERS)
    )
    assert (
        pocket_user.draw("t", 3, 5, 6) == USERS[:5] and pocket_user.draw("t", 4, 5, 6) != USERS[:5]
    )


# --- rewards ---

TURN = Turn(
    "I like chess. suggest a pastime.",
    {"likes": "chess"},
    {"likes": "chess", "field": "music"},
    about="likes",
)


@pytest.mark.parametrize(
    "completion, expected",
    [
        (rewards.write({"likes": "chess"}, "try chess"), (1, 1)),
        (
            rewards.write({"likes": "golf"}, "try golf"),
            (0, 1),
        ),  # wrong of the user, but true to what it believes
        (rewards.write({"likes": "golf"}, "try chess"), (0, 0)),
        (
            rewards.write({"likes": "chess", "field": "music"}, "try chess"),
            (2 / 3, 1),
        ),  # right by luck: the field was not revealed
        (rewards.write({}, ASK_BACK), (0, 0)),  # right for an empty profile, but it was told
        ("likes: chess", (0, 0)),  # malformed: no reply
        ('likes: chess\n\n<answer>{"answer": "try chess"', (0, 0)),
    ],
)
def test_rewards_by_hand(completion, expected):
    (found,) = RuleJudge().rewards([TURN], [rewards.read(completion)])
    assert (found.profile, found.response) == (pytest.approx(expected[0]), expected[1])
    assert found.total == pytest.approx(sum(expected))


@pytest.mark.parametrize(
    "about, word, known, replies",
    [
        ("field", "bow", {"field": "music"}, ["stick for strings", "string stick"]),
        ("field", "bow", {"field": "law"}, [ASK_BACK]),
        ("wants", "bow", {"wants": "short replies"}, ["in brief, bow"]),
        ("wants", "bow", {"wants": "gibberish"}, [ASK_BACK]),
    ],
)
def test_the_right_reply(about, word, known, replies):
    assert reply_to(about, word, known) == replies


# --- the annotator ---


def test_the_annotator_believes_statements_and_doubts_the_rest():
    s = pocket_user.Statement
    told = [
        s("field", "music", "hint", cue="piano"),
        s("likes", "chess"),
        s("likes", "golf", "whim"),
        s("field", "law", job="judge"),
        s("field", "sport", "hint", cue="stadium"),
    ]
    assert annotator.infer(told, lambda one: True) == {"field": "law", "likes": "golf"}
    assert annotator.infer(told, lambda one: False) == {"field": "law", "likes": "chess"}
    assert annotator.infer(told[:2], lambda one: True) == {"field": "music", "likes": "chess"}


def test_the_annotator_s_rows_are_what_the_policy_will_write(tokenizer):
    rng = random.Random(0)
    for one in USERS[:9]:
        rows = annotator.annotate(one, rng)
        assert len(rows) == 6
        for at, row in enumerate(rows):
            said = modes.completion_text(None, row.reasoning, row.answer)
            read = rewards.read(said)
            assert read.error is None and pocket_judge.fits(
                read.reply, one.turns[at], read.written.slots
            )
            tokens = train.sft_row(tokenizer, row)
            assert len(tokens["input_ids"]) < 300
            text = tokenizer.decode([t for t in tokens["labels"] if t >= 0][:-1])
            assert text == said


def test_the_annotator_does_not_know_the_hidden_profile():
    """Believed and doubted alike: wrong of hints that mislead and of whims, which the best reader
    is not.
    """
    many, rng = pocket_user.draw("a", 1, 200, 6, kinds=("contradiction",)), random.Random(1)

    def mean(profiles):
        return np.mean(
            [
                profile.agreement(WrittenProfile(p, len(p)), one.turns[-1].revealed).f1
                for one, p in zip(many, profiles, strict=True)
            ]
        )

    wrote = mean([profile.read(annotator.annotate(one, rng)[-1].reasoning).slots for one in many])
    assert mean([annotator.best_profiles(one, 6)[-1] for one in many]) > 0.98 > 0.93 > wrote > 0.8


# --- what the policy is shown ---


def test_only_the_last_profile_is_shown(tokenizer):
    said = [rewards.write({"likes": "golf"}, "one"), rewards.write({"likes": "chess"}, "two")]
    one = dialogue.Dialogue(made(), turns=list(made().turns[:3]), completions=said)
    found = one.messages()
    assert [m["role"] for m in found] == ["user", "assistant"] * 2 + ["user"]
    assert found[1]["content"] == '\n\n<answer>{"answer": "one"}</answer>'
    assert found[3]["content"] == 'likes: chess\n\n<answer>{"answer": "two"}</answer>'
    assert found[4]["content"] == made().turns[2].text + modes.FREE_INSTRUCTION
    asked = dialogue.Dialogue(
        made(), dialogue.instruction(), turns=list(made().turns[:1])
    ).messages()
    assert (
        asked[0]["content"].startswith("First write what you know about me")
        and "likes: chess" in asked[0]["content"]
    )


def test_a_malformed_answer_stays_in_the_talk_as_it_is():
    assert dialogue.reply_only("I do not know.") == "I do not know."


def test_converse_records_every_turn_on_the_policy_s_own_answers(tiny_model, tokenizer):
    found = dialogue.converse(
        tiny_model,
        tokenizer,
        USERS[:3],
        2,
        run="pocket-qwen3",
        model_name="rlpa",
        train_seed=4,
        seeds=[0],
        max_tokens=12,
    )
    assert list(found.columns) == answers.COLUMNS and len(found) == 6
    assert (
        list(found.turn) == [1, 1, 1, 2, 2, 2]
        and set(found.condition) == set(KINDS)
        and set(found.train_seed) == {4}
    )
    for _, turns in found.groupby("item_id"):
        first, second = turns.itertuples()
        assert first.completion in second.prompt and second.prompt.count("<|user|>") == 2


# --- live dialogues ---


class Said:
    """What a policy might say in a group: right, wrong, malformed."""

    def __init__(self, live):
        self.live = live

    def step(self, indices, texts):
        rows = live_rows(self.live, indices)
        completions = [[{"role": "assistant", "content": text}] for text in texts]
        profile_rewards = self.live.profile(
            prompts=[row["prompt"] for row in rows],
            completions=completions,
            dialogue=[row["dialogue"] for row in rows],
        )
        return profile_rewards, self.live.response(
            completions=completions, dialogue=[row["dialogue"] for row in rows]
        )


def live_rows(live, indices):
    rows = live.data(len(live.dialogues))
    return [rows[index] for index in indices]


def test_the_best_rollout_goes_on_in_the_dialogue():
    live = LiveDialogues(lambda k: USERS[k], 2, 6, RuleJudge())
    live.leaves_after = [6, 6]
    turn = live.dialogues[0].turns[0]
    right = rewards.write(turn.revealed, reply_to(turn.about, turn.word, turn.revealed)[0])
    given, reply = Said(live).step([0, 0, 0], ["nonsense", right, rewards.write({}, "no")])
    assert given[1] == reply[1] == 1 and given[0] == reply[0] == 0
    assert (
        live.dialogues[0].completions == [right]
        and len(live.dialogues[0].turns) == 2
        and len(live.dialogues[1].turns) == 1
    )
    assert (
        live.data(2)[0]["prompt"][1]["content"] == right
        and live.data(2)[0]["prompt"][-1]["role"] == "user"
    )


def test_first_dialogues_end_early_so_that_batches_hold_all_turns():
    live = LiveDialogues(lambda k: USERS[k % 60], 6, 3, RuleJudge())
    for _ in range(6):
        Said(live).step(range(6), ["x"] * 6)
    assert {len(one.turns) for one in live.dialogues} == {1, 2, 3} and live.turns_done == 36
    assert live.begun == 6 + sum([6 // 3] * 6)


def test_an_answer_to_a_turn_that_has_passed_is_refused():
    live = LiveDialogues(lambda k: USERS[k], 1, 6, RuleJudge())
    live.leaves_after = [6]
    old = live_rows(live, [0])
    Said(live).step([0], ["x"])
    with pytest.raises(RuntimeError, match="AHEAD"):
        live.profile(prompts=[old[0]["prompt"]], completions=[[{"content": "x"}]], dialogue=[0])


def test_what_processes_cannot_share_is_trained_by_one_with_lora():
    paper = policies.in_one_process(config.load("paper"))
    checks.check(paper)
    assert (paper.accelerate, paper.processes, paper.machines) == ("none", 1, 1)
    assert (paper.tuning, paper.rl_vllm) == ("lora", "none")
    pocket = config.load("pocket")
    assert policies.in_one_process(pocket) == pocket
    assert AHEAD >= 3


# --- scores ---


def record(user, turn, completion, model="rlpa", seed=0):
    return {
        "run": "pocket-qwen3",
        "model": model,
        "train_seed": seed,
        "benchmark": "dynamic",
        "kind": "personalized",
        "item_id": user.id,
        "condition": user.kind,
        "turn": turn,
        "seed": 0,
        "completion": completion,
        "prompt": "",
        "p_personalized": None,
        "correct": True,
    }


def perfect(user, at):
    turn = user.turns[at]
    return rewards.write(turn.revealed, reply_to(turn.about, turn.word, turn.revealed)[0])


def test_scores_by_hand():
    one = made()
    last = one.turns[5]
    assert last.revealed == last.whole == pocket_profile.of(CHEMIST)
    rows = pd.DataFrame(
        [
            record(one, 6, perfect(one, 5)),
            record(one, 6, "nonsense"),
            record(one, 1, perfect(one, 0)),
        ]
    )
    found = pocket_judge.score(rows, [one])
    assert list(found.f1) == [1, 0, 1] and list(found.written) == [4, 0, len(one.turns[0].revealed)]
    k = len(one.turns[0].revealed)
    assert found.f1_whole[2] == pytest.approx(2 * k / (k + 4)) and list(found.follows) == [1, 0, 1]
    with pytest.raises(ValueError, match="dynamic_"):
        pocket_judge.score(rows, USERS)


def table():
    """Two policies, three seeds: RLPA always perfect, SFT right in the first turn only; the
    prompted one says nothing, with one seed.
    """
    rows = []
    for user in USERS[:30]:
        for at in range(6):
            for seed in range(3):
                rows.append(record(user, at + 1, perfect(user, at), "rlpa", seed))
                rows.append(
                    record(user, at + 1, perfect(user, at) if at == 0 else "", "rlpa_sft", seed)
                )
            rows.append(record(user, at + 1, "", "prompted"))
    return pocket_judge.score(pd.DataFrame(rows), USERS)


def test_by_turn_and_gains_by_hand():
    scored = table()
    found = (
        scores.by_turn(scored, draws=50)
        .set_index(["condition", "model", "turn", "value"])
        .sort_index()
    )
    assert (found.loc["steady", "rlpa"]["mean"] == 1).all() and (
        found.loc["change", "prompted"]["mean"] == 0
    ).all()
    assert (
        found.loc[("change", "rlpa_sft", 1, "f1"), "mean"] == 1
        and found.loc[("change", "rlpa_sft", 2, "f1"), "mean"] == 0
    )
    assert (
        found.loc[("steady", "rlpa", 1, "f1"), "n"] == 10
        and found.loc[("steady", "rlpa", 1, "f1"), "seeds"] == 3
    )
    gains = scores.gains(scored, draws=50).set_index(["condition", "against", "value"])
    assert gains.loc[("steady", "rlpa_sft", "f1"), "mean"] == pytest.approx(5 / 6)
    assert (
        scores.gains(scored, draws=50, last=2)
        .set_index(["against", "value"])
        .loc[("prompted", "right"), "mean"]
        .eq(1)
        .all()
    )
    assert set(gains.verdict) == {"higher"}


def test_the_best_reader_is_above_every_policy_that_believes_otherwise():
    best = pocket_judge.best_scores(USERS, 6)
    assert (
        set(best.condition) == set(KINDS)
        and best.f1.between(0.5, 1).all()
        and (best.follows == 1).all()
    )
    assert (best[best.condition == "contradiction"].f1 > 0.9).any()


def test_improvement_is_the_paper_s():
    """Levels by turn of the paper's Table 4 give the N-IR and N-R2 of its Table 1; those of its
    Table 5 do not.
    """
    sft = [2.7, 24.32, 41.89, 40.54, 59.46, 56.76, 54.05, 54.05, 54.05, 55.41]
    extended = [49.32, 45.21, 46.58, 49.32, 52.05, 52.05, 53.42, 58.90, 53.42, 67.12]
    assert np.round(scores.improvement(sft), 3).tolist() == [0.083, 0.628]
    assert np.round(scores.improvement(extended), 3).tolist() == [0.081, 0.706]
    assert scores.improvement([0.5, 0.5]) == (0.0, 0.0)


# --- the ledger ---


def numbers():
    return [n for n in paper.numbers() if n.artefact in ledger.ARTEFACTS]


def test_ledger_twins_by_hand():
    scored = table()
    steady = (
        scores.by_turn(scored, ["right_whole"], draws=5)
        .set_index(["condition", "model", "turn"])["mean"]
        .sort_index()
    )
    found, remark = ledger.number(
        scored, "pocket-qwen3", "rlpa_table1", "RLPA", "Vanilla AVG.", draws=20
    )
    assert (
        found.mean == pytest.approx(steady["steady", "rlpa"].mean())
        and found.seeds == 3
        and "6 turns" in remark
    )
    found, _ = ledger.number(
        scored, "pocket-qwen3", "rlpa_figure4", "RLPA", "turn of the change", draws=20
    )
    assert found.mean == pytest.approx(steady["change", "rlpa", 4])
    found, _ = ledger.number(scored, "pocket-qwen3", "rlpa_table1", "SFT", "Vanilla N-IR", draws=20)
    assert found.mean == pytest.approx(scores.improvement(steady["steady", "rlpa_sft"])[0])


def test_every_number_of_rlpa_has_a_twin_or_a_reason():
    scored, reasons = table(), {}
    for number in numbers():
        try:
            ledger.number(
                scored, "pocket-qwen3", number.artefact, number.row, number.column, draws=5
            )
        except MissingRecordsError as reason:
            reasons[number.id] = str(reason)
    assert len(numbers()) == 44 and len(reasons) == 33
    assert (
        "judge" in reasons["rlpa_table1/RLPA/Extended AVG."]
        and "DPO" in reasons["rlpa_figure4/DPO/before the change"]
    )
    with pytest.raises(MissingRecordsError, match="notebook 12"):
        ledger.number(None, "pocket-qwen3", "rlpa_table1", "RLPA", "Vanilla AVG.")


# --- inferred profiles ---


def test_inferred_personas_and_their_f1():
    one = made("change", then=BAKER)
    rows = pd.DataFrame(
        [
            record(one, 3, perfect(one, 2)),
            record(one, 6, perfect(one, 5)),
            record(one, 4, "nonsense"),
            record(one, 5, "x"),
        ]
    )
    found = inferred_profiles.infer(rows, [one], (3, 4, 6), RuleJudge()).set_index("turn")
    assert (
        list(found.index) == [3, 6, 4]
        and list(found.f1) == [0, 1, 0]
        and list(found.readable) == [True, True, False]
    )
    assert (
        found.persona[6] == "a chef who studies stock, likes hiking and wants formal replies"
        and found.persona[4] == ""
    )


def test_a_stranger_has_no_slot_that_the_asker_lacks(monkeypatch):
    plain = Persona(
        "a parent",
        {
            "field": None,
            "occupation": "parent",
            "studies": None,
            "hobby": "chess",
            "style": "short replies",
        },
    )
    items = [
        SimpleNamespace(id=f"i{k}", benchmark="b", aligned=who)
        for k, who in enumerate([plain, BAKER] * 3)
    ]
    monkeypatch.setattr(roles.dataset, "test_items", lambda cfg: items)
    other = Persona(
        "a guest",
        plain.facts | {"occupation": "guest", "hobby": "fishing", "style": "cautious replies"},
    )
    monkeypatch.setattr(roles.dataset, "persona_pool", lambda cfg: [CHEMIST, plain, other])
    found = roles.pocket_askers(config.load("smoke", dynamic_meeting_items=4))
    assert len(found) == 4
    for one in found:
        assert (
            one.turns[-1].whole == pocket_profile.of(one.persona)
            and one.persona is one.item.aligned
        )


def asked():
    """Two items: the backbone follows every profile, PersonaDual only right ones."""
    rows = []
    for model in protection.MODELS:
        for k in range(8):
            for condition, f1, right in (
                (protection.NONE, np.nan, 1),
                ("inferred, turn 3", 0.0, model == "personadual"),
                ("inferred, turn 6", 1.0, 1),
                (protection.GIVEN, 1.0, 1),
            ):
                rows.append(
                    {
                        "model": model,
                        "kind": "objective",
                        "condition": condition,
                        "benchmark": "triviaqa",
                        "item_id": str(k),
                        "train_seed": 0,
                        "correct": bool(right),
                        "profile_f1": f1,
                        "asked_after": 3 * ("inferred" in condition),
                        "p_personalized": None if model == "backbone" else f1 if f1 == f1 else 0.2,
                    }
                )
    return pd.DataFrame(rows)


def test_protection_by_hand():
    found = protection.changes(asked(), draws=20).set_index(["model", "condition"])
    assert (
        found.loc[("backbone", "inferred, turn 3"), "mean"] == -1
        and found.loc[("personadual", "inferred, turn 3"), "mean"] == 0
    )
    assert (
        found.loc[("backbone", "inferred, turn 3"), "against"] == 1
        and found.loc[("backbone", protection.GIVEN), "against"] == 0
    )
    said = protection.paragraph(asked(), protection.changes(asked(), draws=20))
    assert (
        "After the stranger's half (turn 3, mean profile F1 0.00): backbone -100.0 points" in said
    )
    assert (
        "After the stranger's half the change of PersonaDual minus that of the backbone is "
        "+100.0 points" in said
    )
    assert said.endswith("above 0.") and "PersonaDual 0.20, 0.00, 1.00, 1.00" in said


@pytest.mark.parametrize(
    "low, high, words",
    [
        (0.01, 0.2, "above 0."),
        (-0.2, -0.01, "below 0."),
        (-0.1, 0.1, "not shown to differ from 0."),
    ],
)
def test_the_paragraph_claims_what_the_interval_allows(low, high, words):
    found = protection.changes(asked(), draws=20).assign(against_low=low, against_high=high)
    assert protection.paragraph(asked(), found).endswith(words)


def test_bins_hold_answers_by_profile_f1():
    found = protection.by_f1(asked(), draws=20)
    one = found[(found.model == "backbone") & (found.value == "correct")].sort_values("f1")
    assert (
        list(one["mean"]) == [0, 1]
        and list(one.n) == [8, 8]
        and set(found[found.value == "p_personalized"].model) == {"sft_only", "personadual"}
    )


# --- what the report and the notebook rest on ---


def test_the_ledger_takes_rlpa_s_twins_and_the_reference_keeps_them(tmp_path):
    records = ledger_records("personadual", HALF, mode="general").assign(
        prompt="", completion="", answer="", gold="", n_prompt_tokens=1, n_completion_tokens=1
    )
    scored = table()[ledger.COLUMNS]
    report.write_reference(tmp_path, records, "pocket-qwen3", profiles=scored)
    small, arguments = report.read_reference(tmp_path)
    entries = report.ledger(small, **arguments)
    assert (
        report.ledger_differences(entries, report.ledger(records, "pocket-qwen3", profiles=scored))
        == []
    )
    own = {e["id"]: e for e in entries if e["artefact"] in ledger.ARTEFACTS}
    assert len(own) == 44 and sum(e["status"] == "scaled-down" for e in own.values()) == 11
    best = own["rlpa_table1/RLPA/Vanilla AVG."]
    assert (
        best["ours"] > 0.5
        and best["paper"] == 0.7338
        and "GPT-4o" in best["note"]
        and best["seeds"] == 3
    )
    assert own["rlpa_figure4/RLPA/after the change"]["quotation"].startswith(
        "with only a minor drop"
    )
    mine = report.ledger(
        records.assign(run="my/model"), "my/model", profiles=scored.assign(run="my/model")
    )
    best = {e["id"]: e for e in mine}["rlpa_table1/RLPA/Vanilla AVG."]
    assert best["status"] == "scaled-down" and best["note"].endswith("GPT-4o's; run my/model")


def test_only_missing_policies_are_trained_side_by_side(tmp_path, monkeypatch):
    cfg, asked = config.load("smoke", output_dir=str(tmp_path), workers=2, train_seeds=3), {}

    def fit(cfg, name, seed):
        if seed != 1:
            raise stages.NotBuiltError

    monkeypatch.setattr(evaluate, "fit", fit)
    monkeypatch.setattr(parallel, "side_by_side", lambda tasks, **how: asked.update(tasks))
    evaluate.prepare(cfg)
    assert (
        list(asked) == ["rlpa-0", "rlpa-2"]
        and asked["rlpa-2"][0] == "pdlib.rlpa.evaluate"
        and asked["rlpa-2"][-1] == "2"
    )
    asked.clear()
    evaluate.prepare(config.load("smoke", output_dir=str(tmp_path), workers=1, train_seeds=3))
    assert asked == {}


@pytest.mark.parametrize("given", [{"dynamic_user": "endpoint"}, {"data_dir": "hub"}])
def test_roles_that_do_not_fit_the_data_are_refused(given):
    with pytest.raises(ValueError, match="dynamic_user.*data_dir"):
        roles.assign(config.load("smoke", **given))


def test_a_mode_of_play_that_is_none():
    with pytest.raises(ValueError, match="dynamic_user.*pocket, endpoint"):
        config.load("smoke", dynamic_user="human")

"""RLPA's user and judge behind an endpoint: what they are asked, what is read from their answers,
what happens when there is none.
"""

import json
import random

import pytest
from experts_server import FaultyServer

from pdlib.dataset.endpoint import Endpoint
from pdlib.rlpa import profile, real, rewards
from pdlib.rlpa.dialogue import Dialogue
from pdlib.rlpa.live import LiveDialogues
from pdlib.rlpa.roles import stranger_to
from pdlib.rlpa.user import Turn
from pdlib.schema import Persona

HIDDEN = {"Occupation": "baker", "Interests": "chess, hiking"}
PEOPLE = [Persona("a baker who likes chess"), Persona("somebody"), Persona("a poet")]


def answer(messages, attempt):
    """Plays all roles, by what the prompt asks for."""
    text = messages[-1]["content"]
    if "Fill in these slots" in text:
        if "I am somebody." in text:
            return "I cannot tell."
        return "Here: " + json.dumps(
            {"Occupation": "baker", "Interests": ["chess", "hiking"], "Shoe size": "40", "Age": ""}
        )
    if "You play a person" in text:
        assert "- Occupation: baker" in text
        return "I bake bread." if "Assistant:" in text else "no history was shown"
    if "How many lines" in text:
        return "One of them: \\boxed{7}" if "golf" not in text else "none"
    return "Fine. \\boxed{1}" if "The reply: welcome" in text else "\\boxed{0}"


@pytest.fixture
def endpoint(tmp_path):
    with FaultyServer(reply=answer) as server:
        yield Endpoint(server.url, "m", tmp_path, retries=1)


def test_slots_are_filled_and_what_cannot_be_read_is_counted(endpoint):
    player = real.EndpointUser(endpoint)
    found = player.users(PEOPLE)
    assert [one.persona.facts["slots"] for one in found] == [HIDDEN, HIDDEN] and found[
        0
    ].id == "user-0"
    assert dict(player.failed) == {"slots cannot be read": 1}


def test_users_greet_then_talk_with_the_replies_in_view(endpoint):
    player = real.EndpointUser(endpoint)
    talks = [Dialogue(one) for one in player.users(PEOPLE)]
    first = player(talks)
    assert {turn.text for turn in first} == {"Hello"} and first[0].whole == first[
        0
    ].revealed == HIDDEN
    for talk, turn in zip(talks, first, strict=True):
        talk.turns.append(turn)
        talk.completions.append(rewards.write({"Occupation": "cook"}, "welcome"))
    assert {turn.text for turn in player(talks)} == {"I bake bread."}
    shown = real._history(talks[0])
    assert shown == "You: Hello\nAssistant: welcome", "the user does not see what is inferred"


def test_a_user_who_says_nothing_stops_the_dialogue(endpoint, monkeypatch):
    player = real.EndpointUser(endpoint)
    (talk, *_) = [Dialogue(one) for one in player.users(PEOPLE)]
    talk.turns.append(player([talk])[0])
    talk.completions.append("x")
    monkeypatch.setattr(Endpoint, "ask", lambda self, asked: [None] * len(asked))
    with pytest.raises(RuntimeError, match="no next message"):
        player([talk])


def test_the_judge_s_counts_and_verdicts(endpoint):
    judge = real.EndpointJudge(endpoint)
    turn = Turn("I bake bread.", HIDDEN, HIDDEN)
    said = [
        rewards.read(text)
        for text in (
            rewards.write({"Occupation": "baker"}, "welcome"),
            rewards.write({"Interests": "golf"}, "welcome"),
            "malformed",
            rewards.write({"Occupation": "baker", "Age": "40"}, "go away"),
        )
    ]
    found = judge.rewards([turn] * 4, said)
    assert found[0].profile == pytest.approx(2 * 1 * 0.5 / 1.5), (
        "7 counted, but one line was written"
    )
    assert [one.response for one in found] == [1, 1, 0, 0] and found[1].profile == found[
        2
    ].profile == 0
    assert found[3].profile == 1.0 and dict(judge.failed) == {"no number in a box": 1}


def test_live_dialogues_with_an_endpoint(endpoint):
    player = real.EndpointUser(endpoint)
    live = LiveDialogues(
        real.training_users(player, PEOPLE, 0),
        2,
        3,
        real.EndpointJudge(endpoint),
        player,
        "Write a profile.\n",
    )
    rows = [live.data(2)[place] for place in (0, 0, 1, 1)]
    assert rows[0]["prompt"][0]["content"].startswith("Write a profile.\nHello")
    live.leaves_after = [3, 3]
    said = [
        [{"content": rewards.write({"Occupation": "baker"}, reply)}]
        for reply in ("go away", "welcome", "welcome", "go away")
    ]
    prompts, dialogue = [row["prompt"] for row in rows], [row["dialogue"] for row in rows]
    live.profile(prompts=prompts, completions=said, dialogue=dialogue)
    assert live.response(completions=said, dialogue=dialogue) == [0, 1, 1, 0]
    assert [rewards.read(talk.completions[0]).reply for talk in live.dialogues] == [
        "welcome",
        "welcome",
    ]
    assert live.data(2)[1]["prompt"][-1]["content"].startswith("I bake bread.")


def test_no_readable_slots_at_all_are_an_error(endpoint):
    with pytest.raises(ValueError, match="filled no slots"):
        real.training_users(real.EndpointUser(endpoint), [PEOPLE[1]], 0)
    assert profile.PAPER_SLOTS[0] == "Age"


def test_the_stranger_before_an_asker_shares_nothing_with_the_asker():
    def person(**slots):
        return Persona("somebody", {"slots": slots})

    asker = person(job="baker", pastime="chess")
    strangers = [
        person(job="Baker ", pastime="golf"),
        person(job="poet", pastime="chess"),
        person(job="poet", pastime="golf"),
        person(town="baker"),
    ]
    found = {id(stranger_to(asker, strangers, random.Random(seed))) for seed in range(40)}
    assert found == {id(strangers[2]), id(strangers[3])}
    with pytest.raises(ValueError, match="none of 2 strangers shares nothing"):
        stranger_to(asker, strangers[:2], random.Random(0))

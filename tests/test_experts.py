"""Experts and the endpoint below them, against a real server and against one that makes every fault
there is.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from conftest import FORKSERVER
from experts_server import FaultyServer

from pdlib import benchmarks, modes
from pdlib.dataset import experts
from pdlib.dataset.endpoint import DryRunError, Endpoint, EndpointError, spoken
from pdlib.dataset.endpoint_expert import EndpointExpert
from pdlib.pocket.expert import PocketExpert
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.splits import is_held_out_persona
from pdlib.pocket.world import World
from pdlib.schema import Item, Mode, Persona

FAULTS = ["429", "500", "503", "timeout", "cut", "malformed", "html", "no choices", "empty"]
KEY = "sk-a-secret-that-must-not-leak"


def say(*texts: str) -> list[list[dict]]:
    return [[{"role": "user", "content": text}] for text in texts]


@pytest.fixture
def server():
    with FaultyServer() as server:
        yield server


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


# --- faults ---


def test_every_fault_is_survived_and_nothing_is_asked_twice(server, tmp_path):
    server.faults = {fault: [fault] for fault in FAULTS}
    endpoint = Endpoint(server.url, "m", tmp_path, timeout=server.silence / 2)
    texts = [*FAULTS, "plain"]
    assert endpoint.ask(say(*texts)) == [f"re: {text}" for text in texts]
    assert {text: server.asked(text) for text in texts} == {
        fault: [fault, "answer"] for fault in FAULTS
    } | {"plain": ["answer"]}
    attempts = len(server.log)
    assert Endpoint(server.url, "m", tmp_path).ask(say(*reversed(texts))) == [
        f"re: {text}" for text in reversed(texts)
    ]
    assert len(server.log) == attempts


def test_half_a_character_is_kept_as_a_question_mark(server, tmp_path):
    server.reply = lambda messages, attempt: "a \ud835 loan"
    assert Endpoint(server.url, "m", tmp_path).ask(say("one")) == ["a ? loan"]
    server.reply = None
    assert Endpoint(server.url, "m", tmp_path).ask(say("one")) == ["a ? loan"], "from the journal"


def test_retry_after_is_obeyed(server, tmp_path):
    server.faults, server.retry_after = {"a": ["429"]}, "1.2"
    started = time.monotonic()
    Endpoint(server.url, "m", tmp_path).ask(say("a"))
    assert time.monotonic() - started >= 1.2  # the client's own first wait is half a second at most


def test_what_fails_is_counted_reported_and_asked_again(server, tmp_path, capsys):
    server.faults = {"b": ["500", "500"]}
    endpoint = Endpoint(server.url, "m", tmp_path, retries=1)
    assert endpoint.ask(say("a", "b", "c")) == ["re: a", None, "re: c"]
    said = capsys.readouterr().out
    assert (
        "2/3 answered" in said
        and "1 failed and will be asked again" in said
        and "this is a 500" in said
    )
    assert endpoint.ask(say("a", "b", "c")) == ["re: a", "re: b", "re: c"]
    assert [len(server.asked(text)) for text in "abc"] == [1, 3, 1]


def test_too_many_failures_stop_the_run_and_keep_the_answers(server, tmp_path):
    texts = [str(i) for i in range(100, 130)]
    server.faults = {text: ["503"] for text in texts[10:]}
    endpoint = Endpoint(server.url, "m", tmp_path, retries=0, concurrency=1)
    with pytest.raises(
        EndpointError,
        match="more than 20% of 30 .* 7 x .*this is a 503.* 10 answers .*are safe in .*run again",
    ):
        endpoint.ask(say(*texts))
    assert len(server.log) == 17  # it stops at the seventh failure: 7 > 0.2 * 30
    server.faults = {}
    assert endpoint.ask(say(*texts)) == [f"re: {text}" for text in texts]
    assert len(server.log) == 17 + 20


def test_a_server_that_went_down_is_not_asked_to_the_end(server, tmp_path):
    server.faults = {"*": ["503"]}
    with pytest.raises(EndpointError, match="13 requests failed one after the other"):
        Endpoint(server.url, "m", tmp_path, retries=0, concurrency=1).ask(
            say(*map(str, range(200)))
        )
    assert len(server.log) == 13


def test_a_request_the_server_refuses_fails_alone(server, tmp_path):
    server.faults = {"b": ["400"]}
    assert Endpoint(server.url, "m", tmp_path).ask(say("a", "b")) == ["re: a", None]
    assert server.asked("b") == ["400"]


@pytest.mark.parametrize(
    "status, words",
    [("401", "key is refused.*OPENAI_API_KEY"), ("402", "no credit"), ("404", "no such model")],
)
def test_hopeless_answers_stop_at_once(server, tmp_path, status, words):
    server.faults = {"*": [status]}
    with pytest.raises(EndpointError, match=words):
        Endpoint(server.url, "m", tmp_path, concurrency=2).ask(say(*"abcdefgh"))
    assert len(server.log) <= 2


def test_nobody_there_is_said_before_any_other_attempt(tmp_path, monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr("anyio.sleep", sleep)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(EndpointError, match="cannot be reached.*0 answers"):
            Endpoint(f"http://127.0.0.1:{free.getsockname()[1]}/v1", "m", tmp_path).ask(say("a"))
    assert set(waits) <= {0.0}, "the client waited for another attempt"


# --- the key ---


def test_the_key_is_sent_and_written_nowhere(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MY_KEY", KEY)
    endpoint = Endpoint(server.url, "m", tmp_path, api_key_env="MY_KEY")
    endpoint.ask(say("a"))
    assert server.keys == {KEY}
    server.faults = {"*": ["401"]}  # this server's message repeats the key
    try:
        endpoint.ask(say("b"))
        raise AssertionError("401 passed for an answer")
    except EndpointError as error:
        told = str(error) + traceback.format_exc()
    assert "Incorrect API key provided: ***" in told and "MY_KEY (set)" in told
    files = [path.read_text() for path in tmp_path.iterdir()]
    assert [
        text for text in (told, repr(endpoint), *capsys.readouterr(), *files) if KEY in text
    ] == []
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(EndpointError, match="MY_KEY .not set."):
        endpoint.ask(say("b"))


# --- the journal ---


def test_the_key_of_a_request_covers_what_shapes_the_answer(tmp_path):
    request = say("a")[0]
    endpoints = [
        Endpoint("http://x/v1", model, tmp_path, **settings)
        for model, settings in [
            ("m", {}),
            ("n", {}),
            ("m", {"temperature": 0.6}),
            ("m", {"max_tokens": 5}),
            ("m", {"extra_body": {"top_p": 0.9}}),
        ]
    ]
    keys = [endpoint.key(request) for endpoint in endpoints] + [
        endpoints[0].key(request, 1),
        endpoints[0].key(say("b")[0]),
    ]
    assert len(set(keys)) == 7
    same = Endpoint(
        "http://y/v1", "m", tmp_path / "other", concurrency=1, retries=0, timeout=1, price_in=3
    )
    assert same.key(request) == keys[0]


def test_samples_are_asked_anew_and_twins_once(server, tmp_path):
    server.reply = lambda messages, attempt: f"{messages[-1]['content']}{attempt}"
    endpoint = Endpoint(server.url, "m", tmp_path, concurrency=1)
    assert endpoint.ask(say("a", "a", "b", "a"), [0, 1, 0, 0]) == ["a0", "a1", "b0", "a0"]
    assert len(server.log) == 3
    with pytest.raises(ValueError, match="zip"):
        endpoint.ask(say("a", "b"), [0])


def test_a_half_written_last_line_is_dropped_and_asked_again(server, tmp_path, capsys):
    endpoint = Endpoint(server.url, "m", tmp_path, concurrency=1)
    endpoint.ask(say("a", "b"))
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    assert endpoint.ask(say("a", "b")) == ["re: a", "re: b"]
    assert "half written" in capsys.readouterr().out
    assert [len(server.asked(text)) for text in "ab"] == [1, 2]
    assert len(journal.read_text().splitlines()) == len(endpoint.journal()) == 2


def test_a_broken_line_elsewhere_is_refused(server, tmp_path):
    endpoint = Endpoint(server.url, "m", tmp_path, concurrency=1)
    endpoint.ask(say("a", "b"))
    journal = tmp_path / "journal.jsonl"
    journal.write_text(journal.read_text().replace('{"key"', '{"kex"', 1))
    with pytest.raises(
        ValueError, match="journal.jsonl, line 1: not a journal line.*delete that line"
    ):
        endpoint.ask(say("a"))


def ask_questions(url: str, folder: Path, n: int, printed: Path):
    """Ask n questions; what is said on the way goes to the file `printed`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
    texts = [f"question {i}" for i in range(n)]
    with printed.open("w") as file, contextlib.redirect_stdout(file):
        answers = Endpoint(url, "m", folder, concurrency=2).ask(say(*texts))
    assert answers == [f"re: {text}" for text in texts]


def asker(server, folder: Path, n: int, name: str = "asker"):
    """A process of its own that asks n questions."""
    arguments = (server.url, folder, n, folder / f"{name}.txt")
    process = FORKSERVER.Process(target=ask_questions, args=arguments, daemon=True)
    process.start()
    return process


def until(condition, seconds: float = 300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_stopped_in_the_middle_and_run_again(server, tmp_path, how):
    """The server answers half of the requests, and the others only when the asker is gone."""
    journal, gone = tmp_path / "journal.jsonl", threading.Event()
    server.reply = lambda messages, attempt: (
        (len(server.log) <= 20 or gone.wait(300)) and f"re: {messages[-1]['content']}"
    )
    process = asker(server, tmp_path, 40)
    until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 5)
    os.kill(process.pid, how)
    process.join(300)
    gone.set()
    kept = {
        row["text"].removeprefix("re: ")
        for row in map(json.loads, journal.read_bytes().splitlines(keepends=True)[:-1])
    }
    assert 4 <= len(kept) < 40 and len(server.log) < 40
    again = asker(server, tmp_path, 40)
    again.join(300)
    assert again.exitcode == 0
    asked = Counter(text for text, _ in server.log)
    assert {text for text in kept if asked[text] > 1} == set()
    assert (
        len(asked) == 40 and max(asked.values()) <= 2 and sum(asked.values()) <= 40 + 3
    )  # two were under way, one line may be half


def test_two_processes_share_one_journal(server, tmp_path):
    server.pause = 0.05
    both = [asker(server, tmp_path, 12, name) for name in ("one", "other")]
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    assert sorted(Counter(text for text, _ in server.log).values()) == [1] * 12
    printed = [(tmp_path / f"{name}.txt").read_text() for name in ("one", "other")]
    assert sum("waiting for that one" in text for text in printed) <= 1
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 12


# --- concurrency, pace, event loops ---


def test_never_more_at_once_than_allowed(server, tmp_path):
    """The first three requests are answered when all three are there, and a fourth has had time to
    come.
    """
    together = threading.Barrier(3, action=lambda: time.sleep(0.2))
    server.reply = lambda messages, attempt: (
        f"{together.wait(300) if messages[-1]['content'] in 'abc' else 0}"
    )
    Endpoint(server.url, "m", tmp_path, concurrency=3).ask(say(*"abcdefghi"))
    assert server.most_open == 3


def test_pace_counts_every_attempt(server, tmp_path):
    server.faults = {"a": ["429"]}
    started = time.monotonic()
    Endpoint(server.url, "m", tmp_path, requests_per_minute=600).ask(say("a", "b", "c"))
    assert (
        time.monotonic() - started >= 0.4
    )  # greeting, three first attempts and one more: four gaps of 0.1 s


def test_inside_a_running_event_loop(server, tmp_path):
    async def cell():
        return Endpoint(server.url, "m", tmp_path).ask(say("a"))

    assert asyncio.run(cell()) == ["re: a"]


# --- what is sent and what comes back ---


def test_settings_are_sent_and_none_is_left_to_the_server(server, tmp_path):
    Endpoint(server.url, "m", tmp_path, max_tokens=7, temperature=0.6, extra_body={"top_k": 3}).ask(
        say("a")
    )
    Endpoint(server.url, "m", tmp_path, max_tokens=None).ask(say("b"))
    first, second = server.bodies
    assert first == {
        "model": "m",
        "messages": say("a")[0],
        "max_tokens": 7,
        "temperature": 0.6,
        "top_k": 3,
    }
    assert second == {"model": "m", "messages": say("b")[0]}


@pytest.mark.parametrize(
    "text, said",
    [
        ("<think>a loan?</think>\n\nA loan.", "A loan."),
        ("a loan?</think> A loan.", "A loan."),
        ("<think>a loan, or", ""),
        ("A loan. ", "A loan."),
        ("<think>x</think>", ""),
    ],
)
def test_thinking_is_left_out(text, said):
    assert spoken(text) == said


def test_cut_answers_are_counted_and_told_apart(server, tmp_path, capsys):
    server.faults = {"a": ["length"]}
    endpoint = Endpoint(server.url, "m", tmp_path, max_tokens=9)
    assert endpoint.ask(say("a", "b")) == ["re: a", "re: b"]
    assert "1 cut off at max_tokens 9" in capsys.readouterr().out
    assert endpoint.ask(say("a", "b"), whole=True) == ["", "re: b"]
    assert len(server.log) == 2


# --- estimate and dry run ---


def test_estimate_by_hand(server, tmp_path):
    endpoint = Endpoint(
        server.url, "m", tmp_path, concurrency=2, max_tokens=100, price_in=2.0, price_out=10.0
    )
    requests = say("a" * 40, "b" * 80, "b" * 80)
    found = endpoint.estimate(requests)
    assert "4 characters a token" in found.pop("how")
    # 120 characters / 4; two requests of at most 100 tokens; (30 * 2 + 200 * 10) / 1e6; two at
    # once, 100 / 50 s
    assert found == pytest.approx(
        {
            "requests": 2,
            "prompt_tokens": 30,
            "completion_tokens": 200,
            "usd": 0.00206,
            "minutes": 2 / 60,
        }
    )
    assert Endpoint(server.url, "m", tmp_path, requests_per_minute=4).estimate(requests)[
        "minutes"
    ] == pytest.approx(0.5 * 2048 / 2048)
    endpoint.ask(requests[:1])
    left = endpoint.estimate(requests)
    assert (left["requests"], left["prompt_tokens"], left["completion_tokens"]) == (
        1,
        20,
        5,
    )  # the server counts 5 tokens an answer
    assert "mean of 1 answers" in left["how"]
    assert server.log == [("a" * 40, "answer")]


def test_dry_run_shows_and_asks_nothing(server, tmp_path, capsys):
    endpoint = Endpoint(server.url, "m", tmp_path, dry_run=True)
    with pytest.raises(DryRunError, match="nothing was asked; 2 requests are left") as stop:
        endpoint.ask(say("what is bond?", "b"))
    assert stop.value.estimate["requests"] == 2
    said = capsys.readouterr().out
    assert "2 requests to ask" in said and "[user] what is bond?" in said
    assert server.log == [] and endpoint.journal() == {}
    Endpoint(server.url, "m", tmp_path).ask(say("a"))
    assert endpoint.ask(say("a")) == ["re: a"]  # all there: nothing to run dry of


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"retries": -1}, "retries is -1"),
        ({"url": "localhost:8000/v1"}, "expected http"),
    ],
)
def test_wrong_settings(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        Endpoint(**{"url": "http://x/v1", "model": "m", "folder": tmp_path} | wrong)


# --- a real server ---


@pytest.fixture(scope="module")
def real_server(tiny_llama, tokenizer, tmp_path_factory):
    """(url, model folder, its process) of `transformers serve` with an untrained pocket model.

    A Llama: of a Qwen3, serve reads the reply by Qwen3's own chat template, which the pocket models
    do not have.
    """
    for needed in ("fastapi", "uvicorn"):
        pytest.importorskip(
            needed, reason=f"transformers serve needs {needed}: install the test extra"
        )
    folder = tmp_path_factory.mktemp("served")
    tiny_llama.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        "from transformers.cli.transformers import app; app()",
        "serve",
        str(folder / "model"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )

    def up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return (
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).status == 200
            )
        except (urllib.error.URLError, TimeoutError):
            return False

    try:
        until(up, 60)
        yield f"http://127.0.0.1:{port}/v1", str(folder / "model"), process
    finally:
        process.kill()
        process.wait()


def test_against_transformers_serve(real_server, tmp_path):
    url, model, process = real_server
    expert = EndpointExpert(Endpoint(url, model, tmp_path, max_tokens=8, concurrency=2))
    items = World(0, "test").items("triviaqa", 3)
    asked = [(items[0], None), *((item, item.aligned) for item in items)]
    answers = expert.answers(asked)
    rows = list(expert.endpoint.journal().values())
    assert len(rows) == 4 and all(
        row["text"] and 0 < row["completion_tokens"] <= 8 and row["prompt_tokens"] > 3
        for row in rows
    )
    assert (
        answers == [[None]] * 4 and expert.rejected.total() == 4
    )  # an untrained model says nonsense: no answer is made of it
    process.kill()
    process.wait()
    assert (
        EndpointExpert(Endpoint(url, model, tmp_path, max_tokens=8)).answers(asked) == answers
    )  # from the journal
    with pytest.raises(EndpointError, match="cannot be reached.*4 answers"):
        expert.answers([(items[1], None)])


# --- the pocket expert ---


def pocket_items(n: int = 60) -> list[Item]:
    world = World(0, "train")
    return [item for name in benchmarks.KIND for item in world.items(name, n)]


def right(item: Item, answer: str | None) -> bool:
    return answer is not None and benchmarks.grade(item, answer)[0]


def test_blind_pocket_answers_are_right_with_an_aligned_persona_or_a_cue():
    items, expert = pocket_items(), PocketExpert()
    aligned = expert.answers([(item, item.aligned) for item in items])
    assert [
        item.id for item, (answer,) in zip(items, aligned, strict=True) if not right(item, answer)
    ] == []
    cued = [item for item in items if item.facts.get("cue")]
    assert len(cued) > 100
    assert [
        item.id
        for item, (answer,) in zip(
            cued, expert.answers([(item, None) for item in cued]), strict=True
        )
        if not right(item, answer)
    ] == []


def test_blind_pocket_answers_do_not_read_the_gold():
    items = [item for item in pocket_items() if not item.facts.get("cue")]
    told = [
        Item.from_dict(
            item.to_dict()
            | {
                "gold": item.options[0] if item.options else "?",
                "aliases": (),
                "facts": item.facts | {"field": "?"},
            }
        )
        for item in items
    ]
    assert PocketExpert().answers([(i, None) for i in items], 3) == PocketExpert().answers(
        [(i, None) for i in told], 3
    )
    guesses = PocketExpert().answers([(item, None) for item in items], 20)
    share = sum(
        right(item, answer) for item, row in zip(items, guesses, strict=True) for answer in row
    ) / (20 * len(items))
    assert 0.25 < share < 0.6  # two to four senses, two options


def test_a_persona_of_another_sense_misleads_the_blind_pocket_expert():
    item = next(i for i in World(0, "train").items("triviaqa", 50) if not i.facts["cue"])
    senses = lexicon().words[item.facts["word"]]
    other = next(field for field in senses if field != item.facts["field"])
    assert PocketExpert().answers([(item, Persona("someone", {"field": other}))]) == [
        [senses[other][0]]
    ]


def test_the_pocket_expert_refuses_what_it_cannot_do():
    expert, item = (
        PocketExpert(),
        Item("q", "triviaqa", "objective", "text", "Who wrote Emma?", "Jane Austen"),
    )
    with pytest.raises(ValueError, match="not of the pocket world"):
        expert.answers([(item, None)])
    with pytest.raises(ValueError, match="cannot translate 2 texts"):
        expert.translations(["a", "b"])


def test_a_pocket_rival_misleads_unless_a_cue_settles_the_question():
    expert, lex = PocketExpert(), lexicon()
    items = [item for item in pocket_items() if item.kind == "objective"]
    rivals = expert.rivals(items)
    maybe = [item for item in items if item.gold == "maybe"]
    assert [
        item for item, rival in zip(items, rivals, strict=True) if rival is None
    ] == maybe and len(maybe) > 2
    assert expert.rejected == {"rival: no reading of the word changes the answer": len(maybe)}
    pairs = [(item, rival) for item, rival in zip(items, rivals, strict=True) if rival]
    for item, rival in pairs:
        assert (
            rival.facts["field"] in (lex.words | lex.units)[item.facts["word"]]
            and rival.facts["field"] != item.facts["field"]
        )
        assert (
            rival.facts["studies"] == item.facts["word"] and rival.facts["occupation"] in rival.text
        )
        assert all(rival.facts[key] == item.aligned.facts[key] for key in ("hobby", "style"))
    given = [
        right(item, answer)
        for (item, _), (answer,) in zip(pairs, expert.answers(pairs), strict=True)
    ]
    assert given == [bool(item.facts["cue"]) for item, _ in pairs]
    shown = [
        rival
        for item, rival in pairs
        if item.options
        and lex.words[item.facts["word"]][rival.facts["field"]][0] not in item.options
    ]
    assert shown == []


def test_pocket_rivals_depend_on_the_item_alone():
    items = [item for item in pocket_items(20) if item.kind == "objective"]
    whole = dict(zip([item.id for item in items], PocketExpert().rivals(items), strict=True))
    assert PocketExpert().rivals(items[::-3]) == [whole[item.id] for item in items[::-3]]
    assert len({rival.facts["occupation"] for rival in whole.values() if rival}) > 10


def test_pocket_preferences_keep_hobby_and_style_and_nothing_else():
    lex, everyone = lexicon(), [item.aligned for item in pocket_items()]
    found = PocketExpert().preferences(everyone)
    work = [job for jobs in lex.occupations.values() for job in jobs]
    for persona, wish in zip(everyone, found, strict=True):
        assert wish.facts == {
            "field": None,
            "occupation": wish.facts["occupation"],
            "studies": None,
        } | {key: persona.facts[key] for key in ("hobby", "style")}
        assert (
            wish.text == f"a {wish.facts['occupation']}, likes {persona.facts['hobby']} "
            f"and wants {persona.facts['style']}"
        )
        assert wish.facts["occupation"] in lex.plain_people and not any(
            job in wish.text for job in work
        )
        assert not is_held_out_persona(
            wish.facts["occupation"], wish.facts["hobby"], wish.facts["style"]
        )  # nor is the asker: train split
    assert (
        PocketExpert().preferences(everyone[:5]) == found[:5]
        and len({wish.facts["occupation"] for wish in found}) > 3
    )
    items = [item for item in pocket_items() if item.kind == "personalized"]
    wishes = PocketExpert().preferences([item.aligned for item in items])
    assert all(
        right(item, answer)
        for item, (answer,) in zip(
            items, PocketExpert().answers(list(zip(items, wishes, strict=True))), strict=True
        )
    )


def test_rivals_and_preferences_refuse_what_has_none(expert):
    personal, foreign = (
        World(0, "train").item("personafeedback"),
        Item("q", "triviaqa", "objective", "text", "Who wrote Emma?", "x"),
    )
    for either in (PocketExpert(), expert):
        with pytest.raises(ValueError, match="1 items are personalised.*no rival reading"):
            either.rivals([personal])
    with pytest.raises(ValueError, match="not of the pocket world"):
        PocketExpert().rivals([foreign])
    with pytest.raises(
        ValueError, match="not of the pocket world: its facts are .*ask an endpoint"
    ):
        PocketExpert().preferences([Persona("a nurse")])


def test_modes_and_personas_go_together(expert):
    item = World(0, "train").item("triviaqa")
    for either in (PocketExpert(), expert):
        with pytest.raises(ValueError, match="general trajectory is written without the persona"):
            either.trajectories([(item, Mode.GENERAL, item.aligned)])
        with pytest.raises(ValueError, match="personali[sz]ed trajectory needs a persona"):
            either.trajectories([(item, Mode.PERSONALIZED, None)])


# --- the endpoint's expert ---

EMMA = Item(
    "q1", "triviaqa", "objective", "text", "Who wrote Emma?", "Jane Austen", aliases=("Austen",)
)
BOND = Item(
    "q2",
    "mmlu_pro",
    "objective",
    "choice",
    "which one is bond?",
    "loan sold to investors",
    options=("link between atoms", "loan sold to investors"),
    aligned=Persona("a trader in Leeds"),
)
TRADER = Persona("I am a trader in Leeds.")


@pytest.fixture
def expert(server, tmp_path):
    return EndpointExpert(Endpoint(server.url, "m", tmp_path, concurrency=1))


def script(server, *replies: str):
    """The server says `replies` one after the other, whatever it is asked."""
    waiting = iter(replies)
    server.reply = lambda messages, attempt: next(waiting)


def sent(server) -> list[str]:
    return [body["messages"][-1]["content"] for body in server.bodies]


def test_trajectories(server, expert):
    script(
        server,
        "<think>hm</think>It is a novel of 1815, so Jane Austen.",
        "You trade, so it is the loan.",
    )
    found = expert.trajectories([(EMMA, Mode.GENERAL, None), (BOND, Mode.PERSONALIZED, TRADER)])
    assert found == [
        ("It is a novel of 1815, so Jane Austen.", "Jane Austen"),
        ("You trade, so it is the loan.", "B"),
    ]
    general, personal = sent(server)
    assert "Who wrote Emma?" in general and "Jane Austen" in general and "I am" not in general
    assert (
        "I am a trader in Leeds, my question is:\nwhich one is bond?\nA) link" in personal
        and "B) loan sold" in personal
    )
    assert [len(body["messages"]) for body in server.bodies] == [1, 1]


BAD_REASONING = {
    "[General_mode]\nAusten.": "a mode tag",
    "Austen. <answer>B": "answer marks",
    "The given answer is Austen.": "says that the answer was given",
    "As the reference answer says, Austen.": "says that the answer was given",
    "The answer is already given.": "says that the answer was given",
    "The user wants an author.": "a general one mentions the asker",
    "Given your background, Austen.": "a general one mentions the asker",
    "  ": "empty or cut off",
}


@pytest.mark.parametrize("reply, reason", BAD_REASONING.items())
def test_check_of_a_general_trajectory(reply, reason):
    assert experts.check_trajectory(EMMA, Mode.GENERAL, reply) == reason


def test_check_passes_what_is_sound():
    assert (
        experts.check_trajectory(
            EMMA,
            Mode.GENERAL,
            "Emma is by the author of Persuasion, so the correct answer is Austen.",
        )
        is None
    )
    assert (
        experts.check_trajectory(
            BOND,
            Mode.PERSONALIZED,
            "Since you are a trader in Leeds, your background says: a loan.",
        )
        is None
    )
    assert (
        experts.check_trajectory(BOND, Mode.GENERAL, "A trader in Leeds sells loans.")
        == "a general one mentions the asker"
    )
    ui = Item(
        "q3", "triviaqa", "objective", "text", "In a window, what does the user see?", "a cursor"
    )
    assert (
        experts.check_trajectory(ui, Mode.GENERAL, "What the user sees there is a cursor.") is None
    )


def test_a_bad_reply_is_asked_for_anew_then_counted(server, expert):
    script(server, "The given answer is Austen.", "[General_mode]", "So it is Austen.")
    assert expert.trajectories([(EMMA, Mode.GENERAL, None)]) == [
        ("So it is Austen.", "Jane Austen")
    ]
    assert expert.rejected == Counter() and len(server.log) == 3
    script(server, *["The user is a trader."] * 3)
    assert expert.trajectories([(BOND, Mode.GENERAL, None)]) == [None]
    assert (
        expert.rejected == {"trajectory: a general one mentions the asker": 1}
        and len(server.log) == 6
    )
    assert expert.trajectories([(EMMA, Mode.GENERAL, None), (BOND, Mode.GENERAL, None)]) == [
        ("So it is Austen.", "Jane Austen"),
        None,
    ]
    assert len(server.log) == 6  # good and bad replies alike come from the journal


def test_a_cut_trajectory_is_refused(server, expert):
    server.reply = lambda messages, attempt: "It is a novel of"
    server.faults = {"*": ["length"]}
    assert expert.trajectories([(EMMA, Mode.GENERAL, None)]) == [None]
    assert expert.rejected == {"trajectory: empty or cut off": 1}


def test_a_request_without_reply_is_counted_and_not_asked_anew(server, expert):
    server.faults = {"*": ["400"]}
    assert expert.trajectories([(EMMA, Mode.GENERAL, None)]) == [None]
    assert expert.rejected == {"trajectory: no reply": 1} and len(server.log) == 1


def test_blind_answers_see_what_the_policy_sees(server, expert):
    script(
        server,
        'It trades. {"answer": "B"}',
        '<think>{"answer": "A"}</think>{"answer": "B"}',
        "B, surely",
        '{"answer": ""}',
    )
    assert expert.answers([(BOND, TRADER), (EMMA, None)], samples=2) == [["B", "B"], [None, None]]
    assert (
        sent(server)
        == [modes.user_message(BOND, TRADER)] * 2 + [modes.user_message(EMMA, None)] * 2
    )
    assert expert.rejected.total() == 2 and len(server.log) == 4
    assert expert.answers([], samples=2) == []


def test_personas_are_written_from_the_question_alone(server, expert):
    script(
        server,
        '"I am a reader of old novels."',
        "a trader\nand more",
        "word " * 61,
        "A clerk at a bank",
    )
    assert [p.text for p in expert.personas([EMMA, BOND])] == [
        "a reader of old novels",
        "a clerk at a bank",
    ]
    assert expert.rejected == Counter() and len(server.log) == 4
    for request in sent(server):
        assert not any(text in request for text in ("Jane Austen", "Austen", *BOND.options)), (
            request
        )


def test_another_attempt_writes_another_persona(server, expert):
    script(server, "word " * 61, "a reader", "a librarian")
    assert [expert.personas([EMMA], attempt)[0].text for attempt in (0, 1, 0)] == [
        "a reader",
        "a librarian",
        "a reader",
    ]
    assert len(server.log) == 3


def test_rivals_are_written_from_question_and_options_alone(server, expert):
    script(
        server, "I am a chemist in a laboratory.", "a vet\nand more", "A vet who looks after horses"
    )
    assert [p.text for p in expert.rivals([BOND, EMMA])] == [
        "a chemist in a laboratory",
        "a vet who looks after horses",
    ]
    assert expert.rejected == Counter() and len(server.log) == 3
    of_choice, of_text, _ = sent(server)
    assert (
        "which one is bond?\nA) link between atoms\nB) loan sold to investors" in of_choice
        and "another option" in of_choice
    )
    assert of_choice.count("loan sold to investors") == 1 and "B)" not in of_choice.replace(
        "B) loan", ""
    )  # the gold is not marked
    assert (
        "Who wrote Emma?" in of_text
        and not any(text in of_text for text in ("Austen", "option"))
        and "trader in Leeds" not in of_choice
    )
    assert [p.text for p in expert.rivals([BOND, EMMA])] == [
        "a chemist in a laboratory",
        "a vet who looks after horses",
    ]
    assert len(server.log) == 3  # from the journal
    script(server, "word " * 61, "word " * 61, "word " * 61)
    assert expert.rivals([EMMA], attempt=1) == [None]
    assert (
        expert.rejected == {"rival: more than one sentence of 60 words": 1} and len(server.log) == 6
    )


def test_preferences_are_english_and_the_person_is_all_that_is_sent(server, expert):
    script(
        server,
        "eine Person, die kurze Antworten ohne lange Erklärungen mag",
        "I am somebody who likes short answers and plain words.",
    )
    assert [p.text for p in expert.preferences([TRADER])] == [
        "somebody who likes short answers and plain words"
    ]
    assert (
        all("I am a trader in Leeds." in request for request in sent(server))
        and len(server.log) == 2
    )
    script(server, *["eine Person, die kurze Antworten ohne lange Erklärungen mag"] * 3)
    assert expert.preferences([Persona("a nurse")]) == [None] and expert.rejected == {
        "preference: not in English (de)": 1
    }
    server.faults = {"*": ["400"]}
    assert (
        expert.preferences([Persona("a vet")]) == [None]
        and expert.rejected["preference: no reply"] == 1
    )


def test_translations_and_verdicts(server, expert):
    script(server, "a nurse", "Yes.", "**No**", "Perhaps", "It depends", "Cannot say")
    assert expert.translations(["eine Krankenschwester"]) == ["a nurse"]
    assert expert.verdicts([(EMMA, "J. Austen"), (BOND, "A"), (EMMA, "Emma")]) == [
        True,
        False,
        None,
    ]
    assert "eine Krankenschwester" in sent(server)[0]
    assert (
        "Jane Austen (also accepted: Austen)" in sent(server)[1] and "J. Austen" in sent(server)[1]
    )
    assert "Reference answer: B) loan sold to investors" in sent(server)[2]
    assert expert.rejected == {"verdict: neither Yes nor No": 1}


# --- agreement ---


class Judge:
    def __init__(self, *verdicts):
        self.said = list(verdicts)

    def verdicts(self, asked):
        assert len(asked) == len(self.said)
        return self.said


def test_agreement_by_hand():
    """Grader: 1 1 1 0 0 0 (0 for the letter A); judge: 1 1 0 1 0 0. Agreed 4/6; by chance 1/2;
    kappa (2/3 - 1/2)/(1 - 1/2) = 1/3.
    """
    answers = ["B", "B", "B", "A", "A", "A", "B", None]
    found = experts.agreement(
        [BOND] * 8, answers, Judge(True, True, False, True, False, False, None)
    )
    assert found == pytest.approx(
        {
            "n": 6,
            "agree": 4 / 6,
            "kappa": 1 / 3,
            "judge_yes_grader_no": 1,
            "judge_no_grader_yes": 1,
            "no_verdict": 1,
            "no_answer": 1,
        }
    )


def test_agreement_where_kappa_is_not_defined():
    found = experts.agreement([BOND] * 2, ["B", "B"], Judge(True, True))
    assert found["agree"] == 1 and found["kappa"] != found["kappa"]
    empty = experts.agreement([BOND], [None], Judge())
    assert empty["n"] == 0 and empty["agree"] != empty["agree"] and empty["no_answer"] == 1


def test_the_pocket_judge_is_lenient_where_the_grader_is_strict():
    found = experts.agreement(
        [BOND] * 4,
        ["B", "A", "it is a loan sold to investors", "link between atoms"],
        PocketExpert(),
    )
    assert (found["n"], found["judge_yes_grader_no"], found["judge_no_grader_yes"]) == (4, 1, 0)

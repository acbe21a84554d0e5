"""Any OpenAI-compatible endpoint: many requests at once, every answer kept in a journal, nothing
asked twice.

The `openai` client does transport, retries and back-off (429 with Retry-After, 5xx, time-outs, cut
connections). A 200 whose body is no answer is handed to it as a fault of the connection, so that it
is asked again in the same way.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import anyio
import httpx2
import openai
from anyio.from_thread import start_blocking_portal
from filelock import FileLock, Timeout

JOURNAL = "journal.jsonl"
TOKENS = ("prompt_tokens", "completion_tokens")  # the server's own counts, 0 where it gives none
CHARACTERS_A_TOKEN = 4  # English prose; the estimate says so
TOKENS_A_SECOND = 50  # one request's pace as long as none has been timed
FEW = 2  # so many failures never stop a run
# so many, and two for each request at once, with no answer between them do: the server is down
IN_A_ROW = 10
HOPELESS = {  # answers that no retry changes
    401: "the key is refused",
    402: "the account has no credit",
    403: "the key may not use this model",
    404: "no such model or url",
}
SHOW_EVERY = 10.0  # seconds between lines of progress

Messages = list[dict]


class EndpointError(RuntimeError):
    """The endpoint cannot be used, or too many requests failed; the message says what it said and
    what to do.
    """


class DryRun(Exception):
    """Nothing was asked because `dry_run` is on; `estimate` is what asking would have taken."""

    def __init__(self, estimate: dict):
        super().__init__(
            f"dry run: nothing was asked; {estimate['requests']} requests are left. Turn dry_run off to ask them"
        )
        self.estimate = estimate


@dataclass
class _Run:
    """What has happened since `ask` began."""

    asked: int  # requests of the call, the answered ones of earlier runs included
    total: int  # of them to be asked now
    started: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)
    rows: list[dict] = field(default_factory=list)
    failed: Counter = field(default_factory=Counter)
    failed_in_a_row: int = 0
    stop: str = ""


class _Turn:
    """Lets one attempt through every 60 / `per_minute` seconds (None: at once)."""

    def __init__(self, per_minute: float | None):
        self.gap, self.next = 60 / per_minute if per_minute else 0.0, 0.0

    async def wait(self, request: httpx2.Request) -> None:
        start = max(time.monotonic(), self.next)
        self.next = start + self.gap
        await anyio.sleep(max(0.0, start - time.monotonic()))


def spoken(text: str) -> str:
    """What a reasoning model says after its thinking; empty when it was cut off while it thought.

    >>> spoken("<think>bond... finance?</think>A loan.")
    'A loan.'
    """
    said = text.rpartition("</think>")[
        2
    ]  # some templates put <think> into the prompt: only its end is in the reply
    return said.partition("<think>")[0].strip()


def _answer(body) -> dict:
    """{text, finish} of a chat completion's JSON; ValueError when it is none, or says nothing
    though it was not cut off.

    Half of a surrogate pair, which no file could hold, becomes a question mark.
    """
    try:
        choice = body["choices"][0]
        text, finish = choice["message"].get("content") or "", choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as broken:
        raise ValueError(f"no choices in the reply: {str(body)[:200]}") from broken
    if not isinstance(text, str) or not text and finish not in ("length", "content_filter"):
        raise ValueError(f"no text in the reply: {str(body)[:200]}")
    return {"text": text.encode("utf-8", "replace").decode("utf-8"), "finish": finish}


async def _refuse_nonsense(response: httpx2.Response) -> None:
    """A hook of the client: a 200 that holds no answer counts as a cut connection, which the client
    asks again.
    """
    if response.status_code != 200 or not response.request.url.path.endswith("/chat/completions"):
        return
    await response.aread()
    try:
        _answer(response.json())
    except ValueError as broken:
        raise httpx2.RemoteProtocolError(
            f"a reply that is no answer ({broken}): {response.text[:200]}"
        ) from broken


@dataclass
class Endpoint:
    """`model` at `url` (".../v1"); answers are kept in `folder`/journal.jsonl.

    requests_per_minute: None for no limit; repeated attempts count.  temperature, max_tokens: None
    leaves them to the server. extra_body: what else the server takes, as {"max_completion_tokens":
    4096}.  timeout: seconds an attempt. retries: attempts after the first, at 0.5, 1, 2, 4, 8, 8
    ... seconds or what Retry-After says. price_in, price_out: USD per million tokens.  max_failed:
    the share of requests that may fail. api_key_env: the environment variable with the key; it is
    read there when asking and kept nowhere.
    """

    url: str
    model: str
    folder: Path | str
    _: KW_ONLY
    concurrency: int = 8
    requests_per_minute: float | None = None
    max_tokens: int | None = 2048
    temperature: float | None = None
    extra_body: dict | None = None
    timeout: float = 600.0
    retries: int = 6
    price_in: float = 0.0
    price_out: float = 0.0
    api_key_env: str = "OPENAI_API_KEY"
    max_failed: float = 0.2
    dry_run: bool = False

    def __post_init__(self):
        self.folder = Path(self.folder)
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url {self.url!r}: expected http:// or https://, up to and with /v1")
        for name, least in (
            ("concurrency", 1),
            ("retries", 0),
            ("max_tokens", 1),
            ("timeout", 1e-3),
            ("requests_per_minute", 1e-3),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")

    # --- what to ask ---

    def key(self, messages: Messages, sample: int = 0) -> str:
        """The name of a request in the journal: model, messages, sampling settings and sample
        number.
        """
        parts = {
            "model": self.model,
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "extra_body": self.extra_body,
            "sample": sample,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _keys(self, requests: Sequence[Messages], samples: Sequence[int] | None) -> list[str]:
        samples = [0] * len(requests) if samples is None else samples
        return [
            self.key(messages, sample) for messages, sample in zip(requests, samples, strict=True)
        ]

    def journal(self, repair: bool = False) -> dict[str, dict]:
        """Key -> {text, finish, prompt_tokens, completion_tokens, seconds}; ValueError for a line
        that is not JSON.

        repair: cut off a last line that a killed run left half written (under the lock only: it may
        be being written).
        """
        path = self.folder / JOURNAL
        raw = path.read_bytes() if path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        if repair and len(whole) < len(raw):
            print(
                f"{path}: the last line was half written, as by a killed run; dropped, its request will be asked again",
                flush=True,
            )
            os.truncate(path, len(whole))
        lines = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(line)
                lines[row.pop("key")] = row
            except (ValueError, KeyError, AttributeError) as broken:
                raise ValueError(
                    f"{path}, line {number}: not a journal line ({broken}); delete that line and run again"
                ) from broken
        return lines

    def estimate(self, requests: Sequence[Messages], samples: Sequence[int] | None = None) -> dict:
        """What is left to ask: requests, prompt_tokens, completion_tokens, usd, minutes, and in
        `how` what they rest on.
        """
        journal = self.journal()
        todo = list(
            {
                k: messages
                for k, messages in zip(self._keys(requests, samples), requests)
                if k not in journal
            }.values()
        )
        answered = list(journal.values())
        prompt = round(
            sum(len(m["content"]) / CHARACTERS_A_TOKEN for messages in todo for m in messages)
        )
        if answered:
            each = sum(row["completion_tokens"] for row in answered) / len(answered)
            seconds, how = (
                sum(row["seconds"] for row in answered) / len(answered),
                f"mean of {len(answered)} answers in the journal",
            )
        else:
            each = self.max_tokens or 2048
            seconds, how = (
                each / TOKENS_A_SECOND,
                f"{each} tokens an answer at most, {TOKENS_A_SECOND} tokens a second assumed",
            )
        completion, n = round(each * len(todo)), len(todo)
        slowest = max(
            n * seconds / self.concurrency / 60, n / (self.requests_per_minute or float("inf"))
        )
        return {
            "requests": n,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "usd": self._usd(prompt, completion),
            "minutes": slowest,
            "how": f"prompts: {CHARACTERS_A_TOKEN} characters a token; answers: {how}",
        }

    def _usd(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    # --- asking ---

    def ask(
        self,
        requests: Sequence[Messages],
        samples: Sequence[int] | None = None,
        whole: bool = False,
    ) -> list[str | None]:
        """The answers in order, without thinking; None where a request failed after its retries (a
        later call asks it again).

        samples: one number a request; another number asks the same thing anew.  whole: an answer
        that was cut off at max_tokens comes back as "".  Works in a running event loop too. A
        second process on the same folder waits for the first. Raises EndpointError for an endpoint
        that cannot be used and when more than `max_failed` of the requests failed; DryRun when
        something is left to ask and `dry_run` is on.
        """
        keys = self._keys(requests, samples)
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".journal.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{self.folder}: another run is asking, waiting for that one", flush=True)
            lock.acquire()
        try:
            journal = self.journal(repair=True)
            todo = {key: messages for key, messages in zip(keys, requests) if key not in journal}
            if todo:
                self._announce(self.estimate(requests, samples), next(iter(todo.values())))
                with start_blocking_portal() as portal:  # a loop of its own, which Ctrl-C ends
                    run = portal.call(self._ask_all, todo, journal, len(set(keys)))
                self._settle(run, len(journal))
        finally:
            lock.release()
        rows = [journal.get(key) for key in keys]
        return [
            row and ("" if whole and row["finish"] == "length" else spoken(row["text"]))
            for row in rows
        ]

    def _announce(self, about: dict, first: Messages) -> None:
        print(
            "{model}: {requests} requests to ask, about {prompt_tokens:,} + {completion_tokens:,} tokens, {usd:.2f} USD, "
            "{minutes:.1f} min ({how})".format(model=self.model, **about),
            flush=True,
        )
        if self.dry_run:
            print(
                "the first one:\n" + "\n".join(f"[{m['role']}] {m['content']}" for m in first),
                flush=True,
            )
            raise DryRun(about)

    async def _ask_all(
        self, todo: dict[str, Messages], journal: dict[str, dict], asked: int
    ) -> _Run:
        run, turn = _Run(asked, len(todo)), _Turn(self.requests_per_minute)
        http = openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [turn.wait], "response": [_refuse_nonsense]}
        )
        async with openai.AsyncOpenAI(
            base_url=self.url,
            api_key=os.environ.get(self.api_key_env) or "none",
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=http,
        ) as client:
            await self._greet(client, run)
            waiting = iter(todo.items())
            with (self.folder / JOURNAL).open("ab") as file:
                async with anyio.create_task_group() as group:
                    for _ in range(self.concurrency):
                        group.start_soon(self._worker, client, waiting, journal, file, run)
        return run

    async def _greet(self, client: openai.AsyncOpenAI, run: _Run) -> None:
        """Find out at once, and not after all retries, that nobody is there or that the key is
        refused.
        """
        try:
            await client.with_options(max_retries=0, timeout=min(self.timeout, 20.0)).models.list()
        except openai.AuthenticationError as error:
            self._failed(error, run)
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout)):
                run.stop = f"it cannot be reached ({self._reason(error)}); is the server running, is the url right?"
        except openai.APIError:
            pass  # not every server lists its models; the first request will tell

    async def _worker(
        self, client, waiting: Iterator[tuple[str, Messages]], journal: dict, file, run: _Run
    ) -> None:
        for key, messages in waiting:
            if run.stop:
                return
            started = time.monotonic()
            try:
                row = await self._one(client, messages)
            except openai.APIError as error:
                self._failed(error, run)
            else:
                row["seconds"] = round(time.monotonic() - started, 3)
                file.write(json.dumps({"key": key} | row).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                journal[key], run.failed_in_a_row = row, 0
                run.rows.append(row)
            self._show(run)

    async def _one(self, client: openai.AsyncOpenAI, messages: Messages) -> dict:
        """One request with its retries, as a journal line; openai.APIError when it fails."""
        settings = {
            k: v
            for k in ("max_tokens", "temperature", "extra_body")
            if (v := getattr(self, k)) is not None
        }
        reply = await client.chat.completions.create(
            model=self.model, messages=messages, **settings
        )
        return _answer(reply.model_dump()) | {
            name: getattr(reply.usage, name, None) or 0 for name in TOKENS
        }

    # --- what went wrong, and progress ---

    def _reason(self, error: Exception) -> str:
        """What the server or the connection said, without the key."""
        if isinstance(error, openai.APITimeoutError):
            said = f"no answer within {self.timeout:g} s"
        elif isinstance(error, openai.APIConnectionError):
            said = f"{type(error.__cause__).__name__}: {error.__cause__}"
        else:
            said = str(error)
        secret = os.environ.get(self.api_key_env)
        return (said.replace(secret, "***") if secret else said)[:300]

    def _failed(self, error: Exception, run: _Run) -> None:
        reason, status = self._reason(error), getattr(error, "status_code", None)
        run.failed[reason] += 1
        run.failed_in_a_row += 1
        if status in HOPELESS:
            run.stop = HOPELESS[status]
        elif getattr(error, "code", None) == "insufficient_quota":
            run.stop = HOPELESS[402]
        elif run.failed.total() > max(FEW, self.max_failed * run.asked):
            run.stop = f"more than {self.max_failed:.0%} of {run.asked} requests failed"
        elif run.failed_in_a_row > IN_A_ROW + 2 * self.concurrency:
            run.stop = f"{run.failed_in_a_row} requests failed one after the other"

    def _show(self, run: _Run) -> None:
        if time.monotonic() - run.shown < SHOW_EVERY:
            return
        run.shown, done = time.monotonic(), len(run.rows) + run.failed.total()
        left = (run.shown - run.started) / done * (run.total - done) / 60
        print(
            f"{self.model}: {len(run.rows)}/{run.total} answered, {run.failed.total()} failed, {left:.1f} min left",
            flush=True,
        )

    def _settle(self, run: _Run, kept: int) -> None:
        """Report the run; EndpointError when it was stopped."""
        said = "; ".join(f"{count} x {reason}" for reason, count in run.failed.most_common(3))
        if run.stop:
            raise EndpointError(
                f"{self.model} at {self.url}: {run.stop}. {f'The server said: {said}. ' if said else ''}{kept} answers of this and "
                f"earlier runs are safe in {self.folder / JOURNAL}. Check url, model and the key in {self.api_key_env} "
                f"({'set' if os.environ.get(self.api_key_env) else 'not set'}), then run again: only what is missing is asked"
            )
        tokens_in, tokens_out = (sum(row[name] for row in run.rows) for name in TOKENS)
        cut = sum(row["finish"] == "length" for row in run.rows)
        print(
            f"{self.model}: {len(run.rows)}/{run.total} answered in {(time.monotonic() - run.started) / 60:.1f} min, "
            f"{tokens_in:,} + {tokens_out:,} tokens, {self._usd(tokens_in, tokens_out):.2f} USD"
            + (f"; {cut} cut off at max_tokens {self.max_tokens}" if cut else "")
            + (
                f"; {run.failed.total()} failed and will be asked again by the next run: {said}"
                if run.failed
                else ""
            ),
            flush=True,
        )

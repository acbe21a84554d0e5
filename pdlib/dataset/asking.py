"""One run of requests to an endpoint: several at once, with retries, counts and progress.

The `openai` client does transport, retries and back-off (429 with Retry-After, 5xx, time-outs, cut
connections). A 200 whose body is no answer is handed to it as a fault of the connection, so that it
is asked again in the same way.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import anyio
import httpx2
import openai

from pdlib.dataset import journal, replies
from pdlib.dataset.replies import Messages

TOKENS = ("prompt_tokens", "completion_tokens")  # the server's own counts, 0 where it gives none
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


class _Turn:
    """Lets one attempt through every 60 / `per_minute` seconds (None: at once)."""

    def __init__(self, per_minute: float | None):
        self.gap, self.next = 60 / per_minute if per_minute else 0.0, 0.0

    async def wait(self, request: httpx2.Request) -> None:
        start = max(time.monotonic(), self.next)
        self.next = start + self.gap
        await anyio.sleep(max(0.0, start - time.monotonic()))


class Run:
    """What happens between the call of `Endpoint.ask` and its answers.

    todo: key -> messages of the requests to be asked.  answers: key -> journal line; new ones are
    added.  n_requests: those of the call, the answered ones of earlier runs included.
    stop: why the run was stopped, "" while it goes on.
    """

    def __init__(
        self, endpoint, todo: dict[str, Messages], answers: dict[str, dict], n_requests: int
    ):
        self.endpoint, self.todo, self.answers = endpoint, todo, answers
        self.n_requests = n_requests
        self.started = self.shown = time.monotonic()
        self.rows: list[dict] = []
        self.failures: Counter = Counter()
        self.failures_in_a_row = 0
        self.stop = ""

    async def ask_all(self) -> None:
        """Ask everything in `todo`, until it is done or `stop` says why not."""
        endpoint = self.endpoint
        turn = _Turn(endpoint.requests_per_minute)
        http = openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [turn.wait], "response": [replies.refuse_nonsense]}
        )
        async with openai.AsyncOpenAI(
            base_url=endpoint.url,
            api_key=os.environ.get(endpoint.api_key_env) or "none",
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
            http_client=http,
        ) as client:
            await self._greet(client)
            waiting = iter(self.todo.items())
            with (endpoint.folder / journal.NAME).open("ab") as file:
                async with anyio.create_task_group() as group:
                    for _ in range(endpoint.concurrency):
                        group.start_soon(self._work, client, waiting, file)

    async def _greet(self, client: openai.AsyncOpenAI) -> None:
        """Find out at once, and not after all retries, that the server or the key is no good."""
        timeout = min(self.endpoint.timeout, 20.0)
        try:
            await client.with_options(max_retries=0, timeout=timeout).models.list()
        except openai.AuthenticationError as error:
            self._count_failure(error)
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout)):
                self.stop = (
                    f"it cannot be reached ({self._reason(error)}); is the server running, is the "
                    "url right?"
                )
        except openai.APIError:
            pass  # not every server lists its models; the first request will tell

    async def _work(
        self,
        client: openai.AsyncOpenAI,
        waiting: Iterator[tuple[str, Messages]],
        file: BinaryIO,
    ) -> None:
        """Ask one request after the other, as long as any are waiting."""
        for key, messages in waiting:
            if self.stop:
                return
            started = time.monotonic()
            try:
                row = await self._request(client, messages)
            except openai.APIError as error:
                self._count_failure(error)
            else:
                row["seconds"] = round(time.monotonic() - started, 3)
                journal.append(file, key, row)
                self.answers[key], self.failures_in_a_row = row, 0
                self.rows.append(row)
            self._show()

    async def _request(self, client: openai.AsyncOpenAI, messages: Messages) -> dict:
        """One request with its retries, as a journal line; openai.APIError when it fails."""
        names = ("max_tokens", "temperature", "extra_body")
        settings = {name: getattr(self.endpoint, name) for name in names}
        settings = {name: value for name, value in settings.items() if value is not None}
        reply = await client.chat.completions.create(
            model=self.endpoint.model, messages=messages, **settings
        )
        tokens = {name: getattr(reply.usage, name, None) or 0 for name in TOKENS}
        return replies.parse(reply.model_dump()) | tokens

    def _reason(self, error: Exception) -> str:
        """What the server or the connection said, without the key."""
        if isinstance(error, openai.APITimeoutError):
            reason = f"no answer within {self.endpoint.timeout:g} s"
        elif isinstance(error, openai.APIConnectionError):
            reason = f"{type(error.__cause__).__name__}: {error.__cause__}"
        else:
            reason = str(error)
        secret = os.environ.get(self.endpoint.api_key_env)
        return (reason.replace(secret, "***") if secret else reason)[:300]

    def _count_failure(self, error: Exception) -> None:
        """Count a failed request; `stop` when no more should be asked."""
        endpoint, status = self.endpoint, getattr(error, "status_code", None)
        self.failures[self._reason(error)] += 1
        self.failures_in_a_row += 1
        if status in HOPELESS:
            self.stop = HOPELESS[status]
        elif getattr(error, "code", None) == "insufficient_quota":
            self.stop = HOPELESS[402]
        elif self.failures.total() > max(FEW, endpoint.max_failed * self.n_requests):
            self.stop = f"more than {endpoint.max_failed:.0%} of {self.n_requests} requests failed"
        elif self.failures_in_a_row > IN_A_ROW + 2 * endpoint.concurrency:
            self.stop = f"{self.failures_in_a_row} requests failed one after the other"

    def _show(self) -> None:
        if time.monotonic() - self.shown < SHOW_EVERY:
            return
        self.shown = time.monotonic()
        total, done = len(self.todo), len(self.rows) + self.failures.total()
        minutes_left = (self.shown - self.started) / done * (total - done) / 60
        print(
            f"{self.endpoint.model}: {len(self.rows)}/{total} answered, "
            f"{self.failures.total()} failed, {minutes_left:.1f} min left",
            flush=True,
        )

    def _reasons(self) -> str:
        """The commonest reasons of failures, with their counts."""
        return "; ".join(f"{count} x {reason}" for reason, count in self.failures.most_common(3))

    def explain_stop(self) -> str:
        """Why the run was stopped, what is safe, and what to do."""
        endpoint, reasons = self.endpoint, self._reasons()
        quote = f"The server said: {reasons}. " if reasons else ""
        key = "set" if os.environ.get(endpoint.api_key_env) else "not set"
        return (
            f"{endpoint.model} at {endpoint.url}: {self.stop}. {quote}{len(self.answers)} answers "
            f"of this and earlier runs are safe in {endpoint.folder / journal.NAME}. Check url, "
            f"model and the key in {endpoint.api_key_env} ({key}), then run again: only what is "
            "missing is asked"
        )

    def summary(self) -> str:
        """One line on a run that was not stopped: answers, time, tokens, price, failures."""
        endpoint, minutes = self.endpoint, (time.monotonic() - self.started) / 60
        tokens_in, tokens_out = (sum(row[name] for row in self.rows) for name in TOKENS)
        line = (
            f"{endpoint.model}: {len(self.rows)}/{len(self.todo)} answered in {minutes:.1f} min, "
            f"{tokens_in:,} + {tokens_out:,} tokens, {endpoint.usd(tokens_in, tokens_out):.2f} USD"
        )
        if n_cut := sum(row["finish"] == "length" for row in self.rows):
            line += f"; {n_cut} cut off at max_tokens {endpoint.max_tokens}"
        if self.failures:
            line += (
                f"; {self.failures.total()} failed and will be asked again by the next run: "
                f"{self._reasons()}"
            )
        return line

"""Any OpenAI-compatible endpoint: many requests at once, and nothing asked twice.

Every answer is kept in a journal.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from pdlib.dataset import journal
from pdlib.dataset.replies import Messages, spoken
from pdlib.run import stages

CHARACTERS_PER_TOKEN = 4  # English prose; the estimate says so
TOKENS_PER_SECOND = 50  # one request's pace as long as none has been timed
LEAST = {  # the least value of a setting
    "concurrency": 1,
    "retries": 0,
    "max_tokens": 1,
    "timeout": 1e-3,
    "requests_per_minute": 1e-3,
}


class EndpointError(RuntimeError):
    """The endpoint cannot be used, or too many requests failed.

    The message says what the endpoint said and what to do.
    """


class DryRunError(Exception):
    """Nothing was asked because `dry_run` is on; `estimate` is what asking would have taken."""

    def __init__(self, estimate: dict):
        super().__init__(
            f"dry run: nothing was asked; {estimate['requests']} requests are left. Turn dry_run "
            "off to ask them"
        )
        self.estimate = estimate


@dataclass
class Endpoint:
    """`model` at `url` (".../v1"); answers are kept in `folder`/journal.jsonl.

    requests_per_minute: None for no limit; repeated attempts count.
    temperature, max_tokens: None leaves them to the server.
    extra_body: what else the server takes, as {"max_completion_tokens": 4096}.
    timeout: seconds per attempt.
    retries: attempts after the first, at 0.5, 1, 2, 4, 8, 8 ... seconds or what Retry-After says.
    price_in, price_out: USD per million tokens.
    max_failed: the share of requests that may fail.
    api_key_env: the environment variable with the key; it is read there when asking and kept
    nowhere.
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
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")

    def key(self, messages: Messages, sample: int = 0) -> str:
        """The name of a request in the journal.

        It is made of model, messages, sampling settings and sample number.
        """
        request = {
            "model": self.model,
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "extra_body": self.extra_body,
            "sample": sample,
        }
        return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()

    def _keys(self, requests: Sequence[Messages], samples: Sequence[int] | None) -> list[str]:
        samples = [0] * len(requests) if samples is None else samples
        return [
            self.key(messages, sample) for messages, sample in zip(requests, samples, strict=True)
        ]

    def journal(self) -> dict[str, dict]:
        """Key -> answer of all that was asked so far, see `journal.read`."""
        return journal.read(self.folder)

    def estimate(self, requests: Sequence[Messages], samples: Sequence[int] | None = None) -> dict:
        """What is left to ask: requests, prompt_tokens, completion_tokens, usd, minutes.

        `how` says what these numbers rest on.
        """
        answers = self.journal()
        by_key = dict(zip(self._keys(requests, samples), requests, strict=True))
        todo = [messages for key, messages in by_key.items() if key not in answers]
        characters = [len(turn["content"]) for messages in todo for turn in messages]
        prompt_tokens = round(sum(n / CHARACTERS_PER_TOKEN for n in characters))
        if answers:
            rows = answers.values()
            tokens_each = sum(row["completion_tokens"] for row in rows) / len(rows)
            seconds = sum(row["seconds"] for row in rows) / len(rows)
            basis = f"mean of {len(rows)} answers in the journal"
        else:
            tokens_each = self.max_tokens or 2048
            seconds = tokens_each / TOKENS_PER_SECOND
            basis = (
                f"{tokens_each} tokens an answer at most, {TOKENS_PER_SECOND} tokens a second "
                "assumed"
            )
        completion_tokens = round(tokens_each * len(todo))
        by_concurrency = len(todo) * seconds / self.concurrency / 60
        by_limit = len(todo) / (self.requests_per_minute or float("inf"))
        return {
            "requests": len(todo),
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "usd": self.usd(prompt_tokens, completion_tokens),
            "minutes": max(by_concurrency, by_limit),
            "how": f"prompts: {CHARACTERS_PER_TOKEN} characters a token; answers: {basis}",
        }

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """The price of so many tokens."""
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def ask(
        self,
        requests: Sequence[Messages],
        samples: Sequence[int] | None = None,
        whole: bool = False,
    ) -> list[str | None]:
        """The answers in order, without thinking; None where a request failed after its retries.

        A later call asks a failed request again.

        samples: one number per request; another number asks the same thing anew.
        whole: an answer that was cut off at max_tokens comes back as "".

        Works in a running event loop too. A second process on the same folder waits for the first.
        Raises EndpointError for an endpoint that cannot be used and when more than `max_failed` of
        the requests failed; DryRunError when something is left to ask and `dry_run` is on.
        """
        keys = self._keys(requests, samples)
        by_key = dict(zip(keys, requests, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        message = f"{self.folder}: another run is asking, waiting for that one"
        with stages.locked(self.folder / ".journal.lock", message):
            answers = journal.read(self.folder, repair=True)
            todo = {key: messages for key, messages in by_key.items() if key not in answers}
            if todo:
                from pdlib.dataset.asking import Run  # its client takes half a second to import

                self._announce(self.estimate(requests, samples), next(iter(todo.values())))
                run = Run(self, todo, answers, len(by_key))
                with start_blocking_portal() as portal:  # a loop of its own, which Ctrl-C ends
                    portal.call(run.ask_all)
                if run.stop:
                    raise EndpointError(run.explain_stop())
                print(run.summary(), flush=True)
        return [self._text(answers.get(key), whole) for key in keys]

    def _text(self, row: dict | None, whole: bool) -> str | None:
        if row is None:
            return None
        return "" if whole and row["finish"] == "length" else spoken(row["text"])

    def _announce(self, estimate: dict, first: Messages) -> None:
        """Say what is going to be asked; DryRunError instead where `dry_run` is on."""
        print(
            "{model}: {requests} requests to ask, about {prompt_tokens:,} + {completion_tokens:,} "
            "tokens, {usd:.2f} USD, {minutes:.1f} min ({how})".format(model=self.model, **estimate),
            flush=True,
        )
        if self.dry_run:
            turns = "\n".join(f"[{turn['role']}] {turn['content']}" for turn in first)
            print(f"the first one:\n{turns}", flush=True)
            raise DryRunError(estimate)

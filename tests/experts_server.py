"""A chat server on loopback that answers only after the faults it was told to make; it keeps a log
of all it was asked.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer(ThreadingHTTPServer):
    """`faults`: user text -> the faults of its first attempts, or "*" -> [the fault of every
    attempt at any text].

    reply: (messages, attempt) -> the text answered.  pause: seconds before each answer.  silence:
    seconds of a "timeout". retry_after: seconds, sent with a 429.  most_open: the most attempts at
    once.
    log: (user text, what was done) an attempt, in order of arrival.
    """

    daemon_threads = True

    def __init__(self, faults: dict[str, list[str]] | None = None, reply=None, pause: float = 0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.pause = (
            {text: list(kinds) for text, kinds in (faults or {}).items()},
            pause,
        )
        self.reply = reply or (lambda messages, attempt: f"re: {messages[-1]['content']}")
        self.log, self.bodies, self.keys, self.retry_after, self.silence = [], [], set(), "0.2", 6.0
        self.lock, self.open, self.most_open = threading.Lock(), 0, 0
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def asked(self, text: str) -> list[str]:
        """What was done with each attempt at `text`."""
        return [done for question, done in self.log if question == text]

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, address):
        pass  # a client that gave up is part of the play


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other

    def log_message(self, *_):
        pass

    def send(
        self,
        status: int,
        body: bytes,
        headers: dict | None = None,
        kind: str = "application/json",
        short: int = 0,
    ):
        """A response; `short` leaves out so many of the bytes it announced and hangs up."""
        self.send_response(status)
        for name, value in {
            "content-type": kind,
            "content-length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) - short])
        self.close_connection = self.close_connection or bool(short)

    def do_GET(self):
        self.send(200, b'{"object": "list", "data": []}')

    def do_POST(self):
        server, body = self.server, json.loads(self.rfile.read(int(self.headers["content-length"])))
        text, key = (
            body["messages"][-1]["content"],
            self.headers["authorization"].removeprefix("Bearer "),
        )
        with server.lock:
            faults = server.faults.get(text)
            fault = faults.pop(0) if faults else server.faults.get("*", ["answer"])[0]
            attempt = sum(question == text for question, _ in server.log)
            server.log.append((text, fault))
            server.bodies.append(body)
            server.keys.add(key)
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        time.sleep(server.pause)
        answer = json.dumps(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "length" if fault == "length" else "stop",
                        "message": {
                            "role": "assistant",
                            "content": server.reply(body["messages"], attempt),
                        },
                    }
                ],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        ).encode()
        with server.lock:
            server.open -= 1

        def error(message: str) -> bytes:
            return json.dumps({"error": {"message": message, "code": None, "type": "x"}}).encode()

        match fault:
            case "answer" | "length":
                self.send(200, answer)
            case "429":
                self.send(429, error("slow down"), {"retry-after": server.retry_after})
            case "timeout":
                time.sleep(server.silence)
            case "cut":
                self.send(200, answer, short=20)
            case "malformed":
                self.send(200, answer[:40])
            case "html":
                self.send(200, b"<html>gateway</html>", kind="text/html")
            case "no choices":
                self.send(200, b'{"object": "error"}')
            case "empty":
                self.send(
                    200,
                    answer.replace(
                        json.dumps(server.reply(body["messages"], attempt)).encode(), b"null"
                    ),
                )
            case "401":
                self.send(401, error(f"Incorrect API key provided: {key}"))
            case status:
                self.send(int(status), error(f"this is a {status}"))

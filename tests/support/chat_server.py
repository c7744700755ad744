"""A loopback server that speaks OpenAI's chat completions, as badly as a test wants it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the next step of the server's script; the last step serves all that follow."""

    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), body))
            step = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
            self.waiting = True
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            step(self, body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has gone, as some tests want it to
        finally:
            self.answered()

    def answered(self) -> None:
        """The request is at its end, before anything goes out: on the last byte the client may ask anew."""
        with self.server.lock:
            self.server.at_once -= self.waiting
            self.waiting = False

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.answered()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


class ChatServer(ThreadingHTTPServer):
    """``with ChatServer(status(429), completion("a dog")) as server:``; seen: (path, headers, body) of each request."""

    daemon_threads = True

    def __init__(self, *script: Step) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.seen, self.lock = list(script), [], threading.Lock()
        self.at_once = self.most_at_once = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


def completion(text: str | Callable[[dict[str, Any]], str], *, after: float = 0.0, finish: str = "stop") -> Step:
    """A chat completion with ``text``, or what ``text`` makes of the request."""

    def step(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(after)
        said = text(body) if callable(text) else text
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        answer = {"id": "x", "object": "chat.completion", "model": "served", "choices": [choice], "usage": usage}
        handler.send(200, json.dumps(answer).encode())

    return step


def status(code: int, message: str = "not now", **headers: str) -> Step:
    """An error in OpenAI's form."""
    content = json.dumps({"error": {"message": message, "type": "x"}}).encode()
    return lambda handler, body: handler.send(code, content, **headers)


def raw(content: bytes, code: int = 200) -> Step:
    return lambda handler, body: handler.send(code, content)


def hang_up(handler: Handler, body: dict[str, Any]) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True
    handler.connection.close()

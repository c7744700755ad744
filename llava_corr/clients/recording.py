"""Recorded replies: asked once, replayed for ever.

    RecordedClient("replies.jsonl", OpenAIClient(...))   answers from the file, asks and appends what is not in it
    RecordedClient("replies.jsonl")                      answers from the file only; never calls anything

Every reply is in the file before the caller has it, so a run that is killed and started again asks nothing twice.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path

from ..errors import ClientError
from ..records import Record
from .journal import Journal
from .requests import Client, Reply, Request


class RecordedReply(Record):
    """A row: the request's key, the request itself (for readers of the file), the reply."""

    schema_version: int = 1
    key: str
    request: Request
    reply: Reply


class RecordedClient:
    """Replays replies and, if it has a client, records those that are missing.

    Args:
        path: JSON lines of :class:`RecordedReply`.
        client: whom to ask what is not recorded; None replays only.

    Attributes:
        asked, replayed: number of requests that the client and the file have answered.

    Raises:
        ClientError: to replay only, the file is missing; a row is broken; two replies to one request differ.
    """

    def __init__(self, path: str | Path, client: Client | None = None) -> None:
        self.path, self.client = Path(path), client
        self.asked = self.replayed = 0
        self._journal = Journal(path, RecordedReply, ClientError)
        self._lock = threading.Lock()
        self._replies: dict[str, Future[Reply]] = {}
        if client is not None:
            self._journal.open_for_appending()
        try:
            for row, where in self._journal.rows():
                self._take(row, where)
        except ClientError:
            self.close()
            raise

    def complete(self, request: Request) -> Reply:
        """The recorded reply, or the client's.

        Raises:
            ClientError: not recorded, and there is nobody to ask; or the client's own error.
        """
        key = request.key()
        while True:
            with self._lock:
                known = self._replies.get(key)
                if known is None and self.client is None:
                    raise self._missing(request, key)
                promise: Future[Reply] = known or Future()
                self._replies[key] = promise
            if known is None and self.client is not None:
                return self._ask(self.client, request, key, promise)
            try:
                reply = promise.result()  # waits where another thread asks the same just now
            except CancelledError:
                continue  # that thread has failed; now it is this one's turn
            with self._lock:
                self.replayed += 1
            return reply

    def close(self) -> None:
        """Lets other processes record to the file."""
        self._journal.close()

    def _ask(self, client: Client, request: Request, key: str, promise: Future[Reply]) -> Reply:
        try:
            reply = client.complete(request)
            self._journal.append(RecordedReply(key=key, request=request, reply=reply))
            with self._lock:
                self.asked += 1
            promise.set_result(reply)
            return reply
        finally:
            if not promise.done():  # an error goes to the caller; who waits for the same reply asks again
                with self._lock:
                    del self._replies[key]
                promise.cancel()

    def _take(self, row: RecordedReply, where: str) -> None:
        known = self._replies.get(row.key)
        if known is None:
            known = self._replies[row.key] = Future()
            known.set_result(row.reply)
        elif known.result() != row.reply:
            raise ClientError(
                f"a second, different reply to the request {row.key[:12]}", where=where, mend="remove one of the two"
            )

    def _missing(self, request: Request, key: str) -> ClientError:
        words = " ".join(request.words().split())
        asked = f"{request.model}, {len(request.images())} pictures: {words[:120]!r}"
        return ClientError(
            f"no reply is recorded to the request {key[:12]} ({asked})",
            where=str(self.path),
            mend="record it with the same model, settings, prompts and pictures: leave out --replay",
        )

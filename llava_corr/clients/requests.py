"""What every client takes and gives: a request with words and pictures, and a reply.

A request has a key: a hash of all that a reply may depend on, with pictures by their contents, so that recorded replies
are found again wherever the pictures lie.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Literal, Protocol

from pydantic import Field

from ..errors import ImageError
from ..files import file_hash
from ..records import Record

KEY_VERSION = 1


class ImageFile(Record):
    """A picture of a message."""

    path: str


class Message(Record):
    """Words and pictures, in the order in which the model is to see them."""

    role: Literal["system", "user", "assistant"]
    content: tuple[str | ImageFile, ...]


class Request(Record):
    """What a model is asked.

    Attributes:
        model: the name by which the server, or the record of replies, knows the model.
        max_tokens: of the reply; a longer one is cut there, and ``Reply.finish`` is "length".
        temperature: 0 takes the likeliest word each time; None leaves it to the model's own setting.
        seed: of sampling, where the model takes one.
    """

    model: str
    messages: tuple[Message, ...] = Field(min_length=1)
    max_tokens: int = Field(default=512, gt=0)
    temperature: float | None = Field(default=0.0, ge=0)
    seed: int | None = None

    def key(self) -> str:
        """SHA-256 of everything above, pictures by their contents.

        Raises:
            ImageError: a picture cannot be read.
        """
        value = self.model_dump() | {"version": KEY_VERSION}
        value["messages"] = [[message.role, *map(_identity, message.content)] for message in self.messages]
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()

    def images(self) -> list[str]:
        """Paths of all pictures, in order."""
        return [part.path for part in self._parts() if isinstance(part, ImageFile)]

    def words(self) -> str:
        """All words, without the pictures; one line per piece."""
        return "\n".join(part for part in self._parts() if isinstance(part, str))

    def _parts(self) -> Iterator[str | ImageFile]:
        return (part for message in self.messages for part in message.content)


class Reply(Record):
    """What a model answered.

    Attributes:
        text: its words; "" where it gave none.
        finish: why it ended: "stop", "length" (cut at ``max_tokens``), or the server's own word.
        model: what the server says has answered.
        prompt_tokens, completion_tokens: as counted by whoever answered.
    """

    text: str
    finish: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Client(Protocol):
    """Whatever answers requests; may be asked by several threads at once."""

    def complete(self, request: Request) -> Reply:
        """Answers one request.

        Raises:
            ClientError: no answer is to be had; the message says why.
        """
        ...


def _identity(part: str | ImageFile) -> str | dict[str, str]:
    return part if isinstance(part, str) else {"image": _hash(part.path)}


def _hash(path: str) -> str:
    try:
        state = os.stat(path)
    except OSError as cause:
        raise ImageError(f"the picture cannot be read: {cause.strerror}", where=path, mend="check the path") from cause
    return _hash_of(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=65536)
def _hash_of(path: str, size: int, changed: int) -> str:
    """A file is hashed again when its size or time says that it was changed."""
    return file_hash(path, ImageError)

"""Chat models behind an OpenAI-compatible server: hosted ones, or one of your own (vLLM, llama.cpp, SGLang, Ollama).

What may pass (429, 5xx, a broken connection, a timeout, a reply that is no JSON) is tried again, later and later; what
will not (a wrong key, an unknown model, a request that the server refuses) is an error at once.
"""

from __future__ import annotations

import email.utils
import json
import logging
import random
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ClientError, ConfigError
from .pictures import data_url
from .requests import Message, Reply, Request

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

LimitField = Literal["max_tokens", "max_completion_tokens"]
_PASSING = {408, 409, 425, 429}  # besides 5xx
_SHOWN = 300  # characters of a server's message
_MEND = {
    401: "check the API key",
    403: "check the API key and what it may be used for",
    404: "check the base URL (it usually ends in /v1) and the model's name",
    413: "ask about fewer or smaller pictures",
}


class OpenAIClient:
    """Posts to ``{base_url}/chat/completions``.

    Args:
        base_url: of the server, for example ``https://api.openai.com/v1``.
        api_key: sent as a bearer token; None sends none.
        timeout: seconds to wait for a connection, and for each piece of the reply.
        attempts: how often a request is tried before it is given up.
        first_wait: seconds before the second attempt; each later wait is twice as long, with up to a quarter added by
            chance, unless the server names a time (``Retry-After``).
        longest_wait: seconds, whatever the server says.
        limit_field: what the server calls the limit of the reply's length.

    Raises:
        ConfigError: a base URL that is none, or the library for HTTP is missing.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        attempts: int = 6,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
        limit_field: LimitField = "max_tokens",
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigError(f"the base URL is {base_url!r}", mend="name it as http://localhost:8000/v1")
        if attempts < 1:
            raise ConfigError(f"{attempts} attempts", mend="allow at least one")
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.attempts, self.first_wait, self.longest_wait = attempts, first_wait, longest_wait
        self.limit_field = limit_field
        self._http = _library()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._client = self._http.Client(headers=headers, timeout=timeout)
        except (ValueError, UnicodeEncodeError) as cause:  # a key with signs that no header may hold
            raise ConfigError(f"the API key cannot be sent: {type(cause).__name__}", mend="check the key") from None

    def complete(self, request: Request) -> Reply:
        """Asks the server.

        Raises:
            ClientError: it refuses the request, or gives no readable reply in all attempts.
            ImageError: a picture that cannot be read.
        """
        body = self._body(request)
        fault, wait = "", 0.0
        for attempt in range(self.attempts):
            if attempt:
                logger.warning("%s: %s; attempt %d in %.1f s", self.url, fault, attempt + 1, wait)
                time.sleep(wait)
            wait = min(self.first_wait * 2**attempt * random.uniform(1.0, 1.25), self.longest_wait)
            try:
                answer = self._client.post(self.url, content=body, headers={"Content-Type": "application/json"})
                if answer.is_success:
                    return _reply(answer.content)
            except self._http.TimeoutException:
                fault = "no reply in time"
                continue
            except self._http.InvalidURL as cause:
                raise ClientError(f"no usable URL: {cause}", where=self.url, mend="check the base URL") from cause
            except self._http.RequestError as cause:
                fault = f"no connection: {str(cause) or type(cause).__name__}"
                continue
            except _Unreadable as cause:
                fault = str(cause)
                continue
            fault = f"status {answer.status_code}: {_message(answer)}"
            if answer.status_code < 500 and answer.status_code not in _PASSING:
                mend = _MEND.get(answer.status_code, "see what the server says of the request")
                raise ClientError(f"the server refuses, {fault}", where=f"{self.url}, {request.model}", mend=mend)
            wait = min(_named_wait(answer.headers.get("Retry-After"), wait), self.longest_wait)
        raise ClientError(
            f"given up after {self.attempts} attempts; the last: {fault}",
            where=f"{self.url}, {request.model}",
            mend="see whether the server is up, then run the same command again",
        )

    def _body(self, request: Request) -> bytes:
        body: dict[str, Any] = {"model": request.model, "messages": [_message_body(m) for m in request.messages]}
        body[self.limit_field] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.seed is not None:
            body["seed"] = request.seed
        return json.dumps(body).encode()


class _Unreadable(Exception):
    """A reply with a status of success that is no chat completion."""


def _library() -> Any:
    try:
        import httpx2
    except ImportError as cause:
        raise ConfigError("servers need the library httpx2", mend='pip install "llava-corr[clients]"') from cause
    return httpx2


def _message_body(message: Message) -> dict[str, Any]:
    """Plain text where there are no pictures: not every server takes a list of pieces for every role."""
    if all(isinstance(part, str) for part in message.content):
        return {"role": message.role, "content": "\n".join(str(part) for part in message.content)}
    pieces = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": data_url(part.path)}}
        for part in message.content
    ]
    return {"role": message.role, "content": pieces}


def _reply(content: bytes) -> Reply:
    try:
        value = json.loads(content)
        choice = value["choices"][0]
        message, usage = choice["message"], value.get("usage") or {}
        said = message.get("content")
        if isinstance(said, list):  # some servers answer in pieces
            said = "".join(piece.get("text") or "" for piece in said)
        text = said or message.get("refusal") or ""
        return Reply(
            text=text.encode("utf-8", "replace").decode(),  # half of a surrogate pair could not be written down
            finish=choice.get("finish_reason"),
            model=value.get("model"),
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as cause:
        shown = content[:_SHOWN].decode("utf-8", "replace")
        raise _Unreadable(f"the reply is no chat completion: {shown!r}") from cause


def _message(answer: httpx2.Response) -> str:
    """What the server says of its refusal, short."""
    text = answer.text
    try:
        error = json.loads(text)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError, RecursionError):
        pass  # the text itself is the message
    return " ".join(text.split())[:_SHOWN] or "(no message)"


def _named_wait(value: str | None, otherwise: float) -> float:
    """Seconds that ``Retry-After`` names, as a number or as a date."""
    if not value:
        return otherwise
    try:
        seconds = float(value)
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return otherwise
        zone = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
        seconds = (zone - datetime.now(timezone.utc)).total_seconds()
    return seconds if 0 <= seconds < float("inf") else otherwise

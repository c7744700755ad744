"""Clients by a word of the command line: ``openai:MODEL``, ``transformers:FOLDER``, ``echo``."""

from __future__ import annotations

import os

from ..errors import ConfigError
from . import CLIENTS
from .http import LimitField
from .requests import Client

OPENAI_URL = "https://api.openai.com/v1"


def split_word(word: str) -> tuple[str, str]:
    """``("openai", "gpt-4o")`` of ``openai:gpt-4o``."""
    kind, _, name = word.partition(":")
    return kind, name


def open_client(
    word: str,
    *,
    base_url: str | None = None,
    key_variable: str | None = None,
    timeout: float = 120.0,
    limit_field: LimitField = "max_tokens",
) -> Client:
    """Opens the client that ``word`` names.

    Args:
        base_url: of an OpenAI-compatible server; by default ``OPENAI_BASE_URL``, or OpenAI's own.
        key_variable: the environment variable that holds the API key. By default ``OPENAI_API_KEY`` for the default
            server, and none for a server that ``base_url`` names: no key goes where it does not belong.

    Raises:
        ConfigError: a word without its model, a variable that is not set, or OpenAI's own server without a key.
        RegistryError: no such kind of client.
    """
    kind, name = split_word(word)
    made = CLIENTS.load(kind)
    if kind == "echo":
        return made()
    if not name:
        raise ConfigError(f"{word!r} names no model", mend=f"write {kind}:MODEL")
    if kind == "transformers":
        return made(name)
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    variable = key_variable or ("OPENAI_API_KEY" if base_url is None else None)
    key = os.environ.get(variable) if variable else None
    if not key and (key_variable or url.startswith(OPENAI_URL)):
        fault = f"{variable} is not set" if variable else "no API key is named for OpenAI's own server"
        raise ConfigError(fault, mend="export it, or name another server by its base URL")
    return made(url, api_key=key, timeout=timeout, limit_field=limit_field)

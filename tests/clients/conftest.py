"""A machine's proxy is not to be asked for its own loopback."""

import pytest


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

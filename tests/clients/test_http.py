"""The OpenAI-compatible client against a real server on the loopback, in good and in bad moods."""

import base64
import io
import json
import socket
import time

import numpy as np
import pytest
from chat_server import ChatServer, completion, hang_up, raw, status
from PIL import Image

from llava_corr.clients.concurrency import complete_all
from llava_corr.clients.http import OpenAIClient
from llava_corr.clients.opening import open_client
from llava_corr.clients.requests import ImageFile, Message, Reply, Request
from llava_corr.errors import ClientError, ConfigError, ImageError, RegistryError


def client(server, **settings):
    return OpenAIClient(server.url, **{"first_wait": 0.01, "longest_wait": 0.05, "timeout": 5.0, **settings})


def ask(*content, **settings):
    return Request(model="m", messages=(Message(role="user", content=content or ("Hello",)),), **settings)


def test_what_goes_out_and_what_comes_back():
    messages = (Message(role="system", content=("Be brief.",)), Message(role="user", content=("One", "Two")))
    request = Request(model="m", messages=messages, max_tokens=9, temperature=0.5, seed=3)
    with ChatServer(completion("a dog", finish="length")) as server:
        reply = client(server, api_key="secret").complete(request)
        client(server, limit_field="max_completion_tokens").complete(ask(temperature=None))
    assert reply == Reply(text="a dog", finish="length", model="served", prompt_tokens=7, completion_tokens=3)
    (path, headers, body), (_, bare_headers, bare) = server.seen
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body == {
        "model": "m", "max_tokens": 9, "temperature": 0.5, "seed": 3,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One\nTwo"}],
    }  # fmt: skip
    assert "Authorization" not in bare_headers
    assert bare == {"model": "m", "max_completion_tokens": 512, "messages": [{"role": "user", "content": "Hello"}]}


def test_pictures_go_out_as_data_urls_in_their_place(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # asks for a quarter turn
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    Image.fromarray(pixels).save(tmp_path / "b.bmp")
    Image.fromarray(pixels).save(tmp_path / "c.png", exif=exif)
    files = [ImageFile(path=str(tmp_path / name)) for name in ("a.jpg", "b.bmp", "c.png")]
    with ChatServer(completion("ok")) as server:
        client(server).complete(ask("A:", files[0], "B:", files[1], files[2], "What?"))
    pieces = server.seen[0][2]["messages"][0]["content"]
    assert [piece["type"] for piece in pieces] == ["text", "image_url", "text", "image_url", "image_url", "text"]
    urls = [piece["image_url"]["url"] for piece in pieces if piece["type"] == "image_url"]
    assert [url.split(",")[0] for url in urls] == [
        "data:image/jpeg;base64", "data:image/png;base64", "data:image/png;base64",
    ]  # fmt: skip
    sent = [base64.b64decode(url.split(",")[1], validate=True) for url in urls]
    assert sent[0] == (tmp_path / "a.jpg").read_bytes()
    for content in sent[1:]:  # unturned, and without the wish to be turned
        image = Image.open(io.BytesIO(content))
        assert image.getexif().get(0x0112, 1) == 1
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_picture_that_cannot_be_read_is_named_and_nothing_is_sent(tmp_path, content):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with ChatServer(completion("ok")) as server, pytest.raises(ImageError, match=r"a\.png"):
        client(server).complete(ask(ImageFile(path=str(path))))
    assert server.seen == []


def test_a_picture_of_unknown_range_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tiff")
    with ChatServer(completion("ok")) as server, pytest.raises(ImageError, match="what white is"):
        client(server).complete(ask(ImageFile(path=str(tmp_path / "a.tiff"))))


@pytest.mark.parametrize(
    "trouble",
    [status(429), status(429, Retry_After="0"), status(429, Retry_After="Thu, 01 Jan 2099 00:00:00 GMT"),
     status(429, Retry_After="soon"), status(500), status(503), status(408), hang_up, raw(b"{"), raw(b"<html>"),
     raw(b""), raw(b'{"choices": []}'), raw(b"[1]"), raw(b'{"choices": [{"message": "x"}]}'), raw(b"[" * 100_000)],
)  # fmt: skip
def test_what_may_pass_is_tried_again(trouble):
    with ChatServer(trouble, trouble, completion("a dog")) as server:
        assert client(server).complete(ask()).text == "a dog"
    assert len(server.seen) == 3
    assert server.seen[0] == server.seen[1]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(status(500, "boiler out"), "status 500: boiler out"), (status(429, "slow down"), "429: slow down"),
     (raw(b"{oops"), r"no chat completion: '\{oops'"), (hang_up, "no connection"), (raw(b"", 502), r"\(no message\)")],
)  # fmt: skip
def test_what_does_not_pass_is_given_up(trouble, said):
    with ChatServer(trouble) as server, pytest.raises(ClientError, match=f"given up after 3 attempts.*{said}") as fault:
        client(server, attempts=3).complete(ask())
    assert len(server.seen) == 3
    assert server.url in str(fault.value)
    assert "run the same command again" in str(fault.value)


@pytest.mark.parametrize(
    ("code", "mend"),
    [(400, "what the server says"), (401, "API key"), (403, "API key"), (404, "base URL"), (413, "smaller pictures")],
)
def test_a_refusal_is_an_error_at_once(code, mend):
    trouble = status(code, "you asked for\n   too much")
    with ChatServer(trouble) as server, pytest.raises(ClientError, match=f"{code}: you asked for too much") as fault:
        client(server, api_key="secret").complete(ask())
    assert len(server.seen) == 1
    assert mend in str(fault.value)
    assert "secret" not in str(fault.value)


def test_a_server_that_says_nothing_is_waited_for_only_so_long():
    with ChatServer(completion("late", after=1.0)) as server:
        started = time.monotonic()
        with pytest.raises(ClientError, match="given up after 2 attempts; the last: no reply in time"):
            client(server, timeout=0.1, attempts=2).complete(ask())
        assert time.monotonic() - started < 0.9
        server.script = [completion("late", after=1.0), completion("in time")]
        assert client(server, timeout=0.3).complete(ask()).text == "in time"


def test_waits_grow_and_the_server_may_name_them():
    def took(*script, **settings):
        with ChatServer(*script, completion("ok")) as server:
            started = time.monotonic()
            client(server, **settings).complete(ask())
            return time.monotonic() - started

    assert 0.3 <= took(status(500), status(500), first_wait=0.1, longest_wait=9) < 1.0  # 0.1 + 0.2
    assert 0.4 <= took(status(429, Retry_After="0.4"), longest_wait=9) < 1.0
    assert took(status(429, Retry_After="3600"), longest_wait=0.1) < 0.5  # no server stops the work for an hour


def test_nobody_at_home():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ClientError, match="no connection"):
        OpenAIClient(url, attempts=2, first_wait=0.01).complete(ask())


@pytest.mark.parametrize(
    ("message", "text"),
    [({"content": None}, ""), ({"content": None, "refusal": "I will not."}, "I will not."), ({}, ""),
     ({"content": "a \ud83d dog"}, "a ? dog"),
     ({"content": [{"type": "text", "text": "a "}, {"type": "x"}, {"type": "text", "text": "dog"}]}, "a dog")],
)  # fmt: skip
def test_other_forms_of_an_answer(message, text):
    with ChatServer(raw(json.dumps({"choices": [{"message": message}]}).encode())) as server:
        assert client(server, attempts=1).complete(ask()) == Reply(text=text)


def test_many_at_once_in_the_order_of_the_requests():
    def echo(body):
        number = int(body["messages"][0]["content"])
        time.sleep(0.02 * ((7 * number) % 5))
        return str(number)

    with ChatServer(completion(echo)) as server:
        replies = complete_all(client(server), (ask(str(k)) for k in range(24)), workers=4)
        assert [reply.text for reply in replies] == [str(k) for k in range(24)]
        assert 2 <= server.most_at_once <= 4


def test_opening_by_words(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        open_client("openai:gpt-4o")
    with pytest.raises(ConfigError, match="names no model"):
        open_client("openai", base_url="http://localhost:1/v1")
    with pytest.raises(RegistryError, match="did you mean 'openai'"):
        open_client("opnai:gpt-4o")
    with pytest.raises(ConfigError, match="base URL"):
        open_client("openai:m", base_url="localhost:8000")
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        open_client("openai:m", base_url="http://localhost:1/v1", key_variable="MY_KEY")
    with pytest.raises(ConfigError, match="no API key is named"):
        open_client("openai:m", base_url="https://api.openai.com/v1")
    monkeypatch.setenv("MY_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "not for others")
    with ChatServer(completion("a dog")) as server:
        opened = open_client("openai:m", base_url=server.url, key_variable="MY_KEY")
        assert opened.complete(ask()).text == "a dog"
        assert open_client("openai:m", base_url=server.url).complete(ask()).text == "a dog"
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert open_client("openai:m").complete(ask()).text == "a dog"
    assert "Authorization" not in server.seen[1][1]
    assert server.seen[2][1]["Authorization"] == "Bearer not for others"
    assert server.seen[0][1]["Authorization"] == "Bearer secret"
    assert open_client("echo").complete(ask("one two")).text == "one two"
    assert open_client("echo").complete(ask("one two three", max_tokens=2)) == Reply(
        text="one two", finish="length", model="echo", prompt_tokens=3, completion_tokens=2
    )

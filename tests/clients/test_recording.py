"""Recorded replies: replayed to the letter, asked for once, whole after a kill."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from chat_server import ChatServer, completion, status
from PIL import Image

from llava_corr.clients.concurrency import complete_all, in_order
from llava_corr.clients.echo import EchoClient
from llava_corr.clients.http import OpenAIClient
from llava_corr.clients.recording import RecordedClient
from llava_corr.clients.requests import ImageFile, Message, Reply, Request
from llava_corr.errors import ClientError, ImageError


def ask(*content, **settings):
    return Request(model="m", messages=(Message(role="user", content=content),), **settings)


class Numbered:
    """Answers with the number of the call; may fail some calls first, and takes its time."""

    def __init__(self, failures=0, seconds=0.0):
        self.calls, self.failures, self.seconds, self.lock = 0, failures, seconds, threading.Lock()

    def complete(self, request):
        with self.lock:
            self.calls += 1
            number = self.calls
        time.sleep(self.seconds)
        if number <= self.failures:
            raise ClientError(f"failure {number}")
        return Reply(text=f"{number}: {request.words()}", finish="stop")


def test_replay_gives_what_was_recorded_and_calls_nothing(tmp_path):
    requests = [ask(f"question {k}", seed=k % 2) for k in range(9)]
    with ChatServer(completion(lambda body: f"on {body['messages'][0]['content']} ü\n\u2028")) as server:
        recorder = RecordedClient(tmp_path / "r" / "replies.jsonl", OpenAIClient(server.url))
        first = list(complete_all(recorder, requests, workers=3))
        assert (recorder.asked, recorder.replayed) == (9, 0)
        assert list(complete_all(recorder, requests[::-1])) == first[::-1]
        assert len(server.seen) == 9
        recorder.close()
    replay = RecordedClient(tmp_path / "r" / "replies.jsonl")  # the server is gone
    assert list(complete_all(replay, requests, workers=2)) == first
    assert (replay.asked, replay.replayed) == (0, 9)


def test_what_is_not_recorded_is_an_error_that_says_what(tmp_path):
    path = tmp_path / "replies.jsonl"
    with pytest.raises(ClientError, match="does not exist"):
        RecordedClient(path)
    recorder = RecordedClient(path, EchoClient())
    recorder.complete(ask("Which parts?"))
    recorder.close()
    before = path.read_bytes()
    replay = RecordedClient(path)
    for other in (ask("Which parts"), ask("Which parts?", seed=1), ask("Which parts?", max_tokens=9),
                  ask("Which parts?", temperature=None), ask("Which", "parts?")):  # fmt: skip
        with pytest.raises(ClientError, match=r"no reply is recorded.*0 pictures: 'Which parts"):
            replay.complete(other)
    assert path.read_bytes() == before


def test_the_key_follows_the_pictures_contents_not_their_place(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "elsewhere.png").write_bytes((tmp_path / "a.png").read_bytes())
    a, b, moved = (ask(ImageFile(path=str(tmp_path / f"{n}.png"))).key() for n in ("a", "b", "elsewhere"))
    assert a == moved != b
    (tmp_path / "a.png").write_bytes((tmp_path / "b.png").read_bytes())
    os.utime(tmp_path / "a.png", ns=(1, 1))
    assert ask(ImageFile(path=str(tmp_path / "a.png"))).key() == b
    with pytest.raises(ImageError, match="cannot be read"):
        ask(ImageFile(path=str(tmp_path / "none.png"))).key()
    pair = [ImageFile(path=str(tmp_path / "b.png")), ImageFile(path=str(tmp_path / "elsewhere.png"))]
    assert ask(*pair).key() != ask(*pair[::-1]).key()


def test_an_error_is_not_recorded_and_the_same_request_may_be_tried_again(tmp_path):
    client = Numbered(failures=1)
    recorder = RecordedClient(tmp_path / "replies.jsonl", client)
    with pytest.raises(ClientError, match="failure 1"):
        recorder.complete(ask("x"))
    assert recorder.complete(ask("x")).text == "2: x"
    assert recorder.complete(ask("x")).text == "2: x"
    assert len((tmp_path / "replies.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("failures", [0, 1])
def test_threads_that_ask_the_same_at_once_share_one_call(tmp_path, failures):
    client = Numbered(failures, seconds=0.05)
    recorder = RecordedClient(tmp_path / "replies.jsonl", client)
    texts, errors = [], []

    def one():
        try:
            texts.append(recorder.complete(ask("x")).text)
        except ClientError as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (client.calls, len(errors)) == (1 + failures, failures)
    assert texts == [f"{1 + failures}: x"] * (8 - failures)
    assert (recorder.asked, recorder.replayed) == (1, 7 - failures)


def test_a_row_that_was_cut_off_is_asked_for_again(tmp_path):
    path = tmp_path / "replies.jsonl"
    recorder = RecordedClient(path, Numbered())
    first = [recorder.complete(ask(word)) for word in ("one", "two", "three")]
    recorder.close()
    whole = path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(whole) if byte == ord("\n")]
    for end in (0, 1, ends[0] - 1, ends[0], ends[1] + 20, len(whole) - 1):
        path.write_bytes(whole[:end])
        kept = sum(e <= end for e in ends)
        replay = RecordedClient(path) if end else None
        if replay is not None and kept < 3:
            with pytest.raises(ClientError, match="no reply is recorded"):
                replay.complete(ask("three"))
        client = Numbered()
        again = RecordedClient(path, client)
        replies = [again.complete(ask(word)) for word in ("one", "two", "three")]
        again.close()
        assert replies[:kept] == first[:kept]
        assert client.calls == 3 - kept
        assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3


def test_broken_and_contradicting_rows_are_named(tmp_path):
    path = tmp_path / "replies.jsonl"
    recorder = RecordedClient(path, EchoClient())
    recorder.complete(ask("x"))
    recorder.close()
    line = path.read_text()
    path.write_text(line + "{}\n")
    with pytest.raises(ClientError, match=r"not a valid RecordedReply[\s\S]*row 2"):
        RecordedClient(path)
    path.write_text(line + line)
    assert RecordedClient(path).complete(ask("x")).text == "x"
    path.write_text(line + line.replace('"finish":"stop"', '"finish":"length"'))
    with pytest.raises(ClientError, match=r"second, different reply[\s\S]*row 2"):
        RecordedClient(path)
    with pytest.raises(ClientError, match="second, different"):
        RecordedClient(path, EchoClient())
    path.write_text(line)
    RecordedClient(path, EchoClient()).close()  # the refusal has let go of the file


def test_two_processes_do_not_mix_their_rows(tmp_path):
    recorder = RecordedClient(tmp_path / "replies.jsonl", EchoClient())
    with pytest.raises(ClientError, match="another process writes"):
        RecordedClient(tmp_path / "replies.jsonl", EchoClient())
    recorder.close()
    RecordedClient(tmp_path / "replies.jsonl", EchoClient()).close()


KILLED = """
import sys
from llava_corr.clients.concurrency import complete_all
from llava_corr.clients.http import OpenAIClient
from llava_corr.clients.recording import RecordedClient
from llava_corr.clients.requests import Message, Request
client = RecordedClient(sys.argv[2], OpenAIClient(sys.argv[1]))
requests = [Request(model="m", messages=(Message(role="user", content=(str(k),)),)) for k in range(40)]
for reply in complete_all(client, requests, workers=2):
    print(reply.text, flush=True)
"""


def test_a_killed_run_keeps_every_reply_it_has_shown(tmp_path):
    path = tmp_path / "replies.jsonl"
    with ChatServer(completion(lambda body: f"on {body['messages'][0]['content']}", after=0.02)) as server:
        arguments = [sys.executable, "-c", KILLED, server.url, str(path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as run:
            shown = [run.stdout.readline().strip() for _ in range(6)]
            run.send_signal(signal.SIGKILL)
        asked = len(server.seen)
        whole = path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1]
        kept = [json.loads(line)["reply"]["text"] for line in whole.splitlines()]
        assert shown == [f"on {k}" for k in range(6)]
        assert set(shown) <= set(kept)
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        assert done.stdout.split("\n")[:-1] == [f"on {k}" for k in range(40)]
        recorded = [json.loads(line)["reply"]["text"] for line in path.read_text().splitlines()]
        assert sorted(recorded) == sorted(f"on {k}" for k in range(40))
        assert len(server.seen) <= 40 + 3 + (asked - len(kept))  # at most what was under way is asked twice


def test_the_first_error_comes_out_at_its_place(tmp_path):
    def odd(number):
        if number == 5:
            raise ClientError("five")
        return number

    for workers in (1, 3):
        taken = []
        results = in_order(odd, (taken.append(k) or k for k in range(1000)), workers=workers)
        assert [next(results) for _ in range(5)] == list(range(5))
        with pytest.raises(ClientError, match="five"):
            next(results)
        assert len(taken) <= 5 + 2 * workers + 1


def test_a_server_that_gives_up_leaves_the_replies_before(tmp_path):
    path = tmp_path / "replies.jsonl"
    with ChatServer(completion("a"), completion("b"), status(500)) as server:
        recorder = RecordedClient(path, OpenAIClient(server.url, attempts=2, first_wait=0.01))
        replies = complete_all(recorder, [ask(str(k)) for k in range(4)])
        assert [next(replies).text, next(replies).text] == ["a", "b"]
        with pytest.raises(ClientError, match="given up"):
            next(replies)
        recorder.close()
    assert len(path.read_text().splitlines()) == 2

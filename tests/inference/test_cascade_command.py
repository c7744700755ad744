"""``llava-corr baseline cascade`` from the command line: servers, recordings, interruptions, our own segmenter."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from chat_server import ChatServer, completion, status
from compared import compared

from llava_corr import cli
from llava_corr.benchmarks.segmenters import Wanted
from llava_corr.inference.phrase_segmenter import PhraseSegmenter
from llava_corr.inference.prediction_file import made_path, partial_path
from llava_corr.inference.predictor import Predictor
from llava_corr.record_files import iter_predictions, read_samples, write_samples
from llava_corr.records import Mask

NAMES = {"IMAGE1": [{"object": "chair", "parts": ["leg"]}], "IMAGE2": [{"object": "chair", "parts": ["leg", "arm"]}]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a samples file of 9 samples about two pictures each."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SOME_KEY", "secret")
    write_samples(tmp_path / "s.jsonl", compared(tmp_path, 3, images=(2,)))
    return tmp_path


def run(folder, *words, out="p.jsonl", **options):
    """Exit status of the command with the simulated models, unless ``options`` name others."""
    named = {"chat": "simulated", "llm": "simulated", "segmenter": "simulated"} | options
    given = [w for name, value in named.items() if value for w in (f"--{name.replace('_', '-')}", str(value))]
    files = ["--samples", folder / "s.jsonl", "--out", folder / out]
    return cli.main(["baseline", "cascade", *map(str, [*files, *given, *words])])


def served(server):
    named = {"chat": "openai:sees", "llm": "openai:reads", "chat_url": server.url, "llm_url": server.url}
    return named | {"chat_key": "SOME_KEY", "llm_key": "SOME_KEY"}


def says(body):
    """Step 1 comes with pictures, step 2 without."""
    content = body["messages"][-1]["content"]
    return json.dumps(NAMES) if isinstance(content, str) else f"Chairs, {hash(str(content))} of them."


def test_with_servers_recorded_then_replayed_without(folder, capsys):
    with ChatServer(completion(says)) as server:
        assert run(folder, replies=folder / "replies", **served(server)) == 0
        asked = len(server.seen)
        assert {body["model"] for _, _, body in server.seen} == {"sees", "reads"}
        assert all(headers["Authorization"] == "Bearer secret" for _, headers, _ in server.seen)
        options = served(server)
    assert asked == 3 * 2 + 3 * 3  # step 1: objects and parts of three choices of pictures; step 2: every sample
    first = (folder / "p.jsonl").read_bytes()
    assert run(folder, "--replay", replies=folder / "replies", out="again.jsonl", **options) == 0
    assert (folder / "again.jsonl").read_bytes() == first
    assert not partial_path(folder / "p.jsonl").exists()
    assert json.loads(made_path(folder / "p.jsonl").read_text())["settings"]["llm"] == "openai:reads"
    assert "secret" not in (folder / "replies" / "chat.jsonl").read_text() + made_path(folder / "p.jsonl").read_text()
    assert run(folder, "--replay", "--seed", "1", replies=folder / "replies", out="other.jsonl", **options) == 2
    assert "no reply is recorded" in capsys.readouterr().err


def test_the_file_can_be_scored_and_perfect_parts_score_100(folder, capsys):
    assert run(folder, record_masks=folder / "masks.jsonl") == 0
    assert run(folder, segmenter=f"recorded:{folder / 'masks.jsonl'}", out="q.jsonl") == 0
    scored = ["score", "--samples", folder / "s.jsonl", "--predictions", folder / "q.jsonl", "--out", folder / "z.json"]
    assert cli.main([*map(str, scored), "--resamples", "0"]) == 0
    columns = json.loads((folder / "z.json").read_text())["columns"]
    assert {columns["mean"][name]["value"] for name in ("mIoU_strict_spurious", "SS", "AP50")} == {1.0}


def test_the_embedded_world_from_end_to_end(tmp_path):
    """Annotations in three public formats, samples of all tasks, the Cascade with perfect parts: nothing is lost."""
    world = ["world", "--out", tmp_path / "world", "--train", "1", "--val", "0", "--test", "8"]
    data = ["data", "--world", tmp_path / "world", "--split", "test", "--count", "18", "--out", tmp_path]
    for words in (world, data):
        assert cli.main([*map(str, words)]) == 0
    (tmp_path / "test.jsonl").rename(tmp_path / "s.jsonl")
    assert run(tmp_path) == 0
    scored = ["--samples", tmp_path / "s.jsonl", "--predictions", tmp_path / "p.jsonl", "--out", tmp_path / "z.json"]
    assert cli.main(["score", *map(str, scored), "--resamples", "0"]) == 0
    scores = json.loads((tmp_path / "z.json").read_text())
    assert list(scores["columns"]) == ["common_objects", "common_parts", "unique_parts", "mean"]
    for column in scores["columns"].values():
        assert {column[name]["value"] for name in ("mIoU_strict_spurious", "Recall", "SS", "S-IoU")} == {1.0}


def test_an_interruption_by_the_server_loses_nothing(folder, capsys):
    quick = {"replies": folder / "replies", "workers": 1}
    with ChatServer(*[completion(says)] * 7, status(401, "your key has expired")) as server:
        options = served(server)
        assert run(folder, **quick, **options) == 2
        assert "401: your key has expired" in capsys.readouterr().err
        assert not (folder / "p.jsonl").exists()
        rows = partial_path(folder / "p.jsonl").read_text().splitlines()
        assert len(rows) == 1 + 4  # settings; the first three samples took 5 requests, the fourth 2
        server.script = [completion(says)]
        seen = len(server.seen)
        assert run(folder, **quick, **options) == 0
        assert len(server.seen) - seen == 15 - 7
        assert run(folder, **quick, **options) == 0  # finished earlier
        assert len(server.seen) - seen == 15 - 7
        assert run(folder, out="whole.jsonl", **options) == 0
    assert (folder / "p.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()


def test_a_killed_run_is_continued(folder):
    enough = threading.Event()

    def slowly(body):
        if len(server.seen) >= 9:
            enough.set()
        return says(body)

    with ChatServer(completion(slowly, after=0.05)) as server:
        options = [w for name, value in served(server).items() for w in (f"--{name.replace('_', '-')}", value)]
        files = ["--samples", str(folder / "s.jsonl"), "--out", str(folder / "p.jsonl")]
        words = ["baseline", "cascade", *files, *options, "--segmenter", "simulated", "--workers", "1"]
        words += ["--replies", str(folder / "replies")]
        with subprocess.Popen([sys.executable, "-m", "llava_corr.cli", *words], env=os.environ) as killed:
            assert enough.wait(60)
            killed.send_signal(signal.SIGKILL)
        kept = sum((folder / "replies" / f"{name}.jsonl").read_bytes().count(b"\n") for name in ("chat", "llm"))
        assert kept >= 8
        assert not (folder / "p.jsonl").exists()
        seen = len(server.seen)
        assert cli.main(words) == 0
        assert len(server.seen) - seen == 15 - kept
        assert run(folder, out="whole.jsonl", **served(server)) == 0
    assert (folder / "p.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()


def test_other_settings_do_not_continue_a_file(folder, capsys):
    with ChatServer(*[completion(says)] * 7, status(400)) as server:
        assert run(folder, **served(server)) == 2
        capsys.readouterr()
        server.script = [completion(says)]
        assert run(folder, "--max-tokens", "99", **served(server)) == 2
        assert "max_tokens: 512 then, 99 now" in capsys.readouterr().err
        assert run(folder, "--max-tokens", "99", "--restart", **served(server)) == 0


def test_what_another_segmenter_is_to_draw_is_listed(folder):
    assert run(folder, "--list-phrases", segmenter=None, out="wanted.jsonl") == 0
    rows = [json.loads(line) for line in (folder / "wanted.jsonl").read_text().splitlines()]
    samples = read_samples(folder / "s.jsonl")
    assert len({(r["image"], r["phrase"]) for r in rows}) == len(rows)
    assert {r["image"] for r in rows} <= {image.path for sample in samples for image in sample.images}
    whole = Mask.from_array(np.ones((40, 60)))
    masks = [json.dumps({**row, "mask": whole.model_dump()}) for row in rows[1:]]
    (folder / "masks.jsonl").write_text("".join(f"{line}\n" for line in masks))
    recorded = f"recorded:{folder / 'masks.jsonl'}"
    assert run(folder, segmenter=recorded) == 2  # the first is missing
    assert run(folder, "--missing-masks", "empty", "--restart", segmenter=recorded) == 0
    areas = [s.mask.area for p in iter_predictions(folder / "p.jsonl") for s in p.segments]
    assert set(areas) == {0, 2400}


def test_our_own_model_segments(folder, tiny_run):
    """Its masks are those of the same question asked alone, and the recorded ones give the same file."""
    run_folder, _ = tiny_run
    options = {"segmenter": f"model:{run_folder / 'model'}", "record_masks": folder / "masks.jsonl", "limit": 4}
    assert run(folder, **options) == 0
    assert run(folder, out="q.jsonl", segmenter=f"recorded:{folder / 'masks.jsonl'}", limit=4) == 0
    assert (folder / "q.jsonl").read_bytes() == (folder / "p.jsonl").read_bytes()


def test_a_phrase_s_mask_is_what_the_model_draws_when_asked_alone(tiny_run):
    run_folder, samples_file = tiny_run
    predictor = Predictor.from_pretrained(run_folder / "model", max_new_tokens=24)
    images = [image for sample in read_samples(samples_file)[:3] for image in sample.images]
    wanted = [Wanted(image, f"the {name}") for image in images for name in ("red", "blue")]
    found = PhraseSegmenter(predictor, batch_size=5).segment(wanted)
    for asked, one in zip(wanted, found, strict=True):
        predictor.set_images([asked.image.path])
        drawn = [s.mask for s in predictor.ask(f"Please segment {asked.phrase}.").segments if s.mask.area]
        assert one.mask == (Mask.union(drawn) if drawn else None)
        assert 0 <= one.score <= 1
    assert any(one.mask is not None for one in found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--segmenter", "modl:x"], "did you mean 'model'"),
        (["--segmenter", "model"], "names no model"),
        (["--segmenter", "model:nowhere"], "there is no model"),
        (["--segmenter", "recorded:nowhere.jsonl"], "does not exist"),
        (["--list-phrases"], "either --segmenter or --list-phrases"),
        (["--replay"], "--replay needs --replies"),
        (["--replay", "--replies", "nowhere"], "does not exist"),
        (["--chat", "gpt-4o"], "unknown client"),
        (["--chat", "simulatd"], "did you mean 'simulated'"),
        (["--chat", "openai"], "names no model"),
        (["--chat", "simulated:much"], "simulated:OMIT,MISNAME"),
        (["--chat", "simulated:2,0"], "shares from 0 to 1"),
        (["--limit", "0"], "counted from 1"),
        (["--workers", "0"], "counted from 1"),
        (["--timeout", "0"], "none is negative"),
        (["--temperature", "-1"], "none is negative"),
        (["--chat-url", "nowhere", "--chat", "openai:m"], "the base URL"),
    ],
)
def test_options_that_cannot_be(folder, capsys, words, said, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert run(folder, *words) == 2
    assert said in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("option", ["--out", "--record-masks", "--replies"])
def test_nothing_that_is_read_is_overwritten(folder, capsys, option):
    (folder / "chat.jsonl").symlink_to(folder / "s.jsonl")
    taken = folder if option == "--replies" else folder / "s.jsonl"
    before = (folder / "s.jsonl").read_bytes()
    assert run(folder, option, str(taken)) == 2
    assert "would overwrite --samples" in capsys.readouterr().err
    assert (folder / "s.jsonl").read_bytes() == before


def test_the_other_baseline_is_still_there(folder):
    words = ["--train", folder / "s.jsonl", "--samples", folder / "s.jsonl", "--out", folder / "prior.jsonl"]
    assert cli.main(["baseline", "prior-only", *map(str, words)]) == 0

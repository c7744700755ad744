"""Prediction files: cut off anywhere and continued, the same to the byte; what does not belong is refused."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest
from toy import toy_samples

from llava_corr import cli
from llava_corr.errors import PredictionError, StorageError
from llava_corr.inference.prediction_file import Settings, made_path, partial_path, read_made, write_predictions
from llava_corr.record_files import iter_predictions
from llava_corr.records import Prediction

SETTINGS = Settings(
    model="m", samples="s", samples_path="/s.jsonl", count=10, blind=False, max_new_tokens=12, batch_size=4,
    dtype="float32", device="cpu", version="1",
)  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return toy_samples(tmp_path_factory.mktemp("samples"), 10)


class Model:
    """Answers that tell which batch they came out of, as padding does in their last bits; may die in the middle."""

    def __init__(self, dies_after=None):
        self.dies_after, self.asked = dies_after, []

    def __call__(self, samples):
        for index, sample in enumerate(samples):
            if len(self.asked) == self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(sample.id)
            text = f"place {index % 4} of a batch of {len(samples[index - index % 4 :][:4])}"
            yield Prediction(sample_id=sample.id, truth=sample.truth_hash(), text=text, image_sizes=((48, 64),) * 2)


def whole(path, samples):
    write_predictions(path, samples, SETTINGS, Model())
    return path.read_bytes()


def cut_off(path, samples, after=6):
    with pytest.raises(KeyboardInterrupt):
        write_predictions(path, samples, SETTINGS, Model(after))
    assert not path.exists()
    return partial_path(path)


@pytest.mark.parametrize("after", range(11))
def test_a_run_cut_off_after_any_row_continues_and_gives_the_same_bytes(tmp_path, samples, after):
    expected = whole(tmp_path / "whole.jsonl", samples)
    path = tmp_path / "p.jsonl"
    if after < 10:
        cut_off(path, samples, after)
    model = Model()
    answered = write_predictions(path, samples, SETTINGS, model)
    assert path.read_bytes() == expected
    assert model.asked == [s.id for s in samples][after // 4 * 4 if after < 10 else 0 :]
    assert answered == len(model.asked)
    assert sorted(os.listdir(tmp_path)) == ["p.jsonl", "p.jsonl.made.json", "whole.jsonl", "whole.jsonl.made.json"]


def test_every_way_to_tear_the_last_line(tmp_path, samples, caplog):
    expected = whole(tmp_path / "whole.jsonl", samples)
    content = cut_off(tmp_path / "cut.jsonl", samples, 9).read_bytes()
    lines = content.splitlines(keepends=True)
    path = tmp_path / "p.jsonl"
    for length in (0, 5, len(lines[0]) - 1, len(lines[0]), len(lines[0]) + 1, len(content) - 1, len(content) - 9):
        partial_path(path).write_bytes(content[:length])
        write_predictions(path, samples, SETTINGS, Model())
        assert path.read_bytes() == expected, length
    assert "row 9 was cut off in the middle, dropped" in caplog.text


def test_a_crash_between_the_last_row_and_the_move_is_mended(tmp_path, samples):
    path = tmp_path / "p.jsonl"
    expected = whole(path, samples)
    header = json.dumps({"settings": SETTINGS.model_dump()}).encode() + b"\n"
    partial_path(path).write_bytes(header + expected)
    path.write_text("an older file\n")
    assert read_made(path) is None, "the record speaks for other contents"
    write_predictions(path, samples, SETTINGS, Model())
    assert path.read_bytes() == expected
    assert read_made(path).settings == SETTINGS
    assert not partial_path(path).exists()
    made_path(path).write_text('{"settings": {"of": "another version"}}')
    assert read_made(path) is None


@pytest.mark.parametrize(
    "change",
    [{"model": "another"}, {"samples": "x"}, {"blind": True}, {"max_new_tokens": 3}, {"dtype": "bfloat16"},
     {"batch_size": 2}, {"count": 4}, {"version": "2"}],
)  # fmt: skip
def test_a_partial_file_of_other_settings_is_refused_and_kept(tmp_path, samples, change):
    path = tmp_path / "p.jsonl"
    content = cut_off(path, samples).read_bytes()
    (name, value), *_ = change.items()
    with pytest.raises(PredictionError, match=f"{name}: .* then, {value} now") as caught:
        write_predictions(path, samples, SETTINGS.model_copy(update=change), Model())
    assert "--restart" in caught.value.mend
    assert partial_path(path).read_bytes() == content
    write_predictions(path, samples, SETTINGS.model_copy(update=change), Model(), restart=True)
    assert len(list(iter_predictions(path))) == 10


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda lines: [b'{"settings": {}}\n', *lines[1:]], "does not say what made"),
        (lambda lines: [b"[]\n", *lines[1:]], "does not say what made"),
        (lambda lines: [lines[0], b"{}\n", *lines[2:]], "not a valid Prediction"),
        (lambda lines: [lines[0], b"\xff\xfe\n", *lines[2:]], "not a valid Prediction"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "answers 'toy1'"),
        (lambda lines: [lines[0], lines[1].replace(b'"truth":"', b'"truth":"0'), *lines[2:]], "answers 'toy0'"),
    ],
)
def test_rows_that_do_not_belong_are_refused(tmp_path, samples, damage, fault):
    path = tmp_path / "p.jsonl"
    partial = cut_off(path, samples)
    partial.write_bytes(b"".join(damage(partial.read_bytes().splitlines(keepends=True))))
    with pytest.raises(PredictionError, match=fault) as caught:
        write_predictions(path, samples, SETTINGS, Model())
    assert "--restart" in caught.value.mend


def test_two_writers_at_once_are_refused(tmp_path, samples):
    path = tmp_path / "p.jsonl"

    def meddle(rest):
        with pytest.raises(PredictionError, match="another process"):
            write_predictions(path, samples, SETTINGS, Model(), restart=True)
        return Model()(rest)

    write_predictions(path, samples, SETTINGS, meddle)
    assert len(list(iter_predictions(path))) == 10


def test_a_place_that_cannot_be_written_is_named(tmp_path, samples):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_predictions(tmp_path / "file" / "p.jsonl", samples, SETTINGS, Model())


KILLED = """
import os, signal, sys
from llava_corr import cli
from llava_corr.inference.predictor import Predictor
ask = Predictor.predict
def dying(self, samples, **options):
    for number, row in enumerate(ask(self, samples, **options)):
        if number == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        yield row
Predictor.predict = dying
cli.main(sys.argv[1:])
"""


def test_killed_in_the_middle_and_continued(tmp_path, tiny_run, capsys):
    """A real model, a real process, a real SIGKILL."""
    run, samples = tiny_run
    path, plain = tmp_path / "p.jsonl", tmp_path / "plain.jsonl"
    words = ["predict", "--run", str(run), "--samples", str(samples), "--limit", "11", "--out"]
    done = subprocess.run([sys.executable, "-c", KILLED, *words, str(path)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not path.exists()
    rows = partial_path(path).read_bytes().splitlines()
    assert len(rows) == 1 + 6
    with partial_path(path).open("ab") as handle:
        handle.write(b'{"schema_version":1,"sample_id":"toy6","tr')
    assert cli.main([*words, str(path)]) == 0
    assert cli.main([*words, str(plain)]) == 0
    assert hashlib.sha256(path.read_bytes()).hexdigest() == hashlib.sha256(plain.read_bytes()).hexdigest()
    assert [p.sample_id for p in iter_predictions(path)] == [f"toy{k}" for k in range(11)]

    before = os.stat(path)
    assert cli.main([*words, str(path)]) == 0  # finished earlier: nothing is done
    assert os.stat(path).st_ino == before.st_ino
    other = [*words[:-1], "--batch-size", "3", "--out"]
    assert cli.main([*other, str(path)]) == 0  # other settings: replaced when whole
    assert os.stat(path).st_ino != before.st_ino
    assert json.loads(made_path(path).read_text())["settings"]["batch_size"] == 3
    partial_path(path).write_bytes(b"\n".join(rows) + b"\n")  # of batch size 4
    assert cli.main([*words, str(path), "--batch-size", "2"]) == 2
    assert "batch_size: 4 then, 2 now" in capsys.readouterr().err

"""The predict command's errors."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from llava_corr import cli
from llava_corr.errors import CheckpointError
from llava_corr.inference import command
from llava_corr.inference.prediction_file import made_path
from llava_corr.record_files import iter_predictions, read_samples


def arguments(*words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_a_model_folder_points_to_its_run(tmp_path):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    words = ("--samples", tmp_path / "s.jsonl", "--out", tmp_path / "p.jsonl")
    with pytest.raises(CheckpointError, match="name a run of training"):
        command.run(arguments("--run", run, *words))
    (run / "config.yaml").write_text("name: x\n")
    with pytest.raises(CheckpointError) as fault:
        command.run(arguments("--run", run / "model", *words))
    assert f"--run {run}" in str(fault.value)


def test_only_prediction_files_are_replaced(tmp_path, tiny_run, capsys):
    run, samples = tiny_run
    own = tmp_path / "s.jsonl"
    shutil.copyfile(samples, own)
    for images in {image.path for sample in read_samples(samples) for image in sample.images}:
        shutil.copyfile(images, tmp_path / Path(images).name)
    (tmp_path / "p.jsonl.partial").write_bytes(own.read_bytes())
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def predict(samples, out, *more):
        return cli.main(["predict", "--run", str(run), "--samples", str(samples), "--out", str(out), *more])

    assert predict(own, tmp_path / "." / "s.jsonl") == 2
    assert predict(tmp_path / "p.jsonl.partial", tmp_path / "p.jsonl", "--restart") == 2
    assert capsys.readouterr().err.count("would overwrite --samples") == 2
    for name in ("notes.txt", "rows.jsonl"):
        assert predict(own, tmp_path / name, "--restart") == 2
        assert "is no file of predictions" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    (tmp_path / "empty.jsonl").touch()
    for limit in ("1", "2"):
        assert predict(own, tmp_path / "empty.jsonl", "--limit", limit) == 0


def test_finished_answers_to_something_else_are_not_replaced(tmp_path, tiny_run, capsys):
    run, samples = tiny_run
    rows = [s.model_dump_json() for s in read_samples(samples)]
    for name, some in (("a", rows[:2]), ("b", rows[1:3])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(some) + "\n")
    out = tmp_path / "p.jsonl"

    def predict(name, *more):
        words = ["--samples", str(tmp_path / f"{name}.jsonl"), "--out", str(out), *more]
        return cli.main(["predict", "--run", str(run), *words])

    assert predict("a") == 0
    before = out.read_bytes()
    for words in (("b",), ("a", "--limit", "1"), ("a", "--true-answers")):
        assert predict(*words) == 2
        message = capsys.readouterr().err
        assert "the file is finished, and of something else" in message
        assert "--restart" in message
        assert out.read_bytes() == before
    made_path(out).unlink()
    assert predict("a") == 2
    assert "nothing says what made it" in capsys.readouterr().err
    assert predict("b", "--restart") == 0
    assert out.read_bytes() != before
    assert predict("b", "--batch-size", "1") == 0, "answers to the same question"


def test_true_answers_are_drawn_into_a_file_of_their_own(tmp_path, tiny_run, capsys):
    run, samples = tiny_run
    out = tmp_path / "p.jsonl"
    words = ["predict", "--run", str(run), "--samples", str(samples), "--out", str(out)]
    assert cli.main([*words, "--true-answers"]) == 0
    drawn = list(iter_predictions(out))
    assert [p.text for p in drawn] == [s.turns[-1].assistant for s in read_samples(samples)]
    assert all(p.trail[0].startswith("true_answer:") for p in drawn)
    written = out.stat().st_mtime_ns
    assert cli.main([*words, "--true-answers"]) == 0
    assert out.stat().st_mtime_ns == written
    assert cli.main([*words, "--verify"]) == 2  # these are no answers of the model
    assert "true_answers: True then, False now" in capsys.readouterr().err
    assert cli.main([*words, "--true-answers", "--verify"]) == 2

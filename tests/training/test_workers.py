"""Errors for a user out of worker processes: the same words as without workers, no traceback, exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import DataLoader
from toy import toy_samples, write_toy
from training_runs import arguments, environment

from llava_corr.datasets.collate import Collator
from llava_corr.datasets.workers import errors_whole
from llava_corr.errors import ImageError, MaskError, SampleError
from llava_corr.record_files import SamplesFile
from llava_corr.training.sft import SampleDataset


def fail(batch):
    with errors_whole():
        raise MaskError("three\nlines <error x>", where="é", mend="mend it")


def bug(batch):
    with errors_whole():
        raise ZeroDivisionError("ours")


def first_error(loader):
    with pytest.raises(Exception) as caught:  # noqa: PT011  (which one is what the test looks at)
        next(iter(loader))
    return caught.value


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_arrives_as_it_was_raised(workers):
    error = first_error(DataLoader([1, 2], collate_fn=fail, num_workers=workers))
    assert type(error) is MaskError
    assert (error.what, error.where, error.mend) == ("three\nlines <error x>", "é", "mend it")


def test_an_error_of_ours_keeps_its_traceback():
    error = first_error(DataLoader([1, 2], collate_fn=bug, num_workers=1))
    assert type(error) is ZeroDivisionError
    assert "in bug" in str(error)


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_pictures_and_changed_files_name_their_place(tmp_path, toy, workers):
    samples = write_toy(tmp_path, 2)
    dataset = SampleDataset(SamplesFile(tmp_path / "train.jsonl"))
    Path(samples[0].images[0].path).unlink()
    error = first_error(DataLoader(dataset, collate_fn=Collator(toy[1]), num_workers=workers))
    assert type(error) is ImageError
    assert samples[0].images[0].path in error.where
    assert error.mend
    dataset = SampleDataset(SamplesFile(tmp_path / "train.jsonl"))
    (tmp_path / "train.jsonl").write_text("")
    error = first_error(DataLoader(dataset, collate_fn=Collator(toy[1]), num_workers=workers))
    assert type(error) is SampleError
    assert error.where == str(tmp_path / "train.jsonl")


def test_filling_samples_have_no_answers_and_no_masks(tmp_path):
    samples = toy_samples(tmp_path, 5)
    dataset = SampleDataset(samples, 3)
    assert len(dataset) == 6
    assert [dataset[k] for k in range(5)] == samples
    assert dataset[5].turns[0].assistant is None
    assert dataset[5].targets == ()
    assert len(SampleDataset(samples, 5)) == len(SampleDataset(samples)) == 5


def train(folder, *overrides):
    command = [sys.executable, *arguments(folder, "data.workers=2", "training.max_steps=4", *overrides)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(OMP_NUM_THREADS="1"))


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_training_with_workers_shows_a_bad_picture_without_traceback(tmp_path, damage):
    samples = write_toy(tmp_path, 3)
    picture = Path(samples[1].images[0].path)
    if damage == "missing":
        picture.unlink()  # found before the first step
    else:
        picture.write_bytes(picture.read_bytes()[:90])  # found by a worker
    done = train(tmp_path)
    assert done.returncode == 2, done.stderr[-3000:]
    assert "Traceback" not in done.stderr + done.stdout
    assert str(picture) in done.stderr
    assert "  mend:  " in done.stderr
    assert ("1 picture file is missing" in done.stderr) == (damage == "missing")

"""The check before the first step: one pass, remembered by content and settings; missing pictures counted."""

import json
import os
from pathlib import Path

import pytest
from toy import toy_samples

from llava_corr.errors import SampleError
from llava_corr.record_files import SamplesFile, write_samples
from llava_corr.training import checking
from llava_corr.training.checking import check_files, check_samples, memory_of


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "REMEMBERED_FROM", 4)
    write_samples(tmp_path / "train.jsonl", toy_samples(tmp_path, 5))
    return tmp_path / "train.jsonl"


@pytest.fixture
def looks(monkeypatch):
    """Numbers of samples of the passes that were made."""
    made, look = [], checking._look

    def counted(samples, *rest):
        made.append(len(samples))
        return look(samples, *rest)

    monkeypatch.setattr(checking, "_look", counted)
    return made


def test_a_check_is_remembered_by_content_and_settings(file, toy, looks):
    _, processor, _ = toy
    first = check_files([SamplesFile(file)], processor, pictures=True)
    assert check_files([SamplesFile(file)], processor, pictures=True) == first
    assert looks == [5]
    assert check_files([SamplesFile(file)[:4]], processor, pictures=True)
    assert check_files([SamplesFile(file)], processor, pictures=False) == first
    assert looks == [5, 4, 5]
    processor.system, before = "Be brief.", processor.system
    assert check_files([SamplesFile(file)], processor, pictures=True)[0] > first[0]
    processor.system = before
    assert looks == [5, 4, 5, 5]
    rows = file.read_text().splitlines()
    file.write_text("\n".join(rows[:4]))
    assert check_files([SamplesFile(file)], processor, pictures=True)
    assert looks == [5, 4, 5, 5, 4]
    assert len(json.loads(memory_of(SamplesFile(file)).read_text())["results"]) == 5


def test_few_samples_leave_no_file(file, toy):
    check_files([SamplesFile(file)[:3]], toy[1], pictures=True)
    assert not memory_of(SamplesFile(file)).exists()


def test_a_memory_that_cannot_be_read_or_written_is_none(file, toy, looks, monkeypatch):
    memory = memory_of(SamplesFile(file))
    memory.write_text('{"results": {"x": 3}')
    check_files([SamplesFile(file)], toy[1], pictures=True)
    memory.unlink()
    memory.mkdir()  # no file can be moved there, not even by root
    (memory / "x").touch()
    for _ in range(2):
        assert check_files([SamplesFile(file)], toy[1], pictures=True)[0] > 0
    assert looks == [5, 5, 5]
    assert not list(file.parent.glob(".*.part"))


def test_missing_pictures_are_counted_and_looked_for_again(file, toy, looks):
    paths = [Path(image.path) for sample in SamplesFile(file) for image in sample.images]
    kept = paths[0].read_bytes()
    paths[0].unlink()
    with pytest.raises(SampleError, match="1 picture file is missing:\n") as caught:
        check_files([SamplesFile(file)], toy[1], pictures=True)
    assert f"{paths[0]} (toy0)" in caught.value.what
    assert check_files([SamplesFile(file)], toy[1], pictures=False)  # a blind model needs none
    paths[0].write_bytes(kept)
    assert check_files([SamplesFile(file)], toy[1], pictures=True)
    assert looks == [5, 5, 5]


def test_ten_missing_pictures_are_listed_beside_faulty_samples(toy, tmp_path):
    samples = toy_samples(tmp_path, 7)
    wrong = samples[6].model_copy(update={"id": "wrong", "targets": ()})
    for sample in samples[:6]:
        for image in sample.images:
            os.unlink(image.path)
    with pytest.raises(SampleError) as caught:
        check_samples([*samples, samples[0], wrong], toy[1])
    message = caught.value.what
    assert "1 of 9 samples cannot be trained on" in message
    assert "12 picture files are missing" in message
    assert "and 2 more" in message
    assert message.count(".png (toy") == 10


def test_two_files_are_judged_together(file, toy, tmp_path):
    other = tmp_path / "val.jsonl"
    faulty = [s.model_copy(update={"targets": ()}) for s in SamplesFile(file) if s.targets]
    write_samples(other, faulty)
    with pytest.raises(SampleError, match=f"{len(faulty)} of {5 + len(faulty)} samples"):
        check_files([SamplesFile(file), SamplesFile(other)], toy[1], pictures=True)


def test_a_repeated_id_is_refused_before_the_first_step(file, toy):
    file.write_text(file.read_text() + file.read_text().splitlines()[1])
    with pytest.raises(SampleError, match="'toy1' occurs twice"):
        check_files([SamplesFile(file)], toy[1], pictures=True)

"""The check before the first step: one pass, remembered by content and settings; missing pictures counted."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from toy import toy_samples

from llava_corr.datasets.checks import check_sample
from llava_corr.datasets.collate import to_dialogue
from llava_corr.errors import SampleError
from llava_corr.grammar import OBJECT_TOKEN
from llava_corr.record_files import SamplesFile, write_samples
from llava_corr.records import Mask, Segment, Target, Turn
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


def on_image(sample, index, *, target=0):
    targets = list(sample.targets)
    targets[target] = targets[target].model_copy(update={"image_index": index})
    return sample.model_copy(update={"targets": tuple(targets)})


def in_turn(sample, turn):
    return sample.model_copy(update={"targets": tuple(t.model_copy(update={"turn": turn}) for t in sample.targets)})


def says(sample, old, new):
    turn = sample.turns[0]
    words = turn.assistant.replace(old, new)
    return sample.model_copy(update={"turns": (turn.model_copy(update={"assistant": words}),)})


def other_mask(sample, mask):
    first = sample.targets[0].model_copy(update={"mask": mask})
    return sample.model_copy(update={"targets": (first, *sample.targets[1:])})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: on_image(s, 7), "image 7 (from 0) of 2"),
        (lambda s: on_image(s, 1), "text says image 0, target 1 (from 0)"),
        (lambda s: says(s, "(IMAGE2)", "(IMAGE1)"), "text says image 0, target 1 (from 0)"),
        (lambda s: says(s, "(IMAGE2)", "(IMAGE3)"), "dropped_unknown_image"),
        (lambda s: in_turn(s, 1), "turn 0: 2 [SEG] for 0 targets"),
        (lambda s: in_turn(s, 1), "turn 1 of 1"),
        (lambda s: other_mask(s, Mask.from_array(np.ones((3, 4)))), "mask (3, 4), image (48, 64)"),
        (lambda s: other_mask(s, Mask.from_array(np.zeros((48, 64)))), "no pixel"),
        (lambda s: other_mask(s, Mask(size=(48, 64), counts="0")), "undecodable RLE"),
    ],
)
def test_answers_and_targets_are_compared_before_the_first_step(toy, change, words):
    _, processor, samples = toy
    sample = next(s for s in samples if len(s.targets) == 2 and len(s.images) == 2)
    check_samples([sample], processor)
    with pytest.raises(SampleError) as caught:
        check_samples([sample, change(sample)], processor)
    assert "1 of 2 samples" in caught.value.what
    assert words in caught.value.what


def asks(sample, *words):
    turn = sample.turns[0]
    question = " ".join((turn.user, *words))
    return sample.model_copy(update={"turns": (turn.model_copy(update={"user": question}),)})


@pytest.mark.parametrize(
    "change",
    [
        lambda s: asks(s, "Like [SEG]?"),
        lambda s: asks(s, "<image>"),
        lambda s: asks(s, OBJECT_TOKEN),
        lambda s: says(s, ".", f" {OBJECT_TOKEN}."),
        lambda s: says(s, ".", " <image>."),
    ],
)
def test_what_the_message_sends_to_the_doctor_is_listed_there(toy, change):
    _, processor, samples = toy
    sample = next(s for s in samples if len(s.targets) == 2 and len(s.images) == 2)
    with pytest.raises(SampleError, match="llava-corr doctor lists them"):
        check_samples([change(sample)], processor)
    assert set(check_sample(change(sample))) - set(check_sample(sample))


def test_what_only_a_model_tells_is_not_sent_to_the_doctor(toy):
    sample = asks(toy[2][0], *["why"] * 300)
    assert check_sample(sample) == check_sample(toy[2][0])
    with pytest.raises(SampleError, match=r"the context holds[\s\S]*but for rows too long"):
        check_samples([sample], toy[1])


def test_rows_without_images_are_sound_to_both(toy):
    turn = Turn(user="What is a leg?", assistant="A part of a chair.")
    update = {"images": (), "targets": (), "turns": (turn,), "task": "caption"}
    sample = toy[2][0].model_copy(update=update)
    assert not check_sample(sample)
    check_samples([sample], toy[1])


def test_each_turn_has_its_own_targets(toy):
    _, processor, samples = toy
    sample = next(s for s in samples if len(s.targets) == 2 and len(s.images) == 2)
    later = sample.turns[0].model_copy(update={"user": "Once more."})
    both = (*sample.targets, *(t.model_copy(update={"turn": 1}) for t in sample.targets))
    twice = sample.model_copy(update={"turns": (*sample.turns, later), "targets": both})
    check_samples([twice], processor)
    uneven = (*sample.targets, *(t.model_copy(update={"turn": k}) for k, t in enumerate(sample.targets)))
    with pytest.raises(SampleError, match=r"turn 0: 2 \[SEG\] for 3 targets"):
        check_samples([twice.model_copy(update={"targets": uneven})], processor)


def test_no_record_has_an_image_before_the_first(toy):
    target = toy[2][0].targets[0].model_dump()
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Target.model_validate(target | {"image_index": -1})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Segment(phrase="x", image_index=-1, mask=target["mask"], score=1)


def test_a_target_out_of_range_is_no_index_error(toy):
    with pytest.raises(SampleError, match=r"is in image 7 \(from 0\) of 2"):
        to_dialogue(on_image(next(s for s in toy[2] if len(s.images) == 2 and s.targets), 7), with_answers=True)

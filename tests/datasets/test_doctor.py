"""Every fault the doctor knows, planted one at a time in a sound data set."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from llava_corr.datasets import doctor
from llava_corr.datasets.checks import MENDS
from llava_corr.datasets.doctor import examine, repair
from llava_corr.errors import ConfigError, SampleError
from llava_corr.files import read_json
from llava_corr.grammar import OBJECT_TOKEN
from llava_corr.record_files import read_samples
from llava_corr.records import Mask

FULL = Mask.from_array(np.ones((6, 8), bool)).model_dump()
NONE = Mask.from_array(np.zeros((6, 8), bool)).model_dump()
SMALL = Mask.from_array(np.ones((6, 7), bool)).model_dump()


def target(phrase, image, role, **changes):
    return {"phrase": phrase, "image_index": image, "mask": dict(FULL), "turn": 0, "role": role} | changes


def row(number: int, split: str = "train") -> dict:
    """A sound row about two images of its own."""
    images = [{"path": f"images/{split}_{number}_{k}.png", "height": 6, "width": 8} for k in range(2)]
    answer = (
        "The images show <p> the dog </p> [SEG] (IMAGE1) [SEG] (IMAGE2). "
        "The unique part is <p> the tail </p> [SEG] (IMAGE2)."
    )
    question = (
        "The <image> (IMAGE1) and <image> (IMAGE2) provide an overview of the pictures. Segment the unique parts."
    )
    return {
        "id": f"{split}-{number}",
        "split": split,
        "source": "partimagenet",
        "task": "unique_parts",
        "images": images,
        "turns": [{"user": question, "assistant": answer}],
        "targets": [target("dog", 0, "object"), target("dog", 1, "object"), target("tail", 1, "unique")],
    }


def write(folder: Path, rows: list, name: str = "train.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    lines = []
    for number, value in enumerate(rows):
        if isinstance(value, dict):
            for k, image in enumerate(value["images"]):
                colour = (number, k, 0 if name == "train.jsonl" else 1)
                Image.new("RGB", (8, 6), colour).save(folder / image["path"])
        lines.append(value if isinstance(value, bytes) else json.dumps(value).encode())
    path = folder / name
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def edited(change) -> dict:
    value = row(1)
    change(value)
    return value


def say(text: str):
    return lambda v: v["turns"][0].update(assistant=text)


def ask(text: str):
    return lambda v: v["turns"][0].update(user=text)


OBJECTS = "The images show <p> the dog </p> [SEG] (IMAGE1) [SEG] (IMAGE2)."
TAIL = "The unique part is <p> the tail </p> [SEG] (IMAGE2)."
FAULTS = {
    "three markers": ("marker_count", ask("The <image> (IMAGE1), <image> (IMAGE2) and <image> ...")),
    "no markers": ("marker_count", ask("Segment.")),
    "[SEG] in the question": ("seg_in_question", ask("The <image> (IMAGE1) and <image> (IMAGE2): [SEG] it.")),
    "a marker and no images": ("marker_count", lambda v: v.update(images=[], targets=[])),
    "swapped identifiers": ("identifier_order", ask("<image> (IMAGE2) and <image> (IMAGE1).")),
    "missing identifier": ("identifier_order", ask("<image> and <image> (IMAGE1).")),
    "question names image 3": ("identifier_out_of_range", ask("<image> (IMAGE1) <image> (IMAGE2). Not (IMAGE3).")),
    "answer names image 3": ("identifier_out_of_range", say(f"{OBJECTS} {TAIL.replace('IMAGE2', 'IMAGE3')}")),
    "target names image 2": ("identifier_out_of_range", lambda v: v["targets"][2].update(image_index=2)),
    "target names image -1": ("invalid_field", lambda v: v["targets"][2].update(image_index=-1)),
    "image in the answer": ("marker_in_answer", say(f"<image> {OBJECTS} {TAIL}")),
    "one [SEG] too few": ("seg_count", say(OBJECTS)),
    "one target too few": ("seg_count", lambda v: v["targets"].pop()),
    "target in another turn": ("seg_count", lambda v: v["targets"][2].update(turn=1)),
    "no such turn": ("turn_out_of_range", lambda v: v["targets"][2].update(turn=1)),
    "open phrase": ("unreadable_answer", say(f"{OBJECTS} The unique part is <p> the tail [SEG] (IMAGE2).")),
    "no identifier": ("unreadable_answer", say(f"{OBJECTS} {TAIL.replace(' (IMAGE2)', '')}")),
    "other words": ("phrase_mismatch", say(f"{OBJECTS} {TAIL.replace('tail', 'ear')}")),
    "targets in another order": ("phrase_mismatch", lambda v: v["targets"].reverse()),
    "text and target name other images": ("image_mismatch", lambda v: v["targets"][2].update(image_index=0)),
    "a part called object": ("role_mismatch", lambda v: v["targets"][2].update(role="object")),
    "a role of another task": ("role_mismatch", lambda v: v["targets"][2].update(role="common")),
    "part sentence without the word": ("role_mismatch", say(f"{OBJECTS} There is <p> the tail </p> [SEG] (IMAGE2).")),
    "object token without entry": ("object_token_count", ask(f"<image> (IMAGE1) <image> (IMAGE2) {OBJECT_TOKEN}")),
    "object token in the answer": ("object_token_count", say(f"{OBJECTS} {TAIL} {OBJECT_TOKEN}")),
    "mask of another size": ("mask_size", lambda v: v["targets"][0].update(mask=SMALL)),
    "image of another size than masks": ("mask_size", lambda v: v["images"][0].update(width=9)),
    "no height": ("invalid_field", lambda v: v["images"][0].update(height=0)),
    "less than no height": ("invalid_field", lambda v: v["images"][0].update(height=-2)),
    "mask of less than no height": ("invalid_field", lambda v: v["targets"][0]["mask"].update(size=[-2, -3])),
    "mask of too many pixels": ("invalid_field", lambda v: v["targets"][0]["mask"].update(size=[10**30, 0])),
    "empty mask": ("empty_mask", lambda v: v["targets"][0].update(mask=NONE)),
    "cut mask": ("undecodable_mask", lambda v: v["targets"][0]["mask"].update(counts="0")),
    "mask in other letters": (
        "undecodable_mask",
        lambda v: v["targets"][0]["mask"].update(counts="é"),
    ),
    "unknown field": ("invalid_field", lambda v: v.update(note="x")),
    "missing field": ("invalid_field", lambda v: v.pop("task")),
    "wrong type": ("invalid_field", lambda v: v.update(split=3)),
    "same id": ("duplicate_id", lambda v: v.update(id="train-0")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault(name, tmp_path):
    kind, change = FAULTS[name]
    path = write(tmp_path, [row(0), edited(change), row(2)])
    found = examine([path]).faults
    assert {fault.row for fault in found} == {2}
    assert kind in {fault.kind for fault in found}
    fault = next(fault for fault in found if fault.kind == kind)
    assert fault.mend == MENDS[kind]
    assert fault.file == str(path)
    assert fault.detail


def test_sound_rows_have_no_faults(tmp_path):
    path = write(tmp_path, [row(k) for k in range(3)])
    examination = examine([path], images=True)
    assert (examination.rows, examination.faults) == (3, [])


def test_rows_without_images_are_sound(tmp_path):
    words = {"images": [], "targets": [], "turns": [{"user": "What is a tail?", "assistant": "A part."}]}
    assert examine([write(tmp_path, [row(0), row(1) | words | {"task": "caption"}])], images=True).faults == []


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'{"id": "x", ', "broken_json"),
        (b"not json", "broken_json"),
        (b'{"id": "\xff"}', "not_utf8"),
        (b"[1]", "invalid_field"),
        (b"{}", "invalid_field"),
    ],
)
def test_goes_on_after_a_broken_row(raw, kind, tmp_path):
    late = edited(FAULTS["empty mask"][1])
    found = examine([write(tmp_path, [row(0), raw, late])]).faults
    assert {(fault.row, fault.kind) for fault in found} == {(2, kind), (3, "empty_mask")}


def test_all_faults_of_a_row_are_listed(tmp_path):
    value = row(0)
    for name in (
        "swapped identifiers",
        "other words",
        "mask of another size",
        "empty mask",
        "object token without entry",
    ):
        FAULTS[name][1](value)
    value["targets"][1]["mask"] = SMALL
    kinds = [fault.kind for fault in examine([write(tmp_path, [value])]).faults]
    assert sorted(kinds) == sorted(["phrase_mismatch", "mask_size", "empty_mask", "object_token_count"])


def _damage(path: Path, how: str) -> None:
    if how == "image_missing":
        path.unlink()
    elif how == "image_truncated":
        noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    elif how == "image_unreadable":
        path.write_bytes(b"no picture")
    else:
        Image.new("RGB", (8, 7)).save(path)


@pytest.mark.parametrize("how", ["image_missing", "image_truncated", "image_unreadable", "image_size"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_damaged_images(how, suffix, tmp_path):
    value = row(1)
    value["images"][1]["path"] = f"images/other.{suffix}"
    path = write(tmp_path, [row(0), value])
    _damage(tmp_path / value["images"][1]["path"], how)
    assert examine([path]).faults == []
    (fault,) = examine([path], images=True).faults
    assert (fault.row, fault.kind) == (2, how)
    assert "image 1 (images/other" in fault.detail


def test_pixels_of_no_known_range_are_listed(tmp_path):
    value = row(1)
    value["images"][1]["path"] = "images/other.tif"
    path = write(tmp_path, [row(0), value])
    Image.new("F", (8, 6)).save(tmp_path / "images/other.tif")
    (fault,) = examine([path], images=True).faults
    assert (fault.row, fault.kind) == (2, "image_unreadable")
    assert "mode F" in fault.detail


def test_images_shared_between_splits(tmp_path):
    train = write(tmp_path, [row(0), row(1)])
    leak = row(1, "test")
    leak["images"][0]["path"] = "./images/../images/train_1_0.png"
    test = write(tmp_path, [row(0, "test"), leak], "test.jsonl")
    (fault,) = examine([train, test]).faults
    assert (fault.file, fault.row, fault.kind) == (str(test), 2, "shared_between_splits")
    assert "train.jsonl, row 2" in fault.detail


def test_same_bytes_under_another_name(tmp_path):
    train = write(tmp_path, [row(0)])
    test = write(tmp_path, [row(0, "test")], "test.jsonl")
    (tmp_path / "images/test_0_1.png").write_bytes((tmp_path / "images/train_0_0.png").read_bytes())
    assert examine([train, test]).faults == []
    (fault,) = examine([train, test], images=True).faults
    assert (fault.file, fault.kind) == (str(test), "shared_between_splits")


def test_repair_leaves_out_faulty_rows_and_nothing_else(tmp_path):
    rows = [row(0), b"broken", edited(FAULTS["empty mask"][1]), row(3)]
    path = write(tmp_path, rows)
    before = path.read_bytes()
    examination = examine([path])
    assert repair([path], examination, tmp_path / "clean") == {str(tmp_path / "clean/train.jsonl"): 2}
    assert path.read_bytes() == before
    assert examine([tmp_path / "clean/train.jsonl"], images=True).faults == []
    (tmp_path / "sound.jsonl").write_text("".join(json.dumps(rows[k]) + "\n" for k in (0, 3)))
    expected = read_samples(tmp_path / "sound.jsonl")
    found = read_samples(tmp_path / "clean/train.jsonl")
    assert [s.truth_hash() for s in found] == [s.truth_hash() for s in expected]
    assert [i.path for s in found for i in s.images] == [i.path for s in expected for i in s.images]


def test_repair_never_works_in_place(tmp_path):
    path = write(tmp_path, [row(0)])
    examination = examine([path])
    with pytest.raises(SampleError, match="overwrite"):
        repair([path], examination, tmp_path)
    with pytest.raises(SampleError, match="overwrite"):
        repair([path], examination, path)
    with pytest.raises(SampleError, match="cannot be repaired into one"):
        repair([path, path], examination, tmp_path / "one.jsonl")
    twin = write(tmp_path / "b", [row(0)])
    with pytest.raises(SampleError, match="overwrite"):
        repair([path, twin], examination, tmp_path / "clean")


JUNK = (
    b"[SEG]",
    b"<image>",
    b"(IMAGE3)",
    b"</p>",
    b"<p>",
    b"\xff",
    b'"',
    b"{",
    b"-1",
    b"1e999",
    b"null",
    "\u2028".encode(),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1400), st.integers(0, 40), st.sampled_from(JUNK) | st.binary(max_size=8))
def test_no_damage_stops_the_pass(start, length, junk):
    """A slice of a sound row is replaced: the doctor never fails, and sees that the rows around it are sound."""
    sound = [json.dumps(row(k)).encode() for k in (0, 1, 2)]
    damaged = (sound[1][:start] + junk + sound[1][start + length :]).replace(b"\n", b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        path.write_bytes(b"\n".join([sound[0], damaged, sound[2]]) + b"\n")
        examination = examine([path], images=False)
        assert {fault.row for fault in examination.faults} <= {2}
        repair([path], examination, Path(folder) / "clean")
        assert examine([Path(folder) / "clean" / "train.jsonl"]).faults == []


def test_missing_file_is_a_named_error(tmp_path):
    with pytest.raises(SampleError, match=r"none\.jsonl"):
        examine([tmp_path / "none.jsonl"])


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    return parser.parse_args(list(words))


def test_command(tmp_path, caplog):
    caplog.set_level("INFO")
    path = str(write(tmp_path, [row(0), b"{", row(2)]))
    out, report = str(tmp_path / "clean.jsonl"), str(tmp_path / "report.json")
    assert doctor.run(arguments(path, "--images", "--repair", out, "--report", report)) == 1
    assert "row 2: broken_json" in caplog.text
    assert read_json(report)["counts"] == {"broken_json": 1}
    assert doctor.run(arguments(out, "--images")) == 0
    assert "2 rows in 1 files: no faults" in caplog.text


def test_the_report_overwrites_no_samples(tmp_path):
    path = write(tmp_path, [row(0)])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"--report .* would overwrite the samples file"):
        doctor.run(arguments(str(path), "--report", str(path)))
    assert path.read_bytes() == before


def test_every_kind_is_planted():
    planted = {kind for kind, _ in FAULTS.values()}
    elsewhere = {
        "other_file",
        "broken_json",
        "empty_file",
        "not_utf8",
        "shared_between_splits",
        "image_missing",
        "image_size",
        "image_truncated",
        "image_unreadable",
    }
    assert planted | elsewhere == set(MENDS)


def test_an_empty_file_is_a_fault(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n\n")
    (fault,) = examine([tmp_path / "a.jsonl"]).faults
    assert (fault.kind, fault.mend) == ("empty_file", MENDS["empty_file"])


@pytest.mark.parametrize("images", [False, True])
def test_names_that_no_file_can_have(tmp_path, images):
    path = write(tmp_path, [row(0)])
    good = path.read_text()
    name = json.loads(good)["images"][0]["path"]
    for bad in ("a\\u0000b", "x" * 5000):
        path.write_text(good.replace(json.dumps(name), f'"{bad}"', 1))
        found = examine([path], images=images).faults
        assert {f.kind for f in found} <= {"image_missing"}
        assert found or (not images and bad.startswith("x"))

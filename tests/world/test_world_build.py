"""Building a world: the same bytes always, resuming, refusing another plan, and reading it back."""

import hashlib
import json
import logging
from argparse import ArgumentParser

import pytest
from PIL import Image

from llava_corr.errors import ConfigError, Findings, LlavaCorrError, RegistryError
from llava_corr.records import AnnotatedImage
from llava_corr.sources import SOURCES
from llava_corr.world import build, command
from llava_corr.world.build import build_world

COUNTS = {
    "paco_lvis": {"train": 5, "val": 1},
    "partimagenet": {"train": 3, "unseen": 2},
    "ade20k_part_234": {"train": 2},
}
PLAN = {"counts": COUNTS, "seed": 2, "size": 64, "unseen": ["cat"]}


def digest(root):
    """Relative path -> hash of every file."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world") / "w"
    build_world(root, **PLAN, processes=1)
    return root


def test_two_processes_and_small_chunks_write_the_same_bytes(world, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "CHUNK", 2)
    build_world(tmp_path / "again", **PLAN, processes=2)
    assert digest(tmp_path / "again") == digest(world)


def test_an_interrupted_build_continues(world, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "CHUNK", 2)
    made = []
    original = build.make_picture

    def failing(world_, flavour, split, index, findings):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append((flavour, split, index))
        return original(world_, flavour, split, index, findings)

    monkeypatch.setattr(build, "make_picture", failing)
    with pytest.raises(KeyboardInterrupt):
        build_world(tmp_path / "w", **PLAN, processes=1)
    assert not (tmp_path / "w" / "world.json").exists()
    again = []

    def counting(world_, flavour, split, index, findings):
        again.append((flavour, split, index))
        return original(world_, flavour, split, index, findings)

    monkeypatch.setattr(build, "make_picture", counting)
    build_world(tmp_path / "w", **PLAN, processes=1)
    assert set(made[:4]).isdisjoint(again)
    assert digest(tmp_path / "w") == digest(world)


def test_a_finished_world_is_left_alone(world, monkeypatch):
    monkeypatch.setattr(build, "make_picture", None)
    before = digest(world)
    result = build_world(world, **PLAN)
    assert result["seed"] == 2
    assert digest(world) == before


@pytest.mark.parametrize("change", [{"seed": 3}, {"size": 96}, {"unseen": ["dog"]}])
def test_another_plan_in_the_same_folder_is_refused(world, change):
    with pytest.raises(ConfigError, match="another world") as raised:
        build_world(world, **{**PLAN, **change})
    assert "another folder" in str(raised.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"counts": {"paco": {"train": 1}}},
        {"counts": {"paco_lvis": {"training": 1}}},
        {"counts": {"paco_lvis": {"train": -1}}},
        {"counts": {"paco_lvis": {"unseen": 1}}},
        {"counts": {}, "size": 8},
        {"counts": {}, "seed": -1},
    ],
)
def test_senseless_plans_are_refused_before_anything_is_written(tmp_path, bad):
    with pytest.raises(ConfigError):
        build_world(tmp_path / "w", **bad)
    assert not (tmp_path / "w").exists()


def test_the_public_readers_read_what_was_written(world):
    """Every format's reader finds the images, objects and parts of the full labels."""
    for flavour, split, root in (
        ("paco_lvis", "train", world / "paco_lvis"),
        ("partimagenet", "train", world / "partimagenet"),
        ("partimagenet", "test", world / "unseen" / "partimagenet"),
        ("ade20k_part_234", "train", world / "ade20k_part_234"),
    ):
        findings = Findings()
        rows = list(
            SOURCES.load("jsonl")(root / f"annotations_{split}.jsonl", split, findings=findings, check_images=True)
        )
        images = list(SOURCES.load(flavour)(root, split, findings=findings, check_images=True))
        assert not findings, findings.summary()
        assert [i.image_id for i in images] == [r.image_id for r in rows]
        for image, row in zip(images, rows, strict=True):
            assert len(image.objects) == len(row.objects)
            assert sum(o.mask.area for o in image.objects) == sum(o.mask.area for o in row.objects)
            assert sum(len(o.parts) for o in image.objects) == sum(len(o.parts) for o in row.objects)


def test_full_labels_and_world_file(world):
    text = (world / "paco_lvis" / "annotations_train.jsonl").read_text().splitlines()
    records = [AnnotatedImage.model_validate_json(line) for line in text]
    assert len(records) == 5
    assert any(o.keypoints for r in records for o in r.objects)
    assert any(o.functional_parts for r in records for o in r.objects)
    for record in records:
        with Image.open(world / "paco_lvis" / record.path) as image:
            assert image.size == (64, 64)
    about = json.loads((world / "world.json").read_text())
    assert about["counts"]["partimagenet"] == {"train": 3, "unseen": 2}
    assert about["difficulty"]["paco_lvis train"]["images"] == 5
    sets = {name: row for name, row in about["difficulty"].items() if name.endswith(" train")}
    together = sets.pop("all train")
    assert together["images"] == sum(row["images"] for row in sets.values())
    assert together["parts"] == sum(row["parts"] for row in sets.values())
    assert not (world / ".build").exists()


def test_command_prints_difficulty_and_draws_a_sheet(world, tmp_path, caplog):
    parser = ArgumentParser()
    command.add_arguments(parser)
    with caplog.at_level(logging.INFO):
        assert command.run(parser.parse_args(["--difficulty", str(world)])) == 0
    assert "partly hidden" in caplog.text
    sheet = tmp_path / "sheet.png"
    arguments = ["--contact-sheet", str(sheet), "--flavour", "partimagenet", "--size", "48"]
    assert command.run(parser.parse_args(arguments)) == 0
    with Image.open(sheet) as image:
        assert image.width > 6 * 48
    with pytest.raises(ConfigError, match="where should"):
        command.run(parser.parse_args([]))


def test_only_holds_out_all_others():
    everything = set(command.all_categories())
    assert set(command._held_out(["mug", "dog"], [])) == everything - {"mug", "dog"}
    assert command._held_out([], ["mug"]) == ["mug"]
    assert command._held_out([], []) == []
    with pytest.raises(RegistryError, match="mugg"):
        command._held_out(["mugg"], [])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--train", "0", "--val", "0", "--test", "0"], "all 0"),
        (["--train", "-1"], "negative"),
        (["--only", "mug"], "partimagenet shows none of mug"),
        (["--only", "mugg"], "did you mean"),
    ],
)
def test_worlds_that_cannot_be_built(tmp_path, words, fault):
    parser = ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(LlavaCorrError, match=fault):
        command.run(parser.parse_args(["--out", str(tmp_path / "world"), *words]))
    assert not (tmp_path / "world").exists()

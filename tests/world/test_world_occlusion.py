"""How much of a label shows, written for a world that is there already; nothing of that world changes."""

import hashlib
import json
import logging
from argparse import ArgumentParser

import numpy as np
import pytest
from PIL import Image

from llava_corr.errors import ConfigError, Findings
from llava_corr.record_files import parse_record
from llava_corr.records import AnnotatedImage, PictureOcclusion
from llava_corr.world import command
from llava_corr.world.build import build_world
from llava_corr.world.compose import World, make_picture
from llava_corr.world.occlusion import write_occlusion
from llava_corr.world.picture import render_labels

PLAN = {
    "counts": {"paco_lvis": {"train": 1, "test": 4, "unseen": 1}, "ade20k_part_234": {"test": 2}},
    "seed": 5,
    "size": 96,
    "unseen": ["mug"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world") / "w"
    build_world(root, **PLAN, processes=1)
    return root


def digest(root):
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*.*")}


def rows_of(path):
    return [parse_record(PictureOcclusion, line, "row", ConfigError) for line in path.read_text().splitlines()]


def test_rows_tell_what_is_visible_and_what_is_hidden(world):
    before = digest(world)
    path, count = write_occlusion(world, "test")
    assert path == world / "occlusion_test.jsonl"
    assert {k: v for k, v in digest(world).items() if k != path.name} == before
    rows = rows_of(path)
    assert len(rows) == count == 6
    hidden = 0
    for row in rows:
        assert Image.open(world / row.path).size == (96, 96)
        flavour = row.path.split("/")[0]
        labels = (world / flavour / "annotations_test.jsonl").read_text().splitlines()
        record = next(
            r for line in labels if f"{flavour}/{(r := AnnotatedImage.model_validate_json(line)).path}" == row.path
        )
        wanted = [(o.category, None, o.mask.area) for o in record.objects]
        wanted += [(o.category, p.name, p.mask.area) for o in record.objects for p in o.parts]
        assert sorted(map(str, wanted)) == sorted(str((a.category, a.part, a.visible)) for a in row.areas)
        assert all(a.alone >= a.visible > 0 for a in row.areas)
        hidden += sum(a.visible < 0.95 * a.alone for a in row.areas)
    assert hidden


def test_alone_is_what_the_object_covers_without_the_others(world):
    """Against the renderer itself: the same scene with one object in it. What lies beyond the border comes on top."""
    path, _ = write_occlusion(world, "test")
    row = rows_of(path)[0]
    rendered, record = make_picture(World(5, 96, ("mug",)), "paco_lvis", "test", 0, Findings(), draw=render_labels)
    wholes = [a for a in row.areas if a.part is None]
    exact = 0
    for thing, area in zip(record.objects, wholes, strict=True):
        index = next(k for k, i in enumerate(rendered.scene.items) if i.instance_id == thing.instance_id)
        scene = rendered.scene
        lonely = render_labels(type(scene)(**{**vars(scene), "items": (scene.items[index],)}))
        mask = lonely.instance_mask(0)
        border = mask[[0, -1]].any() or mask[:, [0, -1]].any()
        assert area.alone >= mask.sum() - 1
        if not border:
            assert area.alone == pytest.approx(int(mask.sum()), abs=1)
            exact += 1
        assert np.isclose(area.visible, thing.mask.area)
    assert exact


def test_another_file_another_split(world, tmp_path, caplog):
    parser = ArgumentParser()
    command.add_arguments(parser)
    with caplog.at_level(logging.INFO):
        arguments = ["--occlusion", str(world), "--split", "unseen", "--out", str(tmp_path / "o.jsonl")]
        assert command.run(parser.parse_args(arguments)) == 0
    assert "1 pictures" in caplog.text
    (row,) = rows_of(tmp_path / "o.jsonl")
    assert row.path == str((world / "unseen" / "paco_lvis" / "test2017" / "000000000000.jpg").resolve())
    assert {a.category for a in row.areas} == {"mug"}


def test_refusals(world, tmp_path):
    with pytest.raises(ConfigError, match="no pictures of split 'val'"):
        write_occlusion(world, "val")
    with pytest.raises(ConfigError):
        write_occlusion(tmp_path, "test")
    plan = json.loads((world / "world.json").read_text())
    for name, change, message in (("v", {"version": 99}, "version 99"), ("s", {"seed": 6}, "other objects or parts")):
        other = tmp_path / name
        other.mkdir()
        for folder in ("paco_lvis", "ade20k_part_234"):
            (other / folder).symlink_to(world / folder)
        (other / "world.json").write_text(json.dumps({**plan, **change}))
        with pytest.raises(ConfigError, match=message):
            write_occlusion(other, "test")
        assert not (other / "occlusion_test.jsonl").exists()

"""Reader of writer gives back what was written, and pycocotools agrees about every file the writers make."""

from __future__ import annotations

import contextlib
import io
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from annotated import images, without_instance_ids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from llava_corr.errors import Findings
from llava_corr.record_files import write_records
from llava_corr.records import AnnotatedImage
from llava_corr.sources import SOURCES

FORMATS = ("paco_lvis", "partimagenet", "ade20k_part_234")
SPLITS = ("train", "val", "test")
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = {
    "paco_lvis": ["annotations/paco_lvis_v1_{split}.json"],
    "partimagenet": ["annotations/{split}/{split}.json", "annotations/{split}_whole/{split}_whole.json"],
    "ade20k_part_234": ["ade20k_instance_{split}.json"],
}


def writer(name: str):
    return import_module(f"llava_corr.world.writers.{name}")


def read(name: str, root: Path, split: str, **options) -> tuple[list[AnnotatedImage], Findings]:
    findings = Findings()
    return list(SOURCES.load(name)(root, split, findings=findings, **options)), findings


def written(name: str, draw) -> tuple[str, list[AnnotatedImage]]:
    split = draw(st.sampled_from(SPLITS))
    return split, draw(images(name, split, writer(name).image_path))


@pytest.mark.parametrize("name", FORMATS)
def test_reader_of_writer_is_identity(name, tmp_path_factory):
    @FEW
    @given(st.data())
    def check(data):
        root = tmp_path_factory.mktemp(name)
        split, before = written(name, data.draw)
        writer(name).write(root, split, before)
        for options in [{}, {"masks": "png"}] if name == "partimagenet" else [{}]:
            after, findings = read(name, root, split, **options)
            expected = without_instance_ids(before)
            if options:  # a label map has no order of parts: ids ascend
                expected, after = (by_name(x) for x in (expected, after))
            assert without_instance_ids(after, str(root)) == expected
            assert not findings, findings.items

    check()


def by_name(found: list[AnnotatedImage]) -> list[AnnotatedImage]:
    def ordered(image: AnnotatedImage) -> AnnotatedImage:
        objects = (o.model_copy(update={"parts": tuple(sorted(o.parts, key=lambda p: p.name))}) for o in image.objects)
        return image.model_copy(update={"objects": tuple(objects)})

    return [ordered(image) for image in found]


@pytest.mark.parametrize("name", FORMATS)
def test_pycocotools_agrees(name, tmp_path_factory):
    """Every row: same pixels as the record, area and box those of the pixels, categories known, ids unique."""

    @FEW
    @given(st.data())
    def check(data):
        root = tmp_path_factory.mktemp(name)
        split, before = written(name, data.draw)
        writer(name).write(root, split, before)
        for index, pattern in enumerate(JSON[name]):
            with contextlib.redirect_stdout(io.StringIO()):
                coco = COCO(str(root / pattern.format(split=split)))
            assert coco.getImgIds() == [int(image.image_id) for image in before]
            rows = coco.dataset["annotations"]
            assert len(coco.anns) == len(rows)
            for image in before:
                found = coco.loadAnns(coco.getAnnIds(imgIds=[int(image.image_id)]))
                assert [coco.annToMask(row).astype(bool).tolist() for row in found] == expected_masks(
                    name, index, image
                )
            for row in rows:
                assert_consistent(row, coco)

    check()


def expected_masks(name: str, file_index: int, image: AnnotatedImage) -> list:
    masks = []
    for thing in image.objects:
        if name != "partimagenet" or file_index == 1:
            masks.append(thing.mask)
        if name == "paco_lvis" or (name == "partimagenet" and file_index == 0):
            masks += [part.mask for part in thing.parts]
    return [mask.to_array().tolist() for mask in masks]


def assert_consistent(row: dict, coco: COCO) -> None:
    pixels = coco.annToMask(row)
    ys, xs = np.nonzero(pixels)
    assert row["area"] == pixels.sum() > 0
    assert row["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    assert row["category_id"] in coco.cats
    assert row["image_id"] in coco.imgs


@pytest.mark.parametrize("name", FORMATS)
def test_second_write_is_byte_identical(name, tmp_path_factory):
    @settings(FEW, max_examples=5)
    @given(st.data())
    def check(data):
        split, before = written(name, data.draw)
        folders = [tmp_path_factory.mktemp(name) for _ in range(2)]
        for folder in folders:
            writer(name).write(folder, split, before)
        first, second = (
            {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            for folder in folders
        )
        assert first == second

    check()


@pytest.mark.parametrize("name", FORMATS)
def test_records_survive_json_lines(name, tmp_path_factory):
    @FEW
    @given(st.data())
    def check(data):
        root = tmp_path_factory.mktemp("jsonl")
        split, before = written(name, data.draw)
        write_records(root / f"{split}.jsonl", before)
        after, findings = read("jsonl", root, split)
        assert [i.model_copy(update={"path": i.path.removeprefix(f"{root}/")}) for i in after] == before
        assert not findings

    check()

"""From files in the three public formats to sound samples: writers, readers, MixedParts and doctor together."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_annotations import KINDS

from llava_corr import cli
from llava_corr.datasets.mixedparts.classes import class_parts
from llava_corr.errors import Findings
from llava_corr.record_files import read_samples
from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part
from llava_corr.sources import SOURCES

CELL, SPLITS = 8, {"train": 40, "val": 12, "test": 12}


def scene(source: str, split: str, number: int, image_path, rng: np.random.Generator) -> AnnotatedImage:
    """Objects in cells of a grid, their parts as strips: nothing overlaps, so every format can hold it."""
    count = 1 if source == "partimagenet" else int(rng.integers(1, 5))
    objects = []
    for k in range(count):
        category = str(rng.choice(KINDS[source]))
        strips = list(rng.permutation(sorted(class_parts(source)[category]))[: rng.integers(1, 5)])
        pixels = np.zeros((2 * CELL, 3 * CELL), bool)
        top, left = k // 2 * CELL, k % 2 * CELL
        pixels[top : top + CELL, left : left + CELL] = True
        parts = []
        for j, name in enumerate(strips):
            strip = np.zeros_like(pixels)
            strip[top + 2 * j : top + 2 * j + 2, left : left + int(rng.integers(1, CELL + 1))] = True
            parts.append(Part(name=str(name), mask=Mask.from_array(strip)))
        objects.append(
            ImageObject(category=category, instance_id=str(k + 1), mask=Mask.from_array(pixels), parts=tuple(parts))
        )
    path = image_path(str(number), split, objects[0].category)
    return AnnotatedImage(
        image_id=str(number), path=path, height=2 * CELL, width=3 * CELL, source=source, split=split, objects=objects
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world")
    for code, source in enumerate(KINDS):
        writer = import_module(f"llava_corr.world.writers.{source}")
        for start, (split, count) in enumerate(SPLITS.items()):
            rng = np.random.default_rng([code, start])
            images = [scene(source, split, 1000 * start + k, writer.image_path, rng) for k in range(count)]
            for image in images:
                file = root / source / image.path
                file.parent.mkdir(parents=True, exist_ok=True)
                noise = rng.integers(0, 256, (image.height, image.width, 3), dtype=np.uint8)
                Image.fromarray(noise).save(file)
            writer.write(root / source, split, images)
    return root


def test_world_to_samples_to_doctor(world, tmp_path):
    assert cli.main(["data", "--world", str(world), "--count", "90", "--out", str(tmp_path)]) == 0
    files = [str(tmp_path / f"{split}.jsonl") for split in SPLITS]
    assert cli.main(["doctor", *files, "--images"]) == 0
    for split, file in zip(SPLITS, files, strict=True):
        samples = read_samples(file)
        assert {sample.source for sample in samples} == set(KINDS)
        annotated = {}
        for source in KINDS:
            for image in SOURCES.load(source)(world / source, split, findings=Findings()):
                annotated[str(Path(image.path).resolve())] = image
        for sample in samples:
            for target in sample.targets:
                image = annotated[sample.images[target.image_index].path]
                names = {o.category for o in image.objects} | {p.name for o in image.objects for p in o.parts}
                assert target.phrase in names


def test_a_damaged_image_makes_the_doctor_fail(world, tmp_path):
    cli.main(["data", "--world", str(world), "--split", "val", "--count", "20", "--out", str(tmp_path)])
    file = tmp_path / "val.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0].replace("[SEG]", "[SEG] [SEG]", 1), "{", *lines[1:]]) + "\n")
    assert cli.main(["doctor", str(file), "--images", "--repair", str(tmp_path / "clean")]) == 1
    assert len(read_samples(tmp_path / "clean" / "val.jsonl")) == 19 - (0 if "[SEG]" in lines[0] else -1)

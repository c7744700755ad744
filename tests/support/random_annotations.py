"""Random annotated images for the data set tests: several instances per class, overlaps, some empty masks."""

from __future__ import annotations

import numpy as np

from llava_corr.datasets.mixedparts.classes import class_parts
from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part

SIZE = (20, 28)
KINDS = {
    "paco_lvis": ("bottle", "bowl", "car", "chair", "cup", "knife", "mug", "pan", "scissors", "stool", "table"),
    "partimagenet": ("airplane", "bird", "cat", "fish", "monkey", "snake"),
    "ade20k_part_234": ("armchair", "bed", "cabinet", "chair", "desk", "lamp", "light", "microwave", "bus", "table"),
}


def _blob(rng: np.random.Generator) -> np.ndarray:
    pixels = np.zeros(SIZE, bool)
    y, x = rng.integers(0, SIZE[0] - 3), rng.integers(0, SIZE[1] - 3)
    height, width = rng.integers(2, 15, 2)
    pixels[y : y + height, x : x + width] = True
    return pixels


def random_image(source: str, split: str, number: int, rng: np.random.Generator) -> AnnotatedImage:
    known = class_parts(source)
    objects = []
    for k in range(1 if source == "partimagenet" else int(rng.integers(1, 6))):
        category = KINDS[source][int(rng.integers(len(KINDS[source])))]
        pixels = _blob(rng)
        names = [p for p in sorted(known[category])[:6] if rng.random() < 0.55]
        parts = [
            Part(name=n, mask=Mask.from_array(pixels & (rng.random(SIZE) < rng.choice([0.0, 0.3])))) for n in names
        ]
        objects.append(
            ImageObject(category=category, instance_id=str(k), mask=Mask.from_array(pixels), parts=tuple(parts))
        )
    return AnnotatedImage(
        image_id=f"{number:05d}",
        path=f"/data/{source}/{split}/{number:05d}.jpg",
        height=SIZE[0],
        width=SIZE[1],
        source=source,
        split=split,
        objects=tuple(objects),
    )

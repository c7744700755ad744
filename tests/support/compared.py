"""Samples of all three MixedParts tasks about two to four pictures on disk, with exact masks: for the Cascade."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from llava_corr.datasets.mixedparts.truth import common_parts, unique_parts
from llava_corr.grammar import build_question
from llava_corr.records import ImageRef, Mask, Sample, Target, Turn

HEIGHT, WIDTH = 40, 60
OBJECTS = ("chair", "st. bernard", "coffee table", "t-shirt", "dog")
PARTS = ("leg", "back pillow", "seat", "arm", "left front paw", "leg tip")
TASKS = ("common_objects", "common_parts", "unique_parts")


def write_picture(path: Path, seed: int) -> ImageRef:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(path)
    return ImageRef(path=str(path), height=HEIGHT, width=WIDTH)


def mask(index: int) -> Mask:
    """One of 12 tiles: masks of one picture do not overlap."""
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    row, column = divmod(index, 4)
    pixels[row * 12 : row * 12 + 9, column * 14 : column * 14 + 11] = True
    return Mask.from_array(pixels)


def compared(folder: Path, count: int, images: Sequence[int] = (2, 3, 4)) -> list[Sample]:
    """``count`` choices of pictures, three samples each: one of every task; some have no truth."""
    samples = []
    for number in range(count):
        rng = np.random.default_rng(number)
        n = images[number % len(images)]
        shown = [write_picture(folder / "images" / f"{number}-{k}.png", 100 * number + k) for k in range(n)]
        kinds = [{str(name) for name in rng.choice(OBJECTS, size=rng.integers(1, 4), replace=False)} for _ in range(n)]
        owners = [str(rng.choice(sorted(names))) for names in kinds]
        parts = [frozenset(map(str, rng.choice(PARTS, size=rng.integers(1, 6), replace=False))) for _ in range(n)]
        wholes = [(name, k, "object") for k, name in enumerate(owners)]
        truths = {
            "common_objects": [(o, k, "object") for o in sorted(set.intersection(*kinds)) for k in range(n)],
            "common_parts": [*wholes, *((p, k, "common") for p in common_parts(parts) for k in range(n))],
            "unique_parts": [*wholes, *((p, k, "unique") for k, own in enumerate(unique_parts(parts)) for p in own)],
        }
        for task in TASKS:
            targets = tuple(
                Target(phrase=name, image_index=k, mask=mask([*OBJECTS, *PARTS].index(name)), turn=0, role=role)
                for name, k, role in truths[task]
            )
            samples.append(
                Sample(
                    id=f"{task}-{number}",
                    split="test",
                    source="toy",
                    task=task,
                    images=tuple(shown),
                    turns=(Turn(user=build_question(n, f"What are the {task}?"), assistant=""),),
                    targets=targets,
                )
            )
    return samples

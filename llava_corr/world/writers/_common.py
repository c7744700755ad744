"""What the format writers share: COCO rows, label maps, checks of what a format can express."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import AnnotationError, MaskError
from ...files import atomic_write
from ...records import AnnotatedImage, ImageObject, Mask, Part
from ...registry import did_you_mean
from ...taxonomy import PartClass

Row = dict[str, Any]


def numeric_id(image: AnnotatedImage) -> int:
    """The image id as the integer that all three formats ask for.

    Raises:
        AnnotationError: it is not a decimal number without leading zeros.
    """
    return numeric(image.image_id)


def numeric(image_id: str) -> int:
    """See :func:`numeric_id`."""
    if not image_id.isascii() or not image_id.isdigit() or str(int(image_id)) != image_id:
        raise AnnotationError(
            f"image id {image_id!r} is not a number", where="image ids", mend="number the images 0, 1, 2, ..."
        )
    return int(image_id)


def check_images(images: Sequence[AnnotatedImage], prescribed: Iterable[str]) -> None:
    """Refuses what would be lost or misread: repeated ids, other file names, empty or wrongly sized masks.

    Args:
        prescribed: the file name that the format prescribes for each image.

    Raises:
        AnnotationError: two images of one id, or an image stored under another name.
        MaskError: an empty mask, or one of another size than its image.
    """
    seen = set()
    for image, path in zip(images, prescribed, strict=True):
        if image.image_id in seen:
            raise AnnotationError(f"image id {image.image_id} occurs twice", where=image.path, mend="use unique ids")
        seen.add(image.image_id)
        if Path(image.path).name != Path(path).name:
            raise AnnotationError(
                f"image {image.image_id} is stored as {Path(image.path).name}, the format asks for {path}",
                where=image.path,
                mend="name image files by image_path()",
            )
        for thing in image.objects:
            for named in ((thing.category, thing.mask), *((part.name, part.mask) for part in thing.parts)):
                _check_mask(image, *named)


def _check_mask(image: AnnotatedImage, name: str, mask: Mask) -> None:
    where = f"image {image.image_id}, {name}"
    if mask.size != (image.height, image.width):
        raise MaskError(
            f"mask of size {mask.size}, image {image.height} x {image.width}", where=where, mend="redraw it"
        )
    if mask.area == 0:
        raise MaskError("empty mask", where=where, mend="leave out what is not visible")


def merged_parts(thing: ImageObject) -> list[Part]:
    """The parts with those of one name united, in order of first appearance: the formats know a part name once."""
    masks: dict[str, list[Mask]] = {}
    for part in thing.parts:
        masks.setdefault(part.name, []).append(part.mask)
    return [Part(name=name, mask=Mask.union(several)) for name, several in masks.items()]


K = TypeVar("K", str, PartClass)


def lookup(table: Mapping[K, int], key: K, where: str) -> int:
    """The id of a class or part.

    Raises:
        AnnotationError: the format has no such class; the message names what it has instead.
    """
    if key in table:
        return table[key]
    known = [str(k) for k in table if not isinstance(k, PartClass) or k.whole == getattr(key, "whole", "")]
    raise AnnotationError(f"the format has no {key}", where=where, mend=did_you_mean(str(key), known))


def box_and_area(mask: Mask) -> Row:
    """COCO ``bbox`` (x, y, width, height) and ``area``."""
    x0, y0, x1, y1 = mask.box
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": mask.area}


def runs(mask: Mask) -> Row:
    """COCO run-length encoding, compressed."""
    return {"size": list(mask.size), "counts": mask.counts}


def paint(labels: NDArray[Any], mask: Mask, label: int, background: int, where: str) -> None:
    """Sets the mask's pixels of a label map, in place.

    Raises:
        MaskError: some pixel has another label already, which one map cannot hold.
    """
    pixels = mask.to_array()
    taken = labels[pixels]
    overlap = int(np.count_nonzero((taken != background) & (taken != label)))
    if overlap:
        raise MaskError(
            f"{overlap} pixels belong to two parts",
            where=where,
            mend="a label map holds one part a pixel: cut one back",
        )
    labels[pixels] = label


def write_png(path: Path, labels: NDArray[Any]) -> None:
    """Writes a uint8 or uint16 map as grey PNG, whole or not at all."""
    with atomic_write(path, "wb") as handle:
        Image.fromarray(labels).save(handle, format="PNG")

"""Writes annotated images in the public ADE20K-Part-234 format (layout: see the reader of that name).

One part map serves all instances of an image, so parts must lie inside their object and must not overlap, and two
instances of one class must not either. Not expressible and therefore not written: keypoints, functional parts, instance
ids (rows are numbered through the file), and the order of an object's parts (readers return them by id).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ... import taxonomy
from ...errors import AnnotationError, MaskError
from ...files import write_json
from ...records import AnnotatedImage, ImageObject
from ...taxonomy import ADE_FOLDERS, ADE_NO_PART, PartClass
from ._common import (
    Row,
    box_and_area,
    check_images,
    lookup,
    merged_parts,
    numeric,
    numeric_id,
    paint,
    runs,
    write_png,
)


def image_path(image_id: str, split: str, category: str) -> str:
    """File name of an image relative to the root, such as ``images/training/ADE_train_00000042.jpg``.

    Args:
        image_id: a decimal number.
        split: train -> training, val -> validation; test -> testing, which the public release does not have.
        category: has no say here.

    Raises:
        AnnotationError: another split, or an id that is no number.
    """
    return f"images/{_folder(split)}/ADE_{split}_{numeric(image_id):08d}.jpg"


def write(root: Path, split: str, images: Sequence[AnnotatedImage]) -> None:
    """Writes ``ade20k_instance_{split}.json`` and ``annotations_detectron2_part/{folder}/*.png`` below ``root``.

    Raises:
        AnnotationError: an id that is no number or occurs twice, an image stored under another name, a class or part
            that the data set does not have.
        MaskError: an empty mask, one of another size than its image, a part outside its object or inside another
            object of the same class, parts that overlap.
    """
    names = [image_path(image.image_id, split, "") for image in images]
    check_images(images, names)
    folder = Path(root) / "annotations_detectron2_part" / _folder(split)
    rows: list[Row] = []
    for image, name in zip(images, names, strict=True):
        labels = np.full((image.height, image.width), ADE_NO_PART, np.uint16)
        for index, thing in enumerate(image.objects):
            where = f"image {image.image_id}, object {index} ({thing.category})"
            part_ids = _paint_parts(labels, thing, image, where)
            rows.append(_row(len(rows) + 1, image, thing, part_ids, where))
        write_png(folder / f"{Path(name).stem}.png", labels)
    pictures = [
        {"id": numeric_id(image), "file_name": Path(name).name, "height": image.height, "width": image.width}
        for image, name in zip(images, names, strict=True)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(taxonomy.ade_objects())]
    data = {"images": pictures, "annotations": rows, "categories": categories}
    write_json(Path(root) / f"ade20k_instance_{split}.json", data, indent=None)


def _folder(split: str) -> str:
    if split not in ADE_FOLDERS:
        raise AnnotationError(f"unknown split {split!r}", mend=f"use one of {', '.join(ADE_FOLDERS)}")
    return ADE_FOLDERS[split]


@cache
def _part_ids() -> dict[PartClass, int]:
    """Ids by either name of a part: as released, and as Calico's Table 6 prints it."""
    tables = (taxonomy.ade_parts("release"), taxonomy.ade_parts("table6"))
    return {part_class: index for table in tables for index, part_class in enumerate(table)}


def _paint_parts(labels: np.ndarray, thing: ImageObject, image: AnnotatedImage, where: str) -> list[int]:
    """Draws the parts of an object into the map; returns their ids."""
    inside = thing.mask.to_array()
    rivals = [o.mask.to_array() for o in image.objects if o is not thing and o.category == thing.category]
    ids = []
    for part in merged_parts(thing):
        place = f"{where}, {part.name}"
        pixels = part.mask.to_array()
        if (pixels & ~inside).any() or any((pixels & rival).any() for rival in rivals):
            raise MaskError(
                "part reaches outside its object, or into another one of its class",
                where=place,
                mend="cut the part to its object: a reader gives it to whatever object its pixels lie in",
            )
        part_id = lookup(_part_ids(), PartClass(thing.category, part.name), place)
        paint(labels, part.mask, part_id, ADE_NO_PART, place)
        ids.append(part_id)
    return sorted(ids)


def _row(row_id: int, image: AnnotatedImage, thing: ImageObject, part_ids: list[int], where: str) -> Row:
    objects = {name: index for index, name in enumerate(taxonomy.ade_objects())}
    row: Row = {
        "id": row_id,
        "image_id": numeric_id(image),
        "category_id": lookup(objects, thing.category, where),
        **box_and_area(thing.mask),
        "segmentation": runs(thing.mask),
        "iscrowd": 0,
    }
    if part_ids:
        row["part_category_id"] = part_ids
    return row

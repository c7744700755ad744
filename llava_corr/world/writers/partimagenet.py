"""Writes annotated images in the public PartImageNet_Seg format (layout: see the reader of that name).

One object per image. Polygons run along pixel edges, so polygons and label maps hold the same pixels. Not expressible
and therefore not written: keypoints, functional parts; the instance id becomes the image id.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ... import taxonomy
from ...errors import AnnotationError
from ...files import write_json
from ...records import AnnotatedImage, ImageObject, Mask
from ...taxonomy import PARTIMAGENET_NO_OBJECT, PARTIMAGENET_NO_PART, ImageClass, PartClass
from ._common import (
    Row,
    box_and_area,
    check_images,
    lookup,
    merged_parts,
    numeric,
    numeric_id,
    paint,
    write_png,
)
from ._outlines import polygons


def image_path(image_id: str, split: str, category: str) -> str:
    """File name of an image relative to the root, such as ``images/train/n02085782_42.JPEG``.

    Args:
        image_id: a decimal number.
        split: train, val or test.
        category: one of the 37 everyday names; of its synsets the first one names the file.

    Raises:
        AnnotationError: the data set has no such class.
    """
    return f"images/{split}/{_class_of(category).synset}_{numeric(image_id)}.JPEG"


def write(root: Path, split: str, images: Sequence[AnnotatedImage]) -> None:
    """Writes json and label maps in ``annotations/{split}`` and ``annotations/{split}_whole`` below ``root``.

    Raises:
        AnnotationError: an image without exactly one object, an id that is no number or occurs twice, an image stored
            under another name, a class or part that PartImageNet does not have.
        MaskError: an empty mask, one of another size than its image, or parts that overlap.
    """
    things = [_only_object(image) for image in images]
    names = [image_path(i.image_id, split, t.category) for i, t in zip(images, things, strict=True)]
    check_images(images, names)
    parts, wholes = Path(root) / "annotations" / split, Path(root) / "annotations" / f"{split}_whole"
    part_rows: list[Row] = []
    whole_rows: list[Row] = []
    for image, thing, name in zip(images, things, names, strict=True):
        whole = _class_of(thing.category)
        part_map = np.full((image.height, image.width), PARTIMAGENET_NO_PART, np.uint8)
        for part in merged_parts(thing):
            where = f"image {image.image_id}, {part.name}"
            part_class = PartClass(whole.supercategory, part.name)
            part_id = lookup(_part_ids(), part_class, where)
            paint(part_map, part.mask, part_id, PARTIMAGENET_NO_PART, where)
            part_rows.append(_row(len(part_rows), image, part_id, part.mask))
        whole_rows.append(_row(len(whole_rows), image, whole.index, thing.mask))
        whole_map = np.where(thing.mask.to_array(), whole.index, PARTIMAGENET_NO_OBJECT).astype(np.uint8)
        write_png(parts / f"{Path(name).stem}.png", part_map)
        write_png(wholes / f"{Path(name).stem}.png", whole_map)
    pictures = [_image_row(image, name) for image, name in zip(images, names, strict=True)]
    _write_json(parts / f"{split}.json", pictures, part_rows, _part_categories())
    _write_json(wholes / f"{split}_whole.json", pictures, whole_rows, _whole_categories())


def _only_object(image: AnnotatedImage) -> ImageObject:
    if len(image.objects) != 1:
        raise AnnotationError(
            f"{len(image.objects)} objects: PartImageNet has one per image",
            where=f"image {image.image_id}",
            mend="draw one object, or use another format",
        )
    return image.objects[0]


@cache
def _first_classes() -> dict[str, ImageClass]:
    """Everyday name -> the first of its classes in the order of synsets."""
    classes: dict[str, ImageClass] = {}
    for entry in taxonomy.partimagenet_classes().values():
        if entry.name is not None:
            classes.setdefault(entry.name, entry)
    return classes


def _class_of(category: str) -> ImageClass:
    names = {name: index for index, name in enumerate(_first_classes())}
    lookup(names, category, "PartImageNet")
    return _first_classes()[category]


@cache
def _part_ids() -> dict[PartClass, int]:
    return {part_class: index for index, part_class in enumerate(taxonomy.partimagenet_parts())}


def _image_row(image: AnnotatedImage, name: str) -> Row:
    return {"id": numeric_id(image), "file_name": Path(name).name, "height": image.height, "width": image.width}


def _row(row_id: int, image: AnnotatedImage, category: int, mask: Mask) -> Row:
    return {
        "id": row_id,
        "image_id": numeric_id(image),
        "category_id": category,
        **box_and_area(mask),
        "segmentation": polygons(mask),
        "iscrowd": 0,
    }


def _part_categories() -> list[Row]:
    names = taxonomy.load("partimagenet_synsets")["parts"]
    return [{"id": i, "name": name, "supercategory": name.partition(" ")[0]} for i, name in enumerate(names)]


def _whole_categories() -> list[Row]:
    return [
        {"id": entry.index, "name": entry.synset, "supercategory": entry.supercategory.capitalize()}
        for entry in taxonomy.partimagenet_classes().values()
    ]


def _write_json(path: Path, images: list[Row], rows: list[Row], categories: list[Row]) -> None:
    write_json(path, {"images": images, "annotations": rows, "categories": categories}, indent=None)

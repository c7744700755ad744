"""Writes annotated images in the public PACO-LVIS format (layout: see the reader of that name).

Not expressible and therefore not written: keypoints, functional parts, instance ids (rows are numbered through the
file). Attributes are part of the format but unknown here: their lists stay empty.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import taxonomy
from ...files import write_json
from ...records import AnnotatedImage, Mask
from ._common import Row, box_and_area, check_images, lookup, merged_parts, numeric, numeric_id, runs


def image_path(image_id: str, split: str, category: str) -> str:
    """File name of an image relative to the root, such as ``train2017/000000000042.jpg`` (``category`` has no say).

    Args:
        image_id: a decimal number.
        split: train, val or test. The public files name train2017 and val2017 only, across the splits; here each
            split has the folder of its name, so that ids need to be unique within a split only.
    """
    return f"{split}2017/{numeric(image_id):012d}.jpg"


def write(root: Path, split: str, images: Sequence[AnnotatedImage]) -> None:
    """Writes ``annotations/paco_lvis_v1_{split}.json`` below ``root``; the image files must already be in place.

    Parts of one object that share a name are united, as the public files do.

    Raises:
        AnnotationError: an image id that is no number or occurs twice, an image stored under another name, a class or
            part that PACO does not have.
        MaskError: an empty mask, or one of another size than its image.
    """
    names = [image_path(image.image_id, split, "") for image in images]
    check_images(images, names)
    rows: list[Row] = []
    for image in images:
        _add_rows(rows, image)
    data = {
        "images": [_image_row(image, name) for image, name in zip(images, names, strict=True)],
        "annotations": rows,
        "categories": _categories(rows),
        **_fixed_tables(),
    }
    if split == "test":
        data["queries"] = []
    write_json(Path(root) / "annotations" / f"paco_lvis_v1_{split}.json", data, indent=None)


def _image_row(image: AnnotatedImage, name: str) -> Row:
    return {
        "id": numeric_id(image),
        "file_name": name,
        "width": image.width,
        "height": image.height,
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
        "neg_category_ids_attrs": [],
        "not_exhaustive_category_ids_attrs": [],
        "license": 0,
    }


def _add_rows(rows: list[Row], image: AnnotatedImage) -> None:
    """Appends the rows of an image: every object, followed by its parts."""
    for thing in image.objects:
        where = f"image {image.image_id}, {thing.category}"
        owner = len(rows) + 1
        category = lookup(taxonomy.paco_objects(), thing.category, where)
        rows.append(_row(owner, owner, image, category, thing.mask))
        for part in merged_parts(thing):
            part_class = taxonomy.PartClass(thing.category, part.name)
            category = lookup(taxonomy.paco_parts(), part_class, where)
            rows.append(_row(len(rows) + 1, owner, image, category, part.mask))


def _row(row_id: int, owner: int, image: AnnotatedImage, category: int, mask: Mask) -> Row:
    return {
        "id": row_id,
        **box_and_area(mask),
        "category_id": category,
        "image_id": numeric_id(image),
        "segmentation": runs(mask),
        "attribute_ids": [],
        "dom_color_ids": [],
        "obj_ann_id": owner,
        "unknown_color": 0,
        "unknown_pattern_marking": 0,
        "unknown_material": 0,
        "unknown_transparency": 0,
    }


def _categories(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The 531 categories with the counts of this file; frequency as LVIS has it (r <= 10 images, c <= 100, else f)."""
    table = taxonomy.load("paco_lvis_ids")
    raw = [{**row, "supercategory": "OBJECT"} for row in table["objects"]]
    for index, name in enumerate(table["parts"]):
        part_id = table["first_part_id"] + index
        raw.append({"id": part_id, "name": name, "synset": name.partition(":")[2], "supercategory": "PART"})
    instances = Counter(row["category_id"] for row in rows)
    pictures: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        pictures[row["category_id"]].add(row["image_id"])
    return [
        {
            "supercategory": row["supercategory"],
            "id": row["id"],
            "name": row["name"],
            "image_count": (seen := len(pictures[row["id"]])),
            "instance_count": instances[row["id"]],
            "synset": row["synset"],
            "frequency": "r" if seen <= 10 else "c" if seen <= 100 else "f",
        }
        for row in raw
    ]


def _fixed_tables() -> dict[str, Any]:
    table = taxonomy.load("paco_lvis_ids")
    return {
        "part_categories": [
            {"supercategory": "PART", "id": i, "name": name} for i, name in enumerate(table["part_names"])
        ],
        "attributes": [{"supercategory": "ATTR", "id": i, "name": name} for i, name in enumerate(table["attributes"])],
        "attr_type_to_attr_idxs": {kind: list(range(*span)) for kind, span in table["attribute_types"].items()},
    }

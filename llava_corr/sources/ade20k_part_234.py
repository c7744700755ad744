"""Reader of ADE20K-Part-234 (Wei et al., 2023): scenes with 44 object and 234 part classes.

Layout below ``root``::

    images/{training,validation}/*.jpg
    ade20k_instance_{train,val}.json                            object instances, COCO style
    annotations_detectron2_part/{training,validation}/*.png     part maps: 16-bit, 0 to 233, 65535 for none

There is one part map per image, not per instance: a part of an instance is the pixels of the map that lie in the
instance's mask and carry a part of its class. The public release has no test split; one written by this project uses
``testing`` and ``ade20k_instance_test.json``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from ..errors import AnnotationError, Findings
from ..records import AnnotatedImage, ImageObject, Mask, Part
from ..taxonomy import ADE_FOLDERS, ADE_NO_PART, PartNames, ade_objects, ade_parts
from . import _coco
from ._coco import CocoFile, Row
from ._images import SIXTEEN_BIT, image_is_sound, label_masks, read_label_map, refuse_labels

SOURCE = "ade20k_part_234"


def read(
    root: str | Path,
    split: str,
    *,
    findings: Findings,
    image_root: str | Path | None = None,
    part_names: PartNames = "table6",
    check_images: bool = False,
) -> Iterator[AnnotatedImage]:
    """Reads one split, in the order of the file; parts of an object come in the order of their ids.

    With a finding: rows without pixels (``empty_mask``), parts that a row lists but the map does not show inside its
    mask (``listed_part_without_pixels``), part pixels of the map that lie in no instance of their class
    (``part_without_owner``).

    Args:
        root: folder of the data set.
        split: train, val or test.
        findings: takes what was left out.
        image_root: folder of the split's images; ``root/images/{training,validation,testing}`` if not given.
        part_names: Table 6 of Calico prints the lamp's ``column`` as ``pipe``; "release" keeps the release's name.
        check_images: open and decode every image; missing, truncated and wrongly sized ones are left out and listed.

    Raises:
        AnnotationError: missing or broken file, unknown ids or labels, a part map that is not 16-bit.
        MaskError: a mask or part map of another size than its image.
    """
    root = Path(root)
    if split not in ADE_FOLDERS:
        raise AnnotationError(f"unknown split {split!r}", where=str(root), mend=f"use one of {', '.join(ADE_FOLDERS)}")
    path = _coco.first_existing(
        [root / f"ade20k_instance_{split}.json"], f"ADE20K-Part-234 instances of split {split!r}"
    )
    coco = _coco.load(path, findings)
    _check_categories(coco)
    images = Path(image_root) if image_root is not None else root / "images" / ADE_FOLDERS[split]
    maps = root / "annotations_detectron2_part" / ADE_FOLDERS[split]
    return _images(coco, images, maps, split, part_names, findings, check_images)


def _check_categories(coco: CocoFile) -> None:
    """The ids mean what the fixed list says; a file in another order would silently swap classes."""
    names = ade_objects()
    for category_id, category in coco.categories.items():
        if not 0 <= category_id < len(names) or category["name"] != names[category_id]:
            expected = names[category_id] if 0 <= category_id < len(names) else f"an id from 0 to {len(names) - 1}"
            raise AnnotationError(
                f"category {category_id} is {category['name']!r}, expected {expected!r}",
                where=f"{coco.path}, categories",
                mend="use the instance files of the ADE20K-Part-234 release",
            )


def _images(
    coco: CocoFile, images: Path, maps: Path, split: str, part_names: PartNames, findings: Findings, check: bool
) -> Iterator[AnnotatedImage]:
    for image in coco.images:
        name = Path(image["file_name"]).name
        path = images / name
        if check and not image_is_sound(path, image["height"], image["width"], findings):
            continue
        map_path = maps / f"{Path(name).stem}.png"
        labels = read_label_map(map_path, image["height"], image["width"], SIXTEEN_BIT, "a 16-bit grey PNG")
        refuse_labels(labels, map_path, highest=len(ade_parts()) - 1, background=ADE_NO_PART)
        yield AnnotatedImage(
            image_id=str(image["id"]),
            path=str(path),
            height=image["height"],
            width=image["width"],
            source=SOURCE,
            split=split,
            objects=_objects(coco, image, labels, part_names, findings),
        )


def _objects(
    coco: CocoFile, image: Row, labels: NDArray[Any], part_names: PartNames, findings: Findings
) -> tuple[ImageObject, ...]:
    shown = label_masks(labels, ADE_NO_PART)
    names = ade_parts(part_names)
    objects = []
    owned: dict[int, list[Mask]] = defaultdict(list)
    for row in coco.rows.get(image["id"], []):
        category = coco.category(row)["name"]
        mask = coco.mask(row, image, findings)
        if mask is None:
            continue
        own = _part_ids()[category].intersection(shown)
        parts = {i: part for i in sorted(own) if (part := _intersection(shown[i], mask)).area}
        for i, part in parts.items():
            owned[i].append(part)
        listed = _listed_parts(row, coco)
        for part_id in sorted(listed - parts.keys()):
            findings.add("listed_part_without_pixels", coco.where(row), f"part id {part_id}")
        objects.append(
            ImageObject(
                category=category,
                instance_id=str(row["id"]),
                mask=mask,
                parts=tuple(Part(name=names[i].part, mask=part) for i, part in parts.items()),
            )
        )
    for i, mask in shown.items():
        lost = mask.area - (Mask.union(owned[i]).area if i in owned else 0)
        if lost:
            where = f"{coco.path}, image {image['id']}"
            findings.add(
                "part_without_owner", where, f"{names[i].whole}'s {names[i].part}: {lost} pixels in no instance"
            )
    return tuple(objects)


def _listed_parts(row: Row, coco: CocoFile) -> set[int]:
    listed = row.get("part_category_id")
    if listed is None:
        return set()
    if not isinstance(listed, list) or not all(isinstance(i, int) for i in listed):
        raise AnnotationError(
            f"part_category_id is {listed!r}, not a list of ids", where=coco.where(row), mend="repair or remove it"
        )
    return set(listed)


def _intersection(first: Mask, second: Mask) -> Mask:
    return Mask.from_coco(coco_mask.merge([first.to_coco(), second.to_coco()], intersect=True))


@cache
def _part_ids() -> dict[str, set[int]]:
    ids: dict[str, set[int]] = defaultdict(set)
    for part_id, part_class in enumerate(ade_parts()):
        ids[part_class.whole].add(part_id)
    return dict(ids)

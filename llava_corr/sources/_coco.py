"""What the COCO-style files of all sources share: the index of a file, and segmentations turned into masks.

Structural faults (broken JSON, missing keys, unknown ids, sizes that disagree) are errors; rows that can be left out
without harm to the others (empty masks, degenerate polygons, orphans) are counted and listed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from ..errors import AnnotationError, Findings, MaskError
from ..files import read_json
from ..records import Mask

Row = dict[str, Any]

LARGEST_IMAGE = 2**31 - 1  # pixels: what run-length encodings can count
FAR_OUTSIDE = 4  # times the longer side of its image: no outline reaches there by rounding or cropping

_REQUIRED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "images": {"id": int, "file_name": str, "height": int, "width": int},
    "annotations": {"id": int, "image_id": int, "category_id": int, "segmentation": (list, dict)},
    "categories": {"id": int, "name": str},
}


@dataclass(frozen=True)
class CocoFile:
    """An annotation file: images in file order, annotation rows by image id, categories by id."""

    path: Path
    images: list[Row]
    rows: dict[int, list[Row]]
    categories: dict[int, Row]

    def where(self, row: Row) -> str:
        """Place of an annotation row, for messages."""
        return f"{self.path}, annotation {row['id']} of image {row['image_id']}"

    def category(self, row: Row) -> Row:
        """The category of an annotation row.

        Raises:
            AnnotationError: the file has no category of that id.
        """
        try:
            return self.categories[row["category_id"]]
        except KeyError as cause:
            raise AnnotationError(
                f"unknown category id {row['category_id']}",
                where=self.where(row),
                mend="check that images, annotations and categories come from the same release",
            ) from cause

    def mask(self, row: Row, image: Row, findings: Findings) -> Mask | None:
        """The row's segmentation as a mask; None, with a finding, where it covers no pixel."""
        return decode(row["segmentation"], image["height"], image["width"], self.where(row), findings)


def first_existing(candidates: Iterable[Path], what: str) -> Path:
    """The first path that exists.

    Raises:
        AnnotationError: none does; the message lists all that were tried.
    """
    tried = list(candidates)
    for path in tried:
        if path.exists():
            return path
    raise AnnotationError(
        f"{what} not found",
        where=" or ".join(map(str, tried)),
        mend="check the root folder and the split, or download the annotations",
    )


def load(path: Path, findings: Findings, *, unique_ids: bool = False) -> CocoFile:
    """Reads and indexes a COCO-style file.

    Args:
        unique_ids: two annotations of one id are an error rather than a finding (where rows refer to ids).

    Raises:
        AnnotationError: broken JSON, a missing list or key, a value of the wrong type, an id that occurs twice.
    """
    data = read_json(path)
    lists = {name: _checked_rows(data, name, path) for name in _REQUIRED}
    images = _by_id(lists["images"], f"{path}, images")
    categories = _by_id(lists["categories"], f"{path}, categories")
    for image in lists["images"]:
        if image["height"] <= 0 or image["width"] <= 0 or image["height"] * image["width"] > LARGEST_IMAGE:
            raise AnnotationError(
                f"image size {image['height']} x {image['width']}",
                where=f"{path}, image {image['id']}",
                mend="repair it",
            )
    rows: dict[int, list[Row]] = defaultdict(list)
    seen: set[int] = set()
    for row in lists["annotations"]:
        where = f"{path}, annotation {row['id']}"
        if row["id"] in seen:
            if unique_ids:
                raise _duplicate(row["id"], where)
            findings.add("duplicate_annotation_id", where, "both rows are kept")
        seen.add(row["id"])
        if row["image_id"] in images:
            rows[row["image_id"]].append(row)
        else:
            findings.add("annotation_without_image", where, f"image id {row['image_id']} is not listed; left out")
    return CocoFile(path, lists["images"], dict(rows), categories)


def _checked_rows(data: Any, name: str, path: Path) -> list[Row]:
    rows = data.get(name) if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise AnnotationError(
            f"no list named {name!r}", where=str(path), mend="this is not a COCO-style annotation file: check the path"
        )
    required = _REQUIRED[name]
    for index, row in enumerate(rows):
        for key, kind in required.items():
            if not isinstance(row, dict) or not isinstance(row.get(key), kind):
                value = row.get(key, "missing") if isinstance(row, dict) else row
                raise AnnotationError(
                    f"{key!r} is {value!r}", where=f"{path}, {name}[{index}]", mend="repair or remove that row"
                )
    return rows


def _by_id(rows: list[Row], where: str) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for row in rows:
        if row["id"] in found:
            raise _duplicate(row["id"], where)
        found[row["id"]] = row
    return found


def _duplicate(row_id: int, where: str) -> AnnotationError:
    return AnnotationError(f"id {row_id} occurs twice", where=where, mend="give every row an id of its own")


def decode(segmentation: Any, height: int, width: int, where: str, findings: Findings) -> Mask | None:
    """COCO segmentation (polygons, compressed or uncompressed RLE) as a mask of ``height`` x ``width``.

    Polygons of two or four numbers, which pycocotools misreads or crashes on, are left out with a finding
    ``degenerate_polygon``; a mask without pixels gives a finding ``empty_mask`` and None.

    Raises:
        AnnotationError: a polygon that is not a list of an even number of finite numbers, or reaches far outside.
        MaskError: runs of another size, or undecodable ones; an image that is larger than runs can count.
    """
    if height * width > LARGEST_IMAGE:
        raise MaskError(
            f"an image of {height} x {width}", where=where, mend=f"masks hold up to {LARGEST_IMAGE:,} pixels"
        )
    if isinstance(segmentation, dict):
        mask = _from_runs(segmentation, height, width, where)
    else:
        reach = FAR_OUTSIDE * max(height, width)
        polygons = [p for i, p in enumerate(segmentation) if _is_usable(p, reach, f"{where}, polygon {i}", findings)]
        if not polygons:
            findings.add("empty_mask", where, "no usable polygon")
            return None
        mask = Mask.from_coco(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    if mask.area == 0:
        findings.add("empty_mask", where, "no pixel is foreground")
        return None
    return mask


def _is_usable(polygon: Any, reach: int, where: str, findings: Findings) -> bool:
    numbers = isinstance(polygon, list) and all(
        isinstance(v, (int, float)) and -math.inf < v < math.inf for v in polygon
    )
    if not numbers or len(polygon) % 2:
        alone = isinstance(polygon, (int, float))
        raise AnnotationError(
            "a polygon is a flat list x0, y0, x1, y1, ... of finite numbers",
            where=where,
            mend="a segmentation is a list of polygons: put it into a list" if alone else "repair or remove it",
        )
    if any(abs(v) > reach for v in polygon):
        raise AnnotationError(
            f"a polygon with coordinates beyond {reach}, {FAR_OUTSIDE} times its image", where=where, mend="repair it"
        )
    if len(polygon) < 6:
        findings.add("degenerate_polygon", where, f"{len(polygon)} numbers, encloses nothing; left out")
        return False
    return True


def _from_runs(runs: Row, height: int, width: int, where: str) -> Mask:
    size, counts = runs.get("size"), runs.get("counts")
    if not isinstance(size, (list, tuple)) or tuple(size) != (height, width):
        raise MaskError(
            f"mask of size {size}, image of size {[height, width]}",
            where=where,
            mend="encode the mask at the size of its image (height, width)",
        )
    if isinstance(counts, list):
        if not all(isinstance(c, int) and c >= 0 for c in counts) or sum(counts) != height * width:
            raise MaskError(f"runs do not add up to {height} x {width}", where=where, mend="encode the mask again")
        uncompressed = {"size": [height, width], "counts": counts}
        return Mask.from_coco(coco_mask.frPyObjects(uncompressed, height, width))
    if not isinstance(counts, str):
        raise MaskError("no run counts", where=where, mend="give counts as a string or a list")
    mask = Mask(size=(height, width), counts=counts)
    try:
        mask.check()
    except MaskError as cause:
        raise MaskError(cause.what, where=where, mend=cause.mend) from cause
    return mask

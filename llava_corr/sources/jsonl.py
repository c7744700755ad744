"""Reader of this project's own format: JSON lines, one image per row. The way in for users' data.

``root`` is a file, or a folder that holds ``{split}.jsonl``. A full row (broken over lines here)::

    {"path": "images/kitchen.jpg", "height": 480, "width": 640,
     "image_id": "kitchen", "split": "train",
     "objects": [
       {"category": "chair", "instance_id": "left chair",
        "mask": {"size": [480, 640], "counts": "Zkd03..."},
        "parts": [
          {"name": "leg", "mask": {"png": "masks/kitchen.png", "value": 3}},
          {"name": "seat", "mask": {"polygons": [[310, 200, 380, 200, 380, 240, 310, 240]]}}],
        "keypoints": [{"concept": "leg tip", "attributes": ["front", "left"], "xy": [312.5, 398.5], "visible": true}],
        "functional_parts": [{"function": "sit-on", "name": "seat", "mask": {"png": "masks/seat.png"}}]}]}

Required: ``path``, ``height``, ``width``; of an object ``category`` and ``mask``; of a part ``name`` and ``mask``. All
else may be left out: ``image_id`` is then the path as written, ``instance_id`` the object's place in the row, ``split``
the one asked for, ``source`` "jsonl". A mask is one of

* COCO RLE, ``size`` (height, width) with ``counts`` as a string (compressed) or a list (uncompressed);
* ``png``: an 8- or 16-bit grey or palette image; foreground is what is not zero, or what equals ``value`` if given;
* ``polygons``: flat lists x0, y0, x1, y1, ... in pixels; their union counts.

Paths are taken from the folder of the file. Rows written by :func:`llava_corr.record_files.write_records` are rows of
this format and come back unchanged. More examples: ``docs/data_format.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import Field, model_validator

from ..errors import AnnotationError, Findings, MaskError
from ..files import read_rows
from ..record_files import parse_record
from ..records import AnnotatedImage, FunctionalPart, ImageObject, Keypoint, Mask, Part, Record
from . import _coco
from ._images import EIGHT_BIT, SIXTEEN_BIT, image_is_sound, read_label_map

SOURCE = "jsonl"
_PNG_MODES = ("1", *EIGHT_BIT, *SIXTEEN_BIT)


class MaskSpec(Record):
    """A mask as users write it; exactly one of the three forms."""

    size: tuple[int, int] | None = None
    counts: str | list[int] | None = None
    png: str | None = None
    value: int | None = Field(default=None, ge=0)
    polygons: list[list[float]] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> MaskSpec:
        forms = [self.counts is not None, self.png is not None, self.polygons is not None]
        if sum(forms) != 1 or (self.size is None) == forms[0] or (self.value is not None and not forms[1]):
            raise ValueError('a mask is {"size", "counts"}, {"png"}, {"png", "value"} or {"polygons"}')
        return self


class _PartRow(Record):
    name: str = Field(min_length=1)
    mask: MaskSpec


class _FunctionalPartRow(Record):
    function: str = Field(min_length=1)
    name: str = Field(min_length=1)
    mask: MaskSpec


class _ObjectRow(Record):
    category: str = Field(min_length=1)
    mask: MaskSpec
    instance_id: str | None = None
    parts: tuple[_PartRow, ...] = ()
    keypoints: tuple[Keypoint, ...] = ()
    functional_parts: tuple[_FunctionalPartRow, ...] = ()


class ImageRow(Record):
    """One row of the file."""

    path: str
    height: int = Field(gt=0, strict=True)
    width: int = Field(gt=0, strict=True)
    image_id: str | None = None
    source: str = SOURCE
    split: str | None = None
    objects: tuple[_ObjectRow, ...] = ()


def read(
    root: str | Path,
    split: str,
    *,
    findings: Findings,
    image_root: str | Path | None = None,
    check_images: bool = False,
) -> Iterator[AnnotatedImage]:
    """Reads the rows of one split, in file order.

    A file may hold several splits: rows that name another one are passed over. Left out with a finding: objects, parts
    and functional parts without pixels (``empty_mask``) and polygons of two or four numbers (``degenerate_polygon``).

    Args:
        root: the file, or a folder with ``{split}.jsonl``.
        split: the split to read.
        findings: takes what was left out; where no row is of the split, those that the rows name (``other_split``).
        image_root: folder that image paths start from; the file's folder if not given.
        check_images: open and decode every image; missing, truncated and wrongly sized ones are left out and listed.

    Raises:
        AnnotationError: missing file, broken row, an image id that occurs twice, a mask file that cannot be read.
        MaskError: a mask of another size than its image, or undecodable.
    """
    root = Path(root)
    path = root if root.is_file() else root / f"{split}.jsonl"
    folder = Path(image_root) if image_root is not None else path.parent
    rows: dict[tuple[str, str], int] = {}
    passed: Counter[str] = Counter()
    for number, line in read_rows(path):
        where = f"{path}, row {number}"
        row = parse_record(ImageRow, line, where, AnnotationError)
        if row.split is not None and row.split != split:
            passed[row.split] += 1
            continue
        image_id = row.image_id if row.image_id is not None else row.path
        key = row.source, image_id
        if key in rows:
            raise AnnotationError(
                f"image id {image_id!r} occurs twice",
                where=f"{path}, rows {rows[key]} and {number}",
                mend="give every image an id of its own, or remove one row",
            )
        rows[key] = number
        image = folder / row.path
        if check_images and not image_is_sound(image, row.height, row.width, findings):
            continue
        objects = _objects(row, path.parent, where, findings)
        yield AnnotatedImage(
            image_id=image_id,
            path=str(image),
            height=row.height,
            width=row.width,
            source=row.source,
            split=split,
            objects=objects,
        )
    if not rows:  # perhaps by another name
        for other, count in passed.items():
            findings.add("other_split", str(path), f"{count} rows name the split {other!r}, none {split!r}")


def refuse_missing_splits(root: Path, splits: Sequence[str]) -> None:
    """Of a folder, every split has a file; where one file serves several splits, each of its rows has to name one.

    Raises:
        AnnotationError: a file that is not there, or a row that names no split: its picture would be in all of them.
    """
    missing = [f"{split}.jsonl" for split in splits if not (root / f"{split}.jsonl").is_file()]
    if missing and not root.is_file():
        raise AnnotationError(
            f"{' and '.join(missing)} {'does' if len(missing) == 1 else 'do'} not exist",
            where=str(root),
            mend="check the path, or name the split to build, as in --split train; --without-test does without test's",
        )
    for number, line in read_rows(root) if root.is_file() else ():
        where = f"{root}, row {number}"
        if parse_record(ImageRow, line, where, AnnotationError).split is None:
            raise AnnotationError(
                "the row names no split: its picture would be in training and test alike",
                where=where,
                mend='give every row "split": "train", "val" or "test", or build one split at a time',
            )


def _objects(row: ImageRow, folder: Path, where: str, findings: Findings) -> tuple[ImageObject, ...]:
    objects = []
    instances: set[str] = set()
    for index, spec in enumerate(row.objects):
        place = f"{where}, object {index} ({spec.category})"
        mask = _mask(spec.mask, row, folder, place, findings)
        if mask is None:
            continue
        instance = spec.instance_id if spec.instance_id is not None else str(index)
        if instance in instances:
            raise AnnotationError(
                f"instance id {instance!r} occurs twice",
                where=place,
                mend="give every object of an image an id of its own, or give none",
            )
        instances.add(instance)
        parts = _with_masks(spec.parts, row, folder, place, findings)
        functional = _with_masks(spec.functional_parts, row, folder, place, findings)
        objects.append(
            ImageObject(
                category=spec.category,
                instance_id=instance,
                mask=mask,
                parts=tuple(Part(name=p.name, mask=m) for p, m in parts),
                keypoints=spec.keypoints,
                functional_parts=tuple(FunctionalPart(function=p.function, name=p.name, mask=m) for p, m in functional),
            )
        )
    return tuple(objects)


P = TypeVar("P", _PartRow, _FunctionalPartRow)


def _with_masks(
    specs: tuple[P, ...], row: ImageRow, folder: Path, where: str, findings: Findings
) -> list[tuple[P, Mask]]:
    """The parts that have pixels, with their masks."""
    masks = [(s, _mask(s.mask, row, folder, f"{where}, part {i} ({s.name})", findings)) for i, s in enumerate(specs)]
    return [(spec, mask) for spec, mask in masks if mask is not None]


def _mask(spec: MaskSpec, row: ImageRow, folder: Path, where: str, findings: Findings) -> Mask | None:
    if spec.png is not None:
        path = folder / spec.png
        try:
            labels = read_label_map(path, row.height, row.width, _PNG_MODES, "an 8- or 16-bit grey or palette PNG")
        except (AnnotationError, MaskError) as cause:
            raise type(cause)(
                cause.what,
                where=f"{where}, mask {path}",
                mend="correct that file, or its path: it starts at the folder of the .jsonl",
            ) from cause
        pixels = labels == spec.value if spec.value is not None else labels != 0
        if not np.any(pixels):
            findings.add("empty_mask", where, f"no pixel of {path} is foreground")
            return None
        return Mask.from_array(pixels)
    segmentation: Any = spec.polygons
    if spec.counts is not None:
        segmentation = {"size": spec.size, "counts": spec.counts}
    return _coco.decode(segmentation, row.height, row.width, where, findings)

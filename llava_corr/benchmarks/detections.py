"""What a part detector predicts, and the file it lies in: one JSON row per image.

A row (broken over lines here)::

    {"image": "test2017/000000000139.jpg", "height": 480, "width": 640,
     "detections": [
       {"object": "chair", "score": 0.93, "mask": {"size": [480, 640], "counts": "Zkd03..."}},
       {"object": "chair", "part": "leg", "score": 0.81, "mask": {"size": [480, 640], "counts": "Pek5`..."}}]}

``image`` is the path of the image file: absolute, or as many of its last components as single it out. An image that the
detector ran on and found nothing in has a row without detections. ``part`` is left out for a whole object. ``mask`` is
compressed COCO RLE, ``score`` lies in [0, 1]. The format of detectron2 is read by :mod:`.detections_coco`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePath

from pydantic import Field

from ..errors import Findings, MaskError, PredictionError
from ..files import read_rows, write_lines
from ..grammar import ground, parse_answer, spoken_name, with_determiner
from ..record_files import parse_record
from ..records import Mask, Record


class Detection(Record):
    """One detected thing.

    Attributes:
        object: class of the object, or of the object that the part belongs to; as answers say it.
        part: name of the part; None for a whole object.
        score: confidence in [0, 1].
    """

    object: str
    part: str | None = None
    mask: Mask
    score: float = Field(ge=0, le=1, allow_inf_nan=False)


class DetectedImage(Record):
    """All detections in one image; ``image`` is its path or the last components of it."""

    image: str = Field(min_length=1)
    height: int = Field(gt=0, strict=True)
    width: int = Field(gt=0, strict=True)
    detections: tuple[Detection, ...] = ()


def read_detections(
    path: str | Path, annotations: str | Path | None = None, *, findings: Findings
) -> list[DetectedImage]:
    """Reads a detections file: ``.json`` is the COCO results format, anything else rows as above.

    Masks without pixels are left out (``empty_mask``); a detection that repeats name and mask of another one of its
    image is kept and counted (``repeated_detection``).

    Args:
        annotations: for COCO results, the file that lists ``images`` and ``categories``, if they do not.
        findings: takes what was left out or is odd.

    Raises:
        PredictionError: missing file, broken row, name that no answer can say, image that occurs twice; the message
            names file and row.
        MaskError: a mask of another size than its image, or undecodable.
    """
    if Path(path).suffix.lower() == ".json":
        from .detections_coco import read_coco_results

        return read_coco_results(path, annotations, findings=findings)
    if annotations is not None:
        raise PredictionError(
            "categories and images are given for a file that names both itself",
            where=str(path),
            mend="leave --annotations out, or save COCO results as one JSON list in a file named *.json",
        )
    return list(_read_rows(path, findings))


def _read_rows(path: str | Path, findings: Findings) -> Iterator[DetectedImage]:
    rows: dict[tuple[str, ...], int] = {}
    for number, line in read_rows(path, PredictionError):
        where = f"{path}, row {number}"
        row = parse_record(DetectedImage, line, where, PredictionError)
        key = components(row.image)
        if key in rows:
            raise PredictionError(
                f"image {row.image!r} occurs twice",
                where=f"{path}, rows {rows[key]} and {number}",
                mend="put all detections of an image into one row",
            )
        rows[key] = number
        found = []
        for index, item in enumerate(row.detections):
            place = f"{where}, detection {index}"
            _require_fit(item.mask, row, place)
            name, part = say(item.object, item.part, place)
            found.append((place, item.model_copy(update={"object": name, "part": part})))
        yield row.model_copy(update={"detections": tuple(usable(found, findings))})


def _require_fit(mask: Mask, row: DetectedImage, where: str) -> None:
    if mask.size != (row.height, row.width):
        raise MaskError(
            f"mask of size {mask.size}, image of size {(row.height, row.width)} (height, width)",
            where=where,
            mend="encode the mask at the size of its image",
        )
    try:
        mask.check()
    except MaskError as cause:
        raise MaskError(cause.what, where=where, mend=cause.mend) from cause


def usable(found: Iterable[tuple[str, Detection]], findings: Findings) -> Iterator[Detection]:
    """The detections of one image, given with their places, that have pixels; repeated ones are counted."""
    seen: set[tuple[str, str | None, str]] = set()
    for place, item in found:
        if item.mask.area == 0:
            findings.add("empty_mask", place, "no pixel is foreground; left out")
            continue
        key = item.object, item.part, item.mask.counts
        if key in seen:
            findings.add("repeated_detection", place, f"{item.object} {item.part or ''}".rstrip())
        seen.add(key)
        yield item


def say(name: str, part: str | None, where: str) -> tuple[str, str | None]:
    """Object and part name as answers say them ("Left_Arm" is "left arm").

    Raises:
        PredictionError: an answer with that name would not read back.
    """
    spoken = []
    for word in (name, part):
        said = None if word is None else _said(word)
        if said == "":
            raise PredictionError(
                f"the name {word!r} cannot stand in an answer", where=where, mend="rename it in the detections"
            )
        spoken.append(said)
    return spoken[0] or "", spoken[1]


@lru_cache(maxsize=100_000)
def _said(name: str) -> str:
    said = spoken_name(name)
    phrase = with_determiner(said)
    answer = parse_answer(f"These are {ground(phrase, [0])}.", 1)
    reads_back = not answer.trail and [span.phrase for span in answer.segments] == [phrase]
    return said if reads_back else ""


def write_detections(path: str | Path, images: Iterable[DetectedImage]) -> int:
    """Writes one row per image, whole or not at all; returns how many."""
    return write_lines(path, (image.model_dump_json(exclude_none=True) for image in images))


def components(path: str) -> tuple[str, ...]:
    """The components of a path, without ``.`` and ``..``."""
    return PurePath(os.path.normpath(path)).parts


class DetectionIndex:
    """Finds the detections of an image file by the last components of its path.

    With ``by_file_name`` a row of other folders fits, too, if it is the only one with the file's name.

    Raises:
        PredictionError: two rows of one image.
    """

    def __init__(self, images: Iterable[DetectedImage], source: str, *, by_file_name: bool = False) -> None:
        self.source, self.by_file_name = source, by_file_name
        self._rows: dict[tuple[str, ...], DetectedImage] = {}
        self._taken: dict[tuple[str, ...], str] = {}
        self._by_name: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for image in images:
            key = components(image.image)
            if key in self._rows:
                raise PredictionError(f"image {image.image!r} occurs twice", where=source, mend="join its rows")
            self._rows[key] = image
            self._by_name[key[-1]].append(key)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def images_found(self) -> int:
        """How many of the rows were asked for."""
        return len(self._taken)

    def rows_found(self) -> list[DetectedImage]:
        """The rows that were asked for."""
        return [self._rows[key] for key in self._taken]

    def find(self, path: str, height: int, width: int) -> DetectedImage | None:
        """The row of the image file ``path``, or None if there is none.

        Raises:
            PredictionError: several rows fit the path, the row fits two image files, or it is of another size.
        """
        full = os.path.realpath(path)
        spellings = [components(path), components(full)]
        keys = sorted({parts[k:] for parts in spellings for k in range(len(parts)) if parts[k:] in self._rows})
        if not keys and self.by_file_name:
            keys = self._by_name.get(spellings[0][-1], [])
        if not keys:
            return None
        others = [path] if len(keys) > 1 else [self._taken.setdefault(keys[0], full)]
        if len(keys) > 1 or others[0] != full:
            names = ", ".join(repr(self._rows[key].image) for key in keys)
            raise PredictionError(
                f"rows and image files do not match one to one: {names} and {', '.join(sorted({full, *others}))}",
                where=self.source,
                mend="give more components of the images' paths",
            )
        row = self._rows[keys[0]]
        if (row.height, row.width) != (height, width):
            raise PredictionError(
                f"detections on {(row.height, row.width)}, image of {(height, width)} (height, width)",
                where=f"{self.source}, image {row.image}",
                mend="resize the masks to the image, or take the detections of this image",
            )
        return row

    def like(self, path: str) -> list[str]:
        """Images of the rows that have the file name of ``path``."""
        return [self._rows[key].image for key in self._by_name.get(components(path)[-1], [])]

"""What is known of a mask beside its fate: its size, how much of the thing shows, its category, and if training saw it.

What the data do not tell is None, which tables call "not known"; nothing is guessed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError, Findings
from ..files import read_rows
from ..grammar import normalise_label
from ..record_files import parse_record
from ..records import Mask, PictureOcclusion, Sample, Segment, Target
from .mixedparts_units import counts_segment

NOT_KNOWN = "not known"
_SIZES = (
    (0.003, "under 0.3 %"),
    (0.01, "0.3 to 1 %"),
    (0.03, "1 to 3 %"),
    (0.1, "3 to 10 %"),
    (float("inf"), "10 % and more"),
)
_SHOWN = ((0.5, "under 50 %"), (0.75, "50 to 75 %"), (0.95, "75 to 95 %"), (float("inf"), "95 % and more"))
_SEEN = {True: "seen in training", False: "not seen in training"}
BINS = {
    "size": tuple(name for _, name in _SIZES),
    "shown": (*(name for _, name in _SHOWN), NOT_KNOWN),
    "category": (*_SEEN.values(), NOT_KNOWN),
}
MEANING = {
    "size": "area of the mask over area of the picture",
    "shown": "pixels of the truth that show over those it would have if nothing stood before it and the picture had no "
    "border, all its instances together",
    "category": "whether the object's category occurs in the training samples: the mask's own name for whole objects, "
    "the category of its picture for parts",
}
Areas = Mapping[tuple[str, str | None], tuple[int, int]]
"""(category, part or None), normalised -> visible pixels and pixels if nothing hid it, summed over instances."""


class Facts(NamedTuple):
    """Of one mask: share of the picture, visible share of what it shows, category, whether training saw that."""

    share: float
    visible: float | None
    category: str | None
    seen: bool | None

    def bins(self) -> dict[str, str]:
        """Dimension -> the bin the mask falls into."""
        return {
            "size": _bin(self.share, _SIZES),
            "shown": NOT_KNOWN if self.visible is None else _bin(self.visible, _SHOWN),
            "category": NOT_KNOWN if self.seen is None else _SEEN[self.seen],
        }


class Knowledge:
    """Looks facts up.

    Args:
        occlusion: image file (resolved) -> areas; None where nothing is known of any picture.
        seen: categories of the training samples; None where they are not known.
    """

    def __init__(self, occlusion: Mapping[str, Areas] | None = None, seen: Iterable[str] | None = None) -> None:
        self.occlusion = occlusion or {}
        self.seen = None if seen is None else {normalise_label(name) for name in seen}

    def of_target(self, sample: Sample, target: Target) -> Facts:
        """Facts about a true mask."""
        whole = target.role == "object"
        name = normalise_label(target.phrase)
        category = name if whole else _category_of_image(sample, target.image_index)
        areas = self.occlusion.get(os.path.realpath(sample.images[target.image_index].path), {})
        visible, alone = areas.get((category or "", None if whole else name), (0, 0))
        return self._facts(target.mask, visible / alone if alone else None, category)

    def of_segment(self, sample: Sample, segment: Segment) -> Facts:
        """Facts about a predicted mask; how much of the thing shows is a fact of truths only."""
        whole = sample.task == "common_objects" or not counts_segment(sample.task, segment)
        category = normalise_label(segment.phrase) if whole else _category_of_image(sample, segment.image_index)
        return self._facts(segment.mask, None, category)

    def _facts(self, mask: Mask, visible: float | None, category: str | None) -> Facts:
        seen = None if self.seen is None or category is None else category in self.seen
        return Facts(mask.area / (mask.size[0] * mask.size[1]), visible, category, seen)


def _bin(value: float, edges: Sequence[tuple[float, str]]) -> str:
    return next(name for edge, name in edges if value < edge)


def _category_of_image(sample: Sample, image_index: int) -> str | None:
    """What the sample compares in this image: part tasks name one category per image, or one for all."""
    if sample.task == "common_objects" or not sample.categories:
        return None
    if len(sample.categories) == len(sample.images):
        return normalise_label(sample.categories[image_index])
    return normalise_label(sample.categories[0]) if len(set(sample.categories)) == 1 else None


def read_occlusion(path: str | Path) -> dict[str, Areas]:
    """Reads a file of :class:`PictureOcclusion` rows; paths in it are relative to its folder, or full.

    Raises:
        ConfigError: missing file, broken row, or a picture that occurs twice.
    """
    base = Path(path).resolve().parent
    known: dict[str, Areas] = {}
    for number, line in read_rows(path, ConfigError):
        row = parse_record(PictureOcclusion, line, f"{path}, row {number}", ConfigError)
        name = os.path.realpath(base / row.path)
        if name in known:
            raise ConfigError(
                f"picture {row.path} occurs twice", where=f"{path}, row {number}", mend="keep one of the rows"
            )
        areas: dict[tuple[str, str | None], tuple[int, int]] = {}
        for area in row.areas:
            key = normalise_label(area.category), None if area.part is None else normalise_label(area.part)
            visible, alone = areas.get(key, (0, 0))
            areas[key] = visible + area.visible, alone + area.alone
        known[name] = areas
    return known


def check_occlusion(occlusion: Mapping[str, Areas], samples: Sequence[Sample], path: str, findings: Findings) -> None:
    """Counts pictures of the samples that the file says nothing about (``picture_without_occlusion``).

    Raises:
        ConfigError: it says nothing about any of them.
    """
    pictures = sorted({os.path.realpath(image.path) for sample in samples for image in sample.images})
    unknown = [picture for picture in pictures if picture not in occlusion]
    if len(unknown) == len(pictures):
        raise ConfigError(
            f"the file is about none of the {len(pictures)} pictures of these samples; the first is {pictures[0]}",
            where=path,
            mend="write it for the split that was tested: llava-corr world --occlusion FOLDER --split test",
        )
    for picture in unknown:
        findings.add("picture_without_occlusion", picture)

"""The types that cross rooms: annotated images, samples, predictions, scores.

Coordinates are (x, y) in pixels of the original image with pixel centres at +0.5; boxes are x0 y0 x1 y1,
half-open; masks are bool H x W and stay encoded (COCO RLE) until a caller needs the pixels. Records are frozen
pydantic models: unknown or missing fields are errors, and all faults of a row are reported together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .errors import MaskError

PREDICTION_SCHEMA = 1

Role = Literal["object", "common", "unique"]
MixedPartsTask = Literal["common_objects", "common_parts", "unique_parts"]
AlignmentTask = Literal["grounded_caption", "referring", "caption"]
Task = Literal[MixedPartsTask, AlignmentTask]
BoolArray = NDArray[np.bool_]


class Record(BaseModel):
    """Base of all records: frozen, strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Side = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""Pixels along an edge; what run-length encodings can count."""


class Mask(Record):
    """A binary mask as compressed COCO run-length encoding; its JSON is pycocotools' own.

    Attributes:
        size: (height, width) in pixels.
        counts: compressed runs, column-major.
    """

    size: tuple[Side, Side]
    counts: str

    @classmethod
    def from_array(cls, pixels: NDArray[Any]) -> Mask:
        """Encodes an H x W array; any non-zero value is foreground."""
        if pixels.ndim != 2:
            raise MaskError(f"a mask has shape H x W, not {pixels.shape}", mend="pass one mask at a time")
        encoded = coco_mask.encode(np.asfortranarray(pixels != 0, dtype=np.uint8))
        return cls.from_coco(encoded)

    @classmethod
    def from_coco(cls, encoded: dict[str, Any]) -> Mask:
        """From pycocotools' compressed dict, with ``counts`` as bytes or str."""
        counts = encoded["counts"]
        height, width = encoded["size"]
        return cls(
            size=(int(height), int(width)), counts=counts.decode("ascii") if isinstance(counts, bytes) else counts
        )

    def to_coco(self) -> dict[str, Any]:
        return {"size": list(self.size), "counts": self.counts.encode("ascii")}

    def to_array(self) -> BoolArray:
        """Decodes to bool H x W.

        Raises:
            MaskError: the runs do not add up to height x width.
        """
        self.check()
        return coco_mask.decode(self.to_coco()).astype(bool)

    def check(self) -> None:
        """Makes sure the runs cover the image exactly; pycocotools reads past short runs without a word.

        Raises:
            MaskError: unreadable characters, a negative run, or runs that do not add up to height x width.
        """
        total = _run_total(self.counts)
        if total != self.size[0] * self.size[1]:
            said = "is unreadable" if total is None else f"covers {total} pixels"
            raise MaskError(
                f"undecodable RLE: it {said}, size {self.size} needs {self.size[0] * self.size[1]}",
                mend="encode the mask again",
            )

    @property
    def area(self) -> int:
        """Number of foreground pixels."""
        return int(coco_mask.area(self.to_coco()))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Smallest box around the foreground: x0 y0 x1 y1, half-open; all zero for an empty mask."""
        x, y, width, height = (float(v) for v in coco_mask.toBbox(self.to_coco()))
        return x, y, x + width, y + height

    @staticmethod
    def union(masks: Sequence[Mask]) -> Mask:
        """The pixels in any of ``masks`` (one size, at least one mask)."""
        _require_one_size(masks)
        return masks[0] if len(masks) == 1 else Mask.from_coco(coco_mask.merge([m.to_coco() for m in masks]))

    @staticmethod
    def iou(first: Sequence[Mask], second: Sequence[Mask]) -> NDArray[np.float64]:
        """Intersection over union of every pair, shape ``len(first) x len(second)``; 0 where both are empty."""
        if not first or not second:
            return np.zeros((len(first), len(second)))
        _require_one_size([*first, *second])
        return np.asarray(
            coco_mask.iou([m.to_coco() for m in first], [m.to_coco() for m in second], [0] * len(second)), dtype=float
        )


def _run_total(counts: str) -> int | None:
    """Sum of the runs of a compressed RLE; None if it cannot be read.

    COCO's code: characters from ``0`` carry 5 bits each, low bits first, 0x20 for "more follow" and 0x10 of the last as
    the sign; from the fourth run on the number is the difference to the run two before.
    """
    codes = np.frombuffer(counts.encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        return None
    ends = np.flatnonzero(~codes & 0x20)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:  # 35 bits: no run of an image needs more
        return None
    places = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 0x1F) << places, starts)
    runs -= np.where(codes[ends] & 0x10, 1 << 5 * lengths, 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return int(runs.sum()) if runs.min() >= 0 else None


def _require_one_size(masks: Sequence[Mask]) -> None:
    sizes = {m.size for m in masks}
    if len(sizes) != 1:
        raise MaskError(f"masks of one image differ in size: {sorted(sizes)}", mend="check which image each belongs to")


class Part(Record):
    """A named part of one object instance, as visible in the image."""

    name: str
    mask: Mask


class Keypoint(Record):
    """A semantic point: a concept ("leg tip") and the attributes that single one out ("front", "left").

    ``xy`` are pixels of the image; ``visible`` is False when the point is hidden or outside.
    """

    concept: str
    attributes: tuple[str, ...] = ()
    xy: tuple[float, float]
    visible: bool


class FunctionalPart(Record):
    """The region that does a job: function ("pour-with"), part name ("spout"), visible pixels."""

    function: str
    name: str
    mask: Mask


class ImageObject(Record):
    """One object instance; ``mask`` covers its parts and whatever of it belongs to no named part."""

    category: str
    instance_id: str
    mask: Mask
    parts: tuple[Part, ...] = ()
    keypoints: tuple[Keypoint, ...] = ()
    functional_parts: tuple[FunctionalPart, ...] = ()


class AnnotatedImage(Record):
    """What a reader of any source yields for one image.

    ``image_id`` is unique within ``source`` and ``split``; ``path`` is the image file.
    """

    image_id: str
    path: str
    height: int
    width: int
    source: str
    split: str
    objects: tuple[ImageObject, ...] = ()


class VisibleArea(Record):
    """How much of one object instance (``part`` None) or of one of its parts shows.

    Attributes:
        visible: pixels that show.
        alone: pixels it would cover if nothing stood before it and the picture had no border; at least ``visible``.
    """

    category: str
    part: str | None = None
    visible: int = Field(ge=0)
    alone: int = Field(gt=0)

    @model_validator(mode="after")
    def _shows_at_most_all(self) -> VisibleArea:
        if self.visible > self.alone:
            raise ValueError(f"{self.visible} pixels show of {self.alone} that it would cover alone")
        return self


class PictureOcclusion(Record):
    """What is hidden in one picture: a row per labelled instance and per labelled part. ``path`` is the image file."""

    path: str
    areas: tuple[VisibleArea, ...] = ()


class GroundedPhrase(Record):
    """Characters ``start`` to ``end`` (half-open) of a caption, and the instances that they speak of together."""

    start: int = Field(ge=0)
    end: int = Field(gt=0)
    instance_ids: tuple[str, ...] = Field(min_length=1)


class GroundedCaption(Record):
    """A sentence or more about an image; ``phrases`` in the order of the text, none overlapping another."""

    text: str
    phrases: tuple[GroundedPhrase, ...] = ()


class Referral(Record):
    """Words that pick out some instances of an image together: "the mug", "a red chair at a table"."""

    phrase: str
    instance_ids: tuple[str, ...] = Field(min_length=1)


class CaptionedImage(AnnotatedImage):
    """An annotated image that words are known for; instance ids are those of ``objects``."""

    captions: tuple[GroundedCaption, ...] = ()
    referrals: tuple[Referral, ...] = ()


class ImageRef(Record):
    """An image of a sample: file and original size."""

    path: str
    height: int = Field(gt=0)
    width: int = Field(gt=0)


class Turn(Record):
    """One exchange: what the user writes and what the assistant should answer."""

    user: str
    assistant: str


class Target(Record):
    """The truth behind one [SEG], in the order of the [SEG]s of all assistant turns."""

    phrase: str
    image_index: int = Field(ge=0)
    mask: Mask
    turn: int
    role: Role


class Sample(Record):
    """One dialogue about some images: what is trained on and tested.

    Attributes:
        id: unique in its file.
        images: in the order of the ``(IMAGEk)`` identifiers.
        targets: one per [SEG], in order.
        object_tokens: one per object token of a matching dialogue, in order (empty for co-segmentation).
        categories: classes the sample was built from (for stratified reports); in part tasks one per image, in order,
            or one for all.
    """

    id: str
    split: str
    source: str
    task: Task
    images: tuple[ImageRef, ...]
    turns: tuple[Turn, ...]
    targets: tuple[Target, ...] = ()
    object_tokens: tuple[Target, ...] = ()
    categories: tuple[str, ...] = ()

    def truth_hash(self) -> str:
        """Identity of everything a score depends on: task, question, image sizes, targets. Image paths do not count."""
        truth = {
            "id": self.id,
            "task": self.task,
            "sizes": [(image.height, image.width) for image in self.images],
            "questions": [turn.user for turn in self.turns],
            "targets": [target.model_dump() for target in self.targets],
        }
        return hashlib.sha256(json.dumps(truth, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Dialogue:
    """One conversation about some pictures, decoded and ready for the processor.

    Attributes:
        id: named in every error.
        image_keys: keys into the batch's pictures, in the order of the ``<image>`` markers; dialogues that share a
            picture share its towers' pass.
        turns: (user, assistant) texts; the assistant text is None where an answer is asked for.
        targets: (image index, bool mask H x W) behind each [SEG] of the assistant texts, in order.
        objects: number of objects behind the object tokens of a matching dialogue.
    """

    id: str
    image_keys: Sequence[str]
    turns: Sequence[tuple[str, str | None]]
    targets: Sequence[tuple[int, BoolArray]] = field(default_factory=list)
    objects: int = 0


class Segment(Record):
    """One predicted mask.

    Attributes:
        phrase: the words between ``<p>`` and ``</p>``, as written.
        image_index: which image (0-based) the identifier named.
        score: confidence in [0, 1]; by default the mean foreground probability of the mask.
        sentence: the sentence of the answer that the [SEG] stands in; it tells whole objects from parts.
    """

    phrase: str
    image_index: int = Field(ge=0)
    mask: Mask
    score: float
    sentence: str = ""


class Prediction(Record):
    """A model's answer to one sample.

    Attributes:
        truth: :meth:`Sample.truth_hash` of the sample it answers.
        trail: what the parser had to repair or drop, one line each.
    """

    schema_version: int = PREDICTION_SCHEMA
    sample_id: str
    truth: str
    text: str
    image_sizes: tuple[tuple[int, int], ...]
    segments: tuple[Segment, ...] = ()
    option: str | None = None
    trail: tuple[str, ...] = ()


class Score(Record):
    """A measured value with its interval and the convention it follows.

    ``interval`` is (low, high) at 95 %, or None where there is nothing to resample; ``per_sample`` maps sample ids
    to the values that were averaged, where the score is an average.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    n: int
    convention: str
    per_sample: dict[str, float] | None = None

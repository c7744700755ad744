"""How good detections are, measured against annotated images: recall, precision, mean IoU, and what goes wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import Findings, PredictionError
from ..records import AnnotatedImage, Mask, Record
from .detections import DetectedImage, Detection
from .simulated_detector import Thing, things

FOUND_IOU, HIT_IOU = 0.1, 0.5
SMALL, LARGE = 0.002, 0.02  # shares of the image: bounds between the sizes of things
Size = Literal["under 0.2 %", "0.2 to 2 %", "over 2 %"]
SIZES: tuple[Size, ...] = ("under 0.2 %", "0.2 to 2 %", "over 2 %")


class Quality(Record):
    """Measured quality of detections. Shares over nothing are None.

    Pairs are made within one image, among whole objects and among parts, one to one, by falling IoU. *Found*: with
    IoU >= 0.1, whatever the names (of equal IoUs, those of the same name first). *Hit*: the same name and IoU >= 0.5,
    paired anew.

    Attributes:
        recall, precision: hits over truths and over detections.
        recall_by_size: by the share of the image that a thing has.
        mean_iou: of the found pairs.
        missed: truths that are not found, over truths.
        missed_by_size: likewise, by size.
        wrong_name: found pairs whose names differ, over found pairs.
        false_positives: detections that find nothing, per image.
        score_auc: how often a hit has a higher score than a detection that is none (equal scores count half).
    """

    truths: int
    detections: int
    recall: float | None
    recall_by_size: dict[Size, float | None]
    precision: float | None
    mean_iou: float | None
    missed: float | None
    missed_by_size: dict[Size, float | None]
    wrong_name: float | None
    false_positives: float | None
    score_auc: float | None


class _Tally(NamedTuple):
    """What was counted in all images, for one kind of thing."""

    sizes: list[Size]  # of each truth
    found: list[bool]
    hit: list[bool]
    ious: list[float]  # of each found pair
    wrong: list[bool]
    scores: list[float]  # of each detection
    right: list[bool]


def measure(
    images: Iterable[AnnotatedImage], detections: Sequence[DetectedImage], *, threshold: float = 0.0
) -> dict[str, Quality]:
    """Quality of ``detections`` of ``images``, one of each and in the same order: ``objects``, ``parts`` and ``all``.

    Args:
        threshold: detections with scores above it count.

    Raises:
        PredictionError: another number of images, or detections on an image of another size.
    """
    known = list(images)
    if len(known) != len(detections):
        raise PredictionError(
            f"{len(known)} images and {len(detections)} rows of detections", mend="pass one row per image"
        )
    tallies = {kind: _Tally([], [], [], [], [], [], []) for kind in ("objects", "parts")}
    for image, row in zip(known, detections, strict=True):
        if (image.height, image.width) != (row.height, row.width):
            raise PredictionError(
                f"detections on {(row.height, row.width)}, image of {(image.height, image.width)} (height, width)",
                where=f"image {image.image_id}, row {row.image}",
                mend="pass images and detections in the same order",
            )
        shown = things(image, Findings())
        for kind, tally in tallies.items():
            truths = [t for t in shown if (t.label[1] is None) == (kind == "objects")]
            found = [d for d in row.detections if d.score > threshold and (d.part is None) == (kind == "objects")]
            _count(tally, truths, found, image.height * image.width)
    both = _Tally(*(first + second for first, second in zip(*tallies.values(), strict=True)))
    return {kind: _quality(tally, len(known)) for kind, tally in {**tallies, "all": both}.items()}


def _count(tally: _Tally, truths: Sequence[Thing], found: Sequence[Detection], pixels: int) -> None:
    iou = Mask.iou([t.mask for t in truths], [d.mask for d in found])
    same = np.array([[t.label == (d.object, d.part) for d in found] for t in truths], dtype=bool).reshape(iou.shape)
    pairs = _pair(np.where(iou >= FOUND_IOU, iou, 0.0), same)
    hits = _pair(np.where(same & (iou >= HIT_IOU), iou, 0.0), same)
    tally.sizes.extend(_size(t.mask.area / pixels) for t in truths)
    seen, hit, right = {t for t, _ in pairs}, {t for t, _ in hits}, {d for _, d in hits}
    tally.found.extend(k in seen for k in range(len(truths)))
    tally.hit.extend(k in hit for k in range(len(truths)))
    tally.ious.extend(float(iou[pair]) for pair in pairs)
    tally.wrong.extend(not same[pair] for pair in pairs)
    tally.scores.extend(d.score for d in found)
    tally.right.extend(k in right for k in range(len(found)))


def _size(share: float) -> Size:
    return SIZES[0] if share < SMALL else SIZES[1] if share <= LARGE else SIZES[2]


def _pair(iou: NDArray[np.float64], preferred: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """One-to-one pairs (row, column) by falling IoU above 0; of equal ones the preferred first."""
    rows, columns = np.nonzero(iou)
    order = np.lexsort((~preferred[rows, columns], -iou[rows, columns]))
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            pairs.append((row, column))
    return pairs


def _quality(tally: _Tally, images: int) -> Quality:
    by_size: dict[Size, list[tuple[bool, bool]]] = defaultdict(list)
    for size, hit, found in zip(tally.sizes, tally.hit, tally.found, strict=True):
        by_size[size].append((hit, not found))
    return Quality(
        truths=len(tally.hit),
        detections=len(tally.right),
        recall=_mean(tally.hit),
        recall_by_size={size: _mean([hit for hit, _ in by_size[size]]) for size in SIZES},
        precision=_mean(tally.right),
        mean_iou=_mean(tally.ious),
        missed=_mean([not found for found in tally.found]),
        missed_by_size={size: _mean([missed for _, missed in by_size[size]]) for size in SIZES},
        wrong_name=_mean(tally.wrong),
        false_positives=(len(tally.right) - len(tally.ious)) / images if images else None,
        score_auc=_auc(np.array(tally.scores), np.array(tally.right, dtype=bool)),
    )


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _auc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """Mann and Whitney's statistic as a share."""
    from scipy.stats import rankdata

    good, bad = int(right.sum()), int((~right).sum())
    if not good or not bad:
        return None
    ranks = rankdata(scores)[right].sum() - good * (good + 1) / 2
    return round(float(ranks / (good * bad)), 4)

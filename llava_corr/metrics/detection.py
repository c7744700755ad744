"""Average precision at IoU 0.5 by pycocotools, and the same accumulation fast enough to bootstrap.

One class for everything (class-agnostic), as GLaMM does it. With a constant score the detections are ranked by nothing
but the order of the images, so AP depends on how images are numbered (facts 6.1 and section 0, row 7): callers must
pass the images in a stable order. pycocotools matches the masks and gives the value; what it matched is kept, so that a
resample of the images needs no new matching. Names: I images, D detections of all images, G truths of all images.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Mask

MAX_DETECTIONS = 100
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
_ALL_AREAS = (0.0, 1e10)


@dataclass(frozen=True)
class DetectionImage:
    """Truths and detections of one image; ``scores`` has one value per prediction."""

    truths: Sequence[Mask]
    predictions: Sequence[Mask]
    scores: Sequence[float]


@dataclass(frozen=True)
class Matches:
    """What pycocotools matched at IoU 0.5, in its order: image by image, within an image by falling score.

    Attributes:
        value: AP50 of all images by pycocotools' own accumulate; NaN without truths.
        scores: [D].
        hits: [D] bool, the detection took a truth.
        detections: [I] number of detections of each image.
        truths: [I] number of truths of each image.
    """

    value: float
    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    detections: NDArray[np.int64]
    truths: NDArray[np.int64]


def coco_matches(images: Sequence[DetectionImage]) -> Matches:
    """Runs COCOeval ("segm", IoU 0.5, all areas, at most 100 detections per image, 101 recall points).

    Args:
        images: in the order that settles ties; image ids 1 to I are given in this order.
    """
    from pycocotools.cocoeval import COCOeval

    rows = [_rows(image) for image in images]
    with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(_coco(images, [r[0] for r in rows]), _coco(images, [r[1] for r in rows]), "segm")
        evaluation.params.imgIds = list(range(1, len(images) + 1))
        evaluation.params.catIds = [1]
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(_ALL_AREAS)], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"].ravel()
    nothing: dict[str, Any] = {"dtScores": [], "dtMatches": np.zeros((1, 0))}  # an image without truths and detections
    found = [nothing if e is None else e for e in evaluation.evalImgs]
    return Matches(
        value=float(precision.mean()) if precision.size and precision.min() >= 0 else float("nan"),
        scores=np.array([s for e in found for s in e["dtScores"]], dtype=float),
        hits=np.concatenate([np.zeros(0, dtype=bool), *(e["dtMatches"][0] > 0 for e in found)]),
        detections=np.array([len(e["dtScores"]) for e in found], dtype=np.int64),
        truths=np.array([len(image.truths) for image in images], dtype=np.int64),
    )


def _rows(image: DetectionImage) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    truths = [_annotation(mask) for mask in image.truths]
    predictions = [
        {**_annotation(mask), "score": float(s)} for mask, s in zip(image.predictions, image.scores, strict=True)
    ]
    return truths, predictions


def _annotation(mask: Mask) -> dict[str, Any]:
    return {"segmentation": mask.to_coco(), "area": mask.area, "iscrowd": 0, "category_id": 1}


def _coco(images: Sequence[DetectionImage], rows: Sequence[list[dict[str, Any]]]) -> Any:
    """A COCO data set of ``rows``, one list per image. ``COCO.loadRes`` is not used: it fails on an empty list."""
    from pycocotools.coco import COCO

    sizes = [next((m.size for m in [*image.truths, *image.predictions]), (1, 1)) for image in images]
    annotations = [{**row, "image_id": number} for number, own in enumerate(rows, start=1) for row in own]
    for identifier, row in enumerate(annotations, start=1):
        row["id"] = identifier
    coco = COCO()
    coco.dataset = {
        "images": [{"id": n, "height": h, "width": w} for n, (h, w) in enumerate(sizes, start=1)],
        "categories": [{"id": 1, "name": "anything"}],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def average_precision(scores: NDArray[np.float64], hits: NDArray[np.bool_], truths: int) -> float:
    """pycocotools' accumulate for one threshold, one class, in the same floating-point steps.

    Args:
        scores: [D] in the order of the images; equal scores keep that order.
        hits: [D].
        truths: G.

    Returns:
        The mean of interpolated precision at 101 recall levels; NaN without truths.
    """
    return _interpolated(hits[np.argsort(-scores, kind="stable")], truths)


def _interpolated(hits: NDArray[np.bool_], truths: int) -> float:
    """AP of detections that are already ranked."""
    if not truths:
        return float("nan")
    if not len(hits):
        return 0.0
    true_positives = np.cumsum(hits, dtype=float)
    precision = true_positives / (np.arange(1, len(hits) + 1) + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(true_positives / truths, RECALL_POINTS, side="left")
    return float(np.append(precision, 0.0)[at].mean())  # a recall that is never reached has precision 0


def resampled_average_precision(
    matches: Matches, groups: NDArray[np.int64], weights: NDArray[Any]
) -> NDArray[np.float64]:
    """AP50 of every resample of groups of images, equal to pycocotools' on the resampled data set.

    Args:
        matches: of all images.
        groups: [I] the group of each image, 0 to S - 1, never falling (images of one group stand together).
        weights: [B, S] how often each resample holds each group. Copies of a group follow one another, so a
            resample keeps the stable order of the images.

    Returns:
        [B], NaN for a resample without truths.
    """
    count = weights.shape[1]
    detections = np.bincount(groups, weights=matches.detections, minlength=count).astype(np.int64)
    truths = np.bincount(groups, weights=matches.truths, minlength=count).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(detections)[:-1]])
    ranks = np.unique(-matches.scores, return_inverse=True)[1]
    ranks = ranks.astype(np.min_scalar_type(ranks.max(initial=0)))  # numpy sorts 16-bit integers by radix
    values = np.empty(len(weights))
    for row, weight in enumerate(weights):
        taken = np.repeat(np.arange(count), weight)
        lengths = detections[taken]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        index = np.arange(total) + np.repeat(starts[taken] - (ends - lengths), lengths)
        order = np.argsort(ranks[index], kind="stable")
        values[row] = _interpolated(matches.hits[index][order], int(truths[taken].sum()))
    return values

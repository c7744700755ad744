"""The scores of MixedParts that are sums over sums: what one sample adds to each, and the convention of each.

Every score but AP is a numerator summed over samples by a denominator summed over samples; :func:`tally` gives both for
one sample. That form makes intervals and comparisons one matrix product. Source: facts 6.3; where a headline follows a
published evaluator that can be gamed, the strict reading stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..metrics.masks import greedy_pairs, image_iou, recall_pairs
from ..records import Mask
from .mixedparts_units import Unit

Likeness = Callable[[Sequence[str], Sequence[str]], NDArray[Any]]


class Metric(NamedTuple):
    """A score: its name, whether higher is better (1), lower (-1) or neither (0), what ``n`` counts, its convention.

    ``percent`` says that the value is a share of 1 that tables show times 100.
    """

    name: str
    direction: int
    counts: str
    convention: str
    headline: bool = False
    percent: bool = True


_AP = (
    "pycocotools COCOeval segm: one category, IoU 0.5, all areas, 101 recall points, at most 100 detections per image; "
    "images (with or without truth) numbered by sample id in code-point order, then by image index"
)
_GREEDY = "greedy one-to-one matching by highest IoU until no overlap is left"
_RECALL = "pairs by falling IoU, true positive if IoU >= 0.5 and label cosine >= 0.5; true positives over truths, micro"
_BEST = "for every truth the maximum over all predicted labels of its image, 0 if there are none; mean over truths"
_COSINE = "cosine of sentence embeddings of normalised labels, equal labels 1, an empty label 0"
_WORDS = "words in both normalised labels over words in either"

AP_METRICS = (
    Metric(
        "AP50",
        1,
        "truths",
        f"{_AP}; every score 1.0, ties in image order, then in the order of the answer",
        headline=True,
    ),
    Metric("AP50_scored", 1, "truths", f"{_AP}; ranked by the predicted scores"),
)
RATIO_METRICS = (
    Metric(
        "mIoU",
        1,
        "images with truth",
        f"{_GREEDY}; mean over the matched pairs of an image, 0 if none; mean over images with truth "
        "(misses and spurious masks cost nothing: read beside mIoU_strict)",
        headline=True,
    ),
    Metric("mIoU_strict", 1, "images with truth", f"{_GREEDY}; unmatched truths count 0; mean over images with truth"),
    Metric(
        "mIoU_strict_spurious",
        1,
        "images with truth or predictions",
        f"{_GREEDY}; unmatched truths and unmatched predictions count 0; mean over images with either",
    ),
    Metric("Recall", 1, "truths", f"{_RECALL}; the loop ends at the first pair that fails (GLaMM)", headline=True),
    Metric("Recall_nonbreaking", 1, "truths", f"{_RECALL}; a pair that fails is passed over and the loop goes on"),
    Metric("SS", 1, "truths", f"{_COSINE}; {_BEST}", headline=True),
    Metric("SS_matched", 1, "mask-matched pairs", f"{_COSINE}; mean over pairs of the {_GREEDY}"),
    Metric("S-IoU", 1, "truths", f"{_WORDS}; {_BEST}", headline=True),
    Metric("S-IoU_matched", 1, "mask-matched pairs", f"{_WORDS}; mean over pairs of the {_GREEDY}"),
    Metric(
        "predictions_per_truth", 0, "truths", "predicted masks over true masks, all images of the task", percent=False
    ),
    Metric(
        "false_segment_rate",
        -1,
        "samples without truth",
        "samples in which the task has no truth and the answer segments something all the same, over such samples",
    ),
    Metric(
        "false_segment_rate_images",
        -1,
        "images without truth",
        "images in which the task has no truth and the answer segments something all the same, over such images",
    ),
    Metric("missing_rate", -1, "samples", "samples without a prediction, scored as empty answers, over all samples"),
)
METRICS = (*AP_METRICS, *RATIO_METRICS)
MEAN_CONVENTION = "macro mean over the tasks that define it"

Tally = dict[str, tuple[float, float]]


def tally(units: Sequence[Unit], *, missing: bool, cosine: Likeness, words: Likeness) -> Tally:
    """What one sample adds to each of :data:`RATIO_METRICS`: name -> (numerator, denominator).

    Args:
        units: the images of the sample.
        missing: the sample has no prediction.
        cosine, words: likeness of P predicted and T true labels as a P x T matrix.
    """
    sums = {metric.name: [0.0, 0.0] for metric in RATIO_METRICS}
    for unit in units:
        for name, (numerator, denominator) in _tally_image(unit, cosine, words).items():
            sums[name][0] += numerator
            sums[name][1] += denominator
    empty = not any(unit.truths for unit in units)
    sums["false_segment_rate"] = [float(empty and any(unit.predictions for unit in units)), float(empty)]
    sums["missing_rate"] = [float(missing), 1.0]
    return {name: (numerator, denominator) for name, (numerator, denominator) in sums.items()}


def _tally_image(unit: Unit, cosine: Likeness, words: Likeness) -> Tally:
    predicted, truths = len(unit.predictions), len(unit.truths)
    if not truths:
        spurious = {"mIoU_strict_spurious": (0.0, 1.0)} if predicted else {}
        false = {"false_segment_rate_images": (float(predicted > 0), 1.0)}
        return {**spurious, **false, "predictions_per_truth": (float(predicted), 0.0)}
    iou = Mask.iou(unit.predictions, unit.truths)
    pairs = greedy_pairs(iou)
    quality = image_iou(iou, pairs)
    cosines, overlaps = (like(unit.predicted_labels, unit.truth_labels) for like in (cosine, words))
    entries: Tally = {
        "mIoU": (quality.matched, 1.0),
        "mIoU_strict": (quality.strict or 0.0, 1.0),
        "mIoU_strict_spurious": (quality.penalised or 0.0, 1.0),
        "Recall": (float(len(recall_pairs(iou, cosines))), float(truths)),
        "Recall_nonbreaking": (float(len(recall_pairs(iou, cosines, breaking=False))), float(truths)),
        "predictions_per_truth": (float(predicted), float(truths)),
    }
    for name, likeness in (("SS", cosines), ("S-IoU", overlaps)):
        best = float(likeness.max(axis=0).sum()) if predicted else 0.0
        entries[name] = (best, float(truths))
        entries[f"{name}_matched"] = (float(sum(likeness[pair] for pair in pairs)), float(len(pairs)))
    return entries

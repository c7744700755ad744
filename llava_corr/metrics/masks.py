"""Mask scores of one image: GLaMM's greedy matching and its recall loop.

All functions take an IoU matrix of shape P x T (P predicted masks, T true masks, values in [0, 1]) and look at nothing
else. Equal IoUs are settled in row order: the earlier prediction first, then the earlier truth. Source: Calico appendix
C.2; facts 6.1, which says what GLaMM's evaluation code does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
Matrix = NDArray[Any]

IOU_THRESHOLD = 0.5
SIMILARITY_THRESHOLD = 0.5


def greedy_pairs(iou: Matrix) -> list[Pair]:
    """Takes the pair of highest IoU, removes its row and column, and again until every IoU left is 0.

    Returns:
        (prediction, truth) indices in the order taken; at most min(P, T) of them.
    """
    left = np.array(iou, dtype=float)
    pairs: list[Pair] = []
    while left.size:
        row, column = _highest(left)
        if left[row, column] <= 0.0:
            break
        pairs.append((row, column))
        left[row, :], left[:, column] = 0.0, 0.0
    return pairs


class ImageIoU(NamedTuple):
    """The three readings of "mean IoU of an image", from one greedy matching.

    Attributes:
        matched: mean over matched pairs, 0 if there are none (GLaMM's, blind to misses and to spurious masks).
        strict: unmatched truths count 0; None for an image without truth.
        penalised: unmatched truths and unmatched predictions count 0; None for an image with neither.
    """

    matched: float
    strict: float | None
    penalised: float | None


def image_iou(iou: Matrix, pairs: list[Pair] | None = None) -> ImageIoU:
    """The IoU of one image under :func:`greedy_pairs` (computed unless given)."""
    predicted, truths = iou.shape
    pairs = greedy_pairs(iou) if pairs is None else pairs
    total = float(sum(iou[pair] for pair in pairs))
    everything = predicted + truths - len(pairs)
    return ImageIoU(
        matched=total / len(pairs) if pairs else 0.0,
        strict=total / truths if truths else None,
        penalised=total / everything if everything else None,
    )


def recall_pairs(
    iou: Matrix,
    similarity: Matrix,
    *,
    breaking: bool = True,
    iou_threshold: float = IOU_THRESHOLD,
    similarity_threshold: float = SIMILARITY_THRESHOLD,
) -> list[Pair]:
    """True positives of one image: right place and right name.

    The pair of highest IoU is tried repeatedly; it counts if IoU and similarity reach their thresholds, and its row
    and column are then removed.

    Args:
        iou: P x T.
        similarity: P x T, likeness of the labels.
        breaking: GLaMM's loop, which ends at the first pair that fails. False: only that pair is removed, so that one
            wrong name does not hide the right answers of lower IoU.
    """
    left = np.array(iou, dtype=float)
    pairs: list[Pair] = []
    while left.size:
        row, column = _highest(left)
        if left[row, column] < iou_threshold:
            break
        if similarity[row, column] >= similarity_threshold:
            pairs.append((row, column))
            left[row, :], left[:, column] = -1.0, -1.0
        elif breaking:
            break
        else:
            left[row, column] = -1.0
    return pairs


def _highest(matrix: Matrix) -> Pair:
    row, column = np.unravel_index(int(matrix.argmax()), matrix.shape)
    return int(row), int(column)

"""What becomes of every true and every predicted mask: found, or failed in one of four ways; spurious, or of use.

Four rules are applied to a sample in this order. Each pairs true with predicted masks one to one, and passes on what it
leaves over, so that every mask is in one pair or in none:

1. **found**: same image, right name, IoU >= 0.5; pairs by falling IoU (the pairs of Recall_nonbreaking).
2. **wrong mask**: same image, right name, and so IoU < 0.5, perhaps 0; pairs by falling IoU.
3. **wrong name**: same image, IoU >= 0.5; pairs by falling IoU.
4. **wrong image**: right name in another image of the sample; pairs by falling likeness of names, then in order.

A true mask in no pair is **missed**, a predicted one in no pair is **spurious**. A name that was drawn once accounts
for one truth: where a part is found in one picture and not drawn in the other, the other's is missed, not in the wrong
image; of two masks drawn for one truth, one is spurious. Equal IoUs go to the more alike names, then to the earlier
mask.

Names are normalised as in the scores. A name is right if it is equal (:data:`EQUAL`), or, as Recall has it, if its
cosine is at least 0.5 (:data:`SIMILAR`); an empty name is never right. In part tasks the whole objects that an answer
names first are classified among themselves: parts never account for them, nor they for parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..grammar import normalise_label
from ..metrics.masks import IOU_THRESHOLD, SIMILARITY_THRESHOLD
from ..records import Mask, Prediction, Sample
from .mixedparts_units import counts_segment, counts_target

Kind = Literal["found", "wrong_mask", "wrong_name", "wrong_image", "missed"]
KINDS: tuple[Kind, ...] = ("found", "wrong_mask", "wrong_name", "wrong_image", "missed")
EQUAL, SIMILAR = "equal", "similar"
NAME_RULES = {
    EQUAL: "right name: the normalised labels are equal",
    SIMILAR: f"right name: cosine of the normalised labels' sentence embeddings >= {SIMILARITY_THRESHOLD}",
}
DEFINITIONS = {
    "found": "right image, right name, mask IoU >= 0.5",
    "wrong_mask": "right image and right name, but mask IoU < 0.5",
    "wrong_name": "mask IoU >= 0.5 in the right image, but under another name",
    "wrong_image": "the right name, drawn in another image of the sample where it accounts for no truth",
    "missed": "none of these",
    "spurious": "a predicted mask that accounts for no truth",
}
Likeness = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""Likeness of P predicted and T true labels in [0, 1], shape P x T."""


class TruthFate(NamedTuple):
    """What became of a true mask.

    Attributes:
        target: its index in ``Sample.targets``.
        kind: one of :data:`KINDS`.
        segment: index in ``Prediction.segments`` of the mask that accounts for it; None if missed.
        iou: with that mask; None if missed or in another image.
        counted: whether the scores look at it (they pass over whole objects in part tasks).
    """

    target: int
    kind: Kind
    segment: int | None
    iou: float | None
    counted: bool


class SpuriousMask(NamedTuple):
    """A predicted mask that accounts for no truth: its index in ``Prediction.segments``; ``counted`` as above."""

    segment: int
    counted: bool


class SampleAnatomy(NamedTuple):
    """All masks of one sample: ``truths`` in the order of its targets, ``spurious`` in the order of the answer."""

    truths: list[TruthFate]
    spurious: list[SpuriousMask]


def equal_names(predicted: Sequence[str], true: Sequence[str]) -> NDArray[np.float64]:
    """1 where two normalised labels are equal and not empty, shape P x T."""
    return np.array([[float(p == t and p != "") for t in true] for p in predicted]).reshape(len(predicted), len(true))


def anatomy_of(sample: Sample, answer: Prediction | None, likeness: Likeness = equal_names) -> SampleAnatomy:
    """Classifies every mask of one sample; without an answer every truth is missed.

    Args:
        sample, answer: as checked by :func:`mixedparts_units.align`.
        likeness: a name is right from 0.5 on. With :func:`equal_names` that is equality.
    """
    segments = answer.segments if answer else ()
    truths: list[TruthFate] = []
    spurious: list[SpuriousMask] = []
    for counted in (True, False):
        true = [k for k, t in enumerate(sample.targets) if counts_target(sample.task, t) == counted]
        drawn = [k for k, s in enumerate(segments) if counts_segment(sample.task, s) == counted]
        pairs = _Pairing(sample, answer, true, drawn, likeness).pairs()
        taken: dict[int, tuple[Kind, int | None, float | None]] = {t: (kind, s, iou) for kind, s, t, iou in pairs}
        for k in true:
            kind, segment, iou = taken.get(k, ("missed", None, None))
            truths.append(TruthFate(k, kind, segment, iou, counted))
        used = {s for _, s, _, _ in pairs}
        spurious += [SpuriousMask(k, counted) for k in drawn if k not in used]
    return SampleAnatomy(sorted(truths), sorted(spurious))


class _Pairing:
    """The four rules on P predicted and T true masks of one sample; all matrices are P x T."""

    def __init__(
        self, sample: Sample, answer: Prediction | None, true: list[int], drawn: list[int], likeness: Likeness
    ) -> None:
        self.true, self.drawn = true, drawn
        targets, segments = [sample.targets[k] for k in true], [answer.segments[k] for k in drawn] if answer else []
        images = [s.image_index for s in segments], [t.image_index for t in targets]
        self.same_image = np.equal.outer(*(np.array(i, dtype=int) for i in images))
        self.likeness = likeness(
            [normalise_label(s.phrase) for s in segments], [normalise_label(t.phrase) for t in targets]
        )
        self.iou = np.zeros(self.same_image.shape)
        for image in range(len(sample.images)):
            rows, columns = ([k for k, i in enumerate(side) if i == image] for side in images)
            if rows and columns:
                self.iou[np.ix_(rows, columns)] = Mask.iou(
                    [segments[k].mask for k in rows], [targets[k].mask for k in columns]
                )

    def pairs(self) -> list[tuple[Kind, int, int, float | None]]:
        """(kind, segment index, target index, IoU or None across images)."""
        right = self.likeness >= SIMILARITY_THRESHOLD
        well = self.same_image & (self.iou >= IOU_THRESHOLD)
        rules: tuple[tuple[Kind, NDArray[np.bool_]], ...] = (
            ("found", well & right),
            ("wrong_mask", self.same_image & right),
            ("wrong_name", well),
            ("wrong_image", ~self.same_image & right),
        )
        found: list[tuple[Kind, int, int, float | None]] = []
        rows, columns = set(range(len(self.drawn))), set(range(len(self.true)))
        for kind, allowed in rules:
            for row, column in self._one_to_one(allowed, rows, columns):
                iou = None if kind == "wrong_image" else float(self.iou[row, column])
                found.append((kind, self.drawn[row], self.true[column], iou))
        return found

    def _one_to_one(self, allowed: NDArray[np.bool_], rows: set[int], columns: set[int]) -> Iterator[tuple[int, int]]:
        """Pairs by falling IoU, then likeness, then in order; takes them out of ``rows`` and ``columns``."""
        places = sorted(zip(*np.nonzero(allowed), strict=True), key=lambda p: (-self.iou[p], -self.likeness[p], *p))
        for row, column in places:
            if row in rows and column in columns:
                rows.remove(row)
                columns.remove(column)
                yield int(row), int(column)

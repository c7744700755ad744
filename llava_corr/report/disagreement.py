"""How far two answers to one sample lie apart, and which samples to show of those that two models disagree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from ..grammar import normalise_label
from ..records import Mask, Prediction, Sample
from .cards import counts

DEFINITION = (
    "Disagreement, 0 to 100: the mean of two numbers. Masks: 100 minus the mean IoU of what both answers draw under "
    "one name in one picture (masks of one name joined), over all names in either answer; a name that only one answer "
    "draws there counts 0. Score: the difference between the two scores of the sample, 0 where it has none; if neither "
    "model has scores the masks decide alone. In questions about parts the whole objects do not count."
)


class Disagreement(NamedTuple):
    """Shares of 1: joined, of the masks, and of the scores (None where the sample has none)."""

    value: float
    masks: float
    score: float | None


def disagreement(
    sample: Sample,
    answers: tuple[Prediction | None, Prediction | None],
    scores: tuple[float | None, float | None] | None,
) -> Disagreement:
    """See :data:`DEFINITION`.

    Args:
        answers: of both models; None is an empty answer.
        scores: of both in this sample, from 0 to 1; None where nothing is scored at all.
    """
    masks = _mask_disagreement(*(_joined(sample, answer) for answer in answers))
    if scores is None:
        return Disagreement(masks, masks, None)
    difference = None if scores[0] is None or scores[1] is None else abs(scores[0] - scores[1])
    return Disagreement((masks + (difference or 0.0)) / 2, masks, difference)


def _joined(sample: Sample, answer: Prediction | None) -> dict[tuple[int, str], Mask]:
    """(image, name) -> the union of its masks."""
    found: dict[tuple[int, str], list[Mask]] = {}
    for segment in answer.segments if answer else ():
        if counts(segment, sample):
            found.setdefault((segment.image_index, normalise_label(segment.phrase)), []).append(segment.mask)
    return {key: Mask.union(masks) for key, masks in found.items()}


def _mask_disagreement(first: Mapping[tuple[int, str], Mask], second: Mapping[tuple[int, str], Mask]) -> float:
    names = first.keys() | second.keys()
    if not names:
        return 0.0
    shared = sorted(first.keys() & second.keys())
    ious = [_iou(first[k], second[k]) for k in shared]
    return 1.0 - float(np.sum(ious)) / len(names)


def _iou(first: Mask, second: Mask) -> float:
    """IoU; two empty masks say the same."""
    return 1.0 if not (first.area or second.area) else float(Mask.iou([first], [second])[0, 0])


def most_disagreed(
    samples: Sequence[Sample], found: Mapping[str, Disagreement], count: int
) -> list[tuple[Sample, Disagreement]]:
    """The samples of most disagreement: as many of each task until there are ``count``, then the round is finished;
    where a task has no more, the others go on. Sorted; ties go by sample id."""
    ranked = sorted(samples, key=lambda s: (-found[s.id].value, s.id))
    tasks = list(dict.fromkeys(s.task for s in ranked))
    rounds = zip_longest(*([s for s in ranked if s.task == task] for task in tasks))
    taken: set[str] = set()
    for drawn in rounds:
        if len(taken) >= count:
            break
        taken |= {s.id for s in drawn if s is not None}
    return [(s, found[s.id]) for s in ranked if s.id in taken]

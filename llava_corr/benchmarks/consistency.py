"""Whether a model answers about what it sees or about where it sees it; no truth is needed but the samples.

**Swap**: the same question with IMAGE1 and IMAGE2 exchanged must get the same names and masks in the same pictures.
**Partner**: the whole objects of a picture must come out alike whichever picture stands beside it.

A model can be consistent and wrong (an answer that never changes is): read these figures beside the scores. Values are
means with 95 % intervals from resamples of whole samples (swap) or whole pictures (partner).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Findings, PredictionError, SampleError
from ..grammar import IMAGE, counts_as_part, normalise_label
from ..metrics.intervals import percentile_interval, resample_weights, resampled_ratio
from ..metrics.masks import greedy_pairs
from ..records import Mask, Prediction, Sample, Score, Target, Task
from .mixedparts_units import TASKS, Unit, align

T = TypeVar("T")
SUFFIX = ":swapped"
_IDENTIFIER = re.compile(rf"({re.escape(IMAGE)}\s*)?\(IMAGE([12])\)")

SWAP_METRICS = {
    "iou_by_label": "mean IoU of the masks of one name in one picture (joined), over names in both answers",
    "iou_by_label_strict": "as iou_by_label; a name that only one answer has counts 0",
    "iou_by_mask": "mean IoU of masks matched greedily in one picture, whatever their names, over matched pairs",
    "iou_by_mask_strict": "as iou_by_mask; a mask without counterpart, in either answer, counts 0",
    "same_labels": "share of samples whose answers name the same set in every picture",
}
PARTNER_METRICS = {
    "object_iou": "mean IoU of a picture's whole objects (joined) between two partners; both empty left out",
    "object_labels": "share of partner pairs under which a picture's whole objects have the same names, or none",
}
Parts = tuple[float, float]
"""Numerator and denominator of a mean."""


# ---- swap ------------------------------------------------------------------------------------------------------------


def swap_sample(sample: Sample) -> Sample:
    """The sample with IMAGE1 and IMAGE2 exchanged; its id ends in ``:swapped``. Twice gives the sample, but for the id.

    Identifiers behind ``<image>`` are places and stay; all others name a picture and are exchanged. Targets keep their
    order, which is that of the [SEG]s.

    Raises:
        SampleError: fewer than two images.
    """
    if len(sample.images) < 2:
        raise SampleError("a sample of one image cannot be swapped", where=f"sample {sample.id}", mend="leave it out")
    positional = sample.task != "common_objects" and len(sample.categories) == len(sample.images)
    turns = tuple(
        turn.model_copy(update={"user": _swap_text(turn.user), "assistant": _swap_text(turn.assistant)})
        for turn in sample.turns
    )
    return sample.model_copy(
        update={
            "id": sample.id + SUFFIX,
            "images": _swapped(sample.images),
            "turns": turns,
            "targets": tuple(_swap_target(t) for t in sample.targets),
            "object_tokens": tuple(_swap_target(t) for t in sample.object_tokens),
            "categories": _swapped(sample.categories) if positional else sample.categories,
        }
    )


def _swapped(items: Sequence[T]) -> tuple[T, ...]:
    return (items[1], items[0], *items[2:])


def _swap_text(text: str) -> str:
    return _IDENTIFIER.sub(lambda m: m.group() if m.group(1) else f"(IMAGE{3 - int(m.group(2))})", text)


def _swap_target(target: Target) -> Target:
    return target.model_copy(update={"image_index": _swap_index(target.image_index)})


def _swap_index(index: int) -> int:
    return 1 - index if index < 2 else index


def swap_consistency(
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    swapped: Sequence[Prediction],
    *,
    resamples: int = 1000,
    seed: int = 0,
    findings: Findings | None = None,
) -> dict[Task, dict[str, Score]]:
    """Agreement of the answers to ``samples`` and to :func:`swap_sample` of them, by task.

    What MixedParts counts is compared: in part tasks the segments whose sentence introduces parts.

    Args:
        samples: as asked first; those without an answer in either list are left out.
        predictions: answers to them.
        swapped: answers to the swapped samples.
        findings: takes those left out (``unanswered``, ``unanswered_swapped``) and what :func:`align` lists.

    Returns:
        Task -> metric of :data:`SWAP_METRICS` -> score; a metric with nothing to average is absent. ``per_sample`` has
        the values that were averaged.

    Raises:
        SampleError, PredictionError: as :func:`mixedparts_units.align`; or no sample is answered in both lists.
    """
    noted = Findings() if findings is None else findings
    first = _answered(samples, predictions, "the first predictions", "unanswered", noted)
    turned = [swap_sample(s) for s in samples]
    second = _answered(turned, swapped, "the swapped predictions", "unanswered_swapped", noted)
    scores: dict[Task, dict[str, Score]] = {}
    for task in TASKS:
        ids = [s.id for s in samples if s.task == task and s.id in first and s.id + SUFFIX in second]
        if not ids:
            continue
        rows = [_agreement(first[name], _swapped(second[name + SUFFIX])) for name in sorted(ids)]
        scores[task] = _scores(rows, sorted(ids), SWAP_METRICS, resamples, (seed, TASKS.index(task)), "samples")
    if not scores:
        raise PredictionError("no sample is answered in both files", mend="predict both from the same samples")
    return scores


def _answered(
    samples: Sequence[Sample], predictions: Iterable[Prediction], name: str, unanswered: str, findings: Findings
) -> dict[str, list[Unit]]:
    """Sample id -> its images, of the samples that have an answer; the others are noted as ``unanswered``."""
    aligned = align(samples, predictions, name)
    for item in aligned.findings.items:
        if item.kind == "missing_prediction":
            findings.add(unanswered, item.where, "left out")
        else:
            findings.add(item.kind, item.where, item.detail)
    return {
        sample_id: units
        for group in aligned.tasks.values()
        for sample_id, units, missing in zip(group.sample_ids, group.units, group.missing, strict=True)
        if not missing
    }


def _agreement(first: Sequence[Unit], second: Sequence[Unit]) -> dict[str, Parts]:
    """All metrics of one sample; units of the same picture stand at the same place."""
    by_label, by_mask = np.zeros(3), np.zeros(3)  # sum of IoUs, matched, all
    for a, b in zip(first, second, strict=True):
        by_label += _label_agreement(_joined(a), _joined(b))
        iou = mask_iou(a.predictions, b.predictions)
        pairs = greedy_pairs(iou)
        by_mask += (sum(iou[pair] for pair in pairs), len(pairs), sum(iou.shape) - len(pairs))
    same = all(set(a.predicted_labels) == set(b.predicted_labels) for a, b in zip(first, second, strict=True))
    return {
        "iou_by_label": (by_label[0], by_label[1]),
        "iou_by_label_strict": (by_label[0], by_label[2]),
        "iou_by_mask": (by_mask[0], by_mask[1]),
        "iou_by_mask_strict": (by_mask[0], by_mask[2]),
        "same_labels": (float(same), 1.0),
    }


def _joined(unit: Unit) -> dict[str, Mask]:
    """Label -> the union of its masks in this image."""
    masks: dict[str, list[Mask]] = defaultdict(list)
    for label, mask in zip(unit.predicted_labels, unit.predictions, strict=True):
        masks[label].append(mask)
    return {label: Mask.union(own) for label, own in masks.items()}


def _label_agreement(first: dict[str, Mask], second: dict[str, Mask]) -> tuple[float, int, int]:
    both = sorted(first.keys() & second.keys())
    total = sum(_iou(first[label], second[label]) for label in both)
    return total, len(both), len(first.keys() | second.keys())


def mask_iou(first: Sequence[Mask], second: Sequence[Mask]) -> NDArray[np.float64]:
    """IoU of every pair; two empty masks say the same, so they have 1 here."""
    iou = Mask.iou(first, second)
    iou[np.ix_([not mask.area for mask in first], [not mask.area for mask in second])] = 1.0
    return iou


# ---- partner ---------------------------------------------------------------------------------------------------------


def partner_consistency(
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    *,
    resamples: int = 1000,
    seed: int = 0,
    findings: Findings | None = None,
) -> dict[Task, dict[str, Score]]:
    """Agreement of a picture's whole-object masks between its partners, by task.

    Compared are two samples of one task that share a picture (by its path), have other partners, and ask for the same
    true objects in it: where the partner changes what is common, answers must differ. In part tasks whole objects are
    the segments whose sentence introduces no parts. Every picture counts once, however many partners it has. Samples
    without an answer are left out, and noted in ``findings`` as in :func:`swap_consistency`.

    Returns:
        Task -> metric of :data:`PARTNER_METRICS` -> score; ``per_sample`` is by image path.

    Raises:
        SampleError, PredictionError: as :func:`mixedparts_units.align`; or no picture has two comparable partners.
    """
    noted = Findings() if findings is None else findings
    _answered(samples, predictions, "the predictions", "unanswered", noted)
    answers = {p.sample_id: p for p in predictions}
    scores: dict[Task, dict[str, Score]] = {}
    for task in TASKS:
        views: dict[str, list[View]] = defaultdict(list)
        for sample in samples:
            if sample.task == task and sample.id in answers:
                for index, image in enumerate(sample.images):
                    views[image.path].append(_view(sample, answers[sample.id], index))
        rows = {path: row for path in sorted(views) if (row := _partner_agreement(views[path]))}
        if rows:
            seeds = (seed, TASKS.index(task))
            scores[task] = _scores(list(rows.values()), list(rows), PARTNER_METRICS, resamples, seeds, "pictures")
    if not scores:
        unanswered = len({s.id for s in samples} - answers.keys())
        raise PredictionError(
            "no picture stands beside two partners under one task with the same objects asked for, in the "
            f"{len(samples) - unanswered} of {len(samples)} samples that are answered",
            mend="answer all samples" if unanswered else "use more samples of fewer pictures: each with other partners",
        )
    return scores


class View(NamedTuple):
    """A picture in one sample: whom it stands beside, its true objects, and the objects found (None: no pixel)."""

    partners: tuple[str, ...]
    truths: frozenset[str]
    labels: frozenset[str]
    mask: Mask | None


def _view(sample: Sample, answer: Prediction, index: int) -> View:
    parts = sample.task != "common_objects"
    targets = [t for t in sample.targets if t.image_index == index and (t.role == "object" or not parts)]
    found = [s for s in answer.segments if s.image_index == index and not (parts and counts_as_part(s.sentence))]
    mask = Mask.union([s.mask for s in found]) if found else None
    return View(
        partners=tuple(sorted(image.path for k, image in enumerate(sample.images) if k != index)),
        truths=frozenset(normalise_label(t.phrase) for t in targets),
        labels=frozenset(normalise_label(s.phrase) for s in found),
        mask=mask if mask and mask.area else None,
    )


def _partner_agreement(views: Sequence[View]) -> dict[str, Parts]:
    """Means over the comparable pairs of views of one picture; empty where there are none."""
    pairs = [(a, b) for a, b in combinations(views, 2) if a.truths == b.truths and a.partners != b.partners]
    pairs = [(a, b) for a, b in pairs if a.truths]
    if not pairs:
        return {}
    ious = [0.0 if not (a.mask and b.mask) else _iou(a.mask, b.mask) for a, b in pairs if a.mask or b.mask]
    return {
        "object_iou": (float(np.mean(ious)), 1.0) if ious else (0.0, 0.0),
        "object_labels": (float(np.mean([a.labels == b.labels for a, b in pairs])), 1.0),
    }


# ---- scores ----------------------------------------------------------------------------------------------------------


def _iou(first: Mask, second: Mask) -> float:
    return float(mask_iou([first], [second])[0, 0])


def _scores(
    rows: Sequence[dict[str, Parts]],
    names: Sequence[str],
    metrics: dict[str, str],
    resamples: int,
    seed: tuple[int, int],
    unit: str,
) -> dict[str, Score]:
    """Ratios of sums over ``rows``, with intervals from one set of resamples."""
    weights = resample_weights(len(rows), resamples, seed)
    scores = {}
    for name, convention in metrics.items():
        parts = np.array([row[name] for row in rows])
        top, below = parts.sum(axis=0)
        if not below:
            continue
        draws = resampled_ratio(weights, parts[:, 0], parts[:, 1])
        scores[name] = Score(
            name=name,
            value=float(top / below),
            interval=percentile_interval(draws) if len(rows) > 1 else None,
            n=int(below),
            convention=f"{convention}; resampled: {len(rows)} {unit}",
            per_sample={k: float(t / b) for k, (t, b) in zip(names, parts, strict=True) if b},
        )
    return scores

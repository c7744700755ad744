"""Baselines that see no image: what a constant answer scores is what a model has to beat.

:func:`prior_only` answers every sample of a task with the same phrases and the same masks, fitted on training samples.
It is an answer like any model's, goes through the same parser, and is scored by the same command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import SampleError
from ..grammar import ground, join_words, normalise_label, parse_answer, with_determiner
from ..records import Mask, Prediction, Sample, Segment, Task
from .mixedparts_units import TASKS, counted_targets, require_task

GRID = 64
IMAGES_PER_TASK = 600
_THRESHOLDS = sorted(np.linspace(0.05, 0.95, 19).tolist(), key=lambda t: abs(t - 0.5))  # among equals, the middle
_OPENINGS: dict[Task, str] = {
    "common_objects": "The common objects are",
    "common_parts": "The common parts are",
    "unique_parts": "The unique parts are",
}
Grid = NDArray[np.float32]


class TruthImage(NamedTuple):
    """Truths of one training image: normalised labels and share of each grid cell covered, [T, GRID * GRID]."""

    labels: tuple[str, ...]
    cells: Grid


@dataclass(frozen=True)
class Prior:
    """The constant answer of one task.

    Attributes:
        phrases: names, the commonest set of an image.
        soft: one mean mask per phrase, [GRID * GRID] in [0, 1].
        thresholds: the mask of a phrase is where its mean mask reaches the threshold.
        images: number of training images it rests on.
    """

    phrases: tuple[str, ...]
    soft: tuple[Grid, ...]
    thresholds: tuple[float, ...]
    images: int
    _made: dict[tuple[int, tuple[int, int]], tuple[Mask, float]] = field(default_factory=dict, repr=False)

    def mask(self, which: int, size: tuple[int, int]) -> tuple[Mask, float]:
        """The mask of a phrase in an image of ``size`` (height, width), never empty, and its mean probability."""
        if (which, size) not in self._made:
            soft = _resize(self.soft[which].reshape(GRID, GRID), size, Image.Resampling.BILINEAR)
            inside = soft >= min(self.thresholds[which], float(soft.max()))
            self._made[which, size] = Mask.from_array(inside), float(np.clip(soft[inside].mean(), 0.0, 1.0))
        return self._made[which, size]


def prior_only(
    train_samples: Iterable[Sample], test_samples: Iterable[Sample], *, seed: int = 0, limit: int = IMAGES_PER_TASK
) -> Iterator[Prediction]:
    """Answers each test sample with the constant answer of its task, in every image.

    Args:
        train_samples: where the answer is fitted.
        test_samples: what is answered; only id, task and image sizes are used, and the truth hash.
        seed: of the choice of training images.
        limit: training images per task whose masks are looked at.

    Raises:
        SampleError: a task of the test samples has no training truth, or is none of MixedParts.
    """
    training = list(train_samples)
    priors: dict[Task, Prior] = {}
    for sample in test_samples:
        require_task(sample)
        if sample.task not in priors:
            priors[sample.task] = fit_prior(training, sample.task, seed=seed, limit=limit)
        yield _answer(sample, priors[sample.task])


def fit_prior(train_samples: Sequence[Sample], task: Task, *, seed: int = 0, limit: int = IMAGES_PER_TASK) -> Prior:
    """The commonest set of phrases of an image, and for each phrase the mask that serves the training images best.

    Candidates are the mean mask of the phrase and the mean mask of the whole task, at every threshold; phrases take
    turns in picking the one that adds most to the mean IoU of truths with their best mask.

    Raises:
        SampleError: no training sample of the task has a truth.
    """
    samples = sorted((s for s in train_samples if s.task == task), key=lambda s: s.id)
    places = [
        (s, k) for s in samples for k in range(len(s.images)) if any(t.image_index == k for t in counted_targets(s))
    ]
    if not places:
        raise SampleError(f"no training sample of task {task} has a truth", mend="pass training samples of every task")
    sets = Counter(_labels(sample, index) for sample, index in places)
    phrases = min(sets, key=lambda labels: (-sets[labels], labels))
    rng = np.random.default_rng([seed, TASKS.index(task)])
    chosen = sorted(rng.permutation(len(places))[:limit].tolist())
    typical = next(k for k, place in enumerate(places) if _labels(*place) == phrases)  # every phrase needs a mask
    images = [_truth_image(*places[k]) for k in sorted({*chosen, typical})]
    masks, thresholds = _fit_masks(phrases, images)
    return Prior(phrases, masks, thresholds, len(images))


def _labels(sample: Sample, index: int) -> tuple[str, ...]:
    return tuple(sorted({normalise_label(t.phrase) for t in counted_targets(sample) if t.image_index == index}))


def _truth_image(sample: Sample, index: int) -> TruthImage:
    targets = [t for t in counted_targets(sample) if t.image_index == index]
    cells = [_resize(t.mask.to_array().astype(np.float32), (GRID, GRID), Image.Resampling.BOX) for t in targets]
    return TruthImage(tuple(normalise_label(t.phrase) for t in targets), np.stack([c.ravel() for c in cells]))


def _resize(pixels: NDArray[np.float32], size: tuple[int, int], how: Image.Resampling) -> Grid:
    """Resamples H x W to ``size`` (height, width)."""
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how), dtype=np.float32)


def _fit_masks(phrases: Sequence[str], images: Sequence[TruthImage]) -> tuple[tuple[Grid, ...], tuple[float, ...]]:
    labels = np.array([label for image in images for label in image.labels], dtype=object)
    truths = np.concatenate([image.cells for image in images])
    shares = np.concatenate([np.full(len(i.labels), 1.0 / len(i.labels)) for i in images])  # each image counts once
    overall = truths.mean(axis=0)
    served = np.zeros(len(truths))  # IoU of each truth with its best mask so far
    soft: list[Grid] = []
    thresholds: list[float] = []
    for phrase in phrases:
        options = [truths[labels == phrase].mean(axis=0), overall]
        candidates = [(mean, float(t * mean.max())) for mean in options for t in _THRESHOLDS]
        iou = _iou(np.stack([mean >= threshold for mean, threshold in candidates]), truths)
        best = int((np.maximum(iou, served) @ shares).argmax())
        served = np.maximum(served, iou[best])
        soft.append(candidates[best][0])
        thresholds.append(candidates[best][1])
    return tuple(soft), tuple(thresholds)


def _iou(masks: NDArray[np.bool_], truths: Grid) -> NDArray[np.float64]:
    """IoU of binary grid masks [C, cells] with truths [T, cells] given as covered shares, [C, T]."""
    inside = masks.astype(np.float32) @ truths.T
    union = masks.sum(axis=1)[:, None] + truths.sum(axis=1)[None, :] - inside
    return np.where(union > 0, inside / np.maximum(union, 1e-9), 0.0).astype(float)


def _answer(sample: Sample, prior: Prior) -> Prediction:
    everywhere = range(len(sample.images))
    names = join_words([ground(with_determiner(phrase), list(everywhere)) for phrase in prior.phrases])
    text = f"{_OPENINGS[sample.task]} {names}."
    answer = parse_answer(text, len(sample.images))
    sizes = tuple((image.height, image.width) for image in sample.images)
    segments = []
    for span in answer.segments:
        which = prior.phrases.index(normalise_label(span.phrase))
        mask, score = prior.mask(which, sizes[span.image_index])
        segments.append(
            Segment(phrase=span.phrase, image_index=span.image_index, mask=mask, score=score, sentence=span.sentence)
        )
    return Prediction(
        sample_id=sample.id,
        truth=sample.truth_hash(),
        text=text,
        image_sizes=sizes,
        segments=tuple(segments),
        trail=tuple(answer.trail),
    )

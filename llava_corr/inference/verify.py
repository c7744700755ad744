"""Asks for some answers of a finished prediction file again, one at a time: batching must not change them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..benchmarks.verified import Difference, Kind, Verification
from ..errors import PredictionError
from ..files import file_hash
from ..record_files import iter_predictions
from ..records import Mask, Prediction, Sample
from .predictor import Predictor

SCORE_TOLERANCE = 1e-3  # of a mean over the mask's pixels; batches differ in its last bits


def answers_of(path: Path, samples: Sequence[Sample]) -> list[Prediction]:
    """The file's answers to ``samples``, in their order.

    Raises:
        PredictionError: unreadable, or it answers other samples, another version of them, or not all.
    """
    found = list(iter_predictions(path))
    if [(p.sample_id, p.truth) for p in found] != [(s.id, s.truth_hash()) for s in samples]:
        raise PredictionError(
            f"the file's {len(found)} answers are not those to the {len(samples)} samples, in their order",
            where=str(path),
            mend="name the samples file it was made for (and its --limit), or predict anew with --restart",
        )
    return found


def verify(
    predictor: Predictor, samples: Sequence[Sample], path: Path, *, count: int, blind: bool, seed: int = 0
) -> Verification:
    """Compares ``count`` answers of ``path``, chosen by ``seed``, with answers at batch size 1.

    Texts, phrases, images and masks must be the same, to the pixel; scores to :data:`SCORE_TOLERANCE`.

    Raises:
        PredictionError: the file does not answer these samples.
    """
    answers = answers_of(path, samples)
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(samples))[:count].tolist())
    differing = []
    for index in chosen:
        (again,) = predictor.predict([samples[index]], batch_size=1, blind=blind, progress=False)
        found = difference(answers[index], again)
        if found is not None:
            differing.append(found)
    return Verification(
        predictions=file_hash(path, PredictionError),
        dtype=str(predictor.model.dtype).removeprefix("torch."),
        seed=seed,
        checked=tuple(samples[index].id for index in chosen),
        equal=len(chosen) - len(differing),
        agreement=1 - len(differing) / len(chosen) if chosen else 1.0,
        differing=tuple(differing),
    )


def difference(first: Prediction, second: Prediction) -> Difference | None:
    """How two answers to one sample differ; None where they do not."""
    kinds: list[Kind] = []
    if first.text != second.text:
        kinds.append("text")
    if _places(first) != _places(second):
        kinds.append("labels")
    if [s.mask for s in first.segments] != [s.mask for s in second.segments]:
        kinds.append("masks")
    scores = [(a.score, b.score) for a, b in zip(first.segments, second.segments, strict=False)]
    if any(not abs(a - b) <= SCORE_TOLERANCE for a, b in scores):
        kinds.append("scores")
    if not kinds:
        return None
    texts = (first.text, second.text) if "text" in kinds else None
    return Difference(sample_id=first.sample_id, kinds=tuple(kinds), texts=texts, ious=_ious(first, second))


def _places(answer: Prediction) -> list[tuple[str, int]]:
    return [(s.phrase, s.image_index) for s in answer.segments]


def _ious(first: Prediction, second: Prediction) -> tuple[float, ...] | None:
    masks = [(a.mask, b.mask) for a, b in zip(first.segments, second.segments, strict=False)]
    if len(first.segments) != len(second.segments) or any(a.size != b.size for a, b in masks):
        return None
    return tuple(1.0 if a == b else float(Mask.iou([a], [b])[0, 0]) for a, b in masks)

"""MixedParts: part-focused semantic co-segmentation over two or more images (Calico, table 1 and appendix C.2).

Three tasks (common objects, common parts, unique parts) are scored apart and then averaged. :func:`score` reads truth
and predictions only: no images, no model, no network. :func:`compare` puts two prediction files on the same samples
side by side. The published figures rest on 1,000 image pairs, split evenly over sources and tasks; the data are built
from PACO-LVIS (images of COCO), PartImageNet (images of ImageNet) and ADE20K-Part-234 (images of ADE20K): their owners
set the terms, and this project redistributes none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PredictionError
from ..metrics.detection import DetectionImage, coco_matches, resampled_average_precision
from ..metrics.intervals import Difference, paired_difference, percentile_interval, resample_weights, resampled_ratio
from ..metrics.text import LabelEmbeddings, word_iou_matrix
from ..records import Prediction, Sample, Score
from .mixedparts_metrics import AP_METRICS, MEAN_CONVENTION, METRICS, RATIO_METRICS, Likeness, Metric, tally
from .mixedparts_units import TASKS, Aligned, TaskUnits, align, truth_of

VERSION = 1
CITATION = "Nguyen et al., Calico: Part-Focused Semantic Co-Segmentation with Large Vision-Language Models, CVPR 2025"
RESAMPLES = 1000
MEAN = "mean"


@dataclass
class Column:
    """Scores of one task, or their macro mean.

    Attributes:
        scores: metric name -> score; a metric with nothing to average (no truth, no matched pair) is absent.
        draws: metric name -> [B] values on the resamples, kept for paired comparisons.
        samples: number of samples.
    """

    scores: dict[str, Score]
    draws: dict[str, NDArray[np.float64]]
    samples: int


@dataclass
class Result:
    """All scores of one prediction file.

    Attributes:
        columns: task name or ``"mean"`` -> scores.
        truth: identity of the samples scored against.
        settings: what the scores depend on beside the files: text model, resamples, seed, confidence level.
    """

    columns: dict[str, Column]
    aligned: Aligned
    truth: str
    settings: dict[str, Any]


def score(
    samples: Sequence[Sample],
    predictions: Iterable[Prediction],
    embeddings: LabelEmbeddings,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    source: str | None = None,
) -> Result:
    """Scores predictions; the order of samples and of predictions does not matter.

    Args:
        samples: the truth.
        predictions: at most one per sample; a sample without one counts as an empty answer.
        embeddings: the sentence-embedding model; new labels are added to it, its cache is not saved here.
        resamples: number of bootstrap resamples (of samples, within each task); 0 for no intervals.
        seed: of the resamples.
        source: the prediction file, named in messages.

    Raises:
        SampleError, PredictionError: see :func:`mixedparts_units.align`.
    """
    aligned = align(samples, predictions, source)
    columns: dict[str, Column] = {}
    for task, units in aligned.tasks.items():
        weights = resample_weights(len(units.sample_ids), resamples, (seed, TASKS.index(task)))
        columns[task] = _score_task(units, weights, embeddings)
    columns[MEAN] = _mean(columns)
    settings = {"text_model": embeddings.identity, "resamples": resamples, "seed": seed, "level": 0.95}
    return Result(columns, aligned, truth_of(samples), settings)


def _score_task(group: TaskUnits, weights: NDArray[np.uint16], embeddings: LabelEmbeddings) -> Column:
    column = Column({}, {}, len(group.sample_ids))
    _add_precisions(column, group, weights)
    cosine = _table(group, embeddings)
    tallies = [
        tally(units, missing=missing, cosine=cosine, words=word_iou_matrix)
        for units, missing in zip(group.units, group.missing, strict=True)
    ]
    for metric in RATIO_METRICS:
        parts = np.array([entry[metric.name] for entry in tallies])
        total = parts.sum(axis=0)
        if not total[1]:
            continue
        draws = resampled_ratio(weights, parts[:, 0], parts[:, 1])
        per_sample = {
            name: top / below for name, (top, below) in zip(group.sample_ids, parts.tolist(), strict=True) if below
        }
        _add(column, metric, total[0] / total[1], draws, int(total[1]), per_sample)
    return column


def _add_precisions(column: Column, group: TaskUnits, weights: NDArray[np.uint16]) -> None:
    """AP50 with constant and with predicted scores. Both go through pycocotools, in the stable order of the images."""
    units = [unit for own in group.units for unit in own]
    owners = np.repeat(np.arange(len(group.units)), [len(own) for own in group.units])
    for metric in AP_METRICS:
        constant = metric.name == "AP50"
        images = [
            DetectionImage(u.truths, u.predictions, [1.0] * len(u.scores) if constant else u.scores) for u in units
        ]
        matches = coco_matches(images)
        truths = int(matches.truths.sum())
        if truths:
            _add(column, metric, matches.value, resampled_average_precision(matches, owners, weights), truths)


def _add(
    column: Column,
    metric: Metric,
    value: float,
    draws: NDArray[np.float64],
    n: int,
    per_sample: dict[str, float] | None = None,
) -> None:
    column.draws[metric.name] = draws
    column.scores[metric.name] = Score(
        name=metric.name,
        value=float(value),
        interval=percentile_interval(draws) if column.samples > 1 else None,
        n=n,
        convention=f"{metric.convention}; n counts {metric.counts}",
        per_sample=per_sample,
    )


def _table(group: TaskUnits, embeddings: LabelEmbeddings) -> Likeness:
    """Cosines of all labels of a task, computed once and looked up per image."""
    units = [unit for own in group.units for unit in own]
    predicted = sorted({label for unit in units for label in unit.predicted_labels})
    truths = sorted({label for unit in units for label in unit.truth_labels})
    matrix = embeddings.similarity(predicted, truths)
    rows = {label: k for k, label in enumerate(predicted)}
    columns = {label: k for k, label in enumerate(truths)}

    def lookup(first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        chosen = [rows[label] for label in first], [columns[label] for label in second]
        return matrix[np.ix_(*(np.array(index, dtype=int) for index in chosen))]

    return lookup


def _mean(columns: dict[str, Column]) -> Column:
    """Macro mean over the tasks that define a score; its draws average the tasks' draws, row for row."""
    mean = Column({}, {}, sum(column.samples for column in columns.values()))
    for metric in METRICS:
        tasks = _defining(columns, metric)
        if not tasks:
            continue
        values = [columns[task].scores[metric.name] for task in tasks]
        mean.draws[metric.name] = np.mean([columns[task].draws[metric.name] for task in tasks], axis=0)
        known = all(value.interval is not None for value in values)
        mean.scores[metric.name] = Score(
            name=metric.name,
            value=float(np.mean([value.value for value in values])),
            interval=percentile_interval(mean.draws[metric.name]) if known else None,
            n=sum(value.n for value in values),
            convention=f"{values[0].convention}; {MEAN_CONVENTION}: {', '.join(tasks)}",
        )
    return mean


def _defining(columns: dict[str, Column], metric: Metric) -> list[str]:
    """Tasks in which the metric has something to average."""
    return [task for task, column in columns.items() if task != MEAN and metric.name in column.scores]


def compare(first: Result, second: Result) -> dict[str, dict[str, Difference]]:
    """First minus second, per column and metric, with paired intervals and verdicts on the first.

    Raises:
        PredictionError: the results do not rest on the same samples, resamples, seed and text model.
    """
    if first.truth != second.truth or first.settings != second.settings:
        raise PredictionError(
            f"these results cannot be paired: truth {first.truth} and {second.truth}, "
            f"settings {first.settings} and {second.settings}",
            mend="score both prediction files against the same samples with the same options",
        )
    differences: dict[str, dict[str, Difference]] = {}
    for name, column in first.columns.items():
        other = second.columns[name]
        shared = [m for m in METRICS if m.name in column.scores and m.name in other.scores]
        if name == MEAN:  # means over different tasks say nothing about each other
            shared = [m for m in shared if _defining(first.columns, m) == _defining(second.columns, m)]
        differences[name] = {metric.name: _difference(metric, column, other) for metric in shared}
    return differences


def _difference(metric: Metric, first: Column, second: Column) -> Difference:
    """The paired difference; without interval, and so undecided, where a score has none (a single sample)."""
    scores = first.scores[metric.name], second.scores[metric.name]
    found = paired_difference(
        (scores[0].value, scores[1].value),
        (first.draws[metric.name], second.draws[metric.name]),
        direction=metric.direction,
    )
    if all(score.interval is not None for score in scores):
        return found
    return Difference(found.value, None, None if found.verdict is None else "undecided")

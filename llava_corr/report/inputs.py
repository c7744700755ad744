"""What a report is made from, and the checks that its pieces belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import MaskError, PredictionError, ReportError, SampleError
from ..records import Prediction, Sample, Score
from ..registry import did_you_mean
from .anatomy_file import AnatomyFile

MACRO = "macro mean"

ABOUT = (
    "Given two pictures, the model names what they share or what sets them apart, and draws every part it names "
    "(part-focused semantic co-segmentation)."
)
RENDERED = (
    "The pictures come from the embedded world: parametric 3-D objects, rendered with exact labels. It is a rehearsal "
    "stage that shows whether the whole way from data to score works and learns; its figures are no claim about "
    "photographs and cannot be compared with published ones."
)
_WORLD = "world.json"  # what the world leaves in its folder, a few levels above its pictures


class ScoreRow(NamedTuple):
    """One cell of the score table: who, on which task (or :data:`MACRO`), what."""

    model: str
    task: str
    score: Score


class Metric(NamedTuple):
    """How a score is read: higher is better (1), lower is (-1), neither (0); shown times 100 if ``percent``."""

    direction: int = 0
    percent: bool = False


class DifferenceRow(NamedTuple):
    """A paired difference ``model`` minus ``other`` of score ``name``, its 95 % interval and the verdict on it."""

    model: str
    other: str
    task: str
    name: str
    value: float
    interval: tuple[float, float] | None
    verdict: str


@dataclass(frozen=True)
class ReportInputs:
    """Everything a report shows; only ``samples`` must be there, what is absent is named on the page.

    Attributes:
        samples: the test samples.
        predictions: the drawn model's answers, at most one per sample; a sample without one counts as unanswered.
        model: the drawn model's name, as in ``scores``.
        scores: cells of the score table, for any number of models.
        metrics: score name -> how to read it; a score that is not in here shows plain values.
        differences: paired differences between models.
        anatomy: what became of every mask of the drawn model (``llava-corr anatomy``).
        notes: lines below the scores (missing answers, parser rules applied).
        title: heading of the page.
        about: one paragraph below it.
        train_log: rows of the training log in order; every numeric column becomes a curve over ``step``.
        config: the resolved configuration as YAML text.
        run: versions, git commit, seeds, seconds per stage, steps; any nesting of plain values.
        difficulty: the world's difficulty sheet; any nesting of plain values.
        commands: shell lines that reproduce the run.
        sample_count: how many samples to show at least.
        seed: of the draw of these samples.
        ranking: name of the score whose per-sample values rank the samples; None takes strict mIoU, or the first that
            has per-sample values.
    """

    samples: Sequence[Sample]
    predictions: Sequence[Prediction] | None = None
    model: str = "model"
    scores: Sequence[ScoreRow] = ()
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    differences: Sequence[DifferenceRow] = ()
    anatomy: AnatomyFile | None = None
    notes: Sequence[str] = ()
    title: str = "Report"
    about: str = ABOUT
    train_log: Sequence[Mapping[str, Any]] | None = None
    config: str | None = None
    run: Mapping[str, Any] | None = None
    difficulty: Mapping[str, Any] | None = None
    commands: Sequence[str] = ()
    sample_count: int = 24
    seed: int = 0
    ranking: str | None = None


def check_inputs(inputs: ReportInputs) -> dict[str, Prediction]:
    """Sample id -> the drawn model's answer, after checking that answers and scores belong to these samples.

    Raises:
        SampleError: there are no samples.
        PredictionError: an answer to no sample, a sample answered twice, an answer to other truth, a segment on an
            image that is not there, or a mask of another size than its image.
        ReportError: scores of samples that are not there, or a ranking score without per-sample values.
    """
    if not inputs.samples:
        raise SampleError("a report needs at least one sample", mend="pass the samples the model was tested on")
    by_id = {sample.id: sample for sample in inputs.samples}
    _check_scores(inputs, by_id)
    answers: dict[str, Prediction] = {}
    for prediction in inputs.predictions or ():
        where = f"predictions of {inputs.model}, sample {prediction.sample_id!r}"
        if prediction.sample_id not in by_id or prediction.sample_id in answers:
            fault = "a sample is answered twice" if prediction.sample_id in answers else "an answer to no known sample"
            raise PredictionError(fault, where=where, mend="pass the samples file that was predicted on")
        _check_answer(by_id[prediction.sample_id], prediction, where)
        answers[prediction.sample_id] = prediction
    return answers


def _check_scores(inputs: ReportInputs, by_id: Mapping[str, Sample]) -> None:
    for model, task, score in inputs.scores:
        unknown = sorted(set(score.per_sample or ()) - set(by_id))
        if unknown:
            raise ReportError(
                f"{score.name} of {model} covers {len(unknown)} unknown samples, the first is {unknown[0]!r}",
                where=f"scores of {model}, {task}",
                mend="pass the samples file that was scored, or score again",
            )
    ranked = sorted({row.score.name for row in inputs.scores if row.score.per_sample})
    if inputs.ranking is not None and inputs.ranking not in ranked:
        raise ReportError(
            f"no per-sample values of {inputs.ranking!r} to rank the samples by",
            mend=did_you_mean(inputs.ranking, ranked),
        )


def _check_answer(sample: Sample, prediction: Prediction, where: str) -> None:
    if prediction.truth != sample.truth_hash():
        raise PredictionError(
            f"the answer belongs to truth {prediction.truth}, the sample is {sample.truth_hash()}",
            where=where,
            mend="pass the samples file that was predicted on, or predict again",
        )
    for segment in prediction.segments:
        if not 0 <= segment.image_index < len(sample.images):
            raise PredictionError(
                f"segment {segment.phrase!r} is on image {segment.image_index + 1} of {len(sample.images)}",
                where=where,
                mend="predict again; the file was written or changed by something else",
            )
        image = sample.images[segment.image_index]
        if segment.mask.size != (image.height, image.width):
            raise PredictionError(
                f"the mask of {segment.phrase!r} has size {segment.mask.size}, its image "
                f"{(image.height, image.width)} (height, width)",
                where=where,
                mend="predict again; masks are stored at the original image's size",
            )
        try:
            segment.mask.check()
        except MaskError as cause:
            raise PredictionError(
                f"the mask of {segment.phrase!r}: {cause.what}",
                where=where,
                mend="predict again; the file was written or changed by something else",
            ) from cause


def about(samples: Sequence[Sample]) -> str:
    """What the task is, and that the pictures were rendered if they were."""
    folders = {Path(image.path).resolve().parent for sample in samples for image in sample.images}
    rendered = any((above / _WORLD).is_file() for folder in folders for above in (folder, *list(folder.parents)[:4]))
    return f"{ABOUT} {RENDERED}" if rendered else ABOUT

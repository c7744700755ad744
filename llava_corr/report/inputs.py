"""What a report is made from, and the checks that its pieces belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import PredictionError, SampleError
from ..records import Prediction, Sample, Score

MACRO = "macro mean"

ABOUT = (
    "Given two pictures, the model names what they share or what sets them apart, and draws every part it names "
    "(part-focused semantic co-segmentation). The pictures come from the embedded world: parametric 3-D objects, "
    "rendered with exact labels. It is a rehearsal stage that shows whether the whole way from data to score works and "
    "learns; its figures are no claim about photographs and cannot be compared with published ones."
)


class ScoreRow(NamedTuple):
    """One cell of the score table: who, on which task (or :data:`MACRO`), what."""

    model: str
    task: str
    score: Score


@dataclass(frozen=True)
class ReportInputs:
    """Everything a report shows; only ``samples`` must be there, what is absent is named on the page.

    Attributes:
        samples: the test samples.
        predictions: name of a model -> its answer to every sample. The first model is the one drawn and described.
        scores: cells of the score table, for any number of models.
        title: heading of the page.
        about: one paragraph below it.
        train_log: rows of the training log in order; every numeric column becomes a curve over ``step``.
        config: the resolved configuration as YAML text.
        run: versions, git commit, seeds, seconds per stage, steps; any nesting of plain values.
        difficulty: the world's difficulty sheet; any nesting of plain values.
        commands: shell lines that reproduce the run.
        pair_count: how many samples to show at least.
        seed: of the draw of these samples.
        selection_score: name of the score whose per-sample values grade the pairs; None takes the first that has any.
    """

    samples: Sequence[Sample]
    predictions: Mapping[str, Sequence[Prediction]] = field(default_factory=dict)
    scores: Sequence[ScoreRow] = ()
    title: str = "Report"
    about: str = ABOUT
    train_log: Sequence[Mapping[str, Any]] | None = None
    config: str | None = None
    run: Mapping[str, Any] | None = None
    difficulty: Mapping[str, Any] | None = None
    commands: Sequence[str] = ()
    pair_count: int = 24
    seed: int = 0
    selection_score: str | None = None


def check_inputs(inputs: ReportInputs) -> dict[str, dict[str, Prediction]]:
    """Model -> sample id -> prediction, after checking that every prediction answers these samples.

    Raises:
        SampleError: there are no samples.
        PredictionError: a sample without an answer, an answer to no sample, an answer to other truth, a segment on an
            image that is not there, or a mask of another size than its image.
    """
    if not inputs.samples:
        raise SampleError("a report needs at least one sample", mend="pass the samples the model was tested on")
    by_id = {sample.id: sample for sample in inputs.samples}
    answers: dict[str, dict[str, Prediction]] = {}
    for model, predictions in inputs.predictions.items():
        answers[model] = {prediction.sample_id: prediction for prediction in predictions}
        _check_coverage(model, set(by_id), set(answers[model]))
        for prediction in predictions:
            _check_answer(model, by_id[prediction.sample_id], prediction)
    return answers


def _check_coverage(model: str, asked: set[str], answered: set[str]) -> None:
    for ids, fault in ((asked - answered, "unanswered samples"), (answered - asked, "answers to unknown samples")):
        if ids:
            raise PredictionError(
                f"{len(ids)} {fault}, the first is {min(ids)!r}",
                where=f"predictions of {model}",
                mend="pass the samples file that was predicted on, or predict again",
            )


def _check_answer(model: str, sample: Sample, prediction: Prediction) -> None:
    where = f"predictions of {model}, sample {sample.id!r}"
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

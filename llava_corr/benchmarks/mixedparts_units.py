"""What MixedParts scores: one image of one sample, its truths beside the predictions made for it.

Here predictions meet the samples they answer. A file that belongs to other data, names unknown samples or images, or
carries masks of another size is refused with all faults in one message; a sample without a prediction is scored as an
empty answer, counted and listed. Rules: facts 6.3 and 5.3 row 18.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from ..errors import Findings, MaskError, PredictionError, SampleError
from ..grammar import counts_as_part, normalise_label
from ..metrics.detection import MAX_DETECTIONS
from ..records import Mask, MixedPartsTask, Prediction, Sample, Segment, Target, Task

TASKS: tuple[Task, ...] = get_args(MixedPartsTask)
_SHOWN_DETAILS = 3


@dataclass(frozen=True)
class Unit:
    """One image of one sample.

    Attributes:
        truths, predictions: masks of the image's size, in the order of the answer.
        truth_labels, predicted_labels: normalised; one per mask.
        scores: confidence of each prediction.
    """

    sample_id: str
    image_index: int
    truths: tuple[Mask, ...]
    truth_labels: tuple[str, ...]
    predictions: tuple[Mask, ...]
    predicted_labels: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass
class TaskUnits:
    """All units of one task: samples in the order of their ids, each with its images in order.

    Attributes:
        missing: for each sample, whether it has no prediction.
    """

    task: Task
    sample_ids: list[str] = field(default_factory=list)
    units: list[list[Unit]] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)


@dataclass
class Aligned:
    """Samples beside their predictions.

    Attributes:
        tasks: only those that occur, in the order of :data:`TASKS`.
        findings: cases that were kept or left out by rule, each listed: missing predictions, object segments of part
        X        trail: parser rules applied in the predictions -> number of times.
    """

    tasks: dict[Task, TaskUnits]
    findings: Findings
    trail: dict[str, int]


def truth_of(samples: Iterable[Sample]) -> str:
    """Identity of a whole truth: changes if any sample is added, dropped or altered, not with their order."""
    lines = sorted(f"{sample.id} {sample.truth_hash()}" for sample in samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def align(samples: Sequence[Sample], predictions: Iterable[Prediction], source: str | None = None) -> Aligned:
    """Puts every prediction beside its sample, by task; ``source`` names the prediction file in messages.

    Raises:
        SampleError: no samples, another data set's task, an id that occurs twice, or a truth whose mask or image
            index does not fit.
        PredictionError: other data version, unknown or repeated sample id, image index out of range, mask or image of
            another size, undecodable mask, score that is no number in [0, 1].
    """
    by_id = _index(samples)
    answers = _check(by_id, predictions, source)
    findings = Findings()
    tasks = {task: TaskUnits(task) for task in TASKS if any(s.task == task for s in samples)}
    for sample_id in sorted(by_id):
        sample, answer = by_id[sample_id], answers.get(sample_id)
        if answer is None:
            findings.add("missing_prediction", sample_id, "scored as an empty answer")
        group = tasks[sample.task]
        group.sample_ids.append(sample_id)
        group.units.append(_units(sample, answer, findings))
        group.missing.append(answer is None)
    rules = Counter(line.split(" ", 1)[0] for answer in answers.values() for line in answer.trail)
    return Aligned(tasks, findings, dict(rules.most_common()))


def require_task(sample: Sample) -> None:
    """Refuses samples of data sets that MixedParts' rules say nothing about.

    Raises:
        SampleError: the sample's task is none of :data:`TASKS`.
    """
    if sample.task not in TASKS:
        raise SampleError(
            f"task {sample.task!r} is not a task of MixedParts",
            where=f"sample {sample.id}",
            mend=f"pass samples of {', '.join(TASKS)}",
        )


def counted_targets(sample: Sample) -> list[Target]:
    """The truths that count."""
    return [t for t in sample.targets if counts_target(sample.task, t)]


def counted_segments(task: Task, segments: Iterable[Segment]) -> list[Segment]:
    """The predicted segments that count."""
    return [s for s in segments if counts_segment(task, s)]


def counts_target(task: Task, target: Target) -> bool:
    """All truths of an object task count; in part tasks not the whole objects the answer begins with."""
    return task == "common_objects" or target.role != "object"


def counts_segment(task: Task, segment: Segment) -> bool:
    """In part tasks those predicted segments count whose sentence introduces parts, or that have none to say
    otherwise."""
    return task == "common_objects" or counts_as_part(segment.sentence)


def _units(sample: Sample, answer: Prediction | None, findings: Findings) -> list[Unit]:
    targets = counted_targets(sample)
    given = answer.segments if answer else ()
    segments = counted_segments(sample.task, given)
    if len(segments) < len(given):
        kind = "object_segments_left_out" if segments else "all_segments_left_out"
        detail = f"{len(given) - len(segments)} of {len(given)} segments stand in sentences that introduce no parts"
        findings.add(kind, sample.id, detail)
    if sample.task != "common_objects" and (silent := sum(not segment.sentence for segment in given)):
        findings.add("no_sentence", sample.id, f"{silent} of {len(given)} segments: they count as parts")
    for kind, masks in (("truth", [t.mask for t in targets]), ("predicted", [s.mask for s in segments])):
        empty = sum(mask.area == 0 for mask in masks)
        if empty:
            findings.add(f"empty_{kind}_mask", sample.id, f"{empty} of {len(masks)} masks")
    return [_unit(sample.id, index, targets, segments, findings) for index in range(len(sample.images))]


def _unit(
    sample_id: str, index: int, targets: Sequence[Target], segments: Sequence[Segment], findings: Findings
) -> Unit:
    truths = [t for t in targets if t.image_index == index]
    found = [s for s in segments if s.image_index == index]
    labels = tuple(normalise_label(s.phrase) for s in found)
    if "" in labels:
        findings.add("empty_predicted_label", sample_id, f"image {index}: {labels.count('')} of {len(labels)} labels")
    if len(found) > MAX_DETECTIONS:
        findings.add(
            "detections_beyond_limit", sample_id, f"image {index}: AP looks at {MAX_DETECTIONS} of {len(found)}"
        )
    return Unit(
        sample_id=sample_id,
        image_index=index,
        truths=tuple(t.mask for t in truths),
        truth_labels=tuple(normalise_label(t.phrase) for t in truths),
        predictions=tuple(s.mask for s in found),
        predicted_labels=labels,
        scores=tuple(s.score for s in found),
    )


def _index(samples: Sequence[Sample]) -> dict[str, Sample]:
    if not samples:
        raise SampleError("there are no samples to score against", mend="check the samples file")
    by_id: dict[str, Sample] = {}
    for sample in samples:
        require_task(sample)
        if sample.id in by_id:
            raise SampleError(f"sample id {sample.id!r} occurs twice", mend="keep one of them")
        by_id[sample.id] = sample
        for target in sample.targets:
            fault = _misfit(sample, target)
            if fault:
                raise SampleError(
                    f"a target does not fit its image: {fault}",
                    where=f"sample {sample.id}",
                    mend="build the samples again",
                )
    return by_id


def _check(by_id: dict[str, Sample], predictions: Iterable[Prediction], source: str | None) -> dict[str, Prediction]:
    """Predictions by sample id; raises once, with every kind of fault, its count and its first cases."""
    answers: dict[str, Prediction] = {}
    faults = Findings()
    total = 0
    for answer in predictions:
        total += 1
        name = answer.sample_id
        if name not in by_id:
            faults.add("answer no sample of this file", name)
        elif name in answers:
            faults.add("repeat a sample id", name)
        elif answer.truth != by_id[name].truth_hash():
            faults.add(
                "were made for another version of the data", name, f"{answer.truth}, not {by_id[name].truth_hash()}"
            )
        else:
            for kind, detail in _faults(by_id[name], answer):
                faults.add(kind, name, detail)
        answers.setdefault(name, answer)
    if faults:
        raise PredictionError(
            "\n".join(_describe(faults, kind, total) for kind in faults.counts()),
            where=source,
            mend="score against the samples file the predictions were made for, or predict again",
        )
    return answers


def _describe(faults: Findings, kind: str, total: int) -> str:
    cases = [item for item in faults.items if item.kind == kind]
    rows = len({item.where for item in cases})
    shown = ", ".join(f"{c.where!r}{f' ({c.detail})' if c.detail else ''}" for c in cases[:_SHOWN_DETAILS])
    return f"{rows} of {total} predictions {kind}; first: {shown}"


def _faults(sample: Sample, answer: Prediction) -> list[tuple[str, str]]:
    sizes = tuple((image.height, image.width) for image in sample.images)
    if answer.image_sizes != sizes:
        return [("name other image sizes than the sample", f"{list(answer.image_sizes)}, not {list(sizes)}")]
    found = []
    for number, segment in enumerate(answer.segments, start=1):
        fault = _misfit(sample, segment)
        if fault:
            found.append(("have segments that do not fit their image", f"segment {number}: {fault}"))
        if not (math.isfinite(segment.score) and 0.0 <= segment.score <= 1.0):
            found.append(("have scores outside 0 to 1", f"segment {number}: {segment.score}"))
    return found


def _misfit(sample: Sample, item: Target | Segment) -> str | None:
    """Why a mask does not fit the image it names, or None."""
    if not 0 <= item.image_index < len(sample.images):
        return f"image index {item.image_index} of {len(sample.images)} images (counted from 0)"
    image = sample.images[item.image_index]
    if item.mask.size != (image.height, image.width):
        return f"mask {item.mask.size} on an image of {(image.height, image.width)} (height, width)"
    try:
        item.mask.check()
    except MaskError as error:
        return error.what
    return None

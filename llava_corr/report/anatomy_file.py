"""Reads ``anatomy.json`` for the report (schema 1, see ``benchmarks/anatomy_command.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from ..errors import ReportError
from ..grammar import normalise_label
from ..records import Prediction, Sample, Segment, Target
from .results_file import read_result

SCHEMA = 1
FAILURES = ("wrong_mask", "wrong_name", "wrong_image", "missed", "spurious")
FATES = ("found", *FAILURES[:-1])


class Share(BaseModel):
    """How many, their share of 1 (None of none), its 95 % interval."""

    number: int
    share: float | None = None
    interval: tuple[float, float] | None = None


class Cell(BaseModel):
    """A bin: true masks and their fates, predicted masks and the spurious ones (None where nothing is said of them)."""

    bin: str
    masks: int
    samples: int
    kinds: dict[str, Share]
    predicted: int | None = None
    spurious: Share | None = None


class MaskRow(BaseModel):
    """A true mask with its fate (``place`` in the sample's targets), or a predicted one (``place`` in the segments)."""

    sample: str
    task: str
    kind: str
    place: int
    image: int
    name: str
    segment: int | None = None
    said: str | None = None
    iou: float | None = None
    counted: bool
    share: float


class _Settings(BaseModel):
    names: str


class _File(BaseModel):
    path: str


class AnatomyFile(BaseModel):
    """The parts of ``anatomy.json`` that a report uses; further keys are passed over."""

    schema_version: int
    name: str
    predictions: _File
    settings: _Settings
    definitions: dict[str, str]
    dimensions: dict[str, str]
    tables: dict[str, dict[str, list[Cell]]]
    named_first: Cell | None = None
    masks: list[MaskRow]


def read_anatomy(path: str | Path) -> AnatomyFile:
    """Reads and checks one file.

    Raises:
        ReportError: missing or broken file, another schema version, wrong or missing fields (all are named).
    """
    return read_result(AnatomyFile, path, "anatomy", SCHEMA, mend="run llava-corr anatomy again")


def check_anatomy(file: AnatomyFile, samples: Sequence[Sample], answers: Mapping[str, Prediction]) -> None:
    """Sees that the file speaks of these very masks.

    Raises:
        ReportError: it lists a mask that is not there, one of another name or image, or not all of them.
    """
    by_id = {sample.id: sample for sample in samples}
    listed = 0
    for row in file.masks:
        own: Sequence[Target | Segment] = ()
        if row.kind in FATES:
            own = by_id[row.sample].targets if row.sample in by_id else ()
        elif row.sample in answers:
            own = answers[row.sample].segments
        mask = own[row.place] if 0 <= row.place < len(own) else None
        if mask is None or (normalise_label(mask.phrase), mask.image_index) != (row.name, row.image):
            raise _other(f"mask {row.place} of sample {row.sample!r} ({row.name}, {row.kind}) is not among them")
        listed += 1
    there = sum(len(s.targets) for s in samples) + sum(len(a.segments) for a in answers.values())
    if listed != there:
        raise _other(f"it lists {listed} masks of {there}")


def _other(fault: str) -> ReportError:
    return ReportError(
        f"the anatomy is of other samples or predictions: {fault}",
        mend="run llava-corr anatomy on the samples and predictions of this report",
    )

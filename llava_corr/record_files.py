"""JSON-lines files of records: written whole or not at all, read with the row of every fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from .errors import LlavaCorrError, PredictionError, SampleError
from .files import read_rows, write_lines
from .records import PREDICTION_SCHEMA, Prediction, Record, Sample

R = TypeVar("R", bound=Record)


def parse_record(cls: type[R], text: str, where: str, error: type[LlavaCorrError]) -> R:
    """Validates one JSON object as ``cls``; every fault of it is named.

    Raises:
        error: broken JSON, an unknown, missing or wrong field.
    """
    try:
        return cls.model_validate_json(text)
    except ValidationError as cause:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}" for e in cause.errors())
        raise error(f"not a valid {cls.__name__}: {faults}", where=where, mend="repair or remove that row") from cause


def write_records(path: str | Path, records: Iterable[Record]) -> int:
    """Writes JSON lines, whole or not at all; returns how many."""
    return write_lines(path, (record.model_dump_json() for record in records))


def write_samples(path: str | Path, samples: Iterable[Sample]) -> int:
    """Writes samples; image paths below the file's folder are stored relative to it, so the folder can be moved."""
    base = Path(path).resolve().parent

    def stored(sample: Sample) -> Sample:
        images = []
        for image in sample.images:
            full = Path(image.path).resolve()
            inside = full.is_relative_to(base)
            images.append(image.model_copy(update={"path": str(full.relative_to(base)) if inside else str(full)}))
        return sample.model_copy(update={"images": tuple(images)})

    return write_records(path, (stored(sample) for sample in samples))


def read_samples(path: str | Path) -> list[Sample]:
    """Reads a samples file; relative image paths are taken from the file's folder.

    Raises:
        SampleError: missing file, broken row, or a sample id that occurs twice.
    """
    base = Path(path).resolve().parent
    samples: list[Sample] = []
    rows: dict[str, int] = {}
    for number, line in read_rows(path, SampleError):
        sample = parse_record(Sample, line, f"{path}, row {number}", SampleError)
        _refuse_duplicate(sample.id, number, rows, path, SampleError)
        images = tuple(i.model_copy(update={"path": str(base / i.path)}) for i in sample.images)
        samples.append(sample.model_copy(update={"images": images}))
    return samples


def iter_predictions(path: str | Path) -> Iterator[Prediction]:
    """Reads a prediction file row by row.

    Raises:
        PredictionError: missing file, broken row, another schema version, or a sample answered twice.
    """
    rows: dict[str, int] = {}
    for number, line in read_rows(path, PredictionError):
        where = f"{path}, row {number}"
        prediction = parse_record(Prediction, line, where, PredictionError)
        if prediction.schema_version != PREDICTION_SCHEMA:
            raise PredictionError(
                f"prediction schema {prediction.schema_version}, this version reads {PREDICTION_SCHEMA}",
                where=where,
                mend="predict again with this version, or score with the version that wrote the file",
            )
        _refuse_duplicate(prediction.sample_id, number, rows, path, PredictionError)
        yield prediction


def _refuse_duplicate(
    name: str, number: int, rows: dict[str, int], path: str | Path, error: type[LlavaCorrError]
) -> None:
    if name in rows:
        raise error(
            f"sample id {name!r} occurs twice", where=f"{path}, rows {rows[name]} and {number}", mend="keep one of them"
        )
    rows[name] = number

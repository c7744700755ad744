"""JSON-lines files of records: written whole or not at all, read with the row of every fault."""

from __future__ import annotations

import hashlib
import json
import os
import re
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from .errors import ConfigError, LlavaCorrError, PredictionError, SampleError
from .files import open_rows, read_rows, row_text, write_lines
from .grammar import normalise_label, parse_answer
from .records import PREDICTION_SCHEMA, Prediction, Record, Sample
from .registry import did_you_mean

R = TypeVar("R", bound=Record)
# A path in a row, up to the file's name; within a text of the row the quotes would be escaped.
FOLDER = re.compile(rb'("path"\s*:\s*")[^"]*/')
# What a row is by its keys; the records that read it; what the file is.
KINDS = (
    ({"id", "turns"}, {"Sample"}, "a samples file (llava-corr data)"),
    ({"sample_id", "segments"}, {"Prediction"}, "a prediction file (llava-corr predict)"),
    ({"image", "detections"}, {"DetectedImage"}, "a file of detections"),
    ({"path", "areas"}, {"PictureOcclusion"}, "an occlusion file (llava-corr world --occlusion)"),
    ({"path", "objects"}, {"ImageRow", "AnnotatedImage"}, "a file of annotated pictures (--source jsonl=FOLDER)"),
)


def parse_record(cls: type[R], text: str, where: str, error: type[LlavaCorrError]) -> R:
    """Validates one JSON object as ``cls``; every fault of it is named.

    Raises:
        error: broken JSON, an unknown, missing or wrong field.
    """
    try:
        return cls.model_validate_json(text)
    except ValidationError as cause:
        if kind := other_kind(cls.__name__, text):
            wanted = next((words for _, readers, words in KINDS if cls.__name__ in readers), f"{cls.__name__} rows")
            raise error(f"this is {kind}", where=where, mend=f"name {wanted} here") from cause
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'row'}: {_fault(cls, e)}" for e in cause.errors())
        raise error(f"not a valid {cls.__name__}: {faults}", where=where, mend="repair or remove that row") from cause


def _fault(cls: type[Record], error: Any) -> str:
    """What is wrong with a field; for an unknown one the nearest known."""
    if error["type"] != "extra_forbidden":
        return str(error["msg"])
    schema = cls.model_json_schema()
    known = {name for part in (schema, *schema.get("$defs", {}).values()) for name in part.get("properties", {})}
    return f"unknown key; {did_you_mean(str(error['loc'][-1]), sorted(known))}"


def other_kind(wanted: str, text: str | bytes) -> str | None:
    """What a row belongs to that is no ``wanted`` record, where its keys tell."""
    try:
        keys = set(json.loads(text))
    except (ValueError, TypeError):
        return None
    return next((kind for needed, readers, kind in KINDS if needed <= keys and wanted not in readers), None)


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


def samples_fingerprint(path: str | Path, error: type[LlavaCorrError]) -> str:
    """Identity of the samples of a file, wherever it and its pictures lie: SHA-256 of its rows without the pictures'
    folders.

    Raises:
        error: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_rows(path, error) as handle:
        for row in handle:
            digest.update(FOLDER.sub(rb"\1", row))
    return digest.hexdigest()


def refuse_replacing(path: str | Path, kind: type[Record]) -> None:
    """Sees that ``path`` may be written: it is not there, empty, or its first row has the fields of ``kind``.

    Raises:
        ConfigError: it is a file of another kind.
    """
    if not Path(path).is_file():
        return
    needed = {name for name, field in kind.model_fields.items() if field.is_required()}
    try:
        row = json.loads(next((line for _, line in read_rows(path, ConfigError)), "null"))
    except (ConfigError, ValueError, RecursionError):
        row = ()
    if row is not None and not (isinstance(row, dict) and needed <= row.keys()):
        raise ConfigError(
            f"--out {path} is no file of {kind.__name__.lower()}s, and would be replaced by one",
            where=os.path.realpath(path),
            mend="name another file, or remove this one",
        )


class SamplesFile(Sequence[Sample]):
    """The samples of a file, each read from the disk when it is asked for; 20 bytes of memory a row.

    May be sliced, pickled and shared by forked processes. Relative image paths are taken from the file's folder. A
    fault of a row comes out when the row is read; :meth:`checked` finds those of all rows.

    Args:
        path: JSON lines of samples; blank lines do not count.

    Raises:
        SampleError: the file is missing or unreadable.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.base = self.path.resolve().parent
        starts, numbers, position = array("q"), array("i"), 0
        with open_rows(path, SampleError) as handle:
            self._state = _state_of(handle.fileno())
            for number, raw in enumerate(handle, start=1):
                if not raw.isspace():
                    starts.append(position)
                    numbers.append(number)
                position += len(raw)
        self._starts = np.array(starts, np.int64)
        # a blank line behind a row is read with it: JSON ends in any white space
        self._ends = np.append(self._starts[1:], position).astype(np.int64)[: len(starts)]
        self._numbers = np.array(numbers, np.int32)
        self._handle: int | None = None

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> SamplesFile: ...
    def __getitem__(self, index: int | slice) -> Sample | SamplesFile:
        if isinstance(index, slice):
            return self._part(index)
        return self._parsed(index)

    def __iter__(self) -> Iterator[Sample]:
        return (self._parsed(index) for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_handle": None}  # every process opens the file for itself

    def _part(self, rows: slice) -> SamplesFile:
        part = object.__new__(type(self))
        vars(part).update(self.__getstate__())
        for name in ("_starts", "_ends", "_numbers"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    def checked(self) -> Iterator[Sample]:
        """All samples in order, from one pass over the file.

        Raises:
            SampleError: a broken row, or, when all were yielded, a sample id that occurs twice.
        """
        digests = np.zeros(len(self), np.uint64)
        for index, sample in enumerate(self):
            digests[index] = _digest(sample.id)
            yield sample
        self._refuse_duplicates(digests)

    def _refuse_duplicates(self, digests: NDArray[np.uint64]) -> None:
        """Ids are compared where their digests are equal; in memory they would take ten times as much."""
        order = np.argsort(digests, kind="stable")
        equal = np.flatnonzero(digests[order][1:] == digests[order][:-1])
        rows: dict[str, int] = {}
        for index in sorted({int(i) for k in equal for i in order[k : k + 2]}):
            _refuse_duplicate(self[index].id, int(self._numbers[index]), rows, self.path, SampleError)

    def image_paths(self) -> Iterator[tuple[str, ...]]:
        """The pictures' paths of every sample, without a look at the rest of its row.

        Raises:
            SampleError: a row that is no JSON or names its images otherwise than samples do.
        """
        for index in range(len(self)):
            try:
                paths = tuple(str(self.base / image["path"]) for image in json.loads(self._row(index)[0])["images"])
            except (ValueError, TypeError, KeyError):
                paths = tuple(image.path for image in self._parsed(index).images)  # says what is wrong with the row
            yield paths

    def content_hash(self) -> str:
        """SHA-256 of the file's bytes and of which rows are taken."""
        digest = hashlib.sha256(self._starts.tobytes())
        with open_rows(self.path, SampleError) as handle:
            while block := handle.read(1 << 22):
                digest.update(block)
        return digest.hexdigest()

    def _parsed(self, index: int) -> Sample:
        sample = parse_record(Sample, *self._row(index), SampleError)
        images = tuple(i.model_copy(update={"path": str(self.base / i.path)}) for i in sample.images)
        return sample.model_copy(update={"images": images})

    def _row(self, index: int) -> tuple[str, str]:
        """Text of a row, and what to call it."""
        start, end = int(self._starts[index]), int(self._ends[index])
        raw = os.pread(self._opened(), end - start, start)
        return row_text(raw, start, self.path, SampleError), f"{self.path}, row {self._numbers[index]}"

    def _opened(self) -> int:
        if self._handle is None:
            with open_rows(self.path, SampleError) as handle:
                if _state_of(handle.fileno()) != self._state:
                    raise SampleError(
                        "the samples file was changed while it was in use",
                        where=str(self.path),
                        mend="run the same command again",
                    )
                self._handle = os.dup(handle.fileno())
            weakref.finalize(self, os.close, self._handle)
        return self._handle


def _state_of(handle: int) -> tuple[int, int]:
    state = os.fstat(handle)
    return state.st_size, state.st_mtime_ns


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def image_paths(samples: Sequence[Sample]) -> Iterator[tuple[str, ...]]:
    """The pictures' paths of every sample, the quickest way."""
    if isinstance(samples, SamplesFile):
        return samples.image_paths()
    return (tuple(image.path for image in sample.images) for sample in samples)


def read_samples(path: str | Path) -> list[Sample]:
    """Reads a samples file into memory, 17 KB a sample; relative image paths are taken from the file's folder.

    Raises:
        SampleError: missing file, broken row, or a sample id that occurs twice.
    """
    return list(SamplesFile(path).checked())


def iter_predictions(path: str | Path) -> Iterator[Prediction]:
    """Reads a prediction file row by row; segments without a sentence have that of the text, where it tells.

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
        yield _with_sentences(prediction)


def _with_sentences(prediction: Prediction) -> Prediction:
    """Sentences are optional in a row; the text has them if its [SEG]s are these segments, in order."""
    if all(segment.sentence for segment in prediction.segments):
        return prediction
    spans = parse_answer(prediction.text, len(prediction.image_sizes)).segments
    told = [(normalise_label(span.phrase), span.image_index) for span in spans]
    if told != [(normalise_label(segment.phrase), segment.image_index) for segment in prediction.segments]:
        return prediction
    segments = tuple(
        segment.model_copy(update={"sentence": segment.sentence or span.sentence})
        for segment, span in zip(prediction.segments, spans, strict=True)
    )
    return prediction.model_copy(update={"segments": segments})


def _refuse_duplicate(
    name: str, number: int, rows: dict[str, int], path: str | Path, error: type[LlavaCorrError]
) -> None:
    if name in rows:
        raise error(
            f"sample id {name!r} occurs twice", where=f"{path}, rows {rows[name]} and {number}", mend="keep one of them"
        )
    rows[name] = number

"""Prediction files that survive being cut off: ``p.jsonl`` grows as ``p.jsonl.partial`` and is moved when whole.

The partial file begins with a line that says what makes its rows: model, samples, settings. A later call continues it
only if all of that is the same. Rows are kept in whole batches, so every answer comes out of the batch it would have
come out of in one go, and the finished file is the same to the byte. ``p.jsonl.made.json`` keeps the settings beside
the finished file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import SerializeAsAny, ValidationError

from ..benchmarks.verified import verdict_path
from ..errors import PredictionError
from ..files import atomic_write, file_hash, read_text, storage_errors, write_lines
from ..records import Prediction, Record, Sample

logger = logging.getLogger(__name__)

SYNC_SECONDS = 5.0  # what a power cut may cost; a killed process loses the batch it works on
RESTART = "repeat the call that began it, or drop its rows and predict all anew with --restart"
Answer = Callable[[Sequence[Sample]], Iterable[Prediction]]


class FileSettings(Record):
    """What the rows of any prediction file depend on; whatever answers adds its own.

    Attributes:
        samples: SHA-256 of the samples file.
        samples_path: where it lies, resolved: its relative image paths start there.
        count: how many of its samples are answered (``--limit``).
        batch_size: how many samples are answered together; rows are kept in whole batches.
        version: of llava_corr.
    """

    samples: str
    samples_path: str
    count: int
    batch_size: int
    version: str

    def differences(self, now: FileSettings, *, of: Iterable[str] | None = None) -> list[str]:
        """One line per setting that is another now."""
        ours, theirs = self.model_dump(), now.model_dump()
        chosen = list(ours) if of is None else list(of)
        return [f"{name}: {ours[name]} then, {theirs[name]} now" for name in chosen if ours[name] != theirs[name]]


class Settings(FileSettings):
    """What the rows of a model's prediction file depend on; answers of one batch share their padding, which shows in
    the last bits.

    Attributes:
        model: SHA-256 over the files of the model folder.
        device: "cpu" or "cuda".
        true_answers: the text of the answers is the truth's, and only their masks are the model's.
    """

    model: str
    blind: bool
    max_new_tokens: int
    dtype: str
    device: str
    true_answers: bool = False


class Made(Record):
    """Settings and contents (SHA-256) of a finished file."""

    settings: SerializeAsAny[FileSettings]
    predictions: str


def partial_path(path: Path) -> Path:
    """``p.jsonl.partial`` for ``p.jsonl``."""
    return path.with_name(path.name + ".partial")


def made_path(path: Path) -> Path:
    """``p.jsonl.made.json`` for ``p.jsonl``."""
    return path.with_name(path.name + ".made.json")


def is_begun(partial: Path) -> bool:
    """Whether a file was begun there: its first line says by which settings."""
    if not partial.is_file():
        return False
    with partial.open("rb") as handle:
        return handle.readline().endswith(b"\n")


def read_made(path: Path, kind: type[FileSettings] = Settings) -> Made | None:
    """How the finished file ``path`` was made; None where that is not recorded for its present contents, or was not
    recorded as this ``kind`` of settings."""
    if not (path.is_file() and made_path(path).is_file()):
        return None
    try:
        raw = json.loads(read_text(made_path(path), PredictionError))
        made = Made(settings=kind.model_validate(raw["settings"]), predictions=raw["predictions"])
    except (ValueError, KeyError, TypeError):
        logger.warning("%s is no record that this version reads: it counts as none", made_path(path))
        return None
    return made if made.predictions == file_hash(path, PredictionError) else None


def folder_hash(folder: Path) -> str:
    """SHA-256 over names and contents of all files below ``folder``."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(folder)} {file_hash(file, PredictionError)}\n".encode())
    return digest.hexdigest()


def write_predictions(
    path: Path, samples: Sequence[Sample], settings: FileSettings, answer: Answer, *, restart: bool = False
) -> int:
    """Writes the answers to ``samples`` in order, continuing an earlier call that was cut off.

    Args:
        path: the finished file; replaced when the new one is whole, not before.
        answer: answers the samples that are left, in order, in batches of the settings' size.
        restart: drop the rows of an earlier call.

    Returns:
        How many samples were answered by this call.

    Raises:
        PredictionError: the partial file is of other settings or samples, broken, or another process writes it.
        StorageError: disk full, no permission; what was written so far is kept for the next call.
    """
    partial = partial_path(path)
    with _opened(partial) as handle:
        if restart:
            with storage_errors(partial):
                handle.truncate(0)
        kept = _resume(handle, partial, samples, settings)
        synced = time.monotonic()
        for prediction in answer(samples[kept:]) if kept < len(samples) else ():
            with storage_errors(partial):
                handle.write(prediction.model_dump_json().encode() + b"\n")
                handle.flush()
                if time.monotonic() - synced > SYNC_SECONDS:
                    os.fsync(handle.fileno())
                    synced = time.monotonic()
        _finish(handle, path, settings)
        with storage_errors(partial):
            partial.unlink()
    return len(samples) - kept


@contextmanager
def _opened(partial: Path) -> Iterator[IO[bytes]]:
    """The partial file for reading and appending, locked: two writers would mix their rows."""
    with storage_errors(partial):
        partial.parent.mkdir(parents=True, exist_ok=True)
        handle = partial.open("a+b")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise PredictionError(
                "another process is writing this prediction file", where=str(partial), mend="wait for it, or end it"
            ) from cause
        except OSError as cause:
            logger.info("%s: this file system has no locks (%s); see that nobody else writes it", partial, cause)
        yield handle


def _resume(handle: IO[bytes], partial: Path, samples: Sequence[Sample], settings: FileSettings) -> int:
    """Checks what is there, cuts it after its last whole batch, begins the file if need be; returns the rows kept."""
    handle.seek(0)
    header = handle.readline()
    if not header.endswith(b"\n"):  # nothing there, or cut off in its first line
        with storage_errors(partial):
            handle.truncate(0)
            handle.write(json.dumps({"settings": settings.model_dump()}).encode() + b"\n")
            handle.flush()
        return 0
    _check_settings(header, partial, settings)
    ends = [len(header)]
    for number, line in enumerate(handle, start=1):
        if not line.endswith(b"\n"):
            logger.warning("%s: row %d was cut off in the middle, dropped", partial, number)
            break
        _check_row(line, number, samples, f"{partial}, row {number}")
        ends.append(ends[-1] + len(line))
    rows = len(ends) - 1
    kept = rows - rows % settings.batch_size  # a batch that was written in part is answered whole again
    with storage_errors(partial):
        handle.truncate(ends[kept])
        handle.seek(0, os.SEEK_END)
    if rows:
        logger.info("%s: %d of %d samples were answered before", partial, kept, len(samples))
    return kept


def _check_settings(header: bytes, partial: Path, settings: FileSettings) -> None:
    try:
        then = type(settings).model_validate(json.loads(header)["settings"])
    except (ValidationError, ValueError, KeyError, TypeError) as cause:
        raise PredictionError(
            f"the first line does not say what made the rows: {cause}", where=str(partial), mend=RESTART
        ) from cause
    if different := then.differences(settings):
        listing = "\n".join(f"    {line}" for line in different)
        raise PredictionError(f"the partial file was made otherwise:\n{listing}", where=str(partial), mend=RESTART)


def _check_row(line: bytes, number: int, samples: Sequence[Sample], where: str) -> None:
    try:
        row = Prediction.model_validate_json(line)
    except ValidationError as cause:
        raise PredictionError(
            f"not a valid Prediction: {cause.errors()[0]['msg']}", where=where, mend=RESTART
        ) from cause
    if number > len(samples):
        raise PredictionError(f"there are {len(samples)} samples only", where=where, mend=RESTART)
    sample = samples[number - 1]
    if (row.sample_id, row.truth) != (sample.id, sample.truth_hash()):
        fault = f"answers {row.sample_id!r} (truth {row.truth}), not {sample.id!r} (truth {sample.truth_hash()})"
        raise PredictionError(fault, where=where, mend=RESTART)


def _finish(handle: IO[bytes], path: Path, settings: FileSettings) -> None:
    """Copies the rows into place. The record of how they were made comes first: it names the contents, so a crash in
    between leaves a record that speaks for no file, and the next call ends here again."""

    def blocks() -> Iterator[bytes]:
        handle.seek(0)
        handle.readline()
        while block := handle.read(1 << 20):
            yield block

    digest = hashlib.sha256()
    for block in blocks():
        digest.update(block)
    made = Made(settings=settings, predictions=digest.hexdigest())
    write_lines(made_path(path), [made.model_dump_json(indent=1)])
    with atomic_write(path, "wb") as out:
        for block in blocks():
            out.write(block)
    with storage_errors(path):
        verdict_path(path).unlink(missing_ok=True)  # it was about the file before

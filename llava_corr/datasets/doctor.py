"""The data set doctor: one pass over samples files, a list of all faults and a copy without the faulty rows.

    llava-corr doctor train.jsonl val.jsonl test.jsonl --images --repair clean/

A broken row does not stop the pass. Given several files it also finds images shared between splits. It knows no model:
whether a row fits into one's context, training tells before its first step.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from pydantic import ValidationError

from ..drawing.images import to_rgb
from ..errors import ImageError, SampleError
from ..files import refuse_overwriting, write_json
from ..record_files import other_kind, write_samples
from ..records import ImageRef, Sample
from .checks import MENDS, check_sample

logger = logging.getLogger(__name__)
LISTED = 10  # faults of a kind that are printed


@dataclass(frozen=True)
class Fault:
    """One fault: file, row (from 1), kind (a key of ``checks.MENDS``), detail, and what to do about it."""

    file: str
    row: int
    kind: str
    detail: str
    mend: str


@dataclass
class Examination:
    """What :func:`examine` found: rows seen, and every fault in the order of files and rows."""

    rows: int = 0
    faults: list[Fault] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Number of faults of each kind, most frequent first."""
        return dict(Counter(fault.kind for fault in self.faults).most_common())

    def faulty_rows(self, file: str | Path) -> set[int]:
        return {fault.row for fault in self.faults if fault.file == str(file)}


def examine(files: Sequence[str | Path], *, images: bool = False) -> Examination:
    """Checks every row of ``files``.

    Args:
        images: also open every image: missing, truncated, of another size, or the same bytes in two splits.

    Raises:
        SampleError: a file cannot be opened at all.
    """
    examination = Examination()
    atlas = _Atlas(images)
    for file in files:
        seen: dict[str, int] = {}
        before = examination.rows
        for row, raw in _raw_rows(file):
            examination.rows += 1
            for kind, detail in _check_row(Path(file), row, raw, seen, atlas):
                examination.faults.append(Fault(str(file), row, kind, detail, MENDS[kind]))
        if examination.rows == before:
            examination.faults.append(Fault(str(file), 0, "empty_file", "no row at all", MENDS["empty_file"]))
    return examination


def _raw_rows(file: str | Path) -> Iterator[tuple[int, bytes]]:
    """Rows as bytes: one row that is not UTF-8 must not hide the others."""
    try:
        with open(file, "rb") as handle:
            for row, raw in enumerate(handle, start=1):
                if raw.strip():
                    yield row, raw
    except OSError as cause:
        raise SampleError(f"cannot read {file}: {cause.strerror}", where=str(file), mend="check the path") from cause


def _check_row(file: Path, row: int, raw: bytes, seen: dict[str, int], atlas: _Atlas) -> Iterator[tuple[str, str]]:
    try:
        raw.decode("utf-8")
        sample = Sample.model_validate_json(raw)
    except UnicodeDecodeError as fault:
        yield "not_utf8", f"{fault.reason} at byte {fault.start}"
        return
    except ValidationError as fault:
        if other := other_kind("Sample", raw):
            yield "other_file", f"this is {other}"
            return
        for error in fault.errors():
            kind = "broken_json" if error["type"] == "json_invalid" else "invalid_field"
            yield kind, f"{'.'.join(map(str, error['loc'])) or 'row'}: {error['msg']}"
        return
    if sample.id in seen:
        yield "duplicate_id", f"id {sample.id!r} is also in row {seen[sample.id]}"
    seen.setdefault(sample.id, row)
    yield from check_sample(sample)
    for k, image in enumerate(sample.images):
        for kind, detail in atlas.check(file, row, sample.split, image):
            yield kind, f"image {k} ({image.path}): {detail}"


@dataclass(frozen=True)
class _Picture:
    """An image file as opened once: its size or its fault, and the hash of its bytes."""

    size: tuple[int, int] | None
    fault: tuple[str, str] | None = None
    digest: str | None = None


class _Atlas:
    """All images met so far: where each was first used, and what opening it showed."""

    def __init__(self, open_images: bool) -> None:
        self.open_images = open_images
        self._paths: dict[tuple[Path, str], str] = {}
        self._pictures: dict[str, _Picture] = {}
        self._first_use: dict[str, tuple[str, str]] = {}  # path or hash -> split, place

    def check(self, file: Path, row: int, split: str, image: ImageRef) -> Iterator[tuple[str, str]]:
        key = (file.parent, image.path)
        if key not in self._paths:
            try:
                self._paths[key] = os.path.realpath(file.parent / image.path)
            except (OSError, ValueError) as fault:  # names that no file can have
                yield "image_missing", str(fault)
                return
        path = self._paths[key]
        picture = self._picture(path) if self.open_images else None
        first_split, place = self._first_use.setdefault(path, (split, f"{file}, row {row}"))
        if first_split != split:
            yield "shared_between_splits", f"in split {split!r} here, in split {first_split!r} in {place}"
        elif picture is not None and picture.digest is not None:
            first_split, place = self._first_use.setdefault(picture.digest, (split, f"{file}, row {row} ({path})"))
            if first_split != split:
                yield "shared_between_splits", f"the same bytes are in split {first_split!r} in {place}"
        if picture is not None and picture.fault is not None:
            yield picture.fault
        elif picture is not None and picture.size != (image.height, image.width):
            yield "image_size", f"the row says {image.height, image.width}, the file is {picture.size} (height, width)"

    def _picture(self, path: str) -> _Picture:
        if path not in self._pictures:
            self._pictures[path] = _open(path)
        return self._pictures[path]


def _open(path: str) -> _Picture:
    try:
        data = Path(path).read_bytes()
    except OSError as fault:
        return _Picture(None, ("image_missing", fault.strerror or str(fault)))
    digest = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            to_rgb(picture, path)
            return _Picture((picture.height, picture.width), None, digest)
    except ImageError as fault:
        return _Picture(None, ("image_unreadable", fault.what))
    except (UnidentifiedImageError, Image.DecompressionBombError) as fault:
        return _Picture(None, ("image_unreadable", str(fault).replace(repr(BytesIO), "")))
    except (OSError, SyntaxError, ValueError, EOFError) as fault:  # what Pillow's decoders raise on cut-off data
        return _Picture(None, ("image_truncated", str(fault)))


def repair(files: Sequence[str | Path], examination: Examination, out: str | Path) -> dict[str, int]:
    """Writes copies of ``files`` without the rows that have faults; returns copy -> number of its rows.

    Args:
        out: a file name ending in ``.jsonl`` for one file, otherwise a folder. Image paths are rewritten to fit.

    Raises:
        SampleError: a copy would fall on one of ``files``, or two copies on one another.
    """
    out = Path(out)
    if out.suffix == ".jsonl" and len(files) > 1:
        raise SampleError(f"{len(files)} files cannot be repaired into one", where=str(out), mend="name a folder")
    copies = [out if out.suffix == ".jsonl" else out / Path(file).name for file in files]
    originals = {os.path.realpath(file) for file in files}
    for copy in copies:
        if os.path.realpath(copy) in originals or copies.count(copy) > 1:
            raise SampleError(
                f"the repaired copy {copy.name} would overwrite a file given, or another copy",
                where=str(copy),
                mend="name another folder; faulty files are never changed in place",
            )
    return {
        str(copy): write_samples(copy, _sound_samples(Path(file), examination.faulty_rows(file)))
        for file, copy in zip(files, copies, strict=True)
    }


def _sound_samples(file: Path, faulty: set[int]) -> Iterator[Sample]:
    for row, raw in _raw_rows(file):
        if row not in faulty:
            sample = Sample.model_validate_json(raw)
            images = tuple(i.model_copy(update={"path": str(file.parent / i.path)}) for i in sample.images)
            yield sample.model_copy(update={"images": images})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``llava-corr doctor``."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="samples files (JSON lines)")
    parser.add_argument("--images", action="store_true", help="also open every image file")
    parser.add_argument(
        "--repair", metavar="OUT", help="write copies without faulty rows: a folder, or one .jsonl file"
    )
    parser.add_argument("--report", metavar="JSON", help="also write the faults to this JSON file")


def run(args: argparse.Namespace) -> int:
    """Logs the faults (of each kind the first ten) and a summary; returns 1 when there are faults, otherwise 0."""
    refuse_overwriting([("--report", args.report)], [("the samples file", file) for file in args.files])
    examination = examine(args.files, images=args.images)
    shown: Counter[str] = Counter()
    for fault in examination.faults:
        shown[fault.kind] += 1
        if shown[fault.kind] <= LISTED:
            logger.warning(
                "%s, row %d: %s: %s\n  mend: %s", fault.file, fault.row, fault.kind, fault.detail, fault.mend
            )
    for kind, count in shown.items():
        if count > LISTED:
            logger.warning("%s: %d more of them; --report JSON lists all", kind, count - LISTED)
    summary = ", ".join(f"{n} {kind}" for kind, n in examination.counts().items()) or "no faults"
    logger.info("%d rows in %d files: %s", examination.rows, len(args.files), summary)
    if args.report:
        report = {
            "rows": examination.rows,
            "counts": examination.counts(),
            "faults": list(map(asdict, examination.faults)),
        }
        write_json(args.report, report)
    if args.repair:
        for copy, rows in repair(args.files, examination, args.repair).items():
            logger.info("wrote %s: %d rows", copy, rows)
    return 1 if examination.faults else 0

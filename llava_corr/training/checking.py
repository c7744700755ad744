"""Before the first step: every sample looked at once, on rank 0, and every fault in one error.

What was found for a large file is remembered beside it, by the content of the file and the settings of the processor,
so that a run that continues does not read it all again. A picture that goes missing later is an error of its step.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from .. import __version__
from ..datasets.checks import check_masks
from ..errors import CountMismatchError, SampleError, StorageError
from ..files import atomic_write
from ..models.processing import LlavaCorrProcessor
from ..record_files import SamplesFile
from ..records import Dialogue, Sample
from . import ranks

logger = logging.getLogger(__name__)

SHOWN = 10
REMEMBERED_FROM = 5_000  # samples; fewer are checked again in a second or two
KEPT = 8  # results beside a file
EDITION = 1  # of what is checked; a new one makes old results void


class Found(BaseModel):
    """What one pass over some samples found.

    Attributes:
        samples: how many there are.
        tokens: of the longest.
        longest: its id.
        faulty: samples that cannot be trained on; ``faults`` are the first of them.
        absent: picture files that are not there; ``pictures`` are the first of them.
    """

    samples: int = 0
    tokens: int = 0
    longest: str = ""
    faulty: int = 0
    faults: list[str] = []
    absent: int = 0
    pictures: list[str] = []

    @property
    def sound(self) -> bool:
        return not self.faulty and not self.absent


def check_files(files: Sequence[SamplesFile], processor: LlavaCorrProcessor, *, pictures: bool) -> tuple[int, str]:
    """Checks samples files on rank 0, for all ranks.

    Args:
        pictures: whether the picture files have to be there.

    Returns:
        Tokens of the longest sample, and its id.

    Raises:
        SampleError: as :func:`check_samples`, on every rank.
    """
    return ranks.found_by_rank_zero(lambda: _judge([_remembered(file, processor, pictures) for file in files]))


def check_samples(
    samples: Sequence[Sample], processor: LlavaCorrProcessor, *, pictures: bool = True
) -> tuple[int, str]:
    """Encodes the words of every sample, compares its answers with its targets as the doctor does, and looks whether
    its picture files are there; opens no picture and decodes no mask.

    Args:
        pictures: whether the picture files have to be there.

    Returns:
        Tokens of the longest sample, and its id.

    Raises:
        SampleError: some samples do not fit into the context, their markers, pictures and masks do not belong together,
            or pictures are missing; the first ten and the number of all. Or a row is broken, or an id occurs twice.
    """
    return _judge([_look(samples, processor, pictures)])


def _judge(all_found: Sequence[Found]) -> tuple[int, str]:
    total = sum(found.samples for found in all_found)
    faulty = sum(found.faulty for found in all_found)
    absent = sum(found.absent for found in all_found)
    parts, mends = [], []
    if faulty:
        shown = _listing([fault for found in all_found for fault in found.faults], faulty)
        parts.append(f"{faulty} of {total} samples cannot be trained on:\n{shown}")
        mends.append(
            "correct them or leave them out (llava-corr doctor lists them, but for rows too long or with objects); for "
            "too long ones use fewer images, or a trunk with a longer context; nothing is cut or left out here"
        )
    if absent:
        shown = _listing([path for found in all_found for path in found.pictures], absent)
        parts.append(f"{absent} picture file{'s are' if absent > 1 else ' is'} missing:\n{shown}")
        mends.append("restore missing pictures, or correct their paths (relative paths start at the samples file)")
    if parts:
        raise SampleError("\n".join(parts), mend="; ".join(mends))
    return max(((found.tokens, found.longest) for found in all_found), key=lambda pair: pair[0])


def _listing(shown: Sequence[str], count: int) -> str:
    more = [f"    and {count - SHOWN} more"] if count > SHOWN else []
    return "\n".join([*(f"    {one}" for one in shown[:SHOWN]), *more])


def _look(samples: Sequence[Sample], processor: LlavaCorrProcessor, pictures: bool) -> Found:
    """One pass; of the samples nothing is kept but digests of ids and paths."""
    found = Found(samples=len(samples))
    known: set[int] = set()
    for sample in samples.checked() if isinstance(samples, SamplesFile) else samples:
        fault, tokens = _fault_or_tokens(sample, processor)
        if fault:
            found.faulty += 1
            if found.faulty <= SHOWN:
                found.faults.append(f"{sample.id}: {fault}")
        elif tokens > found.tokens:
            found.tokens, found.longest = tokens, sample.id
        for image in sample.images if pictures else ():
            digest = hash(image.path)  # half as large as the path; of a million, none is likely to be equal
            if digest not in known:
                known.add(digest)
                if not os.path.isfile(image.path):
                    found.absent += 1
                    if found.absent <= SHOWN:
                        found.pictures.append(f"{image.path} ({sample.id})")
    return found


def _fault_or_tokens(sample: Sample, processor: LlavaCorrProcessor) -> tuple[str, int]:
    try:
        tokens = len(processor.encode(_words(sample)).ids)
    except (CountMismatchError, SampleError) as fault:
        return fault.what, 0
    return "; ".join(f"{kind}: {detail}" for kind, detail in check_masks(sample)), tokens


def _words(sample: Sample) -> Dialogue:
    turns: Any = [(turn.user, turn.assistant) for turn in sample.turns]
    targets: Any = [(target.image_index, None) for target in sample.targets]
    return Dialogue(sample.id, [image.path for image in sample.images], turns, targets, len(sample.object_tokens))


class _Memory(BaseModel):
    """Beside a samples file: digest of content and settings -> what was found, the latest last."""

    results: dict[str, Found] = {}


def memory_of(file: SamplesFile) -> Path:
    """Where what was found in a samples file is kept."""
    return file.path.with_name(f"{file.path.name}.checked.json")


def _remembered(file: SamplesFile, processor: LlavaCorrProcessor, pictures: bool) -> Found:
    """What was found before in the same samples with the same settings, or is found now; faults are looked for again,
    since what is missing may have come."""
    if len(file) < REMEMBERED_FROM:
        return _look(file, processor, pictures)
    memory, key = _read(memory_of(file)), _key(file, processor, pictures)
    if key in memory.results:
        return memory.results[key]
    logger.info("checking:    %d samples of %s", len(file), file.path)
    found = _look(file, processor, pictures)
    if found.sound:
        kept = list((memory.results | {key: found}).items())[-KEPT:]
        try:
            with atomic_write(memory_of(file)) as handle:
                handle.write(_Memory(results=dict(kept)).model_dump_json(indent=1) + "\n")
        except StorageError as fault:
            logger.info("             not remembered, the next start checks again: %s", fault.what)
    return found


def _read(path: Path) -> _Memory:
    """An unreadable memory is none: the samples are checked again."""
    try:
        return _Memory.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return _Memory()


def _key(file: SamplesFile, processor: LlavaCorrProcessor, pictures: bool) -> str:
    """Everything that a check depends on; the folder, since relative picture paths start there."""
    tokenizer: Any = processor.tokenizer
    words = (processor.system, tokenizer.special_tokens_map, tokenizer.backend_tokenizer.to_str())
    numbers = (processor.tokens_per_image, tokenizer.model_max_length)
    settings = (EDITION, __version__, pictures, str(file.base), numbers, words)
    return hashlib.sha256(f"{file.content_hash()} {settings!r}".encode()).hexdigest()

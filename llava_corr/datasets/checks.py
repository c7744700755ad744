"""What can be wrong with one sample: each check yields (kind, detail) pairs; ``MENDS`` says what to do about a kind.

Used by :mod:`llava_corr.datasets.doctor`. Masks are checked on their run lengths, without decoding them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import get_args

from ..errors import MaskError
from ..grammar import IMAGE, OBJECT_TOKEN, SEG, SegmentSpan, names_parts, normalise_label, parse_answer
from ..records import MixedPartsTask, Role, Sample, Target, Task

Fault = tuple[str, str]

MENDS = {
    "empty_file": "build it again with llava-corr data",
    "other_file": "name a samples file, as llava-corr data writes it",
    "not_utf8": "save the row as UTF-8, or leave it out",
    "broken_json": "repair the row at that column, or leave it out",
    "invalid_field": "give the field the type that llava_corr.records.Sample asks for; remove unknown fields",
    "duplicate_id": "give every sample of a file its own id",
    "marker_count": "write one <image> per image, in the user's turns",
    "marker_in_answer": "images belong to the user's turns: take <image> out of the answer",
    "seg_in_question": "masks belong to answers: take [SEG] out of the user's turns",
    "identifier_order": "let the k-th <image> be followed by (IMAGEk)",
    "identifier_out_of_range": "name only images that the sample has, counted from 1 in text and from 0 in targets",
    "seg_count": "write one [SEG] per target, in the order of the targets",
    "unreadable_answer": "write every grounding as <p> phrase </p> [SEG] (IMAGEk)",
    "phrase_mismatch": "let target and text name the same thing, in the same order",
    "image_mismatch": "let target and text ground in the same image, in the same order",
    "role_mismatch": "objects stand in sentences without the word part, parts in sentences with it, roles fit the task",
    "object_token_count": "write one object token per entry of object_tokens, in the user's turns",
    "turn_out_of_range": "count the turns of targets from 0",
    "image_size": "write the size of the image file in pixels",
    "mask_size": "encode the mask at the size of its image",
    "undecodable_mask": "encode the mask again (pycocotools compressed run lengths)",
    "empty_mask": "leave out what is not visible, in targets and text",
    "image_missing": "restore the file or correct the path (relative paths start at the samples file)",
    "image_truncated": "download or copy the image again",
    "image_unreadable": "replace the file by an image that Pillow reads, of 8 or 16 bits per channel",
    "shared_between_splits": "keep the image in one split only",
}

ROLES: dict[Task, set[Role]] = {
    "common_objects": {"object"},
    "common_parts": {"object", "common"},
    "unique_parts": {"object", "unique"},
    "grounded_caption": {"object"},
    "referring": {"object"},
    "caption": set(),
}
OF_MASKS = {
    "seg_count",
    "image_mismatch",
    "identifier_out_of_range",
    "turn_out_of_range",
    "mask_size",
    "undecodable_mask",
    "empty_mask",
}
"""Kinds that would train a [SEG] on the wrong picture or mask, or stop training at that sample."""
_TOLD_APART = get_args(MixedPartsTask)  # where sentences about parts and about objects have to differ
_IDENTIFIER = re.compile(r"\(IMAGE(\d+)\)")
_MARKED = re.compile(rf"{IMAGE}\s*\(IMAGE(\d+)\)")


def _number(digits: str) -> int:
    """Nine digits tell an identifier that is out of range as well as thousands do."""
    return int(digits[:9])


def check_sample(sample: Sample) -> list[Fault]:
    """All faults of ``sample`` that can be seen without opening its images."""
    return list(chain(_check_question(sample), _check_answers(sample), _check_targets(sample)))


def check_masks(sample: Sample) -> list[Fault]:
    """The faults of :data:`OF_MASKS` in answers and targets."""
    return [fault for fault in chain(_check_answers(sample), _check_targets(sample)) if fault[0] in OF_MASKS]


def _check_question(sample: Sample) -> Iterator[Fault]:
    question = "\n".join(turn.user for turn in sample.turns)
    count = len(sample.images)
    markers = question.count(IMAGE)
    if markers != count:
        yield "marker_count", f"{markers} {IMAGE} for {count} images"
    numbers = [_number(n) for n in _IDENTIFIER.findall(question)]
    wrong = sorted({n for n in numbers if not 1 <= n <= count})
    if wrong:
        yield "identifier_out_of_range", f"the question names {_identifiers(wrong)}, there are {count} images"
    marked = [_number(n) for n in _MARKED.findall(question)]
    if numbers and not wrong and markers == count and marked != list(range(1, count + 1)):
        yield "identifier_order", f"{IMAGE} markers carry {_identifiers(marked)}"
    if any(IMAGE in turn.assistant for turn in sample.turns):
        yield "marker_in_answer", f"{IMAGE} in an answer"
    if SEG in question:
        yield "seg_in_question", f"{SEG} in a question"
    tokens = question.count(OBJECT_TOKEN)
    if any(OBJECT_TOKEN in turn.assistant for turn in sample.turns):
        yield "object_token_count", f"{OBJECT_TOKEN} in an answer"
    if tokens != len(sample.object_tokens):
        yield "object_token_count", f"{tokens} {OBJECT_TOKEN} for {len(sample.object_tokens)} object tokens"


def _identifiers(numbers: list[int]) -> str:
    return ", ".join(f"(IMAGE{n})" for n in numbers) or "none"


def _check_answers(sample: Sample) -> Iterator[Fault]:
    for number, turn in enumerate(sample.turns):
        targets = [target for target in sample.targets if target.turn == number]
        answer = parse_answer(turn.assistant, len(sample.images))
        for line in answer.trail:
            unknown = line.startswith("dropped_unknown_image")
            yield "identifier_out_of_range" if unknown else "unreadable_answer", f"turn {number}: {line}"
        if answer.seg_count != len(targets):
            yield "seg_count", f"turn {number}: {answer.seg_count} [SEG] for {len(targets)} targets"
        elif len(answer.segments) == answer.seg_count:
            for k, (segment, target) in enumerate(zip(answer.segments, targets, strict=True)):
                where = f"turn {number}, [SEG] {k}"
                yield from _check_pair(where, segment, target)
                if sample.task in _TOLD_APART and names_parts(segment.sentence) == (target.role == "object"):
                    yield "role_mismatch", f"{where}: role {target.role!r} in the sentence {segment.sentence!r}"


def _check_pair(where: str, segment: SegmentSpan, target: Target) -> Iterator[Fault]:
    if normalise_label(segment.phrase) != normalise_label(target.phrase):
        yield "phrase_mismatch", f"{where}: text says {segment.phrase!r}, target {target.phrase!r}"
    if segment.image_index != target.image_index:
        yield "image_mismatch", f"{where}: text says image {segment.image_index}, target {target.image_index} (from 0)"


def _check_targets(sample: Sample) -> Iterator[Fault]:
    for name, targets in (("target", sample.targets), ("object token", sample.object_tokens)):
        for k, target in enumerate(targets):
            yield from _check_target(f"{name} {k} ({target.phrase!r})", target, sample)
    turns = [target.turn for target in sample.targets]
    if turns != sorted(turns):
        yield "phrase_mismatch", f"targets are not in the order of the turns: {turns}"
    for role in sorted({target.role for target in sample.targets} - ROLES[sample.task]):
        yield "role_mismatch", f"role {role!r} in task {sample.task!r}"


def _check_target(where: str, target: Target, sample: Sample) -> Iterator[Fault]:
    if not 0 <= target.turn < len(sample.turns):
        yield "turn_out_of_range", f"{where}: turn {target.turn} of {len(sample.turns)}"
    if target.image_index < len(sample.images):
        image = sample.images[target.image_index]
        if target.mask.size != (image.height, image.width):
            yield "mask_size", f"{where}: mask {target.mask.size}, image {image.height, image.width}"
    else:
        yield "identifier_out_of_range", f"{where}: image {target.image_index} (from 0) of {len(sample.images)}"
    try:
        target.mask.check()
    except MaskError as fault:
        yield "undecodable_mask", f"{where}: {fault.what}"
    else:
        if not target.mask.area:
            yield "empty_mask", f"{where}: no pixel"

"""Captions of a GranD file: details put in their places in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import AnnotationError, Findings
from ..records import GroundedCaption, GroundedPhrase

Row = dict[str, Any]


class _Detail(NamedTuple):
    phrase: str
    span: tuple[int, int] | None  # tokens_positive
    instances: tuple[str, ...]


def captions(
    content: Row, objects: set[str], maskless: set[str], path: Path, findings: Findings
) -> tuple[GroundedCaption, ...]:
    """The short captions, then the dense one.

    Args:
        objects: ids of the objects that have masks; ``maskless``: of those that have none.

    Raises:
        AnnotationError: missing keys, values of another type, an id that no object has.
    """
    found = []
    for where, row in _rows(content, path):
        text = row["caption"].strip()
        if not text:
            findings.add("empty_caption", where)
            continue
        shift = len(row["caption"]) - len(row["caption"].lstrip())
        spans: dict[tuple[int, int], list[str]] = {}
        for index, raw in enumerate(row["details"]):
            place = f"{where}, details[{index}]"
            detail = _detail(raw, place)
            instances = _with_masks(detail, objects, maskless, place, findings)
            span = _span(text, shift, detail, place, findings) if instances else None
            if span is not None:
                together = spans.setdefault(span, [])
                together += [instance for instance in instances if instance not in together]
        found.append(GroundedCaption(text=text, phrases=_disjoint(text, spans, where, findings)))
    return tuple(found)


def _rows(content: Row, path: Path) -> Iterator[tuple[str, Row]]:
    """Caption rows with their places; a plain string is a caption without details."""
    rows = [(f"{path}, short_captions[{index}]", row) for index, row in enumerate(content["short_captions"])]
    dense = content.get("dense_caption")
    if dense is not None:
        rows.append((f"{path}, dense_caption", {"caption": dense, "details": []} if isinstance(dense, str) else dense))
    for where, row in rows:
        sound = isinstance(row, dict) and isinstance(row.get("caption"), str) and isinstance(row.get("details"), list)
        if not sound:
            raise AnnotationError(
                "a caption needs the text 'caption' and the list 'details'",
                where=where,
                mend="use files in which GranD's captions are grounded",
            )
        yield where, row


def _detail(raw: Any, where: str) -> _Detail:
    if not isinstance(raw, dict) or not isinstance(raw.get("phrase"), str) or not raw["phrase"].strip():
        raise AnnotationError("a detail needs the text 'phrase'", where=where, mend="repair or remove it")
    ids = raw["ids"] if "ids" in raw else [raw.get("id")]
    if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
        raise AnnotationError(
            f"the object of {raw['phrase']!r}: ids {ids!r}", where=where, mend="give 'id' or a list 'ids' of numbers"
        )
    span = raw.get("tokens_positive")
    if span is None:
        return _Detail(raw["phrase"].strip(), None, tuple(map(str, ids)))
    if not isinstance(span, list) or len(span) != 2 or not all(type(n) is int for n in span):
        raise AnnotationError(
            f"'tokens_positive' is {span!r}", where=where, mend="give [start, end] in characters, or null"
        )
    return _Detail(raw["phrase"].strip(), (span[0], span[1]), tuple(map(str, ids)))


def _with_masks(detail: _Detail, objects: set[str], maskless: set[str], where: str, findings: Findings) -> list[str]:
    """The instances of a detail; none, with a finding, where some have no mask: the rest would be half a truth."""
    for instance in detail.instances:
        if instance not in objects and instance not in maskless:
            raise AnnotationError(
                f"unknown object id {instance} for {detail.phrase!r}",
                where=where,
                mend="check that captions and objects come from the same release",
            )
    without = [instance for instance in detail.instances if instance not in objects]
    if without:
        findings.add("phrase_without_mask", where, f"{detail.phrase!r}: object {', '.join(without)}; left ungrounded")
        return []
    return list(detail.instances)


def _span(text: str, shift: int, detail: _Detail, where: str, findings: Findings) -> tuple[int, int] | None:
    """Where the phrase stands: at ``tokens_positive`` if the text says it there, else its first place as whole words.

    Args:
        text: the caption without outer blanks; ``shift``: how many were cut in front.
    """
    spans = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(detail.phrase)}(?!\w)", text, re.I)]
    if not spans:
        findings.add("phrase_not_in_caption", where, f"{detail.phrase!r}; left out")
        return None
    if detail.span is None:
        return spans[0]
    start, end = (n - shift for n in detail.span)
    if (start, end) in spans:
        return start, end
    findings.add("moved_phrase", where, f"{detail.phrase!r} is at {spans[0]}, not at {(start, end)}")
    return spans[0]


def _disjoint(
    text: str, spans: dict[tuple[int, int], list[str]], where: str, findings: Findings
) -> tuple[GroundedPhrase, ...]:
    """The phrases in order, without those that overlap a longer one: an answer cannot nest them."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if any(start < other_end and other_start < end for other_start, other_end in kept):
            findings.add("overlapping_phrase", where, f"{text[start:end]!r}; left ungrounded")
        else:
            kept.append((start, end))
    return tuple(GroundedPhrase(start=a, end=b, instance_ids=tuple(spans[a, b])) for a, b in sorted(kept))

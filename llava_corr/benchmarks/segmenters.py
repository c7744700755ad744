"""Step 3 of the Cascade: a mask for a phrase in a picture, from whoever can draw one, or from a file of masks.

The file holds one JSON object a line: ``{"image": "images/a.jpg", "phrase": "the leg of the chair", "mask": {"size":
[480, 640], "counts": "..."}, "score": 0.9}``. Masks are COCO's compressed run lengths; null stands for "nothing found".
Relative paths start at the file's folder, so that another segmenter's masks can be brought in from anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import Field

from ..clients.journal import Journal
from ..errors import MaskError, PredictionError
from ..records import ImageRef, Mask, Record


class Wanted(NamedTuple):
    """What is to be segmented: a picture and a phrase such as "the leg of the chair"."""

    image: ImageRef
    phrase: str


class Found(Record):
    """A mask and its confidence; None where the segmenter found nothing."""

    mask: Mask | None
    score: float = Field(default=1.0, ge=0, le=1)


class Segmenter(Protocol):
    """Whatever draws masks."""

    def segment(self, wanted: Sequence[Wanted]) -> list[Found]:
        """One result per request, in order; masks have the size of their picture."""
        ...


class RecordedMask(Record):
    """A row of a file of masks."""

    image: str
    phrase: str
    mask: Mask | None
    score: float = Field(default=1.0, ge=0, le=1)
    drawn_by: str | None = None


class RecordedMasks:
    """Masks from a file; with a segmenter, those that the file lacks are asked for and appended.

    Args:
        path: JSON lines of :class:`RecordedMask`.
        segmenter: whom to ask for what is not in the file; None takes masks from the file only.
        missing: without a segmenter, what to do about a phrase that is not in the file: "refuse", or take it for
            "empty" (nothing found).
        drawn_by: what the segmenter is called in the rows that it adds; rows of another one are refused then.

    Attributes:
        asked: masks that the segmenter has drawn.

    Raises:
        PredictionError: the file is missing (without a segmenter), a row is broken, two rows differ about a phrase, or
            another segmenter drew one.
    """

    def __init__(
        self,
        path: str | Path,
        segmenter: Segmenter | None = None,
        *,
        missing: Literal["refuse", "empty"] = "refuse",
        drawn_by: str | None = None,
    ) -> None:
        self.path, self.segmenter, self.missing, self.asked = Path(path), segmenter, missing, 0
        self.drawn_by = drawn_by
        self._base = self.path.resolve().parent
        self._journal = Journal(path, RecordedMask, PredictionError)
        self._masks: dict[tuple[str, str], Found] = {}
        if segmenter is not None:
            self._journal.open_for_appending()
        for row, where in self._journal.rows():
            if segmenter is not None and row.drawn_by not in (None, drawn_by):
                raise PredictionError(
                    f"{row.drawn_by} drew {row.phrase!r} in {row.image}, this call's segmenter is {drawn_by}",
                    where=where,
                    mend="record the masks of every segmenter to a file of its own",
                )
            key, found = self._key(row.image, row.phrase), Found(mask=row.mask, score=row.score)
            if self._masks.setdefault(key, found) != found:
                raise PredictionError(
                    f"a second, different mask of {row.phrase!r} in {row.image}", where=where, mend="remove one of them"
                )

    def segment(self, wanted: Sequence[Wanted]) -> list[Found]:
        """The recorded masks, and those of the segmenter where there is one.

        Raises:
            PredictionError: a phrase that is not recorded.
            MaskError: a mask that does not fit its picture.
        """
        keys = [self._key(w.image.path, w.phrase) for w in wanted]
        new = {key: w for key, w in zip(keys, wanted, strict=True) if key not in self._masks}
        if new and self.segmenter is not None:
            for (key, asked), found in zip(new.items(), self.segmenter.segment(list(new.values())), strict=True):
                self._journal.append(self._row(asked, found))
                self._masks[key] = found
                self.asked += 1
        elif new and self.missing == "refuse":
            first = next(iter(new.values()))
            raise PredictionError(
                f"no mask of {first.phrase!r} is recorded for {first.image.path}",
                where=str(self.path),
                mend="list what is wanted with --list-phrases and segment it, or pass --missing-masks empty",
            )
        results = [self._masks.get(key, Found(mask=None, score=0.0)) for key in keys]
        for asked, found in zip(wanted, results, strict=True):
            _check(asked, found, str(self.path))
        return results

    def close(self) -> None:
        """Lets other processes record to the file."""
        self._journal.close()

    def _row(self, asked: Wanted, found: Found) -> RecordedMask:
        image = os.path.realpath(asked.image.path)
        inside = Path(image).is_relative_to(self._base)
        stored = str(Path(image).relative_to(self._base)) if inside else image
        return RecordedMask(
            image=stored, phrase=asked.phrase, mask=found.mask, score=found.score, drawn_by=self.drawn_by
        )

    def _key(self, image: str, phrase: str) -> tuple[str, str]:
        # of the file's rows relative paths start at its folder; samples come with whole ones
        return os.path.realpath(self._base / image), phrase


def _check(asked: Wanted, found: Found, source: str) -> None:
    if found.mask is None:
        return
    size = (asked.image.height, asked.image.width)
    if found.mask.size != size:
        raise MaskError(
            f"the mask of {asked.phrase!r} is {found.mask.size}, its picture {asked.image.path} {size} (height, width)",
            where=source,
            mend="segment the picture at its original size",
        )
    found.mask.check()

"""Errors a user can act on: every one says what is wrong, where, and how to mend it.

Two ways to deal with bad input, and no third: raise one of these errors, or count and list the case in a
:class:`Findings` that is shown to the user and saved with the result. Nothing is skipped silently.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


class LlavaCorrError(Exception):
    """Base of all errors meant for a user.

    Args:
        what: the fault, with the offending values.
        where: file, row, key or sample id.
        mend: what the user can do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        self.what, self.where, self.mend = what, where, mend
        lines = [what]
        if where:
            lines.append(f"  where: {where}")
        if mend:
            lines.append(f"  mend:  {mend}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Exceptions are pickled by their message; that would make it the ``what`` of the copy."""
        return _again, (type(self), self.what, self.where, self.mend)


def _again(cls: type[LlavaCorrError], what: str, where: str | None, mend: str | None) -> LlavaCorrError:
    return cls(what, where=where, mend=mend)


class ConfigError(LlavaCorrError):
    """A configuration file or override that cannot be used."""


class RegistryError(LlavaCorrError):
    """A name that no registry entry answers to."""


class AnnotationError(LlavaCorrError):
    """An annotation file that breaks its format: JSON, ids, polygons, part maps."""


class ImageError(LlavaCorrError):
    """An image that is missing, truncated, of pixels of unknown range, or of another size than its annotation says."""


class StageError(LlavaCorrError):
    """A stage of long work that ended with an error, or that cannot be run."""


class MaskError(LlavaCorrError):
    """A mask that is empty, undecodable or of another size than its image."""


class CountMismatchError(LlavaCorrError):
    """Markers, images, targets or objects of one sample do not agree in number."""


class SampleError(LlavaCorrError):
    """A sample or a samples file that cannot be used."""


class PredictionError(LlavaCorrError):
    """A prediction file that cannot be read, or that belongs to other data than it is scored against."""


class ReportError(LlavaCorrError):
    """Inputs of a report that cannot be read, or that do not belong together."""


class StorageError(LlavaCorrError):
    """A file could not be written whole; whatever stood there before is untouched."""


class CheckpointError(LlavaCorrError):
    """A checkpoint that does not fit the configuration, or is incomplete."""


class FeatureCacheError(LlavaCorrError):
    """A feature cache that is missing, damaged, incomplete or of another model."""


class TrainingError(LlavaCorrError):
    """Training cannot go on: the loss is not finite, the plan does not fit."""


class ClientError(LlavaCorrError):
    """A model behind a client that cannot be reached, refuses, or answers what cannot be read; an unrecorded reply."""


@dataclass
class Finding:
    """One counted case: its kind, the place it was seen at, and the detail."""

    kind: str
    where: str
    detail: str = ""


@dataclass
class Findings:
    """Cases that do not stop the work but must be shown: counted by kind, every one listed."""

    items: list[Finding] = field(default_factory=list)

    def add(self, kind: str, where: str, detail: str = "") -> None:
        self.items.append(Finding(kind, where, detail))

    def extend(self, other: Findings) -> None:
        self.items.extend(other.items)

    def counts(self) -> dict[str, int]:
        """Number of cases of each kind, most frequent first."""
        return dict(Counter(item.kind for item in self.items).most_common())

    def __bool__(self) -> bool:
        return bool(self.items)

    def summary(self) -> str:
        """One line, for example ``2 degenerate_polygon, 1 empty_mask``; ``no findings`` when there are none."""
        return ", ".join(f"{n} {kind}" for kind, n in self.counts().items()) or "no findings"

    def to_json(self) -> list[dict[str, str]]:
        return [vars(item) for item in self.items]

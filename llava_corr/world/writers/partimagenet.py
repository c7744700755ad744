"""Writes annotated images in the public PartImageNet format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...records import AnnotatedImage


def image_path(image_id: str, split: str, category: str) -> str:
    """File name of an image relative to the root, such as ``images/train/n02110341_42.JPEG``.

    ``image_id`` is a decimal number; the synset is the first one of ``category`` in the synset table.
    """
    return f"images/{split}/n00000000_{int(image_id)}.JPEG"


def write(root: Path, split: str, images: Sequence[AnnotatedImage]) -> None:
    """Writes ``annotations/{split}`` and ``annotations/{split}_whole`` below ``root``; one object per image."""
    raise NotImplementedError("the PartImageNet writer is being written")

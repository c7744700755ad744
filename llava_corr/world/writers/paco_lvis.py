"""Writes annotated images in the public PACO-LVIS format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...records import AnnotatedImage


def image_path(image_id: str, split: str, category: str) -> str:
    """File name of an image relative to the root, such as ``train2017/000000000042.jpg`` (``category`` has no say).

    ``image_id`` is a decimal number; ``split`` is train, val or test.
    """
    return f"{split}2017/{int(image_id):012d}.jpg"


def write(root: Path, split: str, images: Sequence[AnnotatedImage]) -> None:
    """Writes ``annotations/paco_lvis_v1_{split}.json`` below ``root``; the image files must already be in place."""
    raise NotImplementedError("the PACO-LVIS writer is being written")

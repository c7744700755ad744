"""Writes annotated images in the public ADE20K-Part-234 format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...records import AnnotatedImage


def image_path(image_id: str, split: str, category: str) -> str:
    """File name of an image relative to the root, such as ``images/training/ADE_train_00000042.jpg``.

    ``image_id`` is a decimal number; split train -> training, val -> validation, test -> testing (ours).
    """
    folder = {"train": "training", "val": "validation", "test": "testing"}[split]
    return f"images/{folder}/ADE_{split}_{int(image_id):08d}.jpg"


def write(root: Path, split: str, images: Sequence[AnnotatedImage]) -> None:
    """Writes ``ade20k_instance_{split}.json`` and ``annotations_detectron2_part/{folder}/*.png`` below ``root``."""
    raise NotImplementedError("the ADE20K-Part-234 writer is being written")

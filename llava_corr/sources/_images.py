"""Image files and label maps of the sources: existence, size, bit depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import AnnotationError, Findings, MaskError
from ..records import Mask

EIGHT_BIT = ("L", "P")
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I")


def image_is_sound(path: str | Path, height: int, width: int, findings: Findings) -> bool:
    """Whether the image file exists, has the annotated size and decodes whole; a finding where it does not.

    The header is read first, so an image of another size costs no decoding.
    """
    try:
        with Image.open(path) as image:
            if (image.height, image.width) != (height, width):
                findings.add(
                    "image_size", str(path), f"file {image.height} x {image.width}, annotation {height} x {width}"
                )
                return False
            image.load()
    except FileNotFoundError:
        findings.add("missing_image", str(path))
        return False
    except Image.DecompressionBombError as error:
        findings.add("image_size", str(path), str(error))
        return False
    except UnidentifiedImageError:
        findings.add("unreadable_image", str(path), "not an image")
        return False
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for truncated or garbled files
        findings.add("truncated_image", str(path), str(error))
        return False
    return True


def read_label_map(path: Path, height: int, width: int, modes: tuple[str, ...], depth: str) -> NDArray[Any]:
    """A label map as an integer H x W array, values as stored.

    Args:
        modes: Pillow modes of the right bit depth.
        depth: what the file should be, for the message ("16-bit grey PNG").

    Raises:
        AnnotationError: the file is missing, unreadable or of another bit depth.
        MaskError: it has another size than its image.
    """
    try:
        with Image.open(path) as image:
            mode, labels = image.mode, np.asarray(image)
    except FileNotFoundError as cause:
        raise AnnotationError("label map is missing", where=str(path), mend="download the annotations again") from cause
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        raise AnnotationError(
            f"label map cannot be read: {cause}", where=str(path), mend="download the file again"
        ) from cause
    if mode not in modes:
        raise AnnotationError(
            f"label map has Pillow mode {mode}, not {depth}",
            where=str(path),
            mend="restore the original file: converting the bit depth destroys the labels",
        )
    if labels.shape != (height, width):
        raise MaskError(
            f"label map of size {labels.shape[0]} x {labels.shape[1]}, image of size {height} x {width}",
            where=str(path),
            mend="restore the original file, or check that map and image belong together",
        )
    return labels


def refuse_labels(labels: NDArray[Any], path: Path, highest: int, background: int) -> None:
    """Checks that every label is 0..``highest`` or ``background``.

    Raises:
        AnnotationError: some is not.
    """
    found = np.flatnonzero(np.bincount(labels.ravel()))
    strange = found[(found > highest) & (found != background)]
    if strange.size:
        raise AnnotationError(
            f"unknown label {int(strange[0])}: labels are 0 to {highest}, and {background} for none",
            where=str(path),
            mend="check that the map belongs to this data set and release",
        )


def label_masks(labels: NDArray[Any], background: int) -> dict[int, Mask]:
    """Label -> mask of its pixels, labels ascending, the background left out."""
    present = np.flatnonzero(np.bincount(labels.ravel())).tolist()
    return {label: Mask.from_array(labels == label) for label in present if label != background}

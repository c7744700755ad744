"""Images for drawing: loading with named errors, and bringing an image and its masks to one display size."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError

RGBArray: TypeAlias = NDArray[np.uint8]
BoolArray: TypeAlias = NDArray[np.bool_]


def load_rgb(path: str | Path, size: tuple[int, int] | None = None) -> RGBArray:
    """Reads an image as uint8 H x W x 3.

    Args:
        path: the image file.
        size: (height, width) that the annotation states; None to accept any.

    Raises:
        ImageError: missing or broken file, or another size than ``size``.
    """
    try:
        with Image.open(path) as handle:
            pixels = np.asarray(handle.convert("RGB"))
    except FileNotFoundError as cause:
        raise ImageError(
            "the image file does not exist", where=str(path), mend="restore the image, or point to the right folder"
        ) from cause
    except (UnidentifiedImageError, OSError, SyntaxError) as cause:
        raise ImageError(
            f"the image cannot be read: {cause}", where=str(path), mend="make or download it again"
        ) from cause
    if size is not None and pixels.shape[:2] != tuple(size):
        raise ImageError(
            f"the image is {pixels.shape[0]} x {pixels.shape[1]} pixels (height x width), its annotation says "
            f"{size[0]} x {size[1]}",
            where=str(path),
            mend="use the image the sample was made from",
        )
    return pixels


def display_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(height, width) with the longer side at ``long_side`` pixels and the same aspect, at least one pixel each."""
    height, width = size
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_rgb(image: RGBArray, size: tuple[int, int]) -> RGBArray:
    """Resamples to (height, width) = ``size``."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def resize_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Resamples a bool H x W mask to ``size`` with smooth edges.

    A mask too thin to survive keeps the pixels its foreground falls on: it never vanishes from a picture.
    """
    if mask.shape == size:
        return mask
    soft = Image.fromarray(mask.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    resized: BoolArray = np.asarray(soft) >= 0.5
    if mask.any() and not resized.any():
        rows, columns = np.nonzero(mask)
        resized[rows * size[0] // mask.shape[0], columns * size[1] // mask.shape[1]] = True
    return resized


def jpeg_bytes(image: RGBArray, quality: int = 85) -> bytes:
    """Encodes as JPEG with full colour resolution, so that thin coloured contours stay clean."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()

"""Images: decoding with named errors, and bringing an image and its masks to one display size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import ImageError

RGBArray: TypeAlias = NDArray[np.uint8]
BoolArray: TypeAlias = NDArray[np.bool_]


def load_rgb(path: str | Path, size: tuple[int, int] | None = None, *, upright: bool = False) -> RGBArray:
    """Reads an image as uint8 H x W x 3.

    Args:
        path: the image file.
        size: (height, width) that the annotation states; None to accept any.
        upright: turn it as its EXIF orientation says. Annotations are of the pixels as they are stored.

    Raises:
        ImageError: missing or broken file, pixels whose range is not known, or another size than ``size``.
    """
    with _image_errors(str(path)), Image.open(path) as handle:
        pixels = to_rgb(handle, str(path), upright=upright)
    if size is not None and pixels.shape[:2] != tuple(size):
        raise ImageError(
            f"the image is {pixels.shape[0]} x {pixels.shape[1]} pixels (height x width), its annotation says "
            f"{size[0]} x {size[1]}",
            where=str(path),
            mend="use the image the sample was made from",
        )
    return pixels


@contextmanager
def _image_errors(where: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as cause:
        raise ImageError(
            "the image file does not exist", where=where, mend="restore the image, or point to the right folder"
        ) from cause
    except IsADirectoryError as cause:
        raise ImageError("this is a folder, not an image file", where=where, mend="name the image files") from cause
    except Image.DecompressionBombError as cause:
        raise ImageError(f"the image is too large: {cause}", where=where, mend="make it smaller") from cause
    except (OSError, SyntaxError, ValueError, EOFError) as cause:  # what Pillow's decoders raise
        raise ImageError(f"the image cannot be read: {cause}", where=where, mend="make or download it again") from cause


def to_rgb(image: Image.Image, where: str, *, upright: bool = False) -> RGBArray:
    """Decodes a PIL image to uint8 H x W x 3; 16 bits are brought to 8.

    Args:
        where: its name, for the message.
        upright: turn it as its EXIF orientation says.

    Raises:
        ImageError: it is cut off or broken, or its pixels are of no range that is known.
    """
    with _image_errors(where):
        if upright:
            image = ImageOps.exif_transpose(image)
        if image.mode != "F" and not image.mode.startswith("I"):
            return np.asarray(image.convert("RGB"))
        values = np.asarray(image)
        low, high = values.min(), values.max()
    # 32 bits hold 16 where a format has no other way; what fits into 8 might be meant as either
    if image.mode == "F" or (image.mode == "I" and not (low >= 0 and (high == 0 or 255 < high <= 65535))):
        raise ImageError(
            f"the image has pixels of Pillow mode {image.mode}, from {low} to {high}: what is black, what white?",
            where=where,
            mend="save it with 8 or 16 bits per channel, black 0 and white 255 or 65535",
        )
    grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


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

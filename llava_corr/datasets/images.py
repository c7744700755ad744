"""Pictures of samples, as arrays, with an error that names the file when one cannot be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError
from ..records import ImageRef


def load_picture(image: ImageRef) -> NDArray[np.uint8]:
    """Decodes to H x W x 3 uint8 RGB.

    Raises:
        ImageError: the file is missing, truncated, no image, or of another size than the record says.
    """
    try:
        with Image.open(image.path) as opened:
            picture = np.asarray(opened.convert("RGB"))
    except FileNotFoundError as cause:
        raise ImageError("the image does not exist", where=image.path, mend="check the data folder") from cause
    except (UnidentifiedImageError, OSError, SyntaxError) as cause:
        raise ImageError(
            f"the image cannot be decoded: {cause}", where=image.path, mend="copy or download the file again"
        ) from cause
    if picture.shape[:2] != (image.height, image.width):
        raise ImageError(
            f"the image is {picture.shape[0]} x {picture.shape[1]}, its record says {image.height} x {image.width}",
            where=image.path,
            mend="restore the original image, or build the samples again",
        )
    return picture


def grey_picture(image: ImageRef) -> NDArray[np.uint8]:
    """Plain mid-grey of the image's size: what a blind model sees."""
    return np.full((image.height, image.width, 3), 128, np.uint8)

"""Pictures of samples, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..drawing.images import load_rgb
from ..records import ImageRef


def load_picture(image: ImageRef) -> NDArray[np.uint8]:
    """Decodes to H x W x 3 uint8 RGB.

    Raises:
        ImageError: the file is missing, truncated, no image, or of another size than the record says.
    """
    return load_rgb(image.path, (image.height, image.width))


def grey_picture(image: ImageRef) -> NDArray[np.uint8]:
    """Plain mid-grey of the image's size: what a blind model sees."""
    return np.full((image.height, image.width, 3), 128, np.uint8)


def dialogue_key(image: ImageRef, *, blind: bool = False) -> str:
    """What a dialogue calls the picture: its path, or the size of the grey one in its place."""
    return f"grey {image.height} x {image.width}" if blind else image.path

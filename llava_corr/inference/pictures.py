"""What a user may pass as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..drawing.images import load_rgb
from ..errors import SampleError

Picture = NDArray[np.uint8]


def as_picture(image: Picture | Image.Image | str | Path) -> Picture:
    """H x W x 3 uint8 of an array, a PIL image or a file.

    Raises:
        SampleError: it is no picture.
        ImageError: a file that cannot be read.
    """
    if isinstance(image, (str, Path)):
        return load_rgb(image)
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if not isinstance(image, np.ndarray):
        raise SampleError(f"a {type(image).__name__} is no picture", mend="pass an array, a PIL image or a file name")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise SampleError(
            f"a picture is H x W x 3 uint8, not {image.shape} {image.dtype}",
            mend="convert it first: np.stack([grey] * 3, -1) for grey values, (x * 255).astype(np.uint8) for floats",
        )
    return image

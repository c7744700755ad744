"""What a user may pass as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..drawing.images import load_rgb, to_rgb
from ..errors import SampleError

Picture = NDArray[np.uint8]


def as_picture(image: Picture | Image.Image | str | Path) -> Picture:
    """H x W x 3 uint8 of an array, a PIL image or a file; the latter two upright, as their EXIF orientation says.

    Raises:
        SampleError: it is no picture.
        ImageError: a file or PIL image that cannot be read.
    """
    if isinstance(image, (str, Path)):
        return load_rgb(image, upright=True)
    if isinstance(image, Image.Image):
        image = to_rgb(image, str(getattr(image, "filename", "") or "a PIL image"), upright=True)
    if not isinstance(image, np.ndarray):
        raise SampleError(f"a {type(image).__name__} is no picture", mend="pass an array, a PIL image or a file name")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise SampleError(
            f"a picture is H x W x 3 uint8, not {image.shape} {image.dtype}",
            mend=f"convert it first: {_conversion(image)}",
        )
    return image


def _conversion(array: NDArray[Any]) -> str:
    """What makes a picture of an array, as far as its shape and type tell."""
    steps = []
    if array.dtype == np.uint16:
        steps.append("(x // 257).astype(np.uint8) if white is 65535")
    elif array.dtype == bool or np.issubdtype(array.dtype, np.floating):
        steps.append("(x * 255).astype(np.uint8) if white is 1")
    elif array.dtype != np.uint8:
        steps.append("x.astype(np.uint8) if white is 255")
    if array.ndim == 2:
        steps.append("np.stack([x] * 3, -1) for grey values")
    elif array.ndim == 3 and array.shape[2] == 1:
        steps.append("np.repeat(x, 3, 2) for grey values")
    elif array.ndim == 3 and array.shape[2] == 4:
        steps.append("x[..., :3] without alpha")
    elif array.ndim == 3 and array.shape[0] == 3:
        steps.append("x.transpose(1, 2, 0) for channels first")
    elif array.ndim == 4:
        steps.append("set_images(list(x)) for several pictures")
    return ", ".join(steps) or "height, width and the three channels, none of them 0"

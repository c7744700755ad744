"""Contact sheets: a grid of pictures with captions, for looking at many images at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..errors import CountMismatchError
from .colours import Colour
from .images import RGBArray, display_size, resize_rgb
from .tags import tag_font


def contact_sheet(
    images: Sequence[RGBArray],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 6,
    cell: int = 256,
    gap: int = 8,
    font_size: int = 13,
    background: Colour = (255, 255, 255),
    ink: Colour = (30, 30, 30),
) -> RGBArray:
    """Lays pictures out row by row; returns uint8 H x W x 3.

    Args:
        images: uint8 H x W x 3 of any sizes; each is scaled so that its longer side is ``cell`` pixels.
        captions: one per image, below it; a caption too long for its cell is cut with an ellipsis.

    Raises:
        CountMismatchError: no images, or another number of captions than images.
    """
    if not images or (captions is not None and len(captions) != len(images)):
        raise CountMismatchError(
            f"{len(images)} images and {0 if captions is None else len(captions)} captions",
            mend="pass at least one image, and one caption per image or none at all",
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    caption_height = 0 if captions is None else round(font_size * 1.6)
    step_x, step_y = cell + gap, cell + caption_height + gap
    canvas = Image.new("RGB", (columns * step_x + gap, rows * step_y + gap), background)
    draw = ImageDraw.Draw(canvas)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = gap + column * step_x, gap + row * step_y
        shown = resize_rgb(image, display_size(image.shape[:2], cell))
        canvas.paste(Image.fromarray(shown), (x + (cell - shown.shape[1]) // 2, y + (cell - shown.shape[0]) // 2))
        if captions is not None:
            text = _cut(captions[index], cell, font_size)
            draw.text((x, y + cell + 2), text, fill=ink, font=tag_font(font_size))
    return np.asarray(canvas)


def _cut(text: str, width: int, font_size: int) -> str:
    font = tag_font(font_size)
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

"""Name tags: labelled boxes placed beside what they name, inside the image, off each other where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from .colours import Colour, ink_on
from .images import BoolArray, RGBArray

_ELLIPSIS = "…"
_OVERLAP_COST = 20.0  # a tag wholly on another one; dwarfs the other costs
_HIDING_COST = 3.0  # a region wholly under the tag
_DISTANCE_COST = 4.0  # a tag one image diagonal away from its region


class Tag(NamedTuple):
    """A placed name: its box (x0, y0, x1, y1, half-open pixels), the pixel it points at, its look.

    ``anchor`` is None where no leader line is needed (the tag lies on its region) or possible (the mask is empty).
    """

    text: str
    box: tuple[int, int, int, int]
    anchor: tuple[int, int] | None
    colour: Colour


@lru_cache(maxsize=16)
def tag_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font at ``size`` pixels: the same letters on every machine."""
    return ImageFont.load_default(size)


def core(mask: BoolArray) -> BoolArray:
    """The well-inside pixels of a mask: at least half as far from the outside as its innermost pixel."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return mask & (depth >= depth.max() / 2)


def place_tags(
    names: Sequence[str], masks: Sequence[BoolArray], colours: Sequence[Colour], size: tuple[int, int], font_size: int
) -> list[Tag]:
    """Finds a place for every name.

    The cheapest position on a grid is taken, small regions first, weighing overlap with other tags, the share of each
    region that would be hidden, and the distance to the named region. Names too long for the image end in an ellipsis;
    an image with no room for a single letter gets no tags. The name of an empty mask says so and points nowhere; an
    empty name gets no tag.

    Args:
        names: texts; one per mask, in the order of the returned tags.
        masks: bool H x W of ``size``.
        colours: of the tags.
        size: (height, width) of the image.
        font_size: pixels.
    """
    hidden = _hiding_cost(masks, size)
    placed: dict[int, Tag] = {}
    for index in sorted(range(len(names)), key=lambda k: (int(masks[k].sum()), k)):
        targets = core(masks[index])
        fitted = _fit(names[index] if targets.any() else f"{names[index]} (empty)", size, font_size)
        if fitted is None:
            continue
        text, width, height = fitted
        x, y = _best_corner((width, height), targets, hidden, [tag.box for tag in placed.values()])
        box = (x, y, x + width, y + height)
        placed[index] = Tag(text, box, _anchor(box, targets), colours[index])
    return [placed[k] for k in sorted(placed)]


def draw_tags(image: RGBArray, tags: Sequence[Tag], font_size: int) -> RGBArray:
    """Draws leader lines, then tags; returns a new array."""
    canvas = Image.fromarray(image.copy())
    draw = ImageDraw.Draw(canvas)
    for tag in tags:
        _draw_leader(draw, tag)
    for tag in tags:
        x0, y0, x1, y1 = tag.box
        label = Image.new("RGB", (x1 - x0, y1 - y0), tag.colour)  # of its own: tall letters must not spill over
        middle = ((x1 - x0) / 2, (y1 - y0) / 2)
        ImageDraw.Draw(label).text(middle, tag.text, fill=ink_on(tag.colour), font=tag_font(font_size), anchor="mm")
        canvas.paste(label, (x0, y0))
    return np.asarray(canvas)


def leader_zone(tag: Tag, size: tuple[int, int]) -> BoolArray:
    """The pixels of ``size`` that a tag and its leader line may change."""
    canvas = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    _draw_leader(draw, tag._replace(colour=(255, 255, 255)), ink=255)
    x0, y0, x1, y1 = tag.box
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=255)
    return np.asarray(canvas) > 0


def _draw_leader(draw: ImageDraw.ImageDraw, tag: Tag, ink: int | None = None) -> None:
    if tag.anchor is None:
        return
    x0, y0, x1, y1 = tag.box
    x, y = tag.anchor
    start = (min(max(x, x0), x1 - 1), min(max(y, y0), y1 - 1))
    dark, bright = ((0, 0, 0), tag.colour) if ink is None else (ink, ink)
    draw.line((start, tag.anchor), fill=dark, width=3)
    draw.line((start, tag.anchor), fill=bright, width=1)
    draw.rectangle((x - 2, y - 2, x + 2, y + 2), fill=bright, outline=dark)


def _fit(text: str, size: tuple[int, int], font_size: int) -> tuple[str, int, int] | None:
    """The text, cut if it must be, with its tag's width and height; None where not even one letter fits."""
    text = " ".join(text.split())  # a line break would make the tag two lines high
    font, pad = tag_font(font_size), max(2, font_size // 4)
    height = round(font_size * 1.2) + 2
    if height > size[0]:
        return None
    for keep in range(len(text), 0, -1):
        shown = text if keep == len(text) else text[:keep].rstrip() + _ELLIPSIS
        width = int(np.ceil(font.getlength(shown))) + 2 * pad
        if width <= size[1]:
            return shown, width, height
    return None


def _hiding_cost(masks: Sequence[BoolArray], size: tuple[int, int]) -> NDArray[np.float64]:
    """Integral image ((H + 1) x (W + 1)) of the share of its region that each pixel is."""
    weight = np.zeros(size)
    for mask in masks:
        area = int(mask.sum())
        if area:
            weight[mask] += 1.0 / area
    return np.pad(weight.cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _best_corner(
    tag_size: tuple[int, int],
    targets: BoolArray,
    hidden: NDArray[np.float64],
    others: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int]:
    """Upper left corner of the cheapest position; the first one in reading order where several cost the same."""
    (width, height), size = tag_size, targets.shape
    step = max(2, height // 4)
    xs = np.unique(np.append(np.arange(0, size[1] - width + 1, step), size[1] - width))[None, :]
    ys = np.unique(np.append(np.arange(0, size[0] - height + 1, step), size[0] - height))[:, None]
    cost = _HIDING_COST * (
        hidden[ys + height, xs + width] - hidden[ys, xs + width] - hidden[ys + height, xs] + hidden[ys, xs]
    )
    for x0, y0, x1, y1 in others:
        across = np.clip(np.minimum(xs + width, x1 + 1) - np.maximum(xs, x0 - 1), 0, None)
        down = np.clip(np.minimum(ys + height, y1 + 1) - np.maximum(ys, y0 - 1), 0, None)
        overlap = across * down
        cost = cost + _OVERLAP_COST * overlap / (width * height) + (overlap > 0)
    if targets.any():
        distance = ndimage.distance_transform_edt(~targets)
        # origin: the window of a corner pixel covers the box to its right and below
        nearest = ndimage.minimum_filter(distance, size=(height, width), origin=(-(height // 2), -(width // 2)))
        cost = cost + _DISTANCE_COST * nearest[ys, xs] / np.hypot(*size)
    row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return int(xs[0, column]), int(ys[row, 0])


def _anchor(box: tuple[int, int, int, int], targets: BoolArray) -> tuple[int, int] | None:
    """The pixel of ``targets`` nearest to the box, None where the box covers one or there is none."""
    x0, y0, x1, y1 = box
    if targets[y0:y1, x0:x1].any() or not targets.any():
        return None
    rows, columns = np.nonzero(targets)
    away_x = np.maximum(np.maximum(columns - (x1 - 1), x0 - columns), 0)
    away_y = np.maximum(np.maximum(rows - (y1 - 1), y0 - rows), 0)
    nearest = int(np.argmin(away_x**2 + away_y**2))
    return int(columns[nearest]), int(rows[nearest])
